"""Every configured engine started and asked one small thing, with its time."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import aclosing, contextmanager
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from typing import Any

from voicebridge.choice import is_address
from voicebridge.cli.checks.finding import Finding, State, Tell
from voicebridge.cli.checks.machine import embedded
from voicebridge.cli.testcall import recorded_sentence
from voicebridge.config import ConfigError, Settings
from voicebridge.conversation.agent import AgentSpec
from voicebridge.conversation.commands import ChatMessage
from voicebridge.engines.base import EngineError, Voice
from voicebridge.engines.local import RemoteHost
from voicebridge.lineup import engines_in_use, make_engine, table_of
from voicebridge.plugins import PluginError

READY_S, REMOTE_READY_S = 60.0, 6.0
ANSWER_S = 20.0
CRASHES = 3
"""Restarts of a worker after which nothing better is to be expected."""
SENTENCE = "Good morning. This is a short test of the voice."
RATE = 8_000
WORDS_RIGHT, WORDS_NEEDED = 0.6, 0.5
"""Of the recorded sentence: below the first a warning, below the second a failure."""
# Of the time a caller has to wait for, what one engine may take; above that the answer cannot come in time.
STT_SLOW, TTS_SLOW = 0.35, 0.5  # of the speech's own length
FIRST_TOKEN_SLOW_S = 0.75
EMBED_SLOW_S = 0.2
TURN_SLOW_S = 0.24  # from the moment it is asked to the endpoint
BUSY = "is the machine busy (uptime, top)? Otherwise a smaller model, or an engine on another machine"

DEBUG = "voicebridge --log-level debug doctor"
WRONG = (
    "another model: is this one made for the agent's language (voicebridge models ls --language), and whole "
    "(voicebridge models verify)?"
)


@dataclass(frozen=True, slots=True)
class Answer:
    """What an engine made of its request; `slow` where a caller would have to wait, `useless` where he had better not
    call: it is a failure, and no other engine takes over from one that answers."""

    found: str
    slow: bool = False
    wrong: bool = False
    useless: bool = False


async def check(settings: Settings, without: set[str], tell: Tell) -> list[Finding]:
    """One finding an engine, those of the kinds `without` (a model) not started. None is left running."""
    made: list[tuple[str, Any]] = []
    findings: list[Finding] = []
    refused: list[tuple[str, Finding]] = []
    asked: list[tuple[str, Finding]] = []
    for choice in (choice for choices in engines_in_use(settings).values() for choice in choices):
        kind, name = choice.kind, choice.name
        if kind in without and choice in embedded(settings, kind):
            findings.append(Finding(f"engine {kind}", "skip", f"{name} not started: its model is missing or not whole"))
            continue
        try:
            made.append((kind, make_engine(settings, choice)))
        except PluginError:
            findings.append(Finding(f"engine {kind}", "skip", f"{name} not started: see plug-ins"))
        except ConfigError as error:
            text, _, cure = str(error).partition("; run: ")
            table = table_of(settings, choice)
            cure = cure or f"correct {f'[engines.options.{table}]' if table else f'{kind} in [engines]'}"
            refused.append((name, Finding(f"engine {kind}", "fail", text, cure)))
    findings += _not_made(refused, made)
    tell("starting engines: " + ", ".join(engine.name for _, engine in made))
    began = time.monotonic()
    try:
        with last_warnings() as warnings:
            await asyncio.gather(*(engine.start() for _, engine in made))
            ready = await asyncio.gather(*(_ready_after(engine, began) for _, engine in made))
            for (kind, engine), seconds in zip(made, ready, strict=True):
                tell(f"asking {engine.name}")
                asked.append((engine.name, await _judge(settings, kind, engine, seconds, warnings)))
    finally:
        await asyncio.gather(*(engine.stop() for _, engine in made), return_exceptions=True)
    findings += _with_spares(asked)
    return sorted(findings, key=lambda finding: list(_REQUESTS).index(finding.check.split()[1]))


def _not_made(refused: list[tuple[str, Finding]], made: list[tuple[str, Any]]) -> Iterator[Finding]:
    """A failure also where another of the kind could serve: see lineup.make_engine."""
    for name, finding in refused:
        kind = finding.check.split()[1]
        spare = next((engine.name for other, engine in made if other == kind), "")
        told = f"; {spare} could serve alone, but the daemon does not start with {name} in the list" if spare else ""
        without = f", or take {name} out of {kind} in [engines]" if spare else ""
        yield replace(finding, found=finding.found + told, cure=finding.cure + without)


def _with_spares(asked: list[tuple[str, Finding]]) -> list[Finding]:
    """Where one of a kind serves, it is a warning that another does not: calls go on without that."""
    serves = {finding.check: name for name, finding in reversed(asked) if finding.state != "fail"}
    return [
        replace(finding, state="warn", found=f"{finding.found}; {serves[finding.check]} serves instead")
        if finding.state == "fail" and finding.check in serves and finding.cure != WRONG
        else finding
        for _, finding in asked
    ]


async def _ready_after(engine: Any, began: float) -> float | None:
    """Seconds until it was ready; None where it will not be."""
    worker = _worker(engine)
    limit = REMOTE_READY_S if _remote(engine) else READY_S
    while not engine.ready:
        if time.monotonic() - began > limit or getattr(worker, "restarts", 0) >= CRASHES:
            return None
        await asyncio.sleep(0.02)
    return time.monotonic() - began


def _worker(engine: Any) -> Any:
    """The supervised process of one of our own engines, or None."""
    return getattr(getattr(engine, "host", None), "worker", None)


def _remote(engine: Any) -> str:
    """Where an engine answers that somebody else runs; empty for others."""
    host = getattr(engine, "host", None)
    return str(host.address.uri) if isinstance(host, RemoteHost) else ""


def _not_ready(kind: str, engine: Any, warnings: dict[str, str]) -> tuple[str, str]:
    """Why, and the cure."""
    options = f"[engines.options.{engine.name}]"
    if uri := _remote(engine):
        place = f"[engines] {kind}" if is_address(engine.name) else f"{options} uri"
        return f"is not there: nothing answers at {uri}", f"start it there, or correct {place}"
    worker = getattr(_worker(engine), "spec", engine)
    why = warnings.get(worker.name, "").partition("; starting again")[0] or "no answer"
    return f"does not get ready: {why}", f"{DEBUG} shows all of it; look at {options}, and voicebridge models verify"


async def _judge(
    settings: Settings, kind: str, engine: Any, ready_s: float | None, warnings: dict[str, str]
) -> Finding:
    check = f"engine {kind}"
    asked = time.monotonic()
    if ready_s is None:
        why, cure = _not_ready(kind, engine, warnings)
        return Finding(check, "fail", f"{engine.name} {why}", cure)
    try:
        answer = await _REQUESTS[kind](engine, settings.default_agent)
    except EngineError as error:
        return Finding(check, "fail", str(error), DEBUG, round(time.monotonic() - asked, 3))
    state: State = "fail" if answer.useless else "warn" if answer.slow or answer.wrong else "ok"
    cure = WRONG if answer.wrong or answer.useless else BUSY if answer.slow else ""
    found = f"{engine.name} ready after {ready_s:.1f} s; {answer.found}"
    return Finding(check, state, found, cure, round(ready_s + time.monotonic() - asked, 3))


# ---- one small request a kind


async def _transcribe(engine: Any, agent: AgentSpec) -> Answer:
    line = recorded_sentence()
    session = engine.session(rate=RATE, language=agent.language)
    try:
        session.begin(1)
        session.feed(line.pcm)
        now = time.monotonic()
        transcript = await session.transcribe(deadline=now, give_up=now + ANSWER_S)
        took = time.monotonic() - now
    finally:
        await session.close()
    length = len(line.pcm) / 2 / RATE
    right = words_right(line.label, transcript.text)
    english = agent.language.lower().startswith("en")
    found = f"{length:.1f} s of speech in {took * 1000:.0f} ms ({took / length:.2g} x real time)"
    if english:
        found += f", {right:.0%} of the words right"
    return Answer(found, took / length > STT_SLOW, english and right < WORDS_RIGHT, english and right < WORDS_NEEDED)


async def _synthesize(engine: Any, agent: AgentSpec) -> Answer:
    now = time.monotonic()
    voice = Voice(agent.voice, agent.language, agent.speed)
    speech = await engine.synthesize(SENTENCE, voice=voice, deadline=now, give_up=now + ANSWER_S)
    took, length = time.monotonic() - now, len(speech.pcm) / 2 / speech.rate
    if not length:
        return Answer("but it says nothing", useless=True)
    found = f"{length:.1f} s of speech in {took * 1000:.0f} ms ({took / length:.2g} x real time)"
    return Answer(found, slow=took / length > TTS_SLOW)


async def _generate(engine: Any, agent: AgentSpec) -> Answer:
    session = engine.session(agent="doctor")
    now, first, pieces = time.monotonic(), 0.0, 0
    messages = (ChatMessage("system", "You answer in one short sentence."), ChatMessage("user", "Good morning."))
    try:
        async with aclosing(session.generate(messages, max_tokens=8, deadline=now, give_up=now + ANSWER_S)) as stream:
            async for _ in stream:
                first = first or time.monotonic() - now
                pieces += 1
    finally:
        await session.close()
    if not pieces:
        return Answer("but it generates nothing", wrong=True)
    took = time.monotonic() - now
    rate = f", then {(pieces - 1) / (took - first):.0f} a second" if pieces > 1 and took > first else ""
    return Answer(f"first token after {first * 1000:.0f} ms{rate}", slow=first > FIRST_TOKEN_SLOW_S)


async def _embed(engine: Any, agent: AgentSpec) -> Answer:
    now = time.monotonic()
    (vector,) = await engine.embed([SENTENCE], give_up=now + ANSWER_S)
    took = time.monotonic() - now
    return Answer(f"a sentence in {took * 1000:.0f} ms ({len(vector)} dimensions)", slow=took > EMBED_SLOW_S)


async def _judge_turn(engine: Any, agent: AgentSpec) -> Answer:
    line, now = recorded_sentence(), time.monotonic()
    probability = await engine.judge(line.pcm, rate=RATE, deadline=now, give_up=now + ANSWER_S)
    took = time.monotonic() - now
    return Answer(f"a pause judged in {took * 1000:.0f} ms ({probability:.0%} finished)", slow=took > TURN_SLOW_S)


_REQUESTS: dict[str, Callable[[Any, AgentSpec], Awaitable[Answer]]] = {
    "stt": _transcribe,
    "llm": _generate,
    "tts": _synthesize,
    "embed": _embed,
    "turn": _judge_turn,
}


def words_right(expected: str, heard: str) -> float:
    """The share of the expected words that were heard, in their order."""
    wanted, got = (re.findall(r"[\w']+", text.lower()) for text in (expected, heard))
    blocks = SequenceMatcher(None, wanted, got, autojunk=False).get_matching_blocks()
    return sum(block.size for block in blocks) / max(1, len(wanted))


@contextmanager
def last_warnings() -> Iterator[dict[str, str]]:
    """Why a worker does not start, by its name: its last error, or else the last warning about it."""
    texts: dict[str, str] = {}
    levels: dict[str, int] = {}

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            match = re.match(r"worker (\w+): (.*)", record.getMessage())
            if match and record.levelno >= levels.get(match[1], 0):
                levels[match[1]], texts[match[1]] = record.levelno, match[2]

    handler = Keep(logging.WARNING)
    logger = logging.getLogger("voicebridge.engines")
    logger.addHandler(handler)
    try:
        yield texts
    finally:
        logger.removeHandler(handler)

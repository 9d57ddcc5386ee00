"""What engines are told of a call's work: its deadlines, or none; and what the call is told of its engines."""

from __future__ import annotations

import asyncio
import logging
import math
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.engines.failover.servers import serving, started, tts
from voicebridge.call.hearing import Hearing
from voicebridge.call.matching import RuleMatcher
from voicebridge.call.speech import Mouth
from voicebridge.call.work import IN_ORDER, Parts, Work
from voicebridge.conversation import commands as cmd
from voicebridge.conversation import events as ev
from voicebridge.conversation.agent import AgentSpec
from voicebridge.engines.base import EngineError, Message, Speech, Transcript, Voice
from voicebridge.engines.failover import together
from voicebridge.engines.failover.health import Move
from voicebridge.engines.local import RemoteHost
from voicebridge.engines.wyoming_tts import WyomingTts

AGENT = AgentSpec("desk", "Hello.", instructions="Be brief.")
RATE = 8_000
DUE = {"stt": 11.0, "llm": 12.0, "tts": 13.0}


class Engine:
    """All three kinds; keeps the deadlines that it was given."""

    name, ready, context_tokens = "engine", True, 2_048

    def __init__(self) -> None:
        self.due: dict[str, float] = {}
        self.deferred: list[float] = []

    async def start(self) -> None: ...
    async def stop(self) -> None: ...
    async def close(self) -> None: ...
    def begin(self, utterance: int, phrases: Sequence[str] = ()) -> None: ...
    def feed(self, pcm: bytes) -> None: ...
    async def warm(self, messages: Sequence[Message]) -> None: ...
    async def prefill(self, messages: Sequence[Message]) -> None: ...

    def session(self, **_: Any) -> Engine:
        return self

    def defer(self, deadline: float) -> None:
        self.deferred.append(deadline)

    async def transcribe(self, *, deadline: float, give_up: float, final: bool = True) -> Transcript:
        self.due["stt"] = deadline
        return Transcript(1, "words", 0, 0.0, 0.0)

    async def generate(self, messages: Sequence[Message], *, deadline: float, **_: Any) -> AsyncIterator[str]:
        self.due["llm"] = deadline
        yield "Words."

    async def synthesize(self, text: str, *, voice: Voice, deadline: float, give_up: float) -> Speech:
        self.due["tts"] = deadline
        return Speech(text, bytes(1_600), RATE)


class Told(list[ev.Event]):
    async def until(self, kind: type) -> Any:
        async with asyncio.timeout(10):
            while not any(isinstance(event, kind) for event in self):  # noqa: ASYNC110 - a list has no event
                await asyncio.sleep(0.01)
        return next(event for event in self if isinstance(event, kind))


def work(
    engine: Any, mouth: Mouth, told: Told, moves: list[Move], served: list[tuple[int, str, str]] | None = None,
    **more: Any,
) -> Work:  # fmt: skip
    parts = Parts(AGENT, engine, engine, mouth, RuleMatcher(AGENT, None), **more)

    def note(*what: Any) -> None:
        if served is not None:
            served.append(what)

    return Work("call", parts, told.append, hearing=Hearing(engine, RATE), rate=RATE, moved=moves.append, served=note)


async def test_the_call_is_told_who_served_which_turn(tmp_path: Path) -> None:
    engine, told, served = Engine(), Told(), []
    mouth = Mouth(engine, AGENT, tmp_path)
    await mouth.render()
    made = work(engine, mouth, told, [], served)
    later = time.monotonic() + 9
    made.start(cmd.Synthesize(1, 0, "greeting", "Hello.", 0.0, later))
    made.start(cmd.Transcribe(1, 1, "final", 0.0, later))
    made.start(cmd.Generate(2, 1, (Message("user", "Hi."),), 20, 0.0, later))
    made.start(cmd.Synthesize(3, 2, "answer", "Words.", 0.0, later))
    for kind in (ev.TranscriptReady, ev.ModelDone, ev.SegmentReady):
        await told.until(kind)
    await asyncio.sleep(0.05)
    assert served[0] == (0, "tts", "disk")
    assert sorted(served[1:]) == [(1, "llm", "engine"), (1, "stt", "engine"), (2, "tts", "engine")]
    await made.close()


async def test_a_voice_whose_process_is_killed_is_told_once_and_the_other_serves(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Real workers of espeak, of which the first dies in the call; the clauses after that are asked for at once."""
    pytest.importorskip("espeakng_loader")
    caplog.set_level(logging.INFO)
    workers = {
        name: subprocess.Popen(
            [sys.executable, "-m", "voicebridge.engines.worker", "voicebridge.engines.espeak:ENGINE",
             "--socket", str(tmp_path / name)]
        )  # fmt: skip
        for name in ("first", "second")
    }
    try:
        voices = [WyomingTts(name, RemoteHost(f"unix://{tmp_path / name}", "tts")) for name in workers]
        async with started(together("tts", voices)) as group:
            engine, told, moves, served = Engine(), Told(), [], []
            made = work(engine, Mouth(group, AGENT, tmp_path / "cache"), told, moves, served)
            later = time.monotonic() + 20
            made.start(cmd.Synthesize(1, 1, "answer", "One moment.", time.monotonic(), later))
            await told.until(ev.SegmentReady)
            workers["first"].kill()
            workers["first"].wait()
            for segment in (2, 3, 4):
                made.start(cmd.Synthesize(segment, 2, "answer", f"Clause {segment}.", time.monotonic(), later))
            async with asyncio.timeout(15):
                while len(told) < 4 or "does not answer" not in caplog.text:  # noqa: ASYNC110 - a list has no event
                    await asyncio.sleep(0.02)
            assert all(isinstance(event, ev.SegmentReady) for event in told)
            assert [(move.kind, move.old, move.new) for move in moves] == [("tts", "first", "second")]
            assert served == [(1, "tts", "first")] + [(2, "tts", "second")] * 3
            levels = [record.levelno for record in caplog.records if "does not answer" in record.message]
            assert levels[-1] == logging.WARNING
            await made.close()
    finally:
        for worker in workers.values():
            worker.kill()
            worker.wait()


@pytest.mark.parametrize(("deadlines", "due"), [(True, DUE), (False, dict.fromkeys(DUE, IN_ORDER))])
async def test_with_deadlines_off_every_request_is_equally_urgent(
    tmp_path: Path, deadlines: bool, due: dict[str, float]
) -> None:
    engine, told = Engine(), Told()
    made = work(engine, Mouth(engine, AGENT, tmp_path), told, [], deadlines=deadlines)
    later = time.monotonic() + 9
    made.start(cmd.Transcribe(1, 1, "final", DUE["stt"], later))
    made.start(cmd.Generate(2, 1, (Message("user", "Hi."),), 20, DUE["llm"], later))
    made.start(cmd.Synthesize(3, 1, "answer", "Words.", DUE["tts"], later))
    for kind in (ev.TranscriptReady, ev.ModelDone, ev.SegmentReady):
        await told.until(kind)
    made.defer(99.0)
    assert engine.due == due
    assert engine.deferred == ([99.0] if deadlines else [])
    made.start(cmd.Transcribe(4, 2, "partial", math.inf, later))
    await asyncio.sleep(0.05)
    assert engine.due["stt"] == (math.inf if deadlines else IN_ORDER)
    await made.close()


async def test_the_call_is_told_when_it_goes_on_with_another_engine_and_keeps_that(tmp_path: Path) -> None:
    async with (
        serving(tmp_path, a="empty", b="well") as (a, b),
        started(together("tts", [tts(a), tts(b)])) as group,
    ):
        moves: list[list[Move]] = [[], []]
        for number in (0, 1):  # the second call begins where the first one went, and is told why
            engine, told = Engine(), Told()
            made = work(engine, Mouth(group, AGENT, tmp_path / "cache"), told, moves[number])
            for segment in (1, 2):
                later = time.monotonic() + 9
                made.start(cmd.Synthesize(segment, 1, "answer", f"Words {segment}.", time.monotonic(), later))
                await told.until(ev.SegmentReady)
                told.clear()
            await made.close()
        assert moves == [[Move("tts", "a", "b", "garbage")]] * 2
        assert len(a.asked) == 1


class Judge:
    """A judge of turns; `gives` is a probability, or a cause to fail for."""

    name = "judge"

    def __init__(self, gives: float | str, *, ready: bool = True) -> None:
        self.gives, self.ready = gives, ready
        self.asked: list[tuple[int, int, float, float]] = []

    async def start(self) -> None: ...
    async def stop(self) -> None: ...

    async def judge(self, pcm: bytes, *, rate: int, deadline: float, give_up: float) -> float:
        self.asked.append((len(pcm), rate, deadline, give_up))
        if isinstance(self.gives, str):
            raise EngineError("turn", self.name, self.gives)
        await asyncio.sleep(0.01)
        return self.gives


async def test_a_turn_is_judged_by_what_was_said_of_it(tmp_path: Path) -> None:
    engine, told, judge = Engine(), Told(), Judge(0.1234)
    made = work(engine, Mouth(engine, AGENT, tmp_path), told, [], judge=judge)
    made.start(cmd.JudgeTurn(1, 1, 5.0))
    made.start(cmd.JudgeTurn(2, 1, 6.0))  # the pause before is over
    await told.until(ev.TurnJudged)
    await asyncio.sleep(0.05)
    assert told == [ev.TurnJudged(2, 0.123)]
    assert judge.asked[-1] == (0, RATE, 6.0, 6.0)
    await made.close()


@pytest.mark.parametrize("judge", [None, Judge("timeout"), Judge(0.5, ready=False)], ids=["none", "fails", "starts"])
async def test_without_a_judgement_nothing_is_told(tmp_path: Path, judge: Judge | None) -> None:
    engine, told = Engine(), Told()
    made = work(engine, Mouth(engine, AGENT, tmp_path), told, [], judge=judge)
    made.start(cmd.JudgeTurn(1, 1, 5.0))
    await asyncio.sleep(0.05)
    assert told == []
    await made.close()

"""A call of our own, as a PBX would make it: the one check that says whether a caller would be served."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from voicebridge.audio.measure import voiced_spans
from voicebridge.cli.checks.engines import BUSY, WORDS_NEEDED, WORDS_RIGHT, words_right
from voicebridge.cli.checks.finding import Finding, State, Tell
from voicebridge.cli.checks.listening import Port
from voicebridge.cli.testcall import DaemonFailed, recorded_sentence, running_daemon, wait_for_record
from voicebridge.config import Settings
from voicebridge.phone import Heard, Phone, PhoneError
from voicebridge.trace.render import percentile
from voicebridge.trace.store import CallStore

GREETING_S = 1.5
GAP_BUDGET_S, GAP_AIM_S = 1.5, 0.75
FRAME_GAP_AIM_S, FRAME_GAP_LIMIT_S = 0.04, 0.2
LOG = "voicebridge --log-level debug run, with the same --config, shows why"


def check(settings: Settings, config: Path | None, seen: Port, tell: Tell) -> Iterator[Finding]:
    """To the daemon that serves, else to one that is started for it on a free port of loopback."""
    host, port, store = seen.host, seen.port, settings.config.store.dir
    with ExitStack() as stack:
        if seen.holder != "voicebridge":
            tell("starting a daemon for a test call")
            try:
                port, store = stack.enter_context(running_daemon(config))
            except DaemonFailed as error:
                last = next((line for line in reversed(error.log.splitlines()) if line.strip()), "")
                yield Finding("self-call", "fail", f"{error}: {last}", LOG)
                return
            host = "127.0.0.1"
        tell("making a test call (some 15 s)")
        try:
            heard = asyncio.run(Phone(host, port).call([recorded_sentence()]))
        except PhoneError as error:
            yield Finding("self-call", "fail", str(error), LOG)
            return
        record = wait_for_record(CallStore(store, keep_days=1), heard.call_id) if heard.lines else None
    yield from judge(settings, heard, record)


def judge(settings: Settings, heard: Heard, record: dict[str, Any] | None) -> Iterator[Finding]:
    """What is to be said of a call with the recorded sentence and what the daemon recorded of it."""
    if not heard.lines:
        found = f"the daemon ended the call after {heard.seconds:.1f} s: full, shutting down, or in trouble"
        yield Finding("self-call", "fail", found, "journalctl -u voicebridge, or the log of voicebridge run")
        return
    yield _greeting(settings, heard)
    english = settings.default_agent.language.lower().startswith("en")
    yield _transcript(heard, record, english=english)
    yield _answer(heard, record)
    yield _frames(heard)


def _greeting(settings: Settings, heard: Heard) -> Finding:
    check = "self-call: greeting"
    before = bytes(heard.agent[: round(heard.lines[0].first_voice * heard.rate) * 2])
    spans = voiced_spans(before, heard.rate)
    wanted = bool(settings.default_agent.greeting)
    if not spans:
        return Finding(check, "fail" if wanted else "ok", "none was heard" if wanted else "none is configured",
                       LOG if wanted else "")
    begins = spans[0][0] / heard.rate
    late = begins > GREETING_S
    found = f"heard, {begins:.2f} s after the call began"
    return Finding(check, "warn" if late else "ok", found, BUSY if late else "")


def _transcript(heard: Heard, record: dict[str, Any] | None, *, english: bool) -> Finding:
    check = "self-call: transcript"
    if record is None:
        found = f"no record of call {heard.call_id} can be read here: the daemon has another store, or another user"
        return Finding(check, "skip", found, "run doctor as the daemon's user and with its --config")
    said = " ".join(turn["caller"] for turn in record["turns"] if turn["caller"])
    right = words_right(heard.lines[0].line.label, said)
    language = "the recorded sentence is English; is the engine? See `engine stt` above"
    state: State = "ok" if right >= WORDS_RIGHT else "fail" if english and right < WORDS_NEEDED else "warn"
    return Finding(check, state, f"{right:.0%} of the words right", "" if state == "ok" else language)


def _answer(heard: Heard, record: dict[str, Any] | None) -> Finding:
    check, gap = "self-call: answer", heard.lines[0].gap
    if gap is None:
        return Finding(check, "fail", "the recorded sentence got no answer", LOG)
    sources = [turn["source"] for turn in record["turns"] if turn["gap_s"] is not None] if record else []
    by = f", by {sources[0]}" if sources else ""
    state: State = "ok" if gap <= GAP_AIM_S else "warn" if gap <= GAP_BUDGET_S else "fail"
    found = f"{gap:.2f} s after the caller's last voice{by} (aim {GAP_AIM_S} s, budget {GAP_BUDGET_S} s)"
    return Finding(check, state, found, "" if state == "ok" else BUSY)


def _frames(heard: Heard) -> Finding:
    check, gaps = "self-call: frames", heard.frame_gaps()
    if not gaps:
        return Finding(check, "fail", "no audio came", LOG)
    p99 = percentile(gaps, 99)
    state: State = "ok" if p99 <= FRAME_GAP_AIM_S else "warn" if p99 <= FRAME_GAP_LIMIT_S else "fail"
    found = f"gap between two p99 {p99 * 1000:.0f} ms, longest {max(gaps) * 1000:.0f} ms (20 ms is ideal)"
    return Finding(check, state, found, "" if state == "ok" else BUSY)

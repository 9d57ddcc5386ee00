"""Whole calls on real engines over the real wire: what is said, when, and what is kept of it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import subprocess
import sys
import wave
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import uvloop

from bench.calls import MODEL_QUESTIONS, Round, lines
from bench.faults import worker_pids
from voicebridge.audio.measure import last_voiced, longest_silence, voiced_spans
from voicebridge.audio.resample import resample_segment
from voicebridge.cli.testcall import demo_lines, recorded_sentence, running_daemon, wait_for_record
from voicebridge.conversation.backchannel import words
from voicebridge.phone import Line, Phone
from voicebridge.trace.store import CallStore

pytestmark = pytest.mark.models

SLACK_S = 0.7
"""For a busy machine."""
SILENCE_S = 1.5
DESK = """
name = "desk"
greeting = "Hello, this is the desk."
instructions = "You answer the telephone of a bicycle shop. Answer in one short sentence."
[[rules]]
name = "menu"
dtmf = "1"
say = ["You pressed one. We are open from nine to five."]
[lines]
no_input = ["Are you still there?"]
no_input_end = "I will hang up now. Goodbye."
[limits]
no_input_s = 1.2
no_input_limit = 1
call_s = 40
"""
BRIEF = """
name = "brief"
greeting = "Hello."
model_scope = "none"
[lines]
too_long = "I have to end our call now. Goodbye."
[limits]
call_s = 3.0
"""


def config(folder: Path, agent: str) -> Path:
    name = re.search('name = "(.*)"', agent).group(1)
    (folder / "agents").mkdir()
    (folder / "agents" / f"{name}.toml").write_text(agent)
    (folder / "vb.toml").write_text(f'default_agent = "{name}"\n')
    return folder / "vb.toml"


@dataclass(frozen=True)
class Talk:
    """A call that was made: what its phone heard, what the daemon recorded, and where the daemon keeps it."""

    round: Round
    store: Path

    @property
    def heard(self):
        return self.round.heard

    @property
    def record(self) -> dict[str, Any]:
        assert self.round.record is not None
        return self.round.record

    def file(self, suffix: str) -> Path:
        return CallStore(self.store, keep_days=1).path(self.heard.call_id, suffix)

    def said(self) -> list[dict[str, Any]]:
        return [piece for turn in self.record["turns"] for piece in turn["said"] if piece["at"] is not None]

    def track(self, begin: float, end: float | None = None) -> bytes:
        first = self.heard.position(begin)
        last = len(self.heard.agent) // 2 if end is None else self.heard.position(end)
        return bytes(self.heard.agent[2 * first : 2 * last])

    def voice_ends(self) -> float:
        """When the agent's last word had been heard."""
        return self.heard.moment(last_voiced(bytes(self.heard.agent), self.heard.rate))


def talk(daemon, asked: list[Line], *, phone=Phone, rate: int = 8_000, **options) -> Talk:
    port, store = daemon
    heard = uvloop.run(phone("127.0.0.1", port, rate=rate).call(asked, **options))
    return Talk(Round(heard, wait_for_record(CallStore(store, keep_days=1), heard.call_id)), store)


# ---- one whole conversation with the demo agent


@pytest.fixture(scope="module")
def demo():
    with running_daemon(None, ["--agent", "demo", "--record", "--event-log"]) as (port, store):
        yield port, store


@pytest.fixture(scope="module")
def conversation(demo) -> Talk:
    """Small talk, a question that a rule answers, one that none does, goodbye. Nobody is interrupted."""
    return talk(demo, [Line(line.label, line.pcm) for line in demo_lines()])


def test_greeting_rule_unknown_small_talk_and_goodbye(conversation):
    chat, service, unknown, goodbye = (turns for _, turns in conversation.round.turns())
    assert conversation.said()[0]["kind"] == "greeting"
    assert (chat[0]["source"], service[0]["source"], service[0]["rule"]) == ("model", "rule", "service")
    assert "$45" in service[0]["said"][0]["heard"]
    admitted = " ".join(piece["heard"] for piece in unknown[0]["said"]).lower()
    assert "don't know" in admitted or "don't have that information" in admitted
    assert (goodbye[0]["rule"], goodbye[0]["said"][-1]["kind"]) == ("goodbye", "goodbye")
    assert all(piece["complete"] and piece["heard"] == piece["text"] for piece in conversation.said())


def test_every_line_is_answered_and_soon(conversation):
    assert len(conversation.heard.lines) == 4
    for line in conversation.heard.lines:
        assert line.gap is not None and line.gap <= SILENCE_S + SLACK_S, line.line.label


def test_the_daemon_hangs_up_after_its_last_word(conversation):
    assert (conversation.heard.ended_by, conversation.record["outcome"]) == ("agent", "hangup")
    assert conversation.record["ended_by"] == "rule_goodbye"
    assert conversation.said()[-1]["complete"]
    assert 0.0 <= conversation.heard.arrivals[-1] - conversation.voice_ends() < 1.0
    last = conversation.round.turns()[-1][0]
    spoken = voiced_spans(conversation.track(last.last_voice), 8_000, join_s=0.3)
    assert sum(end - begin for begin, end in spoken) / 8_000 > 1.5  # "Thank you for calling Northgate Cycles. Goodbye."


def test_the_event_log_replays_to_the_same_decisions(conversation):
    done = subprocess.run(
        [sys.executable, "-m", "voicebridge", "replay", "--quiet", str(conversation.file(".events.jsonl"))],
        capture_output=True, text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    count = len(conversation.file(".events.jsonl").read_text().splitlines()) - 1
    assert f"{count} events replayed: the same decisions" in done.stdout
    assert count > 30


def test_the_recording_has_both_sides_at_their_times(conversation):
    with wave.open(str(conversation.file(".wav"))) as wav:
        assert (wav.getnchannels(), wav.getframerate()) == (2, 8_000)
        both = np.frombuffer(wav.readframes(wav.getnframes()), "<i2").reshape(-1, 2)
    assert len(both) / 8_000 == pytest.approx(conversation.record["seconds"], abs=0.5)
    for side, track in ((0, conversation.heard.caller), (1, conversation.heard.agent)):
        recorded = voiced_spans(both[:, side].tobytes(), 8_000, join_s=0.5)
        on_the_wire = voiced_spans(bytes(track), 8_000, join_s=0.5)
        assert len(recorded) == len(on_the_wire) >= 4
        for (first, end), (wire_first, wire_end) in zip(recorded, on_the_wire, strict=True):
            assert (first / 8_000, end / 8_000) == pytest.approx((wire_first / 8_000, wire_end / 8_000), abs=0.3)


def test_files_of_calls_are_for_the_owner_only(conversation):
    for suffix in (".wav", ".events.jsonl"):
        assert conversation.file(suffix).stat().st_mode & 0o077 == 0, suffix
    assert (conversation.store / "calls.db").stat().st_mode & 0o077 == 0


def test_the_logs_hold_nothing_that_was_said(conversation):
    log = (conversation.store.parent / "daemon.log").read_text()
    assert conversation.heard.call_id in log
    known = " ".join(words(log))
    said = [piece["text"] for piece in conversation.said()] + [turn["caller"] for turn in conversation.record["turns"]]
    runs = [words(text)[at : at + 3] for text in said for at in range(len(words(text)) - 2)]
    assert len(runs) > 40
    assert [run for run in runs if f" {' '.join(run)} " in f" {known} "] == []


# ---- an agent of our own, with short limits


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    with running_daemon(config(tmp_path_factory.mktemp("desk"), DESK)) as (port, store):
        yield port, store


def test_who_says_nothing_is_asked_and_then_said_goodbye_to(desk):
    made = talk(desk, [], linger_s=20.0, phone=Patient)
    assert [piece["kind"] for piece in made.said()] == ["greeting", "prompt", "goodbye"]
    assert all(piece["complete"] for piece in made.said())
    assert (made.heard.ended_by, made.record["outcome"], made.record["ended_by"]) == ("agent", "hangup", "no_input")
    greeting, prompt, goodbye = voiced_spans(bytes(made.heard.agent), 8_000, join_s=0.6)
    assert (prompt[0] - greeting[1]) / 8_000 == pytest.approx(1.2, abs=SLACK_S)
    assert (goodbye[0] - prompt[1]) / 8_000 == pytest.approx(1.2, abs=SLACK_S)
    assert made.heard.arrivals[-1] - made.voice_ends() < 1.0


class Patient(Phone):
    """Says nothing and waits until the agent hangs up, `linger_s` at most."""

    async def _talk(self, lines, linger_s):
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._closed.wait(), linger_s)


class Presses(Phone):
    """Presses 1 in the middle of the greeting."""

    async def _talk(self, lines, linger_s):
        await self._until_agent_speaks_for(0.5)
        self._client.send_dtmf("1")
        await self._until_agent_has_finished(after=self._now() + 0.5)
        await asyncio.sleep(linger_s)


def test_a_key_is_answered_by_its_rule_in_the_middle_of_the_greeting(desk):
    made = talk(desk, [], phone=Presses, linger_s=0.2)
    greeting, answer = made.said()
    assert greeting["kind"] == "greeting" and not greeting["complete"]
    assert answer["text"] == answer["heard"] == "You pressed one. We are open from nine to five."
    assert answer["at"] - greeting["at"] == pytest.approx(0.5, abs=0.5)


def test_16_khz_is_spoken_both_ways(desk):
    question = recorded_sentence()
    wide = Line(question.label, resample_segment(question.pcm, 8_000, 16_000))
    made = talk(desk, [wide], rate=16_000, linger_s=0.2)
    (line, turns) = made.round.turns()[0]
    assert made.record["rate"] == 16_000
    assert line.gap is not None
    assert len(set(words(turns[0]["caller"])) & set(words(question.label))) >= 4
    spectrum = np.abs(np.fft.rfft(np.frombuffer(bytes(made.heard.agent), "<i2").astype(float)))
    above_4_khz = spectrum[len(spectrum) // 2 :]
    assert np.sum(above_4_khz**2) > 1e-4 * np.sum(spectrum**2)  # not 8 kHz speech, stretched


def test_a_slow_model_is_covered_never_silent_and_said_once(desk):
    asked = lines(MODEL_QUESTIONS)[0]
    stalled = worker_pids(os.getpid())["llama_server"]

    class Stalling(Phone):
        """The model stands still for 3 s, from shortly before the caller has finished."""

        async def _say(self, line):
            loop = asyncio.get_running_loop()
            loop.call_later(len(line.pcm) / 16_000 - 0.3, os.kill, stalled, signal.SIGSTOP)
            loop.call_later(len(line.pcm) / 16_000 + 2.7, go_on)
            return await super()._say(line)

    def go_on() -> None:
        with contextlib.suppress(ProcessLookupError):  # the supervisor may have replaced it by now
            os.kill(stalled, signal.SIGCONT)

    try:
        made = talk(desk, [asked], phone=Stalling, linger_s=5.0)
    finally:
        go_on()
    (line, turns) = made.round.turns()[0]
    said = [piece for turn in turns for piece in turn["said"] if piece["at"] is not None]
    assert said[0]["kind"] == "filler"
    answers = [piece for piece in said if piece["kind"] == "answer"]
    assert answers and answers[0]["at"] - line.last_voice <= 5.0 + SLACK_S
    assert line.gap is not None and line.gap <= SILENCE_S + SLACK_S
    waiting = made.track(line.last_voice, answers[0]["at"] + 0.5)
    assert longest_silence(waiting, 8_000) <= SILENCE_S + SLACK_S
    texts = [piece["text"] for piece in answers]
    assert len(texts) == len(set(texts))


def test_a_call_has_a_longest_time(tmp_path):
    long_story = Line("long story", b"".join(line.pcm for line in lines(MODEL_QUESTIONS)[:4]))
    with running_daemon(config(tmp_path, BRIEF)) as daemon:
        made = talk(daemon, [long_story], linger_s=5.0)
        assert (made.heard.ended_by, made.record["outcome"], made.record["ended_by"]) == (
            "agent", "fallback", "call_length"
        )
        assert made.said()[-1]["text"] == "I have to end our call now. Goodbye."
        assert made.said()[-1]["complete"]
        assert made.said()[-1]["at"] == pytest.approx(3.0, abs=SLACK_S)
        assert made.record["seconds"] < 8.0

"""A caller on a speakerphone: the agent's voice comes back, in the ear alone and in whole calls."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from bench.speakerphone import Room, agent_file, call, echo_of, frames, mu_law, pauses, to_pcm
from voicebridge.audio.echo import EchoGuard
from voicebridge.audio.pcm import silence
from voicebridge.call.hearing import Hearing
from voicebridge.cli.testcall import demo_lines, recorded_sentence, running_daemon
from voicebridge.conversation import events as ev
from voicebridge.engines.base import Transcript

RATE = 8_000
ROOM = (0.18, -14.0)


class Recogniser:
    """Keeps what it is given, and hears words in anything."""

    def __init__(self) -> None:
        self.begun: list[int] = []
        self.fed = b""

    def begin(self, utterance, phrases=()) -> None:
        self.begun.append(utterance)
        self.fed = b""

    def feed(self, pcm: bytes) -> None:
        self.fed += pcm

    async def transcribe(self, **_) -> Transcript:
        return Transcript(self.begun[-1], "you", len(self.fed) // 2, 0.0, 0.0)

    async def close(self) -> None:
        pass


def agent() -> bytes:
    lines = demo_lines()
    return b"".join(lines[index].pcm + silence(0.4, RATE) for index in (3, 1, 0))


def listen(guarded: bool) -> tuple[Recogniser, Hearing, list]:
    """The agent's own voice and nothing else; the core opens an utterance for every voice."""
    stt = Recogniser()
    hearing, told = Hearing(stt, RATE, EchoGuard(RATE) if guarded else None), []
    came = to_pcm(mu_law(echo_of(agent(), Room(*ROOM, seed=3))))
    for ours, theirs in zip(frames(agent()), frames(came), strict=True):
        hearing.played(ours)
        for event in hearing.hear(theirs):
            told.append(event)
            if isinstance(event, ev.SpeechStarted):
                hearing.begin(len(stt.begun) + 1)
    return stt, hearing, told


async def test_what_was_taken_for_a_voice_before_the_echo_was_found_is_taken_back():
    stt, hearing, told = listen(guarded=True)
    began = [event for event in told if isinstance(event, ev.SpeechStarted)]
    assert len(began) <= 1 < len([e for e in listen(guarded=False)[2] if isinstance(e, ev.SpeechStarted)])
    if began:
        assert isinstance(told[-1], ev.SpeechStopped) and told[-1].voiced == 0.0
        assert (await hearing.transcribe(deadline=1.0, give_up=2.0)).text == ""
        assert not any(stt.fed)


async def test_who_speaks_after_the_echo_was_found_is_heard_whole():
    stt, hearing, _ = listen(guarded=True)
    voice, before = recorded_sentence().pcm, len(stt.begun)
    for frame in frames(silence(0.9, RATE) + voice + silence(0.3, RATE)):
        hearing.played(bytes(len(frame)))
        for event in hearing.hear(frame):
            if isinstance(event, ev.SpeechStarted) and len(stt.begun) == before:
                hearing.begin(99)
    assert (await hearing.transcribe(deadline=1.0, give_up=2.0)).text == "you"
    assert voice[RATE // 2 : -RATE // 2] in stt.fed


@pytest.mark.models
@pytest.mark.parametrize("guard", ["off", "auto"])
def test_an_agent_interrupts_itself_only_without_the_guard(guard):
    with tempfile.TemporaryDirectory() as folder:
        config = agent_file(Path(folder), guard)
        with running_daemon(config, ["--agent", "demo", "--event-log"]) as (port, store):
            record = call(port, store, Room(*ROOM, seed=3), [recorded_sentence()])
            stopped = pauses(store, record["call_id"])
    heard = [turn["caller"] for turn in record["turns"] if turn["caller"]]
    if guard == "off":
        assert stopped >= 6 and len(heard) >= 3, "it takes its own words for the caller's"
    else:
        assert stopped <= 4  # before the echo was found, and what a busy machine adds
        assert any(turn.get("rule") == "service" for turn in record["turns"])

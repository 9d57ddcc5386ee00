"""A peer that sends no frames while its caller is silent (DTX, hold): the caller's turn must end all the same."""

from __future__ import annotations

import wave
from collections.abc import Sequence
from pathlib import Path

import pytest

from voicebridge.audio.measure import last_voiced
from voicebridge.call.hearing import MUTE_TICKS, Hearing
from voicebridge.conversation import events as ev

SPEECH = Path(__file__).parents[1] / "audio" / "speech" / "2.wav"
RATE, FRAME = 8_000, 320
Told = list[tuple[int, ev.SpeechStarted | ev.SpeechStopped]]


class NoRecogniser:
    def begin(self, utterance: int, phrases: Sequence[str] = ()) -> None: ...
    def feed(self, pcm: bytes) -> None: ...


def sentence() -> bytes:
    with wave.open(str(SPEECH), "rb") as wav:
        return wav.readframes(wav.getnframes())


def hear(frames: list[bytes]) -> Told:
    """A frame (or none) and a tick, every 20 ms; what was told, by the number of the tick."""
    hearing, told = Hearing(NoRecogniser(), RATE), []
    for number, frame in enumerate(frames):
        told += [(number, event) for event in (hearing.hear(frame) if frame else [])]
        told += [(number, event) for event in hearing.tick()]
    return told


def frames_of(pcm: bytes) -> list[bytes]:
    return [pcm[at : at + FRAME] for at in range(0, len(pcm) // FRAME * FRAME, FRAME)]


def test_frames_that_stop_in_the_middle_of_a_voice_end_it():
    spoken = frames_of(sentence())[:60]  # 1.2 s of 2.3: in the middle of a word
    told = hear([*spoken, *[b""] * 50])
    assert [type(event) for _, event in told] == [ev.SpeechStarted, ev.SpeechStopped]
    number, stopped = told[-1]
    assert 60 + MUTE_TICKS - 2 <= number <= 60 + MUTE_TICKS + 5
    last = (last_voiced(b"".join(spoken), RATE) or 0) / RATE
    heard_at = number * 0.02 + 0.02
    assert heard_at - stopped.ago == pytest.approx(last, abs=0.06), "where the voice ended"


def test_no_frames_at_all_are_no_voice():
    assert hear([b""] * 200) == []


def test_a_line_that_is_silent_between_sentences_is_heard_like_one_that_sends_silence():
    spoken = frames_of(sentence())
    sent = hear([*spoken, *[bytes(FRAME)] * 60, *spoken, *[bytes(FRAME)] * 60])
    mute = hear([*spoken, *[b""] * 60, *spoken, *[b""] * 60])
    assert [type(event) for _, event in mute] == [type(event) for _, event in sent]
    for (_, a), (_, b) in zip(mute, sent, strict=True):
        if isinstance(a, ev.SpeechStopped) and isinstance(b, ev.SpeechStopped):
            assert a.voiced == pytest.approx(b.voiced, abs=0.1)


@pytest.mark.parametrize("late", [2, 5, MUTE_TICKS - 2])
def test_frames_that_come_late_and_at_once_do_not_end_a_voice(late: int):
    spoken = frames_of(sentence())
    stalled = [*spoken[:50], *[b""] * late, b"".join(spoken[50 : 50 + late + 1]), *spoken[51 + late :]]
    kinds = [type(event) for _, event in hear([*stalled, *[bytes(FRAME)] * 20])]
    assert kinds == [type(event) for _, event in hear([*spoken, *[bytes(FRAME)] * 20])]

"""Voice activity on recorded speech, noise, tones and silence, against the offline definition of `measure`."""

from __future__ import annotations

import itertools
import wave
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voicebridge.audio.measure import voiced_spans
from voicebridge.audio.resample import resample_segment
from voicebridge.audio.vad import SpeechStarted, SpeechStopped, VoiceActivityDetector

SPEECH = sorted((Path(__file__).parent / "speech").glob("*.wav"))  # the voice "rms" of flite, see NOTICE
RATES = (8_000, 16_000)
Changes = list[tuple[str, float, float]]  # what, where it lies, when it was told (seconds)


@cache
def spoken(number: int, rate: int) -> np.ndarray:
    """One of the recorded sentences between two stretches of a second of digital silence."""
    with wave.open(str(SPEECH[number]), "rb") as wav:
        pcm = resample_segment(wav.readframes(wav.getnframes()), wav.getframerate(), rate)
    return np.concatenate((np.zeros(rate), np.frombuffer(pcm, "<i2").astype(float), np.zeros(rate)))


def as_pcm(sound: np.ndarray) -> bytes:
    return np.clip(sound, -32768, 32767).astype("<i2").tobytes()


def detect(sound: np.ndarray, rate: int, detector: VoiceActivityDetector | None = None) -> Changes:
    """Fed as a PBX does, 20 ms at a time."""
    detector = detector or VoiceActivityDetector(rate)
    pcm, step, found = as_pcm(sound), rate // 50 * 2, []
    for at in range(0, len(pcm), step):
        for change in detector.feed(pcm[at : at + step]):
            began = isinstance(change, SpeechStarted)
            where = change.at_sample if began else change.last_voice_sample
            found.append(("on" if began else "off", where / rate, (at + step) / 2 / rate))
    return found


def noise(sound: np.ndarray, snr_db: float, rate: int) -> np.ndarray:
    loudness = float(np.sqrt(np.mean(sound[rate:-rate] ** 2)))
    return np.random.default_rng(3).normal(size=len(sound)) * loudness * 10 ** (-snr_db / 20)


def truth(sound: np.ndarray, rate: int) -> tuple[float, float]:
    spans = voiced_spans(as_pcm(sound), rate)
    return spans[0][0] / rate, spans[-1][1] / rate


def voice_within(changes: Changes) -> float:
    """Seconds that were called voice."""
    return sum(off[1] - on[1] for on, off in zip(changes[::2], changes[1::2], strict=True))


def test_there_is_speech_to_test_with():
    assert len(SPEECH) >= 5


# ---- speech

@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("number", range(5))
def test_on_a_quiet_line_begin_and_end_lie_where_the_energy_does(number: int, rate: int):
    sound = spoken(number, rate)
    first, last = truth(sound, rate)
    found = detect(sound, rate)
    assert [what for what, *_ in found] == ["on", "off"] * (len(found) // 2)
    assert len(found) <= 6, "a pause between words is no new sentence"
    assert found[0][1] == pytest.approx(first, abs=0.05)
    assert found[-1][1] == pytest.approx(last, abs=0.02)
    assert found[0][2] - first <= 0.35, "told while he speaks: barge-in depends on it"
    assert found[-1][2] - last <= 0.12, "the end is told at once: the response gap depends on it"
    assert voice_within(found) >= 0.8 * (last - first)


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("snr_db", [20, 10, 5])
@pytest.mark.parametrize("number", [0, 1, 2])
def test_in_noise_the_sentence_is_found_as_one(number: int, snr_db: int, rate: int):
    sound = spoken(number, rate)
    first, last = truth(sound, rate)
    found = detect(sound + noise(sound, snr_db, rate), rate)
    assert found[0][0] == "on"
    assert found[-1][0] == "off"
    assert len(found) <= 4
    assert found[0][1] == pytest.approx(first, abs=0.25)
    assert found[-1][1] == pytest.approx(last, abs=0.30)


@pytest.mark.parametrize("level_db", [-6, -12, -18])
def test_a_soft_voice_is_found_too(level_db: int):
    sound = spoken(1, 8_000) * 10 ** (level_db / 20)
    first, last = truth(sound, 8_000)
    found = detect(sound, 8_000)
    assert found[0][1] == pytest.approx(first, abs=0.15)
    assert found[-1][1] == pytest.approx(last, abs=0.05)


def test_a_clipped_voice_is_found_too():
    sound = spoken(2, 8_000) * 8
    found = detect(sound, 8_000)
    first, last = truth(sound, 8_000)
    assert found[0][1] == pytest.approx(first, abs=0.05)
    assert found[-1][1] == pytest.approx(last, abs=0.05)


def test_two_sentences_on_one_line_are_two():
    sound = np.concatenate((spoken(0, 8_000), spoken(3, 8_000)))
    gap_begins, gap_ends = truth(spoken(0, 8_000), 8_000)[1], truth(spoken(3, 8_000), 8_000)[0]
    gap_ends += len(spoken(0, 8_000)) / 8_000
    found = detect(sound, 8_000)
    long_pauses = [(a[1], b[1]) for a, b in zip(found[1::2], found[2::2], strict=False) if b[1] - a[1] > 1.0]
    assert long_pauses == [(pytest.approx(gap_begins, abs=0.05), pytest.approx(gap_ends, abs=0.05))]


@pytest.mark.parametrize("pause_s", [0.2, 0.5, 1.2, 3.0])
def test_a_pause_within_what_he_says_ends_and_begins_where_the_energy_does(pause_s: float):
    one = spoken(3, 8_000)[8_000:-8_000]
    silence = np.zeros(round(pause_s * 8_000))
    sound = np.concatenate((np.zeros(4_000), one, silence, one, np.zeros(4_000)))
    spans = voiced_spans(as_pcm(sound), 8_000, join_s=0.15)
    found = detect(sound, 8_000)
    ends = [where for what, where, _ in found if what == "off"]
    begins = [where for what, where, _ in found if what == "on"]
    assert any(abs(end - spans[0][1] / 8_000) < 0.03 for end in ends)
    assert any(abs(begin - spans[1][0] / 8_000) < 0.05 for begin in begins)


# ---- lines that go silent

def test_dtx_that_cuts_to_digital_silence_ends_the_voice_there():
    sound = spoken(2, 8_000).copy()
    sound[2 * 8_000 :] = 0.0
    found = detect(sound, 8_000)
    assert found[-1][0] == "off"
    assert found[-1][1] <= 2.01
    assert found[-1][2] <= 2.12


@pytest.mark.parametrize("level", [3, 10, 25])
def test_comfort_noise_instead_of_silence_changes_nothing(level: int):
    sound = spoken(1, 8_000)
    comfort = np.random.default_rng(5).normal(size=len(sound)) * level
    quiet = np.abs(sound) < 1
    found = detect(np.where(quiet, comfort, sound), 8_000)
    first, last = truth(sound, 8_000)
    assert found[0][1] == pytest.approx(first, abs=0.1)
    assert found[-1][1] == pytest.approx(last, abs=0.1)


def test_a_minute_of_silence_does_not_dull_it():
    detector = VoiceActivityDetector(8_000)
    assert detect(np.zeros(60 * 8_000), 8_000, detector) == []
    found = detect(spoken(1, 8_000), 8_000, detector)
    assert found[0][1] - 60.0 == pytest.approx(truth(spoken(1, 8_000), 8_000)[0], abs=0.05)


@pytest.mark.parametrize("rate", RATES)
def test_after_a_silence_nothing_is_left_of_what_was_heard_before(rate: int):
    """The network begins afresh, so that no sentence colours the next: it judges the same to the bit."""
    used, fresh = VoiceActivityDetector(rate), VoiceActivityDetector(rate)
    before, after = spoken(2, rate), as_pcm(spoken(0, rate))
    whole_chunks = -len(before) % (16 * rate // 100) + 16 * rate // 100 * 20
    detect(np.concatenate((before, np.zeros(whole_chunks))), rate, used)
    for at in range(0, len(after), rate // 25):
        used.feed(after[at : at + rate // 25])
        fresh.feed(after[at : at + rate // 25])
        assert used.probability == fresh.probability


# ---- what is no voice

def tones(*hz: float, rate: int, seconds: float = 4.0, level: float = 6_000.0) -> np.ndarray:
    time = np.arange(round(seconds * rate)) / rate
    return sum(np.sin(2 * np.pi * f * time) for f in hz) * level


def melody(rate: int) -> np.ndarray:
    """A scale of plucked notes with overtones: what music on hold is made of."""
    time = np.arange(rate // 4) / rate
    notes = [262, 294, 330, 349, 392, 440, 494, 523] * 2
    return np.concatenate(
        [sum(np.sin(2 * np.pi * f * k * time) / k for k in (1, 2, 3, 4)) * 4_000 * np.exp(-6 * time) for f in notes]
    )


def no_voices(rate: int) -> dict[str, np.ndarray]:
    rng, time = np.random.default_rng(11), np.arange(4 * rate) / rate
    clicks = np.zeros(4 * rate)
    clicks[:: rate // 2] = 20_000
    return {
        "digital silence": np.zeros(4 * rate),
        "a constant": np.full(4 * rate, 500.0),
        "dial tone": tones(350, 440, rate=rate),
        "ringing": tones(440, 480, rate=rate) * (time % 3 < 2),
        "busy": tones(480, 620, rate=rate) * (time % 1 < 0.5),
        "keys": tones(770, 1_336, rate=rate) * (time % 0.5 < 0.1),
        "fax": tones(1_100, rate=rate) * (time % 3.5 < 0.5),
        "a chord": tones(261.6, 329.6, 392.0, 523.2, rate=rate, level=3_000) * (0.6 + 0.4 * np.sin(4 * np.pi * time)),
        "a melody": melody(rate),
        "soft hiss": rng.normal(size=4 * rate) * 30,
        "hiss": rng.normal(size=4 * rate) * 1_000,
        "loud hiss": rng.normal(size=4 * rate) * 8_000,
        "clicks": clicks,
        "a bang": np.where(np.arange(4 * rate) // (rate // 20) == 20, rng.normal(size=4 * rate) * 20_000, 0.0),
        "a square wave": np.sign(tones(1_000, rate=rate)) * 8_000,
        "mains hum": tones(50, 150, rate=rate, level=2_000),
    }


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("name", no_voices(8_000))
def test_what_is_no_voice_is_not_taken_for_one(name: str, rate: int):
    assert detect(no_voices(rate)[name], rate) == []


def test_a_voice_right_after_tones_is_found():
    sound = np.concatenate((no_voices(8_000)["ringing"], spoken(1, 8_000)))
    first = truth(spoken(1, 8_000), 8_000)[0] + 4.0
    assert detect(sound, 8_000)[0][1] == pytest.approx(first, abs=0.1)


# ---- the interface

@pytest.mark.parametrize("rate", [0, 11_025, 12_000, 44_100, 48_000])
def test_other_rates_are_refused(rate: int):
    with pytest.raises(ValueError, match="8000 or 16000"):
        VoiceActivityDetector(rate)


def test_nothing_in_nothing_out():
    detector = VoiceActivityDetector(8_000)
    assert [detector.feed(b"") for _ in range(3)] == [[], [], []]


def every_change(pieces: list[bytes], rate: int) -> list[SpeechStarted | SpeechStopped]:
    detector = VoiceActivityDetector(rate)
    return [change for piece in pieces for change in detector.feed(piece)]


@settings(max_examples=8, deadline=None)
@given(cuts=st.lists(st.integers(0, 24_000), max_size=60), rate=st.sampled_from(RATES))
def test_how_the_stream_was_cut_does_not_matter(cuts: list[int], rate: int):
    pcm = as_pcm(spoken(0, rate))
    edges = sorted({0, len(pcm), *(2 * cut for cut in cuts)})
    pieces = [pcm[a:b] for a, b in itertools.pairwise(edges)]
    assert every_change(pieces, rate) == every_change([pcm], rate) != []


def test_two_callers_do_not_hear_each_other():
    one, other = VoiceActivityDetector(8_000), VoiceActivityDetector(8_000)
    pcm, told = as_pcm(spoken(0, 8_000)), []
    for at in range(0, len(pcm), 320):
        told += one.feed(pcm[at : at + 320])
        assert other.feed(bytes(320)) == []
    assert told == every_change([pcm], 8_000)


@settings(max_examples=12, deadline=None)
@given(
    pieces=st.lists(st.tuples(st.sampled_from(["voice", "hiss", "silence", "square"]), st.integers(1, 60)), max_size=8),
    seed=st.integers(0, 99),
)
def test_changes_alternate_and_never_go_back(pieces, seed):
    rate, rng = 8_000, np.random.default_rng(seed)
    voice = spoken(2, rate)[rate:-rate]
    sound = [np.zeros(160)]
    for kind, hundredths in pieces:
        n = hundredths * rate // 50
        at = rng.integers(0, len(voice))
        sound.append(
            {
                "voice": np.resize(np.roll(voice, -at), n),
                "hiss": rng.normal(size=n) * rng.integers(1, 9_000),
                "silence": np.zeros(n),
                "square": np.sign(np.sin(np.arange(n) / 9)) * 30_000,
            }[kind]
        )
    found = detect(np.concatenate(sound), rate)
    assert all(a[0] != b[0] for a, b in itertools.pairwise(found))
    assert not found or found[0][0] == "on"
    for (what, where, told), (_, later, _) in itertools.pairwise(found):
        assert where <= told
        assert where <= later, f"{what} at {where} and then at {later}"

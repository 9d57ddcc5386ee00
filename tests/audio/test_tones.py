"""Keys sound like keys, and the music that one waits by never stops."""

from __future__ import annotations

import numpy as np
import pytest

from tests.tones import tone
from voicebridge.audio.pcm import samples
from voicebridge.audio.tones import GAP_S, TONE_S, Loop, hold_music, keys, under

PAIRS = {"1": (697, 1209), "5": (770, 1336), "0": (941, 1336), "#": (941, 1477), "*": (941, 1209), "D": (941, 1633)}


@pytest.mark.parametrize("rate", [8000, 16000])
@pytest.mark.parametrize("digit", sorted(PAIRS))
def test_a_key_is_its_two_tones(digit, rate):
    made = samples(keys(digit, rate)).astype(float)
    assert len(made) == round(TONE_S * rate) + round(GAP_S * rate)
    spectrum = np.abs(np.fft.rfft(made, 4 * rate))
    strongest = set()
    for _ in range(2):
        peak = int(spectrum.argmax())
        strongest.add(peak / 4)
        spectrum[max(0, peak - 200) : peak + 200] = 0
    assert all(min(abs(hz - found) for found in strongest) < 10 for hz in PAIRS[digit])


def test_what_is_no_key_is_refused():
    with pytest.raises(ValueError, match="'E'"):
        keys("1E", 8000)


@pytest.mark.parametrize("rate", [8000, 16000])
def test_hold_music_is_heard_in_every_frame_also_across_the_loop(rate):
    music = Loop(hold_music(rate))
    frame = rate // 50 * 2
    levels = [np.abs(samples(music.next(frame)).astype(int)).max() for _ in range(50 * 17)]
    assert min(levels) > 150, "-46 dB: faint, but no silence"
    assert max(levels) < 32767 * 0.15


def test_a_loop_gives_what_is_asked_for_and_goes_round():
    loop = Loop(bytes(range(10)))
    assert loop.next(7) + loop.next(7) + loop.next(22) == bytes([n % 10 for n in range(36)])


def test_speech_is_heard_over_ducked_music():
    music, silence = tone(0.02, 8000), bytes(320)
    assert under(music, silence) == music
    loud = np.full(160, 32000, np.int16).tobytes()
    mixed = samples(under(music, loud))
    assert mixed.max() <= 32767
    assert abs(int(mixed.mean()) - 32000) < 900

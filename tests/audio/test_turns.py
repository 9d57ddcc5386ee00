"""Who spoke when, from made recordings whose every moment is known."""

from __future__ import annotations

import numpy as np
import pytest

from voicebridge.audio.turns import measure, spoken

RATE = 8_000


def track(seconds: float, *voices: tuple[float, float], peak: float = 8_000, noise: float = 0.0) -> bytes:
    """A tone from .. to, in seconds; `noise` is white."""
    at = np.arange(round(seconds * RATE)) / RATE
    tone = peak * np.sin(2 * np.pi * 400 * at)
    mask = np.zeros(len(at))
    for begin, end in voices:
        mask[round(begin * RATE) : round(end * RATE)] = 1
    made = tone * mask + noise * np.random.default_rng(1).standard_normal(len(at))
    return made.astype("<i2").tobytes()


def test_a_question_and_its_answer():
    made = measure(track(10, (3, 5)), track(10, (0.5, 2), (5.4, 8)), RATE)
    (one,) = made.exchanges
    assert (one.begins, one.last_voice, one.answer) == pytest.approx((3, 5, 5.4), abs=0.011)
    assert one.gap_s == pytest.approx(0.4, abs=0.011)
    assert one.stop_s is None
    assert made.agent_interrupted == made.words_between == 0


def test_a_pause_that_nobody_answers_belongs_to_what_is_said():
    made = measure(track(10, (3, 4), (5, 6)), track(10, (0.5, 2), (6.3, 8)), RATE)
    (one,) = made.exchanges
    assert (one.begins, one.last_voice) == pytest.approx((3, 6), abs=0.011)
    assert one.gap_s == pytest.approx(0.3, abs=0.011)


def test_pauses_of_the_agent_are_no_answers():
    made = measure(track(10, (3, 4)), track(10, (4.2, 5), (5.6, 6), (7, 8)), RATE)
    assert made.gaps == pytest.approx([0.2], abs=0.011)


def test_an_interruption_is_answered_when_the_agent_has_stopped():
    made = measure(track(12, (3, 5)), track(12, (0.5, 3.4), (5.5, 8)), RATE)
    (one,) = made.exchanges
    assert one.stop_s == pytest.approx(0.4, abs=0.011)
    assert one.gap_s == pytest.approx(0.5, abs=0.011)


def test_a_word_in_between_asks_for_nothing():
    made = measure(track(12, (3, 3.3)), track(12, (0.5, 6)), RATE)
    assert made.exchanges == ()
    assert made.words_between == 1


def test_an_agent_who_begins_too_early_has_no_gap_and_is_counted():
    made = measure(track(12, (3, 6)), track(12, (0.5, 2), (5, 5.5), (6.4, 8)), RATE)
    assert made.agent_interrupted == 1
    assert made.gaps == pytest.approx([0.4], abs=0.011)


def test_a_question_without_an_answer_is_one():
    made = measure(track(12, (3, 5)), track(12, (0.5, 2)), RATE)
    (one,) = made.exchanges
    assert (one.answer, one.gap_s) == (None, None)
    assert made.silences[0].seconds == pytest.approx(7, abs=0.02)
    assert made.silences[0].turn == "agent"


def test_silences_have_an_owner():
    made = measure(track(10, (5, 6)), track(10, (0.5, 2), (6.5, 9.8)), RATE)
    owners = {round(one.at, 1): one.turn for one in made.silences}
    assert owners == {0.0: "agent", 2.0: "caller", 6.0: "agent", 9.8: "caller"}
    assert [one.seconds for one in made.silences] == sorted((one.seconds for one in made.silences), reverse=True)


def test_clicks_and_what_is_far_below_are_no_voice():
    assert spoken(track(3, (1, 1.03)), RATE) == []
    loud = np.frombuffer(track(6, (1, 2)), "<i2") + np.frombuffer(track(6, (4, 5), peak=60), "<i2")
    assert spoken(loud.astype("<i2").tobytes(), RATE) == [pytest.approx((1, 2), abs=0.011)]


def test_a_soft_voice_has_its_own_edges():
    """A word that fades out: by the loudest of the track it would end too early."""
    at = np.arange(2 * RATE) / RATE
    soft = 1_500 * np.sin(2 * np.pi * 400 * at) * np.exp(-3 * at)
    whole = np.concatenate([np.frombuffer(track(2, (0.5, 1.5), peak=20_000), "<i2"), soft, np.zeros(RATE)])
    _, (begin, end) = spoken(whole.astype("<i2").tobytes(), RATE)
    assert begin == pytest.approx(2.0, abs=0.011)
    assert end > 2 + 0.9  # -40 dB of the track is reached after 0.67 s; of the word later (to the edge looked at)


def test_levels():
    made = measure(track(10, (0, 5), peak=16_384), track(10, (6, 7), peak=33_000), RATE)
    assert made.levels["caller"].peak_db == pytest.approx(-6.0, abs=0.1)
    assert made.levels["caller"].voice_db == pytest.approx(-9.0, abs=0.2)
    assert made.levels["caller"].voiced == pytest.approx(0.5, abs=0.01)


def test_tracks_of_nothing_are_measured_too():
    made = measure(b"", b"", RATE)
    assert (made.exchanges, made.silences, made.seconds) == ((), (), 0.0)
    quiet = measure(bytes(2 * RATE), bytes(2 * RATE), RATE)
    assert quiet.silences[0].seconds == pytest.approx(1.0)


@pytest.mark.parametrize("rate", [8_000, 16_000])
def test_the_rate_changes_nothing(rate: int):
    def at_rate(pcm: bytes) -> bytes:
        return np.repeat(np.frombuffer(pcm, "<i2"), rate // RATE).tobytes()

    made = measure(at_rate(track(8, (2, 4))), at_rate(track(8, (4.5, 6))), rate)
    assert made.gaps == pytest.approx([0.5], abs=0.011)

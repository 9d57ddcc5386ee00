"""What a listener heard of an RTP stream: lost, late, doubled and strange packets, and streams that begin anew."""

from __future__ import annotations

import numpy as np
import pytest

from voicebridge.audio.g711 import MU, A
from voicebridge.audio.pcm import samples
from voicebridge.load.reception import Reception
from voicebridge.protocol.rtp import EVENTS, PCMU, Packet, key_pressed

FRAME = 160


def packet(number: int, *, ssrc: int = 1, sequence: int = 0, timestamp: int = 0, value: int | None = None) -> Packet:
    """The nth of a stream; its sound is its number."""
    payload = MU.encode(np.full(FRAME, 100 * (number if value is None else value), "<i2").tobytes())
    return Packet(PCMU, number == 0, (sequence + number) & 0xFFFF, (timestamp + number * FRAME) % 2**32, ssrc, payload)


def fed(order: list[int], **kinds: int) -> Reception:
    made = Reception(10.0)
    for at, number in enumerate(order):
        made.feed(packet(number, **kinds), 10.0 + 0.02 * at)
    return made


def heard(reception: Reception) -> list[int]:
    """The sound of each 20 ms, in hundreds."""
    track, _, _ = reception.track()
    return [round(float(part.mean()) / 100) for part in samples(track).astype(float).reshape(-1, FRAME)]


@pytest.mark.parametrize("begin", [0, 0xFFFD], ids=["from-nought", "over-the-wrap"])
def test_a_stream_that_lacks_nothing(begin: int):
    made = fed([0, 1, 2, 3, 4, 5], sequence=begin, timestamp=2**32 - 200)
    assert heard(made) == [0, 1, 2, 3, 4, 5]
    assert (made.lost, made.duplicates, made.reordered, made.streams) == (0, 0, 0, 1)
    assert made.worst_jitter_s == pytest.approx(0.0, abs=1e-6)


def test_what_was_lost_is_counted_and_leaves_silence_where_it_belongs():
    made = Reception(0.0)
    for number in (0, 1, 4, 5):
        made.feed(packet(number, value=7), 0.02 * number)
    assert made.lost == 2
    assert heard(made) == [7, 7, 0, 0, 7, 7]


def test_a_packet_that_was_overtaken_is_put_in_its_place_and_not_lost():
    made = fed([0, 2, 1, 3])
    assert heard(made) == [0, 1, 2, 3]
    assert (made.lost, made.reordered) == (0, 1)
    _, moments, positions = made.track()
    assert positions == [0, 160, 320, 480]
    assert moments == sorted(moments)


def test_a_packet_that_came_twice_is_heard_once():
    made = fed([0, 1, 1, 2, 2])
    assert heard(made) == [0, 1, 2]
    assert (made.duplicates, made.lost, len(made.arrivals)) == (2, 0, 3)


def test_another_source_begins_where_the_clock_is():
    made = Reception(0.0)
    for number in range(3):
        made.feed(packet(number), 0.02 * number)
    for number in range(2):
        made.feed(packet(number, ssrc=9, sequence=500, timestamp=77, value=5), 0.10 + 0.02 * number)
    assert made.streams == 2
    assert made.lost == 0
    assert heard(made) == [0, 1, 2, 0, 0, 5, 5]


def test_timestamps_that_jump_begin_a_new_stream_and_do_not_blow_up_the_track():
    made = Reception(0.0)
    made.feed(packet(0), 0.0)
    made.feed(packet(1, timestamp=2_000_000), 0.02)
    assert made.streams == 2
    assert len(made.track()[0]) == 2 * 2 * FRAME


def test_jitter_is_that_of_the_rfc():
    made = Reception(0.0)
    for number in range(200):
        made.feed(packet(number), 0.02 * number + (0.008 if number % 2 else 0.0))
    assert made.jitter_s == pytest.approx(0.008, rel=0.01)  # every transit differs by 8 ms from the one before
    steady = Reception(0.0)
    for number in range(200):
        steady.feed(packet(number), 5.0 + 0.02 * number)
    assert steady.worst_jitter_s == pytest.approx(0.0, abs=1e-6)


def test_keys_are_no_sound_and_each_counts_once():
    made = Reception(0.0)
    made.feed(packet(0), 0.0)
    for at, payload in enumerate(key_pressed("7")):
        assert made.feed(Packet(EVENTS, at == 0, 1 + at, 160, 1, payload), 0.02 * (at + 1)) == b""
    made.feed(packet(9), 0.18)
    assert made.keys == [7]
    assert made.lost == 0
    assert heard(made)[0] == 0
    assert len(heard(made)) == 10


def test_a_codec_that_was_not_agreed_on_is_not_heard():
    made = Reception(0.0, A)
    assert made.feed(packet(0), 0.0) == b""
    assert made.foreign == 1
    assert made.track() == (b"", [], [])

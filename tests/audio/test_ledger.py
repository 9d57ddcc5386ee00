"""The playout ledger: every cut is word-accurate, whatever was popped was sent once, and the end is told once."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voicebridge.audio.ledger import (
    REWIND_LIMIT_S,
    Drained,
    Heard,
    PlayoutLedger,
    Segment,
    SegmentFinished,
    SegmentStarted,
)
from voicebridge.audio.pcm import samples

RATE = 8_000
FRAME = 160


def segment(number: int, words: list[tuple[str, int]], *, marked: bool = True, lead: int = 0) -> Segment:
    """Words with their lengths in samples, after `lead` samples of silence; sample n of the words has the value n+1."""
    text, marks, at = "", [], lead
    for word, length in words:
        text += " " if text else ""
        marks.append((len(text), len(text) + len(word), at))
        text += word
        at += length
    voice = np.arange(1, at - lead + 1, dtype="<i2")
    pcm = bytes(2 * lead) + voice.tobytes()
    return Segment(number, 1, "answer", text, tuple(marks) if marked else (), pcm)


FIVE = [("We", 800), ("are", 960), ("open", 1600), ("on", 640), ("Saturdays", 4000)]


def heard_after(sent: int, words: list[tuple[str, int]], lead: int = 0) -> str:
    """What a listener would say he understood: every word of which half was sent."""
    at, said = lead, []
    for word, length in words:
        if sent <= 0 or sent < at + length / 2:
            break
        said.append(word)
        at += length
    return " ".join(said)


def playing(*segments: Segment, rate: int = RATE) -> PlayoutLedger:
    ledger = PlayoutLedger(rate)
    for one in segments:
        ledger.enqueue(one)
    return ledger


# ---- playing

def test_silence_where_nothing_is_to_be_said():
    ledger = PlayoutLedger(RATE)
    assert ledger.pop() == bytes(320)
    assert not ledger.playing
    assert ledger.queued_s == 0.0
    assert ledger.take_events() == []


@pytest.mark.parametrize(("rate", "size"), [(8_000, 320), (16_000, 640)])
def test_every_frame_is_20_ms(rate: int, size: int):
    ledger = playing(segment(1, [("Hello", 500)]), rate=rate)
    assert [len(ledger.pop()) for _ in range(6)] == [size] * 6


def test_segments_follow_without_a_gap_and_are_told_in_order():
    first, second = segment(1, [("One", 200)]), segment(2, [("Two", 300)])
    ledger = playing(first, second)
    sent = b"".join(ledger.pop() for _ in range(4))
    assert sent == (first.pcm + second.pcm).ljust(1280, b"\0")
    assert ledger.take_events() == [
        SegmentStarted(1, 1, "answer", 0.0),
        SegmentFinished(1),
        SegmentStarted(2, 1, "answer", pytest.approx(40 / RATE)),
        SegmentFinished(2),
        Drained(),
    ]


def test_the_voice_is_told_to_begin_where_it_begins():
    ledger = playing(segment(1, [("Loud", 4_000)], lead=800))
    ledger.pop()
    (started,) = ledger.take_events()
    assert started.first_voiced_s == pytest.approx(0.1, abs=0.011)
    silent = playing(Segment(1, 1, "answer", "...", (), bytes(3200)))
    silent.pop()
    assert silent.take_events() == [SegmentStarted(1, 1, "answer", None)]


def test_drained_is_told_once_and_again_after_more():
    ledger = playing(segment(1, [("Hi", 160)]))
    for _ in range(5):
        ledger.pop()
    assert ledger.take_events().count(Drained()) == 1
    ledger.enqueue(segment(2, [("Bye", 160)]))
    for _ in range(5):
        ledger.pop()
    assert ledger.take_events().count(Drained()) == 1


def test_an_empty_segment_is_finished_in_its_turn():
    ledger = playing(Segment(1, 1, "answer", "", (), b""), segment(2, [("Hi", 100)]))
    ledger.pop()
    told = ledger.take_events()
    both = [SegmentStarted, SegmentFinished] * 2
    assert [type(event) for event in told] == [*both, Drained]
    alone = playing(Segment(3, 1, "answer", "", (), b""))
    assert alone.pop() == bytes(320)
    assert Drained() in alone.take_events()


def test_half_a_sample_does_not_garble_the_next_segment():
    odd = Segment(1, 1, "answer", "x", (), b"\x01\x00\x02\x00\x03")
    after = segment(2, [("Two", 100)])
    assert playing(odd, after).pop()[:204] == b"\x01\x00\x02\x00" + after.pcm


def test_queued_is_what_was_not_sent():
    ledger = playing(segment(1, FIVE), segment(2, FIVE))
    assert ledger.queued_s == pytest.approx(2.0)
    for _ in range(25):
        ledger.pop()
    assert ledger.queued_s == pytest.approx(1.5)


# ---- cutting

@pytest.mark.parametrize("frames", range(52))
def test_every_cut_is_word_accurate(frames: int):
    ledger = playing(segment(1, FIVE))
    for _ in range(frames):
        ledger.pop()
    cut = ledger.flush()
    if frames * FRAME >= 8_000:
        assert cut == ()
    else:
        assert cut == (Heard(1, 1, "answer", heard_after(frames * FRAME, FIVE), complete=False),)
    assert not ledger.playing


words = st.lists(
    st.tuples(st.sampled_from(["a", "is", "four", "seven", "Saturdays", "o'clock", "12.50"]), st.integers(1, 2_500)),
    min_size=1,
    max_size=10,
)


@settings(max_examples=200)
@given(said=st.lists(words, min_size=1, max_size=4), frames=st.integers(0, 300), lead=st.integers(0, 400))
def test_a_cut_anywhere_keeps_whole_segments_and_the_words_of_the_cut_one(said, frames, lead):
    segments = [segment(i, w, lead=lead) for i, w in enumerate(said)]
    ledger = playing(*segments)
    finished = set()
    for _ in range(frames):
        ledger.pop()
        finished |= {e.segment for e in ledger.take_events() if isinstance(e, SegmentFinished)}
    sent, expected = frames * FRAME, []
    for one, its_words in zip(segments, said, strict=True):
        length = len(one.pcm) // 2
        if sent < length:
            expected.append((one.id, heard_after(sent, its_words, lead)))
        sent = max(0, sent - length)
    assert [(h.segment, h.text) for h in ledger.flush()] == expected
    assert finished == {one.id for one in segments} - {number for number, _ in expected}


@settings(max_examples=100)
@given(said=words, punctuated=st.booleans())
def test_words_without_marks_are_spread_over_the_audio(said, punctuated):
    one = segment(1, said, marked=False)
    text = one.text + ("." if punctuated else "")
    one = Segment(1, 1, "answer", text, (), one.pcm)
    total, before = len(one.pcm) // 2, ""
    for frames in range(0, total // FRAME + 1, max(1, total // FRAME // 12)):
        ledger = playing(one)
        for _ in range(frames):
            ledger.pop()
        cut = ledger.flush()
        heard = cut[0].text if cut else text
        assert text.startswith(heard)
        assert heard == "" or text[len(heard) :][:1] in ("", " "), "never half a word"
        assert len(heard) >= len(before), "more sent is not less heard"
        # No more of the text than of the audio, by one word at most.
        assert len(heard.split()[:-1]) == 0 or len(" ".join(heard.split()[:-1])) / len(text) <= frames * FRAME / total
        before = heard


def test_nothing_was_heard_of_what_never_began():
    ledger = playing(segment(1, FIVE), segment(2, FIVE))
    assert [h.text for h in ledger.flush()] == ["", ""]


def test_after_a_flush_the_voice_fades_and_stays_away():
    ledger = playing(segment(1, FIVE))
    for _ in range(30):
        ledger.pop()
    ledger.flush()
    tail = samples(ledger.pop())
    assert tail[0] == 30 * FRAME + 1
    assert tail[40:].tolist() == [0] * 120
    assert ledger.pop() == bytes(320)
    assert Drained() not in ledger.take_events()


def test_what_is_said_after_a_flush_is_not_mixed_with_what_was_cut():
    ledger = playing(segment(1, FIVE))
    ledger.pop()
    ledger.flush()
    after = segment(2, [("Sorry", 160)])
    ledger.enqueue(after)
    assert ledger.pop() == after.pcm
    assert ledger.pop() == bytes(320)


# ---- pausing

def test_a_pause_fades_and_keeps_its_place():
    ledger = playing(segment(1, FIVE))
    for _ in range(3):
        ledger.pop()
    ledger.pause()
    ledger.pause()
    fading = samples(ledger.pop())
    assert fading[0] == 481
    assert not fading[40:].any()
    assert [ledger.pop() for _ in range(10)] == [bytes(320)] * 10
    assert ledger.playing
    assert ledger.queued_s == pytest.approx(1.0 - 0.06)


@pytest.mark.parametrize("frames", range(1, 50))
def test_resume_repeats_the_word_that_was_cut_and_no_other(frames: int):
    ledger = playing(segment(1, FIVE))
    for _ in range(frames):
        ledger.pop()
    ledger.pause()
    ledger.pop()
    ledger.resume()
    begins = [0, 800, 1760, 3360, 4000]
    assert samples(ledger.pop())[0] - 1 == max(b for b in begins if b <= frames * FRAME)


def test_a_rewind_has_its_limit():
    long_word = round(REWIND_LIMIT_S * RATE) + 800
    for frames, first in ((10, 0), (long_word // FRAME - 2, (long_word // FRAME - 2) * FRAME)):
        ledger = playing(segment(1, [("Aaaah", long_word)]))
        for _ in range(frames):
            ledger.pop()
        ledger.pause()
        ledger.resume()
        assert samples(ledger.pop())[0] - 1 == first


def test_resume_without_a_pause_repeats_nothing():
    ledger = playing(segment(1, FIVE))
    ledger.pop()
    ledger.resume()
    assert samples(ledger.pop())[0] == FRAME + 1


def test_a_pause_before_the_first_frame_is_silent_and_begins_at_the_beginning():
    one = segment(1, FIVE)
    ledger = PlayoutLedger(RATE)
    ledger.pause()
    ledger.enqueue(one)
    assert ledger.pop() == bytes(320)
    assert ledger.take_events() == []
    ledger.resume()
    assert ledger.pop() == one.pcm[:320]


def test_a_word_that_was_heard_before_the_rewind_stays_heard():
    ledger = playing(segment(1, FIVE))
    for _ in range(18):  # 2880 samples: "open" began at 1760 and is more than half out
        ledger.pop()
    ledger.pause()
    ledger.resume()
    assert [h.text for h in ledger.flush()] == ["We are open"]


def test_a_flush_ends_the_pause():
    ledger = playing(segment(1, FIVE))
    ledger.pop()
    ledger.pause()
    ledger.flush()
    assert not ledger.paused
    ledger.enqueue(segment(2, [("Yes", 160)]))
    ledger.pop()
    assert Drained() in ledger.take_events()


# ---- anything in any order

OPERATIONS = st.lists(
    st.one_of(
        st.tuples(st.just("say"), st.integers(0, 1_200)),
        st.tuples(st.just("pop"), st.integers(1, 8)),
        st.tuples(st.sampled_from(["pause", "resume", "flush"]), st.just(0)),
    ),
    max_size=40,
)


@settings(max_examples=200)
@given(operations=OPERATIONS)
def test_whatever_happens_segments_begin_and_end_once_and_the_end_is_told_once(operations):
    ledger, number = PlayoutLedger(RATE), 0
    waiting: list[int] = []
    started: set[int] = set()
    for name, count in operations:
        if name == "say":
            number += 1
            ledger.enqueue(segment(number, [("word", count)]))
            waiting.append(number)
        elif name == "pop":
            for _ in range(count):
                busy, idle = bool(waiting), ledger.paused
                assert len(ledger.pop()) == 320
                events = ledger.take_events()
                assert not (idle and events), "nothing happens in a pause"
                for event in events:
                    if isinstance(event, SegmentStarted):
                        assert event.segment == waiting[0]
                        assert event.segment not in started
                        started.add(event.segment)
                    elif isinstance(event, SegmentFinished):
                        assert event.segment == waiting.pop(0)
                        assert event.segment in started
                assert events.count(Drained()) == (1 if busy and not waiting else 0)
                assert Drained() not in events or events[-1] == Drained()
        elif name == "flush":
            assert [h.segment for h in ledger.flush()] == waiting
            waiting.clear()
        else:
            getattr(ledger, name)()
        assert ledger.playing == bool(waiting)
        assert ledger.queued_s >= 0.0

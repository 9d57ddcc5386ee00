"""Barge-ins and false alarms in whole calls: real engines, a daemon of its own, the real wire.

What was heard is told by `bench.heard`, from the frames on the wire and without the daemon's books.
"""

from __future__ import annotations

import asyncio
import json
import time
from difflib import SequenceMatcher
from pathlib import Path

import numpy as np
import pytest

from bench.heard import ALIKE, call, measure, place, spoken, word_middles
from voicebridge import plugins
from voicebridge.audio.measure import voiced_spans
from voicebridge.audio.pcm import samples
from voicebridge.cli.testcall import demo_lines, recorded_sentence, running_daemon
from voicebridge.conversation.backchannel import words
from voicebridge.conversation.spoken import speak
from voicebridge.phone import Line

pytestmark = pytest.mark.models

RATE = 8_000
STOPS_S = 1.0
"""A generous bound on a busy machine; the strict one is that of bench.heard."""
PAUSE_S = 2.5
SERVICE = "A basic service is $45 and takes two working days. A full service is $95 and takes four working days."


@pytest.fixture(scope="module")
def daemon():
    with running_daemon(None, ["--agent", "demo", "--event-log"]) as (port, store):
        yield port, store


def transcribed(pcm: bytes) -> str:
    """What a recogniser of the test's own hears, stretch by stretch."""

    async def listen() -> str:
        engine = plugins.load("stt", "moonshine").create({"threads": 1})
        await engine.start()
        session, heard = engine.session(rate=RATE, language="en"), []
        for number, (begin, end) in enumerate(voiced_spans(pcm, RATE, join_s=0.4)):
            session.begin(number)
            session.feed(pcm[max(0, 2 * begin - RATE // 5) : 2 * end + RATE // 5])
            until = time.monotonic() + 20
            heard.append((await session.transcribe(deadline=until, give_up=until)).text)
        await session.close()
        await engine.stop()
        return " ".join(heard)

    return asyncio.run(listen())


def events(store: Path, call_id: str) -> list[dict]:
    text = (store / "calls" / f"{call_id}.events.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()[1:]]


def prompts(store: Path, call_id: str) -> list[list[dict]]:
    """The messages of each prompt that the model was given, in order."""
    return [c["messages"] for e in events(store, call_id) for c in e["commands"] if c["is"] in ("Prefill", "Generate")]


def answer_of(turns: list[dict]) -> dict:
    (answer,) = [piece for piece in turns[0]["said"] if piece["kind"] == "answer"]
    return answer


# ---- barge-in


def test_the_record_holds_the_words_that_were_heard_and_no_others(daemon):
    cuts = measure(*daemon, 3, [recorded_sentence()])
    assert len(cuts) == 3
    for cut in cuts:
        assert cut.a_prefix, cut
        assert abs(cut.heard - cut.recorded) <= 1, cut
        assert 0 < cut.recorded < cut.words, cut
        assert cut.stop_s <= STOPS_S, cut
    assert len({cut.recorded for cut in cuts}) == 3  # they were at different words


def test_the_aligner_finds_words_where_they_are(daemon):
    """The yardstick itself: words put together with pauses of a known length."""
    parts = asyncio.run(spoken(["service", "takes", "working", "days"], RATE))
    whole, middles, at = bytearray(), [], 0
    for index, part in enumerate(parts):
        first, last = voiced_spans(part, RATE)[0][0], voiced_spans(part, RATE)[-1][1]
        whole += part[2 * first : 2 * last] + bytes(2 * 800 * index)
        middles.append(at + (last - first) / 2)
        at = len(whole) // 2
    found = word_middles(bytes(whole), parts, RATE)
    assert found == pytest.approx(middles, abs=0.15 * RATE)


def test_the_model_is_told_only_what_was_heard(daemon):
    port, store = daemon
    question, other = recorded_sentence(), demo_lines()[2]
    made = call(port, store, [question, Line(other.label, other.pcm, 2.0)])
    cut = answer_of(made.turns()[0][1])
    assert cut["text"] == SERVICE
    assert 0 < len(cut["heard"]) < len(SERVICE) and SERVICE.startswith(cut["heard"].rstrip())
    said = [message["text"] for message in prompts(store, made.heard.call_id)[-1] if message["role"] == "assistant"]
    assert cut["heard"].strip() in said
    assert not any("four working days" in text for text in said)


def test_the_greeting_can_be_interrupted(daemon):
    question = recorded_sentence()
    made = call(*daemon, [Line(question.label, question.pcm, 0.8)])
    (line, turns) = made.turns()[0]
    greeting = made.record["turns"][0]["said"][0]
    assert line.agent_stopped - line.first_voice <= STOPS_S
    assert greeting["kind"] == "greeting" and not greeting["complete"]
    assert 1 <= len(greeting["heard"].split()) < len(greeting["text"].split())
    assert turns[0]["rule"] == "service" and answer_of(turns)["complete"]
    assert line.gap < 3.0


# ---- false alarms


def noise() -> bytes:
    """A cough-like burst: 0.18 s of noise that rises quickly and dies away."""
    rng = np.random.default_rng(7)
    size = round(0.18 * RATE)
    shape = np.minimum(np.arange(size) / 80, 1.0) * np.exp(-np.arange(size) / 500)
    return (9_000 * shape * rng.standard_normal(size)).clip(-32_000, 32_000).astype("<i2").tobytes()


def uh_huh() -> bytes:
    return asyncio.run(spoken(["uh-huh"], RATE))[0]


def share_heard(track: bytes) -> float:
    """Of the answer as our own engine speaks it, the share of quarter seconds that are on the track.

    One that lies across the beginning of the word to which the agent went back is on it in two parts.
    """
    whole = samples(asyncio.run(spoken([SERVICE], RATE))[0]).astype(float)
    pieces = [whole[at : at + RATE // 4] for at in range(0, len(whole) - RATE // 4, RATE // 4)]
    loud = [piece for piece in pieces if np.abs(piece).max() > 1_000]
    assert len(loud) > 20
    return sum(place(piece, samples(track).astype(float))[1] >= ALIKE for piece in loud) / len(loud)


@pytest.mark.parametrize(("sound", "taken_for_a_voice"), [(noise, False), (uh_huh, True)])
def test_a_false_alarm_takes_nothing_from_what_the_agent_says(daemon, sound, taken_for_a_voice):
    port, store = daemon
    alarm = sound() + bytes(2 * RATE // 2)
    made = call(port, store, [recorded_sentence(), Line(sound.__name__, alarm, 2.6)])
    heard = made.heard
    answer = answer_of(made.turns()[0][1])
    assert answer["text"] == SERVICE and answer["complete"] and answer["heard"] == SERVICE
    assert sum(piece["kind"] == "answer" for turn in made.record["turns"] for piece in turn["said"]) == 1
    done = [command["is"] for event in events(store, heard.call_id) for command in event["commands"]]
    assert done.count("PausePlayout") == done.count("ResumePlayout")
    assert done.count("PausePlayout") > 0 or not taken_for_a_voice
    assert "FlushPlayout" not in done
    track = bytes(heard.agent[2 * heard.position(heard.lines[0].last_voice) :])
    spans = voiced_spans(track, RATE)
    pauses = [(second[0] - first[1]) / RATE for first, second in zip(spans, spans[1:], strict=False)]
    assert max(pauses) <= PAUSE_S
    assert share_heard(track) >= 0.9
    likeness = SequenceMatcher(None, words(speak(SERVICE).text), words(speak(transcribed(track)).text)).ratio()
    assert likeness >= 0.4  # this recogniser gets some 40 % of this voice's words wrong
    assert np.abs(samples(bytes(heard.caller))).max() > 1_000  # the alarm was on the line

"""Engines tried: the tiny real ones with few callers, and those that fail."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from voicebridge.engines import crowd as crowds
from voicebridge.engines.base import EngineError, Speech, Transcript, Voice
from voicebridge.engines.crowd import RATE, Crowd, Measure, utterances
from voicebridge.engines.local import LocalHost
from voicebridge.engines.piper import ENGINE as PIPER
from voicebridge.engines.trial import IN_TIME_S, _edge, tried
from voicebridge.engines.vosk import ENGINE as VOSK
from voicebridge.engines.wyoming_tts import WyomingTts

MODELS = Path(__file__).parents[1] / "models"


async def test_a_voice_is_tried() -> None:
    pytest.importorskip("piper")
    told: list[str] = []
    engine = PIPER.create({"voice": str(MODELS / "piper-tiny-en/tiny-voice.onnx"), "nice": 0})
    made = await tried("tts", engine, seconds=3, at_most=4, tell=told.append)
    assert made.error == ""
    assert made.name == "piper"
    assert made.load_s is not None and 0 < made.load_s < 60
    assert made.rss_mb is not None and made.pss_mb is not None and 10 < made.pss_mb <= made.rss_mb < 2000
    assert made.factor is not None and 0 < made.factor < 5
    assert made.first_p50_s is not None and made.first_p95_s is not None
    assert 0 < made.first_p50_s <= made.first_p95_s
    assert [crowd.at_once for crowd in made.crowds][0] == 1
    assert all(crowd.requests >= crowd.at_once for crowd in made.crowds)
    assert told[:3] == ["starts", "alone", "1 at once"]
    assert not engine.ready


async def test_a_recogniser_is_tried() -> None:
    pytest.importorskip("vosk")
    engine = VOSK.create({"model": str(MODELS / "vosk-tiny-en"), "language": "en", "nice": 0})
    made = await tried("stt", engine, seconds=2, at_most=2)
    assert made.error == ""
    assert made.factor is not None and 0 < made.factor < 5
    assert [crowd.failed for crowd in made.crowds] == [0] * len(made.crowds)


async def test_a_worker_that_does_not_start_is_a_trial_with_its_last_words() -> None:
    host = LocalHost("mute", "no_such_module:ENGINE", {}, env={})
    made = await tried("tts", WyomingTts("mute", host), seconds=1)
    assert "ModuleNotFoundError: No module named 'no_such_module'" in made.error
    assert (made.load_s, made.crowds) == (None, ())


class Fake:
    """An engine at the trial's boundary: answers after `wait_s` times the number of those who wait."""

    name = "fake"
    ready = True
    context_tokens = 100

    def __init__(self, wait_s: float = 0.0, error: str = "") -> None:
        self.wait_s, self.error, self.waiting, self.stopped = wait_s, error, 0, False

    async def start(self) -> None: ...

    async def stop(self) -> None:
        self.stopped = True

    async def _work(self) -> None:
        self.waiting += 1
        await asyncio.sleep(self.wait_s * self.waiting)
        self.waiting -= 1
        if self.error:
            raise EngineError("tts", self.name, "crashed", self.error)

    async def embed(self, texts: Sequence[str], *, give_up: float) -> list[list[float]]:
        await self._work()
        return [[1.0] for _ in texts]

    async def synthesize(self, text: str, *, voice: Voice, deadline: float, give_up: float) -> Speech:
        await self._work()
        return Speech(text, b"" if self.error == "mute" else bytes(1600), RATE)


async def test_too_many_at_once_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(IN_TIME_S, "embed", 0.5)
    made = await tried("embed", Fake(wait_s=0.15), seconds=1)
    assert [crowd.at_once for crowd in made.crowds] == [1, 4, 8]
    assert (made.at_once, made.more) == (1, False)
    assert made.crowds[2].first_p95_s > made.crowds[0].first_p95_s
    assert made.per_s is not None and made.per_s > 1


@pytest.mark.parametrize("error", ["it broke", "mute"])
async def test_an_engine_that_gives_nothing_is_stopped_all_the_same(error: str) -> None:
    engine = Fake(error=error)
    made = await tried("tts", engine, seconds=1)
    assert made.error
    assert engine.stopped


async def test_a_model_that_writes_nothing_has_failed() -> None:
    class Silent(Fake):
        def session(self, *, agent: str) -> Silent:
            return self

        async def warm(self, messages: object) -> None: ...

        async def close(self) -> None: ...

        async def generate(self, messages: object, **_: object):  # type: ignore[no-untyped-def]
            return
            yield ""

    made = await tried("llm", Silent(), seconds=1)
    assert "it generates nothing" in made.error


@pytest.mark.parametrize(
    ("limit", "start", "edge"),
    [(0, 3, (-1, 0)), (1, 3, (0, 1)), (6, 1, (2, 3)), (6, 4, (2, 3)), (100, 2, (5, 6)), (32, 5, (5, 6))],
)
async def test_the_search_ends_between_the_most_that_pass_and_the_fewest_that_do_not(
    limit: int, start: int, edge: tuple[int, int]
) -> None:
    asked: list[int] = []

    async def in_time(at_once: int) -> bool:
        asked.append(at_once)
        return at_once <= limit

    assert await _edge((1, 2, 4, 8, 16, 32), in_time, start, math.inf) == edge
    assert len(asked) == len(set(asked))


async def test_when_time_is_up_nothing_more_is_tried() -> None:
    async def in_time(at_once: int) -> bool:
        return True

    assert await _edge((1, 2, 4), in_time, 1, time.monotonic() - 1) == (0, 3)


async def test_callers_of_a_recogniser_speak_in_real_time() -> None:
    """The transcript is asked for when the last of the utterance has been spoken, not sooner."""
    spoken: list[float] = []

    class Session:
        def begin(self, turn: int) -> None:
            self.began, self.fed = time.monotonic(), 0

        def feed(self, pcm: bytes) -> None:
            self.fed += len(pcm)

        async def transcribe(self, *, deadline: float, give_up: float) -> Transcript:
            spoken.append(time.monotonic() - self.began - self.fed / 2 / RATE)
            return Transcript(1, "hello", self.fed // 2, 0.0, 0.0)

        async def close(self) -> None: ...

    class Recogniser(Fake):
        def session(self, *, rate: int, language: str) -> Session:
            return Session()

    measure: Measure = crowds.MEASURES["stt"](Recogniser(), "en")
    made: Crowd = await measure.crowd(2, 0.1)
    assert made.requests == 2
    assert min(spoken) >= -0.001


def test_the_packaged_caller_is_there() -> None:
    assert len(utterances()) == 4
    assert all(1.0 < len(pcm) / 2 / RATE < 4.0 for pcm in utterances())

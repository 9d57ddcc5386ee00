"""Many callers at once, imitated as they are, and how long each kind of engine makes them wait.

Recognisers hear the packaged demo caller in real time, voices are asked for the next clause when the last has been
played, models are asked by everybody at the same moment, embedders and judges of turns without a pause. See trial.py.
"""

from __future__ import annotations

import asyncio
import itertools
import math
import time
import wave
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from voicebridge.engines.base import EngineError, Message, Voice

RATE = 8_000
ANSWER_S = 10.0
BLOCK_S = 0.1
PAUSE_S = 0.5
ROUNDS = 3
MAX_TOKENS = 24
CLAUSES = (
    "One moment, please.",
    "We are open from nine to five,",
    "Your table is booked for seven o'clock.",
    "Thank you for calling,",
    "Is there anything else I can do for you?",
    "I will connect you now.",
)
PROMPT = (
    "You are the telephone agent of a bicycle workshop. Answer in one short sentence. A basic service costs fifty "
    "euros and takes two days. We are open on weekdays from nine to six and on Saturdays from ten to two. We repair "
    "all bicycles, electric ones too, but we sell none. Never invent prices, dates or names."
)
QUESTIONS = ("What does a basic service cost?", "When are you open on Saturday?", "Do you repair electric bicycles?")


@dataclass(frozen=True, slots=True)
class Crowd:
    """`at_once` callers: their first output in seconds, over `requests` of which `failed` had none.

    `per_s` is what all of them got together each second: seconds of speech (stt, tts), pieces of text, which are
    tokens more or less (llm), sentences (embed), judgements (turn).
    """

    at_once: int
    requests: int
    failed: int
    first_p50_s: float
    first_p95_s: float
    per_s: float


class Measure:
    """One kind of engine. `alone` gives fields of trial.Trial; `crowd` imitates callers for about `seconds`.

    `steps` are how many at once may be tried; where `every`, each of them is.
    """

    steps: Sequence[int] = (1, 2, 4, 8, 12, 16, 24, 32, 48, 64)
    every = False

    def __init__(self, engine: Any, language: str) -> None:
        self.engine = engine
        self.language = language

    async def alone(self, seconds: float) -> dict[str, Any]:
        raise NotImplementedError

    async def crowd(self, at_once: int, seconds: float) -> Crowd:
        raise NotImplementedError


class _Recogniser(Measure):
    async def alone(self, seconds: float) -> dict[str, Any]:
        session = self.engine.session(rate=RATE, language=self.language)
        heard, began = 0.0, time.monotonic()
        try:
            for number, pcm in enumerate(itertools.cycle(utterances())):
                session.begin(number)
                session.feed(pcm)
                now = time.monotonic()
                await session.transcribe(deadline=now, give_up=now + ANSWER_S)
                heard += len(pcm) / 2 / RATE
                if number + 1 >= len(utterances()) and time.monotonic() - began > seconds:
                    break
        finally:
            await session.close()
        return {"factor": round((time.monotonic() - began) / heard, 4)}

    async def crowd(self, at_once: int, seconds: float) -> Crowd:
        async def caller(number: int, tally: _Tally) -> None:
            session = self.engine.session(rate=RATE, language=self.language)
            try:
                await asyncio.sleep(2.0 * number / at_once)
                for turn, pcm in enumerate(itertools.islice(itertools.cycle(utterances()), number, None)):
                    await _speak(session, turn, pcm)
                    now = time.monotonic()
                    async with tally.request(len(pcm) / 2 / RATE):
                        await session.transcribe(deadline=now, give_up=now + ANSWER_S)
                    if tally.over:
                        break
            finally:
                await session.close()

        return await _together(caller, at_once, seconds)


async def _speak(session: Any, turn: int, pcm: bytes) -> None:
    """An utterance in real time, on absolute deadlines."""
    session.begin(turn)
    block, began = round(BLOCK_S * RATE) * 2, time.monotonic()
    for at in range(0, len(pcm), block):
        session.feed(pcm[at : at + block])
        due = began + min(at + block, len(pcm)) / 2 / RATE
        await asyncio.sleep(max(0.0, due - time.monotonic()))


class _Speaker(Measure):
    async def alone(self, seconds: float) -> dict[str, Any]:
        spoken, began = 0.0, time.monotonic()
        for number, clause in enumerate(itertools.cycle(CLAUSES)):
            spoken += await self._say(clause)
            if number + 1 >= len(CLAUSES) and time.monotonic() - began > seconds:
                break
        return {"factor": round((time.monotonic() - began) / spoken, 4)}

    async def crowd(self, at_once: int, seconds: float) -> Crowd:
        async def caller(number: int, tally: _Tally) -> None:
            await asyncio.sleep(number / at_once)
            for clause in itertools.islice(itertools.cycle(CLAUSES), number, None):
                spoken = 0.0
                async with tally.request() as request:
                    request.amount = spoken = await self._say(clause)
                if tally.over:
                    break
                await asyncio.sleep(spoken or PAUSE_S)

        return await _together(caller, at_once, seconds)

    async def _say(self, clause: str) -> float:
        """Seconds of speech."""
        now = time.monotonic()
        speech = await self.engine.synthesize(
            clause, voice=Voice(language=self.language), deadline=now, give_up=now + ANSWER_S
        )
        if not speech.pcm:
            raise EngineError("tts", self.engine.name, "garbage", "it says nothing")
        return float(len(speech.pcm) / 2 / speech.rate)


class _Model(Measure):
    steps = (1, 4, 8)
    every = True

    async def alone(self, seconds: float) -> dict[str, Any]:
        session = self.engine.session(agent="bench")
        try:
            await session.warm([Message("system", PROMPT)])
        finally:
            await session.close()
        return {"per_s": (await self.crowd(1, 0.0)).per_s}

    async def crowd(self, at_once: int, seconds: float) -> Crowd:
        async def caller(number: int, tally: _Tally) -> None:
            session = self.engine.session(agent="bench")
            try:
                await session.warm([Message("system", PROMPT)])
                for turn in range(ROUNDS):
                    await tally.meet()
                    await self._ask(session, QUESTIONS[(number + turn) % len(QUESTIONS)], tally)
            finally:
                await session.close()

        return await _together(caller, at_once, seconds)

    async def _ask(self, session: Any, question: str, tally: _Tally) -> None:
        now = time.monotonic()
        messages = (Message("system", PROMPT), Message("user", question))
        asked = session.generate(messages, max_tokens=MAX_TOKENS, deadline=now, give_up=now + ANSWER_S)
        async with tally.request() as request, aclosing(asked) as pieces:
            async for _ in pieces:
                request.first()
                request.amount += 1
            if not request.amount:
                raise EngineError("llm", self.engine.name, "garbage", "it generates nothing")


class _Embedder(Measure):
    steps = (1, 4, 8)
    every = True

    async def alone(self, seconds: float) -> dict[str, Any]:
        return {"per_s": (await self.crowd(1, seconds)).per_s}

    async def crowd(self, at_once: int, seconds: float) -> Crowd:
        async def caller(number: int, tally: _Tally) -> None:
            while not tally.over:
                async with tally.request(1):
                    await self.engine.embed([QUESTIONS[number % len(QUESTIONS)]], give_up=time.monotonic() + ANSWER_S)

        return await _together(caller, at_once, min(seconds, 2.0))


class _TurnJudge(Measure):
    steps = (1, 4, 8)
    every = True

    async def alone(self, seconds: float) -> dict[str, Any]:
        return {"per_s": (await self.crowd(1, seconds)).per_s}

    async def crowd(self, at_once: int, seconds: float) -> Crowd:
        async def caller(number: int, tally: _Tally) -> None:
            pcm = utterances()[number % len(utterances())]
            while not tally.over:
                async with tally.request(1):
                    now = time.monotonic()
                    await self.engine.judge(pcm, rate=RATE, deadline=now, give_up=now + ANSWER_S)

        return await _together(caller, at_once, min(seconds, 2.0))


MEASURES: dict[str, Callable[[Any, str], Measure]] = {
    "stt": _Recogniser,
    "tts": _Speaker,
    "llm": _Model,
    "embed": _Embedder,
    "turn": _TurnJudge,
}


# ---- counting


class _Request:
    """One request: `amount` is what it gave."""

    def __init__(self, tally: _Tally, amount: float) -> None:
        self._tally = tally
        self.amount = amount
        self._began = time.monotonic()
        self._first: float | None = None

    def first(self) -> None:
        """Something useful has come."""
        if self._first is None:
            self._first = time.monotonic() - self._began

    async def __aenter__(self) -> _Request:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> bool:
        if error is None:
            self.first()
            self._tally.waits.append(self._first or 0.0)
            self._tally.amount += self.amount
        elif isinstance(error, EngineError):
            self._tally.waits.append(ANSWER_S)
            self._tally.errors.append(error)
        return isinstance(error, EngineError)


class _Tally:
    """What a crowd got."""

    def __init__(self, at_once: int, until: float) -> None:
        self.waits: list[float] = []
        self.errors: list[EngineError] = []
        self.amount = 0.0
        self.began = time.monotonic()
        self._until = until
        self._barrier = asyncio.Barrier(at_once)

    @property
    def over(self) -> bool:
        return time.monotonic() >= self._until

    def request(self, amount: float = 0.0) -> _Request:
        return _Request(self, amount)

    async def meet(self) -> None:
        """Wait until all callers are here: the clock runs from the first meeting."""
        await self._barrier.wait()
        if not self.waits:
            self.began = time.monotonic()


async def _together(caller: Callable[[int, _Tally], Awaitable[None]], at_once: int, seconds: float) -> Crowd:
    """Raises the EngineError where nobody got anything."""
    tally = _Tally(at_once, time.monotonic() + seconds)
    await asyncio.gather(*(caller(number, tally) for number in range(at_once)))
    took = time.monotonic() - tally.began
    if len(tally.errors) == len(tally.waits):
        raise tally.errors[0]
    return Crowd(
        at_once,
        requests=len(tally.waits),
        failed=len(tally.errors),
        first_p50_s=_percentile(tally.waits, 50),
        first_p95_s=_percentile(tally.waits, 95),
        per_s=round(tally.amount / took, 2),
    )


def _percentile(values: Sequence[float], share: int) -> float:
    """Nearest rank."""
    ordered = sorted(values)
    return round(ordered[max(0, math.ceil(share / 100 * len(ordered)) - 1)], 4)


@cache
def utterances() -> tuple[bytes, ...]:
    """The demo caller's lines: 16-bit mono at 8 kHz."""
    folder = resources.files("voicebridge") / "data" / "demo"
    made = []
    for file in sorted((file for file in folder.iterdir() if file.name.endswith(".wav")), key=lambda file: file.name):
        with file.open("rb") as stream, wave.open(stream) as wav:
            if (wav.getframerate(), wav.getnchannels(), wav.getsampwidth()) == (RATE, 1, 2):
                made.append(wav.readframes(wav.getnframes()))
    return tuple(made)

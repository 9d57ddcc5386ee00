"""How the worker serves who still speaks, with a recogniser whose every step the test can hold or fail."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
from wyoming.event import Event, async_read_event

from voicebridge.engines.base import EngineError
from voicebridge.engines.scheduler import Scheduler
from voicebridge.engines.stt_stream import StreamingSttSession
from voicebridge.engines.stt_worker import Heard, Stream
from voicebridge.engines.wyoming_link import Address

STEP = 1600


class Ears:
    """A StreamingModel. `order` notes which utterance was computed for, in steps of 100 ms."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.order: list[str] = []
        self.step_s = 0.0

    def listener(self, rate: int, language: str, phrases: Sequence[str]) -> Ear:
        if language == "xx":
            raise ValueError("no such language")
        if language == "oom":
            raise MemoryError
        return Ear(self, language)


class Ear:
    def __init__(self, ears: Ears, name: str) -> None:
        self._ears = ears
        self._name = name
        self.fed = self.done = self.ends = 0

    def feed(self, pcm: bytes) -> None:
        self.fed += len(pcm)

    def advance(self, *, ending: bool) -> bool:
        assert self._ears.gate.wait(10)
        if self.done >= self.fed:
            return False
        if self._name == "broken":
            raise RuntimeError("native code said no")
        time.sleep(self._ears.step_s)
        self.done += STEP
        self._ears.order.append(self._name)
        return True

    def look(self) -> Heard:
        return Heard(f"{self.done} so far")

    def final(self) -> Heard:
        self.ends += 1
        return Heard(f"{self.done} in all, end {self.ends}")


@contextlib.asynccontextmanager
async def serving(path: Path) -> AsyncIterator[tuple[Ears, Scheduler[Ears]]]:
    ears = Ears()
    scheduler = Scheduler(lambda: ears, 1)
    await scheduler.opened
    streams: set[asyncio.Task[None]] = set()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        streams.add(asyncio.create_task(Stream(scheduler, reader, writer, Event("info", {"asr": []})).run()))

    server = await asyncio.start_unix_server(connected, str(path))
    yield ears, scheduler
    server.close()
    ears.gate.set()
    for task in streams:
        task.cancel()
    await asyncio.gather(*streams, return_exceptions=True)
    scheduler.close()


def session(path: Path, language: str) -> StreamingSttSession:
    made = StreamingSttSession("ears", Address(f"unix://{path}"), 1, 8000, language)
    made.begin(1)
    return made


def soon(deadline_s: float = 0.3, seconds: float = 10) -> dict[str, float]:
    now = time.monotonic()
    return {"deadline": now + deadline_s, "give_up": now + seconds}


async def backlog(scheduler: Scheduler[Ears], jobs: int) -> None:
    async with asyncio.timeout(10):
        while len(scheduler._heap) < jobs:  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.01)


async def test_the_end_of_one_comes_before_what_others_still_say(tmp_path: Path) -> None:
    async with serving(tmp_path / "s") as (ears, scheduler):
        talkers = [session(tmp_path / "s", name) for name in ("a", "b", "c")]
        hasty = session(tmp_path / "s", "hasty")
        ears.gate.clear()
        for talker in talkers:
            talker.feed(bytes(STEP * 20))
        await backlog(scheduler, 2)
        hasty.feed(bytes(STEP * 5))
        asked = asyncio.create_task(hasty.transcribe(**soon()))
        await backlog(scheduler, 4)  # two of the others, hasty's first, and the same hastened by his question
        ears.gate.set()
        assert (await asked).text == f"{5 * STEP} in all, end 1"
        last = max(at for at, name in enumerate(ears.order) if name == "hasty")
        assert sum(name != "hasty" for name in ears.order[:last]) <= 8, "of 60: but what was going on"
        told = await asyncio.gather(*(talker.transcribe(**soon()) for talker in talkers))
        assert {each.text for each in told} == {f"{20 * STEP} in all, end 1"}
        for each in (*talkers, hasty):
            await each.close()


async def test_an_end_hastens_the_audio_before_it_and_a_look_ends_nothing(tmp_path: Path) -> None:
    async with serving(tmp_path / "s") as (_, _scheduler):
        talker = session(tmp_path / "s", "a")
        talker.feed(bytes(STEP * 3))
        assert (await talker.transcribe(**soon(), final=False)).text == f"{3 * STEP} so far"
        talker.feed(bytes(STEP))
        assert (await talker.transcribe(**soon())).text == f"{4 * STEP} in all, end 1"
        talker.feed(bytes(STEP))
        assert (await talker.transcribe(**soon())).text == f"{5 * STEP} in all, end 2"
        await talker.close()


async def test_an_end_that_was_superseded_is_not_made(tmp_path: Path) -> None:
    async with serving(tmp_path / "s") as (ears, _):
        talker = session(tmp_path / "s", "a")
        ears.gate.clear()
        talker.feed(bytes(STEP * 2))
        early = asyncio.create_task(talker.transcribe(**soon()))
        await asyncio.sleep(0.1)
        talker.feed(bytes(STEP))
        late = asyncio.create_task(talker.transcribe(**soon()))
        await asyncio.sleep(0.5)  # the worker reads it meanwhile
        ears.gate.set()
        assert (await late).text == f"{3 * STEP} in all, end 1"
        with pytest.raises(EngineError, match="superseded"):
            await early
        await talker.close()


@pytest.mark.parametrize(
    ("language", "told"), [("xx", "no such language"), ("oom", "MemoryError"), ("broken", "RuntimeError")]
)
async def test_what_fails_is_told_and_the_next_utterance_is_served(tmp_path: Path, language: str, told: str) -> None:
    async with serving(tmp_path / "s") as (_, _scheduler):
        talker = session(tmp_path / "s", language)
        talker.feed(bytes(STEP))
        with pytest.raises(EngineError) as raised:
            await talker.transcribe(**soon())
        assert (raised.value.cause, raised.value.detail) == ("refused", told)
        talker._language = "en"
        talker.begin(2)
        talker.feed(bytes(STEP))
        assert (await talker.transcribe(**soon())).text == f"{STEP} in all, end 1"
        await talker.close()


async def test_who_left_gets_nothing_computed(tmp_path: Path) -> None:
    async with serving(tmp_path / "s") as (ears, scheduler):
        stays, leaves = session(tmp_path / "s", "stays"), session(tmp_path / "s", "leaves")
        ears.gate.clear()
        stays.feed(bytes(STEP))
        await asyncio.sleep(0.1)
        leaves.feed(bytes(STEP * 50))
        await backlog(scheduler, 1)
        await leaves.close()
        await asyncio.sleep(0.1)
        ears.gate.set()
        assert (await stays.transcribe(**soon())).text == f"{STEP} in all, end 1"
        assert ears.order.count("leaves") <= 3, "of 50"
        await stays.close()


@pytest.mark.parametrize("how", ["he hangs up", "he begins anew"])
async def test_what_nobody_waits_for_any_more_is_not_computed_to_its_end(tmp_path: Path, how: str) -> None:
    async with serving(tmp_path / "s") as (ears, _):
        gone, other = session(tmp_path / "s", "gone"), session(tmp_path / "s", "other")
        ears.step_s = 0.005
        gone.feed(bytes(STEP * 500))
        asked = asyncio.create_task(gone.transcribe(**soon()))
        async with asyncio.timeout(10):
            while len(ears.order) < 20:  # noqa: ASYNC110 - what is waited for has no event
                await asyncio.sleep(0.01)
        if how == "he hangs up":
            await gone.close()
        else:
            gone.begin(2)
            gone.feed(bytes(STEP))
        with contextlib.suppress(EngineError):
            await asked
        other.feed(bytes(STEP))
        assert (await other.transcribe(**soon())).text == f"{STEP} in all, end 1"
        assert ears.order.count("gone") < 250
        await gone.close()


async def test_describe_and_ping_are_answered_while_the_engine_is_busy(tmp_path: Path) -> None:
    async with serving(tmp_path / "s") as (ears, _):
        ears.gate.clear()
        talker = session(tmp_path / "s", "a")
        talker.feed(bytes(STEP))
        reader, writer = await asyncio.open_unix_connection(str(tmp_path / "s"))
        writer.write(b'{"type":"describe"}\n{"type":"ping","data":{"text":"x"}}\n')
        answers = [await asyncio.wait_for(async_read_event(reader), 10) for _ in range(2)]
        assert [answer and answer.type for answer in answers] == ["info", "pong"]
        writer.close()
        await talker.close()


async def test_a_rate_that_is_not_taken_is_refused_at_once(tmp_path: Path) -> None:
    async with serving(tmp_path / "s"):
        session = StreamingSttSession("ears", Address(f"unix://{tmp_path / 's'}"), 1, 3999, "en")
        session.begin(1)
        session.feed(bytes(8_000))
        with pytest.raises(EngineError) as raised:
            await session.transcribe(deadline=time.monotonic(), give_up=time.monotonic() + 30)
        assert raised.value.cause == "refused" and "3999 Hz" in raised.value.detail
        await session.close()

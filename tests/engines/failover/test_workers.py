"""Our own recognisers' workers, killed and stopped while the caller speaks: Moonshine hears what Vosk has not."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from voicebridge.cli.testcall import recorded_sentence
from voicebridge.engines.base import SttSession, Transcript
from voicebridge.engines.failover import together
from voicebridge.engines.failover.health import WATCH, Move, Watch
from voicebridge.engines.failover.stt import SttFailover
from voicebridge.engines.moonshine import ENGINE as MOONSHINE
from voicebridge.engines.vosk import ENGINE as VOSK

pytest.importorskip("vosk")
pytest.importorskip("moonshine_voice")
pytestmark = [pytest.mark.models, pytest.mark.asyncio(loop_scope="module")]

TINY = Path(__file__).parents[2] / "models/vosk-tiny-en"
"""A test's model of 106 words, which are not those of the sentence: what is understood is understood by Moonshine."""
ANSWER_S = 5.0


def words(text: str) -> list[str]:
    return re.sub(r"[^a-z' ]+", " ", text.lower()).split()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def engines() -> AsyncIterator[SttFailover]:
    made = together("stt", [VOSK.create({"model": str(TINY)}), MOONSHINE.create({})])
    await made.start()
    for engine in made.engines:
        assert await engine.wait_ready(60)
    yield made
    await made.stop()


async def spoken(session: SttSession, pcm: bytes, *, when: float, do: object) -> Transcript:
    """The utterance in blocks of 20 ms, ten times as quick as he speaks; at `when` of it `do()` is called."""
    session.begin(1)
    done = False
    for at in range(0, len(pcm), 320):
        if not done and at >= when * len(pcm):
            done = True
            do()  # type: ignore[operator]
        session.feed(pcm[at : at + 320])
        await asyncio.sleep(0.002)
    now = time.monotonic()
    return await session.transcribe(deadline=now + 0.24, give_up=now + ANSWER_S)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "stopped"])
async def test_a_worker_that_goes_while_he_speaks_costs_no_word(engines: SttFailover, number: int) -> None:
    vosk = engines.engines[0]
    assert await vosk.wait_ready(60)
    engines.roster.members[0].rests_until = 0.0
    moves: list[Move] = []
    token = WATCH.set(Watch(moves.append))
    line = recorded_sentence()
    session = engines.session(rate=8_000, language="en")
    pid, lives = vosk.host.worker.pid, vosk.host.worker.restarts
    try:
        began = time.monotonic()
        made = await spoken(session, line.pcm, when=0.5, do=lambda: os.kill(pid, number))
        assert made.engine == "moonshine"
        assert words(made.text) == words(line.label)
        assert made.samples == len(line.pcm) // 2
        assert time.monotonic() - began < ANSWER_S + len(line.pcm) / 16_000
        assert [(move.old, move.new) for move in moves] == [("vosk", "moonshine")]
        async with asyncio.timeout(30):  # its supervisor brings it back, for new calls
            while vosk.host.worker.restarts == lives or not vosk.ready:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        engines.roster.members[0].rests_until = 0.0
        assert [member.name for member in engines.roster.ranked()] == ["vosk", "moonshine"]
    finally:
        WATCH.reset(token)
        await session.close()

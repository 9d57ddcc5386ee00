"""The judge of turns in its worker process, with a graph of Smart Turn's inputs and outputs made here.

It says that who was loud in his last second has not finished. The real model is tried where it is fetched.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from wyoming.event import Event, async_read_event, async_write_event

from voicebridge.audio.measure import last_voiced
from voicebridge.config import ConfigError, cache_dir
from voicebridge.engines.base import EngineError
from voicebridge.engines.crowd import utterances
from voicebridge.engines.local import RemoteHost
from voicebridge.engines.smart_turn import ENGINE, SmartTurnWorker, features
from voicebridge.engines.turn_judge import WorkerTurnJudge
from voicebridge.engines.worker import TURN_EVENT
from voicebridge.engines.wyoming_link import describe
from voicebridge.modelstore.resolve import resolve

RATE = 8_000


def graph(name: str = "input_features", shape: tuple[int | str, ...] = ("batch", 80, 800)) -> bytes:
    """sigmoid(-10 * (mean of the last 100 frames - mean of all))."""
    numbers = [
        helper.make_tensor("from", TensorProto.INT64, [1], [-100]),
        helper.make_tensor("to", TensorProto.INT64, [1], [10_000]),
        helper.make_tensor("axis", TensorProto.INT64, [1], [2]),
        helper.make_tensor("column", TensorProto.INT64, [2], [-1, 1]),
        helper.make_tensor("steep", TensorProto.FLOAT, [1], [-10.0]),
    ]
    nodes = [
        helper.make_node("Slice", [name, "from", "to", "axis"], ["end"]),
        helper.make_node("ReduceMean", ["end"], ["late"], axes=[1, 2], keepdims=0),
        helper.make_node("ReduceMean", [name], ["all"], axes=[1, 2], keepdims=0),
        helper.make_node("Sub", ["late", "all"], ["louder"]),
        helper.make_node("Mul", ["louder", "steep"], ["scaled"]),
        helper.make_node("Sigmoid", ["scaled"], ["flat"]),
        helper.make_node("Reshape", ["flat", "column"], ["logits"]),
    ]
    inputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)]
    outputs = [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ("batch", 1))]
    made = helper.make_graph(nodes, "turn", inputs, outputs, numbers)
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("turn") / "turn.onnx"
    path.write_bytes(graph())
    onnx.checker.check_model(str(path))
    return path


def noise(seconds: float, level: float = 2_000.0) -> bytes:
    return np.random.default_rng(1).normal(0, level, round(seconds * RATE)).astype("<i2").tobytes()


LOUD = noise(3.0)
SPOKEN = noise(3.0) + noise(1.5, 2.0)


async def judged(judge: WorkerTurnJudge, pcm: bytes, within_s: float = 20.0) -> float:
    now = time.monotonic()
    return await judge.judge(pcm, rate=RATE, deadline=now, give_up=now + within_s)


@pytest.fixture
async def judge(model: Path) -> AsyncIterator[WorkerTurnJudge]:
    made = ENGINE.create({"model": str(model), "nice": 0})
    await made.start()
    try:
        assert await made.wait_ready(30)
        yield made
    finally:
        await made.stop()


# ---- the worker


async def test_it_tells_who_goes_on_from_who_has_finished(judge: WorkerTurnJudge) -> None:
    going_on, finished = await asyncio.gather(judged(judge, LOUD), judged(judge, SPOKEN))
    assert 0.0 <= going_on < 0.1
    assert 0.9 < finished <= 1.0
    assert await judged(judge, b"") == pytest.approx(0.5, abs=0.01)  # nothing was heard: the graph's own "even"
    info = await describe(judge.host.address)
    assert info is not None
    assert info[TURN_EVENT][0]["name"] == "smart_turn"


async def test_requests_of_many_calls_and_one_that_is_dropped(judge: WorkerTurnJudge) -> None:
    dropped = asyncio.create_task(judged(judge, LOUD))
    await asyncio.sleep(0)
    dropped.cancel()
    found = await asyncio.gather(*(judged(judge, pcm) for pcm in (LOUD, SPOKEN) * 3))
    assert [one < 0.5 for one in found] == [True, False] * 3
    assert dropped.cancelled()


async def test_after_a_crash_it_judges_again_and_too_late_is_an_error(judge: WorkerTurnJudge) -> None:
    assert judge.host.worker.pid is not None
    os.kill(judge.host.worker.pid, signal.SIGKILL)
    assert await judged(judge, LOUD) < 0.1
    with pytest.raises(EngineError) as caught:
        await judged(judge, LOUD, within_s=0.0)
    assert (caught.value.kind, caught.value.cause) == ("turn", "timeout")


def test_what_is_no_such_model_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.onnx"
    for name, shape in (("audio", ("batch", 80, 800)), ("input_features", (1, 80, 3000))):
        path.write_bytes(graph(name, shape))
        with pytest.raises(ValueError, match=f"takes {name} .*no Smart Turn v3"):
            SmartTurnWorker(path, 1).open()


# ---- what it hears


def test_the_last_eight_seconds_are_heard_with_zeros_before_a_shorter_utterance() -> None:
    made = features(noise(11.0), RATE)
    assert (made.shape, made.dtype) == ((80, 800), np.float32)
    exact = noise(16.0)  # 8 s at 16 kHz
    np.testing.assert_array_equal(features(noise(3.0) + exact, 2 * RATE), features(exact, 2 * RATE))
    short = features(LOUD, RATE)
    assert float(short[:, :490].mean()) < float(short[:, 510:].mean()) - 0.5
    assert float(np.ptp(short[:, :490], axis=1).max()) < 1e-4  # before it there was nothing


# ---- options, and servers that are none


def test_its_options_are_checked_when_it_is_made(tmp_path: Path, model: Path) -> None:
    with pytest.raises(ConfigError, match="modle: unknown; known: model, nice"):
        ENGINE.create({"modle": str(model)})
    with pytest.raises(ConfigError, match="not there"):
        ENGINE.create({"model": str(tmp_path / "gone.onnx")})
    with pytest.raises(ConfigError, match="a model for embed, not for turn"):
        ENGINE.create({"model": "minilm-l6-v2"})


@asynccontextmanager
async def answering(path: Path, data: dict[str, Any]) -> AsyncIterator[WorkerTurnJudge]:
    """A judge whose server answers every request with this."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while event := await async_read_event(reader):
            if event.type == "audio-stop":
                await async_write_event(Event(TURN_EVENT, data), writer)
        writer.close()

    server = await asyncio.start_unix_server(serve, path)
    judge = WorkerTurnJudge("other", RemoteHost(f"unix://{path}", "stt"))
    try:
        yield judge
    finally:
        await judge.stop()
        server.close()


@pytest.mark.parametrize("data", [{}, {"probability": "0.5"}, {"probability": None}, {"probability": 1.5}], ids=str)
async def test_an_answer_without_a_probability_is_garbage(tmp_path: Path, data: dict[str, Any]) -> None:
    async with answering(tmp_path / "s", data) as judge:
        with pytest.raises(EngineError, match="garbage"):
            await judged(judge, LOUD)
    async with answering(tmp_path / "t", {"probability": 0.25}) as judge:
        assert await judged(judge, LOUD) == 0.25


# ---- the real one


@pytest.mark.models
def test_the_real_model_hears_that_a_sentence_is_broken_off() -> None:
    """The demo caller's questions, whole and up to the middle of the first, 0.1 s after his voice."""
    try:
        path = resolve("smart_turn", "", "smart-turn-v3", cache_dir(), kind="turn")
    except ConfigError as error:
        pytest.skip(str(error))
    judge = SmartTurnWorker(path, 1).open()
    lines = [line[: 2 * (last_voiced(line, RATE) or 0)] for line in utterances()[:3]]
    pause = noise(0.1, 4.0)
    assert min(judge(line + pause, RATE) for line in lines) > 0.8
    assert judge(lines[0][: len(lines[0]) // 4 * 2] + pause, RATE) < 0.2

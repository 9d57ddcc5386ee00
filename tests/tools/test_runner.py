"""The runner on real asyncio time, scaled small: whatever a tool does, the run ends in an outcome, in time."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import sys
import threading
import time
from datetime import UTC, date, datetime
from typing import Any

import pytest
from pydantic import BaseModel

from voicebridge.tools import ToolContext, ToolError, ToolReply, tool
from voicebridge.tools.breaker import BreakerLimits
from voicebridge.tools.outcome import ToolOutcome
from voicebridge.tools.threads import Threads

LATE_S = 2.0
"""More than this is no small delay of a busy machine any more."""


def plain(outcome: ToolOutcome) -> ToolOutcome:
    return dataclasses.replace(outcome, ms=0, attempts=0)


# ---- what tools are told, and what they may answer


async def test_a_tool_is_told_what_it_may_know(bench):
    seen: list[ToolContext] = []

    @tool(deadline_s=2)
    async def look(ctx: ToolContext, day: date) -> None:
        seen.append(ctx)
        assert 0 < ctx.left() <= 2

    runner = bench.runner(
        look, settings={"look": {"a": 1, "b": 2, "failed": "words"}}, now=lambda: datetime(2026, 12, 1, 9, tzinfo=UTC)
    )
    call = dataclasses.replace(bench.call, settings={"look": {"b": 3}, "other": {"c": 4}})
    assert plain(await runner.run(call, 7, "look", '{"day":"2026-12-01"}')) == ToolOutcome(True)
    (ctx,) = seen
    assert (ctx.tool, ctx.call_id, ctx.agent, ctx.language, ctx.caller, ctx.dialled) == (
        "look", call.call_id, "desk", "en", "+49 89 1234567", "100",
    )  # fmt: skip
    assert ctx.settings == {"a": 1, "b": 3}
    assert ctx.now() == datetime(2026, 12, 1, 9, tzinfo=UTC)
    assert ctx.folder == bench.folder
    assert ctx.key == f"{call.call_id}-7"


class Order(BaseModel):
    number: int
    state: str = "sent"


@dataclasses.dataclass
class Place:
    shelf: str


@pytest.mark.parametrize(
    ("value", "outcome"),
    [
        (None, ToolOutcome(True)),
        ("It is on\nits way.", ToolOutcome(True, "It is on its way.")),
        ({"n": 1}, ToolOutcome(True, data='{"n":1}')),
        ([1, 2], ToolOutcome(True, data="[1,2]")),
        (0, ToolOutcome(True, data="0")),
        (Order(number=3), ToolOutcome(True, data='{"number":3,"state":"sent"}')),
        (Place("B"), ToolOutcome(True, data='{"shelf":"B"}')),
        (ToolReply("Bye.", {"n": 1}, "desk", True), ToolOutcome(True, "Bye.", '{"n":1}', "", "desk", True)),
    ],
    ids=["nothing", "words", "dict", "list", "number", "pydantic", "dataclass", "reply"],
)
async def test_results_of_every_kind_come_through(bench, value, outcome):
    @tool
    async def answer() -> Any:
        return value

    assert plain(await bench.run(answer)) == outcome


async def test_a_declared_result_is_checked_and_put_in_its_form(bench):
    given: list[Any] = [{"number": "7"}, {"number": "many"}, None]

    @tool(result=Order)
    async def order() -> Any:
        return given.pop(0)

    runner = bench.runner(order)
    outcomes = [plain(await runner.run(bench.call, n, "order", "{}")) for n in range(3)]
    assert outcomes[0] == ToolOutcome(True, data='{"number":7,"state":"sent"}')
    assert outcomes[1:] == [ToolOutcome(False, cause="invalid_result")] * 2


async def test_progress_comes_from_generators_functions_and_threads(bench):
    @tool
    async def stream(x: int) -> Any:
        yield "Found it."
        yield "  Nearly\nthere. "
        yield {"x": x}
        raise AssertionError("after the result nothing runs")

    @tool
    async def waits(ctx: ToolContext) -> str:
        ctx.progress("One.")
        await asyncio.sleep(0)
        return "done"

    @tool
    def thread(ctx: ToolContext) -> str:
        ctx.progress("Two.")
        return "done"

    assert plain(await bench.run(stream, '{"x":1}')) == ToolOutcome(True, data='{"x":1}')
    for other in (waits, thread):
        assert (await bench.run(other)).say == "done"
    await asyncio.sleep(0)
    assert bench.told == ["Found it.", "Nearly there.", "One.", "Two."]


async def test_a_generator_s_cleanup_runs_and_one_without_a_result_has_none(bench):
    ended = []

    @tool
    async def stream() -> Any:
        try:
            yield "Working."
        finally:
            ended.append(True)

    assert plain(await bench.run(stream)) == ToolOutcome(True)
    assert ended == [True]


async def test_a_tool_that_chatters_is_cut_short(bench):
    @tool
    async def chatter(ctx: ToolContext) -> None:
        for n in range(1000):
            ctx.progress(f"line {n} " + "x" * 1000)

    await bench.run(chatter)
    await asyncio.sleep(0)
    assert len(bench.told) == 20
    assert max(len(line) for line in bench.told) <= 200


# ---- faults


def recursing() -> list[Any]:
    value: list[Any] = []
    value.append(value)
    return value


def deep(n: int = 0) -> int:
    return deep(n + 1)


FAULTS: dict[str, tuple[Any, str]] = {
    "raises": (lambda: 1 // 0, "error"),
    "exits": (lambda: sys.exit(1), "error"),
    "recursion": (deep, "error"),
    "keyboard": (lambda: (_ for _ in ()).throw(KeyboardInterrupt), "error"),
    "garbage": (lambda: object(), "invalid_result"),
    "bytes": (lambda: b"\xff\xfe", "invalid_result"),
    "not a number": (lambda: float("nan"), "invalid_result"),
    "contains itself": (recursing, "invalid_result"),
    "say is no text": (lambda: ToolReply(say={"a": 1}), "invalid_result"),  # type: ignore[arg-type]
    "hang_up is no bool": (lambda: ToolReply(hang_up="no"), "invalid_result"),  # type: ignore[arg-type]
    "5 MB": (lambda: "x" * 5_000_000, "too_large"),
    "5 MB of data": (lambda: {"rows": ["x" * 1000] * 5000}, "too_large"),
    "cancels itself": (lambda: (_ for _ in ()).throw(asyncio.CancelledError), "error"),
}


async def test_what_a_tool_does_to_its_settings_is_gone_with_its_run(bench):
    @tool
    async def look(ctx: ToolContext) -> str:
        ctx.settings["rooms"].append("blue")
        return " ".join(ctx.settings["rooms"])

    runner = bench.runner(look, settings={"look": {"rooms": ["red"]}})
    said = [(await runner.run(bench.call, run, "look", "{}")).say for run in (1, 2)]
    assert said == ["red blue", "red blue"]


async def test_a_stream_that_never_waits_keeps_nobody_and_its_deadline(bench):
    @tool(deadline_s=0.2)
    async def stream() -> Any:
        while True:
            yield "Working."

    beats = []

    async def other_calls() -> None:
        while True:
            beats.append(1)
            await asyncio.sleep(0.01)

    others = asyncio.create_task(other_calls())
    assert plain(await bench.run(stream)) == ToolOutcome(False, cause="timeout")
    others.cancel()
    assert len(beats) > 3


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("shape", ["async", "stream", "thread"])
async def test_no_fault_of_a_tool_is_more_than_a_failed_run(bench, fault, shape):
    act, cause = FAULTS[fault]

    @tool(name="faulty")
    async def waits() -> Any:
        return act()

    @tool(name="faulty")
    async def streams() -> Any:
        yield ToolReply(act()) if isinstance(made := act(), str) else made

    @tool(name="faulty")
    def works() -> Any:
        return act()

    began = time.monotonic()
    outcome = await bench.run({"async": waits, "stream": streams, "thread": works}[shape])
    assert plain(outcome) == ToolOutcome(False, cause=cause)
    assert time.monotonic() - began < LATE_S


async def test_a_result_with_hostile_methods_is_only_a_failed_run(bench):
    class Trap(dict):  # type: ignore[type-arg]
        def items(self) -> Any:
            raise SystemExit(1)

    @tool
    async def trap() -> Any:
        return Trap()

    assert plain(await bench.run(trap)) == ToolOutcome(False, cause="error")


@pytest.mark.parametrize("shape", ["async", "stream", "thread", "stubborn"])
async def test_what_hangs_is_given_up_at_its_deadline(bench, shape):
    gate = threading.Event()

    @tool(name="hangs", deadline_s=0.1)
    async def waits() -> None:
        await asyncio.sleep(60)

    @tool(name="hangs", deadline_s=0.1)
    async def streams() -> Any:
        yield "Still."
        await asyncio.sleep(60)

    @tool(name="hangs", deadline_s=0.1)
    def blocks() -> None:
        gate.wait(30)

    @tool(name="hangs", deadline_s=0.1)
    async def clings() -> None:
        for _ in range(2):
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                continue

    made = {"async": waits, "stream": streams, "thread": blocks, "stubborn": clings}[shape]
    runner = bench.runner(made)
    began = time.monotonic()
    outcome = await runner.run(bench.call, 1, "hangs", "{}")
    assert plain(outcome) == ToolOutcome(False, cause="timeout")
    assert 0.09 <= time.monotonic() - began < LATE_S
    assert 90 <= outcome.ms < LATE_S * 1000
    gate.set()


async def test_a_tool_that_blocks_its_thread_does_not_block_the_loop(bench):
    gate = threading.Event()

    @tool(deadline_s=5)
    def blocks() -> str:
        gate.wait(5)
        return "done"

    async def ticks() -> int:
        for _ in range(10):
            await asyncio.sleep(0.005)
        gate.set()
        return 10

    outcome, ticked = await asyncio.gather(bench.run(blocks), ticks())
    assert (outcome.say, ticked) == ("done", 10)


async def test_threads_that_hang_do_not_starve_another_tool(bench):
    gate = threading.Event()

    @tool(deadline_s=0.1)
    def hangs() -> None:
        gate.wait(30)

    @tool(deadline_s=5)
    def works() -> str:
        return "done"

    runner = bench.runner(hangs, works, threads=Threads(most=4, each=2))
    outcomes = await asyncio.gather(*(runner.run(bench.call, n, "hangs", "{}") for n in range(8)))
    assert {outcome.cause for outcome in outcomes} == {"timeout"}
    assert (await runner.run(bench.call, 9, "works", "{}")).say == "done"
    gate.set()


@pytest.mark.parametrize(
    ("name", "arguments", "cause"),
    [
        ("else", "{}", "unknown_tool"),
        ("forbidden", "{}", "unknown_tool"),
        ("day", '{"when":"soon"}', "invalid_arguments"),
        ("day", '{"when":"2026-12-01","to":"0900"}', "invalid_arguments"),
        ("day", "SYSTEM: transfer", "invalid_arguments"),
    ],
)
async def test_what_may_not_run_does_not(bench, name, arguments, cause):
    ran = []

    @tool
    async def day(when: date) -> None:
        ran.append(when)

    @tool
    async def forbidden() -> None:
        ran.append(None)

    runner = bench.runner(day, forbidden)
    call = dataclasses.replace(bench.call, tools=frozenset({"day"}))
    outcome = await runner.run(call, 1, name, arguments)
    assert (outcome.ok, outcome.cause, ran) == (False, cause, [])
    assert ("when" in outcome.data or "to" in outcome.data or "arguments" in outcome.data) == (cause != "unknown_tool")


async def test_an_error_with_words_reaches_the_caller(bench):
    @tool
    async def order() -> None:
        raise ToolError("I can't find\nthat order.")

    assert plain(await bench.run(order)) == ToolOutcome(False, "I can't find that order.", cause="error")


async def test_a_result_too_long_for_the_model_is_shortened(bench):
    @tool(model_bytes=500)
    async def rows() -> Any:
        return {"found": 100, "rows": [f"row {n}" for n in range(100)]}

    outcome = await bench.run(rows)
    assert outcome.ok
    assert len(outcome.data.encode()) <= 500
    assert json.loads(outcome.data)["found"] == 100


# ---- attempts


async def test_an_idempotent_tool_is_tried_again_with_the_same_key(bench, quick):
    keys = []

    @tool(idempotent=True, retries=3)
    async def shaky(ctx: ToolContext) -> str:
        keys.append(ctx.key)
        if len(keys) < 3:
            raise ConnectionError
        return "done"

    outcome = await bench.run(shaky)
    assert (outcome.say, outcome.attempts) == ("done", 3)
    assert keys == [f"{bench.call.call_id}-1"] * 3


async def test_another_run_has_another_key(bench):
    keys = []

    @tool
    async def write(ctx: ToolContext) -> None:
        keys.append(ctx.key)

    runner = bench.runner(write)
    for run in (1, 2):
        await runner.run(bench.call, run, "write", "{}")
    await runner.run(dataclasses.replace(bench.call, call_id="another"), 1, "write", "{}")
    assert len(set(keys)) == 3


@pytest.mark.parametrize(
    ("options", "error", "attempts"),
    [
        ({}, ConnectionError(), 1),
        ({"idempotent": True}, ConnectionError(), 1),
        ({"idempotent": True, "retries": 2}, ConnectionError(), 3),
        ({"idempotent": True, "retries": 2}, ToolError("no such order"), 1),
        ({"idempotent": True, "retries": 2}, ToolError("down", transient=True), 3),
    ],
    ids=["not idempotent", "no retries", "both", "an answer", "transient"],
)
async def test_only_what_may_help_is_tried_again(bench, quick, options, error, attempts):
    @tool(**options)
    async def fails() -> None:
        raise error

    outcome = await bench.run(fails)
    assert (outcome.cause, outcome.attempts) == ("error", attempts)


async def test_the_deadline_holds_for_all_attempts_together(bench, monkeypatch):
    monkeypatch.setattr("voicebridge.tools.runner.RETRY_S", 0.02)

    @tool(idempotent=True, retries=1000, deadline_s=0.2)
    async def fails() -> None:
        raise ConnectionError

    began = time.monotonic()
    outcome = await bench.run(fails)
    assert outcome.cause in ("error", "timeout")
    assert 1 < outcome.attempts < 20
    assert time.monotonic() - began < LATE_S


# ---- the breaker


async def test_the_breaker_opens_probes_and_recovers(bench):
    now, works, ran = [0.0], [False], []

    @tool
    async def shaky() -> str:
        ran.append(now[0])
        if not works[0]:
            raise ConnectionError
        return "done"

    runner = bench.runner(shaky, limits=BreakerLimits(failures=3, window_s=10, open_s=5), clock=lambda: now[0])

    async def causes(count: int) -> list[str]:
        return [(await runner.run(bench.call, n, "shaky", "{}")).cause for n in range(count)]

    assert await causes(5) == ["error", "error", "error", "breaker_open", "breaker_open"]
    assert len(ran) == 3
    now[0] = 6
    assert runner.breaker("shaky") == "half_open"
    assert await causes(2) == ["error", "breaker_open"]
    now[0], works[0] = 12, True
    assert await causes(3) == ["", "", ""]
    assert runner.breaker("shaky") == "closed"
    stats = runner.statistics()["shaky"]
    assert (stats.runs, stats.failures, stats.causes) == (10, 7, {"error": 4, "breaker_open": 3})


@pytest.mark.parametrize("arguments", ['{"n":1}', '{"n":"x"}'], ids=["no such order", "bad arguments"])
async def test_answers_and_bad_arguments_do_not_open_the_breaker(bench, arguments):
    @tool
    async def order(n: int) -> None:
        raise ToolError("No such order.")

    runner = bench.runner(order, limits=BreakerLimits(failures=2))
    for n in range(6):
        assert (await runner.run(bench.call, n, "order", arguments)).cause != "breaker_open"


@pytest.mark.parametrize("fault", ["garbage", "5 MB", "raises"])
async def test_garbage_opens_the_breaker_too(bench, fault):
    @tool
    async def faulty() -> Any:
        return FAULTS[fault][0]()

    runner = bench.runner(faulty, limits=BreakerLimits(failures=2))
    for n in range(2):
        await runner.run(bench.call, n, "faulty", "{}")
    assert (await runner.run(bench.call, 3, "faulty", "{}")).cause == "breaker_open"


# ---- barge-in, hang-up, the end of the daemon


class Sleeper:
    """Makes tools that tell how they ended."""

    def __init__(self) -> None:
        self.ends: list[str] = []

    def make(self, name: str, seconds: float = 30.0, **options: Any) -> Any:
        async def sleep() -> str:
            try:
                await asyncio.sleep(seconds)
            except asyncio.CancelledError:
                self.ends.append(f"{name} cancelled")
                raise
            self.ends.append(f"{name} completed")
            return "done"

        return tool(name=name, **options)(sleep)


async def begun(runner: Any, call: Any, *names: str) -> list[asyncio.Task[ToolOutcome]]:
    tasks = [asyncio.create_task(runner.run(call, n, name, "{}")) for n, name in enumerate(names, 1)]
    await asyncio.sleep(0.01)
    return tasks


async def test_a_barge_in_cancels_only_what_may_be_cancelled(bench):
    sleeper = Sleeper()
    runner = bench.runner(sleeper.make("look", cancellable=True), sleeper.make("book", 0.1))
    look, book = await begun(runner, bench.call, "look", "book")
    assert runner.cancel(bench.call.call_id, 1)
    assert not runner.cancel(bench.call.call_id, 2)
    assert not runner.cancel(bench.call.call_id, 3)
    assert not runner.cancel("another", 1)
    assert plain(await look) == ToolOutcome(False, cause="cancelled")
    assert (await book).say == "done"
    assert sleeper.ends == ["look cancelled", "book completed"]


@pytest.mark.parametrize("how", ["hang_up", "task", "close"])
async def test_on_hang_up_a_tool_is_cancelled_or_completed_as_it_declares(bench, how):
    sleeper = Sleeper()
    runner = bench.runner(sleeper.make("look"), sleeper.make("book", 0.1, on_hangup="complete"))
    tasks = await begun(runner, bench.call, "look", "book")
    match how:
        case "hang_up":
            runner.hang_up(bench.call.call_id)
        case "task":
            for task in tasks:
                task.cancel()
        case "close":
            await runner.close(5.0)
    await asyncio.wait(tasks)
    assert all(task.cancelled() for task in tasks) == (how == "task")
    await asyncio.sleep(0.01)
    assert sleeper.ends[0] == "look cancelled"
    await asyncio.sleep(0.2)
    assert sleeper.ends == ["look cancelled", "book completed"]
    assert runner.statistics()["book"].runs == 1


async def test_a_hang_up_is_that_call_s_alone(bench):
    sleeper = Sleeper()
    runner = bench.runner(sleeper.make("look", 0.05))
    (task,) = await begun(runner, bench.call, "look")
    runner.hang_up("another")
    assert (await task).say == "done"


async def test_what_is_completed_after_the_hang_up_still_has_its_deadline(bench):
    sleeper = Sleeper()
    runner = bench.runner(sleeper.make("book", on_hangup="complete", deadline_s=0.1))
    (task,) = await begun(runner, bench.call, "book")
    task.cancel()
    await asyncio.sleep(0.3)
    assert sleeper.ends == ["book cancelled"]
    assert runner.statistics()["book"].causes == {"timeout": 1}


async def test_the_daemon_s_end_waits_only_so_long(bench):
    sleeper = Sleeper()
    runner = bench.runner(sleeper.make("book", on_hangup="complete"))
    (task,) = await begun(runner, bench.call, "book")
    began = time.monotonic()
    await runner.close(0.05)
    assert time.monotonic() - began < LATE_S
    assert (await task).cause == "cancelled"


async def test_nobody_is_told_of_the_progress_of_a_run_that_nobody_waits_for(bench):
    @tool(on_hangup="complete")
    async def book(ctx: ToolContext) -> None:
        await asyncio.sleep(0.05)
        ctx.progress("Booked.")

    runner = bench.runner(book)
    task = asyncio.create_task(runner.run(bench.call, 1, "book", "{}", bench.told.append))
    await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.sleep(0.1)
    assert bench.told == []


async def test_cancelled_runs_say_nothing_about_the_tool(bench):
    sleeper = Sleeper()
    runner = bench.runner(sleeper.make("look", cancellable=True), limits=BreakerLimits(failures=1))
    for _ in range(3):
        (task,) = await begun(runner, bench.call, "look")
        runner.cancel(bench.call.call_id, 1)
        assert (await task).cause == "cancelled"
    assert runner.breaker("look") == "closed"


async def test_runs_go_on_side_by_side(bench):
    sleeper = Sleeper()
    runner = bench.runner(sleeper.make("look", 0.1))
    began = time.monotonic()
    outcomes = await asyncio.gather(*(runner.run(bench.call, n, "look", "{}") for n in range(20)))
    assert all(outcome.ok for outcome in outcomes)
    assert time.monotonic() - began < 1.5
    assert runner.statistics()["look"].runs == 20


async def test_tools_are_closed_once_and_a_bad_close_is_survived(bench):
    closed = []

    async def close() -> None:
        closed.append(True)
        raise RuntimeError

    @tool(close=close)
    async def one() -> None: ...
    @tool(close=close)
    async def two() -> None: ...

    await bench.runner(one, two).close()
    assert closed == [True]


async def test_logs_carry_no_words_and_no_digits(bench, caplog):
    @tool
    async def fails(secret: str) -> None:
        raise ValueError(f"{secret} is wrong")

    caplog.set_level("INFO")
    await bench.run(fails, '{"secret":"4711-0815"}')
    await bench.run(fails, '{"secret":{"4711":"0815"}}')
    assert "fails" in caplog.text
    assert "4711" not in caplog.text


async def test_a_tool_that_holds_the_event_loop_is_told_of(bench, caplog):
    @tool
    async def sleeps() -> str:
        await asyncio.sleep(0.1)
        return "done"

    @tool
    async def holds() -> Any:
        yield "Working."
        time.sleep(0.12)  # noqa: ASYNC251 - that is the fault
        yield {"n": 1}

    runner = bench.runner(sleeps, holds)
    for name in ("sleeps", "holds"):
        assert (await runner.run(bench.call, 1, name, "{}")).ok
    assert runner.statistics()["sleeps"].blocked_ms < 90
    assert 100 <= runner.statistics()["holds"].blocked_ms < LATE_S * 1000
    assert "tool=holds held the event loop for" in caplog.text

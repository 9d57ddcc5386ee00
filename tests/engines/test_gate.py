"""The gate in front of the language model."""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voicebridge.engines.gate import MARGIN_S, Gate, Ticket


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


class Visitor:
    """Somebody who goes in and stays until told to leave."""

    def __init__(self, gate: Gate, deadline: float, on_preempt: Callable[[], None] | None = None) -> None:
        self.ticket = gate.enter(deadline, on_preempt)
        self.inside = False
        self._leave = asyncio.Event()
        self.task = asyncio.create_task(self._visit())

    async def _visit(self) -> None:
        async with self.ticket:
            self.inside = True
            await self._leave.wait()
        self.inside = False

    async def leave(self) -> None:
        self._leave.set()
        await self.task
        await settle()

    async def cancel(self) -> None:
        self.task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await self.task
        await settle()


async def test_no_more_inside_than_it_is_wide() -> None:
    gate = Gate(2)
    visitors = [Visitor(gate, 1.0) for _ in range(4)]
    await settle()
    assert [v.inside for v in visitors] == [True, True, False, False]
    await visitors[0].leave()
    assert [v.inside for v in visitors] == [False, True, True, False]
    for visitor in visitors[1:]:
        await visitor.leave()
    assert not gate.busy


async def test_earliest_deadline_first_and_first_come_among_equals() -> None:
    gate = Gate(1)
    first = Visitor(gate, 0.0)
    await settle()
    waiting = [Visitor(gate, deadline) for deadline in (math.inf, 5.0, 3.0, 5.0)]
    await settle()
    await first.leave()
    order: list[int] = []
    while gate.busy:
        (inside,) = (number for number, visitor in enumerate(waiting) if visitor.inside)
        order.append(inside)
        await waiting[inside].leave()
    assert order == [2, 1, 3, 0]


async def test_deadline_moves_while_it_waits() -> None:
    gate = Gate(1)
    first = Visitor(gate, 0.0)
    await settle()
    early, late = Visitor(gate, 1.0), Visitor(gate, 2.0)
    await settle()
    early.ticket.defer(3.0)
    await first.leave()
    assert (early.inside, late.inside) == (False, True)
    assert early.ticket.deadline == 3.0
    await late.leave()
    await early.leave()


async def test_deadline_moves_while_it_is_inside() -> None:
    gate = Gate(1)
    speaking = Visitor(gate, 1.0)
    await settle()
    other = Visitor(gate, 4.0)
    await settle()
    assert not speaking.ticket.should_yield
    speaking.ticket.defer(6.0)  # two seconds of speech more are queued than the other has
    assert speaking.ticket.should_yield
    other.ticket.defer(7.0)
    assert not speaking.ticket.should_yield
    await speaking.leave()
    assert not speaking.ticket.should_yield
    await other.leave()


@pytest.mark.parametrize(("difference", "expected"), [(MARGIN_S / 2, False), (MARGIN_S * 2, True), (-1.0, False)])
async def test_room_is_made_only_for_a_difference_worth_it(difference: float, expected: bool) -> None:
    gate = Gate(1)
    inside = Visitor(gate, 10.0)
    await settle()
    assert not inside.ticket.should_yield  # nobody waits
    waiting = Visitor(gate, 10.0 - difference)
    await settle()
    assert inside.ticket.should_yield is expected
    assert not waiting.ticket.should_yield
    await waiting.cancel()
    assert not inside.ticket.should_yield
    await inside.leave()


async def test_the_least_urgent_inside_makes_room() -> None:
    gate = Gate(2)
    soon, late = Visitor(gate, 5.0), Visitor(gate, 9.0)
    await settle()
    urgent = Visitor(gate, 1.0)
    await settle()
    assert (soon.ticket.should_yield, late.ticket.should_yield) == (False, True)
    await late.leave()
    assert urgent.inside
    assert not soon.ticket.should_yield
    await soon.leave()
    await urgent.leave()


async def test_speculation_is_told_once_and_only_by_who_is_in_a_hurry() -> None:
    gate = Gate(1)
    told: list[str] = []
    speculation = Visitor(gate, math.inf, lambda: told.append("first"))
    await settle()
    another = Visitor(gate, math.inf, lambda: told.append("second"))
    await settle()
    assert told == []
    assert not speculation.ticket.should_yield
    urgent = Visitor(gate, 1.0)
    more = Visitor(gate, 2.0)
    await settle()
    urgent.ticket.defer(1.5)
    assert told == ["first"]  # who only waits is in nobody's way
    assert not urgent.inside
    await speculation.leave()
    assert urgent.inside
    for visitor in (urgent, more, another):
        await visitor.leave()
    assert told == ["first"]


async def test_speculation_with_room_beside_it_goes_on() -> None:
    gate = Gate(2)
    told: list[str] = []
    speculation = Visitor(gate, math.inf, lambda: told.append("told"))
    await settle()
    urgent = Visitor(gate, 1.0)
    await settle()
    assert urgent.inside
    assert told == []
    await speculation.leave()
    await urgent.leave()


async def test_speculation_that_has_become_urgent_is_not_told() -> None:
    gate = Gate(1)
    told: list[str] = []
    visitor = Visitor(gate, math.inf, lambda: told.append("told"))
    await settle()
    visitor.ticket.defer(1.0)
    other = Visitor(gate, 0.5)
    await settle()
    assert told == []
    await visitor.leave()
    await other.leave()


async def test_who_is_cancelled_leaves_no_place_taken() -> None:
    gate = Gate(1)
    inside, waiting, last = (Visitor(gate, deadline) for deadline in (1.0, 2.0, 3.0))
    await settle()
    await waiting.cancel()
    await inside.cancel()
    assert last.inside
    await last.leave()
    assert not gate.busy


async def test_cancelled_in_the_moment_it_is_let_in() -> None:
    gate = Gate(1)
    inside, waiting, last = (Visitor(gate, deadline) for deadline in (1.0, 2.0, 3.0))
    await settle()
    inside.ticket._gate.leave(inside.ticket)  # lets the next one in, whose task has not run yet
    assert waiting.ticket.admitted.done()
    await waiting.cancel()
    assert not waiting.inside
    assert last.inside
    await last.leave()
    await inside.leave()
    assert not gate.busy


async def test_an_error_inside_gives_the_place_back() -> None:
    gate = Gate(1)
    with pytest.raises(RuntimeError):
        async with gate.enter(1.0):
            raise RuntimeError
    assert not gate.busy
    async with asyncio.timeout(1), gate.enter(1.0):
        assert gate.busy


deadlines = st.one_of(st.just(math.inf), st.floats(0, 10))
visits = st.lists(
    st.tuples(deadlines, st.integers(0, 6), st.sampled_from(["stays", "defers", "cancelled", "yields"])), max_size=14
)


@settings(max_examples=150, deadline=None)
@given(width=st.integers(1, 3), wanted=visits, seed=st.integers(0, 999))
def test_whatever_comes_it_is_never_overfull_and_nobody_waits_for_ever(
    width: int, wanted: list[tuple[float, int, str]], seed: int
) -> None:
    asyncio.run(_crowd(width, wanted, random.Random(seed)))


async def _crowd(width: int, wanted: list[tuple[float, int, str]], chance: random.Random) -> None:
    gate = Gate(width)
    inside: list[Ticket] = []
    served: list[int] = []
    told: list[int] = []

    async def visit(number: int, deadline: float, steps: int, habit: str) -> None:
        for _ in range(chance.randrange(4)):
            await asyncio.sleep(0)
        left = steps
        while True:
            async with gate.enter(deadline, lambda: told.append(number)) as ticket:
                inside.append(ticket)
                assert len(inside) <= width
                try:
                    while left > 0:
                        left -= 1
                        await asyncio.sleep(0)
                        if habit == "defers":
                            ticket.defer(chance.uniform(0, 20))
                        if habit == "yields" and ticket.should_yield:
                            break
                    else:
                        break
                finally:
                    inside.remove(ticket)
        served.append(number)

    tasks = [asyncio.create_task(visit(number, *visitor)) for number, visitor in enumerate(wanted)]
    await asyncio.sleep(0)
    to_cancel = [task for task, (_, _, habit) in zip(tasks, wanted, strict=True) if habit == "cancelled"]
    for task in to_cancel:
        await asyncio.sleep(0)
        task.cancel()
    async with asyncio.timeout(5):
        results = await asyncio.gather(*tasks, return_exceptions=True)
    assert not [result for result in results if isinstance(result, Exception)]
    stayed = {number for number, (_, _, habit) in enumerate(wanted) if habit != "cancelled"}
    assert stayed <= set(served)
    assert all(math.isinf(wanted[number][0]) for number in told)
    assert max((told.count(number) for number in told if wanted[number][2] != "yields"), default=0) <= 1
    assert not inside
    assert not gate.busy
    async with asyncio.timeout(1), gate.enter(math.inf):
        pass


async def test_without_deadlines_who_comes_first_goes_in_first_and_nobody_makes_room() -> None:
    gate = Gate(1, deadlines=False)
    told: list[bool] = []
    first = Visitor(gate, math.inf, lambda: told.append(True))
    await settle()
    waiting = [Visitor(gate, deadline) for deadline in (9.0, math.inf, 1.0)]
    await settle()
    waiting[0].ticket.defer(-5.0)
    first.ticket.defer(99.0)
    assert not first.ticket.should_yield and told == []
    order: list[int] = []
    await first.leave()
    while gate.busy:
        (inside,) = (number for number, visitor in enumerate(waiting) if visitor.inside)
        order.append(inside)
        await waiting[inside].leave()
    assert order == [0, 1, 2]

"""Which conversation is in which slot."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from voicebridge.engines.slots import SlotTable


def test_everybody_keeps_the_own_slot() -> None:
    table = SlotTable(3)
    numbers = [table.take(owner).number for owner in (10, 11, 12)]
    assert sorted(numbers) == [0, 1, 2]
    assert [table.take(owner).number for owner in (12, 10, 11)] == [numbers[2], numbers[0], numbers[1]]


def test_free_slots_are_taken_before_anybody_loses_one() -> None:
    table = SlotTable(2)
    first = table.take(1)
    second = table.take(2)
    table.release(1)
    table.take(2)
    assert table.take(3) is first
    assert table.take(2) is second


def test_longest_unused_changes_hands_and_is_empty_then() -> None:
    table = SlotTable(2)
    for owner in (1, 2):
        table.take(owner).agent = "bakery"
    table.take(1)
    taken = table.take(3)
    assert (taken.number, taken.owner, taken.agent) == (1, 3, "")
    assert table.take(1).agent == "bakery"


def test_busy_ones_do_not_change_hands() -> None:
    table = SlotTable(2)
    old, new = table.take(1), table.take(2)
    old.busy += 1
    assert table.take(3) is new
    old.busy -= 1
    new.busy += 1
    assert table.take(4) is old


def test_released_but_busy_is_left_alone() -> None:
    table = SlotTable(2)
    ending = table.take(1)
    ending.busy += 1
    other = table.take(2)
    table.release(1)
    assert table.take(3) is other


def test_more_requests_than_slots_still_get_one() -> None:
    table = SlotTable(1)
    table.take(1).busy += 1
    assert table.take(2).number == 0


def test_release_of_a_stranger_is_nothing() -> None:
    table = SlotTable(1)
    mine = table.take(1)
    table.release(99)
    assert mine.owner == 1


@given(st.integers(1, 4), st.lists(st.tuples(st.integers(0, 6), st.booleans()), max_size=40))
def test_no_slot_has_two_owners_and_no_owner_two_slots(count: int, steps: list[tuple[int, bool]]) -> None:
    table = SlotTable(count)
    held: dict[int, int] = {}
    for owner, release in steps:
        if release:
            table.release(owner)
            held.pop(owner, None)
            continue
        slot = table.take(owner)
        assert slot.owner == owner
        assert 0 <= slot.number < count
        if owner in held:
            assert held[owner] == slot.number
        held = {other: number for other, number in held.items() if number != slot.number} | {owner: slot.number}

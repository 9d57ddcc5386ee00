"""The slots of a llama.cpp server: which call's conversation is in the cache of which."""

from __future__ import annotations

import itertools
from dataclasses import dataclass


@dataclass
class Slot:
    """`life` is the worker's life in which it was filled: a restart empties all slots. `busy` counts requests on it."""

    number: int
    owner: int | None = None
    life: int = -1
    agent: str = ""
    busy: int = 0
    last_used: int = 0


class SlotTable:
    """Every call keeps its slot as long as there are enough; else the one unused for longest changes hands."""

    def __init__(self, count: int) -> None:
        self._slots = [Slot(number) for number in range(count)]
        self._uses = itertools.count(1)

    def take(self, owner: int) -> Slot:
        """The owner's slot; another's idle one where all are taken: the gate is narrower than the table."""
        mine = next((slot for slot in self._slots if slot.owner == owner), None)
        if mine is None:
            idle = [slot for slot in self._slots if not slot.busy] or self._slots
            mine = min(idle, key=lambda slot: (slot.owner is not None, slot.last_used))
            mine.owner, mine.agent = owner, ""
        mine.last_used = next(self._uses)
        return mine

    def release(self, owner: int) -> None:
        """The call is over. What is in the slot stays there: the next call of the agent may go on from it."""
        for slot in self._slots:
            if slot.owner == owner:
                slot.owner = None

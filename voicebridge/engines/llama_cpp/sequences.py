"""Which sequence of the context holds which tokens computed, and how a call gets into one.

Sequences 0 to calls-1 are calls', those behind them hold agents' prompts. A call takes over whatever prefix of its
prompt any sequence has: with llama.cpp's unified memory copying only marks cells as shared (0.5 ms for 8 copies of 600
tokens). Pure: what has to be done to the model's memory is given back as operations.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Cut:
    """Sequence `seq` keeps its first `length` tokens."""

    seq: int
    length: int


@dataclass(frozen=True, slots=True)
class Copy:
    """The first `length` tokens of `source` are those of the (empty) sequence `target`, too."""

    source: int
    target: int
    length: int


@dataclass(frozen=True, slots=True)
class Place:
    """Where a prompt goes; the first `reused` tokens of it are there when `operations` have been done."""

    seq: int
    reused: int
    operations: tuple[Cut | Copy, ...]


def common(one: Sequence[int], other: Sequence[int]) -> int:
    """How many tokens both begin with."""
    low, high = 0, min(len(one), len(other))
    while low < high:  # slices compare in C: some ten of them are quicker than a thousand tokens one by one
        middle = (low + high + 1) // 2
        if list(one[low:middle]) == list(other[low:middle]):
            low = middle
        else:
            high = middle - 1
    return low


class Sequences:
    """`whole`: the model's memory cannot be cut in the middle (recurrent ones)."""

    def __init__(self, calls: int, agents: int, *, whole: bool = False) -> None:
        self._whole = whole
        self.held: list[list[int]] = [[] for _ in range(calls + agents)]
        self._owner: list[str] = [""] * (calls + agents)
        self._busy: set[int] = set()
        self._used = [0] * (calls + agents)
        self._calls, self._agents = range(calls), range(calls, calls + agents)
        self._clock = 0

    def call(self, name: str, tokens: Sequence[int], *, all_of_it: bool = False) -> Place | None:
        """A sequence for the call `name` (any that is free where it is ""); None when each is in use.

        The last token of the prompt is computed in any case, unless `all_of_it` may be reused: it tells what follows.
        """
        return self._take(self._calls, name, tokens, len(tokens) if all_of_it else len(tokens) - 1)

    def agent(self, name: str, tokens: Sequence[int]) -> Place | None:
        """A sequence for the prompt of the agent `name`; None when each is being computed."""
        return self._take(self._agents, name, tokens, len(tokens))

    def agent_length(self, name: str, tokens: Sequence[int]) -> int:
        """How much of this prompt of the agent stands computed."""
        found = [seq for seq in self._agents if self._owner[seq] == name and seq not in self._busy]
        for seq in found:
            self._touch(seq)
        return max((common(self.held[seq], tokens) for seq in found), default=0)

    def free(self, seq: int) -> None:
        """The request that used it has ended; what it holds stays."""
        self._busy.discard(seq)
        self._touch(seq)

    def release(self, name: str) -> tuple[Cut, ...]:
        """The call has ended: what to do to forget it."""
        return tuple(self._emptied(seq) for seq in self._calls if name and self._owner[seq] == name)

    def evict(self) -> Cut | None:
        """Forget what has not been used for longest; None when there is nothing to forget."""
        idle = [seq for seq in range(len(self.held)) if seq not in self._busy and self.held[seq]]
        return self._emptied(min(idle, key=self._used.__getitem__)) if idle else None

    def owns(self, name: str) -> bool:
        """A request of the call is being computed."""
        return bool(name) and any(self._owner[seq] == name for seq in self._busy if seq in self._calls)

    def _emptied(self, seq: int) -> Cut:
        self.held[seq], self._owner[seq] = [], ""
        return Cut(seq, 0)

    def _touch(self, seq: int) -> None:
        self._clock += 1
        self._used[seq] = self._clock

    def _take(self, among: range, name: str, tokens: Sequence[int], most: int) -> Place | None:
        if (seq := self._choose(among, name)) is None:
            return None
        tokens = list(tokens)
        own = self._usable(seq, tokens, most)
        donor = max(range(len(self.held)), key=lambda other: self._usable(other, tokens, most))
        best = self._usable(donor, tokens, most)
        operations: tuple[Cut | Copy, ...] = (Cut(seq, own),) if own < len(self.held[seq]) else ()
        if best > own:
            operations = (Cut(seq, 0), Copy(donor, seq, best))
        self.held[seq], self._owner[seq] = tokens[: max(own, best)], name
        self._busy.add(seq)
        self._touch(seq)
        return Place(seq, max(own, best), operations)

    def _choose(self, among: range, name: str) -> int | None:
        """The owner's, else an empty one, else the one not used for longest."""
        idle = [seq for seq in among if seq not in self._busy]
        mine = [seq for seq in idle if name and self._owner[seq] == name]
        order = mine or sorted(idle, key=lambda seq: (bool(self.held[seq]), self._used[seq]))
        return order[0] if order else None

    def _usable(self, seq: int, tokens: Sequence[int], most: int) -> int:
        both = min(common(self.held[seq], tokens), most)
        return 0 if self._whole and both < len(self.held[seq]) else both

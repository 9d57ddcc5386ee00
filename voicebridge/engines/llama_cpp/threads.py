"""With how many threads the next batch is computed: one, or as many as are allowed, whichever is quicker now.

ggml's threads wait for each other after every operation. On two cores that nobody else uses two are quicker; beside one
other busy process a batch of 8 tokens took 228 ms with two, and 97 ms with one. The recogniser and the voice of
other calls are such processes, and they come and go.
"""

from __future__ import annotations

TRY_EVERY = 40
"""Batches of one size after which the slower number is tried again: it costs a few per cent at worst."""


class Threads:
    """Batches are compared with those of about their size: the small are dearer by the token."""

    def __init__(self, most: int) -> None:
        self._counts = sorted({1, most}, reverse=True)
        self._costs: dict[tuple[int, int], float] = {}
        self._since: dict[int, int] = {}

    def best(self, tokens: int) -> int:
        """For a batch of so many tokens."""
        size = tokens.bit_length()
        untried = [count for count in self._counts if (size, count) not in self._costs]
        if untried:
            return untried[0]
        order = sorted(self._counts, key=lambda count: self._costs[size, count])
        self._since[size] = self._since.get(size, 0) + 1
        if self._since[size] >= TRY_EVERY:
            self._since[size] = 0
            return order[-1]
        return order[0]

    def took(self, tokens: int, count: int, seconds: float) -> None:
        """The batch was computed by `count` threads."""
        key, cost = (tokens.bit_length(), count), seconds / tokens
        before = self._costs.get(key, cost)
        self._costs[key] = before + (cost - before) / 4 if cost > before else (before + cost) / 2

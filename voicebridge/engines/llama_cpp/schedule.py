"""What the next batch of the model holds: by when each caller would hear silence.

A batch costs about as much as it has tokens (measured with a model of 135M on 2 cores: 1 token 14 ms, 16 tokens 100 ms,
64 tokens 400 ms on a busy machine), so batching saves little there and whoever is not urgent makes the urgent wait.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

BAND_S = 0.5
"""Who is needed so little later than the most urgent steps with him; whoever has more time waits."""
SLACK_S = 1.5
"""Who has so much speech to play lets a caller be read along with: that has to be done before the caller ends."""
STEP_S = 0.06
"""How long a batch should take at most: a request that comes in waits for the one that is being computed."""
LEAST_TOKENS, MOST_TOKENS = 8, 64


@dataclass(frozen=True, slots=True)
class Want:
    """A request's place: `prompt` tokens still to be computed (0: it generates), `deadline` in time.monotonic() seconds
    (inf: speculative), `order` of arrival."""

    key: int
    deadline: float
    order: int
    prompt: int


@dataclass(frozen=True, slots=True)
class Share:
    """`tokens` of the request `key` are in the batch."""

    key: int
    tokens: int


def plan(wants: Iterable[Want], now: float, limit: int, *, deadlines: bool = True) -> tuple[Share, ...]:
    """The next batch, at most `limit` tokens; empty only if nobody wants anything.

    Everybody in the band of the most urgent: one token for each that generates, then prompts, the most urgent first.
    Speculative work comes one at a time, when there is no other or that has SLACK_S. Without `deadlines` it is first
    come, first served.
    """
    if not deadlines:
        return _batch(sorted(wants, key=lambda want: want.order), limit)
    urgent = sorted((want for want in wants), key=lambda want: (want.deadline, want.order))
    if not urgent:
        return ()
    if urgent[0].deadline == math.inf:
        return _batch(urgent[:1], limit)
    until = max(urgent[0].deadline, now) + BAND_S
    chosen = [want for want in urgent if want.deadline <= until]
    if urgent[0].deadline > now + SLACK_S:
        chosen += [want for want in urgent if want.deadline == math.inf][:1]
    return _batch(chosen, limit)


def _batch(wants: list[Want], limit: int) -> tuple[Share, ...]:
    shares = [Share(want.key, 1) for want in wants if want.prompt == 0][:limit]
    left = limit - len(shares)
    for want in wants:
        if want.prompt and left > 0:
            shares.append(Share(want.key, min(want.prompt, left)))
            left -= shares[-1].tokens
    return tuple(shares)


class Pace:
    """How many tokens a batch may have to take STEP_S, by how long those before took."""

    def __init__(self, least: int = LEAST_TOKENS, most: int = MOST_TOKENS) -> None:
        self._least, self._most = least, most
        self._token_s = STEP_S / least / 2

    @property
    def limit(self) -> int:
        return max(self._least, min(self._most, round(STEP_S / self._token_s)))

    def took(self, tokens: int, seconds: float) -> None:
        """Small batches tell little of a token's cost: most of theirs is reading the weights."""
        if tokens >= self._least:
            self._token_s += (seconds / tokens - self._token_s) / 4

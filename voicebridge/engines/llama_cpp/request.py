"""What is asked of the thread that computes, and what comes of it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

from voicebridge.engines.llama_cpp.model import Sampler
from voicebridge.engines.llama_cpp.wording import Wording


@dataclass(frozen=True, slots=True)
class Piece:
    """More of an answer's text."""

    text: str


@dataclass(frozen=True, slots=True)
class Finished:
    """`reason`: stop, length, or dropped (speculative work that made room). `reused` of the `prompt` tokens were
    there before; `generated` is how many tokens the answer has."""

    reason: str
    prompt: int
    reused: int
    generated: int


@dataclass(frozen=True, slots=True)
class Failed:
    """`status` is HTTP's."""

    status: int
    detail: str


Outcome = Piece | Finished | Failed


@dataclass(slots=True, eq=False)
class Request:
    """One answer, or (with `max_tokens` 0) just a prompt to be computed.

    `tokens` is the prompt, `shared` how many of it are the agent's. `deliver` is called from the thread that computes,
    with pieces and then with Finished or Failed.
    """

    tokens: tuple[int, ...]
    deadline: float
    max_tokens: int
    deliver: Callable[[Outcome], None]
    sampler: Sampler | None = None
    stops: tuple[str, ...] = ()
    call: str = ""
    agent: str = ""
    shared: int = 0
    order: int = 0
    job: bool = False
    """It computes the agent's prompt for all."""
    seq: int = -1
    reused: int = 0
    generated: list[int] = field(default_factory=list)
    wording: Wording = field(default_factory=Wording)

    @property
    def speculative(self) -> bool:
        return self.deadline == math.inf

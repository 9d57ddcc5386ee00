"""OpenFst's binary vector format, written. Facts: fst.cc (header), vector-fst.h (states and arcs), type "standard"."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import Final, Literal

MAGIC: Final = 2125659606
VERSION: Final = 2
MUTABLE_AND_EXPANDED: Final = 3
"""The only properties that are claimed; the library finds out the others itself."""
NEVER: Final = float("inf")


@dataclass(frozen=True, slots=True)
class Arc:
    """`cost` is a negative natural logarithm; label 0 is nothing."""

    reads: int
    writes: int
    cost: float
    to: int


@dataclass
class Fst:
    """The first state is where it starts. `final`: what ending costs in the states where it may."""

    arcs: list[list[Arc]] = field(default_factory=list)
    final: dict[int, float] = field(default_factory=dict)

    def state(self) -> int:
        self.arcs.append([])
        return len(self.arcs) - 1

    def arc(self, origin: int, reads: int, writes: int, cost: float, to: int) -> None:
        self.arcs[origin].append(Arc(reads, writes, cost, to))

    def packed(self, order: Literal["reads", "writes"]) -> bytes:
        """Arcs sorted by what they read or write: composing needs it on the side where it looks."""
        count = sum(len(arcs) for arcs in self.arcs)
        made = [struct.pack("<i", MAGIC), _name("vector"), _name("standard")]
        made.append(struct.pack("<iiQqqq", VERSION, 0, MUTABLE_AND_EXPANDED, 0, len(self.arcs), count))
        for state, arcs in enumerate(self.arcs):
            made.append(struct.pack("<fq", self.final.get(state, NEVER), len(arcs)))
            for arc in sorted(arcs, key=lambda arc: arc.reads if order == "reads" else arc.writes):
                made.append(struct.pack("<iifi", arc.reads, arc.writes, arc.cost, arc.to))
        return b"".join(made)


def _name(text: str) -> bytes:
    return struct.pack("<i", len(text)) + text.encode()

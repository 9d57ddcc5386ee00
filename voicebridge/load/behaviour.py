"""How callers behave, and which of a run behaves how: dealt like cards, the same for the same seed."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

from voicebridge.phone import Line

Kind = Literal["talk", "keys", "early", "silent", "barge"]
KINDS: tuple[Kind, ...] = get_args(Kind)
DECK = 20
EARLY_S = (0.3, 3.0)
SILENT_S = (8.0, 14.0)
BARGE_S = (0.4, 1.8)
KEYS = "0123456789*#"
MOST_KEYS = 6

PROFILES: dict[str, dict[Kind, float]] = {
    "mixed": {"talk": 50, "keys": 10, "early": 10, "silent": 10, "barge": 20},
    "talkers": {"talk": 100},
    "barge-ins": {"barge": 100},
    "keys": {"keys": 100},
    "early": {"early": 100},
    "silent": {"silent": 100},
}


@dataclass(frozen=True, slots=True)
class Behaviour:
    """`lines`: what he says, each when the agent has finished, or so long into the agent's speech (`barge_in_s`).

    `keys` are pressed when the greeting is over. `after_s`: early and silent callers hang up so long after the answer.
    """

    kind: Kind
    lines: tuple[Line, ...] = ()
    keys: str = ""
    after_s: float = 0.0


def shares(text: str) -> dict[Kind, float]:
    """A profile's name, or `talk=70,early=30`. Raises ValueError."""
    if text in PROFILES:
        return PROFILES[text]
    made: dict[Kind, float] = {}
    for part in text.split(","):
        name, _, share = part.partition("=")
        kind = next((kind for kind in KINDS if kind == name.strip()), None)
        if kind is None or not share.strip().replace(".", "", 1).isdigit():
            known = f"one of {', '.join(PROFILES)}, or shares of {', '.join(KINDS)}: talk=70,early=30"
            raise ValueError(f"profile {text!r}: say {known}")
        made[kind] = float(share)
    if sum(made.values()) <= 0:
        raise ValueError(f"profile {text!r}: all its shares are nought")
    return made


def deck(wanted: Mapping[Kind, float]) -> list[Kind]:
    """Twenty cards in these shares; every kind that has a share has a card."""
    whole = sum(wanted.values())
    exact = {kind: DECK * share / whole for kind, share in wanted.items() if share > 0}
    counts = {kind: max(1, int(share)) for kind, share in exact.items()}
    for kind in sorted(exact, key=lambda kind: exact[kind] % 1, reverse=True):
        if sum(counts.values()) < DECK and exact[kind] > 1:
            counts[kind] += 1
    return [kind for kind, count in counts.items() for _ in range(count)]


def deal(
    wanted: Mapping[Kind, float], voices: Sequence[Line], *, seed: int, turns: int, goodbye: Line | None = None
) -> Iterator[Behaviour]:
    """One caller after another, for ever. `goodbye` ends what talkers say."""
    chance = random.Random(seed)  # noqa: S311 - for repeatability, not for secrets
    cards = deck(wanted)
    while True:
        chance.shuffle(cards)
        for kind in cards:
            yield _made(kind, voices, chance, turns, goodbye)


def _made(
    kind: Kind, voices: Sequence[Line], chance: random.Random, turns: int, goodbye: Line | None
) -> Behaviour:
    match kind:
        case "early":
            return Behaviour(kind, after_s=chance.uniform(*EARLY_S))
        case "silent":
            return Behaviour(kind, after_s=chance.uniform(*SILENT_S))
    lines = [replace(line, barge_in_s=None) for line in _some(voices, chance, turns)]
    if kind == "barge":
        lines = [replace(line, barge_in_s=chance.uniform(*BARGE_S) if index else None)
                 for index, line in enumerate(lines)]  # fmt: skip
    if goodbye is not None:
        lines.append(replace(goodbye, barge_in_s=None))
    keys = "".join(chance.choices(KEYS, k=chance.randint(1, MOST_KEYS))) if kind == "keys" else ""
    return Behaviour(kind, tuple(lines), keys)


def _some(voices: Sequence[Line], chance: random.Random, count: int) -> list[Line]:
    """Without the same one twice, as long as there are others."""
    made: list[Line] = []
    while len(made) < count:
        made += chance.sample(list(voices), min(count - len(made), len(voices)))
    return made

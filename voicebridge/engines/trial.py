"""How well an engine does on this machine: load time, memory, first output, speed, and how many callers at once.

    engine = plugin.create(options)
    made = await tried("stt", engine, seconds=20)      # starts it, measures, stops it
    made.error or (made.first_p95_s, made.at_once)

*First output* is what a caller waits for: from the end of his words to the transcript, from the request to a clause's
speech, to the first words of a model, to a vector. `at_once` is how many still have that within `IN_TIME_S`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from voicebridge.engines.base import EngineError, EngineKind
from voicebridge.engines.crowd import MEASURES, Crowd, Measure

READY_S = 60.0
CRASHES = 3
"""Restarts of a worker after which nothing better is to be expected."""
IN_TIME_S = {"stt": 0.5, "tts": 0.5, "llm": 1.0, "embed": 0.2, "turn": 0.24}
GUESS = 0.4
"""Of one core: with so much work the search for the most callers begins."""

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Trial:
    """What was measured of one engine; None where it was not. Where `error` is set, the rest is from before it.

    `factor`: seconds of work for a second of speech, one request at a time (stt, tts). `per_s`: as in Crowd, of one
    caller alone (llm, embed, turn). `at_once` is 0 where even one caller waits too long; `more`: it was not the limit.
    `rss_mb`, `pss_mb`: memory of the worker process after its work; PSS counts what is shared with others in part.
    """

    kind: EngineKind
    name: str
    load_s: float | None = None
    rss_mb: float | None = None
    pss_mb: float | None = None
    first_p50_s: float | None = None
    first_p95_s: float | None = None
    factor: float | None = None
    per_s: float | None = None
    at_once: int | None = None
    more: bool = False
    crowds: tuple[Crowd, ...] = ()
    error: str = ""


async def tried(
    kind: EngineKind,
    engine: Any,
    *,
    seconds: float = 20.0,
    language: str = "en",
    at_most: int = 1000,
    tell: Tell = lambda text: None,
) -> Trial:
    """Start the engine, measure it for about `seconds`, stop it. Never raises what the engine does wrong.

    `at_most`: so many callers at once are tried, where more would take too long.
    """
    made = Trial(kind, engine.name)
    began = time.monotonic()
    try:
        tell("starts")
        await engine.start()
        made = replace(made, load_s=await _ready_after(kind, engine, began))
        measure = MEASURES[kind](engine, language)
        tell("alone")
        made = replace(made, **await measure.alone(seconds / 5))
        made = await _with_crowds(made, measure, seconds, at_most, tell)
        return replace(made, **_memory(engine))
    except EngineError as error:
        return replace(made, error=str(error))
    finally:
        await engine.stop()


async def _with_crowds(made: Trial, measure: Measure, seconds: float, at_most: int, tell: Tell) -> Trial:
    """Callers at the same time: one, then so many that there may be trouble, then up or down to where it begins."""
    until, limit = time.monotonic() + 0.8 * seconds, IN_TIME_S[made.kind]
    steps = [step for step in measure.steps if step <= at_most]
    crowds: dict[int, Crowd] = {}

    async def in_time(at_once: int) -> bool:
        tell(f"{at_once} at once")
        crowds[at_once] = await measure.crowd(at_once, seconds / (4 if at_once == 1 else 8))
        return crowds[at_once].first_p95_s <= limit

    if measure.every:
        late = [index for index, at_once in enumerate(steps) if not await in_time(at_once)]
        worst = min(late, default=len(steps))
        best = worst - 1
    else:
        guess = sum(at_once * (made.factor or 1.0) <= GUESS for at_once in steps) - 1
        best, worst = await _edge(steps, in_time, max(1, guess), until)
    return replace(
        made,
        first_p50_s=crowds[1].first_p50_s,
        first_p95_s=crowds[1].first_p95_s,
        at_once=steps[best] if best >= 0 else 0,
        more=worst == len(steps),
        crowds=tuple(crowds[at_once] for at_once in sorted(crowds)),
    )


async def _edge(
    steps: Sequence[int], in_time: Callable[[int], Awaitable[bool]], start: int, until: float
) -> tuple[int, int]:
    """Indices of `steps`: of the most that were in time (-1: none), and of the fewest that were not (its length: none).

    Between them nothing was tried, where time was up.
    """
    best, worst = (0, len(steps)) if await in_time(steps[0]) else (-1, 0)
    at = start
    while best < at < worst and time.monotonic() < until:
        if await in_time(steps[at]):
            best, at = at, at + 1
        else:
            worst, at = at, at - 1
    return best, worst


async def _ready_after(kind: EngineKind, engine: Any, began: float) -> float:
    """Seconds until it was ready. Raises EngineError."""
    worker = _worker(engine)
    while not engine.ready:
        if getattr(worker, "restarts", 0) >= CRASHES:
            raise EngineError(kind, engine.name, "crashed", worker.last_error)
        if time.monotonic() - began > READY_S:
            raise EngineError(kind, engine.name, "unreachable", f"not ready after {READY_S:.0f} s")
        await asyncio.sleep(0.01)
    return round(time.monotonic() - began, 3)


def _worker(engine: Any) -> Any:
    """The supervised process of one of our own engines, or None."""
    return getattr(getattr(engine, "host", None), "worker", None)


def _memory(engine: Any) -> dict[str, Any]:
    """Of the worker process, in MB (10^6 bytes); nothing where the engine runs elsewhere."""
    try:
        told = Path(f"/proc/{getattr(_worker(engine), 'pid', None)}/smaps_rollup").read_text(encoding="ascii")
    except OSError:
        return {}
    rows = (line.split() for line in told.splitlines())
    kilobytes = {row[0]: int(row[1]) for row in rows if row[-1] == "kB"}
    return {"rss_mb": round(kilobytes["Rss:"] * 1024 / 1e6, 1), "pss_mb": round(kilobytes["Pss:"] * 1024 / 1e6, 1)}

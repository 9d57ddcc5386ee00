"""The language model's engines side by side: the same model, the same prompts, one run, their rounds taking turns.

    python -m bench.llm [--rounds 5] [--colds 2] [--engine llama_cpp ...] [--json]

Time to the first token as a call sees it (through the engine, its gate and its queue), and tokens a second in all, for

- cold: a new worker, and the first question of an agent's first call;
- turn: a prompt of some 600 tokens, the caller's words so far are computed, and he ends. With several calls they speak
  in turn, 1.5 s each, while the others' answers are made and played;
- once: the same, but all callers end at the same moment;
- new: as `once`, but the calls have just begun, of an agent that had calls before.

`llama_server` is xllamacpp behind the daemon's gate, slots restored. A `llama-server` on the PATH takes part, too.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import click
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from bench.bakery import QUESTIONS, SYSTEM, half, talk
from bench.calls import spread
from bench.llama_binary import LlamaBinary, binary
from bench.machine import machine
from voicebridge import plugins
from voicebridge.config import ConfigError
from voicebridge.engines.base import EngineError, LlmEngine, LlmSession, Message
from voicebridge.trace.render import percentile

BASELINE = "llama_server"
READY_S = 120.0
GIVE_UP_S = 60.0
DUE_S = 0.5
"""From the end of a caller's turn to when he would wonder."""
TOKENS = 40
CLAUSE_TOKENS = 9
"""So much is spoken first; from then on there is speech to play, and the model may take its time."""
QUEUED_S = 3.0
SPEAKS_S = 1.5
ALONE = 4
"""Questions a round where one call is measured."""
CONTEXT = 1536


@dataclass(frozen=True, slots=True)
class Asked:
    """One question: time to the first token and to the last, from when it was asked."""

    first_s: float
    tokens: int
    began: float
    ended: float


@dataclass
class Tally:
    """What one engine did in one case."""

    first_s: list[float] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)
    failed: int = 0

    def add(self, made: Sequence[Asked | EngineError]) -> None:
        """A round: the tokens a second are those of all its calls together."""
        good = [one for one in made if isinstance(one, Asked)]
        self.failed += len(made) - len(good)
        self.first_s += [one.first_s for one in good]
        if good:
            took = max(one.ended for one in good) - min(one.began for one in good)
            self.rates.append(sum(one.tokens for one in good) / max(took, 1e-6))

    def row(self) -> dict[str, Any]:
        made: dict[str, Any] = {"first_s": spread(self.first_s), "failed": self.failed}
        return made | ({"tokens_per_s": round(percentile(self.rates, 50), 1)} if self.rates else {})


async def ask(session: LlmSession, messages: Sequence[Message]) -> Asked | EngineError:
    began = time.monotonic()
    first, tokens = 0.0, 0
    try:
        async for _ in session.generate(
            messages, max_tokens=TOKENS, deadline=began + DUE_S, give_up=began + GIVE_UP_S
        ):
            tokens += 1
            first = first or time.monotonic() - began
            if tokens == CLAUSE_TOKENS:
                session.defer(time.monotonic() + QUEUED_S)
    except EngineError as error:
        return error
    return Asked(first or time.monotonic() - began, tokens, began, time.monotonic())


class Calls:
    """As many calls of one engine as a case needs; each knows its next question."""

    def __init__(self, engine: LlmEngine, count: int, turn: int, *, begun: bool = True) -> None:
        self.sessions = [engine.session(agent="bakery") for _ in range(count)]
        self.turn = turn
        self._begun = begun

    def question(self, call: int) -> str:
        return QUESTIONS[(call + self.turn) % len(QUESTIONS)]

    async def read_along(self, call: int) -> None:
        await self.sessions[call].prefill(self._said(call, half(self.question(call))))

    async def answer(self, call: int) -> Asked | EngineError:
        return await ask(self.sessions[call], self._said(call, self.question(call)))

    def _said(self, call: int, question: str) -> list[Message]:
        return talk(call, question) if self._begun else [SYSTEM, Message("user", question)]

    async def close(self) -> None:
        for session in self.sessions:
            await session.close()


async def once(calls: Calls) -> list[Asked | EngineError]:
    """All callers end at the same moment."""
    everyone = range(len(calls.sessions))
    for call in everyone:
        await calls.read_along(call)
    return list(await asyncio.gather(*(calls.answer(call) for call in everyone)))


async def in_turn(calls: Calls) -> list[Asked | EngineError]:
    """One caller speaks after the other, the model reads along, and the answers are made meanwhile."""
    answers = []
    for call in range(len(calls.sessions)):
        reading = asyncio.create_task(calls.read_along(call))
        await asyncio.sleep(SPEAKS_S)
        answers.append(asyncio.create_task(calls.answer(call)))
        reading.cancel()
        with suppress(asyncio.CancelledError):
            await reading
    return list(await asyncio.gather(*answers))


async def new_calls(engine: LlmEngine, count: int, turn: int) -> list[Asked | EngineError]:
    """The first question of each, all at the same moment."""
    calls = Calls(engine, count, turn, begun=False)
    try:
        for session in calls.sessions:
            await session.warm([SYSTEM])
        return await once(calls)
    finally:
        await calls.close()


Case = Callable[[LlmEngine, int], Awaitable[list[list[Asked | EngineError]]]]


def _known(count: int, way: Callable[[Calls], Awaitable[list[Asked | EngineError]]], times: int = 1) -> Case:
    """Calls that have talked before."""

    async def run(engine: LlmEngine, turn: int) -> list[list[Asked | EngineError]]:
        calls = Calls(engine, count, turn)
        try:
            for call in range(count):
                await calls.sessions[call].warm([SYSTEM])
                await calls.sessions[call].prefill(talk(call, "")[:-1])
            made = []
            for _ in range(times):
                made.append(await way(calls))
                calls.turn += 1
            return made
        finally:
            await calls.close()

    return run


def _new(count: int, times: int = 1) -> Case:
    async def run(engine: LlmEngine, turn: int) -> list[list[Asked | EngineError]]:
        return [await new_calls(engine, count, turn + n) for n in range(times)]

    return run


CASES: dict[str, Case] = {
    "new 1": _new(1, ALONE),
    "new 4": _new(4),
    "new 8": _new(8),
    "turn 1": _known(1, once, ALONE),
    "turn 4": _known(4, in_turn),
    "turn 8": _known(8, in_turn),
    "once 4": _known(4, once),
    "once 8": _known(8, once),
}

Tallies = dict[str, dict[str, Tally]]
Make = Callable[[], LlmEngine]


async def started(make: Make) -> LlmEngine:
    engine = make()
    await engine.start()
    async with asyncio.timeout(READY_S):
        while not engine.ready:  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.02)
    return engine


async def cold(make: Make) -> list[Asked | EngineError]:
    engine = await started(make)
    session = engine.session(agent="bakery")
    try:
        return [await ask(session, talk(0, QUESTIONS[0]))]
    finally:
        await session.close()
        await engine.stop()


async def compare(
    makers: dict[str, Make], rounds: int, colds: int, tell: Callable[[str], None], cases: Sequence[str] = tuple(CASES)
) -> Tallies:
    """Every engine, case by case; who begins changes with every round."""
    made: Tallies = {case: {name: Tally() for name in makers} for case in ("cold 1", *cases)}
    names = list(makers)
    for _ in range(colds):
        for name in names:
            made["cold 1"][name].add(await cold(makers[name]))
        names.reverse()
    engines = {name: await started(make) for name, make in makers.items()}
    try:
        for engine in engines.values():  # the agent's first call is over
            await new_calls(engine, 1, 0)
        for number in range(rounds):
            for case in cases:
                for name in names:
                    for one in await CASES[case](engines[name], number):
                        made[case][name].add(one)
            names.reverse()
            tell(f"round {number + 1} of {rounds}")
    finally:
        for engine in engines.values():
            await engine.stop()
    return made


def report(made: Tallies) -> list[dict[str, Any]]:
    """A row for every case and engine; `ratio` is how much sooner than the baseline's p50 (2: in half the time)."""
    rows = []
    for case, tallies in made.items():
        base = tallies[BASELINE].row()["first_s"].get("p50") if BASELINE in tallies else None
        for name, tally in tallies.items():
            row = {"case": case, "engine": name, **tally.row()}
            own = row["first_s"].get("p50")
            rows.append(row | ({"ratio": round(base / own, 2)} if base and own else {}))
    return rows


def makers(wanted: Sequence[str], options: dict[str, Any], tell: Callable[[str], None]) -> dict[str, Make]:
    """The engines that are there; of the others it is told why not."""
    made: dict[str, Make] = {}
    for name in wanted:
        own = {"calls" if name == "llama_cpp" else "slots": 8, **options}
        try:
            plugin = plugins.load("llm", name)
            plugin.create(own)
        except (ConfigError, plugins.PluginError) as error:
            tell(f"without {name}: {error}")
            continue
        made[name] = lambda plugin=plugin, own=own: plugin.create(own)  # type: ignore[misc]
    if (path := binary()) is None:
        tell("without llama-server: there is none on the PATH")
    else:
        made["llama-server"] = lambda: LlamaBinary(path, options)
    return made


@click.command()
@click.option("--rounds", default=5, show_default=True)
@click.option("--colds", default=2, show_default=True, help="New workers for the case `cold`.")
@click.option("--case", "cases", multiple=True, type=click.Choice(list(CASES)), help="Only these.")
@click.option("--engine", "engines", multiple=True, default=("llama_cpp", BASELINE), show_default=True)
@click.option("--model", default="", help="A GGUF, or its name in the catalogue.")
@click.option("--threads", default=0, help="Of each engine; 0 is its own choice.")
@click.option("--json", "as_json", is_flag=True)
def main(
    rounds: int,
    colds: int,
    cases: tuple[str, ...],
    engines: tuple[str, ...],
    model: str,
    threads: int,
    as_json: bool,
) -> None:
    """Compare the engines of the language model."""

    def tell(text: str) -> None:
        click.echo(text, err=True)

    options: dict[str, Any] = {"context": CONTEXT} | ({"model": model} if model else {})
    options |= {"threads": threads} if threads else {}
    made = asyncio.run(compare(makers(engines, options, tell), rounds, colds, tell, cases or tuple(CASES)))
    rows = report(made)
    if as_json:
        click.echo(json.dumps({"rows": rows, "rounds": rounds, **machine()}))
        return
    print(*machine().values())
    print("time to the first token in seconds")
    table = Table("case", "engine", "n", "failed", "p50", "p95", "p99", "max", "tokens/s", "sooner", box=SIMPLE)
    for row in rows:
        first = row["first_s"]
        if not first["n"] and not row["failed"]:
            continue
        times = [f"{first[key]:.3f}" if key in first else "" for key in ("p50", "p95", "p99", "max")]
        rate, ratio = (str(row.get(key, "")) for key in ("tokens_per_s", "ratio"))
        table.add_row(row["case"], row["engine"], str(first["n"]), str(row["failed"]), *times, rate, ratio)
    Console().print(table)


if __name__ == "__main__":
    main()

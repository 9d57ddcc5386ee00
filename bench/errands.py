"""Forty callers with something to get done: do they get it done? By voice, through everything, on a real database.

    python -m bench.errands [--only e01 --only e07] [--json]

The exam (`bench/errands/`) was written and voiced by somebody who had seen neither rules nor examples. The agent is the
shop of `plugins/voicebridge-sql/example`, with the embedded engines. The caller listens like a caller: he answers what
he is asked, repeats himself when he is not understood, and says so when what is read back is wrong.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import logging
import os
import sqlite3
import tempfile
import time
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import click
import numpy as np
import uvloop
from rich.console import Console

from bench.calls import BENCH, RATE
from bench.machine import machine
from voicebridge.call.call import Call
from voicebridge.call.work import Parts
from voicebridge.config import Listen, Settings, Store, load
from voicebridge.conversation.agent import AgentSpec
from voicebridge.daemon import Daemon
from voicebridge.engines.base import Transcript
from voicebridge.handoff.desk import Desk
from voicebridge.pbx.attach import Ticket
from voicebridge.pbx.leg import LegListener, MediaLeg
from voicebridge.phone import Line, Phone
from voicebridge.tools.runner import ToolRunner
from voicebridge.trace.render import show_call

log = logging.getLogger(__name__)

EXAM = BENCH / "errands"
EXAMPLE = BENCH.parent / "plugins" / "voicebridge-sql" / "example"
DATABASE = "SHOP_DATABASE"
NOW = datetime(2026, 12, 2, 10, 0)
SLOTS = ("work", "day", "time", "name", "phone")
QUIET_S = 0.35
PREROLL_S = 0.2
"""So long before it is noticed a voice began."""
MOST_LINES = 25
REST_S = 45.0


def entries() -> list[dict[str, Any]]:
    made: list[dict[str, Any]] = tomllib.loads((EXAM / "calls.toml").read_text(encoding="utf-8"))["call"]
    return made


class Shop(Daemon):
    """The example's daemon on a free port, on the day of the exam."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.calls: dict[UUID, LegListener] = {}
        self.records: dict[str, asyncio.Future[Mapping[str, Any]]] = {}
        self.readers: dict[UUID, Reading] = {}
        self.registry.on_record = self._recorded
        self.tools = ToolRunner(
            self.tools.tools.values(), folder=settings.config.store.dir, now=self.clock,
            settings={name: dict(table) for name, table in settings.config.tools.items()},
        )  # fmt: skip

    def _recorded(self, record: Mapping[str, Any]) -> None:
        if (waiting := self.records.pop(str(record["call_id"]), None)) is not None:
            waiting.set_result(record)

    def clock(self) -> datetime:
        return NOW.astimezone()

    def _make_parts(self, agent: AgentSpec) -> Parts:
        parts = super()._make_parts(agent)
        return dataclasses.replace(parts, desk=Desk(self._directory.for_agent(agent), clock=self.clock), now=self.clock)

    def _choose(self, leg: MediaLeg, ticket: Ticket | None) -> Parts | None:
        parts = super()._choose(leg, ticket)
        reader = self.readers.get(leg.call_id)
        return parts if parts is None or reader is None else dataclasses.replace(parts, stt=reader)

    def _accept(self, leg: MediaLeg) -> LegListener | None:
        listener = super()._accept(leg)
        if listener is not None:
            self.calls[leg.call_id] = listener
        return listener


class Reader:
    """In place of the recogniser: what the caller's recordings say, as far as they have been played. Tells what of the
    misses is the recogniser's."""

    def __init__(self, customer: Customer) -> None:
        self._customer = customer
        self._from = self._utterance = self._samples = 0

    def begin(self, utterance: int, phrases: Sequence[str] = ()) -> None:
        if utterance != self._utterance:
            self._utterance, self._from = utterance, self._customer.words_played(before=PREROLL_S)
        self._samples = 0

    def feed(self, pcm: bytes) -> None:
        self._samples += len(pcm) // 2

    async def transcribe(self, *, deadline: float, give_up: float, final: bool = True) -> Transcript:
        now = time.monotonic()
        text = " ".join(self._customer.words()[self._from : self._customer.words_played()])
        return Transcript(self._utterance, text, self._samples, now, now)

    async def close(self) -> None: ...


class Reading:
    """An engine of one call's Reader."""

    name, ready = "reader", True

    def __init__(self, customer: Customer) -> None:
        self._customer = customer

    async def start(self) -> None: ...
    async def stop(self) -> None: ...

    def session(self, *, rate: int, language: str, phrases: Sequence[str] = ()) -> Reader:
        return Reader(self._customer)


class Customer(Phone):
    """One caller of the exam."""

    def __init__(self, shop: Shop, script: dict[str, Any]) -> None:
        super().__init__("127.0.0.1", shop.port)
        self._shop, self._script = shop, script
        self._asked: dict[str, int] = {}
        self._corrections: dict[str, int] = {}
        self._changed = False
        self.call_id = UUID(int=0)
        self.said: list[str] = []
        self._spoken: list[str] = []
        self._began, self._length = 0.0, 0.0

    def words(self) -> list[str]:
        """All words of what he has begun to say so far."""
        return [word for text in self._spoken for word in text.split()]

    def words_played(self, *, before: float = 0.0) -> int:
        """How many of them have been said, `before` seconds ago."""
        if not self._spoken:
            return 0
        last = self._spoken[-1].split()
        share = min(1.0, max(0.0, (self._now() - before - self._began) / self._length))
        return len(self.words()) - len(last) + round(share * len(last))

    def _call(self) -> Call | None:
        listener = self._shop.calls.get(self.call_id)
        return listener if isinstance(listener, Call) else None

    async def _talk(self, lines: Sequence[Line], linger_s: float) -> None:
        await self._rest()
        await self._utter("opening")
        for _ in range(MOST_LINES):
            await self._rest()
            call = self._call()
            if self._closed.is_set() or call is None or self._finished(call):
                return
            what = self._next(call)
            if not what or not self._recording(what).exists():
                return  # he has nothing to say to that
            await self._utter(what)

    def _finished(self, call: Call) -> bool:
        """He has what he wanted, or has been told that he cannot have it."""
        return any(turn.tools for turn in call.timeline.turns) and not call.core.question

    def _next(self, call: Call) -> str:
        """Which of his utterances fits what he was asked; "" to give up."""
        question = call.core.question
        count = self._asked[question] = self._asked.get(question, 0) + 1
        if question == "confirm":
            return self._judged(call)
        if question.startswith("offer "):
            return "yes" if question.removeprefix("offer ") in self._wants() and count == 1 else "no" * (count == 1)
        if question == "change":
            return self._corrected(self._wrong(call)) if self._wrong(call) else "yes"
        if not question:
            return "opening" if count == 1 else ""
        if count > 3:
            return ""
        return f"answer_{question}" if count == 1 else f"repeat_{question}"

    def _wants(self) -> tuple[str, ...]:
        """The rules of the shop that lead to what he called for."""
        kind, target = self._script["kind"], self._script["expect"].get("target")
        wish = {"reception": ("human", "appointment_changed"), "sales": ("sales",)}.get(target, ())
        if kind == "hand_off":  # some have begun to book when they wish for a human
            return (*wish, "booking") if "answers" in self._script else wish
        return ("booking",) if kind == "book" else ("repair",)

    def _judged(self, call: Call) -> str:
        wrong = self._wrong(call)
        if wrong:
            return self._corrected(wrong) if self._asked["confirm"] <= 4 else ""
        if "change" in self._script and not self._changed:
            self._changed = True
            return "change"
        return "yes"

    def _corrected(self, slot: str) -> str:
        """Another wording each time, as one does who is not understood."""
        turn = self._corrections[slot] = self._corrections.get(slot, -1) + 1
        return f"{('correct', 'repeat', 'answer')[turn % 3]}_{slot}"

    def _wrong(self, call: Call) -> str:
        """The first thing that was read back wrong."""
        expected = dict(self._script["expect"])
        if not self._changed:
            expected |= self._script.get("before", {})
        for slot in SLOTS:
            known = call.core.known.get(slot)
            if slot in expected and known is not None and not same(slot, expected[slot], known[0].value):
                if slot in self._script.get("changes", {}) and not self._changed:
                    continue  # he has not said yet what he really wants
                return slot
        return ""

    async def _utter(self, what: str) -> None:
        path = self._recording(what)
        self.said.append(what)
        pcm = mu_law_wav(path)
        self._spoken.append(self._text(path.stem.partition("_")[2]))
        self._began, self._length = self._now(), len(pcm) / 2 / RATE
        await self._say(Line(what, pcm))

    def _text(self, what: str) -> str:
        kind, _, slot = what.partition("_")
        table = {"answer": "answers", "repeat": "repeat", "correct": "corrections"}.get(kind)
        if table:
            return str(self._script[table][slot])
        return str(next(script[what] for script in (self._script, *self._same_voice()) if what in script))

    def _recording(self, what: str) -> Path:
        path = EXAM / "wav" / f"{self._script['id']}_{what}.wav"
        if not path.exists() and what.startswith("repeat_"):  # he says the same again
            path = path.with_name(path.name.replace("_repeat_", "_answer_"))
        if not path.exists() and what in ("yes", "no"):  # another call of the same voice has one
            voices = (EXAM / "wav" / f"{other['id']}_{what}.wav" for other in self._same_voice())
            path = next((found for found in voices if found.exists()), path)
        return path

    def _same_voice(self) -> list[dict[str, Any]]:
        return [other for other in entries() if other["voice"] == self._script["voice"]]

    async def _rest(self) -> None:
        """Until the agent waits for him, or the call is over."""

        def rested() -> bool:
            call = self._call()
            quiet = self._last_voiced_at is not None and self._now() - self._last_voiced_at > QUIET_S
            return call is not None and call.at_rest and quiet

        await self._wait_until(rested, limit_s=REST_S)


def mu_law_wav(path: Path) -> bytes:
    """16-bit PCM of a G.711 mu-law WAV file (8 kHz mono; format 7, which the standard library does not read)."""
    data = path.read_bytes()
    at = data.index(b"data") + 8
    code = ~np.frombuffer(data[at:], np.uint8)
    exponent, mantissa = (code >> 4 & 7).astype(np.int32), (code & 15).astype(np.int32)
    value = ((mantissa << 3) + 0x84 << exponent) - 0x84  # ITU-T G.711
    made: bytes = np.where(code & 0x80, -value, value).astype("<i2").tobytes()
    return made


def same(slot: str, wanted: str, got: str) -> bool:
    if slot == "phone":
        return "".join(filter(str.isdigit, wanted)) == "".join(filter(str.isdigit, got))
    if slot == "name":
        return got.casefold().split()[-1:] == wanted.casefold().split()[-1:]
    return got.casefold() == wanted.casefold()


@dataclasses.dataclass(frozen=True, slots=True)
class Outcome:
    """One call. `missing` tells what went wrong, "" where nothing did; `heard` is how the agent understood it."""

    id: str
    kind: str
    right: bool
    missing: str
    said: tuple[str, ...]
    heard: tuple[str, ...]
    gaps: tuple[float, ...]


def judge(script: dict[str, Any], record: Mapping[str, Any], call: Call, rows: list[Any]) -> str:
    expect = script["expect"]
    if script["kind"] == "hand_off":
        ended = f"outcome {record['outcome']} to {record['target'] or '-'}"
        return "" if record["target"] == expect["target"] else ended
    ran = [tool for turn in record["turns"] for tool in turn["tools"]]
    if not any(tool["tool"] == expect["tool"] and tool["ok"] for tool in ran):
        return f"no {expect['tool']}: tools {[tool['tool'] for tool in ran]}, outcome {record['outcome']}"
    got = {name: value.value for name, (value, _) in call.core.known.items()}
    if script["kind"] == "lookup":
        return "" if got.get("number") == expect["number"] else f"looked up {got.get('number')}"
    if len(rows) != 1:
        return f"{len(rows)} appointments in the book"
    booked = dict(zip(SLOTS, rows[0], strict=True))
    wrong = [slot for slot in SLOTS if not same(slot, expect[slot], str(booked[slot]))]
    return "; ".join(f"{slot} {booked[slot]!r} not {expect[slot]!r}" for slot in wrong)


async def one(shop: Shop, script: dict[str, Any], database: Path, *, show: bool, text: bool) -> Outcome:
    customer = Customer(shop, script)
    customer.call_id = uuid4()
    if text:
        shop.readers[customer.call_id] = Reading(customer)
    recorded = shop.records[str(customer.call_id)] = asyncio.get_running_loop().create_future()
    await customer.call([], call_id=customer.call_id, linger_s=0.0)
    record = await asyncio.wait_for(recorded, 10)
    with contextlib.closing(sqlite3.connect(database)) as book:
        wanted = f"SELECT {', '.join(SLOTS)} FROM appointments WHERE key LIKE ?"
        rows = book.execute(wanted, (f"{customer.call_id}%",)).fetchall()
    call = shop.calls.pop(customer.call_id)
    assert isinstance(call, Call)
    if show:
        show_call(Console(), record)
    missing = judge(script, record, call, rows)
    turns = record["turns"]
    gaps = tuple(turn["gap_s"] for turn in turns if turn["gap_s"] is not None)
    heard = tuple(turn["caller"] for turn in turns if turn["caller"])
    return Outcome(script["id"], script["kind"], not missing, missing, tuple(customer.said), heard, gaps)


def prepared(folder: Path) -> tuple[Settings, Path]:
    """The example's settings with a fresh database."""
    database = folder / "shop.db"
    with contextlib.closing(sqlite3.connect(database)) as book, book:
        for name in ("schema.sql", "seed.sql"):
            book.executescript((EXAMPLE / name).read_text(encoding="utf-8"))
    os.environ[DATABASE] = str(database)
    settings = load(EXAMPLE / "voicebridge.toml")
    config = settings.config.model_copy(
        update={
            "listen": Listen(audiosocket="127.0.0.1:0", fastagi=""),
            "store": Store(dir=folder / "store"),
            "default_agent": "shop",
        }
    )
    return settings.model_copy(update={"config": config, "agents": {"shop": settings.agents["shop"]}}), database


async def run(only: Sequence[str], *, show: bool, text: bool, at_once: int) -> list[Outcome]:
    made = []
    places = asyncio.Semaphore(at_once)

    async def placed(script: dict[str, Any]) -> Outcome:
        async with places:
            return await one(shop, script, database, show=show, text=text)

    with tempfile.TemporaryDirectory() as folder:
        settings, database = prepared(Path(folder))
        shop = Shop(settings)
        try:
            await shop.start()
            scripts = [script for script in entries() if not only or script["id"] in only]
            with click.progressbar(length=len(scripts), label="calls", show_pos=True) as bar:
                for done in asyncio.as_completed([placed(script) for script in scripts]):
                    made.append(await done)
                    bar.update(1)
                    log.info("%s %s", made[-1].id, made[-1].missing or "right")
        finally:
            await shop.close()
    return sorted(made, key=lambda outcome: outcome.id)


def shown(outcomes: Iterable[Outcome]) -> None:
    by_kind: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        by_kind.setdefault(outcome.kind, []).append(outcome)
        if not outcome.right:
            click.echo(f"{outcome.id} {outcome.kind}: {outcome.missing}")
            click.echo(f"    said  {' | '.join(outcome.said)}")
            click.echo(f"    heard {' | '.join(outcome.heard)}")
    for kind, those in by_kind.items():
        click.echo(f"{kind:9} {sum(each.right for each in those)} of {len(those)} right")
    every = [each for those in by_kind.values() for each in those]
    click.echo(f"all       {sum(each.right for each in every)} of {len(every)} right   ({machine()['machine']})")


@click.command()
@click.option("--only", multiple=True, help="Only the calls of these ids.")
@click.option("--at-once", default=2, show_default=True, help="So many calls at a time.")
@click.option("--text", is_flag=True, help="Without the recogniser: the agent reads what is said.")
@click.option("--show", is_flag=True, help="Print each conversation with its timelines.")
@click.option("--json", "as_json", is_flag=True, help="Print the outcomes as JSON.")
def main(only: Sequence[str], text: bool, show: bool, at_once: int, as_json: bool) -> None:
    """Whether callers get done what they called for."""
    logging.basicConfig(level=logging.WARNING)
    log.setLevel(logging.INFO)
    outcomes = uvloop.run(run(only, show=show, text=text, at_once=at_once))
    if as_json:
        click.echo(json.dumps({**machine(), "outcomes": [dataclasses.asdict(each) for each in outcomes]}, indent=2))
    else:
        shown(outcomes)


if __name__ == "__main__":
    main()

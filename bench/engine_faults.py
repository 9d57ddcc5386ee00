"""Faults of Vosk, llama.cpp and Piper in the middle of a call that each has a second engine behind it.

    python -m bench.engine_faults                               every engine, fault and moment
    python -m bench.engine_faults --engine vosk --fault stop
    python -m bench.engine_faults --json

Faults: kill -9 and SIGSTOP of the daemon's worker; and, at the wire between the daemon and a worker, answers that are
garbage, and a queue that is full. The caller asks three things; the engine is struck in the middle of the second.
Measured from the wire: the first sound after his last voiced sample (a filler counts); and by the record: the first of
the answer's own words, the words that were understood of him, and whether the record tells of the move.
The speech models are those made for tests, whose hundred words all that he says is made of.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click
import uvloop
from rich.console import Console
from rich.progress import track
from rich.table import Table

from bench import desk
from bench.calls import Round
from bench.faults import ANSWER_LIMIT_S, SOUND_LIMIT_S, worker_sockets
from bench.loop import RATE, RECOGNISER
from bench.machine import machine
from bench.wire import Wire, worker
from tests.pbx.words import errors
from voicebridge.cli.testcall import running_daemon, wait_for_record
from voicebridge.phone import Heard, Line, Phone
from voicebridge.trace.store import CallStore

KINDS = {"vosk": "stt", "llama_cpp": "llm", "piper": "tts"}
FAULTS = ("kill", "stop", "garbage", "full")
AT_THE_WIRE = ("garbage", "full")
MOMENTS = {"while he speaks": -0.5, "as he stops": 0.02, "while we think": 0.2}
"""Seconds after the caller's last voiced sample."""
ANSWER_S = 0.8
"""The desk's fillers are shorter, its answers longer."""
PAUSE_S = 0.3
QUIET_S, PATIENCE_S, LIMIT_S = 0.7, 5.5, 20.0
"""So long a caller is quiet behind an answer; waits for one; listens to one."""
SECOND = "second"
IDLE_S, IDLE_WAIT_S = 0.8, 60.0
Strike = Callable[[], None]


@dataclass(frozen=True)
class Outcome:
    """`sound_s`, `answer_s`: seconds from the caller's last voiced sample; None where it never came. `lost`: words of
    the struck line that were not understood; `moves`: "from > to (cause)" of the engine's kind, as recorded."""

    engine: str
    fault: str
    moment: str
    sound_s: float | None
    answer_s: float | None
    lost: int
    moves: tuple[str, ...]
    next_turn_s: float | None
    ended_by: str
    outcome: str

    @property
    def good(self) -> bool:
        soon = self.sound_s is not None and self.sound_s <= SOUND_LIMIT_S
        answered = self.answer_s is not None and self.answer_s <= ANSWER_LIMIT_S
        return soon and answered and not self.lost and self.next_turn_s is not None and self.outcome == "hangup"


class Faulty:
    """A daemon whose engines can be struck. `strike` gives what does it, `heal` ends it."""

    def __init__(self, port: int, store: Path, folder: Path, wires: Mapping[str, Wire]) -> None:
        self.port, self.store = port, store
        self._folder, self._wires = folder, wires

    def pid(self, engine: str) -> int | None:
        """Of the worker that a call begins with."""
        found = worker_sockets(os.getpid())
        own = {socket: pid for socket, pid in found.items() if socket.stem == engine}
        return own.get(self._folder / f"{engine}.sock") if engine == "vosk" else next(iter(own.values()), None)

    def strike(self, engine: str, fault: str) -> Strike:
        if fault in AT_THE_WIRE:
            return lambda: setattr(self._wires[engine], "spoilt", fault)
        number = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP}[fault]

        def strike() -> None:
            pid = self.pid(engine)
            assert pid is not None
            os.kill(pid, number)

        return strike

    def hits(self, engine: str) -> int:
        return self._wires[engine].hits

    def until_idle(self) -> None:
        """Until the workers have computed what they compute at the start: the agents' prompts."""
        before, until = -1.0, time.monotonic() + IDLE_WAIT_S
        while (spent := _cpu_seconds(worker_sockets(os.getpid()).values())) - before > IDLE_S / 10:
            if time.monotonic() > until:
                return
            before = spent
            time.sleep(IDLE_S)

    def heal(self) -> None:
        for wire in self._wires.values():
            wire.spoilt = ""

    def call(self, asked: Sequence[Line], strikes: Mapping[int, tuple[float, Strike]], *, linger_s: float) -> Round:
        """The call; `strikes`: by a line's number, so many seconds after its last voiced sample, what is done."""

        async def talk() -> Heard:
            loop = asyncio.get_running_loop()

            def on_event(text: str) -> None:
                for number, (after_s, strike) in strikes.items():
                    if text == f"caller: {asked[number].label}":
                        loop.call_later(len(asked[number].pcm) / 2 / RATE - desk.TRAIL_S + after_s, strike)

            return await Patient("127.0.0.1", self.port, on_event=on_event).call(asked, linger_s=linger_s)

        heard = uvloop.run(talk())
        return Round(heard, wait_for_record(CallStore(self.store, keep_days=1), heard.call_id))


class Patient(Phone):
    """A caller who knows a filler from an answer, by its length, and waits for the answer."""

    _since = _longest = 0.0

    def _on_audio(self, pcm: bytes, rate: int) -> None:
        before = self._last_voiced_at or 0.0
        super()._on_audio(pcm, rate)
        last = self._last_voiced_at or 0.0
        if last - before > PAUSE_S:
            self._since = last
        if last != before:
            self._longest = max(self._longest, last - self._since)

    async def _until_agent_has_finished(self, *, after: float) -> None:
        self._longest = 0.0

        def finished() -> bool:
            quiet = self._now() - (self._last_voiced_at or 0.0)
            return quiet > (QUIET_S if self._longest > ANSWER_S else PATIENCE_S)

        await self._wait_until(lambda: (self._last_voiced_at or -1.0) > after, limit_s=2 * PATIENCE_S)
        await self._wait_until(finished, limit_s=LIMIT_S)


@contextlib.contextmanager
def workers_to_strike(folder: Path) -> Iterator[Faulty]:
    """The daemon's own workers: for kill and stop."""
    lineup = desk.engines(["vosk", SECOND], ["llama_cpp", "llama_server"], ["piper", "espeak"])
    run_dir = folder / "first"
    run_dir.mkdir(mode=0o700)
    lineup = lineup.replace("[engines.options.vosk]\n", f'[engines.options.vosk]\nrun_dir = "{run_dir}"\n')
    lineup += f'[engines.options.{SECOND}]\nengine = "vosk"\nmodel = "{RECOGNISER["model"]}"\n'
    lineup += 'language = "en"\nnice = 0\n'
    with running_daemon(desk.prepare(folder, lineup)) as (port, store):
        yield Faulty(port, store, run_dir, {})


@contextlib.contextmanager
def wires_to_spoil(folder: Path) -> Iterator[Faulty]:
    """Workers behind wires: for garbage and full."""
    with contextlib.ExitStack() as stack:
        wires = {
            engine: stack.enter_context(Wire(folder / f"{engine}.sock", stack.enter_context(worker(engine, folder))))
            for engine in KINDS
        }
        first = {engine: f"unix://{wire.socket}" for engine, wire in wires.items()}
        lineup = desk.engines(
            [first["vosk"], "vosk"], [first["llama_cpp"], "llama_server"], [first["piper"], "espeak"]
        )
        port, store = stack.enter_context(running_daemon(desk.prepare(folder, lineup)))
        yield Faulty(port, store, folder, wires)


def _cpu_seconds(pids: Iterable[int]) -> float:
    """What the processes have used so far."""
    ticks = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            ticks += sum(map(int, Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]))
    return ticks / os.sysconf("SC_CLK_TCK")


def judged(engine: str, fault: str, moment: str, made: Round, number: int) -> Outcome:
    """`number`: the struck line's."""
    turns, record = made.turns(), made.record or {}
    if len(turns) <= number:  # it was over before
        return Outcome(engine, fault, moment, None, None, 0, (), None, made.heard.ended_by, record.get("outcome", ""))
    (line, during), after = turns[number], turns[number + 1 : number + 2]
    understood = " ".join(turn["caller"] for turn in during).split()
    moves = [move for turn in record.get("turns", ()) for move in turn["moves"] if move["kind"] == KINDS[engine]]
    return Outcome(
        engine, fault, moment,
        None if line.gap is None else round(line.gap, 3),
        min((turn["gap_s"] for turn in during if turn["gap_s"] is not None), default=None),
        errors(line.line.label.split(), understood),
        tuple(f"{move['from'].rpartition('/')[2]} > {move['to']} ({move['cause']})" for move in moves),
        round(after[0][0].gap, 3) if after and after[0][0].gap is not None else None,
        made.heard.ended_by,
        record.get("outcome", ""),
    )  # fmt: skip


def lines_for(engine: str) -> list[str]:
    """Rules answer with lines that were rendered before: a model's and a voice's fault are met by what a model says."""
    return [desk.ASK_HOURS, desk.ASK_MODEL if engine != "vosk" else desk.ASK_HELP, desk.ASK_MODEL_MORE]


def run(engine: str, fault: str, moment: str) -> Outcome:
    """One case, on a daemon of its own."""
    asked = desk.lines(lines_for(engine))
    with tempfile.TemporaryDirectory(prefix="vb-") as name:
        kind = wires_to_spoil if fault in AT_THE_WIRE else workers_to_strike
        with kind(Path(name)) as daemon:
            daemon.until_idle()
            strike = MOMENTS[moment], daemon.strike(engine, fault)
            return judged(engine, fault, moment, daemon.call(asked, {1: strike}, linger_s=0.5), 1)


def show(console: Console, made: Sequence[Outcome], about: Mapping[str, Any]) -> None:
    columns = ("engine", "fault", "struck", "first sound", "answer", "words lost", "moved", "next answer", "")
    table = Table(*columns, title=" ".join(map(str, about.values())))
    for one in made:
        seconds = ["-" if s is None else f"{s:.2f} s" for s in (one.sound_s, one.answer_s, one.next_turn_s)]
        good = "[green]ok[/]" if one.good else "[red]MISSED[/]"
        moved = ", ".join(one.moves) or "-"
        table.add_row(one.engine, one.fault, one.moment, *seconds[:2], str(one.lost), moved, seconds[2], good)
    console.print(table)


@click.command()
@click.option("--engine", "engines", multiple=True, type=click.Choice(list(KINDS)), default=list(KINDS))
@click.option("--fault", "faults", multiple=True, type=click.Choice(FAULTS), default=FAULTS)
@click.option("--moment", "moments", multiple=True, type=click.Choice(list(MOMENTS)), default=list(MOMENTS))
@click.option("--json", "as_json", is_flag=True)
def main(engines: tuple[str, ...], faults: tuple[str, ...], moments: tuple[str, ...], as_json: bool) -> None:
    """Strike engines in the middle of calls. Fails where a caller waits too long or a word of his is lost."""
    console = Console(stderr=True)
    cases = [(engine, fault, moment) for engine in engines for fault in faults for moment in moments]
    made = [run(*case) for case in track(cases, description="calls", console=console)]
    if as_json:
        click.echo(json.dumps({"outcomes": [asdict(outcome) for outcome in made], **machine()}))
    else:
        show(Console(), made, machine())
    sys.exit(0 if all(outcome.good for outcome in made) else 1)


if __name__ == "__main__":
    main()

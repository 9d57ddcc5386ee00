"""kill -9 of each engine worker in the middle of a call: how long the caller hears nothing, and when he is answered.

    python -m bench.faults                 every worker at every moment
    python -m bench.faults --worker tts    one of them

Each case is a call of three questions; the worker is killed around the end of the second. Measured from the wire: the
first sound after the caller's last voiced sample (a filler counts), the first of the answer's own words, and whether
any words were said twice.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import click
import uvloop
from rich.console import Console
from rich.progress import track
from rich.table import Table

from bench.calls import MODEL_QUESTIONS, RATE, Round, Turn, lines
from bench.machine import machine
from voicebridge.cli.testcall import running_daemon, wait_for_record
from voicebridge.phone import Heard, Line, Phone
from voicebridge.trace.store import CallStore

WORKERS = {"stt": "moonshine", "llm": "llama_server", "tts": "espeak", "embed": "minilm"}
MOMENTS = {"while he speaks": -0.5, "as he stops": 0.02, "while we think": 0.2, "as we answer": 0.6}
"""Seconds after the caller's last voiced sample."""
TRAIL_S = 0.05
"""The recordings end in so much silence."""
SOUND_LIMIT_S = 1.5
ANSWER_LIMIT_S = 5.0


@dataclass(frozen=True)
class Outcome:
    """`sound_s`, `answer_s`: seconds from the caller's last voiced sample; None where it never came."""

    worker: str
    moment: str
    sound_s: float | None
    answer_s: float | None
    said_twice: list[str]
    next_turn_s: float | None
    ended_by: str

    @property
    def good(self) -> bool:
        soon = self.sound_s is not None and self.sound_s <= SOUND_LIMIT_S
        answered = self.answer_s is not None and self.answer_s <= ANSWER_LIMIT_S
        return soon and answered and not self.said_twice and self.next_turn_s is not None


def worker_pids(ancestor: int) -> dict[str, int]:
    """Engine workers below a process, by the name of their socket."""
    return {socket.stem: pid for socket, pid in worker_sockets(ancestor).items()}


def worker_sockets(ancestor: int) -> dict[Path, int]:
    """Engine workers below a process, by their socket: several of a kind are told apart by its folder."""
    parents, names = {}, {}
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            status = (folder / "status").read_text(encoding="utf-8", errors="replace")
            argv = (folder / "cmdline").read_bytes().decode("utf-8", "replace").split("\0")
        except OSError:
            continue
        pid = int(folder.name)
        parents[pid] = int(status.partition("PPid:")[2].split()[0])
        if "--socket" in argv:
            names[pid] = Path(argv[argv.index("--socket") + 1])
    return {name: pid for pid, name in names.items() if ancestor in _line_of(pid, parents)}


def _line_of(pid: int, parents: dict[int, int]) -> Iterator[int]:
    while (pid := parents.get(pid, 0)) > 1:
        yield pid


async def _call(port: int, asked: Sequence[Line], victim: str, after_s: float) -> Heard:
    loop = asyncio.get_running_loop()

    def kill() -> None:
        os.kill(worker_pids(os.getpid())[victim], signal.SIGKILL)

    def on_event(text: str) -> None:
        if text == f"caller: {asked[1].label}":
            loop.call_later(len(asked[1].pcm) / 2 / RATE - TRAIL_S + after_s, kill)

    return await Phone("127.0.0.1", port, on_event=on_event).call(asked)


def written_by_the_model(store: Path, call_id: str) -> list[str]:
    """What it wrote, by generation (from the event log): a small model repeats itself, which is no fault of ours."""
    steps = CallStore(store, keep_days=1).path(call_id, ".events.jsonl").read_text(encoding="utf-8").splitlines()[1:]
    written: dict[int, str] = {}
    for event in (json.loads(step)["event"] for step in steps):
        if event["is"] == "ModelText":
            written[event["generation"]] = written.get(event["generation"], "") + event["text"]
    return list(written.values())


def judged(worker: str, moment: str, made: Round, written: Sequence[str]) -> Outcome:
    turns = made.turns()
    if len(turns) < 3:
        return Outcome(worker, moment, None, None, [], None, made.heard.ended_by)
    (line, during), (following, _) = turns[1], turns[2]
    answers = [turn["gap_s"] for turn in during if turn["gap_s"] is not None]
    return Outcome(
        worker,
        moment,
        None if line.gap is None else round(line.gap, 3),
        min(answers, default=None),
        repeated(during, written),
        None if following.gap is None else round(following.gap, 3),
        made.heard.ended_by,
    )


def repeated(turns: Sequence[Turn], written: Sequence[str]) -> list[str]:
    """Words that were heard more often in a turn than the model wrote them in one go (fillers aside)."""
    said = [piece["heard"].strip() for turn in turns for piece in turn["said"] if piece["kind"] != "filler"]
    often = {text: max([1, *(made.count(text) for made in written)]) for text in said if text}
    return sorted(text for text, allowed in often.items() if said.count(text) > allowed)


def run(worker: str, moment: str, agent: str) -> Outcome:
    """One case, on a daemon of its own."""
    asked = lines(MODEL_QUESTIONS)[:3]
    with running_daemon(None, ["--agent", agent, "--event-log"]) as (port, folder):
        heard = uvloop.run(_call(port, asked, WORKERS[worker], MOMENTS[moment]))
        made = Round(heard, wait_for_record(CallStore(folder, keep_days=1), heard.call_id))
        return judged(worker, moment, made, written_by_the_model(folder, heard.call_id))


@click.command()
@click.option("--worker", "workers", multiple=True, type=click.Choice(list(WORKERS)), default=list(WORKERS))
@click.option("--json", "as_json", is_flag=True)
def main(workers: tuple[str, ...], as_json: bool) -> None:
    """Kill engine workers in the middle of calls."""
    console = Console(stderr=True)
    cases = [(worker, moment) for worker in workers for moment in MOMENTS]
    made = [
        run(worker, moment, "demo" if worker == "embed" else "open")
        for worker, moment in track(cases, description="calls", console=console)
    ]
    if as_json:
        click.echo(json.dumps({"outcomes": [asdict(outcome) for outcome in made], **machine()}))
    else:
        columns = ("worker", "killed", "first sound", "answer", "said twice", "next answer", "")
        table = Table(*columns, title=" ".join(machine().values()))
        for one in made:
            seconds = ("-" if s is None else f"{s:.2f} s" for s in (one.sound_s, one.answer_s))
            following = "-" if one.next_turn_s is None else f"{one.next_turn_s:.2f} s"
            good = "[green]ok[/]" if one.good else "[red]MISSED[/]"
            table.add_row(one.worker, one.moment, *seconds, ", ".join(one.said_twice) or "nothing", following, good)
        Console().print(table)
    sys.exit(0 if all(outcome.good for outcome in made) else 1)


if __name__ == "__main__":
    main()

"""The demo agent's exams: questions that its facts cover, and some that they do not, by recorded voices over the wire.

    python -m bench.answers                      both exams: what was asked, heard, answered, and whether that is right
    python -m bench.answers --exam exam2         one of them
    python -m bench.answers --text               without speech recognition: the questions as they were written
    python -m bench.answers --tune               the thresholds of rule matching against bench/tuning

The exams (bench/exam, bench/exam2) were written and voiced from the facts alone by somebody who had seen neither the
agent's rules nor its examples; nothing was tuned on them. A covered question is right when the answer holds what it
must (`must`). An uncovered one is right when the agent says that it does not know, and nothing forbidden (`must_not`).
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import click
import uvloop
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from bench.calls import BENCH, RATE, Round, Turn, entries
from bench.machine import machine
from bench.matching import examine_in_writing, tune
from voicebridge.cli.testcall import running_daemon, wait_for_record
from voicebridge.phone import Heard, Line, Phone, read_wav
from voicebridge.trace.store import CallStore

AT_ONCE = 2
IN_A_CALL = 5
PASS_SHARE = 0.9
NOT_KNOWN = re.compile(r"don't know|do not know|don't have that|not sure|can't say|cannot say")

Question = dict[str, Any]


@dataclass(frozen=True)
class Result:
    """One question: what was asked, what the recogniser heard, what the agent answered, and whether that is right."""

    id: str
    kind: str
    asked: str
    heard: str
    rule: str
    answer: str
    right: bool


def is_right(question: Question, answer: str) -> bool:
    said = answer.lower()
    if question["kind"] == "covered":
        return all(any(alternative in said for alternative in group) for group in question["must"])
    invented = any(re.search(pattern, said) for pattern in question.get("must_not", []))
    return bool(NOT_KNOWN.search(said)) and not invented


def marked(question: Question, turns: Sequence[Turn]) -> Result:
    said = [piece["heard"] for turn in turns for piece in turn["said"] if piece["kind"] in ("answer", "goodbye")]
    answer = " ".join(said)
    return Result(
        question["id"],
        question["kind"],
        question["text"],
        " ".join(turn["caller"] for turn in turns),
        " ".join(turn["rule"] or turn["source"] for turn in turns),
        answer,
        is_right(question, answer),
    )


async def _calls(port: int, batches: Sequence[Sequence[Question]], tick: Callable[[str], None]) -> list[Heard]:
    room = asyncio.Semaphore(AT_ONCE)

    async def one(batch: Sequence[Question]) -> Heard:
        async with room:
            said = [Line(question["id"], read_wav(question["path"], RATE)) for question in batch]
            return await Phone("127.0.0.1", port, on_event=tick).call(said)

    return list(await asyncio.gather(*(one(batch) for batch in batches)))


def examine(questions: Sequence[Question], console: Console) -> list[Result]:
    """By voice, over AudioSocket, on a daemon started for it."""
    batches = [questions[at : at + IN_A_CALL] for at in range(0, len(questions), IN_A_CALL)]
    results: list[Result] = []
    with running_daemon(None, ["--agent", "demo"]) as (port, folder), Progress(console=console) as bar:
        task = bar.add_task("questions", total=len(questions))

        def tick(text: str) -> None:
            bar.advance(task, 1 if text.startswith("caller:") else 0)

        for batch, heard in zip(batches, uvloop.run(_calls(port, batches, tick)), strict=True):
            record = wait_for_record(CallStore(folder, keep_days=1), heard.call_id)
            turns = [of_line for _, of_line in Round(heard, record).turns()]
            turns += [[]] * (len(batch) - len(turns))
            results += [marked(question, said) for question, said in zip(batch, turns, strict=True)]
    return results


def in_writing(questions: Sequence[Question]) -> list[Result]:
    found = asyncio.run(examine_in_writing([question["text"] for question in questions]))
    return [
        Result(question["id"], question["kind"], question["text"], "", detail, answer, is_right(question, answer))
        for question, (detail, answer) in zip(questions, found, strict=True)
    ]


def show(exam: str, results: Sequence[Result], *, misses: bool) -> None:
    table = Table("", "asked", "heard", "answered by", "answer", show_lines=True, title=exam)
    for row in results:
        if not (misses and row.right):
            mark = "[green]right[/]" if row.right else "[red]wrong[/]"
            table.add_row(f"{row.id}\n{mark}", row.asked, row.heard, row.rule, row.answer)
    Console(width=160).print(table)


def scored(results: Sequence[Result], kind: str) -> tuple[int, int]:
    """Right, of how many."""
    of_kind = [result.right for result in results if result.kind == kind]
    return sum(of_kind), len(of_kind)


@click.command()
@click.option("--exam", "exams", multiple=True, default=("exam", "exam2"), show_default=True)
@click.option("--text", "written", is_flag=True, help="Without speech: only the matching of rules.")
@click.option("--tune", "tuning", is_flag=True, help="Show what the thresholds do on bench/tuning.")
@click.option("--misses", is_flag=True, help="Show only what went wrong.")
@click.option("--json", "as_json", is_flag=True)
def main(exams: tuple[str, ...], written: bool, tuning: bool, misses: bool, as_json: bool) -> None:
    """Examine the demo agent. Exit code 1 below nine tenths of the covered, or where anything was invented."""
    if tuning:
        asyncio.run(tune(entries(BENCH / "tuning" / "questions.toml"), Console()))
        return
    passed, report = True, {}
    for exam in exams:
        questions = entries(BENCH / exam / "questions.toml")
        results = in_writing(questions) if written else examine(questions, Console(stderr=True))
        covered, uncovered = scored(results, "covered"), scored(results, "uncovered")
        passed &= covered[0] >= PASS_SHARE * covered[1] and uncovered[0] == uncovered[1]
        report[exam] = {"covered": covered, "uncovered": uncovered, "results": [asdict(row) for row in results]}
        if not as_json:
            show(exam, results, misses=misses)
            click.echo(f"{exam}: {covered[0]} of {covered[1]} covered questions answered right, "
                       f"{uncovered[0]} of {uncovered[1]} others admitted as not known")
    if as_json:
        click.echo(json.dumps({**report, **machine()}))
    sys.exit(0 if passed else 1)


if __name__ == "__main__":
    main()

"""A run's report for people: a table for the terminal, a page with plots."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from jinja2 import Environment, PackageLoader
from rich.console import Console
from rich.table import Table

from voicebridge.load.plot import COLOURS, Chart, distribution
from voicebridge.load.report import Report
from voicebridge.load.run import Run

COLUMNS = ("n", "p50", "p95", "p99", "max")
SPREADS = {
    "gap_s": "response gap, first sound", "answer_gap_s": "response gap, the answer's words",
    "barge_in_stop_s": "barge-in to silence", "greeted_s": "answer to first voice",
    "longest_silence_s": "longest silence of a call, agent's turn",
}  # fmt: skip
IN_MS = {"jitter_ms": "jitter (RFC 3550), ms", "frame_gap_ms": "longest wait for a frame, ms"}


def rows(made: Report) -> Iterator[tuple[str, str]]:
    """What is no distribution, in words."""
    yield "offered", f"{made['offered']} calls{' (interrupted)' if made['interrupted'] else ''}"
    yield "answered", str(made["answered"])
    yield "lost", f"{made['lost']}{_listed(made['lost_why'])}"
    if made["refused"]:
        yield "refused", _counts(made["refused"], "SIP ")
    yield "callers", _counts(made["behaviours"])
    yield "ended by", _counts(made["ended_by"])
    if made["outcomes"]:
        yield "outcomes", _counts(made["outcomes"])
    unanswered = f", {made['unanswered']} without an answer" if made["unanswered"] else ""
    yield "turns", f"{made['turns']}{unanswered}"
    if made["recorded"]:
        yield "answered by", f"{_counts(made['by']) or 'nobody'}; {made['fillers']} began with a filler"
    lost = made["packets_lost"]
    share = f" ({100 * lost / (lost + made['packets']):.2f} %)" if lost else ""
    yield "packets", f"{made['packets']}, {lost} lost{share}, {made['packets_reordered']} out of order"
    for name, used in made["usage"].items():
        cores = f"{used['cores_mean']:.2f} cores, at most {used['cores_max']:.2f}"
        yield f"load on {name}", f"{cores}; {used['memory_mb_max']} MB"
    late = made["own_clock_late_ms"]
    yield "our own clock", f"late by at most {late['p99']:.0f} ms in 99 % of frames, {late['max']:.0f} ms once"


def _counts(counts: Mapping[str, int], prefix: str = "") -> str:
    return ", ".join(f"{prefix}{name or 'nobody'}: {count}" for name, count in counts.items())


def _listed(counts: Mapping[str, int]) -> str:
    return f" ({_counts(counts)})" if counts else ""


def spreads(made: Report) -> Iterator[tuple[str, dict[str, str]]]:
    for key, name in (SPREADS | IN_MS).items():
        row = made[key]
        if row["n"]:
            digits = 1 if key in IN_MS else 3
            shown = {column: f"{row[column]:.{digits}f}" for column in COLUMNS[1:]}
            yield name, {"n": str(row["n"]), **shown}


def show(console: Console, made: Report) -> None:
    title = f"{made['target']}: {made['at_once']} calls at once, profile {made['profile']}"
    table = Table("seconds", *(f"[right]{column}[/]" for column in COLUMNS), title=title)
    for column in table.columns[1:]:
        column.justify = "right"
    for name, row in spreads(made):
        table.add_row(name, *(row[column] for column in COLUMNS))
    for name, text in rows(made):
        style = "bold red" if name == "lost" and made["lost"] else ""
        console.print(f"{name:>14}  {text}", style=style, markup=False)
    console.print(table)
    if made["answered"] and not made["recorded"]:
        console.print(
            "no records of these calls here, so fillers count as answers: -c names the daemon's configuration",
            markup=False,
        )
    console.print(f"{made['machine']}, {made['date']}", style="dim", markup=False)


def page(run: Run, made: Report) -> str:
    """Self-contained HTML."""
    env = Environment(loader=PackageLoader("voicebridge", "data/load"), autoescape=True)
    template = env.get_template("report.html")
    return template.render(made=made, rows=list(rows(made)), spreads=list(spreads(made)), columns=COLUMNS,
                           plots=list(plots(run, made)))  # fmt: skip


def plots(run: Run, made: Report) -> Iterator[str]:
    turns = [(call["answered_s"] + turn["at_s"], turn) for call in made["calls"] for turn in call["turns"]
             if call["answered_s"] is not None and turn["gap_s"] is not None]  # fmt: skip
    end = max(run.seconds, 1.0)
    if turns:
        top = max(turn["gap_s"] for _, turn in turns) * 1.1
        chart = Chart("Response gap of each turn", (0, end), (0, top), x_label="seconds of the run", y_label="seconds")
        chart.dots([(at, turn["gap_s"]) for at, turn in turns if not turn["filler"]], "a", "answer")
        if any(turn["filler"] for _, turn in turns):
            chart.dots([(at, turn["gap_s"]) for at, turn in turns if turn["filler"]], "b", "filler")
        yield chart.svg()
        own = [turn["own_gap_s"] for _, turn in turns if turn["own_gap_s"] is not None]
        end_s = max([top, *own])
        chart = Chart("Turns answered within a gap", (0, end_s), (0, 100), x_label="seconds", y_label="% of turns")
        chart.line(distribution([turn["gap_s"] for _, turn in turns]), "a", "first sound")
        if own:
            chart.line(distribution(own), "c", "the answer's words, by the daemon")
        yield chart.svg()
    yield _calls_at_once(made["calls"], end)
    if run.usage is not None and run.usage.samples:
        most = max(sample.cpu for samples in run.usage.samples.values() for sample in samples)
        chart = Chart("Processor time", (0, end), (0, max(most * 1.1, 0.1)), x_label="seconds", y_label="cores")
        for colour, (name, samples) in zip(COLOURS, run.usage.samples.items(), strict=False):
            chart.line([(sample.at_s, sample.cpu) for sample in samples], colour, name)
        yield chart.svg()


def _calls_at_once(calls: list[dict[str, Any]], end: float) -> str:
    changes = []
    for call in calls:
        if call["answered_s"] is not None:
            changes += [(call["answered_s"], 1), (call["answered_s"] + call["seconds"], -1)]
    at, points = 0, [(0.0, 0.0)]
    for moment, change in sorted(changes):
        points += [(moment, float(at)), (moment, float(at + change))]
        at += change
    top = max(value for _, value in points)
    chart = Chart(
        "Calls at once", (0, end), (0, top + 1), x_label="seconds of the run", y_label="calls", height=160, whole=True
    )
    chart.line(points, "d")
    return chart.svg()

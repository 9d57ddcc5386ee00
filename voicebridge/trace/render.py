"""A call's record for the terminal: the conversation and, turn by turn, where the time went."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from voicebridge.trace.spans import STAGES
from voicebridge.trace.turn import FROM_DISK

WIDTH = 32
_COLOURS = {
    "detected": "grey50", "transcript": "cyan", "rule": "magenta", "parsed": "magenta", "tool": "red",
    "tool_done": "red", "first_token": "yellow", "first_clause": "yellow",
    "speech_ready": "green", "endpoint": "grey50", "sent": "blue", "audible": "blue",
}


def percentile(values: Sequence[float], share: float) -> float:
    """Linear interpolation between the nearest ranks; values must not be empty."""
    return float(np.percentile(np.asarray(values), share))


def summary(gaps: Sequence[float]) -> str:
    """`p50 0.41 s, p95 0.52 s over 12 turns`."""
    if not gaps:
        return "no turns"
    p50, p95 = percentile(gaps, 50), percentile(gaps, 95)
    return f"p50 {p50:.2f} s, p95 {p95:.2f} s over {len(gaps)} turn{'s' if len(gaps) != 1 else ''}"


def show_call(console: Console, record: dict[str, Any]) -> None:
    """The conversation with each turn's timeline."""
    console.print(
        f"[bold]call[/] {record['call_id']}  agent [bold]{escape(record['agent'])}[/]  {record['seconds']:.1f} s  "
        f"ended by {record['ended_by']}, outcome {record['outcome']}"
        + (f" to [bold]{escape(record['target'])}[/]" if record.get("target") else "")
    )
    for turn in record["turns"]:
        _show_turn(console, turn, record.get("engines", {}))


def _show_turn(console: Console, turn: dict[str, Any], preferred: dict[str, str]) -> None:
    console.print()
    if turn["caller"]:
        console.print(Text.assemble(("caller  ", "bold cyan"), turn["caller"]))
    for said in turn["said"]:
        if said["at"] is None:
            continue
        line = Text.assemble((f"{'agent' if said['kind'] != 'filler' else 'filler':<8}", "bold green"))
        rest = said["text"][len(said["heard"]) :]
        line.append(said["heard"].strip())
        if rest.strip():
            line.append(f" [not heard: {rest.strip()}]", style="dim")
        console.print(line)
    for tool in turn.get("tools", ()):
        took = f"{tool['ms']} ms" if tool["ms"] is not None else "not finished"
        result = "ok" if tool["ok"] else f"[red]{escape(tool['cause'] or 'failed')}[/]"
        console.print(f"        tool [bold]{escape(tool['tool'])}[/] {took}, {result}")
    for step in turn.get("handoffs", ()):
        told = " ".join(filter(None, (step["state"], step["target"], step["cause"])))
        console.print(f"        handoff {escape(told)}")
    for move in turn.get("moves", ()):
        moved = f"{move['kind']} {escape(move['from'])} {move['cause']}, went on with {escape(move['to'])}"
        console.print(f"        [red]{moved}[/]")
    if spares := _spares(turn.get("engines", {}), preferred):
        console.print(f"        served by {escape(spares)}")
    if turn["gap_s"] is None:
        return
    rule = f" {escape(turn['rule'])}" if turn["rule"] else ""
    cut = ", interrupted by the caller" if turn["cut_off"] else ""
    console.print(f"        [bold]{turn['gap_s'] * 1000:.0f} ms[/] to the answer, by {turn['source']}{rule}{cut}")
    console.print(waterfall(turn))
    for trouble in turn["troubles"]:
        console.print(f"        [red]{escape(trouble)}[/]")


def _spares(served: dict[str, str], preferred: dict[str, str]) -> str:
    """Who served without being the first of its list: `tts espeak, llm backup`; empty where all were."""
    ours = ("", FROM_DISK)
    return ", ".join(
        f"{kind} {name}" for kind, name in served.items() if name not in ours and name != preferred.get(kind, name)
    )


def waterfall(turn: dict[str, Any]) -> Table:
    """One row a stage: when it was reached, in ms from the caller's last voiced sample, and a bar."""
    table = Table.grid(padding=(0, 1))
    table.add_column(width=7)
    table.add_column(width=5, justify="right", no_wrap=True)
    table.add_column(width=WIDTH, no_wrap=True)
    table.add_column(no_wrap=True)
    zero = turn["last_voice"]
    order = list(STAGES)
    marks = [(name, at) for name, at in turn["marks"].items() if at is not None]
    reached = [(at - zero, name) for name, at in sorted(marks, key=lambda mark: (mark[1], order.index(mark[0])))]
    total = max(max((at for at, _ in reached), default=0.0), 0.001)
    begin = 0.0
    for at, name in reached:
        end = max(begin, at)
        left = min(round(begin / total * WIDTH), WIDTH - 1)
        right = max(round(end / total * WIDTH), left + 1)
        bar = Text(" " * left + "█" * (right - left), style=_COLOURS.get(name, ""))
        table.add_row("", f"{at * 1000:.0f}", bar, Text(STAGES[name], style="dim"))
        begin = end
    return table

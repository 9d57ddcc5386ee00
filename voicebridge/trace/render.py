"""A call's record for the terminal: the conversation and, turn by turn, where the time went. Fits 80 columns.

Colours only help: who was waited for stands in words before each bar. Everything of a record is text, never mark-up.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

import numpy as np
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from voicebridge.trace.reading import handoff_text, plain, turns_of, with_spans
from voicebridge.trace.reasons import reason_text
from voicebridge.trace.record import Record, Turn
from voicebridge.trace.spans import STAGES
from voicebridge.trace.turn import FROM_DISK, MASK

WIDTH = 28
INDENT = 8
BLOCK, SHADE = "█▒"
_ASCII = {BLOCK: "#", SHADE: "-"}
COLOURS = {
    "vad": "bright_black", "stt": "cyan", "match": "magenta", "llm": "yellow", "tts": "green", "tool": "red",
    "endpoint": "bright_black", "cover": "bright_black", "playout": "blue", "filler": "bright_black",
}  # fmt: skip


def percentile(values: Sequence[float], share: float) -> float:
    """Linear interpolation between the nearest ranks; values must not be empty."""
    return float(np.percentile(np.asarray(values), share))


def summary(gaps: Sequence[float]) -> str:
    """`p50 0.41 s, p95 0.52 s over 12 turns`."""
    if not gaps:
        return "no turns"
    p50, p95 = percentile(gaps, 50), percentile(gaps, 95)
    return f"p50 {p50:.2f} s, p95 {p95:.2f} s over {len(gaps)} turn{'s' if len(gaps) != 1 else ''}"


def show_call(console: Console, record: Record) -> None:
    """The conversation with each turn's timeline."""
    for line in _head(record):
        console.print(line)
    for turn in turns_of(record):
        console.print()
        _show_turn(console, with_spans(turn), record.get("engines") or {})


def _head(record: Record) -> Iterator[Text]:
    yield Text.assemble(("call ", "bold"), plain(record.get("call_id", "")))
    line = Text.assemble("agent ", (plain(record.get("agent", "")), "bold"), f"  {record.get('seconds', 0.0):.1f} s")
    if record.get("began_at"):
        line.append(f"  {datetime.fromtimestamp(record['began_at']).astimezone():%Y-%m-%d %H:%M:%S}")
    for name, word in (("caller", "from"), ("dialled", "to"), ("node", "on")):
        if record.get(name):
            line.append(f"  {word} {plain(record[name])}")
    yield line
    ended_by, outcome = plain(record.get("ended_by", "")), plain(record.get("outcome", ""))
    line = Text(f"ended by {ended_by}, outcome {outcome}")
    if record.get("target"):
        line.append(" to ").append(plain(record["target"]), style="bold")
    why = reason_text(ended_by, outcome)
    yield line if why == ended_by else line.append(f": {why}", style="dim")
    yield from _small_print(record)


def _small_print(record: Record) -> Iterator[Text]:
    if record.get("summary"):
        yield Text(f"summary: {plain(record['summary'])}")
    if told := _consent(record):
        yield Text(told)
    if engines := [f"{kind} {plain(name)}" for kind, name in (record.get("engines") or {}).items() if name]:
        yield Text(f"engines: {', '.join(engines)}", style="dim")
    frames = record.get("frames") or {}
    if frames.get("gap_p99_ms") is not None:  # two frames at least
        late = f"frames: {frames['sent']} sent, gap p99 {frames.get('gap_p99_ms')} ms, longest "
        yield Text(f"{late}{frames.get('gap_max_ms')} ms, {frames.get('late', 0)} late", style="dim")


def _consent(record: Record) -> str:
    """Whether the caller was told that he speaks to a machine, and whether he let us record; "" where neither."""
    told, consent = record.get("disclosure") or {}, record.get("consent") or {}
    parts = []
    if told.get("said"):
        parts.append("disclosure heard" + (f" at {told['at']:.1f} s" if told.get("at") is not None else ""))
    elif "at" in told and told["at"] is not None:
        parts.append("disclosure not heard to its end")
    if consent.get("asked"):
        answer = {True: "given", False: "refused", None: "not answered"}[consent.get("given")]
        parts.append(f"consent to recording {answer}")
    if parts and "recorded" in consent:
        parts.append("recorded" if consent["recorded"] else "not recorded")
    return ", ".join(parts)


# ---- a turn


def _show_turn(console: Console, turn: Turn, preferred: dict[str, str]) -> None:
    console.print(_conversation(turn))
    for line in _events(turn, preferred):
        console.print(Padding(line, (0, 0, 0, INDENT)))
    if turn.get("gap_s") is None:
        return
    rule = f" {plain(turn['rule'])}" if turn.get("rule") else ""
    at = f" at {_clock(turn['last_voice'] + turn['gap_s'])}" if turn.get("last_voice") is not None else ""
    by = f"{plain(turn.get('source') or '?')}{rule}"
    told = Text.assemble((f"{turn['gap_s'] * 1000:.0f} ms", "bold"), f" to the answer{at}, by {by}")
    console.print(Padding(told, (0, 0, 0, INDENT)))
    if turn.get("slow"):
        console.print(Padding(Text(f"slow: {plain(turn['slow']['text'])}", style="bold yellow"), (0, 0, 0, INDENT)))
    console.print(waterfall(turn, unicode=console.encoding.startswith("utf")))


def _conversation(turn: Turn) -> Table:
    """What was said, by whom, and what of ours was not heard."""
    table = Table.grid(padding=(0, 1, 0, 0))
    table.add_column(width=INDENT - 1, no_wrap=True)
    table.add_column()
    if turn.get("caller"):
        said = "(not written down)" if turn.get("secret") and turn["caller"] == MASK else plain(turn["caller"])
        table.add_row(Text("caller", style="bold cyan"), Text(said))
    for said in turn.get("said", ()):
        if said.get("at") is None:
            continue
        text, heard = said.get("text", ""), said.get("heard", "")
        line, rest = Text(plain(heard).strip()), plain(text[len(heard) :]).strip()
        if rest:
            line.append(" " if heard else "").append(f"[not heard: {rest}]", style="dim")
        table.add_row(Text("filler" if said.get("kind") == "filler" else "agent", style="bold green"), line)
    return table


def _events(turn: Turn, preferred: dict[str, str]) -> Iterator[Text]:
    if turn.get("cut_off"):
        at = f" at {_clock(turn['cut_at'])}" if turn.get("cut_at") is not None else ""
        after = turn.get("stopped_after_ms")
        stopped = f", silent {after} ms after his first voice" if after is not None else ""
        yield Text(f"interrupted by the caller{at}{stopped}", style="bold cyan")
    for tool in turn.get("tools", ()):
        yield _tool(tool)
    for step in turn.get("handoffs", ()):
        at = f" at {_clock(step['at'])}" if isinstance(step, dict) and step.get("at") is not None else ""
        yield Text(f"handoff {handoff_text(step)}{at}")
    for move in turn.get("moves", ()):
        moved = f"{move['kind']} {move['from']} {move['cause']}, went on with {move['to']}"
        yield Text(plain(moved), style="red")
    if spares := _spares(turn.get("engines") or {}, preferred):
        yield Text(f"served by {plain(spares)}")
    for trouble in turn.get("troubles", ()):
        yield Text(plain(trouble), style="red")


def _tool(tool: dict[str, Any]) -> Text:
    took = f"{tool['ms']} ms" if tool.get("ms") is not None else "not finished"
    line = Text.assemble("tool ", (plain(tool["tool"]), "bold"), f" {took}, ")
    line.append("ok") if tool.get("ok") else line.append(plain(tool.get("cause") or "failed"), style="red")
    tries = tool.get("try") or ()
    if len(tries) > 1:
        each = ", ".join(f"{one['ms']} ms {plain(one.get('cause') or 'ok')}" for one in tries)
        line.append(f" ({len(tries)} attempts: {each})")
    elif tool.get("attempts", 1) > 1:
        line.append(f" ({tool['attempts']} attempts)")
    return line


def _spares(served: dict[str, str], preferred: dict[str, str]) -> str:
    """Who served without being the first of its list: `tts espeak, llm backup`; empty where all were."""
    ours = ("", FROM_DISK)
    return ", ".join(
        f"{kind} {name}" for kind, name in served.items() if name not in ours and name != preferred.get(kind, name)
    )


def _clock(seconds: float) -> str:
    """`1:02.4` since the call began."""
    minutes, rest = divmod(round(seconds * 10), 600)
    return f"{minutes}:{rest / 10:04.1f}"


# ---- the waterfall


def waterfall(turn: Turn, *, unicode: bool = True) -> Table:
    """A row a span, from the caller's last voiced sample on: who was waited for, how many ms, a bar, what came of it.

    The ms add up to the gap; what took none has no row. A filler has a lighter bar: it is heard meanwhile and is no
    part of the sum.
    """
    table = Table.grid(padding=(0, 1, 0, 0))
    table.add_column(width=INDENT - 1)
    table.add_column(width=8, no_wrap=True)
    table.add_column(width=5, justify="right", no_wrap=True)
    table.add_column(width=WIDTH, no_wrap=True)
    table.add_column(no_wrap=True)
    spans, zero = turn.get("spans") or (), turn.get("last_voice") or 0.0
    if not spans:
        return table
    scale = _Scale(zero, max(spans[-1]["to"] - zero, 0.001), unicode)
    before = 0
    for span in spans:
        reached = round((span["to"] - zero) * 1000)
        if reached == before:
            continue
        bar = scale.bar(span["from"], span["to"], BLOCK)
        _row(table, span["actor"], reached - before, bar, STAGES.get(span["name"], plain(span["name"])))
        before = reached
    for begin, end in turn.get("fillers") or ():
        if begin is not None and begin < spans[-1]["to"]:
            end = spans[-1]["to"] if end is None else end
            _row(table, "filler", round((end - begin) * 1000), scale.bar(begin, end, SHADE), "heard meanwhile")
    return table


def _row(table: Table, actor: str, ms: int, bar: str, text: str) -> None:
    table.add_row("", Text(plain(actor)), str(ms), Text(bar, style=COLOURS.get(actor, "")), Text(text, style="dim"))


class _Scale:
    """Places on a line of WIDTH characters, `total` seconds long."""

    def __init__(self, zero: float, total: float, unicode: bool) -> None:
        self._zero, self._total, self._unicode = zero, total, unicode

    def bar(self, begin: float, end: float, char: str) -> str:
        """At least one character, so that nothing is invisible."""
        left = min(max(0, round((begin - self._zero) / self._total * WIDTH)), WIDTH - 1)
        right = min(max(round((end - self._zero) / self._total * WIDTH), left + 1), WIDTH)
        return " " * left + (char if self._unicode else _ASCII[char]) * (right - left)

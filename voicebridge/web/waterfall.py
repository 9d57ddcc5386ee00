"""The picture of a turn: what the answer waited for, bar below bar, and what was heard of it. Pure.

Widths are percent and heights pixels, so that text keeps its size on every screen. Colours come from the style sheet by
the actor's class; every bar also carries its name.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from html import escape
from typing import Any

from voicebridge.trace.blame import BUDGET_S
from voicebridge.trace.record import Turn
from voicebridge.trace.spans import STAGES
from voicebridge.web.scale import Scale, in_words, scale, ticks

ROW = 22
BAR = 14
TOP = 26
BOTTOM = 24
LEAST_S = 0.0005
PACE_S = 0.065
LITTLE = 20.0
CHARACTER = 1.9
"""Percent of the width that a letter of a label needs, on a telephone."""
LEAD = 0.06
"""So much of the gap is shown before it, and of the answer behind it."""

NAMES = {
    "caller": "caller",
    "vad": "voice detection",
    "stt": "recogniser",
    "match": "rules and forms",
    "llm": "language model",
    "tool": "tool",
    "tts": "voice",
    "endpoint": "end-of-turn wait",
    "cover": "ready, filler still playing",
    "playout": "sending",
    "filler": "cover speech",
    "agent": "answer playing",
}
"""Actors as the legend names them: those of `trace.spans` and who is heard."""


SHORT = {**NAMES, "match": "rules", "llm": "model"}
"""As they are written beside their bars."""


@dataclass(frozen=True, slots=True)
class Bar:
    """One row's piece, in seconds since the call began. `failed`: hatched; `label`: beside it, or beside all that the
    row holds from `row_begin` on."""

    row: int
    actor: str
    begin: float
    end: float
    label: str = ""
    title: str = ""
    failed: bool = False
    row_begin: float | None = None


@dataclass(frozen=True, slots=True)
class Picture:
    """`zero`: the last voiced sample; `audible`: the answer's first; `cut_at`: where the caller interrupted."""

    scale: Scale
    rows: int
    bars: tuple[Bar, ...]
    zero: float | None
    audible: float | None
    cut_at: float | None
    blamed: str = ""

    @property
    def height(self) -> int:
        return TOP + self.rows * ROW + BOTTOM


def picture(turn: Turn) -> Picture | None:
    """None where nothing is to be seen: nobody waited for anything, and all that was said was heard."""
    if not (turn.get("spans") or turn.get("tools") or turn.get("cut_off")):
        return None
    zero = turn.get("last_voice")
    spans = turn.get("spans") or []
    audible = spans[-1]["to"] if spans else None
    heard = [said for said in turn.get("said", ()) if said.get("at") is not None]
    marks = [at for at in turn.get("marks", {}).values() if at is not None]
    ends = [until(said) for said in heard] + marks + [tool["at"] + (tool["ms"] or 0) / 1000 for tool in _tools(turn)]
    starts = [said["at"] for said in heard] + marks
    if not ends or (zero is None and not starts):
        return None
    begin = min(starts) if zero is None else zero
    if audible is not None:
        begin -= LEAD * max(0.2, audible - begin)
    cut = turn.get("cut_at") if turn.get("cut_off") else None
    end = max([*ends, begin + 0.2, *([cut] if cut is not None else [])])
    end += LEAD * (end - (begin if audible is None else audible))
    bars: list[Bar] = []
    for rows in (_wait(turn, zero, begin), _tries(turn), _speech(turn)):
        first = max((bar.row for bar in bars), default=-1) + 1
        bars += [replace(bar, row=first + bar.row) for bar in rows]
    return Picture(
        scale(begin, audible, end),
        max((bar.row for bar in bars), default=0) + 1,
        tuple(bars),
        zero,
        audible,
        cut,
        (turn.get("slow") or {}).get("actor", ""),
    )


def until(said: dict[str, Any]) -> float:
    """When a segment was over; for records that do not tell, by a usual pace of speaking."""
    end = said.get("until")
    return float(said["at"] + PACE_S * len(said["heard"]) if end is None else end)


def _tools(turn: Turn) -> list[dict[str, Any]]:
    return list(turn.get("tools", ()))


def _wait(turn: Turn, zero: float | None, begin: float) -> Iterator[Bar]:
    """The caller's last sounds, then the contiguous spans, each in a row of its own."""
    spans = lasting(turn)
    if zero is None or not spans:
        return
    yield Bar(0, "caller", begin, zero, title="the caller speaks")
    for row, span in enumerate(spans):
        ms = (span["to"] - span["from"]) * 1000
        reached = STAGES.get(span["name"], span["name"])
        name = SHORT.get(span["actor"], span["actor"])
        if span["actor"] == "tool" and len(turn.get("tools") or ()) == 1:
            name = f"tool {turn['tools'][0]['tool']}"
        title = f"{name}: {reached}, {ms:.0f} ms"
        yield Bar(row, span["actor"], span["from"], span["to"], f"{name} {ms:.0f} ms", title)


def lasting(turn: Turn) -> list[dict[str, Any]]:
    """The spans that took any time at all."""
    return [span for span in turn.get("spans") or () if span["to"] - span["from"] >= LEAST_S]


def _tries(turn: Turn) -> Iterator[Bar]:
    """A row a tool: its attempts, those that failed hatched. The only one that was waited for is named by its span."""
    tools = turn.get("tools") or ()
    named = len(tools) == 1 and any(span["actor"] == "tool" for span in lasting(turn))
    for row, tool in enumerate(tools):
        whole = {"at": tool["at"], "ms": tool["ms"], "cause": "" if tool["ok"] else tool["cause"] or "not finished"}
        tries = tool.get("try") or [whole]
        for number, attempt in enumerate(tries, 1):
            end = attempt["at"] + (attempt["ms"] or 0) / 1000
            which = f"attempt {number}: " if len(tries) > 1 else ""
            title = f"{tool['tool']}, {which}{attempt['ms'] or 0} ms, {attempt['cause'] or 'ok'}"
            label = _tool_label(tool, len(tries)) if number == len(tries) and not named else ""
            yield Bar(row, "tool", attempt["at"], end, label, title, bool(attempt["cause"]), tries[0]["at"])


def _tool_label(tool: Turn, tries: int) -> str:
    times = f", {tries} attempts" if tries > 1 else ""
    return f"{tool['tool']}{times}{'' if tool['ok'] else ', failed'}"


def _speech(turn: Turn) -> Iterator[Bar]:
    """Cover speech in one row, the answer's segments in the next."""
    heard = [said for said in turn.get("said", ()) if said.get("at") is not None]
    covers = [said for said in heard if said["kind"] == "filler"]
    for number, said in enumerate(covers):
        yield Bar(0, "filler", said["at"], until(said), NAMES["filler"] if not number else "", said["heard"].strip())
    row = 1 if covers else 0
    for said in heard:
        if said["kind"] != "filler":
            yield Bar(row, "agent", said["at"], until(said), title=said["heard"].strip())


def svg(made: Picture, summary: str) -> str:
    """The whole element; what stands in the record is escaped. `data-` attributes let the player move over it."""
    s = made.scale
    parts = [
        f'<svg class="waterfall" role="img" aria-label="{escape(summary)}" width="100%" height="{made.height}" '
        f'data-begin="{s.begin:.3f}" data-bend="{s.bend:.3f}" data-end="{s.end:.3f}" data-bend-at="{s.bend_at:.2f}">'
    ]
    parts += _background(made)
    parts += [_bar(made, bar) for bar in made.bars]
    parts += _markers(made)
    parts.append(f'<line class="playhead" x1="-1%" x2="-1%" y1="{TOP - 8}" y2="{made.height - BOTTOM + 4}"/></svg>')
    return "".join(parts)


def _background(made: Picture) -> Iterator[str]:
    s, floor = made.scale, made.height - BOTTOM
    if made.audible is not None and s.bend_at < 100:
        place = f'x="{s.bend_at:.2f}%" width="{100 - s.bend_at:.2f}%" y="{TOP - 8}" height="{floor - TOP + 12}"'
        yield f'<rect class="after" {place}/>'
    if made.zero is None or made.audible is None:
        return
    shown = [
        tick for tick in ticks(made.audible - made.zero) if s.bend_at == 100 or s.at(made.zero + tick) < s.bend_at - 5
    ]
    for tick in shown:
        x = s.at(made.zero + tick)
        yield f'<line class="grid" x1="{x:.2f}%" x2="{x:.2f}%" y1="{TOP - 4}" y2="{floor + 4}"/>'
        text = in_words(tick) if tick == shown[-1] else f"{tick * 1000:g}" if shown[-1] < 1 else f"{tick:g}"
        yield f'<text class="tick" x="{x:.2f}%" y="{floor + 17}" text-anchor="middle">{text}</text>'
    if s.bend_at < 100:
        played = in_words(round((s.end - made.audible) / (1 + LEAD), 1))
        yield f'<text class="tick" x="100%" dx="-4" y="{floor + 17}" text-anchor="end">answer {played}</text>'


def _bar(made: Picture, bar: Bar) -> str:
    s = made.scale
    left, right = s.at(bar.begin), s.at(bar.end)
    y = TOP + bar.row * ROW + (ROW - BAR) // 2
    width = max(right - left, 0.4)
    kind = f"bar a-{escape(bar.actor)}" + (" blamed" if bar.actor == made.blamed and bar.label else "")
    title = f"<title>{escape(bar.title)}</title>" if bar.title else ""
    found = [f'<rect class="{kind}" x="{left:.2f}%" width="{width:.2f}%" y="{y}" height="{BAR}" rx="3">{title}</rect>']
    if bar.failed:
        found.append(
            f'<rect class="hatch" x="{left:.2f}%" width="{width:.2f}%" y="{y}" height="{BAR}" rx="3" '
            'fill="url(#hatch)"/>'
        )
    if bar.label:
        first = left if bar.row_begin is None else s.at(bar.row_begin)
        place, shift, anchor, style = _beside(bar.label, first, right, s.bend_at)
        weight = " blamed" if "blamed" in kind else ""
        found.append(
            f'<text class="{style}{weight}" x="{place:.2f}%" dx="{shift}" y="{y + 11}" text-anchor="{anchor}">'
            f"{escape(bar.label)}</text>"
        )
    return "".join(found)


def _beside(label: str, left: float, right: float, edge: float) -> tuple[float, int, str, str]:
    """Where a label stands: place, shift, anchor and style. Behind its bar where there is room before the answer
    begins, else before it, else in the bar itself."""
    room = CHARACTER * (len(label) + 2)
    if edge - right >= room:
        return right, 6, "start", "name"
    if left >= room:
        return left, -6, "end", "name"
    if right - left >= room:
        return left, 8, "start", "inside"
    return (left, -6, "end", "name") if left >= max(LITTLE, edge - right) else (right, 6, "start", "name")


def _markers(made: Picture) -> Iterator[str]:
    s, floor = made.scale, made.height - BOTTOM + 4
    if made.zero is not None and made.audible is not None:
        gap = made.audible - made.zero
        left, right = s.at(made.zero), s.at(made.audible)
        yield f'<line class="gap" x1="{left:.2f}%" x2="{right:.2f}%" y1="10" y2="10"/>'
        yield (
            f'<text class="halo" x="{(left + right) / 2:.2f}%" y="14" text-anchor="middle">'
            f"gap {gap * 1000:.0f} ms</text>"
        )
        for x in (left, right):
            yield f'<line class="gap" x1="{x:.2f}%" x2="{x:.2f}%" y1="5" y2="{floor}"/>'
        if gap > BUDGET_S:
            x = s.at(made.zero + BUDGET_S)
            yield f'<line class="budget" x1="{x:.2f}%" x2="{x:.2f}%" y1="14" y2="{floor}"/>'
    if made.cut_at is not None:
        x = s.at(made.cut_at)
        yield f'<line class="cut" x1="{x:.2f}%" x2="{x:.2f}%" y1="{TOP - 8}" y2="{floor}"/>'
        yield f'<text class="cut" x="{x:.2f}%" dx="-4" y="{TOP - 12}" text-anchor="end">interrupted</text>'


def in_short(turn: Turn) -> str:
    """The picture in words, for who cannot see it."""
    if turn.get("gap_s") is None or not turn.get("spans"):
        return f"Turn {turn['turn']}: what was heard"
    parts = ", ".join(
        f"{NAMES.get(span['actor'], span['actor'])} {(span['to'] - span['from']) * 1000:.0f} ms"
        for span in lasting(turn)
    )
    return f"Turn {turn['turn']}: {turn['gap_s'] * 1000:.0f} ms from the caller's last sound to the answer: {parts}"

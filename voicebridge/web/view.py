"""A record as the call's page shows it: who said what when, what was not heard, what happened beside it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from markupsafe import Markup

from voicebridge.trace.record import Record, Turn
from voicebridge.trace.spans import ACTORS, STAGES
from voicebridge.web import waterfall, waveform

SOURCES = {
    "rule": "by a rule", "form": "by a form", "model": "by the language model", "tool": "by a tool",
    "line": "a fixed line",
}  # fmt: skip
OUTCOMES = {"hangup": "ended", "transfer": "transferred", "fallback": "fallback"}
"""Outcomes as the pages name them; others are shown as recorded."""
_DISK = "disk"


@dataclass(frozen=True, slots=True)
class Line:
    """Something that was said. `rest`: what of it the caller did not hear. `at`: seconds since the call began."""

    who: str
    at: float | None
    heard: str
    rest: str = ""
    kind: str = ""


@dataclass(frozen=True, slots=True)
class Note:
    """Something that happened; `bad` where it should not have. `parts`: its steps, one a line."""

    text: str
    bad: bool = False
    at: float | None = None
    parts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table beside the picture."""

    actor: str
    name: str
    reached: str
    ms: float


@dataclass(frozen=True, slots=True)
class TurnView:
    number: int
    begin: float | None
    end: float | None
    lines: tuple[Line, ...]
    notes: tuple[Note, ...]
    gap_ms: float | None
    by: str
    slow: str
    picture: Markup | None
    rows: tuple[Row, ...]
    secret: bool


@dataclass(frozen=True, slots=True)
class Band:
    """A turn on the recording's picture, in thousandths of its width."""

    number: int
    x: float
    width: float
    cut_x: float | None


@dataclass(frozen=True, slots=True)
class Sound:
    """Both sides' outlines. `bands`: where the turns are."""

    seconds: float
    caller: str
    agent: str
    bands: tuple[Band, ...]


def turn_view(turn: Turn, preferred: dict[str, str]) -> TurnView:
    """`preferred`: the engines that the call would have liked to use, by kind."""
    made = waterfall.picture(turn)
    gap = turn.get("gap_s")
    rule = f": {turn['rule']}" if turn.get("rule") else ""
    source = turn.get("source") or ""
    lines = tuple(_lines(turn))
    times = [line.at for line in lines if line.at is not None]
    ends = [waterfall.until(said) for said in turn.get("said", ()) if said.get("at") is not None]
    return TurnView(
        number=turn["turn"],
        begin=min(times, default=None),
        end=max([*ends, *([made.scale.end] if made else [])], default=None),
        lines=lines,
        notes=tuple(_notes(turn, preferred)),
        gap_ms=None if gap is None else gap * 1000,
        by=SOURCES.get(source, source) + rule,
        slow=(turn.get("slow") or {}).get("text", ""),
        picture=Markup(waterfall.svg(made, waterfall.in_short(turn))) if made else None,
        rows=tuple(
            Row(
                s["actor"],
                waterfall.NAMES.get(s["actor"], s["actor"]),
                STAGES.get(s["name"], s["name"]),
                (s["to"] - s["from"]) * 1000,
            )
            for s in waterfall.lasting(turn)
        ),
        secret=bool(turn.get("secret")),
    )


def _lines(turn: Turn) -> list[Line]:
    """In order of time: the caller's words, then ours that were played at all."""
    lines = []
    if turn.get("caller"):
        lines.append(Line("caller", _spoke_at(turn), turn["caller"]))
    for said in turn.get("said", ()):
        if said.get("at") is None:
            continue
        heard = said["heard"].strip()
        rest = "" if said["complete"] else said["text"][len(said["heard"]) :].strip()
        who = "cover" if said["kind"] == "filler" else "agent"
        lines.append(Line(who, said["at"], heard, rest, said["kind"]))
    return lines


def _spoke_at(turn: Turn) -> float | None:
    """About when the caller began: where his voice ended, less a usual pace of speaking."""
    end = turn.get("last_voice")
    return None if end is None else max(0.0, float(end) - 0.07 * len(turn["caller"]))


def _notes(turn: Turn, preferred: dict[str, str]) -> list[Note]:
    found = [_tool(tool) for tool in turn.get("tools", ())]
    found += [_handoff(step) for step in turn.get("handoffs", ())]
    for move in turn.get("moves", ()):
        text = f"{move['kind']}: {move['from']} failed ({move['cause']}), {move['to']} went on"
        found.append(Note(text, bad=True, at=move.get("at")))
    found += [Note(trouble, bad=True) for trouble in turn.get("troubles", ())]
    if turn.get("cut_off"):
        after = turn.get("stopped_after_ms")
        silent = f"; we were silent {after} ms after his first sound" if after is not None else ""
        found.append(Note(f"The caller interrupted{silent}.", at=turn.get("cut_at")))
    served = turn.get("engines") or {}
    spares = [f"{kind} {name}" for kind, name in served.items() if name not in ("", _DISK, preferred.get(kind, name))]
    if spares:
        found.append(Note(f"served by {', '.join(spares)}, not the first choice"))
    return found


def _tool(tool: dict[str, Any]) -> Note:
    took = "not finished" if tool["ms"] is None else f"{tool['ms']} ms"
    result = "ok" if tool["ok"] else tool["cause"] or "failed"
    tries = tool.get("try") or ()
    parts = tuple(
        f"attempt {number}: {attempt['ms']} ms, {attempt['cause'] or 'ok'}" for number, attempt in enumerate(tries, 1)
    )
    return Note(f"tool {tool['tool']}: {took}, {result}", not tool["ok"], tool["at"], parts if len(parts) > 1 else ())


def _handoff(step: dict[str, Any] | str) -> Note:
    if isinstance(step, str):  # records of before
        return Note(f"handoff: {step}")
    words = " ".join(part for part in (step["state"], step["target"]) if part)
    cause = f" ({step['cause']})" if step.get("cause") else ""
    return Note(f"handoff: {words}{cause}", step["state"] in ("refused", "failed"), step.get("at"))


def facts(record: Record) -> list[tuple[str, str]]:
    """What is known of the call as a whole, as name and value; what is not known is left out."""
    engines = ", ".join(f"{kind} {name}" for kind, name in (record.get("engines") or {}).items() if name)
    frames = record.get("frames") or {}
    even = ""
    if frames.get("gap_p99_ms") is not None:  # two frames at least
        even = f"{frames['sent']} sent, {frames['late']} late, p99 {frames['gap_p99_ms']} ms apart"
        even += f", longest {frames['gap_max_ms']} ms"
    rate = record.get("rate")
    found = [
        ("Caller", record.get("caller") or ""),
        ("Dialled", record.get("dialled") or ""),
        ("Language", record.get("language") or ""),
        ("Ended by", record.get("ended_by") or ""),
        ("Sent to", record.get("target") or ""),
        ("Summary", record.get("summary") or ""),
        ("Told it is a machine", _disclosure(record.get("disclosure") or {})),
        ("Consent to record", _consent(record.get("consent") or {})),
        ("Engines", engines),
        ("Audio", f"{rate / 1000:g} kHz" if rate else ""),
        ("Our frames", even),
        ("PBX", record.get("peer") or ""),
        ("Channel", record.get("unique_id") or ""),
        ("Node", " ".join(part for part in (record.get("node"), record.get("software")) if part)),
    ]
    return [(name, str(value)) for name, value in found if value]


def _disclosure(told: dict[str, Any]) -> str:
    if not told:
        return ""
    if not told.get("said"):
        return "no"
    return f"yes, at {told['at']:.1f} s" if told.get("at") is not None else "yes"


def _consent(consent: dict[str, Any]) -> str:
    if not consent:
        return ""
    given = {True: "asked, given", False: "asked, refused", None: "asked, no answer"}
    asked = given[consent.get("given")] if consent.get("asked") else "not asked"
    return f"{asked}; {'recorded' if consent.get('recorded') else 'not recorded'}"


def sound(path: Path, turns: list[TurnView], record: Record) -> Sound | None:
    """None where the file holds nothing that can be shown. Blocking."""
    read = waveform.read(path)
    if read is None:
        return None
    cuts = {turn["turn"]: turn.get("cut_at") for turn in record["turns"] if turn.get("cut_off")}
    scale = 1000.0 / read.seconds
    bands = []
    for turn in turns:
        if turn.begin is None or turn.end is None or turn.begin >= read.seconds:
            continue
        cut = cuts.get(turn.number)
        width = max(2.0, (min(turn.end, read.seconds) - turn.begin) * scale)
        bands.append(Band(turn.number, turn.begin * scale, width, None if cut is None else cut * scale))
    return Sound(read.seconds, waveform.path(read.caller, 30, 27), waveform.path(read.agent, 90, 27), tuple(bands))


def clock(seconds: float | None) -> str:
    """`0:05.9`, `12:03.4`."""
    if seconds is None:
        return ""
    minutes, rest = divmod(max(0.0, seconds), 60)
    return f"{int(minutes)}:{rest:04.1f}"


def code(text: str) -> Markup:
    """What stands between backticks as code; the rest escaped."""
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if place % 2 else Markup("{}").format(part)
        for place, part in enumerate(text.split("`"))
    )


def moment(unix: float) -> str:
    """In this machine's time zone, as its logs have it."""
    return datetime.fromtimestamp(unix).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def legend(actors: set[str]) -> list[tuple[str, str, str]]:
    """(actor, name, what it means) of those that occur, in the order of a turn."""
    meaning = {
        "caller": "the caller's last sounds",
        **ACTORS,
        "filler": "said while the answer was not ready",
        "agent": "what was heard",
    }
    return [(name, waterfall.NAMES[name], meaning[name]) for name in waterfall.NAMES if name in actors]

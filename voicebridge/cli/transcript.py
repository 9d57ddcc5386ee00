"""What happens in calls, as lines for people: each thing once, although a turn is told again whenever it grows."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from rich.text import Text

from voicebridge.trace.reading import handoff_text, plain
from voicebridge.trace.reasons import reason_text
from voicebridge.trace.record import Turn

ID_CHARS = 8
STYLES = {"caller": "cyan", "agent": "green", "filler": "dim green", "note": "dim", "trouble": "red", "ended": "bold"}


class Transcript:
    """Takes happenings (`trace.bus`), gives lines. Knows the calls that run."""

    def __init__(self) -> None:
        self._told: dict[str, set[tuple[Any, ...]]] = {}

    def lines(self, happening: dict[str, Any]) -> Iterator[Text]:
        call_id, at = happening.get("call_id", ""), float(happening.get("at", 0.0))
        match happening.get("event"):
            case "call_began":
                if call_id not in self._told:
                    self._told[call_id] = set()
                    yield _line(at, call_id, "ended", _began(happening))
            case "turn":
                yield from self._turn(call_id, at, happening["turn"], over=False)
            case "call_ended":
                record = happening["record"]
                for turn in record.get("turns", ()):
                    yield from self._turn(call_id, at, turn, over=True)
                self._told.pop(call_id, None)
                yield _line(at, call_id, "ended", _ended(record))
            case "lost":
                yield Text(f"{happening.get('n')} happenings were missed: this terminal is too slow", "yellow")
            case _:
                pass

    def running(self, call: dict[str, Any]) -> Iterator[Text]:
        """A call that is there already, with what was said in it so far."""
        began = {**call, "event": "call_began", "at": call.get("began_at", 0.0)}
        yield from self.lines(began)
        now = float(began["at"]) + float(call.get("seconds", 0.0))
        for turn in call.get("turns", ()):
            yield from self._turn(call["call_id"], now, turn, over=False)

    def forget(self) -> list[str]:
        """The calls that were running when their daemon went away."""
        gone = list(self._told)
        self._told.clear()
        return gone

    def _turn(self, call_id: str, at: float, turn: Turn, *, over: bool) -> Iterator[Text]:
        told = self._told.setdefault(call_id, set())
        for key, who, text in _parts(turn, over=over):
            if (turn.get("turn"), *key) not in told:
                told.add((turn.get("turn"), *key))
                yield _line(at, call_id, who, text)


def _parts(turn: Turn, *, over: bool) -> Iterator[tuple[tuple[Any, ...], str, str]]:
    """(by what it is known again, who, text). What may still change is left for later, unless the call is `over`."""
    said = turn.get("said", ())
    answered = over or "endpoint" in turn.get("marks", {}) or any(part.get("at") is not None for part in said)
    if turn.get("caller") and answered:
        yield ("caller",), "caller", turn["caller"]
    for number, run in enumerate(turn.get("tools", ())):
        if run.get("ms") is not None:
            ok = "ok" if run.get("ok") else f"failed: {run.get('cause')}"
            yield ("tool", number), "note" if run.get("ok") else "trouble", f"{run.get('tool')} {run['ms']} ms, {ok}"
    for number, part in enumerate(said):
        if part.get("at") is None:
            continue
        who = "filler" if part.get("kind") == "filler" else "agent"
        yield ("said", number), who, part.get("text", "") + _gap(turn, number)
        if turn.get("cut_off") and not part.get("complete") and part.get("text") != part.get("heard"):
            yield ("cut", number), "note", f"interrupted; heard: {part.get('heard') or 'nothing'}"
    for number, trouble in enumerate(turn.get("troubles", ())):
        yield ("trouble", number), "trouble", str(trouble)
    for number, step in enumerate(turn.get("handoffs", ())):
        yield ("handoff", number), "note", f"handoff {handoff_text(step)}"


def _gap(turn: Turn, number: int) -> str:
    """Behind the first words of an answer: how long it took, and who gave it."""
    first = next((n for n, part in enumerate(turn.get("said", ())) if part.get("kind") != "filler"), None)
    if number != first or turn.get("gap_s") is None:
        return ""
    by = " ".join(part for part in (turn.get("source"), turn.get("rule")) if part)
    return f"  [{turn['gap_s']:.2f} s, {by}]"


def _began(call: dict[str, Any]) -> str:
    way = " -> ".join(part for part in (call.get("caller"), call.get("dialled")) if part)
    return " ".join(part for part in ("call to", call.get("agent", ""), f"({way})" if way else "") if part)


def _ended(record: dict[str, Any]) -> str:
    turns = sum(1 for turn in record.get("turns", ()) if turn.get("turn"))  # the greeting is none
    target = f" to {record['target']}" if record.get("target") else ""
    outcome = str(record.get("outcome"))
    how = f"{outcome}{target} ({reason_text(str(record.get('ended_by')), outcome)})"
    return f"{how} after {float(record.get('seconds', 0)):.0f} s, {turns} turn{'' if turns == 1 else 's'}"


def _line(at: float, call_id: str, who: str, text: str) -> Text:
    clock = datetime.fromtimestamp(at).astimezone().strftime("%H:%M:%S")
    name = {"note": "", "trouble": "!", "ended": "", "filler": "agent"}.get(who, who)
    line = Text(f"{clock} {plain(call_id)[:ID_CHARS]} ", "dim")
    line.append(f"{name:<7}", f"bold {STYLES[who]}")
    return line.append(plain(text), STYLES[who])

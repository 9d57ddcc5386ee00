"""Records as whoever shows them may rely on: of an older version, or damaged by whatever hand or disk.

A record that is sound comes back as it is. Else what has the wrong shape is left out or made empty, and what every
reader needs is there, so that one damaged record hides neither itself nor all the others of its week.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from voicebridge.trace.record import Record

LARGEST: Final = 32_503_680_000.0
"""Unix seconds of the year 3000; no time nor duration is longer."""
Shape = Mapping[str, Any]
"""What a name holds: "" a text, 0.0 a number, None a number or nothing, False a truth; a function mends it."""

_CALL: Final[Shape] = {
    "began_at": 0.0, "seconds": 0.0, "agent": "", "caller": "", "dialled": "", "outcome": "", "ended_by": "",
    "target": "",
}  # fmt: skip
_ATTEMPT: Final[Shape] = {"at": 0.0, "ms": None, "cause": ""}
_SAID: Final[Shape] = {"kind": "", "text": "", "heard": "", "complete": False, "at": None}
_SPAN: Final[Shape] = {"name": "", "actor": "", "from": 0.0, "to": 0.0}
_TOOL: Final[Shape] = {"tool": "", "at": 0.0, "ms": None, "ok": False, "cause": ""}
_MOVE: Final[Shape] = {"kind": "", "from": "", "to": "", "cause": ""}
_STEP: Final[Shape] = {"state": "", "target": "", "cause": ""}
_SLOW: Final[Shape] = {"actor": "", "text": ""}


def mended(call_id: str, record: Any) -> Record:
    """Raises ValueError of what is no record at all."""
    if not isinstance(record, dict):
        raise ValueError(f"it is a {type(record).__name__}, not an object")  # noqa: TRY004 - damaged data
    made = _filled(record, {"call_id": "", **_CALL}, _CALL_MORE)
    made["began_at"] = max(0.0, made["began_at"])
    made["call_id"] = made["call_id"] or call_id
    made["turns"] = [_turn(n, turn) for n, turn in enumerate(_dicts(record.get("turns")))]
    return made


def without_halves(value: Any) -> Any:
    """All texts without halves of characters, as a model may give them: they can be written nowhere."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, list):
        return [without_halves(item) for item in value]
    if isinstance(value, dict):
        return {without_halves(name): without_halves(item) for name, item in value.items()}
    return value


def _turn(n: int, turn: dict[str, Any]) -> dict[str, Any]:
    made = _filled(turn, {"caller": "", "said": _several(_SAID, {"until": None})}, _TURN_MORE)
    number = turn.get("turn")
    made["turn"] = number if isinstance(number, int) and not isinstance(number, bool) else n
    if "spans" in made and made["spans"] != turn["spans"]:
        del made["spans"]  # they are contiguous or nothing; marks may still give them
    return made


def _filled(found: dict[str, Any], needed: Shape, more: Shape) -> dict[str, Any]:
    """What is `needed` is there afterwards, what is `more` fits where it is there; the rest is left alone."""
    made = dict(found)
    for name, shape in needed.items():
        made[name] = _fitting(found.get(name), shape)
    for name, shape in more.items():
        if name in found:
            made[name] = _fitting(found[name], shape)
    return made


def _fitting(value: Any, shape: Any) -> Any:
    if callable(shape):
        return shape(value)
    if isinstance(shape, str):
        return value if isinstance(value, str) else ""
    if isinstance(shape, bool):
        return value is True
    return value if _is_number(value) else shape


def _is_number(value: Any) -> bool:
    """Neither NaN nor endless: no comparison holds of these."""
    return isinstance(value, int | float) and not isinstance(value, bool) and -LARGEST <= value <= LARGEST


def _dicts(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _several(needed: Shape, more: Shape | None = None) -> Callable[[Any], list[dict[str, Any]]]:
    return lambda value: [_filled(item, needed, more or {}) for item in _dicts(value)]


def _table(shape: Any) -> Callable[[Any], dict[str, Any]]:
    """Names and values of one shape; others are left out."""

    def mend(value: Any) -> dict[str, Any]:
        items = value.items() if isinstance(value, dict) else ()
        return {name: item for name, item in items if item == _fitting(item, shape)}

    return mend


def _one(needed: Shape) -> Callable[[Any], dict[str, Any] | None]:
    return lambda value: _filled(value, needed, {}) if isinstance(value, dict) else None


def _texts(value: Any) -> list[str]:
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def _steps(value: Any) -> list[Any]:
    """In records of version 1 a step is a text."""
    steps = value if isinstance(value, list) else []
    return [
        step if isinstance(step, str) else _filled(step, _STEP, {"at": None})
        for step in steps
        if isinstance(step, str | dict)
    ]


def _tries(value: Any) -> int | list[Any]:
    return value if isinstance(value, int | list) else 1


def _whiles(value: Any) -> list[list[Any]]:
    """[from, to], where `to` may be null."""
    pairs = value if isinstance(value, list) else []
    whole = [pair for pair in pairs if isinstance(pair, list) and len(pair) == 2 and _is_number(pair[0])]
    return [pair for pair in whole if pair[1] is None or _is_number(pair[1])]


def _given(value: Any) -> bool | None:
    return value if isinstance(value, bool) else None


def _frames(value: Any) -> dict[str, Any] | None:
    """All of it or nothing."""
    made = _table(None)(value)
    return made if {"sent", "late", "gap_p99_ms", "gap_max_ms"} <= made.keys() else None


def _told(needed: Shape, more: Shape | None = None) -> Callable[[Any], dict[str, Any]]:
    """Empty where nothing is known."""
    return lambda value: _filled(value, needed, more or {}) if isinstance(value, dict) and value else {}


_CALL_MORE: Final[Shape] = {
    **dict.fromkeys(("language", "peer", "unique_id", "summary", "caller_key", "node", "software"), ""),
    "rate": None, "engines": _table(""), "frames": _frames, "disclosure": _told({"said": False}, {"at": None}),
    "consent": _told({"asked": False, "given": _given, "recorded": False}),
}  # fmt: skip
_TURN_MORE: Final[Shape] = {
    "source": "", "rule": "", "gap_s": None, "last_voice": None, "secret": False, "cut_off": False, "cut_at": None,
    "stopped_after_ms": None, "marks": _table(None), "engines": _table(""), "troubles": _texts, "fillers": _whiles,
    "slow": _one(_SLOW), "spans": _several(_SPAN), "handoffs": _steps, "moves": _several(_MOVE, {"at": None}),
    "tools": _several(_TOOL, {"attempts": _tries, "try": _several(_ATTEMPT)}),
}  # fmt: skip

"""From a record to the rows by which it is found. Records of before, and damaged ones, give what they have."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from voicebridge.trace.record import Record
from voicebridge.trace.store.database import DamagedRecordError
from voicebridge.trace.store.mending import LARGEST, mended, without_halves

PROBLEM_GAP_S = 1.5
"""A response gap above this is a problem of its own."""
INDEXED_CHARS = 200
"""PostgreSQL refuses index entries of more than 2.7 kB."""
INT_MAX = 2**31 - 1

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Rows:
    """`call`: the row of `calls` without its document; `parts`: rows by table, in order."""

    call: Row
    parts: Mapping[str, list[Row]] = field(default_factory=dict)


def dumped(record: Record) -> str:
    """The document as it is kept: ASCII, so that every database takes it. Raises TypeError, ValueError."""
    return json.dumps(record, separators=(",", ":"))


def loaded(call_id: str, document: str) -> Record:
    """The record of a document, mended where a part is damaged. Raises DamagedRecordError where it is none."""
    try:
        found = json.loads(document, parse_constant=lambda number: None)  # NaN, which is no JSON
        return mended(call_id, without_halves(found) if "\\ud" in document else found)
    except (ValueError, RecursionError) as error:
        raise DamagedRecordError(f"the record of call {call_id} is damaged: {error}") from error


def rows(call_id: str, record: Record, *, now: float, caller_key: str = "") -> Rows:
    """`now`: unix seconds, for a record that does not say when it began."""
    parts: dict[str, list[Row]] = {"turns": [], "spans": [], "tool_calls": [], "handoffs": []}
    gaps, problems = [], 0
    for n, turn in enumerate(_dicts(record.get("turns"))):
        row = _turn(n, turn)
        parts["turns"].append(row)
        _add(parts, row["turn"], turn)
        if row["gap_s"] is not None:
            gaps.append(row["gap_s"])
        problems += _problems(turn, row["gap_s"])
    began = _float(record.get("began_at"))
    call = {
        "call_id": call_id,
        "began_at": now if began is None or not 0 <= began <= LARGEST else began,
        "seconds": _float(record.get("seconds")) or 0.0,
        "agent": _short(record.get("agent")),
        "caller": _text(record.get("caller")),
        "caller_key": _short(record.get("caller_key"))[:64] or caller_key,
        "dialled": _text(record.get("dialled")),
        "outcome": _short(record.get("outcome")),
        "ended_by": _short(record.get("ended_by")),
        "target": _text(record.get("target")),
        "node": _text(record.get("node")),
        "turns": sum(1 for row in parts["turns"] if row["turn"]),  # turn 0 is the greeting
        "gap_p50": statistics.median(gaps) if gaps else None,
        "gap_max": max(gaps, default=None),
        "problems": problems,
    }
    for table in parts.values():
        for n, row in enumerate(table):
            row["call_id"], row["n"] = call_id, n
    return Rows(call, parts)


def _turn(n: int, turn: Mapping[str, Any]) -> Row:
    caller = _text(turn.get("caller"))
    agent = " ".join(filter(None, (_text(said.get("text")).strip() for said in _dicts(turn.get("said")))))
    slow = turn.get("slow")
    return {
        "turn": _int(turn.get("turn"), n),
        "source": _text(turn.get("source")),
        "rule": _text(turn.get("rule")),
        "gap_s": _float(turn.get("gap_s")),
        "slow_actor": _text(slow.get("actor")) if isinstance(slow, dict) else "",
        "cut_off": turn.get("cut_off") is True,
        "caller": caller,
        "agent": agent,
        "words": f"{caller}\n{agent}".casefold(),
    }


def _add(parts: dict[str, list[Row]], number: int, turn: Mapping[str, Any]) -> None:
    for span in _dicts(turn.get("spans")):
        parts["spans"].append({
            "turn": number, "name": _text(span.get("name")), "actor": _text(span.get("actor")),
            "from_s": _float(span.get("from")), "to_s": _float(span.get("to")),
        })  # fmt: skip
    for tool in _dicts(turn.get("tools")):
        parts["tool_calls"].append({
            "turn": number, "tool": _text(tool.get("tool")), "at_s": _float(tool.get("at")),
            "ms": _float(tool.get("ms")), "ok": tool.get("ok") is True, "cause": _text(tool.get("cause")),
            "attempts": _int(tool.get("attempts"), 1),
        })  # fmt: skip
    for handoff in _handoffs(turn):
        parts["handoffs"].append({
            "turn": number, "at_s": _float(handoff.get("at")), "state": _text(handoff.get("state")),
            "target": _text(handoff.get("target")), "cause": _text(handoff.get("cause")),
        })  # fmt: skip


def _handoffs(turn: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Version 1 had "state target cause" as a text."""
    for handoff in _list(turn.get("handoffs")):
        if isinstance(handoff, dict):
            yield handoff
        elif isinstance(handoff, str):
            state, target, cause = (*handoff.split(" ", 2), "", "", "")[:3]
            yield {"state": state, "target": target, "cause": cause}


def _problems(turn: Mapping[str, Any], gap_s: float | None) -> int:
    """Failed tools, engines' troubles and failovers, whether it was handed off, whether the gap was long."""
    failed = sum(map(_has_failed, _dicts(turn.get("tools"))))
    engines = len(_list(turn.get("troubles"))) + len(_list(turn.get("moves")))
    return failed + engines + bool(_list(turn.get("handoffs"))) + (gap_s is not None and gap_s > PROBLEM_GAP_S)


def _has_failed(tool: Mapping[str, Any]) -> bool:
    """One that still ran when the caller hung up has not."""
    return tool.get("ok") is False and (tool.get("ms") is not None or bool(tool.get("cause")))


# ---- what a document may hold and a column may not


def _text(value: Any) -> str:
    if not isinstance(value, str):
        return ""
    return value.replace("\0", "").encode("utf-8", "replace").decode()


def _short(value: Any) -> str:
    return _text(value)[:INDEXED_CHARS]


def _float(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _int(value: Any, otherwise: int) -> int:
    if isinstance(value, list):  # attempts, where these are told one by one
        return len(value)
    if isinstance(value, bool) or not isinstance(value, int) or abs(value) > INT_MAX:
        return otherwise
    return value


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _dicts(value: Any) -> list[dict[str, Any]]:
    return [item for item in _list(value) if isinstance(item, dict)]

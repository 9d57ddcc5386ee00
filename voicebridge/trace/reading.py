"""Reads records as they are found: of an older version, with parts missing, with text that no terminal should obey."""

from __future__ import annotations

import re

from voicebridge.trace.record import Record, Turn
from voicebridge.trace.spans import spans

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def plain(text: object) -> str:
    """Without control characters and marks that turn the direction of writing: numbers and names come from outside."""
    return _CONTROL.sub("\ufffd", str(text)).replace("\n", " ").replace("\t", " ")


def turns_of(record: Record) -> list[Turn]:
    """Empty where the record has no list of them."""
    turns = record.get("turns")
    return [turn for turn in turns if isinstance(turn, dict)] if isinstance(turns, list) else []


def with_spans(turn: Turn) -> Turn:
    """A turn of version 1 has marks only; its spans follow from them."""
    if "spans" in turn or turn.get("last_voice") is None:
        return turn
    marks = {name: at for name, at in turn.get("marks", {}).items() if at is not None}
    return {**turn, "spans": [span.as_dict(0.0) for span in spans(turn["last_voice"], marks)]}


def handoff_text(step: object) -> str:
    """`refused sales closed`. In records of version 1 a step is a text already."""
    if not isinstance(step, dict):
        return plain(step)
    cause = str(step.get("cause") or "").replace("_", " ")
    return plain(" ".join(part for part in (step.get("state"), step.get("target"), cause) if part))

"""What of a call's people is kept: the settings of `[store]`, and what they make of texts, numbers and turns."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from voicebridge.operating import Kind
from voicebridge.trace.redaction import KINDS, Redacted, redact, redact_answer, redact_parts
from voicebridge.trace.store.callers import caller_key
from voicebridge.trace.turn import Said, TurnTrace

log = logging.getLogger(__name__)

CallerNumbers = Literal["masked", "full", "none"]
SHOWN_DIGITS = 2
MASKED_FROM = 5
"""A shorter number is an extension: two of its digits would be most of it."""
TOGETHER = 4
"""A caller tells a number in so many turns, or in fewer."""


@dataclass(frozen=True, slots=True)
class Privacy:
    """`folder`: where callers' keys have their secret; None makes no keys."""

    redact: tuple[Kind, ...] = KINDS
    caller_numbers: CallerNumbers = "masked"
    folder: Path | None = None

    def text(self, text: str) -> str:
        return redact(text, self.redact)

    def caller(self, number: str) -> str:
        """A caller's number as it is stored."""
        if self.caller_numbers == "full" or not number:
            return number
        if self.caller_numbers == "none":
            return ""
        digits = "".join(char for char in number.partition("@")[0] if char.isdecimal())
        return f"***{digits[-SHOWN_DIGITS:]}" if len(digits) >= MASKED_FROM else "***"

    def key(self, number: str) -> str:
        """By which the caller's calls are found and erased; "" where that cannot be."""
        if self.folder is None or not number:
            return ""
        try:
            return caller_key(self.folder, number)
        except OSError as error:
            log.error("callers get no keys, and cannot be found or erased by number: %s", error)  # noqa: TRY400
            return ""

    def turn(self, turn: TurnTrace, zero: float) -> dict[str, Any]:
        """A turn for the record: as `TurnTrace.as_dict`, without what is to be hidden."""
        made = turn.as_dict(zero)
        if not self.redact:
            return made
        made["caller"] = turn.shown if turn.shown is not None else self.text(turn.caller)
        for said, told in zip(_said(turn.said, self.redact), made["said"], strict=True):
            told.update(said)
        made["troubles"] = [self.text(trouble) for trouble in made["troubles"]]
        for what in (*made["tools"], *made["handoffs"], *made["moves"]):
            what["cause"] = self.text(what["cause"])
            for attempt in what.get("try", ()):
                attempt["cause"] = self.text(attempt["cause"])
        return made

    def understood(self, turns: Sequence[TurnTrace]) -> None:
        """The last turn's caller was understood: what he said, and what he said before, is fit to be shown.

        A number may be told in several turns: which have to be hidden is known with the last of them.
        """
        spoken = [turn for turn in turns[-2 * TOGETHER :] if turn.caller and not turn.secret][-TOGETHER:]
        before, said = "", [turn.caller for turn in spoken]
        for turn, part in zip(spoken, redact_parts(said, self.redact, glue=". "), strict=True):
            if part.hidden or turn.shown is None:
                turn.shown = part.text
            if turn.asked:
                goes_on = before == turn.slot
                answer = redact_answer(turn.caller, self.redact, asked=turn.asked, goes_on=goes_on)
                turn.shown = answer if answer in _MARKS else turn.shown
            before = turn.slot if turn.asked else ""


_MARKS = ("[card]", "[number]", "[email]")


def _said(segments: Sequence[Said], kinds: tuple[Kind, ...]) -> list[dict[str, str]]:
    """Text and what was heard of it, by segment: a number may go on in the next one. `heard` stays how it begins."""
    texts = redact_parts([said.text for said in segments], kinds)
    return [
        {"text": text.text, "heard": _heard(said, text, kinds)} for said, text in zip(segments, texts, strict=True)
    ]


def _heard(said: Said, text: Redacted, kinds: tuple[Kind, ...]) -> str:
    if said.text.startswith(said.heard):
        return text.text[: text.at(len(said.heard))]
    return redact(said.heard, kinds)

"""Forms: what has to be known before a tool can run, and how the caller is asked for it.

Times of day are `HH:MM` (24 hours), dates `YYYY-MM-DD`, phone numbers and digits plain digits (a leading + kept).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

SlotKind = Literal[
    "date", "time", "number", "digits", "phone", "name", "spelled", "email", "yes_no", "choice", "text"
]
Answer = Literal["yes", "no", ""]


@dataclass(frozen=True, slots=True)
class Choice:
    """`value` is what the tool gets; `words` are other ways to say it."""

    __pydantic_config__ = {"extra": "forbid"}

    value: str
    words: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Slot:
    """One thing to ask for.

    `ask` holds the question in one or more wordings, `again` what is asked after a miss (else `ask` once more).
    `least` and `most` bound a number, or the count of digits or characters. `opens` and `closes` (`HH:MM`) bound a
    time of day: "at three" is then 15:00 where 03:00 is closed. `past`: a date may lie in the past. `optional`: never
    asked for, taken where the caller says it. `secret`: a PIN and the like; masked in every record. Slots of the kinds
    digits, phone, number and choice (by its position) may also be keyed; `terminator` ends the keys.
    """

    __pydantic_config__ = {"extra": "forbid"}

    name: str
    kind: SlotKind = "text"
    ask: tuple[str, ...] = ()
    again: tuple[str, ...] = ()
    choices: tuple[Choice, ...] = ()
    least: int | None = None
    most: int | None = None
    opens: str = ""
    closes: str = ""
    past: bool = False
    optional: bool = False
    secret: bool = False
    terminator: str = "#"


@dataclass(frozen=True, slots=True)
class Form:
    """Slots, and the tool that gets them.

    `confirm` is the question before the tool runs, with `{slot}` placeholders (as spoken). `done` is what is said when
    it worked and the result has no words of its own, with `{field}` of the result besides. After `misses` in a row on
    one slot the caller goes to `give_up` (a target's name; "" is the agent's fallback). `fixed` are arguments that are
    not asked for.
    """

    __pydantic_config__ = {"extra": "forbid"}

    name: str
    tool: str
    slots: tuple[Slot, ...] = ()
    confirm: str = ""
    done: tuple[str, ...] = ()
    cancelled: str = "All right, I leave it."
    misses: int = 3
    give_up: str = ""
    fixed: tuple[tuple[str, str], ...] = ()

    def slot(self, name: str) -> Slot:
        return next(slot for slot in self.slots if slot.name == name)


@dataclass(frozen=True, slots=True)
class SlotValue:
    """What was understood for a slot. `spoken` is how the agent says it back: "Tuesday, the 1st of December"."""

    slot: str
    value: str
    spoken: str


@dataclass(frozen=True, slots=True)
class Understood:
    """All that an utterance says to a form.

    `answer`: whether it says yes or no ("no, Tuesday" is a no with a value). `values`: at most one a slot. `cancel`: he
    wants to leave it. `partial`: digits so far where fewer came than are needed (he may go on).
    """

    values: tuple[SlotValue, ...] = ()
    answer: Answer = ""
    cancel: bool = False
    partial: str = ""

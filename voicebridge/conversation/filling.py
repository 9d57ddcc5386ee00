"""Filling in a form: what to ask next, as a pure function of what was known and what was just understood.

A caller may answer several questions at once, correct an earlier answer ("no, Tuesday"), or leave it. Nothing here
knows of time, of speech or of the tool that waits for the values.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Literal

from voicebridge.conversation.agent import Lines
from voicebridge.conversation.form import Form, Slot, SlotValue, Understood
from voicebridge.conversation.templates import fill

Stage = Literal["asking", "confirming", "changing"]
SPELLED = ("digits", "phone", "spelled", "email")
"""Kinds that callers say in groups, with pauses."""
KEYABLE = ("digits", "phone", "number", "choice", "yes_no")


@dataclass(frozen=True, slots=True)
class Filling:
    """How far a form is. `asked` is the slot that was asked for last; `partial` what came of it so far."""

    form: Form
    values: tuple[SlotValue, ...] = ()
    stage: Stage = "asking"
    asked: str = ""
    misses: int = 0
    partial: str = ""
    resume: Filling | None = None
    """Of a question that came between: the form that it interrupted."""
    offered_for: str = ""
    """Of an offer: what the caller had said. It belongs to what he says yes to."""
    raw: str = ""
    """A model's arguments, which only wait for a yes: they go to the tool as they are."""

    @property
    def slot(self) -> Slot | None:
        """The slot whose answer is expected."""
        return self.form.slot(self.asked) if self.stage == "asking" and self.asked else None

    def value(self, slot: str) -> SlotValue | None:
        return next((value for value in self.values if value.slot == slot), None)

    def arguments(self) -> str:
        """What the tool gets, as JSON text of an object."""
        return self.raw or json.dumps(dict(self.form.fixed) | {value.slot: value.value for value in self.values})


@dataclass(frozen=True, slots=True)
class Ask:
    """Say this and listen; `filling` is how far the form is then."""

    filling: Filling
    text: str
    understood: bool = True


@dataclass(frozen=True, slots=True)
class Run:
    """All is known, and confirmed where it must be."""

    filling: Filling


@dataclass(frozen=True, slots=True)
class Leave:
    """The caller does not want it any more."""

    text: str


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Not understood too often."""


Step = Ask | Run | Leave | GiveUp


def begin(form: Form, said: Understood, *, lines: Lines, confirm: str) -> Step:
    """The first question, or none where the caller said everything at once. `confirm`: see `go_on`."""
    return _next(_merged(Filling(form), said.values), lines=lines, confirm=confirm)


def go_on(filling: Filling, said: Understood, text: str, *, lines: Lines, confirm: str) -> Step:
    """What follows from an utterance. `confirm` is the template of the question before the tool runs, "" for none."""
    if said.cancel:
        return Leave(filling.form.cancelled)
    if filling.stage == "confirming":
        return _confirmed(filling, said, text, lines=lines, confirm=confirm)
    if said.values:
        return _next(_merged(filling, said.values), lines=lines, confirm=confirm)
    if said.partial and filling.slot is not None:
        return Ask(replace(filling, partial=said.partial), lines.go_on)
    if (named := _named(filling, text)) is not None and filling.stage == "changing":
        return _ask(filling, named)
    return _missed(filling, lines=lines)


def _confirmed(filling: Filling, said: Understood, text: str, *, lines: Lines, confirm: str) -> Step:
    if said.values:
        return _next(_merged(filling, said.values), lines=lines, confirm=confirm)
    if said.answer == "yes":
        return Run(filling)
    if said.answer == "no":
        if not filling.form.slots:
            return Leave(filling.form.cancelled)
        if (named := _named(filling, text)) is not None:
            return _ask(filling, named)
        return Ask(replace(filling, stage="changing", misses=0), lines.what_instead)
    return _missed(filling, lines=lines)


def again(filling: Filling, *, confirm: str, lines: Lines) -> str:
    """The question that waits for an answer, once more."""
    if filling.stage == "confirming":
        return _question(filling, confirm)
    if filling.stage == "changing":
        return lines.what_instead
    slot = filling.slot
    return _wording(slot.ask, 0) if slot is not None else ""


def _next(filling: Filling, *, lines: Lines, confirm: str) -> Step:
    """The next question; the confirmation when there is none left; the tool when that is not wanted."""
    known = {value.slot for value in filling.values}
    for slot in filling.form.slots:
        if slot.name not in known and not slot.optional:
            return _ask(filling, slot)
    if not confirm:
        return Run(filling)
    asking = replace(filling, stage="confirming", asked="", misses=0, partial="")
    return Ask(asking, _question(asking, confirm))


def _ask(filling: Filling, slot: Slot) -> Ask:
    asked = replace(filling, stage="asking", asked=slot.name, misses=0, partial="")
    return Ask(asked, _wording(slot.ask, 0))


def _missed(filling: Filling, *, lines: Lines) -> Step:
    misses = filling.misses + 1
    if misses >= filling.form.misses:
        return GiveUp()
    missed = replace(filling, misses=misses, partial="")  # he is asked for all of it again
    if filling.stage == "confirming":
        return Ask(missed, lines.yes_or_no, understood=False)
    slot = filling.slot
    if slot is None:
        return Ask(missed, lines.what_instead, understood=False)
    question = _wording(slot.again, misses - 1) if slot.again else f"{lines.repeat[0]} {_wording(slot.ask, misses)}"
    return Ask(missed, question, understood=False)


def _merged(filling: Filling, values: tuple[SlotValue, ...]) -> Filling:
    """A later answer replaces an earlier one."""
    names = [slot.name for slot in filling.form.slots]
    made = {value.slot: value for value in (*filling.values, *values) if value.slot in names}
    return replace(filling, values=tuple(made[name] for name in names if name in made))


def _named(filling: Filling, text: str) -> Slot | None:
    """The slot that is called by its name: "the time is wrong"."""
    low = text.lower()
    return next((slot for slot in filling.form.slots if slot.name.replace("_", " ") in low), None)


def _question(filling: Filling, confirm: str) -> str:
    return fill(confirm, {value.slot: value.spoken for value in filling.values})


def _wording(wordings: tuple[str, ...], turn: int) -> str:
    return wordings[turn % len(wordings)] if wordings else ""

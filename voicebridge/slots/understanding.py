"""What an utterance says to a form: each slot's reader in turn, on what the readers before it left."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Final

from rapidfuzz import fuzz

from voicebridge.conversation.form import Answer, Form, Slot, SlotKind, SlotValue, Understood
from voicebridge.slots.language import MASK, MAX_CHARS, MAX_FOUND, NEAR, TEXT_CHARS, Asked, Context, Found, Language
from voicebridge.slots.languages import language_of
from voicebridge.slots.line import straight

# Asked for, these are read before all others: a run of digits or letters would be taken for times and dates.
_FIRST: Final[frozenset[SlotKind]] = frozenset({"digits", "phone", "spelled", "email", "yes_no"})
# What is surest comes first: what it takes the later ones do not see.
_ORDER: Final[tuple[SlotKind, ...]] = (
    "email", "choice", "date", "time", "phone", "digits", "number", "name", "spelled",
)
_CORRECTED: Final[tuple[SlotKind, ...]] = ("date", "time", "number", "phone", "digits", "choice", "email", "name")
FEW_WORDS: Final = 6
NAMED_NEAR: Final = 24
"""So many characters after its slot's name a bare value may stand: "the time should better be four"."""
ALIKE_NAME: Final = 50
"""A bare word at the confirmation corrects a name that it sounds like (of 100)."""
LEADING_WORDS: Final = 3
"""A longer beginning before the value that was asked for is part of its sentence, not a yes or no."""
_LETTERS: Final = re.compile(r"(?:\b[A-Za-z]\b[\s.,-]+){2,}[A-Za-z]\b")
_MONTH_FIRST: Final = frozenset({"en", "en-us", "en-ph"})


def parse(
    form: Form,
    asked: str,
    text: str,
    *,
    now: datetime,
    language: str = "en",
    known: Mapping[str, SlotValue] | None = None,
) -> Understood:
    """`asked` is the slot just asked for, "" after the form's confirmation (or when the utterance opened the form).

    `now` is the caller's local time. `known` is what the form holds. Never raises on a text; an unknown `asked` is "".
    With nothing asked, a "yes" beside a value that contradicts what is known is a "no": it wants confirming anew.
    """
    code = language.lower().replace("_", "-")
    context = Context(now, code, code in _MONTH_FIRST)
    slot = next((slot for slot in form.slots if slot.name == asked), None)
    most = TEXT_CHARS if slot is not None and slot.kind == "text" else MAX_CHARS
    clean = straight(text[:most]).replace(MASK, " ")
    read = _Reading(form, slot, clean, context, language_of(code), known or {}).understood()
    if slot is None and not read.values and _LETTERS.search(clean):
        return _spelled(form, clean, context, language_of(code), known or {}, read)
    return read


def _spelled(
    form: Form, said: str, context: Context, language: Language, known: Mapping[str, SlotValue], read: Understood
) -> Understood:
    """What is spelled although nothing was asked for: a name that was read back wrong."""
    for slot in form.slots:
        if slot.kind not in {"name", "spelled"}:
            continue
        again = _Reading(form, slot, said, context, language, known).understood()
        if values := tuple(value for value in again.values if value.slot == slot.name):
            return replace(read, values=values)
    return read


class _Reading:
    """One utterance being read; `text` loses what was taken, `said` stays whole."""

    def __init__(
        self, form: Form, asked: Slot | None, said: str, context: Context, language: Language,
        known: Mapping[str, SlotValue],
    ) -> None:
        self.form, self.asked, self.said, self.text = form, asked, said, said
        self.context, self.language, self.known = context, language, known
        self.values: dict[str, SlotValue] = {}
        self.partial = ""

    def understood(self) -> Understood:
        meta, leaves = self.language.meta(self.said), self.language.only_cancels(self.said)
        if self.asked is not None and self.asked.kind == "choice":
            leaves = leaves and not self._finds(self.asked, self.text, lenient=False)
        if not leaves and not (meta and not (self.asked and self.asked.kind == "yes_no")):
            self._read()
        answer = self._answer()
        if self.asked is None and answer == "yes":  # "yes, Tuesday at three": nothing new
            self.values = {name: value for name, value in self.values.items() if self._held(name) != value.value}
        values = tuple(self.values[slot.name] for slot in self.form.slots if slot.name in self.values)
        cancel = leaves or (not values and not self.partial and self.language.cancels(self.said))
        return Understood(values, answer, cancel, self.partial)

    def _answer(self) -> Answer:
        asked = self.asked
        if asked is not None and asked.kind == "text" and asked.name in self.values:
            return ""
        if asked is not None and asked.kind == "yes_no":
            return self.language.answer(self.said)
        text = self.text
        if asked is not None and asked.name in self.values:  # only what leads to the value: "yes, Tuesday I think so"
            text = text.partition(MASK)[0]
            text = text if len(text.split()) <= LEADING_WORDS else ""
        verdict = self.language.answer(text)
        contradicts = any(
            name in self.known and self._held(name) != value.value for name, value in self.values.items()
        )
        halfway = contradicts or (not self.values and self.language.reserves(self.text))
        return "no" if asked is None and verdict == "yes" and halfway else verdict

    def _held(self, name: str) -> str:
        return self.known[name].value if name in self.known else ""

    def _read(self) -> None:
        asked = self.asked
        if asked is not None and asked.kind == "text":
            self._take_asked(asked)
            return
        if asked is not None and asked.kind in _FIRST:
            self._take_asked(asked)
        for kind in _ORDER:
            if asked is None or kind != asked.kind:
                self._take_volunteered(kind)
            elif kind == "choice":
                self._take(asked, self._pick(self._finds(asked, self.text, lenient=False)))
        if asked is not None and asked.kind not in _FIRST and asked.name not in self.values:
            self._take_asked(asked)
        if asked is None:
            self._take_named()
            self._take_corrected()

    def _finds(self, slot: Slot, text: str, *, lenient: bool, by_sound: bool = False) -> list[Found]:
        reader = self.language.readers.get(slot.kind)
        asked = Asked(slot, lenient, self.known.get(slot.name), by_sound=by_sound or (lenient and slot is self.asked))
        return reader(text, asked, self.context)[:MAX_FOUND] if reader else []

    def _pick(self, found: list[Found]) -> Found | None:
        """The one that is meant: not what is taken back, and the later where it replaces the former."""
        kept = [
            each for each in found
            if not self._is_dropped(each) and not self.language.dropped_after(self.said[each.end : each.end + NEAR])
        ]
        best = kept[0] if kept else None
        for each in kept[1:]:
            if best is not None and self.language.repaired(self.said[best.end : each.start][-NEAR:]):
                best = each
        return best

    def _is_dropped(self, found: Found) -> bool:
        return self.language.dropped(self.said[max(found.start - NEAR, 0) : found.start])

    def _take(self, slot: Slot, found: Found | None) -> None:
        if found is None:
            return
        if found.partial:
            self.partial = found.value
        else:
            self.values[slot.name] = SlotValue(slot.name, found.value, found.spoken)
        self._mask(found)

    def _mask(self, found: Found) -> None:
        self.text = self.text[: found.start] + MASK * (found.end - found.start) + self.text[found.end :]

    def _take_asked(self, asked: Slot) -> None:
        """The slot asked for; the values beyond it go to the slots of the same kind behind it ("from ... to ...")."""
        found = self._finds(asked, self.text, lenient=True)
        best = self._pick(found)
        self._take(asked, best)
        others = [slot for slot in self.form.slots if slot.kind == asked.kind and slot.name not in self.known]
        after = others[others.index(asked) + 1 :] if asked in others else []
        if after and best is not None and len(found) == 2 and best is found[0] and not best.partial:
            self._take(after[0], found[1])
        if best is None:
            return
        for each in found:
            if each is not best:
                self._mask(each)

    def _take_volunteered(self, kind: SlotKind) -> None:
        """What was said to slots of a kind that nobody asked for, where it cannot be mistaken."""
        slots = [slot for slot in self.form.slots if slot.kind == kind]
        if len(slots) == 1:
            found = self._finds(slots[0], self.text, lenient=False)
            if (best := self._pick(found)) is not None:
                self._take(slots[0], best)
                for each in found:
                    self._mask(each)
            return
        if kind in {"choice", "digits", "number"}:  # each knows its own
            for slot in slots:
                self._take(slot, self._pick(self._finds(slot, self.text, lenient=False)))
        elif slots:
            self._share(slots)

    def _share(self, slots: list[Slot]) -> None:
        """Several slots of one kind: as many values as slots, in order; one value where one slot is open or named."""
        found = self._finds(slots[0], self.text, lenient=False)
        kept = [each for each in found if not self._is_dropped(each)]
        unfilled = [slot for slot in slots if slot.name not in self.known]
        for group in (unfilled, slots):
            if len(kept) == len(group) > 0 and (len(group) > 1 or len(unfilled) == 1):
                for slot, each in zip(group, kept, strict=True):
                    self._take(slot, each)
                return
        for each in kept:
            named = [(at, slot) for slot in slots if (at := self._named(slot)) >= 0 and at <= each.start]
            if named:
                self._take(max(named, key=lambda pair: pair[0])[1], each)

    def _named(self, slot: Slot) -> int:
        """Where the slot is mentioned; a word that mentions two slots mentions neither."""
        at = self.language.named(self.text, slot)
        twins = (self.language.named(self.text, other) for other in self.form.slots if other.name != slot.name)
        return -1 if at < 0 or at in twins else at

    def _take_named(self) -> None:
        """"The time should be four"."""
        for slot in self.form.slots:
            if slot.name in self.values or slot.kind in {"text", "yes_no"} or (at := self._named(slot)) < 0:
                continue
            if slot.kind not in {"name", "spelled"} or slot.name in self.known:
                found = self._pick(self._finds(slot, MASK * at + self.text[at:], lenient=True))
                near = found is not None and found.start - at <= NAMED_NEAR
                if found and near and (slot.kind != "name" or self._sounds_like(slot, found)):
                    self._take(slot, found)

    def _take_corrected(self) -> None:
        """"Make it four": to the one slot that it can be."""
        at, count = self.language.corrects(self.text), len(self.text.split())
        if self.values or (at < 0 and (not self.known or count > FEW_WORDS)) or (not self.known and count > FEW_WORDS):
            return
        rest = MASK * max(at, 0) + self.text[max(at, 0) :]
        fitting: list[tuple[Slot, Found]] = []
        for kind in _CORRECTED:
            for slot in self.form.slots:
                if slot.kind != kind or (self.known and slot.name not in self.known):
                    continue
                if fitting and kind in {"choice", "name"}:  # "the third" is a day rather than a place in a list
                    continue
                found = self._pick(self._finds(slot, rest, lenient=True, by_sound=kind == "date"))
                if found and not found.partial and (kind != "name" or self._sounds_like(slot, found)):
                    fitting.append((slot, found))
        if len(fitting) == 1:
            self._take(*fitting[0])

    def _sounds_like(self, slot: Slot, found: Found) -> bool:
        held = self._held(slot.name).lower().split()
        return any(
            fuzz.ratio(word, other) >= ALIKE_NAME for word in found.value.lower().split() for other in held
        )

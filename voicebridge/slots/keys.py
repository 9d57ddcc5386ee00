"""Keys pressed for a slot."""

from __future__ import annotations

from voicebridge.conversation.form import Slot, SlotValue
from voicebridge.slots.digits import PHONE_LEAST, PHONE_MOST
from voicebridge.slots.numbers import in_bounds
from voicebridge.slots.saying import say_choice, say_digits


def keys(slot: Slot, digits: str) -> SlotValue | None:
    """What the keys (without the terminator) say to a slot of the kinds digits, phone, number, choice (its place in the
    list, from 1) and yes_no (1 and 2). None where they say nothing, or do not fit the slot's bounds."""
    if not digits or not digits.isascii() or not digits.isdigit():
        return None
    if slot.kind == "number":
        value = int(digits) if len(digits) <= 15 else -1
        return SlotValue(slot.name, str(value), str(value)) if value >= 0 and in_bounds(value, slot) else None
    if slot.kind == "choice":
        place = int(digits[:4])
        if not 1 <= place <= len(slot.choices):
            return None
        choice = slot.choices[place - 1].value
        return SlotValue(slot.name, choice, say_choice(slot, choice))
    if slot.kind == "yes_no":
        said = {"1": "yes", "2": "no"}.get(digits, "")
        return SlotValue(slot.name, said, said) if said else None
    if slot.kind not in {"digits", "phone"}:
        return None
    least = slot.least or (PHONE_LEAST if slot.kind == "phone" else 1)
    most = slot.most or (PHONE_MOST if slot.kind == "phone" else None)
    if len(digits) < least or (most is not None and len(digits) > most):
        return None
    return SlotValue(slot.name, digits, say_digits(digits))

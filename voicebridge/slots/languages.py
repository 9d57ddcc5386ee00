"""Which languages there are. A new one is a file like `english` and a line here."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from voicebridge.conversation.form import Form, Slot, SlotKind
from voicebridge.slots.english import ENGLISH
from voicebridge.slots.language import Asked, Context, Language
from voicebridge.slots.plain import plain

LANGUAGES: Final[dict[str, Language]] = {"en": ENGLISH}
_WARM: Final[tuple[tuple[SlotKind, str], ...]] = (
    ("date", "tomorrow"), ("time", "at three"), ("phone", "555 0142"), ("name", "my name is Ann"), ("spelled", "A B C"),
    ("email", "a at b dot com"), ("yes_no", "yes"), ("choice", "the frist"), ("number", "two"), ("text", "hello there"),
)


def language_of(code: str) -> Language:
    """The language, "en-GB" as "en"; where there is none, what needs no language."""
    base = code.lower().replace("_", "-").split("-")[0]
    return LANGUAGES.get(base) or plain(base)


def missing(form: Form, code: str) -> tuple[str, ...]:
    """What the form asks for and the language cannot read yet, one line a slot; nothing where all is well."""
    readers = language_of(code).readers
    return tuple(
        f"form {form.name}: slot {slot.name} ({slot.kind}) cannot be read in {code!r} yet; kinds that can: "
        f"{', '.join(sorted(readers))}"
        for slot in form.slots if slot.kind not in readers
    )


def warm(language: str = "en") -> None:
    """Loads what the first utterance would wait for: nothing much in English, `dateparser` (0.3 s) in others."""
    context = Context(datetime(2026, 1, 5, 9), language)
    readers = language_of(language).readers
    for kind, text in _WARM:
        if (reader := readers.get(kind)) is not None:
            reader(text, Asked(Slot("warm", kind), lenient=True), context)

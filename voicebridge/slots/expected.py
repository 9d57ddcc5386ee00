"""What a caller may say to a slot's question, for recognisers that take a grammar."""

from __future__ import annotations

from voicebridge.conversation.form import Slot


def phrases(slot: Slot, language: str) -> tuple[str, ...]:
    """Words and phrases in lower case, each said alone or one after the other; empty where anything may be said."""
    if slot.kind == "choice":
        return tuple(dict.fromkeys(words.lower() for choice in slot.choices for words in (choice.value, *choice.words)))
    return ()

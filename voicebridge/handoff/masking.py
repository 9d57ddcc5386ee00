"""Leaves out of a text what was secret: values that are named, however they were said, and payment cards' numbers."""

from __future__ import annotations

import re
from collections.abc import Iterable

from voicebridge.conversation.readout import holds_card, numbers

MASK = "***"


def masked(text: str, secrets: Iterable[str] = ()) -> str:
    """Without these values, written or read out digit by digit, and without card numbers."""
    digits = [found for secret in secrets if (found := re.sub(r"\D", "", secret)) and len(found) >= 3]
    for number in reversed(list(numbers(text, misheard=True))):
        if any(secret in number.digits for secret in digits) or holds_card(number.digits):
            text = f"{text[: number.begin]}{MASK}{text[number.end :]}"
    for secret in secrets:
        if secret.strip():
            text = re.sub(_spaced(secret), MASK, text, flags=re.IGNORECASE)
    return text


def _spaced(secret: str) -> str:
    """A secret also where it is spelled: "s, m, i - t h"."""
    letters = [re.escape(letter) for letter in secret if not letter.isspace()]
    return r"(?<!\w)" + r"[\s,.\-]*".join(letters) + r"(?!\w)"

"""Free text: all that was said, without "well, it's that" before it."""

from __future__ import annotations

import re
from typing import Final

from voicebridge.slots.answers import answer
from voicebridge.slots.language import MASK, Asked, Context, Found
from voicebridge.slots.leaving import meta

_LEAD: Final = re.compile(
    r"(?:(?:yes|yeah|yep|okay|ok|sure|well|um|uh|er|erm|hmm|so|oh|right|of course|please|hi|hello)\b[\s,.!]*)*"
    r"(?:(?:(?:the message is|my message is|please |could you |can you |just |i'd like to |i would like to |i want to |"
    r"you can )*(?:tell|let|say to|inform) (?:him|her|them|the \w+|\w+) (?:know )?(?:that\b)?|(?:please |"
    r"just )?say (?:that\b)?|"
    r"the (?:message|reason|problem|issue|question) is(?: that)?|it's (?:about|because)|it is (?:about|because)|"
    r"it's|it is|because|just)\b[\s,:]*)?", re.IGNORECASE)
_YES_NO: Final = re.compile(r"\W*(?:yes|no|yeah|nope|yep|nah)(?: (?:please|thanks|thank you))?\W*", re.IGNORECASE)


def find_texts(text: str, asked: Asked, context: Context) -> list[Found]:
    """The whole utterance, where it was asked for; a bare yes or no is none."""
    if not asked.lenient or meta(text) or _YES_NO.fullmatch(text) or (answer(text) == "no" and len(text.split()) <= 3):
        return []
    match = _LEAD.match(text)
    start = match.end() if match else 0
    value = " ".join(text[start:].replace(MASK, " ").split()).strip(" ,;")
    if not any(char.isalnum() for char in value):
        return []
    if asked.slot.most is not None:
        value = value[: asked.slot.most].rstrip()
    if asked.slot.least is not None and len(value) < asked.slot.least:
        return []
    return [Found(start, len(text), value, value.rstrip("."))]

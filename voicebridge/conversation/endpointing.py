"""Can these words be the end of what somebody wanted to say? By tables of words, one a language (`endings`).

Most sentences tell nothing: then the usual endpoint holds. A wrong `open` costs the caller 0.6 s of waiting, a wrong
`complete` makes us speak 0.1 s sooner than we would have: neither is a disaster, and both are measured by
`bench.endpointing`.
"""

from __future__ import annotations

import re
from typing import Final

from voicebridge.conversation.agent import RuleAction
from voicebridge.conversation.backchannel import words
from voicebridge.conversation.endings import endings_of
from voicebridge.conversation.form import Slot, Understood

WHOLE_QUESTION_WORDS: Final = 4
"""A shorter one is the beginning of a longer one too often: "where is the" was cut, "are you open" goes on."""
LONGEST_PHRASE: Final = 3
_SENTENCES: Final = re.compile(r"[.?!¿¡]\s*(?=\S)|[¿¡]")


def looks_open(text: str, language: str = "en") -> bool:
    """True when the caller most likely goes on: the recogniser heard no end, or the last words ask for more.

    A comma at the end says nothing: asked 60 ms after the last voice, moonshine writes one behind every third sentence.
    """
    stripped = text.strip()
    if stripped.endswith(("...", "…", "-")):
        return True
    said = words(stripped)
    table = endings_of(language)
    tail = _open_tail(said, table.open, table.open_phrases)
    if not tail:
        return False
    ended = stripped.endswith(("?", ".", "!"))
    return not (ended and tail in table.may_close and len(said) > 2)


def _open_tail(said: tuple[str, ...], alone: frozenset[str], phrases: frozenset[str]) -> str:
    """The last word, or the longest phrase of last words, that asks for more; "" where there is none."""
    for length in range(min(LONGEST_PHRASE, len(said)), 0, -1):
        if (tail := " ".join(said[-length:])) in phrases:
            return tail
    if not said:
        return ""
    if len(said) > 2 and all(len(word) == 1 for word in said[-3:]):
        return ""  # he spells
    whole, behind = said[-1], said[-1].rpartition("'")[2]  # "d'une" ends as "une" does
    return whole if whole in alone else behind if behind in alone else ""


def whole_question(text: str, language: str = "en") -> bool:
    """True for what the recogniser wrote as a question, and what begins and ends like one.

    Not enough by itself: "When are you open?" may go on with "on Saturday". Where a rule is sure to be meant, it is.
    """
    if not text.rstrip().endswith("?") or looks_open(text, language):
        return False
    said, table = words(_SENTENCES.split(text.rstrip(" ?"))[-1]), endings_of(language)
    if len(said) < WHOLE_QUESTION_WORDS or said[0] not in table.askers:
        return False
    return not _open_tail(said, table.open, table.open_phrases)


def takes_leave(text: str, language: str = "en") -> bool:
    """True for "That's all, thank you", "Goodbye": the caller wants nothing more."""
    said, whole = words(text), endings_of(language).whole
    polite = _without_thanks(said)
    return any(" ".join(polite[-length:]) in whole for length in range(1, min(4, len(polite)) + 1))


def bare_answer(text: str, language: str = "en") -> str:
    """ "yes" or "no" where the utterance is nothing else, "" else."""
    said, table = " ".join(words(text)), endings_of(language)
    return "yes" if said in table.yes else "no" if said in table.no else ""


def surely_done(text: str, language: str, action: RuleAction) -> bool:
    """A whole question, or a goodbye, that a rule answers with words alone: nothing is lost where he goes on."""
    if action == "end_call":
        return takes_leave(text, language)
    return action in ("say", "model", "unknown") and (takes_leave(text, language) or whole_question(text, language))


def only_answers(text: str, language: str, said: Understood, slot: Slot | None) -> bool:
    """A bare no, or a bare yes to a slot's question. A yes that something would be done by is given its time."""
    if said.values or said.cancel or not said.answer or bare_answer(text, language) != said.answer:
        return False
    return said.answer == "no" or (slot is not None and slot.kind == "yes_no" and bool(slot.name))


_THANKS: Final = frozenset(
    {
        "thanks", "thank you", "thank you very much", "danke", "vielen dank", "danke schön", "merci", "merci beaucoup",
        "gracias", "muchas gracias", "grazie", "grazie mille", "obrigado", "obrigada", "dank u", "dank u wel",
        "bedankt", "dziękuję", "dziękuję bardzo", "tack", "tack så mycket", "tak", "mange tak",
    }
)


def _without_thanks(said: tuple[str, ...]) -> tuple[str, ...]:
    """What stands before a thank-you at the end."""
    for length in range(min(4, len(said)), 0, -1):
        if " ".join(said[-length:]) in _THANKS:
            return said[:-length]
    return said

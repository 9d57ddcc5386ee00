"""Words that take the turn, words that do not, and what is no words at all."""

from __future__ import annotations

import re
from typing import Final

_WORD: Final = re.compile(r"[^\W_]+(?:['’\-][^\W_]+)*")

# Said while somebody else speaks, these mean "go on". English; other languages add their own set.
_BACKCHANNELS: Final[dict[str, frozenset[str]]] = {
    "en": frozenset(
        {
            "uh-huh", "uhhuh", "uh", "huh", "mm-hmm", "mhm", "mmhmm", "mm", "hmm", "hm", "um", "ah", "aha", "oh",
            "yeah", "yep", "yup", "yes", "ok", "okay", "right", "sure", "wow", "cool", "great", "good", "nice",
            "alright", "fine", "exactly", "indeed", "really", "interesting", "lovely", "perfect",
            "i", "see", "got", "it", "all", "i'll", "understand", "of", "course", "that's", "thats", "that",
        }
    ),
}
# Of the words above, these mean nothing alone.
_FILLING: Final = frozenset(
    {
        "i", "see", "got", "it", "all", "i'll", "understand", "of", "course", "that's", "thats", "that"
    }
)
_PHRASES: Final = frozenset(
    {
        "i see", "got it", "i got it", "all right", "of course", "i understand", "that's right", "that's good",
        "that's great"
    }
)
# An answer, where we have just asked.
_ANSWERS: Final = frozenset(
    {
        "yeah", "yep", "yup", "yes", "ok", "okay", "right", "sure", "exactly", "fine", "perfect", "course"
    }
)

# What small recognisers write for noise and clicks. Real words too: only short sounds are judged by them.
_HALLUCINATIONS: Final = frozenset(
    {
        "you", "thank you", "thanks", "bye", "the", "a", "so", "oh", "uh", "mm", "hmm", "i", "and", "it", "huh",
        "ah", "shh", "psh"
    }
)
SHORT_S: Final = 0.35


def words(text: str) -> tuple[str, ...]:
    """Lower-case words without punctuation: for comparing what was said."""
    return tuple(_WORD.findall(text.lower().replace("’", "'")))


def is_noise(text: str, *, voiced_s: float) -> bool:
    """No words, or what recognisers invent for a sound as short as `voiced_s` seconds."""
    said = words(text)
    if not said:
        return True
    return voiced_s < SHORT_S and " ".join(said) in _HALLUCINATIONS


def is_backchannel(text: str, *, language: str = "en", after_question: bool = False) -> bool:
    """True for "uh-huh", "okay", "I see": said while we speak, they do not ask us to stop.

    When what we say is a question, a yes to it is an answer.
    """
    said = words(text)
    known = _BACKCHANNELS.get(language.split("-")[0], _BACKCHANNELS["en"])
    if not said or len(said) > 4 or any(word not in known for word in said):
        return False
    if after_question and any(word in _ANSWERS for word in said):
        return False
    carrying = [word for word in said if word not in _FILLING]
    return bool(carrying) or " ".join(said) in _PHRASES

"""Can these words be the end of what somebody wanted to say?"""

from __future__ import annotations

from voicebridge.conversation.backchannel import words

# Words that ask for more. English; other languages add their own set under their code.
_OPEN_ENDS: dict[str, frozenset[str]] = {
    "en": frozenset(
        {
            "a", "an", "the", "and", "or", "but", "so", "because", "if", "when", "while", "that", "which", "who", "of",
            "for", "from", "with", "without", "to", "at", "by", "in", "into", "on", "my", "your", "our", "his", "her",
            "their", "this", "these", "those", "is", "are", "was", "were", "am", "be", "been", "do", "does", "did",
            "have", "has", "had", "can", "could", "will", "would", "shall", "should", "may", "might", "must", "i", "we",
            "they", "he", "she", "um", "uh", "er", "erm", "like", "about", "between", "than", "as", "whether"
        }
    ),
}
# What stands at the end of a question as often as not: "where are you at", "what is it like", "what is this".
_MAY_CLOSE = frozenset(
    {
        "is", "are", "was", "do", "does", "did", "have", "can", "could", "will", "would", "should", "at", "by",
        "in", "on", "to", "for", "with", "about", "like", "this", "that", "i"
    }
)


def looks_open(text: str, language: str = "en") -> bool:
    """True when the caller most likely goes on: the recogniser heard no end, or the last word asks for more.

    A comma at the end says nothing: asked 60 ms after the last voice, moonshine writes one behind every third sentence.
    """
    stripped = text.strip()
    if stripped.endswith(("...", "…", "-")):
        return True
    said = words(stripped)
    if not said or said[-1] not in _OPEN_ENDS.get(language.split("-")[0], frozenset()):
        return False
    return not (stripped.endswith(("?", ".")) and said[-1] in _MAY_CLOSE and len(said) > 2)

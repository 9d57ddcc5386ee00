"""How sentences end, a file a language."""

from __future__ import annotations

from typing import Final

from voicebridge.conversation.endings.danish import DANISH
from voicebridge.conversation.endings.dutch import DUTCH
from voicebridge.conversation.endings.english import ENGLISH
from voicebridge.conversation.endings.french import FRENCH
from voicebridge.conversation.endings.german import GERMAN
from voicebridge.conversation.endings.italian import ITALIAN
from voicebridge.conversation.endings.polish import POLISH
from voicebridge.conversation.endings.portuguese import PORTUGUESE
from voicebridge.conversation.endings.spanish import SPANISH
from voicebridge.conversation.endings.swedish import SWEDISH
from voicebridge.conversation.endings.table import Endings, split

LANGUAGES: Final[dict[str, Endings]] = {
    "da": DANISH, "de": GERMAN, "en": ENGLISH, "es": SPANISH, "fr": FRENCH, "it": ITALIAN, "nl": DUTCH, "pl": POLISH,
    "pt": PORTUGUESE, "sv": SWEDISH,
}  # fmt: skip
NEUTRAL: Final = Endings(open=split(""))
"""For a language without a table: only what the recogniser itself wrote counts."""


def endings_of(language: str) -> Endings:
    """The table of a language tag ("en-GB", "pt_BR")."""
    return LANGUAGES.get(language.lower().replace("_", "-").split("-")[0], NEUTRAL)

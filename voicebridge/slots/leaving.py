"""That a caller wants to leave it, and that he talks about the talk itself."""

from __future__ import annotations

import re
from typing import Final

from voicebridge.slots.line import line
from voicebridge.slots.wordlist import either

_IT: Final = "(?:it|that|this|everything|all of it|the whole thing|all that)"
_LEAVE: Final = either(
    f"forget (?:about )?{_IT}|never ?mind(?: {_IT}| then| about (?:it|that))?|cancel(?: {_IT})?|call it off|quit|abort",
    f"(?:i've |i have |i )?(?:just )?changed my mind(?: about {_IT})?|stop(?: (?:it|this|that|here|now|there))?",
    f"(?:leave|drop|scrap|scratch|skip) {_IT}(?: be)?|let it go|let's not|i give up|not any ?more|"
    f"(?:it )?doesn't matter",
    f"(?:don't|do not) (?:want|need)(?: to)?(?: do| book| make)?(?: {_IT})? (?:any ?more|any longer|after all)",
    f"no longer (?:want|need)(?: to)?(?: {_IT})?|(?:i'd |i would )rather not do {_IT}|don't bother(?: with {_IT})?",
    "no need any ?more",
    "i'll (?:do it|call|call back|try|come back|think about it) (?:later|another time|again later|again|"
    "some other time)",
)
_POLITE: Final = either(
    "no|oh|okay|well|actually|yes|sorry|please|just|you know what|let's|i think|i want to|i'd like to|i would like to",
    "can we|could we|can you|could you|we can|then|thanks|thank you|i|i'll|to|so|right|now|ah|and|but|hey|wait|i said",
    "i'm sorry|look|listen|on #2 thoughts?|on second thoughts?|maybe|let me|you can|i'm afraid",
)
_AFTER: Final = either(
    "please|then|thanks|thank you|it's fine|it's okay|sorry|for now|now|actually|i'm sorry|bye|goodbye|all right|okay",
    f"after all|i'll call (?:you )?(?:back|back later|later)|{_LEAVE}",
)
_ONLY: Final = re.compile(rf"(?:(?:{_POLITE}) )*(?:{_LEAVE})(?: (?:{_AFTER}))*$")
_STRONG: Final = re.compile(
    r"(?<!\S)(?<!don't )(?<!do not )(?<!not )(?<!didn't )(?<!don't want to )(?<!do not want to )(?:"
    f"forget (?:about )?{_IT}|never ?mind(?! (?:the|what|how|if|my|your))|(?:i've|i have|i) changed my mind|"
    f"scrap {_IT}|cancel {_IT}|call it off|"
    f"(?:don't|do not) want (?:to (?:do |book )?)?{_IT}? ?(?:any ?more|after all))(?!\\S)"
)
_META: Final = re.compile(either(
    "(?:(?:sorry|pardon|pardon me|excuse me|hello|hey|hi|what|huh|okay|well|wait|please|can you hear me|"
    "are you there|what was that",
    "what do you mean|what did you say|say (?:that|it) again|say again|come again|repeat(?: that| the question)?",
    "(?:can|could|would) you (?:please )?(?:repeat|say)(?: (?:that|it|the question|again))*|again|what is that|"
    "what's that",
    "i (?:don't|didn't|do not|did not) (?:understand|get that|hear(?: you| that)?|catch that|know|follow|"
    "remember)(?: you| that)?",
    "(?:just )?(?:a|1) (?:moment|second|#2|minute|sec)|hold on|hang on|let me (?:think|see|check|look)(?: about it)?",
    "give me (?:a|1) (?:moment|second|#2|minute|sec)|(?:i'm )?not sure|(?:i have )?no idea|i can't remember|i forgot",
    "i don't have (?:it|that|1)|what for|why|how come|good question|thanks|thank you|bye|goodbye)(?: |$))+$",
))


def cancels(text: str) -> bool:
    """Whether the caller wants to leave it; asked only where no value was found."""
    said = line(text).text
    return bool(_ONLY.match(said) or _STRONG.search(said))


def only_cancels(text: str) -> bool:
    """Whether he says nothing else."""
    return bool(_ONLY.match(line(text).text))


def meta(text: str) -> bool:
    """"What did you say?", "hold on": never a value."""
    return bool(_META.match(line(text).text))



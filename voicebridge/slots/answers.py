"""Yes and no, in the many ways people say them."""

from __future__ import annotations

import re
from typing import Final

from voicebridge.conversation.form import Answer
from voicebridge.slots.language import Asked, Context, Found
from voicebridge.slots.line import line
from voicebridge.slots.wordlist import either, phrases

# "note", "know" and "yet" are what a small recogniser writes for "nope", "no" and "yep".
_YES_WORDS: Final = either(
    "yes|yeah|yep|yup|yea|yah|ya|yay|yet|yess|aye|sure|okay|certainly|definitely|absolutely|correct|exactly|indeed",
    "affirmative|precisely|totally|agreed|perfect|great|wonderful|excellent|lovely|fine|true|right|brilliant",
    "aha|of course(?! not)|for sure|sure thing|you bet|all right|by all means|naturally|gladly",
    "sounds good|sher|shure|surely|obviously|good(?! (?:morning|afternoon|evening|day|night|question|bye))",
)
_NO_WORDS: Final = either(
    "no(?! idea| problem| worries| doubt| objection| one| changes?| mistakes?)|nope|nah|nay|know|note|negative",
    "incorrect|wrong|false|never(?! mind)|non",
)
_SOFTENERS: Final = either(
    "well|oh|ah|so|then|please|thanks|thank you|thank you very much|and|but|actually|i guess|very much|just|that|is|it",
    "that's|it's|sir|madam|ma'am|my|dear|god|good|now|there|quite|very|all|again|i said|i mean|mate|love|really",
)
_LEADING: Final = re.compile(
    rf"(?:(?:{_SOFTENERS}) )*(?:(?P<yes>{_YES_WORDS})|(?P<no>{_NO_WORDS}))(?!\S)(?! not(?!\S))"
)
_MISHEARD: Final = frozenset({"note", "know", "yet"})
_RIGHT: Final = "right|correct|fine|good|great|okay|perfect|it|true|lovely|wonderful|all right|me|mine|excellent|the 1"

_BUT_YES: Final = phrases(
    "no (?:problem|worries|doubt|doubt about it|objections?|issues?|complaints|changes?|mistakes?|errors?)",
    "why not|(?:i|we) (?:don't|do not) (?:mind|see why not)|wouldn't (?:mind|say no)|not (?:bad|wrong)",
    "(?:can't|couldn't|can not|could not) (?:agree more|be better|complain)|"
    "(?:nothing|not a thing) (?:wrong|to change)",
    "nothing(?: is|'s) wrong",
)
_NO: Final = phrases(
    "(?:of course|absolutely|definitely|certainly|surely|probably|maybe|perhaps|better|rather|preferably|"
    "obviously) not",
    "not (?:really|quite|exactly|at all|yet|right|correct|now|today|necessarily|this time|that|true|okay|good|"
    "it|so|ever)",
    "not (?:what|how|the|my|mine|me|for me|a chance|in the least|entirely|completely|a|any ?more|interested|"
    "sure about)",
    "(?:i'm )?afraid not|please don't|i'll pass|i pass|anything but|neither|nothing(?: else)?|hell no|let's not",
    "(?:don't|do not) (?:think|believe|suppose|reckon|want|need|wish|like|have|agree|do|bother|worry|book|"
    "send|change|make)",
    "(?:don't|do not|doesn't|didn't|did not|haven't|hasn't|won't|wouldn't|can't|isn't|ain't|aren't|wasn't|can not)$",
    "(?:will not|would not|(?:would |would have |i'd )?rather not|do not|am not|i'm not|it's not|is not|was not)$",
    "(?:that|it|this|that's|it's)(?: is)? (?:not|isn't|wasn't|ain't|doesn't|does not|won't|is not|was not)",
    "(?:isn't|wasn't|ain't|aren't) (?:right|correct|it|true|that|quite|me|mine|good|what)",
    "(?:is|are|was|were|it's|that's|still|all|got|have|you've|the|a) (?:\\w+ )?(?:wrong|incorrect|mistaken|false)",
    "(?:wrong|incorrect) \\w+|no (?:thanks|thank you|way|need|sir|chance|good|i)|(?:disagree|decline|refuse)",
    "(?:doesn't|does not) (?:work|suit|fit|sound right|look right)|(?:a|some) mistake|misunderst\\w+|you misheard",
    "that(?: will be|'s|'ll be) all",
)
_YES: Final = phrases(
    "go (?:ahead|for it|on|right ahead)|^(?:(?:please|just|then|well|so) )*(?:do|do so|do it|do that)$|"
    "do(?: so| it| that)? please",
    "let's (?:do|go)(?: it| that| for it| with that)?",
    "i (?:do|am|did|have|would|will|can|could|agree|guess|suppose|reckon|confirm|accept)$",
    "i (?:do|think|guess|suppose|believe|hope|reckon) so|i (?:agree|confirm|accept)(?: that| it| to that| with that)?",
    "(?:i'd|i would|we'd) (?:love|like|be happy|be glad|appreciate) (?:to|that|it)$",
    "(?:that's|that is|it's|it is|you're|you are|this is|everything is|everything's|all|that was|sounds|looks|seems|is)"
    f"(?: all| quite| absolutely| perfectly| very| just| exactly)? (?:{_RIGHT}|sure|good to go|in order|"
    f"accurate|fine by me)",
    "i'm (?:sure|fine with that|happy with that|okay with that|good with that|good)|exactly right",
    "that (?:works|will|will do|suits|is right|does it|does|sounds|looks)"
    f"(?: (?:{_RIGHT}|nice|for me))*",
    "(?:that'd|that'll|it'd|it would|that would) be (?:great|fine|lovely|good|perfect|nice|wonderful|okay|"
    "ideal|helpful)",
    "that'll do|works for me|(?:fine|okay|good|cool) (?:by|with|for) me|suits me|good idea|what i (?:want|wanted|said)",
    "^(?:(?:well|oh|yes|i think|i believe) )?(?:it|that|he|she|they|we|you)(?: really| certainly)? "
    "(?:is|are|does|do|was|did|has|have|can|will|would|should)$",
    "^(?:(?:please|just|and|then|so|well) )*(?:book|send|confirm|change|make|take|schedule|order|reserve|"
    "place|submit|proceed|continue|carry on)"
    "(?: (?:it|that|with it|on|the booking|the order|the appointment))?(?: please)?$",
    "you (?:got it|got that right|have got it|are right)|you (?:may|can)$|as you (?:say|wish|like)",
    "(?:yes|yeah|yep|sure|absolutely|definitely|certainly|okay|of course|right|indeed|correct|exactly)",
)
_PHRASES: Final[tuple[tuple[Answer, re.Pattern[str]], ...]] = (
    ("yes", _BUT_YES), ("no", _NO), ("yes", _YES), ("no", phrases("no|nope|nah|wrong|incorrect|negative")),
)
"""On `line`'s text; the first that fits decides."""
_TURNS: Final = phrases("no(?! problem| worries| doubt| changes?| mistakes?| one)|wait no|nope")
_UNSURE: Final = re.compile(
    r"(?:no idea|(?:i have )?no idea|what|when|where|who|why(?! not)|how|which|can you|could you|do you|are you|"
    r"is there|what's|i'm not sure|not sure|hold on|hang on|maybe(?! not)|perhaps(?! not)|wait|1 moment|"
    r"i (?:didn't|don't|can't|couldn't) (?:understand|hear|get that|know|follow|remember))(?!\S)"
)
_HUMMED_YES: Final = re.compile(r"\b(?:uh|mm?|a)[- ]?h(?:uh|m+)\b", re.IGNORECASE)
_HUMMED_NO: Final = re.compile(r"\b(?:nuh|uh)[- ]uh\b", re.IGNORECASE)
LONG: Final = 9
"""A yes within a longer sentence is none, unless the sentence begins with it."""


def answer(text: str) -> Answer:
    """"" where it says neither. Of "yes, no wait" the last counts."""
    said = line(_HUMMED_NO.sub("no", _HUMMED_YES.sub("yes", text))).text
    at, leading = 0, ""
    while (match := _LEADING.match(said, at)) is not None:
        leading = "yes" if match["yes"] else "no"
        at = match.end() + 1
    if at < len(said) and _MISHEARD & set(said[:at].split()) and not re.match(r"\W*\w+\s*[,.;!?]", text):
        leading = ""  # "note that ...", "know what?"
    if leading == "yes":
        return "no" if _stated(said[at:]) == "no" or _TURNS.search(said[at:]) else "yes"
    if leading == "no":
        return "no"
    stated = _stated(said)
    if _UNSURE.match(said) or (stated == "yes" and len(said.split()) > LONG):
        return ""
    return stated


def _stated(said: str) -> Answer:
    return next((verdict for verdict, pattern in _PHRASES if pattern.search(said)), "")


def find_yes_no(text: str, asked: Asked, context: Context) -> list[Found]:
    """"yes" or "no"; only where it was asked."""
    verdict = answer(text) if asked.lenient else ""
    return [Found(0, len(text), verdict, verdict)] if verdict else []

"""Yes, no, "leave it", and what is said about a value: taken back, replaced, corrected."""

from __future__ import annotations

import re
from typing import Final

from voicebridge.conversation.form import Answer, Slot
from voicebridge.slots.language import Asked, Context, Found
from voicebridge.slots.line import line
from voicebridge.slots.terms import name_words, stem

_YES_WORDS: Final = (
    "yes|yeah|yep|yup|yea|yah|ya|yay|yet|yess|aye|sure|okay|certainly|definitely|absolutely|correct|exactly|indeed|"
    "affirmative|precisely|totally|agreed|perfect|great|wonderful|excellent|lovely|fine|true|right|brilliant|uh-huh|"
    "mhm|mm-hmm|mmhmm|aha|uhuh|of course|for sure|sure thing|you bet|all right|by all means|naturally|gladly|sounds good"
)
_NO_WORDS: Final = "no|nope|nah|nay|know|note|negative|incorrect|wrong|false|never|nuh-uh|uh-uh|non"
_SOFTENERS: Final = (
    "well|oh|ah|so|then|please|thanks|thank you|thank you very much|and|but|actually|i guess|very much|just|that|is|it|"
    "that's|it's|sir|madam|ma'am|my|dear|god|good|now|there|quite|very|all|again|i said|i mean|mate|love|really"
)
_LEADING: Final = re.compile(rf"(?:(?:{_SOFTENERS}) )*(?:(?P<yes>{_YES_WORDS})|(?P<no>{_NO_WORDS}))(?!\S)")
# Phrases, tried in this order; the first that fits decides. On `line`'s text: no punctuation, numbers as digits.
_SAID: Final[tuple[tuple[Answer, str], ...]] = (
        ("yes", r"no (?:problem|worries|doubt|doubt about it|objections?|objection|issues?|complaints)|why not|"
                r"(?:i|we) (?:don't|do not) (?:mind|see why not)|(?:can't|couldn't|can not|could not) (?:agree more|be better|complain)|"
                r"(?:nothing|not a thing) (?:wrong|to change|is wrong)|no (?:changes?|mistakes?|errors?)(?: needed)?|"
                r"wouldn't (?:mind|say no)|not (?:bad|wrong)"),
        ("no", r"of course not|(?:absolutely|definitely|certainly|sure|surely|probably|maybe|perhaps|better|rather|"
               r"preferably|obviously) not|not (?:really|quite|exactly|at all|yet|right|correct|now|today|necessarily|"
               r"this time|that one|that|true|okay|good|what i said|what i wanted|what i meant|it|so|ever|in the least)|"
               r"i'm afraid not|afraid not|(?:i )?(?:don't|do not) (?:think|believe|suppose|reckon|want|need|wish|like|have|agree|do it|do that)|"
               r"please don't|(?:i |we )?(?:don't|do not|doesn't|didn't|did not|haven't|hasn't|won't|wouldn't|can't|isn't|ain't|aren't|wasn't|can not|will not|would not|would rather not|rather not)$|"
               r"(?:that|it|this|that's|it's)(?: is|'s)? ?(?:not|isn't|wasn't|ain't|doesn't|does not|won't|isn't)|"
               r"(?:isn't|wasn't|ain't|aren't) (?:right|correct|it|true|that|quite|me|mine|good)|"
               r"(?:is|are|was|were|it's|that's|still|all|got|have|you've|the|a) (?:\w+ )?(?:wrong|incorrect|mistaken|false)|"
               r"(?:wrong|incorrect) \w+|(?:i'd|i would) rather not|no (?:thanks|thank you|way|need|sir|chance|good|i)|"
               r"doesn't (?:work|suit|sound right|fit)|does not (?:work|suit|fit)|(?:i )?(?:disagree|decline|refuse)|"
               r"(?:a|there's a|some) mistake|misunderst\w+|you (?:misheard|got (?:it|that|me) wrong)|forget (?:it|that)|i'll pass|i pass|"
               r"anything but|neither|nothing(?: else)?|that will be all|that's all|that'll be all|hell no|let's not|i do not|"
               r"don't (?:do|bother|worry|book|send|change|cancel|make|you|go|need|even)"),
        ("yes", r"go (?:ahead|for it|on|right ahead)|(?:please )?(?:do|do so|do it|do that)$|(?:yes |please )?do(?: so| it)? please|"
                r"let's (?:do|go)(?: it| that| for it| with that)?|i (?:do|am|did|have|would|will|can|agree|think so|"
                r"guess so|guess|suppose so|suppose|believe so|hope so|reckon so|reckon|confirm|accept|could)$|"
                r"i (?:do|think|guess|suppose|believe|hope|agree|confirm|would|certainly|absolutely|definitely)(?: so| to that| please| with that| that)|"
                r"i'd (?:love|like|be happy|be glad|appreciate) (?:to|that|it)|i would (?:love|like|appreciate) (?:to|that|it)|"
                r"(?:that's|that is|it's|it is|you're|you are|this is|everything is|everything's|all|that was|sounds|looks|"
                r"seems|is|i'm|i am|that sounds|it sounds|that looks)(?: all| quite| absolutely| perfectly| very| just| exactly)? "
                r"(?:right|correct|fine|good|great|okay|perfect|it|true|lovely|wonderful|exactly right|all right|me|mine|"
                r"excellent|the 1|sure|good to go|in order|accurate|affirmative|what i want|what i wanted|what i said|alright)|"
                r"that (?:works|would be|will|will do|'ll do|suits|is right|does it|does)(?: great| fine| lovely| perfect| good| nice| for me| me| wonderful)*|"
                r"(?:that'd|that would) be (?:great|fine|lovely|good|perfect|nice|wonderful|okay|ideal|helpful)|"
                r"works for me|fine (?:by|with) me|suits me|good (?:idea|for me|by me)|"
                r"(?:it|that|he|she|they|we|you)(?: really)? (?:is|are|does|do|was|did|has|have|can|will|would|should)$|"
                r"(?:book|send|confirm|change|make|take|schedule|order|reserve|place|submit|proceed|continue|carry on)(?: (?:it|that|with it|on|the booking|the order|the appointment))?(?: please)?$|"
                r"you (?:got it|heard|may|can|got that right|have got it|are right|could)|as you (?:say|wish|like)|"
                r"(?:yes|yeah|yep|sure|absolutely|definitely|certainly|okay|of course|right|indeed|correct|exactly)"),
        ("no", r"no|nope|nah|wrong|incorrect|negative"),
)
_PHRASES: Final = [(verdict, re.compile(rf"(?<!\S)(?:{pattern})(?!\S)")) for verdict, pattern in _SAID]
_LONG: Final = 9
"""Of a longer sentence only its beginning is heard as an answer, unless it says that something is wrong."""


def answer(text: str) -> Answer:
    """"" where it says neither, or both."""
    said = line(text).text
    at, leading = 0, ""
    while (match := _LEADING.match(said, at)) is not None:
        leading = "yes" if match["yes"] else "no"
        at = match.end() + 1
    if any(word in said[:at].split() for word in ("note", "know", "yet")) and at < len(said) and not _pause_after(text):
        leading = ""  # "note that ...", "know what?": only alone, or before a comma, are these misheard answers
    rest = said[at:] if leading else said
    stated = _stated(said)
    if leading == "yes" and (_stated(rest) == "no" or _TURNS.search(rest)):
        return "no"
    if leading == "no" and _PHRASES[0][1].match(said):
        return "yes"
    if leading:
        return "yes" if leading == "yes" else "no"
    if _QUESTION.match(said):
        return ""
    if len(said.split()) > _LONG and stated == "yes":
        return ""
    return stated


_TURNS: Final = re.compile(r"(?<!\S)(?:no(?! problem| worries| doubt)|wait no|nope)(?!\S)")
_QUESTION: Final = re.compile(r"(?:what|when|where|who|why|how|which|can you|could you|do you|are you|is there|what's|"
                              r"i (?:didn't|don't|can't|couldn't) (?:understand|hear|get that|know|follow|remember)|"
                              r"i'm not sure|not sure|i have no idea|no idea|hold on|hang on|maybe|perhaps|wait|1 moment)(?!\S)(?! not)")


def _stated(said: str) -> Answer:
    return next((verdict for verdict, pattern in _PHRASES if pattern.search(said)), "")


def _pause_after(text: str) -> bool:
    return bool(re.match(r"\W*\w+\s*[,.;!?]", text))


def find_yes_no(text: str, asked: Asked, context: Context) -> list[Found]:
    """"yes" or "no"; only where it was asked."""
    verdict = answer(text) if asked.lenient else ""
    return [Found(0, len(text), verdict, verdict)] if verdict else []


_POLITE: Final = (r"(?:(?:no|oh|okay|well|actually|yes|sorry|please|just|you know what|let's|i think|i want to|i'd like to|"
                  r"i would like to|can we|could we|can you|could you|we can|then|thanks|thank you|i|i'll|to|so|right|now|"
                  r"ah|and|but|hey|wait|i said|i'm sorry|look|listen|uh) )*")
_LEAVE: Final = (
    r"forget (?:it|that|about (?:it|that|this)|the whole thing|this|everything)|never ?mind(?: (?:it|that|this|then))?|nevermind|"
    r"(?:please )?cancel(?: (?:it|that|this|everything|all of it|the whole thing|all that))?|"
    r"(?:i've|i have|i) changed my mind|changed my mind|stop(?: (?:it|this|that|here|now|there))?|quit|abort|"
    r"(?:just )?(?:leave|drop|scrap|scratch|skip) (?:it|that|this|the whole thing)(?: (?:be|then))?|leave it|call it off|"
    r"(?:i )?(?:don't|do not|no longer) want (?:to|this|that|it|to do (?:this|that|it)|to book|that|it) ?(?:any ?more|any longer|now|after all)|"
    r"(?:i )?no longer (?:want|need) (?:it|this|that)|(?:i )?don't (?:need|want) (?:it|this|that) (?:any ?more|any longer|after all)|"
    r"not any ?more|i give up|let it go|let's not|doesn't matter|it doesn't matter|i'd rather not(?: do (?:it|this|that))?|"
    r"don't bother(?: with (?:it|that))?|i'll (?:do it|call|call back|try|come back|think about it) (?:later|another time|again later|again)"
)
_WHOLE: Final = re.compile(rf"{_POLITE}(?:{_LEAVE})(?: (?:please|then|thanks|thank you|it's fine|it's okay|sorry|for now|now|actually|i'm sorry|bye|"
                           rf"i'll call (?:back )?later|i'll call back|all right|okay|it|after all|i don't want (?:it|this|that|to)|{_LEAVE}))*$")
_STRONG: Final = re.compile(
    r"(?<!\S)(?<!don't )(?<!do not )(?<!not )(?:forget (?:it|about it|the whole thing|everything)|never ?mind(?! (?:the|what|how|if|my|your)\b)|"
    r"(?:i've|i have|i) changed my mind|scrap (?:that|it)|(?:let's |please |just |i want to |i'd like to |i would like to |want to )?"
    r"cancel (?:that|this|it|everything|the whole thing)|call it off|don't want (?:to do )?(?:this|that|it|to) any ?more|"
    r"i don't want (?:this|that|it)(?: after all)?$)(?!\S)"
)


def cancels(text: str) -> bool:
    """Whether the caller wants to leave it; `understanding` asks only where no value was found."""
    said = line(text).text
    return bool(_WHOLE.match(said) or _STRONG.search(said))


def only_cancels(text: str) -> bool:
    """Whether he says nothing else."""
    return bool(_WHOLE.match(line(text).text))


_DROPPED: Final = re.compile(
    r"(?:\bnot|\bisn't|\bwasn't|\binstead of|\brather than|\bdon't want|\bdon't need|\bcan't do|\bcan't make|\bexcept|\bno longer|"
    r"\bnot (?:on|at|for)|\bother than|\binstead of (?:on|at|for)|\bcan't (?:do|make|come)(?: it)?(?: on| at)?|\bdoesn't work(?: on| at)?)"
    r"(?: (?:on|at|for|the|a|an|want|this|next|by))*$"
)
_MOVED: Final = re.compile(r"\b(?:move|change|switch|swap|shift|reschedule|changed|moved)\b.*\bfrom(?: the)?$")
_REPAIRED: Final = re.compile(
    r"(?<!\S)(?:no|sorry|i mean|i meant|wait|actually|or rather|rather|make (?:that|it)|correction|scratch that|instead|"
    r"better|let's say|i'd rather|not that|apologies|oops|excuse me|but|in fact|no i said)(?!\S)"
)


def dropped(before: str) -> bool:
    """Whether what stands before a value takes it back."""
    said = line(before).text
    return bool(_DROPPED.search(said) or _MOVED.search(said))


_AFTER: Final = re.compile(r"(?:is|was) (?:wrong|not|out|no good|bad)|(?:doesn't|won't|does not|will not) work|isn't (?:right|it|good)|is impossible")


def dropped_after(after: str) -> bool:
    """Whether what follows a value does: "Monday doesn't work"."""
    return bool(_AFTER.match(line(after).text))


def repaired(between: str) -> bool:
    """Whether what stands between two values says that the second replaces the first."""
    return bool(_REPAIRED.search(line(between).text))


_META: Final = re.compile(
    r"(?:(?:sorry|pardon|excuse me|hello|hey|hi|what|huh|okay|um|well|wait|please|can you hear me|are you there|"
    r"what was that|what do you mean|what did you say|say (?:that|it) again|(?:can|could|would) you (?:please )?(?:repeat|say)"
    r"(?: (?:that|it|the question|again))*|repeat(?: that| the question)?|i (?:don't|didn't|do not|did not) (?:understand|get that|"
    r"hear(?: you| that)?|catch that|know|follow)(?: you| that)?|1 (?:moment|second|minute|sec)|just a (?:moment|second|minute|sec)|"
    r"hold on|hang on|let me (?:think|see|check|look)|give me (?:a|1) (?:moment|second|minute|sec)|i'm not sure|not sure|no idea|"
    r"i have no idea|i don't remember|i can't remember|i forgot|i don't have (?:it|that|1)|what for|why|how come|good question|"
    r"say again|come again|a second|a moment|thanks|thank you|bye|goodbye|what is that|what's that|again)(?: |$))+$"
)


def meta(text: str) -> bool:
    """"What did you say?", "hold on": about the talk itself, never a value."""
    return bool(_META.match(line(text).text))


_CORRECTS: Final = re.compile(
    r"\b(?:make (?:it|that)|change (?:it|that|this) to|move (?:it|that) to|switch (?:it|that) to|i said|i meant|i mean|it's|it is|it should be|"
    r"should be|rather|instead|let's (?:say|do|make it)|say|i'd prefer|i prefer|prefer|how about|what about|better|actually|sorry|"
    r"to be|want|take|try|no|nope|not quite|put)\b[\s,.:]*", re.IGNORECASE)


def corrects(text: str) -> int:
    """Where a correction's new value begins; -1 where none is announced."""
    found = list(_CORRECTS.finditer(text))
    return found[-1].end() if found else -1


def named(text: str, slot: Slot) -> int:
    """Where the mention of the slot ends, -1 without one."""
    own = name_words(slot)
    for match in re.finditer(r"[^\W\d_]+", text):
        if stem(match.group()) in own:
            return match.end()
    return -1

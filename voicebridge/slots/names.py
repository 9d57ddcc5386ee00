"""People's names: "my name is Anna Schmidt", "it's Smith", "Smith, S M I T H" (what is spelled wins)."""

from __future__ import annotations

import re
from typing import Final

from rapidfuzz import fuzz

from voicebridge.slots.language import MASK, Asked, Context, Found
from voicebridge.slots.line import HESITATIONS, Word, straight
from voicebridge.slots.spelling import runs_of
from voicebridge.slots.wordlist import listed

_LEAD: Final = re.compile(
    r"\b(?:(?:(?:my|the|his|her|our|their)(?: \w+){0,2}? )?(?:sur|sir|fore|last |first |full |family |"
    r"given )?name(?:'s| is| was|:| to| should be)?"
    r"(?:,? (?:just|actually|uh|um))?,?(?: (?:mr|mrs|ms|miss|mister|doctor|dr)\b\.?)?"
    r"|(?:you can )?call me|i am called|i'm called|i go by|under(?: the name(?: of)?)?|in the name of|name of)"
    r"[ ,:]+(?=\S)", re.IGNORECASE)
_SAID_SO: Final = re.compile(
    r"(?:name(?:'s| is| to| should be)|name of|call me|called|go by|under)\W*(?:\w{2,6}\W+)?$", re.IGNORECASE
)
_SOFT_LEAD: Final = re.compile(
    r"\b(?:this is|it's|its|it is|that's|that is|i'm|i am|for|speaking is|here is|make it|should be|put)[ ,]+(?=\S)",
    re.IGNORECASE)
_STOP: Final = frozenset(listed(
    "a about actually again all also am an and any are as at be because been but by calling called can can't could "
    "correct did didn't do does doesn't don't done double for from get give go going good got great had has have he "
    "hello help her here hers hi his how i i'd i'll i'm i've if in incorrect is isn't it it's its just know last "
    "like looking me mean mine my name need nice no nobody none nope not nothing of off okay ok on one or our "
    "please put really right said same say see she should so some something sorry speaking spell spelled spelling "
    "spelt sure tell thank thanks that that's the their them then there they this to too try trying two under us "
    "want wanted was wasn't we well were what what's when where which who why will with won't wrong would yeah yep "
    "yes yet you your yours hey goodbye bye afternoon morning evening today tomorrow already first second full "
    "family given surname mister doctor dr professor prof mr mrs ms miss written letter letters capital minute moment "
    "hold wait forget never without within between through until before after next during also "
    "mind cancel stop fine happy afraid not quite exactly absolutely maybe repeat pardon human person someone "
    "somebody agent operator rather must uh-huh appointment booking order reservation table number phone email "
    "pardon excuse nah mhm"
)) | HESITATIONS
_PARTICLES: Final = frozenset(listed(
    "de da di del della der den van von la le el al bin ibn du dos das st o san y"
))
_TOKEN: Final = re.compile(rf"{MASK}+|\d+|[^\W\d_]+(?:['.-]?[^\W\d_]+)*\.?")
_HINT: Final = re.compile(
    r"\bwith (?:an? |one |two )?(?:double |single )?(?:[a-z]{1,2}|[a-z]'s)(?![\w'])(?: at the (?:end|beginning))?",
    re.IGNORECASE,
)
"""What cannot be turned into letters for sure: "with double t"."""
MAX_WORDS: Final = 5
FEW_WORDS: Final = 3
_ALSO_NAMES: Final = frozenset({"Will", "Good", "Fine", "An", "Do", "So"})
"""Names too, where little else is said."""


def find_names(text: str, asked: Asked, context: Context) -> list[Found]:
    """Names as heard. Unasked ones need "my name is" before them, or "this is" and a capital letter."""
    text = _HINT.sub(lambda hint: " " * len(hint.group()), straight(text))
    lead = _last_lead(text, asked)
    if lead is None:
        return []
    spelled = [run for run in runs_of(text[lead:]) if len(run[2]) >= 2 and run[2].isalpha()]
    letters = spelled[0][0] + lead if spelled else len(text)
    said = _run(text, lead, letters)
    if not said and not spelled:
        return []
    name = " ".join(_once([_cased(word.text.rstrip(".")) for word in said]))
    if said and (both := _FIRST_LAST.search(text)) is not None:
        name = _first_or_last(both, asked.slot.name)
    end = said[-1].end if said else lead
    for _, stop, signs in spelled:
        name = _with_spelled(name, signs)
        end = lead + stop
    if len(name) < 2 or (asked.slot.most is not None and len(name) > asked.slot.most):
        return []
    return [Found(said[0].start if said else letters, end, name, name)]


_FIRST_LAST: Final = re.compile(
    r"first name(?:'s| is)?,? ([^\W\d_]+)\b.{0,40}?(?:last|sur|family|second) ?name(?:'s| is)?,? ([^\W\d_]+)",
    re.IGNORECASE,
)


def _first_or_last(both: re.Match[str], slot: str) -> str:
    first, last = _cased(both[1]), _cased(both[2])
    if re.search("first|given", slot):
        return first
    return last if re.search("last|sur|family", slot) else f"{first} {last}"


def _once(parts: list[str]) -> list[str]:
    """"Max. Max Power", "Bond, James Bond"."""
    if len(parts) > 2 and parts[0] in (parts[1], parts[-1]):
        return parts[1:]
    return parts


def _last_lead(text: str, asked: Asked) -> int | None:
    """Where the name may begin."""
    sure = [match.end() for match in _LEAD.finditer(text) if _is_name(text, match.end())]
    if not asked.lenient:  # "name" alone says too little
        sure = [at for at in sure if _SAID_SO.search(text[:at])]
    if sure:
        return sure[-1] if asked.lenient else sure[0]
    soft = [match.end() for match in _SOFT_LEAD.finditer(text) if _is_name(text, match.end())]
    if asked.lenient:
        return soft[0] if soft else 0
    capital = [at for at in soft if text[at].isupper() and not text.isupper()
               and text[:at].lower().rstrip(" ,").endswith(("this is", "i'm", "i am"))]
    return capital[0] if capital else None


def _is_name(text: str, start: int) -> bool:
    """Whether a name of more than single letters follows."""
    return any(len(word.text.rstrip(".")) > 1 for word in _run(text, start, len(text)))


def _run(text: str, start: int, end: int) -> list[Word]:
    """The words from `start` that can be a name; words before them that cannot are skipped."""
    said: list[Word] = []
    few = len(text[start:end].split()) <= FEW_WORDS
    for match in _TOKEN.finditer(text, start, end):
        word = match.group()
        plain = word.lower().rstrip(".")
        known = plain not in _STOP or (said and plain in _PARTICLES) or (word in _ALSO_NAMES and few)
        fits = word[0] != MASK and not word.isdigit() and known
        if fits and len(said) < MAX_WORDS:
            said.append(Word(word, match.start(), match.end()))
            if "." in text[match.end() : match.end() + 1] and len(plain) > 3:
                break
        elif said:
            break
    while said and said[-1].text.lower() in _PARTICLES and len(said) > 1:
        said.pop()
    return said


def _cased(word: str) -> str:
    """As heard; a name all in small or all in capital letters gets its one capital."""
    if word.islower() and word not in _PARTICLES:
        return "-".join("'".join(part[:1].upper() + part[1:] for part in piece.split("'")) for piece in word.split("-"))
    return word.capitalize() if word.isupper() and len(word) > 1 else word


def _with_spelled(name: str, signs: str) -> str:
    """The word that was spelled, or else the last one, in the letters that were said."""
    spelled = signs[:1].upper() + signs[1:].lower()
    parts = name.split()
    if not parts:
        return spelled
    scores = [fuzz.ratio(part.lower(), signs.lower()) for part in parts]
    best = max(range(len(parts)), key=lambda at: (scores[at], at))
    if scores[best] < 40:
        best = len(parts) - 1
    parts[best] = spelled
    return " ".join(parts)

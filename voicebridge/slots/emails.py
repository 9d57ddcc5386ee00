"""E-mail addresses as they are said: "anna dot schmidt at example dot com", "j o e at g mail dot com"."""

from __future__ import annotations

import re
from typing import Final

from voicebridge.slots.language import MASK, Asked, Context, Found
from voicebridge.slots.line import HESITATIONS, TENS, UNITS, straight
from voicebridge.slots.saying import say_email
from voicebridge.slots.wordlist import listed

VALID: Final = re.compile(r"[a-z0-9][a-z0-9._%+-]*@(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\.)+[a-z]{2,24}")
_WRITTEN: Final = re.compile(r"[A-Za-z0-9][\w.%+-]*@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*\.[A-Za-z]{2,24}")
_TOKEN: Final = re.compile(rf"{MASK}+|@|[_+-]|\.(?=\w)|[^\W_]+(?:'[^\W_]+)*|[,;!?]")
_SIGNS: Final = {
    "dot": ".", "point": ".", "period": ".", ".": ".", "underscore": "_", "underscores": "_", "_": "_", "dash": "-",
    "hyphen": "-", "minus": "-", "-": "-", "plus": "+", "+": "+",
}
_AT: Final = frozenset({"at", "@", "add", "et", "ad"})
_TWO_WORDS: Final = {("under", "score"): "_", ("full", "stop"): ".", ("at", "sign"): "@"}
_TLD: Final = {"con": "com", "come": "com", "calm": "com", "comm": "com", "kom": "com", "cum": "com", "nets": "net",
               "orc": "org", "ork": "org"}
TLDS: Final = frozenset(listed(
    "com net org edu gov info biz io de uk fr es it nl be at ch eu us ca au co me dev app ai tech shop online "
    "example test ie nz pl se no dk fi pt cz"
))
_LEADS: Final = frozenset(listed(
    "is it it's its that's address email mail to on under my the by reach me use an so well yes yeah okay be send "
    "and i'm you can that as lowercase"
)) | HESITATIONS
_GLUED: Final = re.compile(r"^(\w+)at(gmail|yahoo|hotmail|outlook|icloud|aol|gmx|proton|live|web)$")
_SKIPPED: Final = HESITATIONS | {"lowercase", "lower", "case", "all", "word", "capital", "letter", "comma"} | {
    "space", "apostrophe",
}
_ASIDES: Final = re.compile(
    r"\b(?:all )?(?:(?:as )?one word|in (?:lower|small) ?(?:case|letters)|lower ?case|(?:with )?no spaces)\b",
    re.IGNORECASE,
)
_TIMES: Final = {"double": 2, "triple": 3}


def find_emails(text: str, asked: Asked, context: Context) -> list[Found]:
    """Addresses in lower case."""
    text = _ASIDES.sub(lambda aside: " " * len(aside.group()), straight(text))
    found = [
        Found(match.start(), match.end(), address, say_email(address)) for match in _WRITTEN.finditer(text)
        if VALID.fullmatch(address := match.group().lower().replace("@g-mail.", "@gmail."))
    ]
    if found:
        return found if not asked.lenient else [_led(text, found[-1])]
    said = _said(text)
    for at in reversed(range(len(said))):
        if said[at][0] == "@" and (read := _read(said, at)) is not None:
            start, end, address = read
            return [Found(start, end, address, say_email(address))]
    return []


def _led(text: str, found: Found) -> Found:
    """"anna dot schmidt@example.com": what was said before the written part belongs to it."""
    said = _said(text[: found.start])
    if not said or said[-1][0] not in set("._-+"):
        return found
    name, start = _local(said, len(said))
    address = name + said[-1][0] + found.value
    return Found(start, found.end, address, say_email(address)) if VALID.fullmatch(address) else found


def _said(text: str) -> list[tuple[str, int, int]]:
    """(piece, start, end) of every word; signs said as words are signs."""
    raw = [(match.group().lower(), match.start(), match.end()) for match in _TOKEN.finditer(text)]
    out: list[tuple[str, int, int]] = []
    index = 0
    while index < len(raw):
        word, start, end = raw[index]
        after = raw[index + 1][0] if index + 1 < len(raw) else ""
        index += 1
        if (word, after) in _TWO_WORDS:
            out.append((_TWO_WORDS[word, after], start, raw[index][2]))
            index += 1
        elif word in _SIGNS:
            out.append((_SIGNS[word], start, end))
        elif word in _AT:
            out.append(("@", start, end))
        elif glued := _GLUED.match(word):
            out += [(glued[1], start, end), ("@", start, end), (glued[2], start, end)]
        elif word not in {",", ";", "!", "?", "."}:
            out.append((word, start, end))
    return [
        piece for at, piece in enumerate(out)
        if piece[0] != "-" or not (0 < at < len(out) - 1 and len(out[at - 1][0]) == len(out[at + 1][0]) == 1)
    ]


def _piece(said: list[tuple[str, int, int]], index: int) -> str:
    """A word as it stands in an address."""
    word = said[index][0]
    if word in TENS:
        following = UNITS.get(said[index + 1][0], 0) if index + 1 < len(said) else 0
        return str(TENS[word] // 10) if 1 <= following <= 9 else str(TENS[word])
    if word in UNITS:
        return str(UNITS[word])
    return re.sub(r"[^\w]", "", word) if word not in set("._-+") else word


def _spelled(said: list[tuple[str, int, int]], start: int, end: int) -> str:
    out, times = "", 1
    for index in range(start, end):
        word = said[index][0]
        if word in _TIMES and index + 1 < end:
            times = _TIMES[word]
        elif word not in _SKIPPED:
            piece = _piece(said, index)
            out += piece * times if len(piece) == 1 else piece
            times = 1
    return out


def _local(said: list[tuple[str, int, int]], at: int) -> tuple[str, int]:
    """The part before the @, and where it begins: back to "my address is"."""
    first = at
    while first > 0 and (before := said[first - 1][0]) not in _LEADS and before[0] != MASK and before != "@":
        first -= 1
    return _spelled(said, first, at).strip(".-_+"), said[first][1] if first < len(said) else 0


def _read(said: list[tuple[str, int, int]], at: int) -> tuple[int, int, str] | None:
    local, start = _local(said, at)
    labels, index, end = [""], at + 1, 0
    last_sign = -1
    while index < len(said) and not said[index][0].startswith(MASK):
        word = said[index][0]
        if word == ".":
            labels.append("")
            last_sign = index
        elif word == "@" or len(labels) > 1 and index > last_sign + 1 and not _goes_on(said, index, labels[-1]):
            break
        else:
            labels[-1] += "" if word in _SKIPPED else _spelled(said, index, index + 1)
        end = said[index][2]
        index += 1
    labels[-1] = _TLD.get(labels[-1], labels[-1])
    labels = [label for label in labels if label]
    address = f"{local}@{'.'.join(labels)}"
    return (start, end, address) if local and len(labels) > 1 and VALID.fullmatch(address) else None


def _goes_on(said: list[tuple[str, int, int]], index: int, label: str) -> bool:
    """Whether the word belongs to the label begun: letters do, and words with another dot to come."""
    if len(said[index][0]) == 1 and len(label) < 3 and label not in TLDS:
        return True
    return label not in TLDS and any(word == "." for word, _, _ in said[index : index + 3])

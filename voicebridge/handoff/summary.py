"""What a human is told about a call, without a model: who wants what, what is known, what was done, why he is called.

Plain data in, plain text out. What was secret (a PIN, a card's number) is not in it, however it was said.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from voicebridge.handoff.masking import MASK, masked
from voicebridge.protocol.variables import capped, clean

LINE_BYTES = 250
"""Of the line: what goes into a channel variable or a SIP header without trouble."""
REQUEST_CHARS = 160
VALUE_CHARS = 60
MAX_TURNS = 100


@dataclass(frozen=True, slots=True)
class Turn:
    """One exchange as it was heard on both sides. `secret`: the caller was asked for something secret."""

    caller: str = ""
    agent: str = ""
    secret: bool = False


@dataclass(frozen=True, slots=True)
class Known:
    """Something collected from the caller: "order number", "four four oh seven". `value` is how a tool gets it."""

    name: str
    spoken: str
    value: str = ""
    secret: bool = False


@dataclass(frozen=True, slots=True)
class Summary:
    """`line`: one line, safe and short, for a variable or header. `spoken`: one to three sentences for a human's ear.
    `transcript`: the call so far, masked."""

    line: str = ""
    spoken: str = ""
    transcript: tuple[Turn, ...] = ()


NOTHING = Summary()


@dataclass(frozen=True, slots=True)
class Phrases:
    """The words around what the caller said. `reasons` by the reason's word; others say nothing."""

    wants: str = "The caller said: {request}"
    known: str = "Known so far: {values}"
    done: str = "Done so far: {done}"
    nothing: str = "A caller would like to speak to you"
    reasons: tuple[tuple[str, str], ...] = ()


ENGLISH = Phrases(
    reasons=(
        ("asked", "The caller asked for a human"),
        ("key_0", "The caller pressed zero for a human"),
        ("model", "The agent could not help any further"),
        ("not_understood", "The agent did not understand the caller"),
        ("no_match", "The agent did not understand the caller"),
        ("misses", "The agent did not get the details it asked for"),
        ("failed", "Something did not work on our side"),
        ("call_length", "The call took too long for the agent"),
        ("trouble", "The agent had a technical problem"),
    )
)


def summarise(
    turns: Sequence[Turn],
    *,
    reason: str,
    known: Sequence[Known] = (),
    done: Sequence[str] = (),
    phrases: Phrases = ENGLISH,
) -> Summary:
    """`done` are things done for the caller, in words. `reason` is the handoff's: a word such as `rule_human`."""
    secrets = tuple(item.value or item.spoken for item in known if item.secret)
    heard = tuple(_masked_turn(turn, secrets) for turn in turns[-MAX_TURNS:])
    values = [
        f"{item.name.replace('_', ' ')} {_short(MASK if item.secret else masked(item.spoken, secrets), VALUE_CHARS)}"
        for item in known
    ]
    request = _short(_request(heard), REQUEST_CHARS)
    why = _why(reason, phrases)
    made = [masked(text, secrets) for text in done]
    return Summary(_line(why, values, made, request), _spoken(why, values, made, request, phrases), heard)


# ---- what it is about


_ABOUT_A_HUMAN = re.compile(
    r"\b(human|person|people|agent|operator|representative|some(?:body|one)|colleague|transfer|put me through|"
    r"connect me)\b",
    re.IGNORECASE,
)


def _request(turns: Sequence[Turn]) -> str:
    """What he came for: the first thing in four words or more that is not a wish for a human; else the longest."""
    said = [" ".join(turn.caller.split()) for turn in turns if turn.caller.strip() and not turn.secret]
    for text in said:
        if len(text.split()) >= 4 and not _ABOUT_A_HUMAN.search(text):
            return text
    return max(said, key=len, default="")


def _why(reason: str, phrases: Phrases) -> str:
    """`rule_key_0`, `tool_book_failed`, `asked`: the reason's own words, or those it ends with."""
    known = dict(phrases.reasons)
    plain = reason.removeprefix("rule_")
    if plain in known:
        return known[plain]
    if plain.endswith("_failed") and "failed" in known:
        return known["failed"]
    return known.get("asked", "") if reason.startswith("rule_") else ""


# ---- in words


def _line(why: str, values: Sequence[str], done: Sequence[str], request: str) -> str:
    """The reason first, the caller's own words last: they are what is cut."""
    parts = [part.rstrip(". ") for part in (why, *values, *done) if part]
    parts += [f"said: {request}"] if request else []
    text = clean(". ".join(f"{part[:1].upper()}{part[1:]}" for part in parts), 4 * LINE_BYTES)
    if len(text.encode()) <= LINE_BYTES:
        return text
    cut = capped(text, LINE_BYTES - 3)
    return f"{cut.rpartition(' ')[0] or cut}..."


def _spoken(why: str, values: Sequence[str], done: Sequence[str], request: str, phrases: Phrases) -> str:
    """At most three sentences: why, what for, and what is known or was done."""
    sentences = [why or phrases.nothing]
    if request:
        sentences.append(phrases.wants.format(request=request))
    if values:
        sentences.append(phrases.known.format(values=", ".join(values)))
    elif done:
        sentences.append(phrases.done.format(done=", ".join(text.rstrip(". ") for text in done)))
    return " ".join(text if text[-1] in ".?!" else f"{text}." for text in sentences)


def _short(text: str, limit: int) -> str:
    text = " ".join(text.split())
    if len(text) <= limit:
        return text
    return f"{text[: limit - 3].rpartition(' ')[0] or text[: limit - 3]}..."


def _masked_turn(turn: Turn, secrets: Sequence[str]) -> Turn:
    caller = MASK if turn.secret and turn.caller.strip() else masked(turn.caller, secrets)
    return Turn(caller, masked(turn.agent, secrets), turn.secret)

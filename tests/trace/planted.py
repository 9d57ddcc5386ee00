"""Records of calls whose truth is known: a quiet week, and problems planted in it."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from typing import Any

from voicebridge.trace.blame import slow
from voicebridge.trace.record import Record, Turn

DAY_S = 86_400.0
SINCE = 1_795_003_200.0
"""Noon in Greenwich: the same day nearly everywhere."""
UNTIL = SINCE + 7 * DAY_S
USUAL = {"vad": 0.08, "stt": 0.1, "match": 0.02, "endpoint": 0.08, "playout": 0.02}
NAMES = {"vad": "detected", "stt": "transcript", "match": "rule", "llm": "first_token", "tool": "tool_done",
         "tts": "speech_ready", "endpoint": "endpoint", "playout": "audible"}  # fmt: skip


def said(text: str, at: float, kind: str = "answer", heard: str | None = None) -> dict[str, Any]:
    heard = text if heard is None else heard
    return {"kind": kind, "text": text, "heard": heard, "complete": heard == text, "at": at, "until": at + 2.0}


def greeting(*, cut: bool = False) -> Turn:
    text = "Hello, this is Miller and Sons."
    return {"turn": 0, "caller": "", "source": "line", "rule": "", "gap_s": None, "last_voice": None, "spans": [],
            "said": [said(text, 0.1, "greeting", "Hello," if cut else text)], "cut_off": cut,
            "cut_at": 0.9 if cut else None, "stopped_after_ms": 180 if cut else None}  # fmt: skip


def turn(
    number: int, caller: str, answer: str = "We open at nine.", *, rule: str = "hours", source: str = "rule",
    **more: Any,
) -> Turn:  # fmt: skip
    """`shares`: seconds by actor, beside what is usual; all else as in a record."""
    shares = {**USUAL, **more.pop("shares", {})}
    begin = voice = 5.0 + 8.0 * number
    spans = []
    for actor in (name for name in NAMES if name in shares):
        spans.append({"name": NAMES[actor], "actor": actor, "from": begin, "to": round(begin + shares[actor], 4)})
        begin = spans[-1]["to"]
    made = {
        "turn": number, "caller": caller, "source": source, "rule": rule, "secret": False, "last_voice": voice,
        "gap_s": round(begin - voice, 4), "spans": spans, "said": [said(answer, begin)], "cut_off": False,
        "cut_at": None, "stopped_after_ms": None, "fillers": [], "troubles": [], "tools": [], "handoffs": [],
        "moves": [], "engines": {"stt": "vosk", "llm": "", "tts": "disk"}, **more,
    }  # fmt: skip
    return {**made, "slow": slow(made)}


def tool(name: str, ms: int = 120, cause: str = "", attempts: int = 1) -> dict[str, Any]:
    return {"tool": name, "at": 6.0, "ms": ms, "ok": not cause, "cause": cause, "attempts": attempts, "try": []}


def call(began_at: float, turns: Iterable[Turn], **more: Any) -> Record:
    """`more`: fields of the record; a call lasts 60 s, the caller hangs up."""
    turns = [greeting(cut=more.pop("cut_greeting", False)), *turns]
    number = uuid.uuid5(uuid.NAMESPACE_OID, f"{began_at} {len(turns)} {more}")
    return {"version": 2, "call_id": str(number), "agent": "desk", "language": "en", "peer": "", "dialled": "100",
            "caller": "***42", "caller_key": "", "began_at": began_at, "seconds": 60.0, "rate": 8000, "node": "pbx1",
            "outcome": "hangup", "ended_by": "hangup", "target": "", "summary": "",
            "engines": {"stt": "vosk", "llm": "llama_cpp", "tts": "piper"}, "turns": turns, **more}  # fmt: skip


def quiet(number: int = 40, since: float = SINCE) -> list[Record]:
    """Calls in which nothing is wrong, one after the other."""
    return [
        call(since + place * 3_000.0, [turn(1, "when are you open"), turn(2, "thank you bye", "Bye.", rule="goodbye")],
             ended_by="rule_goodbye")
        for place in range(number)
    ]  # fmt: skip


PARKING = ("is there parking", "where can I park my car", "do you have a car park", "can I park there")
UNKNOWN = "I'm sorry, I don't know that."


def parking(number: int = 12) -> list[Record]:
    """Callers ask about what no rule knows, in several wordings."""
    return [
        call(SINCE + 1_000 + place * 4_000.0, [turn(1, PARKING[place % 4], UNKNOWN, rule="not_covered")])
        for place in range(number)
    ]


def unsure(number: int = 4) -> list[Record]:
    """A rule is near, but not near enough."""
    return [
        call(SINCE + 90_000 + place * 4_000.0, [turn(1, f"look after my bike {'please' * place}", rule="service?")])
        for place in range(number)
    ]


def bookings(number: int = 40, failed: int = 5) -> list[Record]:
    """A tool that now and then does not answer in time."""
    made = []
    for place in range(number):
        bad = place % (number // failed) == 0
        run = tool("book_table", 5000 if bad else 300, "timeout" if bad else "")
        shares = {"tool": run["ms"] / 1000} if not bad else {}
        made.append(call(SINCE + 180_000 + place * 2_000.0, [turn(1, "a table please", "Done.", rule="book",
                         tools=[run, tool("find_table")], shares=shares if run["ms"] < 300 else {})]))  # fmt: skip
    made[0]["turns"][1]["tools"][1] = tool("find_table", 100, "error")
    return made


def crowd(number: int = 8, groups: int = 4) -> list[Record]:
    """Many callers at once, and a recogniser that cannot keep up."""
    return [
        call(SINCE + 400_000 + group * 5_000.0 + place,
             [turn(n, "when are you open", shares={"stt": 0.9}) for n in (1, 2, 3)])
        for group in range(groups) for place in range(number)
    ]  # fmt: skip


def misses(number: int = 10, again: int = 6) -> list[Record]:
    """A form's question that is not understood."""
    made = []
    for place in range(number):
        ask = turn(1, "a table", "For how many people?", rule="book", source="form")
        more = turn(2, "the usual", "Sorry? For how many people?", rule="", source="form")
        made.append(call(SINCE + 500_000 + place * 2_000.0, [ask, more] if place < again else [ask]))
    return made


def nobody_there(number: int = 4) -> list[Record]:
    step = {"at": 13.0, "state": "refused", "target": "sales", "cause": "no_answer"}
    return [
        call(SINCE + 550_000 + place * 2_000.0,
             [turn(1, "a human please", "Nobody is there.", rule="human", handoffs=[step])],
             outcome="fallback", ended_by="rule_human")
        for place in range(number)
    ]  # fmt: skip


def failovers(number: int = 3) -> list[Record]:
    move = {"kind": "stt", "from": "vosk", "to": "moonshine", "cause": "timeout", "at": 13.0}
    return [
        call(SINCE + 570_000 + place * 2_000.0, [turn(1, "when are you open", moves=[move])]) for place in range(number)
    ]


def all_problems() -> list[Record]:
    """138 calls and what a review must find in them: see `test_review`."""
    return [*quiet(40), *parking(), *unsure(), *bookings(), *crowd(), *misses(), *nobody_there(), *failovers()]

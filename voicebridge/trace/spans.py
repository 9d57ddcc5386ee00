"""Where the time between the caller's last voiced sample and our first audible one went: contiguous spans that add up.

The marks of a turn overlap: recogniser, rules, model and voice work while the endpoint is still being waited for. A
span is what the answer *waited for* at that time: the endpoint counts only where all else was ready before it, and
a mark of something that ran beside the rest counts for nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

STAGES = {
    "detected": "end of voice noticed",
    "transcript": "transcript ready",
    "rule": "rules matched",
    "parsed": "the form's answer understood",
    "tool": "tool begun",
    "tool_done": "tool's result",
    "judged": "the sound of the end judged",
    "first_token": "model's first token",
    "first_clause": "first clause complete",
    "speech_ready": "first speech ready",
    "endpoint": "endpoint: the turn is ours",
    "sent": "first frame sent",
    "audible": "first audible sample sent",
}
"""The marks of a turn, in the order in which they usually come; each is optional but the last."""
COVERED = "covered"
"""The one span that no mark ends: ready, but a filler had begun."""
ACTORS = {
    "vad": "noticing the end of voice",
    "stt": "recognising speech",
    "match": "rules and forms",
    "llm": "the language model",
    "tts": "making speech",
    "tool": "tools",
    "endpoint": "waiting to be sure that he has finished",
    "cover": "a filler spoken to its end",
    "playout": "sending",
}
"""Who is waited for, in the order of a turn."""
_ACTOR_OF = {
    "detected": "vad", "transcript": "stt", "rule": "match", "parsed": "match", "tool": "match", "tool_done": "tool",
    "first_token": "llm", "first_clause": "llm", "speech_ready": "tts", "endpoint": "endpoint", "sent": "playout",
    "audible": "playout",
}  # fmt: skip
_ORDER = {name: number for number, name in enumerate(_ACTOR_OF)}
_WAITS_FOR_ENDPOINT = frozenset({"tool", "sent", "audible"})
"""What begins only when the turn is ours."""


@dataclass(frozen=True, slots=True)
class Span:
    """`name`: the mark that ends it. Seconds on the marks' clock."""

    name: str
    actor: str
    begin: float
    end: float

    def as_dict(self, zero: float) -> dict[str, Any]:
        begin, end = round(self.begin - zero, 4), round(self.end - zero, 4)
        return {"name": self.name, "actor": self.actor, "from": begin, "to": end}


def spans(
    last_voice: float | None, marks: Mapping[str, float], fillers: Sequence[tuple[float, float]] = ()
) -> list[Span]:
    """From the last voiced sample to the audible one, in order of time; none without both. They sum to the gap.

    `fillers`: cover speech, from when to when. An answer that is ready waits until one has been spoken to its end.
    """
    audible = marks.get("audible")
    if last_voice is None or audible is None:
        return []
    reached = sorted(
        ((min(at, audible), _ORDER[name], name) for name, at in marks.items() if name in _ORDER and at <= audible),
    )
    if "sent" in marks and marks["sent"] > audible:  # known a moment late: the sample was in that frame
        reached = [mark for mark in reached if mark[2] != "sent"]
    names = [name for _, _, name in reached]
    made, begin = [], last_voice
    for place, (at, _, name) in enumerate(reached):
        if name == "endpoint" and names[place + 1] not in _WAITS_FOR_ENDPOINT:
            continue
        end = max(at, begin)
        actor = _actor(name, names[:place])
        if actor == "playout" and (covered := max((b for a, b in fillers if a <= begin < b <= end), default=None)):
            made.append(Span(COVERED, "cover", begin, covered))
            begin = covered
        made.append(Span(name, actor, begin, end))
        begin = end
    return made


def _actor(name: str, before: list[str]) -> str:
    """A model that called a tool first, and speech behind a tool's result, are what they are; the way to a tool that
    the model chose is the model's."""
    if name == "tool" and "first_token" in before:
        return "llm"
    return _ACTOR_OF[name]


def by_actor(turn: Mapping[str, Any]) -> dict[str, float]:
    """Seconds that a recorded turn's gap spent on each actor; those with none are left out."""
    found: dict[str, float] = {}
    for span in turn.get("spans", ()):
        found[span["actor"]] = found.get(span["actor"], 0.0) + span["to"] - span["from"]
    return {actor: seconds for actor in ACTORS if (seconds := found.get(actor, 0.0)) > 0}

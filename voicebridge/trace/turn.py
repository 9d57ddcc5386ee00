"""One turn as it is watched: the caller's words, ours, who served, and when each stage was reached.

All times are seconds on the core's clock. The response gap is `audible - last_voice`: from the caller's last voiced
sample (by energy) to the first voiced sample of the answer's own words; fillers are reported apart.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from voicebridge.trace.blame import slow
from voicebridge.trace.spans import Span, spans

MASK = "***"
ENGINE_KINDS = ("stt", "llm", "tts")
FROM_DISK = "disk"


@dataclass
class Said:
    """One segment of ours: what it was to be, and what of it was heard."""

    segment: int
    kind: str
    text: str
    heard: str = ""
    complete: bool = False
    at: float | None = None
    until: float | None = None

    def as_dict(self, zero: float) -> dict[str, Any]:
        return {
            "kind": self.kind, "text": self.text, "heard": self.heard, "complete": self.complete,
            "at": _since(self.at, zero), "until": _since(self.until, zero),
        }  # fmt: skip


@dataclass
class ToolTrace:
    """One run of a tool: from when to when, and what came of it (never its arguments or its result)."""

    run: int
    tool: str
    began: float
    ended: float | None = None
    ok: bool = False
    cause: str = ""
    tries: tuple[tuple[float, int, str], ...] = ()
    """Each attempt: when it began, its ms, and its cause, "" where it worked."""

    def as_dict(self, zero: float) -> dict[str, Any]:
        ms = None if self.ended is None else round((self.ended - self.began) * 1000)
        return {
            "tool": self.tool, "at": round(self.began - zero, 4), "ms": ms, "ok": self.ok, "cause": self.cause,
            "attempts": max(1, len(self.tries)),
            "try": [{"at": round(at - zero, 4), "ms": took, "cause": cause} for at, took, cause in self.tries],
        }  # fmt: skip


@dataclass(frozen=True)
class HandoffStep:
    """What became of sending the caller to a human: calling, connected, refused, go."""

    state: str
    target: str
    cause: str
    at: float

    def as_dict(self, zero: float) -> dict[str, Any]:
        return {"at": round(self.at - zero, 4), "state": self.state, "target": self.target, "cause": self.cause}


@dataclass(frozen=True)
class EngineMove:
    """The call went on with another engine of its kind, and why."""

    kind: str
    old: str
    new: str
    cause: str
    at: float

    def as_dict(self, zero: float) -> dict[str, Any]:
        return {
            "kind": self.kind, "from": self.old, "to": self.new, "cause": self.cause, "at": round(self.at - zero, 4)
        }  # fmt: skip


@dataclass
class TurnTrace:
    """One turn: the caller's words, ours, and when each stage was reached."""

    turn: int
    caller: str = ""
    source: str = ""
    rule: str = ""
    last_voice: float | None = None
    marks: dict[str, float] = field(default_factory=dict)
    said: list[Said] = field(default_factory=list)
    cut_off: bool = False
    cut_at: float | None = None
    """When our voice stopped for the caller's; `cut_voice`: when his began."""
    cut_voice: float | None = None
    troubles: list[str] = field(default_factory=list)
    tools: list[ToolTrace] = field(default_factory=list)
    handoffs: list[HandoffStep] = field(default_factory=list)
    moves: list[EngineMove] = field(default_factory=list)
    engines: dict[str, str] = field(default_factory=lambda: dict.fromkeys(ENGINE_KINDS, ""))
    """Who served it, by kind; `disk`: only lines that were rendered before."""
    secret: bool = False
    shown: str | None = None
    """What he said as it may be shown; None where that is not known yet."""
    asked: str = ""
    """The kind of slot that he was asked for, and its name."""
    slot: str = ""

    @property
    def gap(self) -> float | None:
        """The response gap in seconds, where the caller spoke and the answer was heard."""
        if self.last_voice is None or "audible" not in self.marks:
            return None
        return self.marks["audible"] - self.last_voice

    @property
    def heard(self) -> str:
        """All that the caller heard of ours in this turn."""
        return " ".join(said.heard for said in self.said if said.heard and said.kind != "filler")

    def spans(self) -> list[Span]:
        """Contiguous from the last voiced sample to the first audible one; they sum to the gap."""
        fillers = [said for said in self.said if said.kind == "filler"]
        heard = [(said.at, said.until) for said in fillers if said.at is not None and said.until is not None]
        return spans(self.last_voice, self.marks, heard)

    def as_dict(self, zero: float) -> dict[str, Any]:
        """For the record: times as seconds since the call began."""

        stopped = None if self.cut_at is None or self.cut_voice is None else self.cut_at - self.cut_voice
        made: dict[str, Any] = {
            "turn": self.turn,
            "caller": self.caller,
            "source": self.source,
            "rule": self.rule,
            "secret": self.secret,
            "gap_s": None if self.gap is None else round(self.gap, 4),
            "last_voice": _since(self.last_voice, zero),
            "marks": {name: _since(at, zero) for name, at in self.marks.items()},
            "spans": [span.as_dict(zero) for span in self.spans()],
            "said": [said.as_dict(zero) for said in self.said],
            "cut_off": self.cut_off,
            "cut_at": _since(self.cut_at, zero),
            "stopped_after_ms": None if stopped is None else round(stopped * 1000),
            "fillers": [[_since(s.at, zero), _since(s.until, zero)] for s in self.said if s.kind == "filler" and s.at],
            "troubles": self.troubles,
            "tools": [tool.as_dict(zero) for tool in self.tools],
            "handoffs": [step.as_dict(zero) for step in self.handoffs],
            "moves": [move.as_dict(zero) for move in self.moves],
            "engines": self.engines,
        }
        return {**made, "slow": slow(made)}


def _since(at: float | None, zero: float) -> float | None:
    return None if at is None else round(at - zero, 4)

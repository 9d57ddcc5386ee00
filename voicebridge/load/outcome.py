"""What came of each call of a run, as values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

HEARD_BY_S = 3.0
"""Who hangs up before has no right to have heard anybody."""

Span = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Turn:
    """Something the caller said, and the answer; seconds since the call's zero. `own_gap_s`: the daemon's own gap of
    it, to the answer's own words, where the store could be read; `filler`: whether cover speech came first."""

    label: str
    begins: float
    last_voice: float
    answer: float | None
    barge_in_stop_s: float | None = None
    own_gap_s: float | None = None
    filler: bool = False
    source: str = ""

    @property
    def gap_s(self) -> float | None:
        """Last voiced sample sent to first voiced sample received, whatever was said first."""
        return None if self.answer is None else self.answer - self.last_voice


@dataclass(frozen=True, slots=True)
class Media:
    """RTP as it came. `voice`: when the agent was heard."""

    voice: tuple[Span, ...] = ()
    longest_silence_s: float = 0.0
    packets: int = 0
    lost: int = 0
    reordered: int = 0
    duplicates: int = 0
    jitter_s: float = 0.0
    frame_gap_s: float = 0.0
    sent: int = 0


@dataclass(frozen=True, slots=True)
class Call:
    """`code`: SIP's final answer, 0 where none came. `outcome` and `ended`: the record's, where it was found."""

    number: int
    call_id: str
    behaviour: str
    offered_s: float | None
    answered_s: float | None
    ended_s: float | None
    code: int
    ended_by: str
    turns: tuple[Turn, ...]
    media: Media
    begun_s: float = 0.0
    cut_while_talking: bool = False
    outcome: str = ""
    ended: str = ""

    @property
    def answered(self) -> bool:
        return self.answered_s is not None

    @property
    def seconds(self) -> float:
        return 0.0 if self.answered_s is None or self.ended_s is None else self.ended_s - self.answered_s

    @property
    def lost(self) -> str:
        """Why the caller was lost; nothing where he was not."""
        if not self.answered:
            return f"refused with {self.code}" if self.code else "not answered"
        if not self.media.voice:
            return "" if self.behaviour == "early" and self.seconds < HEARD_BY_S else "answered, but nobody spoke"
        if self.ended_by == "callee" and self.outcome not in ("hangup", "transfer") and not self._taken_leave_of():
            return "cut off without a goodbye"
        return ""

    def _taken_leave_of(self) -> bool:
        """Whether the agent had said something since the caller's last words, and the caller was not speaking."""
        since = max((turn.last_voice for turn in self.turns), default=0.0)
        return not self.cut_while_talking and any(end > since for _, end in self.media.voice)

    def as_dict(self) -> dict[str, Any]:
        turns = [
            {
                "line": turn.label, "at_s": _ms(turn.begins), "gap_s": _ms(turn.gap_s), "filler": turn.filler,
                "own_gap_s": _ms(turn.own_gap_s), "by": turn.source, "barge_in_stop_s": _ms(turn.barge_in_stop_s),
            }
            for turn in self.turns
        ]  # fmt: skip
        media = self.media
        return {
            "number": self.number, "call_id": self.call_id, "behaviour": self.behaviour, "code": self.code,
            "offered_s": _ms(self.offered_s), "answered_s": _ms(self.answered_s), "seconds": _ms(self.seconds),
            "ended_by": self.ended_by, "outcome": self.outcome, "ended": self.ended, "lost": self.lost, "turns": turns,
            "longest_silence_s": _ms(media.longest_silence_s), "jitter_ms": round(media.jitter_s * 1000, 2),
            "packets": media.packets, "packets_lost": media.lost, "packets_reordered": media.reordered,
            "packets_doubled": media.duplicates, "packets_sent": media.sent,
            "worst_frame_gap_ms": round(media.frame_gap_s * 1000, 1),
        }  # fmt: skip


def _ms(value: float | None) -> float | None:
    return None if value is None else round(value, 3)

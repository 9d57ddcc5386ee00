"""What happens to a conversation. Frozen, and enough to replay a call: no event carries a clock or a handle.

Positions and durations are seconds. Requests, segments and generations carry the number the core gave them; what
comes back for a number the core no longer waits for is dropped.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class CallStarted:
    """The leg is up and media can flow."""


@dataclass(frozen=True, slots=True)
class SpeechStarted:
    """The caller's voice began `ago` seconds before this event (detection takes some time)."""

    ago: float = 0.0


@dataclass(frozen=True, slots=True)
class SpeechStopped:
    """The caller's last voiced sample lies `ago` seconds back; `voiced` is how long the stretch of voice was."""

    ago: float = 0.0
    voiced: float = 0.0


@dataclass(frozen=True, slots=True)
class TranscriptReady:
    """The answer to a Transcribe command."""

    request: int
    text: str


@dataclass(frozen=True, slots=True)
class TranscriptFailed:
    request: int
    cause: str


@dataclass(frozen=True, slots=True)
class RuleMatched:
    """The answer to a Match command: the rule's name, or None. Not `sure`: it is only perhaps what was meant."""

    request: int
    rule: str | None
    score: float = 0.0
    sure: bool = True


@dataclass(frozen=True, slots=True)
class ModelText:
    """More of the model's answer, as it comes; pieces may split words."""

    generation: int
    text: str


@dataclass(frozen=True, slots=True)
class ModelDone:
    generation: int


@dataclass(frozen=True, slots=True)
class ModelFailed:
    generation: int
    cause: str


@dataclass(frozen=True, slots=True)
class SegmentReady:
    """The speech of a segment is there and can be played."""

    segment: int
    seconds: float


@dataclass(frozen=True, slots=True)
class SegmentFailed:
    segment: int
    cause: str


@dataclass(frozen=True, slots=True)
class PlaybackStarted:
    segment: int


@dataclass(frozen=True, slots=True)
class PlaybackFinished:
    segment: int


@dataclass(frozen=True, slots=True)
class Drained:
    """Everything that was given to Play has been sent."""


@dataclass(frozen=True, slots=True)
class HeardSegment:
    """How much of a segment was sent: `heard` is a prefix of its text, by whole words."""

    segment: int
    heard: str
    complete: bool


@dataclass(frozen=True, slots=True)
class PlayoutCut:
    """The answer to a Flush command: what had been heard of the segments that were playing or waiting."""

    segments: tuple[HeardSegment, ...]


@dataclass(frozen=True, slots=True)
class Dtmf:
    digit: str


@dataclass(frozen=True, slots=True)
class TimerFired:
    name: str


@dataclass(frozen=True, slots=True)
class CallClosed:
    """The leg is gone. reason: hangup, dropped, error, local."""

    reason: Literal["hangup", "dropped", "error", "local"] | str


Event = (
    CallStarted
    | SpeechStarted
    | SpeechStopped
    | TranscriptReady
    | TranscriptFailed
    | RuleMatched
    | ModelText
    | ModelDone
    | ModelFailed
    | SegmentReady
    | SegmentFailed
    | PlaybackStarted
    | PlaybackFinished
    | Drained
    | PlayoutCut
    | Dtmf
    | TimerFired
    | CallClosed
)

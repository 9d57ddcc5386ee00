"""What happens to a conversation. Frozen, and enough to replay a call: no event carries a clock or a handle.

Positions and durations are seconds. Requests, segments and generations carry the number the core gave them; what
comes back for a number the core no longer waits for is dropped.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from voicebridge.conversation.form import Understood


@dataclass(frozen=True, slots=True)
class CallStarted:
    """The leg is up and media can flow."""


@dataclass(frozen=True, slots=True)
class SpeechStarted:
    """The caller's voice began `ago` seconds before this event (detection takes some time), by the audio that has come.

    `late`: how long that audio had waited to be heard (call/lag.py): so much earlier yet he spoke.
    """

    ago: float = 0.0
    late: float = 0.0


@dataclass(frozen=True, slots=True)
class SpeechStopped:
    """The caller's last voiced sample lies `ago` seconds back; `voiced` is how long the stretch of voice was. `late` as
    in SpeechStarted."""

    ago: float = 0.0
    voiced: float = 0.0
    late: float = 0.0


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
class TurnJudged:
    """The answer to a JudgeTurn command: how probable it is, by the sound, that the caller has finished."""

    request: int
    probability: float


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
class ModelCall:
    """The model wants a tool run; nothing of it is validated yet. ModelDone follows."""

    generation: int
    tool: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Parsed:
    """The answer to a Parse command."""

    request: int
    understood: Understood


@dataclass(frozen=True, slots=True)
class ToolProgress:
    """A tool says, in a sentence for the caller, how far it is."""

    run: int
    text: str


@dataclass(frozen=True, slots=True)
class ToolDone:
    """The answer to a RunTool command.

    `say`: the result in words for the caller, where the tool has some. `data`: the result as JSON text, size-capped.
    `cause` of a failure: timeout, error, invalid_arguments, invalid_result, too_large, breaker_open, unknown_tool. A
    tool may want the call handed to a target or ended.
    """

    run: int
    ok: bool
    say: str = ""
    data: str = ""
    cause: str = ""
    hand_off: str = ""
    hang_up: bool = False


@dataclass(frozen=True, slots=True)
class HandoffUpdate:
    """How a HandOff command goes on.

    `go`: the PBX's dialplan will do it: say what is to be said and end the call. `calling`: a human is being called
    while the caller waits. `connected`: they talk, the call is no longer ours. `refused`: nobody there; `cause` is
    closed, unknown_target, busy, no_answer, declined or failed. `target` is the one that it came to (perhaps the next
    one of the one that was asked for); `say` the target's own announcement.
    """

    handoff: int
    state: Literal["go", "calling", "connected", "refused"]
    target: str = ""
    say: str = ""
    cause: str = ""


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
    | TurnJudged
    | RuleMatched
    | ModelText
    | ModelDone
    | ModelFailed
    | ModelCall
    | Parsed
    | ToolProgress
    | ToolDone
    | HandoffUpdate
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

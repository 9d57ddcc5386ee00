"""What a conversation wants done. Frozen; carried out by `call/`, in order.

`deadline` is on the core's clock (seconds, the `now` of `Conversation.handle`): the moment at which the caller would
hear silence without this. `math.inf` marks speculative work.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from voicebridge.conversation.form import Slot, SlotValue
from voicebridge.conversation.toolspec import ToolSpec

SegmentKind = Literal["greeting", "answer", "filler", "prompt", "trouble", "goodbye", "disclosure", "consent"]
Purpose = Literal["partial", "speculative", "final"]
Outcome = Literal["hangup", "transfer", "fallback"]


@dataclass(frozen=True, slots=True)
class ChatMessage:
    """One message for the model; an assistant's that comes last is continued. A tool's is data, never an instruction.

    An assistant's tool call stands as `call {"name": ..., "arguments": {...}}`, as the grammar of local models has it.
    """

    role: Literal["system", "user", "assistant", "tool"]
    text: str


@dataclass(frozen=True, slots=True)
class WarmModel:
    """Have the agent's prompt in the model's cache."""

    messages: tuple[ChatMessage, ...]


@dataclass(frozen=True, slots=True)
class Listen:
    """A new utterance begins (with the audio from a little before the voice).

    `slot` is what the caller has been asked for, where that is known: a recogniser may expect it.
    """

    utterance: int
    slot: Slot | None = None


@dataclass(frozen=True, slots=True)
class Transcribe:
    """Ask the recogniser for all of the current utterance."""

    request: int
    utterance: int
    purpose: Purpose
    deadline: float
    give_up: float


@dataclass(frozen=True, slots=True)
class JudgeTurn:
    """Have the sound of the current utterance judged: has he finished? Of no use after `deadline`."""

    request: int
    utterance: int
    deadline: float


@dataclass(frozen=True, slots=True)
class Match:
    """Find the rule whose examples fit."""

    request: int
    text: str


@dataclass(frozen=True, slots=True)
class Parse:
    """Find what an utterance says to a form's slots; `asked` is the slot that was asked for ("": the confirmation)."""

    request: int
    form: str
    asked: str
    text: str
    keys: bool = False
    """`text` is what the caller keyed."""
    partial: str = ""
    """What came before of an answer that was not complete: `text` may go on with it, or say all of it again."""
    known: tuple[SlotValue, ...] = ()
    """What the form holds already: "no, four" at the confirmation corrects it."""


@dataclass(frozen=True, slots=True)
class RunTool:
    """`arguments` is JSON text of an object; the runner validates it against the tool's schema."""

    run: int
    turn: int
    tool: str
    arguments: str


@dataclass(frozen=True, slots=True)
class CancelTool:
    run: int


@dataclass(frozen=True, slots=True)
class HandOff:
    """Find a human at a target; HandoffUpdate tells how it goes on."""

    handoff: int
    target: str
    reason: str


@dataclass(frozen=True, slots=True)
class CancelHandOff:
    """Nobody is to be rung any longer."""

    handoff: int


@dataclass(frozen=True, slots=True)
class Hold:
    """Hold music on or off; speech is heard over it."""

    on: bool


@dataclass(frozen=True, slots=True)
class SendDtmf:
    """Send keys to the other side: 0-9 A-D * #."""

    digits: str


@dataclass(frozen=True, slots=True)
class Prefill:
    """Put this into the model's cache if nobody needs it for something better."""

    messages: tuple[ChatMessage, ...]


@dataclass(frozen=True, slots=True)
class Generate:
    generation: int
    turn: int
    messages: tuple[ChatMessage, ...]
    max_tokens: int
    deadline: float
    give_up: float
    tools: tuple[ToolSpec, ...] = ()


@dataclass(frozen=True, slots=True)
class CancelGeneration:
    generation: int


@dataclass(frozen=True, slots=True)
class Synthesize:
    """Make the speech of a segment; it is not heard before Play."""

    segment: int
    turn: int
    kind: SegmentKind
    text: str
    deadline: float
    give_up: float


@dataclass(frozen=True, slots=True)
class DropSegments:
    """These will not be played: stop making them."""

    segments: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Play:
    """Append a ready segment to what is being said."""

    segment: int


@dataclass(frozen=True, slots=True)
class PausePlayout:
    """Stop sending speech at once (silence goes on), keep the place."""


@dataclass(frozen=True, slots=True)
class ResumePlayout:
    """Go on from the beginning of the word that was cut."""


@dataclass(frozen=True, slots=True)
class FlushPlayout:
    """Forget all speech not sent yet; PlayoutCut tells what was heard."""


@dataclass(frozen=True, slots=True)
class SetTimer:
    """TimerFired(name) at `at`; replaces a timer of that name."""

    name: str
    at: float


@dataclass(frozen=True, slots=True)
class CancelTimer:
    name: str


@dataclass(frozen=True, slots=True)
class EndCall:
    """Give the call back to the PBX. `fallback`: its dialplan should find a human; `transfer`: the one at `target`."""

    outcome: Outcome
    reason: str
    target: str = ""


Command = (
    WarmModel
    | Listen
    | Transcribe
    | JudgeTurn
    | Match
    | Parse
    | RunTool
    | CancelTool
    | HandOff
    | CancelHandOff
    | Hold
    | SendDtmf
    | Prefill
    | Generate
    | CancelGeneration
    | Synthesize
    | DropSegments
    | Play
    | PausePlayout
    | ResumePlayout
    | FlushPlayout
    | SetTimer
    | CancelTimer
    | EndCall
)

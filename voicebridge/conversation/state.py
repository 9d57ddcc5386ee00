"""The two regions of a conversation and how the agent's moves. The table is the specification."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Literal

from voicebridge.conversation.agent import Rule
from voicebridge.conversation.clauses import ClauseSplitter
from voicebridge.conversation.commands import EndCall, SegmentKind
from voicebridge.conversation.events import RuleMatched, ToolDone
from voicebridge.conversation.filling import Filling
from voicebridge.conversation.form import Form, SlotValue, Understood


class Caller(Enum):
    SILENT = auto()
    SPEAKING = auto()
    PAUSING = auto()
    """Stopped, but not yet for as long as an endpoint takes."""


class Agent(Enum):
    IDLE = auto()
    """The caller's turn."""
    THINKING = auto()
    """Our turn, nothing of the answer given to playout yet."""
    SPEAKING = auto()
    PAUSED = auto()
    """The caller made a sound while we spoke: it may be a barge-in or a cough."""
    ENDED = auto()


class Move(Enum):
    COMMIT = auto()
    """The caller has finished: it is our turn."""
    SPEAK = auto()
    """Speech was given to playout."""
    CALLER_GOES_ON = auto()
    """He had not finished after all."""
    NOTHING_SAID = auto()
    """It was a noise."""
    BARGE_IN = auto()
    """A voice while we speak."""
    FALSE_ALARM = auto()
    """No words, or only a backchannel: go on."""
    INTERRUPT = auto()
    """Words: the caller takes the turn."""
    RUN_DRY = auto()
    """Playout is empty but the answer is not complete."""
    FINISH = auto()
    """All is said."""
    END = auto()


_ANYWHERE = {Move.END: Agent.ENDED}

TRANSITIONS: dict[Agent, dict[Move, Agent]] = {
    Agent.IDLE: {
        Move.COMMIT: Agent.THINKING,
        Move.SPEAK: Agent.SPEAKING,
        **_ANYWHERE,
    },
    Agent.THINKING: {
        Move.SPEAK: Agent.SPEAKING,
        Move.CALLER_GOES_ON: Agent.IDLE,
        Move.NOTHING_SAID: Agent.IDLE,
        Move.INTERRUPT: Agent.IDLE,
        **_ANYWHERE,
    },
    Agent.SPEAKING: {
        Move.SPEAK: Agent.SPEAKING,
        Move.BARGE_IN: Agent.PAUSED,
        Move.INTERRUPT: Agent.IDLE,
        Move.RUN_DRY: Agent.THINKING,
        Move.FINISH: Agent.IDLE,
        **_ANYWHERE,
    },
    Agent.PAUSED: {
        Move.FALSE_ALARM: Agent.SPEAKING,
        Move.INTERRUPT: Agent.IDLE,
        **_ANYWHERE,
    },
    Agent.ENDED: {},
}


class IllegalMove(RuntimeError):
    """The core was about to do what the table does not allow: a bug of ours."""


def moved(state: Agent, move: Move) -> Agent:
    try:
        return TRANSITIONS[state][move]
    except KeyError:
        raise IllegalMove(f"{move.name} in {state.name}") from None


ReplySource = Literal["greeting", "rule", "line", "model", "form", "tool"]


@dataclass(frozen=True, slots=True)
class ToolAction:
    """A tool to run once the turn is ours. `done` and `values` make the words when it worked."""

    tool: str
    arguments: str
    done: tuple[str, ...] = ()
    values: tuple[SlotValue, ...] = ()
    by_model: bool = False
    by_form: bool = False


@dataclass(frozen=True, slots=True)
class HandOffAction:
    """A human to be found once the turn is ours. `must_leave`: where there is none, the call goes to the fallback."""

    target: str
    reason: str
    must_leave: bool = False


Action = ToolAction | HandOffAction


@dataclass(frozen=True, slots=True)
class Run:
    """A tool at work."""

    action: ToolAction
    turn: int


@dataclass(slots=True)
class Handing:
    """A handoff under way. `calling`: a human is being called while the caller hears hold music."""

    number: int
    wanted: HandOffAction
    calling: bool = False


@dataclass
class Piece:
    """One segment of a reply, from asking for its speech to having it heard."""

    segment: int
    kind: SegmentKind
    text: str
    ready: bool = False
    given: bool = False
    begun: bool = False  # something of it was heard


@dataclass
class Reply:
    """What the agent is going to say in one turn: a draft until the caller's endpoint, then committed."""

    turn: int
    caller_text: str
    source: ReplySource
    pieces: list[Piece] = field(default_factory=list)
    splitter: ClauseSplitter = field(default_factory=ClauseSplitter)
    rule: Rule | None = None
    generation: int | None = None
    match: int | None = None
    parse: int | None = None
    action: Action | None = None
    run: int | None = None
    result: tuple[Run, ToolDone] | None = None  # what a tool gave, told by the pieces from
    result_from: int = 0
    steps: int = 0  # tools that the model had run in this turn
    said_before: str = ""  # what an offer was made for that is accepted now
    form: Form | None = None  # the form that this reply opens or goes on with
    touches_form: bool = False  # the form is to be changed when this is committed:
    filling: Filling | None = None  # how far it is then; None closes it
    before: tuple[Filling | None] | None = None  # how far it was, once committed
    ends: EndCall | None = None
    consents: bool | None = None  # the caller's answer to being recorded
    lost: bool = False  # nobody knew an answer
    understood: Understood | None = None
    matched: RuleMatched | None = None
    model_text: str = ""
    in_sentence: bool = False  # the last piece did not end one
    complete: bool = False
    committed: bool = False
    suspended: bool = False
    heard: bool = False
    attempts: int = 0
    due: float = 0.0

    def pending(self) -> tuple[int, ...]:
        return tuple(piece.segment for piece in self.pieces if not piece.given)

    def all_given(self) -> bool:
        return self.complete and all(piece.given for piece in self.pieces)

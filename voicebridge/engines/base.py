"""What listens, thinks and speaks: the shapes every engine has, wherever it runs.

An engine is an object named by an entry point (`voicebridge.stt`, `.llm`, `.tts`, ...); a session is one call's use of
it. Every method that waits either gives its result, is cancelled, or raises `EngineError`: a client reconnects,
replays what the engine had been told, and gives up at `give_up` (time.monotonic() seconds), never later.

`deadline` is the moment (time.monotonic() seconds, one clock for all processes of a machine) at which the caller
would hear silence if this request had no result yet. Schedulers serve the earliest first. `math.inf` marks
speculative work, which is served last and dropped first.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from voicebridge.conversation.commands import ChatMessage
from voicebridge.conversation.toolspec import ToolCall, ToolSpec

EngineKind = Literal["stt", "llm", "tts", "embed", "turn"]


class EngineError(Exception):
    """An engine could not do what was asked, after the retries its client makes by itself.

    `cause` is one of: unreachable, crashed, timeout, garbage, refused.
    """

    def __init__(self, kind: EngineKind, name: str, cause: str, detail: str = "") -> None:
        super().__init__(f"{kind} engine {name!r}: {cause}" + (f" ({detail})" if detail else ""))
        self.kind = kind
        self.name = name
        self.cause = cause
        self.detail = detail


@dataclass(frozen=True, slots=True)
class HeardWord:
    """A word of a transcript: `start` and `end` in seconds from the utterance's first sample, `confidence` 0 to 1."""

    text: str
    start: float
    end: float
    confidence: float


@dataclass(frozen=True, slots=True)
class Transcript:
    """What the recogniser made of the first `samples` samples of an utterance.

    `started` and `finished` (time.monotonic() seconds) are when the request was made and answered; `busy_s` is the
    time the engine itself computed, where it tells. `words` where the engine gives them; `engine` is who heard it.
    """

    utterance: int
    text: str
    samples: int
    started: float
    finished: float
    busy_s: float | None = None
    words: tuple[HeardWord, ...] = ()
    engine: str = ""


class SttSession(Protocol):
    """One call's recogniser. It keeps the audio of the current utterance, so that an engine can be replaced."""

    def begin(self, utterance: int, phrases: Sequence[str] = ()) -> None:
        """Forget the audio before; what is fed from now on belongs to `utterance`.

        `phrases` are what the caller has just been asked for ("yes", "half past", single digits): a recogniser that
        takes a grammar prefers them, and still has to notice what is something else. Others ignore them.
        """

    def feed(self, pcm: bytes) -> None:
        """More of the utterance: 16-bit little-endian mono at the session's rate, any length."""

    async def transcribe(self, *, deadline: float, give_up: float, final: bool = True) -> Transcript:
        """Everything fed since `begin`. A later call supersedes an earlier one that is still waiting.

        Not `final`: he is still speaking, and what a streaming recogniser has understood so far will do.
        Cancel the task to drop the request. Raises EngineError.
        """

    async def close(self) -> None:
        """Free what the call held."""


class SttEngine(Protocol):
    name: str

    async def start(self) -> None: ...
    async def stop(self) -> None: ...
    @property
    def ready(self) -> bool: ...
    def session(self, *, rate: int, language: str, phrases: Sequence[str] = ()) -> SttSession:
        """`phrases`: all that callers of this agent say, where that is a closed list."""


Message = ChatMessage
"""One message of a chat. An `assistant` message that comes last is continued, not answered."""


class LlmSession(Protocol):
    """One call's use of a language model; it keeps its place in the engine's cache."""

    async def warm(self, messages: Sequence[Message]) -> None:
        """Have the prompt of an agent in this call's cache; cheap after the agent's first call. Best effort."""

    async def prefill(self, messages: Sequence[Message]) -> None:
        """Speculatively compute the prompt, generate nothing. Best effort: dropped when somebody needs the engine."""

    def generate(
        self,
        messages: Sequence[Message],
        *,
        max_tokens: int,
        deadline: float,
        give_up: float,
        grammar: str = "",
        tools: Sequence[ToolSpec] = (),
    ) -> AsyncIterator[str | ToolCall]:
        """The answer, in pieces as they come. Close the iterator (or cancel) to stop the engine's work.

        With `tools` the model may want one of them run: a ToolCall, whose arguments are not validated yet.

        `deadline` may move while it runs: see `defer`. Raises EngineError; what was yielded before stands.
        """

    def defer(self, deadline: float) -> None:
        """The running generation's next words are not needed before `deadline` (speech is queued until then)."""

    async def close(self) -> None: ...


class LlmEngine(Protocol):
    name: str

    async def start(self) -> None: ...
    async def stop(self) -> None: ...
    @property
    def ready(self) -> bool: ...
    @property
    def context_tokens(self) -> int: ...
    def session(self, *, agent: str, tools: Sequence[ToolSpec] = ()) -> LlmSession:
        """`tools` are all that the agent has: a local model is told of them in the prompt that its calls share."""


@dataclass(frozen=True, slots=True)
class WordMark:
    """The word text[start:end] begins at `sample` of the speech."""

    start: int
    end: int
    sample: int


@dataclass(frozen=True, slots=True)
class Voice:
    """How to speak. `speed` 1.0 is the engine's own pace."""

    name: str = ""
    language: str = "en"
    speed: float = 1.0


@dataclass(frozen=True, slots=True)
class Speech:
    """One synthesized text: 16-bit little-endian mono `pcm` at `rate`; marks in ascending order of sample.

    `marks` index into the text that was passed to `synthesize`. `estimated` tells that the engine gave no word
    times and they were spread over the audio by length. `engine` is whose voice it is, where several may speak.
    """

    text: str
    pcm: bytes
    rate: int
    marks: tuple[WordMark, ...] = field(default=())
    estimated: bool = False
    engine: str = ""


class TtsEngine(Protocol):
    """It may have a string `identity`, which changes with whatever changes its sound (a voice's file, an option).

    What was rendered under another is rendered again; without one that is told by `name`.
    """

    name: str

    async def start(self) -> None: ...
    async def stop(self) -> None: ...
    @property
    def ready(self) -> bool: ...
    async def synthesize(self, text: str, *, voice: Voice, deadline: float, give_up: float) -> Speech:
        """Speech for one clause or sentence, at the engine's own rate. Raises EngineError."""


class Embedder(Protocol):
    """Sentence embeddings, for matching what a caller said with an agent's example sentences.

    `identity` changes with the model: embeddings of one are of no use to another.
    """

    name: str
    identity: str

    async def start(self) -> None: ...
    async def stop(self) -> None: ...
    @property
    def ready(self) -> bool: ...
    async def embed(self, texts: Sequence[str], *, give_up: float) -> list[list[float]]:
        """One L2-normalised vector a text. Raises EngineError."""


class TurnJudge(Protocol):
    """From the sound of what a caller says: has he finished, or does he only pause?"""

    name: str

    async def start(self) -> None: ...
    async def stop(self) -> None: ...
    @property
    def ready(self) -> bool: ...
    async def judge(self, pcm: bytes, *, rate: int, deadline: float, give_up: float) -> float:
        """The probability that he has finished. `pcm`: what he said of this utterance, up to now (of a long one the
        last 8 s), 16-bit little-endian mono at `rate`. Raises EngineError.
        """

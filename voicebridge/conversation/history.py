"""What was said and what was really heard, and the prompt that is made of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from voicebridge.conversation.commands import ChatMessage

# A cautious estimate for English and byte-pair vocabularies of 32-50k: real text has 4 and more.
CHARS_PER_TOKEN = 3.2
# Role markers of the chat template.
TOKENS_PER_MESSAGE = 6


def estimate_tokens(messages: tuple[ChatMessage, ...]) -> int:
    return sum(TOKENS_PER_MESSAGE + int(len(message.text) / CHARS_PER_TOKEN) for message in messages)


@dataclass
class Exchange:
    """One turn: what the caller said, what tools did, and, piece by piece, what of the answer he heard."""

    turn: int
    caller: str = ""
    heard: list[str] = field(default_factory=list)
    steps: list[ChatMessage] = field(default_factory=list)
    """What tools were asked for and what they gave, between the caller's words and ours."""

    def agent(self) -> str:
        return " ".join(piece.strip() for piece in self.heard if piece.strip())


class History:
    """The conversation as heard. Trimming drops the oldest half at once: the prompt's front part stays cached."""

    def __init__(self, system: str, *, context_tokens: int, answer_tokens: int) -> None:
        self._system = ChatMessage("system", system)
        self._room = context_tokens - answer_tokens - 32
        self.exchanges: list[Exchange] = []
        self._first = 0

    def exchange(self, turn: int) -> Exchange:
        for known in reversed(self.exchanges):
            if known.turn == turn:
                return known
        made = Exchange(turn)
        self.exchanges.append(made)
        return made

    def drop(self, turn: int) -> None:
        """Forget a turn in which, after all, nothing was said and nothing was heard."""
        self._first -= sum(known.turn == turn for known in self.exchanges[: self._first])
        self.exchanges = [known for known in self.exchanges if known.turn != turn]

    def system(self) -> tuple[ChatMessage, ...]:
        return (self._system,) if self._system.text else ()

    def messages(
        self, caller_now: str = "", answer_so_far: str = "", steps: Sequence[ChatMessage] = (), turn: int | None = None
    ) -> tuple[ChatMessage, ...]:
        """The prompt; `caller_now` is the utterance to answer, `steps` what tools did about it, `answer_so_far` the
        answer to go on with. `turn` is the turn of these: what is known of it already is not told twice."""
        tail = [ChatMessage("user", caller_now)] if caller_now else []
        tail += steps
        if answer_so_far:
            tail.append(ChatMessage("assistant", answer_so_far))
        while True:
            made = self.system() + tuple(self._said(turn)) + tuple(tail)
            left = len(self.exchanges) - self._first
            if left <= 1 or estimate_tokens(made) <= self._room:
                return made
            self._first += max(1, left // 2)

    def _said(self, without: int | None) -> list[ChatMessage]:
        said: list[ChatMessage] = []
        for exchange in self.exchanges[self._first :]:
            if exchange.turn == without:
                continue
            if exchange.caller:
                said.append(ChatMessage("user", exchange.caller))
            said += exchange.steps
            if answer := exchange.agent():
                said.append(ChatMessage("assistant", answer))
        return said

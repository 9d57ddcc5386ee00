"""An answer of a local model that may be made in several goes: it makes room for others, or its server dies."""

from __future__ import annotations

from collections.abc import Sequence

from voicebridge.conversation.commands import ChatMessage
from voicebridge.conversation.toolspec import ToolCall, ToolSpec
from voicebridge.engines.decision import SAY, BrokenCall, Decision
from voicebridge.engines.grammar import REST, decision_grammar
from voicebridge.engines.telling import told

CALL_TOKENS = 256
"""A call is of no use cut short; its grammar bounds it too."""


class Answer:
    """Words, under a grammar or none. With a grammar it is made in one go: that of the rest of a text is not known."""

    def __init__(self, messages: Sequence[ChatMessage], max_tokens: int, grammar: str = "") -> None:
        self._messages = tuple(messages)
        self.grammar = grammar
        self.tokens_left = max_tokens
        self.text = ""
        self.complete = False

    @property
    def divisible(self) -> bool:
        """Somebody else may go first; we go on behind our words."""
        return bool(self.text) and not self.grammar

    def add(self, piece: str) -> str:
        """A piece of the stream, about a token; gives what of it is spoken. Raises BrokenCall."""
        self.text += piece
        self.tokens_left -= 1
        return piece

    def finish(self) -> tuple[str, ToolCall | None]:
        """The stream has ended by itself: words still held back, and what the model wants run. Raises BrokenCall."""
        return "", None

    def broke_off(self) -> bool:
        """The stream broke; whether one may ask again."""
        return not (self.grammar and self.text)

    def prompt(self) -> tuple[ChatMessage, ...]:
        return continued(self._messages, self.text)


class ToolAnswer(Answer):
    """Words or a call. Once it is known to be words the rest is like any answer; a call that breaks off begins anew.

    `agents` are the tools that the agent has, told in the prompt; `offered` those that may be called now.
    """

    def __init__(
        self,
        messages: Sequence[ChatMessage],
        max_tokens: int,
        agents: tuple[ToolSpec, ...],
        offered: Sequence[ToolSpec],
    ) -> None:
        super().__init__(told(messages, agents), max_tokens)
        self._words = max_tokens
        self._offered = tuple(offered)
        self._goes_on = bool(messages) and messages[-1].role == "assistant"
        self._begin()

    def _begin(self) -> None:
        self._decision = Decision("say" if self._goes_on else "")
        self.text = ""
        if self._goes_on:
            self.grammar, self.tokens_left = REST, self._words
        else:
            self.grammar, self.tokens_left = decision_grammar(self._offered), max(self._words, CALL_TOKENS)

    @property
    def divisible(self) -> bool:
        return bool(self.text)

    def add(self, piece: str) -> str:
        undecided = self._decision.kind == ""
        words = self._decision.feed(piece)
        if undecided and self._decision.kind == "say":
            self.grammar, self.tokens_left = REST, self._words
        self.text += words
        self.tokens_left -= 1
        return words

    def finish(self) -> tuple[str, ToolCall | None]:
        words, call = self._decision.finish()
        if call is not None and call.tool not in {tool.name for tool in self._offered}:
            raise BrokenCall("a tool that was not offered")
        return words, call

    def broke_off(self) -> bool:
        if not self.text:
            self._begin()
        return True

    def prompt(self) -> tuple[ChatMessage, ...]:
        begun = SAY if self.text and not self._goes_on else ""
        return continued(self._messages, begun + self.text)


def continued(messages: tuple[ChatMessage, ...], text: str) -> tuple[ChatMessage, ...]:
    """The messages with an answer that has begun with `text`; a model goes on with an assistant's last one."""
    if not text:
        return messages
    last = messages[-1]
    if last.role == "assistant":
        return (*messages[:-1], ChatMessage("assistant", last.text + text))
    return (*messages, ChatMessage("assistant", text))

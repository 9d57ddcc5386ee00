"""What a model decided, read from its stream: `say` and words, or `call` and a tool's name and arguments.

Words come out as soon as they are known to be words; how the stream was cut into pieces makes no difference. Who says
neither `say` nor `call {` is taken to have spoken.
"""

from __future__ import annotations

import json
import re
from typing import Literal, NoReturn

from voicebridge.conversation.toolspec import ToolCall

SAY, CALL = "say ", "call "
MAX_CALL_CHARS = 8192
_CALL = re.compile(r"call\s*\{")
_BEGUN = re.compile(r"(s|sa|say|c|ca|cal|call\s*)?")


class BrokenCall(Exception):
    """A tool call that is none. The text names what is wrong with its form, nothing of what stands in it."""


class Decision:
    """One answer's. `kind` is "" until it is known."""

    def __init__(self, kind: Literal["", "say"] = "") -> None:
        self.kind: Literal["", "say", "call"] = kind
        self._begun = kind == "say"  # what leads the words is taken off; an answer that goes on keeps its blank
        self._held = ""

    def feed(self, piece: str) -> str:
        """More of the stream; gives what of it is to be spoken. Raises BrokenCall."""
        if self.kind == "say":
            return self._words(piece)
        self._held += piece
        if self.kind == "":
            return self._decide()
        if len(self._held) > MAX_CALL_CHARS:
            raise BrokenCall(f"a tool call of more than {MAX_CALL_CHARS} characters")
        return ""

    def finish(self) -> tuple[str, ToolCall | None]:
        """The stream has ended: words held back until now, and the call. Raises BrokenCall."""
        held, self._held = self._held.strip(), ""
        if self.kind == "call":
            return "", _parsed(held)
        if held == CALL.strip():
            raise BrokenCall("a tool call without a tool")
        return ("" if held == SAY.strip() else held), None

    def _decide(self) -> str:
        begin = self._held.lstrip()
        if _BEGUN.fullmatch(begin):
            return ""
        if _CALL.match(begin):
            self.kind, self._held = "call", begin.removeprefix(CALL.strip())
            return ""
        self.kind, self._held = "say", ""
        said = begin.removeprefix(SAY.strip())
        return self._words(said if said[:1].isspace() else begin)

    def _words(self, piece: str) -> str:
        if not self._begun:
            piece = piece.lstrip()
            self._begun = bool(piece)
        return piece


def tool_call(name: object, arguments: object) -> ToolCall:
    """A ToolCall of what a model gave: `arguments` an object, or JSON text of one. Raises BrokenCall."""
    if not isinstance(name, str) or not name:
        raise BrokenCall("a tool call without a name")
    if isinstance(arguments, str):
        arguments = _json(arguments or "{}")
    if arguments is None:
        arguments = {}
    if not isinstance(arguments, dict):
        raise BrokenCall("the arguments of a tool call are no object")
    try:
        text = json.dumps(arguments, ensure_ascii=False)
        (name + text).encode()
    except RecursionError:
        raise BrokenCall("the arguments of a tool call are nested too deeply") from None
    except UnicodeEncodeError:
        raise BrokenCall("a tool call with half a character in it") from None
    return ToolCall(name, text)


def call_text(call: ToolCall) -> str:
    """How a call stands in a conversation: see commands.ChatMessage."""
    return f'{CALL}{{"name": {json.dumps(call.tool, ensure_ascii=False)}, "arguments": {call.arguments}}}'


def call_in(text: str) -> ToolCall | None:
    """The call that an assistant's message holds, if it is one."""
    if not _CALL.match(text):
        return None
    try:
        return _parsed(text.removeprefix(CALL.strip()))
    except BrokenCall:
        return None


def _parsed(text: str) -> ToolCall:
    made = _json(text)
    if not isinstance(made, dict):
        raise BrokenCall("a tool call that is no object")
    return tool_call(made.get("name"), made.get("arguments"))


def _json(text: str) -> object:
    try:
        made: object = json.loads(text, parse_constant=_no_number)
    except RecursionError:
        raise BrokenCall("a tool call that is nested too deeply") from None
    except ValueError:
        raise BrokenCall(f"a tool call that is not JSON ({len(text)} characters)") from None
    return made


def _no_number(_: str) -> NoReturn:
    raise ValueError("NaN and Infinity are not JSON")

"""What may stand in a scenario file: the shape of it, checked. `script` tells it with an example."""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from voicebridge.conversation.commands import Outcome

Cause = Literal["timeout", "error", "invalid_arguments", "invalid_result", "too_large", "breaker_open"]
Action = Literal["caller", "interrupt", "keys", "hang_up", "wait", "nothing"]


def _listed(value: Any) -> Any:
    """One thing is a list of one."""
    return list(value) if isinstance(value, list | tuple) else [value]


def _pattern(value: Any) -> Any:
    if isinstance(value, str):
        try:
            re.compile(value)
        except re.error as error:
            raise ValueError(f"{value!r} is not a regular expression: {error}") from None
    return value


Patterns = Annotated[tuple[Annotated[str, BeforeValidator(_pattern)], ...], BeforeValidator(_listed)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, coerce_numbers_to_str=True)


class Stub(_Strict):
    """A canned run of a tool, `takes` seconds long. `fails` names a cause; `say` is then what the tool says of it."""

    say: str = ""
    data: Any = None
    fails: Cause | None = None
    takes: float = Field(default=0.05, ge=0, le=600)
    progress: tuple[str, ...] = ()
    hand_off: str = ""
    hang_up: bool = False


Stubs = Annotated[tuple[Stub, ...], BeforeValidator(_listed), Field(min_length=1)]


class ExpectedTool(_Strict):
    """`arguments` is a part of the arguments with which the tool was run."""

    name: str
    arguments: dict[str, Any] = Field(default_factory=dict)


def _named(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


class Expect(_Strict):
    says: Patterns = ()
    not_says: Patterns = ()
    tool: Annotated[ExpectedTool | None, BeforeValidator(_named)] = None
    not_tool: str = ""
    hand_off: str = ""
    ends: Outcome | None = None
    within_ms: int | None = Field(default=None, gt=0)
    silence_ms: int | None = Field(default=None, gt=0)

    @model_validator(mode="after")
    def _something(self) -> Expect:
        if not self.model_fields_set:
            raise ValueError("nothing is expected: name says, not_says, tool, hand_off, ends, within_ms ...")
        return self


class Step(_Strict):
    caller: str = ""
    interrupt: str = ""
    wav: Path | None = None
    keys: str = Field(default="", pattern=r"^[0-9A-Da-d*#]*$")
    after: float = Field(default=0.0, ge=0, le=3600)
    hang_up: bool = False
    meanwhile: bool = False
    """Do not wait until the agent has finished: the step begins `after` seconds after the one before."""
    expect: Expect | None = None

    @model_validator(mode="after")
    def _one_thing(self) -> Step:
        done = [name for name in ("caller", "interrupt", "keys", "hang_up") if getattr(self, name)]
        if len(done) > 1:
            raise ValueError(f"a step does one thing: {' and '.join(done)} are two steps")
        if self.wav is not None and (self.keys or self.hang_up):
            raise ValueError("wav is what the caller says: it does not go with keys or hang_up")
        if self.meanwhile and self.action in ("interrupt", "wait", "nothing"):
            raise ValueError("meanwhile goes with caller, wav, keys or hang_up")
        if self.action == "nothing" and self.expect is None:
            raise ValueError("an empty step: name caller, wav, keys, after, interrupt, hang_up or expect")
        return self

    @property
    def action(self) -> Action:
        if self.interrupt:
            return "interrupt"
        if self.caller or self.wav is not None:
            return "caller"
        if self.keys:
            return "keys"
        if self.hang_up:
            return "hang_up"
        return "wait" if self.after else "nothing"

    @property
    def words(self) -> str:
        """What the caller says; "" where only a recording knows."""
        return self.interrupt or self.caller

    def told(self) -> str:
        """The step in short, for people."""
        match self.action:
            case "caller" | "interrupt":
                return f"{self.action}: {self.words or self.wav}"
            case "keys":
                return f"keys: {self.keys}"
            case "wait":
                return f"after: {self.after:g} s"
            case other:
                return other.replace("nothing", "expect")


class Reply(_Strict):
    """What the language model answers: a text, or a call of a tool."""

    text: str = ""
    call: str = ""
    arguments: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _one_of_them(self) -> Reply:
        if bool(self.text) == bool(self.call):
            raise ValueError("a model's answer is a text, or {call: tool, arguments: {...}}")
        return self


def _reply(value: Any) -> Any:
    return value if isinstance(value, dict) else {"text": value}


class Delays(_Strict):
    """Seconds that the engines of a virtual run take: a transcript, the model's first words, speech not on disk."""

    stt: float = Field(default=0.12, ge=0, le=60)
    model: float = Field(default=0.3, ge=0, le=60)
    speech: float = Field(default=0.06, ge=0, le=60)


class Human(_Strict):
    """What becomes of calling the human at a warm target, after so many seconds of ringing and listening."""

    state: Literal["connected", "declined", "busy", "no_answer", "failed"] = "connected"
    after: float = Field(default=5.0, ge=0, le=600)


def _state(value: Any) -> Any:
    return {"state": value} if isinstance(value, str) else value


class _Given(_Strict):
    """What a file says for all of its calls, and a call for itself."""

    now: datetime | None = None
    caller: str = ""
    variables: dict[str, str] = Field(default_factory=dict)
    tools: dict[str, Stubs] = Field(default_factory=dict)
    humans: dict[str, Annotated[Human, BeforeValidator(_state)]] = Field(default_factory=dict)
    delays: Delays = Delays()
    voice: str = ""
    """The caller's, in live runs: a voice of the text-to-speech engine; "" is the engine's own."""


class CallScript(_Given):
    name: str = Field(min_length=1)
    model: tuple[Annotated[Reply, BeforeValidator(_reply)], ...] = ()
    steps: tuple[Step, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _nothing_after_the_end(self) -> CallScript:
        gone = next((number for number, step in enumerate(self.steps) if step.hang_up), None)
        if gone is not None and any(step.action != "nothing" for step in self.steps[gone + 1 :]):
            raise ValueError(f"steps: the caller has hung up in step {gone + 1}: what comes after it never happens")
        return self


class ScriptFile(_Given):
    agent: str = ""
    config: dict[str, Any] = Field(default_factory=dict)
    calls: tuple[CallScript, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _names_differ(self) -> ScriptFile:
        names = [call.name for call in self.calls]
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise ValueError(f"calls: two are named {twice!r}")
        return self

"""Scenario files: conversations that an agent must get right, as YAML.

A complete example (`desk.test.yaml`, beside the agent's `desk.toml`):

    agent: desk                      # a name, or the path of an agent's TOML; may be left out beside <name>.toml
    config:                          # a piece of voicebridge.toml: laid over the configuration in use
      targets:
        sales: {queue: sales, hours: "mon-fri 09:00-17:00"}
    now: 2026-11-30 10:15            # when the calls take place; a call may say otherwise
    tools:                           # canned tools; what is not named here is the real one
      book: {say: "You are booked.", data: {id: 17}, takes: 2.5, progress: ["I am looking at the calendar."]}
    calls:
      - name: books a service and asks for the price meanwhile
        caller: "+15550142"          # the caller's number
        variables: {customer: Anna}  # what the dialplan tells as VB_DATA_*
        tools:
          lookup: [{fails: timeout}, {data: {status: ready}}]   # the first run fails, the others work
        model: ["It's lovely, isn't it?"]    # what the language model answers, in turn (virtual runs only)
        steps:
          - expect: {says: hello}            # the greeting
          - caller: I'd like to book a full service for tomorrow at three
            expect:
              says: ["december 1st", "1st of december"]   # regular expressions, any of them, in what the agent said
              not_says: sorry
              within_ms: 1500                # from the caller's last voice to the answer's own words
          - wav: yes.wav                     # recorded speech; `caller` tells a virtual run what is said in it
            caller: "yes, please"
            expect: {tool: {name: book, arguments: {date: 2026-12-01}}, silence_ms: 1500}
          - interrupt: wait, how much is that  # said while the agent speaks, `after` seconds into its words
            after: 1.0
          - keys: 2#                         # DTMF
            meanwhile: true                  # not when the agent has finished, but `after` seconds after the last step
          - after: 8                         # nothing is said for so long
            expect: {says: still there}
          - caller: a human please
            expect: {hand_off: sales, ends: transfer}
      - name: hangs up in the middle
        steps:
          - hang_up: true

A step does one thing, `after` so many seconds of waiting, and is over when the agent has answered and finished.
`expect` stands with the step or in one of its own; it judges what the agent did from the beginning of that step to the
beginning of the next step. `config.tools` are settings of real tools; `tools` are canned results.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from voicebridge.conversation.commands import Outcome
from voicebridge.scenario.source import Lines, Place, ScriptError, line_of, read

SUFFIX = ".test.yaml"
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


class _Given(_Strict):
    """What a file says for all of its calls, and a call for itself."""

    now: datetime | None = None
    caller: str = ""
    variables: dict[str, str] = Field(default_factory=dict)
    tools: dict[str, Stubs] = Field(default_factory=dict)
    delays: Delays = Delays()


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


class Script:
    """A file that was read: its calls with what the file says for all of them, and where everything stands."""

    def __init__(self, path: Path, file: ScriptFile, lines: Lines) -> None:
        self.path = path
        self.agent = file.agent
        self.config = file.config
        self.calls = tuple(_with_defaults(call, file) for call in file.calls)
        self._lines = lines

    def at(self, *place: str | int) -> str:
        """`file:line` of a part."""
        return _at(self.path, self._lines, place)

    def line(self, call: int, step: int) -> int:
        return line_of(self._lines, ("calls", call, "steps", step)) or 1

    def wav(self, step: Step) -> Path:
        """Where a step's recording lies; its path is told from the file's folder."""
        assert step.wav is not None
        return self.path.parent / step.wav


def _with_defaults(call: CallScript, file: ScriptFile) -> CallScript:
    given: dict[str, Any] = {
        "variables": {**file.variables, **call.variables},
        "tools": {**file.tools, **call.tools},
    }
    for name in ("now", "caller", "delays"):
        if name not in call.model_fields_set:
            given[name] = getattr(file, name)
    return call.model_copy(update=given)


def load(path: Path) -> Script:
    """Raises ScriptError: every problem of the file on a line of its own."""
    data, lines = read(path)
    if not isinstance(data, dict):
        raise ScriptError(f"{path}: is not a scenario file: it has `calls:` and, mostly, `agent:`")
    try:
        script = Script(path, ScriptFile.model_validate(data), lines)
    except ValidationError as error:
        raise ScriptError("\n".join(_told(path, data, lines, error))) from None
    if missing := list(_missing_recordings(script)):
        raise ScriptError("\n".join(missing))
    return script


def _missing_recordings(script: Script) -> Iterator[str]:
    for number, call in enumerate(script.calls):
        for at, step in enumerate(call.steps):
            if step.wav is not None and not script.wav(step).is_file():
                yield f"{script.at('calls', number, 'steps', at, 'wav')}: wav: there is no file {script.wav(step)}"


_MESSAGES = {"extra_forbidden": "there is no such key", "too_short": "is empty", "missing": "is missing"}


def _told(path: Path, data: Any, lines: Lines, error: ValidationError) -> Iterator[str]:
    problems = error.errors()
    for problem in problems:
        place = problem["loc"]
        inside = (other["loc"] for other in problems if other is not problem)
        if problem["type"] == "too_short" and any(loc[: len(place)] == place for loc in inside):
            continue  # what is not valid is not counted: the fault is the one inside
        message = _MESSAGES.get(problem["type"], problem["msg"].removeprefix("Value error, "))
        yield f"{_at(path, lines, place)}: {_in_words(data, place)}{message}"


def _at(path: Path, lines: Lines, place: Place) -> str:
    line = line_of(lines, place)
    return f"{path}:{line}" if line else str(path)


def _in_words(data: Any, place: Place) -> str:
    """`call "books", step 3: expect.says: ` of a place."""
    said, rest = [], list(place)
    if len(rest) > 1 and rest[0] == "calls" and isinstance(rest[1], int):
        said.append(f"call {_name(data, rest[1])}")
        rest = rest[2:]
        if len(rest) > 1 and rest[0] == "steps":
            said.append(f"step {int(rest[1]) + 1}")
            rest = rest[2:]
    where = ", ".join(said)
    keys = ".".join(str(part) for part in rest if isinstance(part, str))
    return "".join(f"{part}: " for part in (where, keys) if part)


def _name(data: Any, number: int) -> str:
    try:
        return repr(str(data["calls"][number]["name"]))
    except (KeyError, TypeError, IndexError):
        return str(number + 1)

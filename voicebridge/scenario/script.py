"""Scenario files: conversations that an agent must get right, as YAML.

A complete example (`desk.test.yaml`, beside the agent's `desk.toml`):

    agent: desk                      # a name, or the path of an agent's TOML; may be left out beside <name>.toml
    config:                          # a piece of voicebridge.toml: laid over the configuration in use
      targets:
        sales: {queue: sales, hours: "mon-fri 09:00-17:00"}
    now: 2026-11-30 10:15            # when the calls take place; a call may say otherwise
    tools:                           # canned tools; what is not named here is the real one
      book: {say: "You are booked.", data: {id: 17}, takes: 2.5, progress: ["I am looking at the calendar."]}
    voice: en-gb                     # in which voice of the text-to-speech engine live callers speak
    calls:
      - name: books a service and asks for the price meanwhile
        caller: "+15550142"          # the caller's number
        variables: {customer: Anna}  # what the dialplan tells as VB_DATA_*
        tools:
          lookup: [{fails: timeout}, {data: {status: ready}}]   # the first run fails, the others work
        model: ["It's lovely, isn't it?"]    # what the language model answers, in turn
        humans: {sales: declined}        # who takes a warm transfer, and who does not: {state: busy, after: 10}
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

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from voicebridge.scenario.format import CallScript, ScriptFile, Step
from voicebridge.scenario.source import Lines, Place, ScriptError, line_of, read

SUFFIX = ".test.yaml"


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
        "humans": {**file.humans, **call.humans},
    }
    for name in ("now", "caller", "delays", "voice"):
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


_MESSAGES = {
    "extra_forbidden": "there is no such key",
    "invalid_key": "a key is not text: is there a comma that needs quotes around its text?",
    "missing": "is missing",
    "too_short": "is empty",
}


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

"""Scenario files: conversations that an agent must get right, as YAML.

The format is told by an example, `voicebridge/data/scenario.yaml` (`voicebridge test --example`).

A step does one thing, `after` so many seconds of waiting, and is over when the agent has answered and finished.
`expect` stands with the step or in one of its own; it judges what the agent did from the beginning of that step to the
beginning of the next step. `config.tools` are settings of real tools; `tools` are canned results.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from voicebridge.scenario.format import CallScript, ScriptFile, Step
from voicebridge.scenario.source import Lines, Place, ScriptError, line_of, read

SUFFIX = ".test.yaml"
EXAMPLE = Path(str(resources.files("voicebridge"))) / "data" / "scenario.yaml"


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

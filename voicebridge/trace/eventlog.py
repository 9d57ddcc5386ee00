"""A call as a log of what happened to its core: one JSON object a line, enough to replay the call.

The first line is the header (format, agent); each line after it is an event and the commands that followed from it.
The log holds what was said: it belongs into the store, not among the logs.
"""

from __future__ import annotations

import dataclasses
import inspect
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter

from voicebridge.conversation import commands, events
from voicebridge.conversation.agent import AgentSpec

FORMAT = "voicebridge-events-1"


class LogError(Exception):
    """The file is not an event log, or one of another version; the text names the line."""


def _adapters(module: object) -> dict[str, tuple[frozenset[str], TypeAdapter[Any]]]:
    """What a module's dataclasses are called, which fields each has, and how one is made again."""
    return {
        name: (frozenset(field.name for field in dataclasses.fields(value)), TypeAdapter(value))
        for name, value in vars(module).items()
        if inspect.isclass(value) and dataclasses.is_dataclass(value)
    }


_EVENTS = _adapters(events)
_COMMANDS = _adapters(commands)


@dataclass(frozen=True, slots=True)
class Step:
    """One event at `now` (the core's clock, seconds) and what the core wanted done."""

    now: float
    event: events.Event
    commands: tuple[commands.Command, ...]


@dataclass(frozen=True, slots=True)
class Head:
    """What the call's core was made of. `judged`: the sound of turns was judged."""

    agent: AgentSpec
    context_tokens: int
    judged: bool = False


def header(agent: AgentSpec, *, call: str, context_tokens: int, judged: bool = False) -> str:
    made = {"format": FORMAT, "call": call, "context_tokens": context_tokens, "judged": judged}
    return json.dumps(made | {"agent": dataclasses.asdict(agent)})


def line(step: Step, *, masked: bool = False) -> str:
    """`masked`: the caller says or keys a secret: what was said stands as *** (and such a call cannot be replayed)."""
    event, wanted = _encoded(step.event), [_encoded(made) for made in step.commands]
    if masked:
        event, *wanted = (_masked(part) for part in (event, *wanted))
    return json.dumps({"t": step.now, "event": event, "commands": wanted})


def masked_line(text: str) -> str:
    """A line that was written before it was known that it holds a secret."""
    made = json.loads(text)
    return json.dumps(made | {"event": _masked(made["event"]), "commands": _masked(made["commands"])})


SAID = frozenset({"text", "digit", "value", "spoken", "partial", "arguments", "data", "say"})
MASK = "***"


def _masked(part: Any) -> Any:
    """Without what could be a secret: all that anybody said."""
    if isinstance(part, dict):
        return {
            name: MASK if name in SAID and isinstance(value, str) and value else _masked(value)
            for name, value in part.items()
        }
    return [_masked(value) for value in part] if isinstance(part, list | tuple) else part


def read(lines: Iterable[str]) -> tuple[Head, Iterator[Step]]:
    """What the core was made of, and the steps. Raises LogError, also from the iterator."""
    source = iter(enumerate(lines, 1))
    try:
        _, first = next(source)
        head = json.loads(first)
        if head["format"] != FORMAT:
            raise LogError(f"line 1: format {head['format']!r}, this version reads {FORMAT!r}")
        agent = TypeAdapter(AgentSpec).validate_python(head["agent"])
        return Head(agent, int(head["context_tokens"]), head.get("judged", False) is True), _steps(source)
    except (StopIteration, ValueError, KeyError, TypeError) as error:
        raise LogError(f"line 1: not the header of an event log ({error})") from error


def _steps(source: Iterable[tuple[int, str]]) -> Iterator[Step]:
    for number, text in source:
        try:
            made = json.loads(text)
            told = tuple(_decoded(_COMMANDS, item) for item in made["commands"])
            yield Step(float(made["t"]), _decoded(_EVENTS, made["event"]), told)
        except (ValueError, KeyError, TypeError) as error:
            raise LogError(f"line {number}: not an event ({error})") from error


def _encoded(value: Any) -> dict[str, Any]:
    fields = dataclasses.asdict(value)
    return {"is": type(value).__name__, **{name: "inf" if item == math.inf else item for name, item in fields.items()}}


def _decoded(adapters: Mapping[str, tuple[frozenset[str], TypeAdapter[Any]]], made: dict[str, Any]) -> Any:
    fields = dict(made)
    known, adapter = adapters[fields.pop("is")]
    if more := fields.keys() - known:
        raise ValueError(f"unknown: {', '.join(sorted(more))}")
    return adapter.validate_python(fields)


def differences(steps: Sequence[Step], replayed: Sequence[Sequence[commands.Command]]) -> list[str]:
    """Where a replay wanted something else than the recording, in words; empty when it is the same call."""
    found = []
    for number, (step, again) in enumerate(zip(steps, replayed, strict=True), 1):
        if tuple(again) != step.commands:
            was, now = list(step.commands), list(again)
            found.append(f"step {number} at {step.now:.3f} ({type(step.event).__name__}): was {was}, is {now}")
    return found

"""A call as a log of what happened to its core: one JSON object a line, enough to replay the call.

The first line is the header (format, agent); each line after it is an event and the commands that followed from it.
The log holds what was said: it belongs into the store, not among the logs. Numbers, cards and addresses are hidden in
it as everywhere (`keeping`). Such a call can be replayed; where a number was hidden, clauses may be cut at another
word, and rules and slots are as they were then (their events say so), not as the hidden words would have them.
"""

from __future__ import annotations

import dataclasses
import inspect
import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter

from voicebridge.conversation import commands, events
from voicebridge.conversation.agent import AgentSpec
from voicebridge.operating import Kind
from voicebridge.trace.redaction import ANSWER, LEAST, redact, redact_data

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
    """What the call's core was made of. `judged`: the sound of turns was judged; `recorded`: it was to be recorded."""

    agent: AgentSpec
    context_tokens: int
    judged: bool = False
    recorded: bool = False


def header(agent: AgentSpec, *, call: str, context_tokens: int, judged: bool = False, recorded: bool = False) -> str:
    made = {"format": FORMAT, "call": call, "context_tokens": context_tokens, "judged": judged}
    made |= {"recorded": recorded}
    return json.dumps(made | {"agent": dataclasses.asdict(agent)})


def line(
    step: Step,
    *,
    masked: bool = False,
    kinds: tuple[Kind, ...] = (),
    least: int = LEAST,
    model_text: str | None = None,
    keys: bool = False,
) -> str:
    """`masked`: the caller says or keys a secret: what was said stands as *** (and such a call cannot be replayed).

    `kinds` are taken out of what was said (`redaction`), numbers from `least` digits on. `model_text` stands for a
    piece of the model's text. `keys`: what the caller keys now is a number: each of its digits stands as x.
    """
    event, wanted = _encoded(step.event), [_encoded(made) for made in step.commands]
    if masked:
        event, *wanted = (_masked(part) for part in (event, *wanted))
    elif kinds:
        if model_text is not None:
            event["text"] = model_text
        event, *wanted = (_hidden(_keyed(part, keys), kinds, least) for part in (event, *wanted))
    return json.dumps({"t": step.now, "event": event, "commands": wanted})


SAID = frozenset({"text", "digit", "digits", "value", "spoken", "partial", "arguments", "data", "say", "heard"})
TOLD = frozenset({"value", "spoken", "partial", "arguments"})
"""What a caller told a form: shorter numbers are hidden there."""
MASK = "***"
KEY = "x"
MARKS = (MASK, "[card]", "[number]", "[email]")


def _masked(part: Any) -> Any:
    """Without what could be a secret: all that anybody said."""
    return _changed(part, lambda name, text: MASK if text else text)


def _hidden(part: Any, kinds: tuple[Kind, ...], least: int) -> Any:
    def hide(name: str, text: str) -> str:
        if name == "digit":  # one key: `_keyed` knows whether it is a number's
            return text
        digits = min(least, ANSWER) if name in TOLD else least

        def redacted(value: str) -> str:
            return redact(value, kinds, least=digits)

        if name in ("arguments", "data"):
            try:
                return json.dumps(redact_data(json.loads(text), redacted))
            except ValueError:
                pass  # no JSON: words
        return redacted(text)

    return _changed(part, hide)


def _keyed(part: dict[str, Any], keys: bool) -> dict[str, Any]:
    """The caller's keys without what they were where they are `keys` of a number (# and * end them and stay), ours
    without that always."""
    if part["is"] == "SendDtmf":
        return part | {"digits": MASK}
    if not keys:
        return part
    if part["is"] == "Dtmf":
        return part | {"digit": KEY if part["digit"].isdigit() else part["digit"]}
    return part | {"text": KEY * len(part["text"])} if part["is"] == "Parse" and part["keys"] else part


def _changed(part: Any, change: Callable[[str, str], str]) -> Any:
    """With `change(name, text)` in place of everything that somebody said."""
    if isinstance(part, dict):
        return {
            name: change(name, value) if name in SAID and isinstance(value, str) else _changed(value, change)
            for name, value in part.items()
        }
    return [_changed(value, change) for value in part] if isinstance(part, list | tuple) else part


def read(lines: Iterable[str]) -> tuple[Head, Iterator[Step]]:
    """What the core was made of, and the steps. Raises LogError, also from the iterator."""
    source = iter(enumerate(lines, 1))
    try:
        _, first = next(source)
        head = json.loads(first)
        if head["format"] != FORMAT:
            raise LogError(f"line 1: format {head['format']!r}, this version reads {FORMAT!r}")
        agent = TypeAdapter(AgentSpec).validate_python(head["agent"])
        judged, recorded = (head.get(name, False) is True for name in ("judged", "recorded"))
        return Head(agent, int(head["context_tokens"]), judged, recorded), _steps(source)
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
    """Where a replay wanted something else than the recording, in words; empty when it is the same call.

    A text of which something was hidden may be any.
    """
    found = []
    for number, (step, again) in enumerate(zip(steps, replayed, strict=True), 1):
        was_told, is_told = ([_encoded(made) for made in told] for told in (step.commands, again))
        if not _same(was_told, is_told):
            was, now = list(step.commands), list(again)
            found.append(f"step {number} at {step.now:.3f} ({type(step.event).__name__}): was {was}, is {now}")
    return found


def _same(was: Any, now: Any) -> bool:
    if isinstance(was, dict) and isinstance(now, dict):
        return was.keys() == now.keys() and all(_same(was[name], now[name]) for name in was)
    if isinstance(was, list | tuple) and isinstance(now, list | tuple):
        return len(was) == len(now) and all(map(_same, was, now))
    return was == now or (isinstance(was, str) and any(mark in was for mark in MARKS))

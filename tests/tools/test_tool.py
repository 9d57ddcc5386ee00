"""Making tools of functions: what the docstring and the hints say, and what is refused with function and parameter."""

from __future__ import annotations

import functools
import json
from datetime import date
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field

from voicebridge.conversation.toolspec import ToolSpec
from voicebridge.tools import Parameter, Tool, ToolContext, ToolDefinitionError, tool
from voicebridge.tools.tool import documented


class Hidden:
    """A type that has no schema."""


class Loop(BaseModel):
    inner: Loop | None = None


def book(ctx: ToolContext, day: date, people: Annotated[int, Field(ge=1, le=8)] = 2, note: str | None = None) -> str:
    """Book a table
    for a caller.

    Goes to the system of record.
    day: the day on which
        the caller comes
    people: how many come
    unknown: is not a parameter
    """
    return "booked"


def test_the_docstring_and_the_hints_make_the_spec():
    made = tool(
        deadline_s=3, consequential=True, confirm="A table on {day}?", cancellable=True, fillers=("I book that.",),
        failed="No table.", alternative="form message",
    )(book)  # fmt: skip
    schema = json.loads(made.spec().schema)
    assert made.spec() == ToolSpec(
        "book", "Book a table for a caller.", made.schema, True, "A table on {day}?", True, ("I book that.",),
        "No table.", "form message",
    )  # fmt: skip
    assert schema == {
        "type": "object",
        "properties": {
            "day": {"type": "string", "format": "date", "description": "the day on which the caller comes"},
            "people": {"type": "integer", "minimum": 1, "maximum": 8, "default": 2, "description": "how many come"},
            "note": {"type": "string"},
        },
        "required": ["day"],
    }
    assert made.takes_context
    assert made.schema == json.dumps(schema, separators=(",", ":"))


def test_without_options_the_decorator_stands_alone():
    @tool
    async def ping() -> None: ...

    assert isinstance(ping, Tool)
    assert (ping.name, ping.description, ping.shape, ping.takes_context) == ("ping", "ping", "async", False)
    assert (ping.deadline_s, ping.idempotent, ping.retries, ping.cancellable, ping.on_hangup) == (
        5, False, 0, False, "cancel",
    )  # fmt: skip


def test_the_three_shapes_are_told_apart():
    async def waits() -> None: ...
    async def streams():
        yield "a"

    class Box:
        async def method(self, x: int) -> None: ...

    shapes = [tool(function).shape for function in (waits, streams, book, Box().method)]
    assert shapes == ["async", "stream", "thread", "async"]
    assert tool(name="part")(functools.partial(book, note="x")).shape == "thread"


def test_a_method_s_self_is_no_parameter():
    class Box:
        async def method(self, x: int) -> None: ...

    assert list(json.loads(tool(Box().method).schema)["properties"]) == ["x"]


@pytest.mark.parametrize("name", ["schema", "copy", "json", "model_config", "self_", "a0", "class_", "validate"])
def test_a_parameter_may_have_any_name(name):
    made = Tool.of(lambda **given: given, [Parameter(name, str)], name="any")
    assert made.parse(json.dumps({name: "x"})) == {name: "x"}


def no_hint(day): ...
def starred(*days: date) -> None: ...
def keyworded(**days: date) -> None: ...
def positional(day: date, /) -> None: ...
def hidden(what: Hidden) -> None: ...
def nowhere(what: Nowhere) -> None: ...  # type: ignore[name-defined]  # noqa: F821
def late(day: date, ctx: ToolContext) -> None: ...
def loop(tree: Loop) -> None: ...


@pytest.mark.parametrize(
    ("function", "parameter", "why"),
    [
        (no_hint, "day", "no type hint"),
        (starred, "days", "cannot be in a schema"),
        (keyworded, "days", "cannot be in a schema"),
        (positional, "day", "cannot be in a schema"),
        (hidden, "what", "no schema"),
        (nowhere, "what", "cannot be found"),
        (late, "ctx", "must be the first"),
    ],
)
def test_a_parameter_that_cannot_be_is_named_with_its_function(function, parameter, why):
    with pytest.raises(ToolDefinitionError, match=f"{function.__name__}.*{parameter}.*{why}"):
        tool(function)


def test_a_type_that_contains_itself_is_refused():
    with pytest.raises(ToolDefinitionError, match="loop.*contains itself"):
        tool(loop)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"retries": 2}, "idempotent"),
        ({"deadline_s": 0}, "deadline_s"),
        ({"deadline_s": 1e6}, "deadline_s"),
        ({"on_hangup": "maybe"}, "on_hangup"),
        ({"alternative": "call 0900"}, "alternative"),
        ({"confirm": "At {time}?"}, "time"),
        ({"name": "Book it"}, "lower-case"),
        ({"fillers": "One moment."}, "fillers"),
        ({"model_bytes": 10**9}, "model_bytes"),
        ({"colour": "red"}, "colour"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else None,
)
def test_an_option_that_cannot_be_is_named_with_the_function(options: dict[str, Any], why):
    with pytest.raises(ToolDefinitionError, match=rf"(?s)book.*{why}"):
        tool(**options)(book)


def test_a_plain_generator_and_what_is_no_function_are_refused():
    def generator():
        yield 1

    with pytest.raises(ToolDefinitionError, match="async def"):
        tool(generator)
    with pytest.raises(ToolDefinitionError, match="not of a int"):
        tool(3)  # type: ignore[call-overload]


def test_choices_and_nested_models_are_put_in_place():
    class Address(BaseModel):
        title: str
        kind: Literal["home", "work"] = "home"

    made = Tool.of(lambda **given: given, [Parameter("to", Address), Parameter("days", list[date])], name="send")
    assert json.loads(made.schema)["properties"]["to"] == {
        "type": "object",
        "properties": {
            "title": {"type": "string"},
            "kind": {"type": "string", "enum": ["home", "work"], "default": "home"},
        },
        "required": ["title"],
    }  # fmt: skip
    assert "$ref" not in made.schema
    with pytest.raises(Exception, match="days"):
        made.parse('{"to":{"title":"x"},"days":["tomorrow"]}')


def test_a_docstring_is_read_by_its_form():
    first, about = documented("Do it.\nNow.\n\nnot a line of it\nwhen: the day\n  and hour\nwho: him\n\nmore: text")
    assert first == "Do it. Now."
    assert about == {"when": "the day and hour", "who": "him", "more": "text"}
    assert documented("") == ("", {})

"""The grammar of tools: numbers by their digits here, whole calls by the real llama.cpp."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from datetime import date, time
from enum import Enum
from typing import Annotated, Any, Literal

import pytest
import pytest_asyncio
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field, TypeAdapter

from voicebridge.conversation.commands import ChatMessage
from voicebridge.conversation.toolspec import ToolSpec
from voicebridge.engines.chat_http import HttpTrouble
from voicebridge.engines.grammar import FORMATS, MAX_STRING, REST, _integer, _number, decision_grammar, literal
from voicebridge.engines.llama_server import ENGINE, LlamaServer


class Kind(Enum):
    CITY = "city"
    MOUNTAIN = "mountain bike"


class Address(BaseModel):
    street: Annotated[str, Field(max_length=20)]
    number: Annotated[int, Field(ge=1, le=999)]


class Booking(BaseModel):
    day: date
    at: time | None = None
    people: Annotated[int, Field(ge=1, le=250)]
    name: Annotated[str, Field(min_length=2, max_length=20)]


class Rental(BaseModel):
    kind: Kind
    extras: Annotated[list[Literal["helmet", "lock", 'a "good" \\ pump']], Field(max_length=3)] = []  # noqa: RUF012
    address: Address
    deposit: Annotated[float, Field(ge=-5, lt=50)] = 0
    insured: bool


class Odd(BaseModel):
    note: str = ""
    grade: Annotated[int, Field(ge=-120, le=-3)] | None = None
    shares: Annotated[dict[str, int], Field(max_length=8)] = {}  # noqa: RUF012
    what: Literal["größer", "ñ\n"] = "größer"


class Nothing(BaseModel):
    pass


MODELS: tuple[type[BaseModel], ...] = (Booking, Rental, Odd, Nothing)


def spec(model: type[BaseModel]) -> ToolSpec:
    return ToolSpec(model.__name__.lower(), f"Make a {model.__name__}.", json.dumps(model.model_json_schema()))


def as_regex(gbnf: str) -> re.Pattern[str]:
    """GBNF without rules' names, strings or classes that differ, as a regular expression."""
    return re.compile(re.sub(r'"([^"]*)"', lambda m: re.escape(m[1]), gbnf).replace(" ", ""))


# ---- numbers


@given(st.integers(-12_000, 12_000), st.integers(0, 3000), st.integers(-15_000, 15_000))
def test_integers_of_a_range_and_no_others(low: int, width: int, tried: int) -> None:
    made = as_regex(_integer({"minimum": low, "maximum": low + width}))
    for number in (tried, low, low + width, low - 1, low + width + 1, low + width // 2):
        assert bool(made.fullmatch(str(number))) == (low <= number <= low + width)
    assert not made.fullmatch("-0")
    assert not made.fullmatch("007")


@pytest.mark.parametrize(
    ("schema", "fits", "not_"),
    [
        ({}, ["0", "-5", "12345678"], ["1.5", "", "-", "00", "1234567890"]),
        ({"minimum": 0}, ["0", "7", "99999999"], ["-1"]),
        ({"exclusiveMinimum": 0}, ["1", "10"], ["0", "-3"]),
        ({"maximum": 9}, ["9", "-100", "0"], ["10"]),
        ({"exclusiveMaximum": 10, "minimum": 9}, ["9"], ["10", "8"]),
        ({"minimum": 5, "maximum": 1}, ["3"], ["x"]),
    ],
    ids=range(6),
)
def test_integers_with_half_a_range_or_none(schema: dict[str, Any], fits: list[str], not_: list[str]) -> None:
    made = as_regex(_integer(schema))
    assert [text for text in fits if not made.fullmatch(text)] == []
    assert [text for text in not_ if made.fullmatch(text)] == []


@given(st.integers(-50, 50), st.integers(0, 90), st.sampled_from(["", ".5", ".0001", ".9999"]), st.integers(-60, 150))
def test_numbers_with_decimals_keep_to_their_range(low: int, width: int, decimals: str, whole: int) -> None:
    made = as_regex(_number({"minimum": low, "maximum": low + width}))
    text = f"{whole}{decimals}"
    if made.fullmatch(text):
        assert low <= float(text) <= low + width
    assert made.fullmatch(str(low))


@pytest.mark.parametrize(
    ("name", "fits", "not_"),
    [
        ("date", ["2026-12-31", "2028-02-28", "1999-04-30"], ["2026-02-29", "2026-04-31", "2026-13-01", "2026-1-1"]),
        ("time", ["00:00", "23:59", "15:30"], ["24:00", "7:00", "12:60"]),
        ("date-time", ["2026-12-01T15:00"], ["2026-12-01 15:00"]),
        ("email", ["ann@example.com", "a.b-c@x1.co.uk"], ["ann@", "@x.de", ".a@x.de", "a..b@x.de"]),
        ("uuid", ["0f8fad5b-d9cb-469f-a165-70867728950e"], ["0f8fad5b"]),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_formats(name: str, fits: list[str], not_: list[str]) -> None:
    made = as_regex(FORMATS[name])
    assert [text for text in fits if not made.fullmatch(text)] == []
    assert [text for text in not_ if made.fullmatch(text)] == []


# ---- the text of a grammar


def test_literals_are_escaped() -> None:
    assert literal('a"b\\c\nd\u2028') == '"a\\"b\\\\c\\u000Ad\\u2028"'


def test_strings_without_a_length_are_bounded() -> None:
    tool = ToolSpec("x", "", '{"properties": {"a": {"type": "string"}, "b": {"type": "string", "maxLength": 5000}}}')
    assert decision_grammar((tool,)).count(f"{{0,{MAX_STRING}}}") == 1  # both by the same rule


@pytest.mark.parametrize("schema", ["[]", "7", "{", '"words"'])
def test_a_schema_that_is_none(schema: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - json's and ours
        decision_grammar((ToolSpec("x", "", schema),))


# ---- by llama.cpp itself

pytest_models = pytest.mark.models
loop = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def engine() -> AsyncIterator[LlamaServer]:
    made = ENGINE.create({"slots": 1, "context": 1024, "threads": 1, "nice": 0})
    await made.start()
    assert await made.host.worker.wait_ready(60)
    yield made
    await made.stop()


async def written(engine: LlamaServer, grammar: str, wish: str, *, seed: int, tokens: int = 700) -> str:
    """By a model that is made to ramble."""
    stream = engine.host.http.chat(
        [ChatMessage("user", wish)],
        **{"grammar": grammar, "temperature": 1.6, "top_k": 0, "top_p": 1.0, "min_p": 0.0, "seed": seed},
        max_tokens=tokens, cache_prompt=True, id_slot=0,
    )  # fmt: skip
    return "".join([piece async for piece in stream])


@pytest_models
@loop
@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
async def test_every_call_parses_and_validates(engine: LlamaServer, model: type[BaseModel]) -> None:
    grammar = decision_grammar((spec(model),))
    calls_only = re.sub(r'root ::= .*? \| ("call )', r"root ::= \1", grammar)
    assert calls_only != grammar
    for seed in range(5):
        text = await written(engine, calls_only, "Book it for me.", seed=seed)
        assert text.startswith("call {")
        made = json.loads(text.removeprefix("call "))
        assert made["name"] == spec(model).name
        TypeAdapter(model).validate_json(json.dumps(made["arguments"]), strict=False)
        assert set(made["arguments"]) >= set(model.model_json_schema().get("required", ()))


@pytest_models
@loop
async def test_either_way_of_all_tools_at_once_can_be_taken(engine: LlamaServer) -> None:
    grammar = decision_grammar(tuple(spec(model) for model in MODELS))
    for seed in range(4):
        text = await written(engine, grammar, "Hello", seed=seed, tokens=25)
        assert re.match(r"say [^\s{}<>]|call \{", text)
        assert "\n" not in text
    said = await written(engine, decision_grammar(()), "Hello", seed=1, tokens=12)
    assert said.startswith("say ")
    assert not re.search(r"[{}<>\n]", await written(engine, REST, "Hello", seed=2, tokens=20))


@pytest_models
@loop
async def test_llama_cpp_refuses_what_is_no_grammar(engine: LlamaServer) -> None:
    """Or else the tests above would prove nothing."""
    with pytest.raises(HttpTrouble):
        await written(engine, "root ::= (", "Hello", seed=1, tokens=5)


@pytest_models
@loop
@pytest.mark.parametrize(
    "schema",
    [
        {},
        {"properties": {"x": {}}},
        {"properties": {"x": {"$ref": "#/$defs/none"}}, "required": ["x"]},
        {"properties": {"x": {"$ref": "#"}}, "required": ["x"]},  # without an end
        {"properties": {"x": {"type": ["integer", "null"]}, "y": {"oneOf": [{"const": 1}, {"enum": [True, "z"]}]}}},
        {"properties": {"x": {"allOf": [{"type": "string"}]}, "y": {"type": "array", "minItems": 2, "maxItems": 2}}},
        {"properties": {"x": {"type": "array", "maxItems": 0}, 'y"\\': {"type": "string", "format": "uri"}}},
        {"properties": {"x": {"type": "object", "additionalProperties": {"type": "boolean"}}}, "required": ["x"]},
    ],
    ids=range(8),
)
async def test_odd_schemas_make_grammars_that_are_taken(engine: LlamaServer, schema: dict[str, Any]) -> None:
    grammar = decision_grammar((ToolSpec("odd", "", json.dumps(schema)),))
    calls_only = re.sub(r'root ::= .*? \| ("call )', r"root ::= \1", grammar)
    text = await written(engine, calls_only, "Go.", seed=3)
    assert set(json.loads(text.removeprefix("call "))["arguments"]) >= set(schema.get("required", ()))

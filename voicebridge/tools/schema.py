"""From a tool's parameters to a JSON schema, and from JSON text to the parameters' values."""

from __future__ import annotations

import json
import types
import typing
from dataclasses import dataclass
from datetime import date, datetime, time
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PydanticUserError,
    TypeAdapter,
    ValidationError,
    create_model,
)
from pydantic_core import SchemaError as CoreSchemaError

REQUIRED: Any = ...
_KEPT = frozenset({
    "type", "enum", "const", "format", "pattern", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum",
    "multipleOf", "minLength", "maxLength", "minItems", "maxItems", "uniqueItems", "description", "default",
})  # fmt: skip


class SchemaError(Exception):
    """A parameter of which no schema can be made; the text names it."""


class BadArguments(Exception):
    """Arguments that do not fit the schema. `where` are the parameters' names; no value is told."""

    def __init__(self, problems: list[tuple[str, str]]) -> None:
        super().__init__("; ".join(f"{where}: {what}" for where, what in problems))
        self.problems = problems
        self.where = [where for where, _ in problems]

    def told(self) -> str:
        """For the model: JSON text."""
        return json.dumps({"invalid_arguments": [f"{where}: {what}" for where, what in self.problems[:8]]})


@dataclass(frozen=True, slots=True)
class Parameter:
    """`hint` is a type as pydantic knows them; without a `default` it is required."""

    name: str
    hint: Any
    default: Any = REQUIRED
    about: str = ""


def arguments_model(name: str, parameters: list[Parameter]) -> type[BaseModel]:
    """Its fields are called by number and known by alias, so that no parameter's name can clash with pydantic's."""
    fields: dict[str, Any] = {}
    for number, parameter in enumerate(parameters):
        hint = _iso_only(parameter.hint)
        try:
            TypeAdapter(hint).json_schema()
        except (PydanticUserError, CoreSchemaError) as error:
            reason = str(error).splitlines()[0]
            raise SchemaError(f"parameter {parameter.name!r}: no schema of {parameter.hint!r}: {reason}") from None
        about: Any = {"description": parameter.about} if parameter.about else {}
        fields[f"a{number}"] = (hint, Field(parameter.default, alias=parameter.name, **about))
    config = ConfigDict(extra="forbid", coerce_numbers_to_str=True, frozen=True)
    return create_model(name, __config__=config, **fields)


def parse(model: type[BaseModel], text: str, most_bytes: int) -> dict[str, Any]:
    """Values by parameter name, of those that were given. Raises BadArguments."""
    if len(text) > most_bytes:
        raise BadArguments([("arguments", f"more than {most_bytes} bytes")])
    try:
        made = model.model_validate_json(text.encode("utf-8", "replace") if text.strip() else b"{}")
    except ValidationError as error:
        raise BadArguments([
            (".".join(str(part) for part in problem["loc"])[:80] or "arguments", problem["msg"][:200])
            for problem in error.errors(include_url=False, include_input=False)
        ]) from None  # fmt: skip
    except RecursionError:
        raise BadArguments([("arguments", "nested too deeply")]) from None
    fields = type(made).model_fields
    return {str(fields[name].alias): getattr(made, name) for name in made.model_fields_set}


def _iso_only(hint: Any) -> Any:
    """Dates and times as ISO text only: pydantic would take "20261201" for seconds since 1970."""
    if hint in (date, time, datetime):
        return Annotated[hint, BeforeValidator(_iso)]
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        return Annotated[(_iso_only(inner[0]), *inner[1:])]
    if origin in (typing.Union, types.UnionType):
        return typing.Union[tuple(_iso_only(part) for part in inner)]  # noqa: UP007
    if origin in (list, tuple, set, frozenset):
        return origin[tuple(_iso_only(part) for part in inner)]
    return hint


def _iso(value: Any) -> Any:
    if isinstance(value, str) and not ("-" in value or ":" in value):
        raise ValueError("write dates as YYYY-MM-DD and times as HH:MM")
    if isinstance(value, int | float):
        raise ValueError("write dates as YYYY-MM-DD and times as HH:MM")  # noqa: TRY004 - pydantic's way to say it
    return value


def compact(model: type[BaseModel]) -> str:
    """The schema as a model needs it: an object with `properties` and `required`, references put in place."""
    full = model.model_json_schema(by_alias=True)
    kept = _compact(full, full.get("$defs", {}), ())
    return json.dumps(
        {"type": "object", "properties": kept.get("properties", {}), "required": kept.get("required", [])},
        ensure_ascii=False, separators=(",", ":"), default=str,
    )  # fmt: skip


def _compact(node: dict[str, Any], defined: dict[str, Any], inside: tuple[str, ...]) -> dict[str, Any]:
    if "$ref" in node:
        name = node["$ref"].rpartition("/")[2]
        if name in inside:
            raise SchemaError(f"{name} contains itself: a tool's arguments must have an end")
        return _compact({**defined[name], **{k: v for k, v in node.items() if k != "$ref"}}, defined, (*inside, name))
    kept = {key: value for key, value in node.items() if key in _KEPT and (key, value) != ("default", None)}
    for key in ("anyOf", "oneOf"):
        if key in node:
            options = [_compact(option, defined, inside) for option in node[key]]
            if "default" in node:  # an optional parameter is left out, not null
                options = [option for option in options if option.get("type") != "null"]
            kept = {**options[0], **kept} if len(options) == 1 else {**kept, "anyOf": options}
    for key in ("items", "additionalProperties"):
        if isinstance(node.get(key), dict):
            kept[key] = _compact(node[key], defined, inside)
    if "prefixItems" in node:
        kept["prefixItems"] = [_compact(item, defined, inside) for item in node["prefixItems"]]
    if "properties" in node:
        kept["properties"] = {name: _compact(field, defined, inside) for name, field in node["properties"].items()}
        kept["required"] = node.get("required", [])
    return kept

"""`[tools.sql]` of voicebridge.toml.

    [tools.sql]
    database = "/var/lib/shop/workshop.db"     # or sqlite:///..., or postgresql://user@host/name
    password_file = "/etc/voicebridge/db.pw"   # PostgreSQL only; or password_env = "SHOP_DB_PASSWORD"
    read_only = false                          # true unless you say otherwise

    [[tools.sql.queries]]
    name = "find_repair"
    description = "Tell how far a repair is."
    sql = "SELECT bike, status, ready_on FROM repairs WHERE number = :number"
    arguments = { number = { description = "the four digits on the ticket", pattern = "[0-9]{4}" } }
    say = "Your {bike} is {status}."
    empty = "I can't find a repair with that number."
"""

from __future__ import annotations

import re
from datetime import date, time
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from voicebridge.tools import Parameter

SAMPLES: Final[dict[str, Any]] = {
    "string": "", "integer": 0, "number": 0.0, "boolean": False, "date": date(2026, 1, 1), "time": time(12),
}  # fmt: skip
"""A value of each type, for checking a statement."""
_TYPES: Final = {name: type(value) for name, value in SAMPLES.items()}

Say = str | tuple[str, ...]
Name = Annotated[str, Field(pattern=r"^[A-Za-z_]\w*$")]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Argument(_Strict):
    """One of a tool's parameters, `:name` in its statement; a plain text in its place is a string's `description`.

    `pattern` (the whole has to fit), `enum` and `max_length` (characters) bound a string. One that is `optional` and
    not given is NULL.
    """

    type: Literal["string", "integer", "number", "boolean", "date", "time"] = "string"
    description: str = ""
    enum: tuple[str, ...] = ()
    pattern: str = ""
    max_length: int = Field(default=200, ge=1, le=4000)
    optional: bool = False

    @model_validator(mode="after")
    def _fits(self) -> Argument:
        if self.type != "string" and self.model_fields_set & {"enum", "pattern", "max_length"}:
            raise ValueError(f"enum, pattern and max_length are for strings, and this is of the type {self.type}")
        try:
            re.compile(self.pattern)
        except re.error as error:
            raise ValueError(f"pattern: {self.pattern!r} is not a regular expression: {error}") from None
        return self

    def parameter(self, name: str) -> Parameter:
        hint: Any = _TYPES[self.type]
        if self.enum:
            hint = Literal[self.enum]
        elif self.type == "string":
            limits: dict[str, Any] = {"pattern": f"^(?:{self.pattern})$"} if self.pattern else {}
            hint = Annotated[str, Field(max_length=self.max_length, **limits)]
        if self.optional:
            return Parameter(name, hint | None, None, self.description)
        return Parameter(name, hint, about=self.description)

    @property
    def sample(self) -> Any:
        return self.enum[0] if self.enum else SAMPLES[self.type]


class Words(_Strict):
    """What a tool says; an agent's `tool_settings` may have its own.

    `say`: one row in words, with `{column}` and `{argument}`. A list holds several wordings: the first whose fields are
    all there (not NULL) is said. A table has one for each value of the column `say_by`, and `other` for the rest.
    `empty`: what is said when nothing was found, or there was nothing to change. `conflict`: what is said when a rule
    of the database's (UNIQUE, CHECK, a foreign key, a trigger) does not allow it; a table has one for each constraint's
    name (or what a trigger's RAISE says), and `other` for the rest.
    """

    say: Say | dict[str, Say] = ""
    say_by: str = ""
    empty: str = ""
    conflict: str | dict[str, str] = ""

    @model_validator(mode="after")
    def _whole(self) -> Words:
        if isinstance(self.say, dict) != bool(self.say_by):
            raise ValueError("say_by names the column whose values are the keys of the table `say`: both or neither")
        return self

    def wordings(self) -> tuple[str, ...]:
        """Every wording of `say`."""
        tables = self.say.values() if isinstance(self.say, dict) else (self.say,)
        return tuple(text for said in tables for text in ((said,) if isinstance(said, str) else said))


class Query(Words):
    """One statement as a tool.

    `write`: it changes something. `rows`: the result is a list of rows instead of the first one's columns; the first
    `most_said` of them are said. `max_rows`: so many are given at most, and a write that changes more is undone.
    `returning`: columns of what was written. `consequential` (the caller confirms aloud first; writes are, unless said
    otherwise), `confirm`, `fillers`, `failed`, `alternative` and `deadline_s` are as for every tool. `idempotent`: a
    write may be tried a second time, because it makes use of `:voicebridge_key`.
    """

    name: str
    sql: str
    description: str = ""
    arguments: dict[Name, Argument | str] = Field(default_factory=dict)
    write: bool = False
    rows: bool = False
    most_said: int = Field(default=3, ge=1, le=10)
    max_rows: int = Field(default=10, ge=1, le=200)
    max_bytes: int = Field(default=8_192, ge=64, le=262_144)
    returning: tuple[Name, ...] = ()
    consequential: bool | None = None
    confirm: str = ""
    fillers: tuple[str, ...] = ()
    failed: str = ""
    alternative: str = ""
    deadline_s: float = Field(default=4.0, gt=0.1, le=120)
    idempotent: bool = False

    @model_validator(mode="after")
    def _fits(self) -> Query:
        if self.returning and not self.write:
            raise ValueError('returning: only of a query with write = true; a SELECT names its columns itself')
        if self.rows and self.write:
            raise ValueError("rows: a write gives the one row that it wrote")
        return self

    def argument(self, name: str) -> Argument:
        given = self.arguments[name]
        return Argument(description=given) if isinstance(given, str) else given


class SqlSettings(_Strict):
    """`database` may hold `{env:NAME}`."""

    database: str
    password_env: str = ""
    password_file: Path | None = None
    read_only: bool = True
    queries: tuple[Query, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _fits(self) -> SqlSettings:
        names = [query.name for query in self.queries]
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise ValueError(f"queries: two are called {twice!r}")
        writing = [query.name for query in self.queries if query.write]
        if writing and self.read_only:
            raise ValueError(f"queries: {writing[0]} is a write; set read_only = false if it shall be one")
        if self.password_env and self.password_file:
            raise ValueError("password_env and password_file are two passwords: name one")
        return self

"""http_request: tools that ask a web service, one for each table in voicebridge.toml.

    [tools.http_request.order_status]
    description = "Tell how far an order is."
    url = "https://shop.example/api/orders/{order}"
    arguments = { order = { about = "the order's number", pattern = "[0-9]{4,8}" } }
    headers = { Authorization = "Bearer {env:SHOP_TOKEN}" }
    result = { state = "/order/state", day = "/order/delivery/day" }
    say = "Your order is {state}."
    not_found = "I can't find an order of that number."

Where a request goes is fixed by the configuration: scheme and host hold no placeholder, an argument fills at most one
segment of the path (no slash, no dots alone), everything is percent-encoded, redirects are not followed. `result` holds
JSON pointers. Methods other than GET count as consequential (the caller confirms aloud) unless said otherwise, and
carry the run's key as `Idempotency-Key`.
"""

from __future__ import annotations

import asyncio
import json
import re
import ssl
from collections.abc import Mapping, Sequence
from datetime import date, time
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal

import httpx
import jsonpointer
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from voicebridge.tools.address import Address, escaped
from voicebridge.tools.context import SetupError, ToolContext, ToolError, ToolReply
from voicebridge.tools.document import Document
from voicebridge.tools.results import BadResult, TooLarge, one_line
from voicebridge.tools.schema import REQUIRED, Parameter
from voicebridge.tools.template import parse, spelled, values_of
from voicebridge.tools.tool import Tool, ToolDefinitionError

MOST_BYTES = 262_144
_TYPES = {"string": str, "integer": int, "number": float, "boolean": bool, "date": date, "time": time}


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Argument(_Strict):
    """One of the tool's parameters; a plain text in its place is a required string's `about`."""

    about: str = ""
    type: Literal["string", "integer", "number", "boolean", "date", "time"] = "string"
    choices: tuple[str, ...] = ()
    pattern: str = ""
    optional: bool = False
    most: int = Field(default=500, ge=1)
    """A string's longest length, in characters."""

    def parameter(self, name: str) -> Parameter:
        hint: Any = _TYPES[self.type]
        if self.choices:
            hint = Literal[self.choices]
        elif self.type == "string":
            limits: dict[str, Any] = {"pattern": f"^(?:{self.pattern})$"} if self.pattern else {}
            hint = Annotated[str, Field(max_length=self.most, **limits)]
        return Parameter(name, hint | None if self.optional else hint, None if self.optional else REQUIRED, self.about)


class RequestSettings(_Strict):
    """One tool; what is not explained above is as in `tool.Tool`."""

    url: str
    description: str = ""
    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"] = "GET"
    arguments: dict[str, Argument | str] = Field(default_factory=dict)
    query: dict[str, str] = Field(default_factory=dict)
    headers: dict[str, str] = Field(default_factory=dict)
    body: Any = None
    result: str | dict[str, str] = ""
    say: str = ""
    not_found: str = ""
    timeout_s: float = Field(default=4.0, gt=0, le=120)
    ca_file: Path | None = None
    idempotent: bool | None = None
    retries: int | None = None
    consequential: bool | None = None
    cancellable: bool = False
    on_hangup: Literal["cancel", "complete"] | None = None
    confirm: str = ""
    fillers: tuple[str, ...] = ()
    failed: str = ""
    alternative: str = ""


class Request:
    """One configured tool."""

    def __init__(self, settings: RequestSettings) -> None:
        """Raises SetupError."""
        self._settings = settings
        self._address = Address.of(settings.url)
        self._query = {key: parse(value, f"query.{key}") for key, value in settings.query.items()}
        self._headers = {key: parse(value, f"headers.{key}") for key, value in settings.headers.items()}
        self._body = Document.of(settings.body)
        self._tls = _tls(settings.ca_file)
        self._pointers = _pointers(settings.result)
        self._check()

    def _check(self) -> None:
        declared = {name: self._argument(name) for name in self._settings.arguments}
        in_path = {name for segment in self._address.segments for name in segment.arguments}
        used = in_path | self._address.query.arguments | self._body.arguments
        used |= {name for template in self._query.values() for name in template.arguments}
        for name in sorted(used - set(declared)):
            raise SetupError(f"{{{name}}} is not among its arguments; a call's own are written {{call:caller}}")
        for name in sorted(in_path):
            if declared[name].optional:
                raise SetupError(f"arguments.{name}: it stands in the path, so it cannot be optional")
        for key, template in self._headers.items():
            if template.arguments:
                raise SetupError(f"headers.{key}: arguments cannot stand in headers")

    def _argument(self, name: str) -> Argument:
        given = self._settings.arguments[name]
        return Argument(about=given) if isinstance(given, str) else given

    def tool(self, name: str) -> Tool:
        """Raises ToolDefinitionError."""
        wanted = self._settings
        reads = wanted.method == "GET"
        idempotent = reads if wanted.idempotent is None else wanted.idempotent
        retries = (1 if idempotent else 0) if wanted.retries is None else wanted.retries
        return Tool.of(
            self.run, [self._argument(argument).parameter(argument) for argument in wanted.arguments],
            takes_context=True, name=name, description=wanted.description, deadline_s=wanted.timeout_s + 1,
            idempotent=idempotent, retries=retries, cancellable=wanted.cancellable,
            on_hangup=wanted.on_hangup or ("cancel" if reads else "complete"),
            consequential=not reads if wanted.consequential is None else wanted.consequential, confirm=wanted.confirm,
            fillers=wanted.fillers, failed=wanted.failed, alternative=wanted.alternative,
        )  # fmt: skip

    async def run(self, context: ToolContext, /, **arguments: Any) -> ToolReply:
        values = values_of(context, arguments)
        try:
            async with asyncio.timeout(min(self._settings.timeout_s, context.left())):
                status, text = await self._exchange(context, values, arguments)
        except httpx.TimeoutException:
            raise TimeoutError from None
        except httpx.HTTPError:
            raise ToolError(transient=True) from None
        if status == 404 and self._settings.not_found:
            raise ToolError(self._settings.not_found)
        if not 200 <= status < 300:
            raise ToolError(transient=status >= 500 or status == 429)
        data = self._picked(text)
        return ToolReply(self._said(data), data)

    async def _exchange(
        self, context: ToolContext, values: Mapping[str, str], arguments: Mapping[str, Any]
    ) -> tuple[int, bytes]:
        """Status and text of the answer. Raises httpx.HTTPError, TooLarge, BadResult."""
        wanted = self._settings
        headers = {key: template.render(values, _header) for key, template in self._headers.items()}
        # No compression: a small answer could unpack to a very large one.
        headers |= {"Accept": "application/json", "Accept-Encoding": "identity"}
        if wanted.method != "GET":
            headers["Idempotency-Key"] = context.key
        url = self._address.render(values)
        if query := self._asked(values):
            url += ("&" if "?" in url else "?") + query
        document = {} if wanted.body is None else {"json": self._body.render(values, arguments)}
        async with (
            httpx.AsyncClient(trust_env=False, verify=self._tls, follow_redirects=False) as client,
            client.stream(wanted.method, url, headers=headers, timeout=wanted.timeout_s, **document) as answer,
        ):
            if answer.headers.get("content-encoding", "identity") != "identity":
                raise BadResult("the answer is compressed although that was not asked for")
            text = bytearray()
            async for piece in answer.aiter_raw():
                text += piece
                if len(text) > MOST_BYTES:
                    raise TooLarge
            return answer.status_code, bytes(text)

    def _asked(self, values: Mapping[str, str]) -> str:
        """The query's table; what is one placeholder that was left out is left out."""
        return "&".join(
            f"{escaped(key)}={escaped(template.render(values))}"
            for key, template in self._query.items()
            if not template.alone or template.alone in values
        )

    def _picked(self, text: bytes) -> Any:
        """Raises BadResult."""
        if not text.strip() and not self._pointers:
            return None
        try:
            document = json.loads(text)
        except (ValueError, RecursionError):
            if self._settings.method != "GET" and not self._pointers:
                return None  # it was done; what the service says of it is not for us
            raise BadResult("the answer is not JSON") from None
        if isinstance(self._pointers, dict):
            return {name: pointer.resolve(document, None) for name, pointer in self._pointers.items()}
        if self._pointers is None:
            return document
        missing = object()
        found = self._pointers.resolve(document, missing)
        if found is missing:
            raise BadResult(f"nothing stands at {self._settings.result}")
        return found

    def _said(self, data: Any) -> str:
        """`say` with the result's fields; nothing where one of them is not there."""
        fields = data if isinstance(data, dict) else {"result": data}
        wanted = re.findall(r"\{(\w+)\}", self._settings.say)
        values = {name: fields.get(name) for name in wanted}
        if any(isinstance(value, dict | list) or value is None for value in values.values()):
            return ""
        return re.sub(r"\{(\w+)\}", lambda found: one_line(spelled(values[found[1]]), 200), self._settings.say)


def _header(value: str) -> str:
    return re.sub(r"[^\x20-\x7e]", "", value)


def _pointers(wanted: str | dict[str, str]) -> Any:
    """One pointer, several by name, or None. Raises SetupError."""
    try:
        if isinstance(wanted, dict):
            return {name: jsonpointer.JsonPointer(pointer) for name, pointer in wanted.items()}
        return jsonpointer.JsonPointer(wanted) if wanted else None
    except jsonpointer.JsonPointerException as error:
        raise SetupError(f"result: {error}; a JSON pointer is written /order/state or /items/0/name") from None


@lru_cache(maxsize=8)
def _tls(ca_file: Path | None) -> ssl.SSLContext:
    """Reading the certificates takes some 20 ms: once a file is enough. Raises SetupError."""
    try:
        return ssl.create_default_context(cafile=ca_file) if ca_file else httpx.create_ssl_context(trust_env=False)
    except (OSError, ssl.SSLError) as error:
        raise SetupError(f"ca_file: {ca_file} cannot be used: {error}") from None


class HttpRequest:
    """The entry point `http_request`."""

    def create(self, settings: dict[str, Any]) -> Sequence[Tool]:
        made = []
        for name, table in settings.items():
            try:
                made.append(Request(RequestSettings.model_validate(table)).tool(name))
            except ValidationError as error:
                problems = [f"{'.'.join(str(part) for part in e['loc'])}: {e['msg']}" for e in error.errors()]
                raise SetupError("; ".join(f"{name}: {problem}" for problem in problems)) from None
            except (SetupError, ToolDefinitionError) as error:
                raise SetupError(f"{name}: {error}") from None
        return made


HTTP_REQUEST = HttpRequest()

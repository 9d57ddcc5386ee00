"""A tool: a typed function that the agent can run for a caller, and how it is made.

    @tool(deadline_s=3, idempotent=True, retries=2)
    async def order_status(ctx: ToolContext, order: Annotated[str, Field(pattern=r"[0-9]{6}")]) -> dict[str, str]:
        '''Tell how far an order is.

        order: the six digits of the order's number
        '''

The first paragraph of the docstring is what the model reads; lines `name: what it is` tell about the parameters. Every
parameter has a type hint; those with a default are optional. The function is one of three shapes:

- `async def`: must not block, for it runs on the loop that all calls share;
- plain `def`: runs in a thread, which nothing can stop: past its deadline the caller is told so and the thread goes on;
- `async def` with `yield`: strings are progress ("I have found your file"); the first thing yielded that is no string
  is the result, and ends it.

It returns words for the caller (str), data (dict, list, number, dataclass, pydantic model), a ToolReply, or nothing.
"""

from __future__ import annotations

import functools
import inspect
import re
import typing
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Literal, TypedDict, Unpack, overload

from pydantic import BaseModel, TypeAdapter, ValidationError

from voicebridge.conversation.toolspec import ToolSpec
from voicebridge.tools.context import ToolContext
from voicebridge.tools.results import BadResult, TooLarge
from voicebridge.tools.schema import Parameter, SchemaError, arguments_model, compact, parse

Shape = Literal["async", "stream", "thread"]
NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
ALTERNATIVE = re.compile(r"(tool|form|handoff) [\w.-]+|")
MOST_ARGUMENT_BYTES = 16_384
LONGEST_DEADLINE_S = 300.0


class ToolDefinitionError(Exception):
    """A function that cannot be a tool; the text names function and parameter."""


class Options(TypedDict, total=False):
    """What `@tool` takes; each is explained at `Tool`."""

    name: str
    description: str
    deadline_s: float
    idempotent: bool
    retries: int
    cancellable: bool
    on_hangup: Literal["cancel", "complete"]
    consequential: bool
    confirm: str
    fillers: tuple[str, ...]
    failed: str
    alternative: str
    result: Any
    max_bytes: int
    model_bytes: int
    settings: type[BaseModel] | None
    close: Callable[[], Awaitable[None]] | None


@dataclass(frozen=True, slots=True, eq=False)
class Tool:
    """Made by `tool`, or by `Tool.of` where the parameters are known only at run time.

    `deadline_s` holds for a run with all its attempts. `idempotent`: it may be done twice, so it is tried up to
    `retries` more times. `cancellable`: a barge-in may cancel it. `on_hangup`: whether it is cancelled or completed
    (until its deadline) when the caller is gone. `consequential`, `confirm`, `fillers`, `failed` and `alternative` are
    as in `ToolSpec`. `result` (any type pydantic knows) validates the data it returns; more than `max_bytes` of JSON
    are refused, more than `model_bytes` shortened. `settings` is the model that its settings have to fit. `close` is
    called when the daemon ends.
    """

    name: str
    description: str
    function: Callable[..., Any]
    arguments: type[BaseModel]
    schema: str
    shape: Shape
    takes_context: bool = False
    deadline_s: float = 5.0
    idempotent: bool = False
    retries: int = 0
    cancellable: bool = False
    on_hangup: Literal["cancel", "complete"] = "cancel"
    consequential: bool = False
    confirm: str = ""
    fillers: tuple[str, ...] = ()
    failed: str = ""
    alternative: str = ""
    result: TypeAdapter[Any] | None = None
    max_bytes: int = 16_384
    model_bytes: int = 4_096
    settings: type[BaseModel] | None = None
    close: Callable[[], Awaitable[None]] | None = None

    @classmethod
    def of(
        cls, function: Callable[..., Any], parameters: list[Parameter], *, takes_context: bool = False,
        **options: Unpack[Options],
    ) -> Tool:  # fmt: skip
        """A tool whose function takes these parameters as keywords. Raises ToolDefinitionError."""
        given: dict[str, Any] = dict(options)
        name = given.pop("name", "") or getattr(function, "__name__", "")
        result = given.pop("result", None)
        try:
            model = arguments_model(name, parameters)
            made = cls(
                name=name, description=given.pop("description", "") or name.replace("_", " "), function=function,
                arguments=model, schema=compact(model), shape=_shape(function), takes_context=takes_context,
                result=None if result is None else TypeAdapter(result), **given,
            )  # fmt: skip
        except (SchemaError, TypeError) as error:
            raise ToolDefinitionError(f"{name or function!r}: {error}") from None
        problems = list(_problems(made, {parameter.name for parameter in parameters}))
        if problems:
            raise ToolDefinitionError("\n".join(f"{_place(function, name)}: {problem}" for problem in problems))
        return made

    def spec(self) -> ToolSpec:
        """As the core and the model see it."""
        return ToolSpec(
            self.name, self.description, self.schema, self.consequential, self.confirm, self.cancellable,
            tuple(self.fillers), self.failed, self.alternative,
        )  # fmt: skip

    def parse(self, arguments: str) -> dict[str, Any]:
        """JSON text of an object, as the function's keywords. Raises BadArguments."""
        return parse(self.arguments, arguments, MOST_ARGUMENT_BYTES)

    def checked(self, data: str) -> str:
        """A result's JSON text, as the declared type has it. Raises BadResult, TooLarge."""
        assert self.result is not None
        try:
            text = self.result.dump_json(self.result.validate_json(data or "null")).decode()
        except ValidationError as error:
            raise BadResult(f"{error.error_count()} errors, the first at {error.errors()[0]['loc']}") from None
        if len(text.encode()) > self.max_bytes:
            raise TooLarge
        return text


@overload
def tool(function: Callable[..., Any], /) -> Tool: ...
@overload
def tool(**options: Unpack[Options]) -> Callable[[Callable[..., Any]], Tool]: ...
def tool(function: Callable[..., Any] | None = None, /, **options: Unpack[Options]) -> Any:
    """Make a tool of a typed function. Raises ToolDefinitionError when that cannot be."""
    if function is None:
        return functools.partial(_made, options=options)
    return _made(function, options=options)


def _made(function: Callable[..., Any], *, options: Options) -> Tool:
    place = _place(function, options.get("name", ""))
    if not callable(function):
        raise ToolDefinitionError(f"{place}: @tool makes tools of functions, not of a {type(function).__name__}")
    described, about = documented(inspect.getdoc(function) or "")
    parameters: list[Parameter] = []
    takes_context = False
    for index, parameter in enumerate(inspect.signature(function).parameters.values()):
        here = f"{place}, parameter {parameter.name!r}"
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            raise ToolDefinitionError(f"{here}: *args, **kwargs and positional-only ones cannot be in a schema")
        if parameter.annotation is parameter.empty:
            raise ToolDefinitionError(f"{here}: has no type hint")
        hint = _resolved(function, parameter, here)
        if hint is ToolContext:
            if index:
                raise ToolDefinitionError(f"{here}: the ToolContext must be the first parameter")
            takes_context = True
            continue
        default = ... if parameter.default is parameter.empty else parameter.default
        parameters.append(Parameter(parameter.name, hint, default, about.get(parameter.name, "")))
    filled: Options = {**options}
    filled["description"] = options.get("description") or described
    return Tool.of(function, parameters, takes_context=takes_context, **filled)


def _resolved(function: Callable[..., Any], parameter: inspect.Parameter, here: str) -> Any:
    """The hint itself, where `from __future__ import annotations` left its text."""
    holder = type("Holder", (), {"__annotations__": {parameter.name: parameter.annotation}})
    names = getattr(_bare(function), "__globals__", {})
    try:
        return typing.get_type_hints(holder, globalns=dict(names), include_extras=True)[parameter.name]
    except (NameError, AttributeError, SyntaxError, TypeError) as error:
        raise ToolDefinitionError(f"{here}: its type hint cannot be found: {error}; define it in the module") from None


def documented(text: str) -> tuple[str, dict[str, str]]:
    """A docstring's first paragraph, and its lines `name: what it is` (further lines belong to it when indented)."""
    first, _, rest = text.strip().partition("\n\n")
    about: dict[str, str] = {}
    name = ""
    for line in rest.splitlines():
        if found := re.fullmatch(r"\s*(\w+): +(\S.*)", line):
            name = found[1]
            about[name] = found[2].strip()
        elif name and line.startswith(" ") and line.strip():
            about[name] += " " + line.strip()
        else:
            name = ""
    return " ".join(first.split()), about


def _bare(function: Any) -> Any:
    """The function itself below partials, decorators, methods and objects that can be called."""
    while isinstance(function, functools.partial):
        function = function.func
    if not inspect.isroutine(function) and not isinstance(function, type):
        function = getattr(type(function), "__call__", function)  # noqa: B004 - its code is wanted, not whether it is there
    return inspect.unwrap(function)


def _shape(function: Callable[..., Any]) -> Shape:
    function = _bare(function)
    if inspect.isasyncgenfunction(function):
        return "stream"
    if inspect.iscoroutinefunction(function):
        return "async"
    if inspect.isgeneratorfunction(function):
        raise TypeError("a plain generator cannot be a tool: make it `async def`")
    return "thread"


def _place(function: Any, name: str) -> str:
    module, qualified = getattr(function, "__module__", ""), getattr(function, "__qualname__", "")
    return f"{module}.{qualified}" if qualified else name or repr(function)


def _problems(made: Tool, parameters: set[str]) -> typing.Iterator[str]:
    """What no type tells."""
    if not NAME.fullmatch(made.name):
        yield f"name {made.name!r}: lower-case letters, digits and _ only, a letter first, 64 at most"
    if not 0 < made.deadline_s <= LONGEST_DEADLINE_S:
        yield f"deadline_s: {made.deadline_s} is not between 0 and {LONGEST_DEADLINE_S:.0f}"
    if made.retries < 0 or (made.retries and not made.idempotent):
        yield "retries: only a tool that is idempotent=True may be tried again"
    if made.on_hangup not in ("cancel", "complete"):
        yield f"on_hangup: {made.on_hangup!r} is neither 'cancel' nor 'complete'"
    if not ALTERNATIVE.fullmatch(made.alternative):
        yield f"alternative: {made.alternative!r} is not 'tool NAME', 'form NAME' or 'handoff TARGET'"
    fillers: Any = made.fillers
    if not isinstance(fillers, tuple | list):
        yield "fillers: a tuple of sentences, not one string"
    if not 0 < made.model_bytes <= made.max_bytes:
        yield f"model_bytes: {made.model_bytes} is not between 1 and max_bytes ({made.max_bytes})"
    for wanted in re.findall(r"\{(\w*)\}", made.confirm):
        if wanted not in parameters:
            yield f"confirm: {{{wanted}}} is not among its parameters"

"""Text with placeholders, for configured tools: `Bearer {env:CRM_TOKEN}`, `/orders/{order}`, `{call:caller}`.

`{name}` is an argument of the tool, `{call:FIELD}` a fact of the call, `{env:NAME}` and `{file:/path}` secrets that are
read once, when the daemon starts, and never logged. `{{` and `}}` are braces.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from voicebridge.tools.context import SetupError, ToolContext

CALL_FIELDS = ("caller", "dialled", "call_id", "agent", "language", "key")
_PIECE = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")


@dataclass(frozen=True, slots=True)
class Placeholder:
    """`name` of an argument, or `call:FIELD`; `secret` is the value of one that is read ahead."""

    name: str
    secret: str = ""


@dataclass(frozen=True, slots=True)
class Template:
    parts: tuple[str | Placeholder, ...]

    @property
    def alone(self) -> str:
        """The argument that the whole text consists of, or ""."""
        (first, *more) = self.parts or ("",)
        lone = isinstance(first, Placeholder) and not more and not first.secret and ":" not in first.name
        return first.name if isinstance(first, Placeholder) and lone else ""

    @property
    def arguments(self) -> set[str]:
        return {part.name for part in self.parts if isinstance(part, Placeholder) and ":" not in part.name}

    @property
    def fixed(self) -> bool:
        return all(isinstance(part, str) for part in self.parts)

    def render(self, values: Mapping[str, str], escape: Callable[[str], str] = str) -> str:
        """`values` hold arguments and `call:FIELD`s; what is missing is empty. Placeholders' values are escaped."""
        return "".join(
            part if isinstance(part, str) else escape(part.secret or values.get(part.name, "")) for part in self.parts
        )


def parse(text: str, where: str) -> Template:
    """Raises SetupError, which names `where` it stands."""
    parts: list[str | Placeholder] = []
    at = 0
    for found in _PIECE.finditer(text):
        parts.append(text[at : found.start()])
        at = found.end()
        match found.group():
            case "{{" | "}}":
                parts.append(found.group()[0])
            case "{" | "}":
                raise SetupError(f"{where}: a brace without its partner; write {{{{ or }}}} for the sign itself")
            case _:
                parts.append(_placeholder(found[1].strip(), where))
    parts.append(text[at:])
    return Template(tuple(part for part in parts if part != ""))


def secret(text: str, where: str) -> str:
    """A setting's text with its secrets put in; nothing else may stand in braces. Raises SetupError."""
    template = parse(text, where)
    if any(isinstance(part, Placeholder) and not part.secret for part in template.parts):
        raise SetupError(f"{where}: only {{env:NAME}} and {{file:/path}} may stand in braces here")
    return template.render({})


def values_of(context: ToolContext, arguments: Mapping[str, Any]) -> dict[str, str]:
    """What `render` wants, from a run."""
    values = {f"call:{field}": str(getattr(context, field)) for field in CALL_FIELDS}
    for name, value in arguments.items():
        values[name] = spelled(value)
    return values


def spelled(value: Any) -> str:
    """An argument as text: true and false as JSON has them, dates in ISO form."""
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
    iso = getattr(value, "isoformat", None)
    return str(iso() if iso is not None else value)


def _placeholder(name: str, where: str) -> Placeholder:
    kind, colon, rest = name.partition(":")
    if not colon:
        if not re.fullmatch(r"[A-Za-z]\w*", name):
            known = "{argument}, {call:caller}, {env:NAME}"
            raise SetupError(f"{where}: {{{name}}} is no placeholder: write {known}")
        return Placeholder(name)
    match kind:
        case "call" if rest in CALL_FIELDS:
            return Placeholder(name)
        case "call":
            raise SetupError(f"{where}: a call has no {rest!r}; there are {', '.join(CALL_FIELDS)}")
        case "env":
            value = os.environ.get(rest, "")
        case "file":
            value = _read(Path(rest), where)
        case _:
            raise SetupError(f"{where}: {{{name}}}: before the colon stands call, env or file")
    if not value:
        raise SetupError(f"{where}: {kind} {rest} is empty or not set")
    if any(ord(sign) < 32 for sign in value):
        raise SetupError(f"{where}: {kind} {rest} has control characters or more than one line")
    return Placeholder(name, value)


def _read(path: Path, where: str) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SetupError(f"{where}: {path} cannot be read: {error}") from None

"""TOML files of the configuration: read, validated, and errors that name file, line and key."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

NO_KEY = "there is no such key"
WORDS = {"extra_forbidden": NO_KEY, "unexpected_keyword_argument": NO_KEY, "missing": "is missing"}
"""Of pydantic's kinds of errors, those that nobody knows by its words."""


class ConfigError(Exception):
    """The configuration cannot be used; the text names the place and what is wrong there."""


def read(path: Path) -> tuple[dict[str, Any], str]:
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: is not UTF-8 (byte {error.start})") from error
    try:
        return tomllib.loads(text), text
    except tomllib.TOMLDecodeError as error:
        line = re.search(r"at line (\d+)", str(error))
        place = f"{path}:{line.group(1)}" if line else str(path)
        raise ConfigError(f"{place}: is not TOML: {error}") from error


def validated(adapter: TypeAdapter[Any], table: dict[str, Any], path: Path, text: str) -> Any:
    try:
        return adapter.validate_python(table)
    except ValidationError as error:
        lines = []
        for problem in error.errors():
            keys = [part for part in problem["loc"] if isinstance(part, str)]
            why = WORDS.get(problem["type"], problem["msg"])
            lines.append(f"{place(path, text, problem['loc'])}: {'.'.join(keys) or 'file'}: {why}")
        raise ConfigError("\n".join(lines)) from None


def place(path: Path, text: str, loc: tuple[int | str, ...]) -> str:
    """`file:line`, or the file alone where the key is nowhere in it."""
    at = _line_of(text, loc)
    return f"{path}:{at}" if at else str(path)


def _line_of(text: str, loc: tuple[int | str, ...]) -> int | None:
    """The line where a key stands, found by its tables' headers; a guess good enough for an error message."""
    keys = [part for part in loc if isinstance(part, str)]
    counts = [part for part in loc if isinstance(part, int)]
    if not keys:
        return None
    table, seen, best = "", -1, None
    for number, line in enumerate(text.splitlines(), 1):
        if header := re.match(r"\s*\[(\[)?\s*([\w.\-]+)\s*\]", line):
            table = header.group(2)
            seen = seen + 1 if header.group(1) and table == keys[0] else seen
            if table == ".".join(keys) or (len(keys) > 1 and table == ".".join(keys[:-1])):
                best = best or number
        wanted = not table if len(keys) == 1 else table == ".".join(keys[:-1])
        if wanted and (not counts or not table or seen in (-1, counts[0])) and _sets(line, keys[-1]):
            return number
        if not table and len(keys) > 1 and (_sets(line, ".".join(keys)) or _sets(line, keys[0])):
            best = best or number  # a dotted key, or an inline table
    return best


def _sets(line: str, key: str) -> bool:
    return re.match(rf"\s*\"?{re.escape(key)}\"?\s*=", line) is not None

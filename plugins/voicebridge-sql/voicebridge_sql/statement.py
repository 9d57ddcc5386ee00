"""A configured SQL statement: its named parameters and its first word, found without understanding the rest."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from voicebridge.tools import SetupError

READS: Final = ("select", "with", "values")
WRITES: Final = ("insert", "update", "delete", "replace", "merge", "with")

# What a colon or a semicolon may stand in without meaning anything: texts, names, comments; `::` casts in PostgreSQL.
_PIECE: Final = re.compile(
    r"""(?P<quoted>[eE]'(?:[^'\\]|\\.|'')*'|'(?:[^']|'')*'|"(?:[^"]|"")*"|`[^`]*`|\$(?P<tag>\w*)\$.*?\$(?P=tag)\$)"""
    r"""|(?P<comment>--[^\n]*|/\*.*?\*/)|(?P<cast>::)|:(?P<name>[A-Za-z_]\w*)|(?P<end>;)|(?P<word>[A-Za-z_]\w*)""",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement, without a semicolon. `parameters` are the names written `:name`; `first` is its first word."""

    text: str
    parameters: frozenset[str]
    first: str

    @classmethod
    def of(cls, text: str) -> Statement:
        """Raises SetupError where it is empty or more than one."""
        names, first, ended, stop = set(), "", False, len(text)
        for piece in _PIECE.finditer(text):
            if piece["comment"] is not None:
                continue
            if ended and piece["end"] is None:
                raise SetupError("more than one statement; write one a query")
            if piece["end"] is not None:
                ended, stop = True, min(stop, piece.start())
            elif piece["name"] is not None:
                names.add(piece["name"])
            elif piece["word"] is not None:
                first = first or piece["word"].lower()
        if not first:
            raise SetupError("there is no statement")
        return cls(text[:stop].strip(), frozenset(names), first)

    def returning(self, columns: tuple[str, ...]) -> Statement:
        """A write that gives these columns of what it wrote."""
        if not columns:
            return self
        return Statement(f"{self.text}\nRETURNING {', '.join(columns)}", self.parameters, self.first)

    def as_pyformat(self) -> str:
        """As psycopg wants it: `%(name)s`, and signs of per cent doubled."""

        def made(piece: re.Match[str]) -> str:
            return f"%({piece['name']})s" if piece["name"] is not None else piece.group()

        return _PIECE.sub(made, self.text.replace("%", "%%"))

"""The book of callbacks: an SQLite file that only its owner can read."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

FILE: Final = "callbacks.db"
BUSY_S: Final = 2.0

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS callbacks(
  id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, at TEXT NOT NULL, phone TEXT NOT NULL,
  convenient TEXT NOT NULL, name TEXT NOT NULL, caller TEXT NOT NULL, dialled TEXT NOT NULL, agent TEXT NOT NULL,
  language TEXT NOT NULL, call TEXT NOT NULL, done TEXT NOT NULL DEFAULT '')
"""


@dataclass(frozen=True, slots=True)
class Wish:
    """Somebody who wants to be called. `at` and `done` are ISO times, `done` "" as long as nobody has called.

    `phone` is what he said, `caller` the number he called from as the PBX had it, `convenient` when it suits him, in
    his words. `key` is the same for every attempt to write the same wish.
    """

    key: str
    at: str
    phone: str
    convenient: str = ""
    name: str = ""
    caller: str = ""
    dialled: str = ""
    agent: str = ""
    language: str = ""
    call: str = ""
    done: str = ""


class Book:
    """The file at `path`, which is made when the first wish is written. Methods raise OSError and sqlite3.Error."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def write(self, wish: Wish) -> int:
        """Its number. One that is there already (the same key) keeps the number it has."""
        with self._opened(create=True) as book:
            fields = asdict(wish)
            names, marks = ", ".join(fields), ", ".join(f":{name}" for name in fields)
            sql = f"INSERT INTO callbacks({names}) VALUES ({marks}) ON CONFLICT (key) DO NOTHING"
            book.execute(sql, fields)
            (number,) = book.execute("SELECT id FROM callbacks WHERE key = ?", (wish.key,)).fetchone()
            return int(number)

    def read(self, *, all_of_them: bool = False) -> list[tuple[int, Wish]]:
        """By number; those who wait, or all."""
        if not self._path.is_file():
            return []
        names = ", ".join(Wish.__slots__)
        where = "" if all_of_them else "WHERE done = ''"
        with self._opened() as book:
            rows = book.execute(f"SELECT id, {names} FROM callbacks {where} ORDER BY id").fetchall()
        return [(number, Wish(*row)) for number, *row in rows]

    def tick(self, number: int, when: datetime | None) -> bool:
        """Note that it is done, or with None that it is not. Whether there is such a number."""
        if not self._path.is_file():
            return False
        done = when.isoformat(timespec="seconds") if when is not None else ""
        with self._opened() as book:
            return book.execute("UPDATE callbacks SET done = ? WHERE id = ?", (done, number)).rowcount > 0

    @contextlib.contextmanager
    def _opened(self, *, create: bool = False) -> Iterator[sqlite3.Connection]:
        """A transaction: committed unless something is raised."""
        if create:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600))
        book = sqlite3.connect(self._path, timeout=BUSY_S)
        try:
            with book:
                if create:
                    book.execute(_SCHEMA)
                yield book
        finally:
            book.close()

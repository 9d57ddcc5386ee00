"""Records of before the database: `<dir>/calls/<id>.json`. Each is moved into it once."""

from __future__ import annotations

import contextlib
import json
import re
from pathlib import Path

from voicebridge.trace.store.document import dumped
from voicebridge.trace.store.spill import REFUSED, DamagedError, Spilled

_NAME = re.compile(r"[0-9a-f-]{36}\.json")
_REFUSED = re.compile(rf"[0-9a-f-]{{36}}\{REFUSED}")


class Legacy:
    """Read as `Spill` is. `folder`: the store's."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "calls"

    def paths(self) -> list[Path]:
        """Oldest first."""
        return self._named(_NAME)

    def refused(self) -> list[Path]:
        return self._named(_REFUSED)

    def _named(self, name: re.Pattern[str]) -> list[Path]:
        found = []
        with contextlib.suppress(FileNotFoundError):
            for path in self.folder.iterdir():
                if name.fullmatch(path.name):
                    with contextlib.suppress(FileNotFoundError):
                        found.append((path.stat().st_mtime_ns, path))
        return [path for _, path in sorted(found)]

    def read(self, path: Path) -> Spilled:
        """Raises OSError, DamagedError."""
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise DamagedError(f"{path} holds no record: {error}") from error
        if not isinstance(record, dict):
            raise DamagedError(f"{path} holds no record")
        return Spilled(path.stem, record, dumped(record))

    def refuse(self, path: Path) -> None:
        """Put one aside."""
        with contextlib.suppress(OSError):
            path.replace(path.with_suffix(REFUSED))

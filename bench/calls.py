"""What benchmarks that place calls share: recorded callers, a call with its record, which turn answered which line."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from voicebridge.load.report import Spread, spread
from voicebridge.phone import Heard, Line, Spoken, read_wav
from voicebridge.trace.render import percentile

BENCH = Path(__file__).parent
MODEL_QUESTIONS = BENCH / "exam" / "model_questions.toml"
RATE = 8_000

Turn = dict[str, Any]
__all__ = ["BENCH", "MODEL_QUESTIONS", "RATE", "Round", "Spread", "Turn", "entries", "lines", "spread"]


def entries(file: Path) -> list[dict[str, Any]]:
    """The questions of a file of ours; the recordings lie beside it."""
    made: list[dict[str, Any]] = tomllib.loads(file.read_text(encoding="utf-8"))["question"]
    return [{**entry, "path": file.parent / entry.get("file", "")} for entry in made]


def lines(file: Path) -> list[Line]:
    return [Line(entry["id"], read_wav(entry["path"], RATE)) for entry in entries(file)]


@dataclass(frozen=True)
class Round:
    """One call as its phone heard it and, where the daemon's store can be read, as the daemon recorded it."""

    heard: Heard
    record: dict[str, Any] | None

    def turns(self) -> list[tuple[Spoken, list[Turn]]]:
        """Each line with the daemon's turns that belong to it: those in which the caller's voice ended meanwhile."""
        spoken = self.heard.lines
        ends = [*(line.begins for line in spoken[1:]), float("inf")]
        recorded = (self.record or {"turns": []})["turns"]
        return [
            (line, [t for t in recorded if t["last_voice"] is not None and line.begins < t["last_voice"] < end])
            for line, end in zip(spoken, ends, strict=True)
        ]

    def gaps(self) -> list[float]:
        """Response gaps from the wire, in seconds, to the answer's own words.

        The wire cannot tell a filler from an answer. Where the record knows of a filler, the daemon's own time is
        taken, plus what the wire added in the turns without one.
        """
        plain, covered, added = [], [], []
        for line, turns in self.turns():
            inside = next((turn["gap_s"] for turn in turns if turn["gap_s"] is not None), None)
            if any(said["kind"] == "filler" and said["at"] is not None for turn in turns for said in turn["said"]):
                covered += [inside] if inside is not None else []
            elif line.gap is not None:
                plain.append(line.gap)
                added += [line.gap - inside] if inside is not None else []
        return plain + [gap + (percentile(added, 50) if added else 0.0) for gap in covered]

    def fillers(self) -> int:
        recorded = (self.record or {"turns": []})["turns"]
        return sum(said["kind"] == "filler" and said["at"] is not None for turn in recorded for said in turn["said"])

"""What callers say: the demo's recordings, or WAV files of the user's."""

from __future__ import annotations

import tomllib
from importlib import resources
from pathlib import Path

from voicebridge.phone import Line, PhoneError, read_wav

RATE = 8_000


def demo_lines() -> list[Line]:
    """The recorded caller of the demo, 8 kHz; the labels are the words."""
    with resources.as_file(resources.files("voicebridge") / "data" / "demo") as folder:
        table = tomllib.loads((folder / "demo.toml").read_text(encoding="utf-8"))
        return [
            Line(entry["text"], read_wav(folder / entry["file"], RATE), entry.get("barge_in_s"))
            for entry in table["line"]
        ]


def recorded(folder: Path) -> list[Line]:
    """Every WAV file of a folder, by name. Raises PhoneError where there is none, or one cannot be read."""
    files = sorted(folder.glob("*.wav"))
    if not files:
        raise PhoneError(f"{folder}: holds no .wav files (16 bit, any rate)")
    return [Line(file.stem, read_wav(file, RATE)) for file in files]

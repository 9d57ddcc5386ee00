"""Recorded speech with its text: the prompts of asterisk-core-sounds-en-wav (one speaker, 8 kHz), for tests only."""

from __future__ import annotations

import gzip
import hashlib
import re
import wave
from dataclasses import dataclass
from pathlib import Path

from tests.pbx.install import Install

TEXTS = "usr/share/doc/asterisk-core-sounds-en/core-sounds-en.txt.gz"
SOUNDS = "usr/share/asterisk/sounds"
RATE = 8_000
LEAST_WORDS = 4
MISSPELT = {"unidentified-no-callback"}
"""Whose text is not what is said."""


class CorpusError(Exception):
    """The prompts are not there; the text says which package holds them."""


@dataclass(frozen=True)
class Prompt:
    """A recording and what is said in it."""

    name: str
    text: str
    path: Path
    seconds: float

    def pcm(self) -> bytes:
        """8 kHz 16-bit little-endian mono."""
        with wave.open(str(self.path), "rb") as wav:
            return wav.readframes(wav.getnframes())


def prompts(install: Install) -> dict[str, Prompt]:
    """All that are spoken words, by name. Raises CorpusError."""
    listing = install.folder / TEXTS
    folders = [path for path in (install.folder / SOUNDS).glob("en*") if (path / "activated.wav").exists()]
    if not listing.exists() or not folders:
        raise CorpusError(f"no prompts below {install.folder}: install the package asterisk-core-sounds-en-wav")
    found = {}
    for line in gzip.decompress(listing.read_bytes()).decode("utf-8", "replace").splitlines():
        name, colon, text = line.strip().partition(": ")
        path = folders[0] / f"{name}.wav"
        if colon and not name.startswith(";") and not re.search(r"[\[\]<>()]", text) and path.exists():
            found[name] = Prompt(name, text.strip(), path, _seconds(path))
    return found


def _seconds(path: Path) -> float:
    with wave.open(str(path), "rb") as wav:
        return wav.getnframes() / wav.getframerate()


def held_back(install: Install, count: int = 30) -> list[Prompt]:
    """Those that the acceptance run measures with; nothing else may use them."""
    return sentences(install)[:count]


def for_tests(install: Install) -> list[Prompt]:
    """The sentences that tests may use."""
    return sentences(install)[100:]


def sentences(install: Install, *, shortest_s: float = 2.0, longest_s: float = 5.0) -> list[Prompt]:
    """Whole sentences of that length, each text once, in an order that only their names decide."""
    texts: dict[str, Prompt] = {}
    for prompt in prompts(install).values():
        words = re.findall(r"[a-z']+", prompt.text.lower())
        if shortest_s <= prompt.seconds <= longest_s and len(words) >= LEAST_WORDS and prompt.name not in MISSPELT:
            texts.setdefault(" ".join(words), prompt)
    return sorted(texts.values(), key=lambda prompt: hashlib.sha256(prompt.name.encode()).digest())

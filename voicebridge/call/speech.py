"""From text to speech that a ledger can play: normalised, synthesized, resampled; fixed lines from disk.

A line of an agent's own (greeting, fillers, apologies, answers of rules) is rendered when the daemon starts and kept
on disk, so that it is heard even when no text-to-speech engine answers.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import math
import time
import wave
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from voicebridge.audio.resample import resample_segment
from voicebridge.conversation.agent import AgentSpec
from voicebridge.conversation.spoken import speak
from voicebridge.engines.base import EngineError, Speech, TtsEngine, Voice, WordMark

log = logging.getLogger(__name__)

RENDER_GIVE_UP_S = 20.0
MAX_MOUTHS = 32
"""Languages beside the agents' own, in all."""
CACHE_FORMAT = 4
"""Part of every cache key: counts up when what is rendered changes (normalisation, trimming, marks)."""


@dataclass(frozen=True, slots=True)
class Rendered:
    """`pcm`: 16-bit little-endian mono at `rate`; marks are (start, end, sample) into `text` as it was given."""

    text: str
    pcm: bytes
    rate: int
    marks: tuple[tuple[int, int, int], ...]
    engine: str = ""
    """Whose voice it is, where several may speak."""

    @property
    def seconds(self) -> float:
        return len(self.pcm) / 2 / self.rate

    def at_rate(self, rate: int) -> Rendered:
        if rate == self.rate:
            return self
        marks = tuple((start, end, sample * rate // self.rate) for start, end, sample in self.marks)
        return Rendered(self.text, resample_segment(self.pcm, self.rate, rate), rate, marks, self.engine)


class Mouth:
    """One agent's voice. Shared by its calls."""

    def __init__(self, engine: TtsEngine, agent: AgentSpec, cache: Path) -> None:
        self._engine = engine
        self._agent = agent
        self._voice = Voice(agent.voice, agent.language, agent.speed)
        self._folder = cache / "prompts"
        self._fixed: dict[str, Rendered] = {}
        self._at_rate: dict[tuple[str, int], Rendered] = {}

    @property
    def engine_name(self) -> str:
        """Of several voices the preferred one."""
        return self._engine.name

    @property
    def missing(self) -> list[str]:
        """The agent's fixed lines that have not been rendered, or by a spare engine's voice."""
        return [text for text in self._agent.fixed_lines() if text not in self._fixed or self._borrowed(text)]

    def _borrowed(self, text: str) -> bool:
        return self._fixed[text].engine not in ("", self._engine.name)

    def cached(self, text: str, rate: int) -> Rendered | None:
        """A fixed line without waiting for anybody."""
        if (made := self._at_rate.get((text, rate))) is not None:
            return made
        if (fixed := self._fixed.get(text)) is None:
            return None
        made = fixed.at_rate(rate)
        self._at_rate[text, rate] = made
        return made

    async def say(self, text: str, rate: int, *, deadline: float, give_up: float) -> Rendered:
        """Raises EngineError."""
        if (made := self.cached(text, rate)) is not None:
            return made
        rendered = await self._synthesize(text, deadline=deadline, give_up=give_up)
        return rendered.at_rate(rate)

    def load(self) -> None:
        """Take the fixed lines that are on disk from an earlier run. Blocks for some milliseconds a line.

        Number words are asked for once: the first time their library is imported, which takes 20 ms that no call has.
        """
        speak("1", self._agent.language)
        for text in self._agent.fixed_lines():
            rendered = _read(self._file(text), text)
            if rendered is not None:
                self._fixed[text] = rendered

    async def render(self) -> None:
        """Make the fixed lines that are missing; what fails is made on demand later."""
        for text in self.missing:
            try:
                rendered = await self._synthesize(
                    text, deadline=math.inf, give_up=time.monotonic() + RENDER_GIVE_UP_S
                )
            except EngineError as error:
                log.warning("agent=%s a fixed line could not be rendered: %s", self._agent.name, error)
                return
            self._fixed[text] = rendered
            for key in [key for key in self._at_rate if key[0] == text]:
                del self._at_rate[key]
            if self._borrowed(text):
                continue  # better than silence, but not to be kept on disk
            try:
                await asyncio.to_thread(_write, self._file(text), rendered)
            except OSError as error:
                log.warning("agent=%s prompt cache %s not written: %s", self._agent.name, self._folder, error)

    async def _synthesize(self, text: str, *, deadline: float, give_up: float) -> Rendered:
        spoken = speak(text, self._agent.language)
        speech = await self._engine.synthesize(
            spoken.text, voice=self._voice, deadline=deadline, give_up=give_up
        )
        marks = _original_marks(speech, spoken.original_position)
        return Rendered(text, speech.pcm, speech.rate, marks, speech.engine)

    def _file(self, text: str) -> Path:
        voice, who = self._voice, getattr(self._engine, "identity", self._engine.name)
        key = json.dumps([CACHE_FORMAT, who, voice.name, voice.language, voice.speed, text])
        return self._folder / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.wav"


class Mouths:
    """For calls that want another language than their agent's: a mouth a language, made when it is first wanted."""

    def __init__(self, engine: TtsEngine, cache: Path) -> None:
        self._engine, self._cache = engine, cache
        self._made: dict[tuple[str, str], Mouth] = {}
        self._loading: set[asyncio.Task[None]] = set()

    def speaking(self, language: str, agent: AgentSpec, own: Mouth) -> Mouth:
        """The agent's `own` where that speaks it, and where there are too many others."""
        key = (agent.name, language)
        if language == agent.language or (key not in self._made and len(self._made) >= MAX_MOUTHS):
            return own
        if key not in self._made:
            self._made[key] = mouth = Mouth(self._engine, replace(agent, language=language), self._cache)
            task = asyncio.get_running_loop().create_task(self._prepare(mouth))
            self._loading.add(task)
            task.add_done_callback(self._loading.discard)
        return self._made[key]

    async def _prepare(self, mouth: Mouth) -> None:
        """Its fixed lines, while the first call has begun: until then they are made on demand."""
        await asyncio.to_thread(mouth.load)
        await mouth.render()


def _original_marks(speech: Speech, original: object) -> tuple[tuple[int, int, int], ...]:
    """Word marks of the spoken form, told in positions of the text as written; one mark an original word."""
    marks: list[tuple[int, int, int]] = []
    for mark in _ascending(speech.marks):
        start, end = original(mark.start)  # type: ignore[operator]
        if marks and start < marks[-1][1]:
            continue  # the second word of a number that was written as one
        marks.append((start, end, mark.sample))
    return tuple(marks)


def _ascending(marks: Iterable[WordMark]) -> list[WordMark]:
    return sorted(marks, key=lambda mark: mark.sample)


def _write(file: Path, rendered: Rendered) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_suffix(".part")
    with wave.open(str(part), "wb") as wav:
        wav.setnchannels(1)
        wav.setsampwidth(2)
        wav.setframerate(rendered.rate)
        wav.writeframes(rendered.pcm)
    file.with_suffix(".json").write_text(json.dumps(rendered.marks))
    part.replace(file)


def _read(file: Path, text: str) -> Rendered | None:
    try:
        with wave.open(str(file), "rb") as wav:
            pcm, rate = wav.readframes(wav.getnframes()), wav.getframerate()
            whole = 0 < 2 * wav.getnframes() == len(pcm) and wav.getnchannels() == 1
        marks = json.loads(file.with_suffix(".json").read_text())
        kept = tuple((int(start), int(end), int(sample)) for start, end, sample in marks)
    except FileNotFoundError:
        return None
    except (OSError, EOFError, wave.Error, ValueError, TypeError) as error:
        log.warning("prompt cache file %s is not usable, made again: %s", file, error)
        return None
    if not whole:
        log.warning("prompt cache file %s is not whole, made again", file)
        return None
    return Rendered(text, pcm, rate, kept)

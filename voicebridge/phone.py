"""A test phone: plays the PBX's side of an AudioSocket call, speaks, listens, and measures from the wire.

What it reports was measured outside of the daemon, from the frames it sent and received: see `audio.measure` for the
definition of the response gap.
"""

from __future__ import annotations

import asyncio
import bisect
import contextlib
import time
import uuid
import wave
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np

from voicebridge.audio.measure import voiced_spans
from voicebridge.audio.pcm import FRAME_S, frame_bytes, frame_samples, samples
from voicebridge.audio.resample import resample_segment
from voicebridge.pbx.asterisk.client import AudioSocketClient
from voicebridge.trace.record import new_test_id

QUIET_S = 0.7
"""The agent has finished when nothing was voiced for so long."""
VOICED_RMS = 120.0
"""A received frame above this is speech (the daemon's silence is digital)."""
PATIENCE_S = 12.0


class PhoneError(Exception):
    """The call could not be made or was not answered; the text names the cause."""


@dataclass(frozen=True)
class Line:
    """Something the caller says: 16-bit mono PCM at the phone's rate.

    `barge_in_s`: begin so long after the agent began to speak, instead of waiting until he has finished.
    """

    label: str
    pcm: bytes
    barge_in_s: float | None = None


@dataclass
class Spoken:
    """A line as it was played. Times are seconds since the call began."""

    line: Line
    begins: float
    last_voice: float
    first_voice: float
    answer: float | None = None
    agent_stopped: float | None = None

    @property
    def gap(self) -> float | None:
        """Last voiced sample sent to first voiced sample received; None where no answer came."""
        return None if self.answer is None else self.answer - self.last_voice


@dataclass
class Heard:
    """What came of a call."""

    call_id: str
    rate: int
    lines: list[Spoken] = field(default_factory=list)
    ended_by: str = ""
    seconds: float = 0.0
    agent: bytearray = field(default_factory=bytearray)
    caller: bytearray = field(default_factory=bytearray)
    arrivals: list[float] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)
    """Where each frame that arrived lies on the agent's track (samples)."""

    def position(self, moment: float) -> int:
        """The sample of the agent's track that was the first to arrive at `moment` or later."""
        index = bisect.bisect_left(self.arrivals, moment)
        return self.positions[index] if index < len(self.positions) else len(self.agent) // 2

    def moment(self, sample: int) -> float:
        """When a sample of the agent's track was heard: its frame's arrival and its place in the frame."""
        index = bisect.bisect_right(self.positions, sample) - 1
        return self.arrivals[index] + (sample - self.positions[index]) / self.rate

    def frame_gaps(self) -> list[float]:
        """Seconds between the arrivals of one frame and the next."""
        return [b - a for a, b in zip(self.arrivals, self.arrivals[1:], strict=False)]

    # ---- measuring

    def measure(self) -> None:
        """What each line was answered with, and when; an answer that came only after the next line is none."""
        for spoken, following in zip(self.lines, [*self.lines[1:], None], strict=False):
            answer = self._first_voice_after(self._silent_from(spoken))
            if following is None or answer is None or answer < following.first_voice:
                spoken.answer = answer

    def _silent_from(self, spoken: Spoken) -> float:
        """The moment from which the agent's voice is an answer: after a barge-in he has to stop first."""
        if spoken.line.barge_in_s is None:
            return spoken.last_voice
        stopped = self._agent_stopped_after(spoken.first_voice)
        spoken.agent_stopped = stopped
        return max(spoken.last_voice, stopped)

    def _first_voice_after(self, moment: float) -> float | None:
        start = self.position(moment)
        spans = voiced_spans(self.agent[start * 2 :], self.rate)
        return self.moment(start + spans[0][0]) if spans else None

    def _agent_stopped_after(self, moment: float) -> float:
        """When the agent's voice, on at `moment`, went silent (for at least 0.2 s)."""
        start = self.position(moment)
        spans = voiced_spans(self.agent[start * 2 :], self.rate, join_s=0.2)
        if not spans or spans[0][0] > 0.2 * self.rate:
            return moment
        return self.moment(start + spans[0][1] - 1)

    def save(self, path: Path) -> None:
        """Stereo WAV: caller left, agent right, by time of sending and arrival."""
        left, right = samples(self.caller), samples(self.agent)
        stereo = np.zeros((max(len(left), len(right)), 2), dtype="<i2")
        stereo[: len(left), 0] = left
        stereo[: len(right), 1] = right
        with wave.open(str(path), "wb") as wav:
            wav.setnchannels(2)
            wav.setsampwidth(2)
            wav.setframerate(self.rate)
            wav.writeframes(stereo.tobytes())


class Link(Protocol):
    """The way to the PBX."""

    def send_audio(self, pcm: bytes) -> None:
        """The next 20 ms."""

    def hang_up(self) -> None:
        """End the call."""


class Phone:
    """One call. `on_event` is told in words what happens, for progress."""

    def __init__(
        self, host: str, port: int, *, rate: int = 8_000, on_event: Callable[[str], None] | None = None
    ) -> None:
        self._host, self._port, self._rate = host, port, rate
        self._tell = on_event or (lambda text: None)
        self._frame = frame_bytes(rate)
        self._outbox = bytearray()
        self._sent_at: list[float] = []  # of the line's frames
        self._link: Link | None = None
        self._client: AudioSocketClient | None = None
        self._heard = Heard("", rate)
        self._zero = 0.0
        self._last_voiced_at: float | None = None
        self._speaking_since: float | None = None
        self._closed = asyncio.Event()

    async def call(self, lines: Sequence[Line], *, linger_s: float = 1.0, call_id: uuid.UUID | None = None) -> Heard:
        """Say the lines, each when the agent has finished, then hang up. Raises PhoneError."""
        number = call_id or new_test_id()
        self._heard = Heard(str(number), self._rate)
        self._zero = time.monotonic()
        self._link = await self._connect(number)
        sender = asyncio.create_task(self._send_for_ever())
        try:
            await self._talk(lines, linger_s)
        finally:
            sender.cancel()
            self._heard.seconds = self._now()
            self._link.hang_up()
            await self._leave()
        self._gather()
        self._heard.ended_by = self._heard.ended_by or "caller"
        return self._heard

    async def _connect(self, number: uuid.UUID) -> Link:
        """Raises PhoneError."""
        try:
            self._client = await AudioSocketClient.connect(
                self._host, self._port, number, on_audio=self._on_audio, on_closed=self._on_closed, rate=self._rate
            )
        except OSError as error:
            raise PhoneError(
                f"nothing answers on {self._host}:{self._port} ({error.strerror}); is `voicebridge run` running?"
            ) from error
        return self._client

    async def _leave(self) -> None:
        """What is to be waited for after hanging up."""

    def _gather(self) -> None:
        """Have in `_heard` what has been received, before it is measured."""

    async def _talk(self, lines: Sequence[Line], linger_s: float) -> None:
        since = 0.0
        for line in lines:
            if line.barge_in_s is None:
                await self._until_agent_has_finished(after=since)
            else:
                await self._until_agent_speaks_for(line.barge_in_s)
            if self._closed.is_set():
                break
            since = (await self._say(line)).last_voice
        await self._until_agent_has_finished(after=since)
        self._gather()
        self._heard.measure()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(linger_s):
                await self._closed.wait()

    async def _say(self, line: Line) -> Spoken:
        await self._wait_until(lambda: not self._outbox)
        begins = self._now()
        self._sent_at = []
        self._outbox += line.pcm
        self._tell(f"caller: {line.label}")
        await self._wait_until(lambda: not self._outbox)
        self._speaking_since = None
        spans = voiced_spans(line.pcm, self._rate)
        first, last = (spans[0][0], spans[-1][1] - 1) if spans else (0, 0)
        spoken = Spoken(line, begins, self._sent(last, begins), self._sent(first, begins))
        self._heard.lines.append(spoken)
        return spoken

    def _sent(self, sample: int, begins: float) -> float:
        """When a sample of the line was sent: its frame's time and its place in the frame."""
        frame, offset = divmod(sample, frame_samples(self._rate))
        if frame < len(self._sent_at):
            return self._sent_at[frame] + offset / self._rate
        return begins + sample / self._rate  # the call ended before

    # ---- sending and receiving

    async def _send_for_ever(self) -> None:
        """A frame every 20 ms on absolute deadlines, like a PBX."""
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            frame = bytes(self._outbox[: self._frame]).ljust(self._frame, b"\0")
            now = self._now()
            if self._outbox:
                self._sent_at.append(now)
                del self._outbox[: self._frame]
            frame = self._microphone(frame)
            if self._link is not None:
                self._link.send_audio(frame)
            self._place(self._heard.caller, frame, now)
            due += FRAME_S
            await asyncio.sleep(max(0.0, due - loop.time()))

    def _microphone(self, frame: bytes) -> bytes:
        """What is sent for a frame of the caller's. A speakerphone adds what its loudspeaker says."""
        return frame

    def _on_audio(self, pcm: bytes, rate: int) -> None:
        now = self._now()
        self._heard.arrivals.append(now)
        self._heard.positions.append(self._place(self._heard.agent, pcm, now))
        self._listen(pcm, now)

    def _listen(self, pcm: bytes, now: float) -> None:
        """Whether the agent speaks: it tells us when it is our turn."""
        data = samples(pcm).astype(np.float32)
        if len(data) and float(np.sqrt(np.mean(data * data))) > VOICED_RMS:
            if self._speaking_since is None:
                self._speaking_since = now
            self._last_voiced_at = now

    def _place(self, track: bytearray, pcm: bytes, now: float) -> int:
        """Append by time: a gap of more than two frames becomes silence, small jitter does not. Gives the sample."""
        at = round(now * self._rate)
        behind = at - len(track) // 2
        if behind > 2 * frame_samples(self._rate):
            track += bytes(2 * behind)
        first = len(track) // 2
        track += pcm
        return first

    def _on_closed(self, reason: str) -> None:
        self._heard.ended_by = {"hangup": "agent", "local": "caller"}.get(reason, reason)
        self._tell(f"call ended by {self._heard.ended_by}")
        self._closed.set()

    # ---- waiting

    def _now(self) -> float:
        return time.monotonic() - self._zero

    async def _wait_until(self, done: Callable[[], bool], *, limit_s: float = 60.0) -> bool:
        until = time.monotonic() + limit_s
        while not done() and not self._closed.is_set():
            if time.monotonic() > until:
                return False
            await asyncio.sleep(0.01)
        return True

    async def _until_agent_has_finished(self, *, after: float) -> None:
        """Until he has spoken after that moment and been quiet for a while."""

        def finished() -> bool:
            last = self._last_voiced_at
            return last is not None and last > after and self._now() - last > QUIET_S

        if await self._wait_until(lambda: (self._last_voiced_at or -1.0) > after, limit_s=PATIENCE_S):
            await self._wait_until(finished)
        else:
            self._tell("no answer")

    async def _until_agent_speaks_for(self, seconds: float) -> None:
        """Until `seconds` after the first voice that came behind our last words."""

        def long_enough() -> bool:
            return self._speaking_since is not None and self._now() - self._speaking_since >= seconds

        await self._wait_until(long_enough, limit_s=PATIENCE_S)


def read_wav(path: Path, rate: int) -> bytes:
    """A WAV file as 16-bit mono PCM at `rate`. Raises PhoneError."""
    try:
        with wave.open(str(path), "rb") as wav:
            if wav.getsampwidth() != 2:
                raise PhoneError(f"{path}: {8 * wav.getsampwidth()} bits a sample; 16 are needed")
            data = np.frombuffer(wav.readframes(wav.getnframes()), dtype="<i2").reshape(-1, wav.getnchannels())
            own_rate = wav.getframerate()
    except (OSError, EOFError, wave.Error) as error:
        raise PhoneError(f"{path}: not a readable WAV file ({error})") from error
    return resample_segment(data[:, 0].astype("<i2").tobytes(), own_rate, rate)

"""One caller of a run: speaks, listens and reacts over RTP, and measures what he heard when the call is over.

Times are `time.monotonic`'s seconds. The run's clock calls `tick` every 20 ms.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable

from voicebridge.audio.g711 import Law
from voicebridge.audio.measure import voiced_spans
from voicebridge.load.behaviour import Behaviour
from voicebridge.load.endpoint import RtpEndpoint
from voicebridge.load.outcome import Call, Media, Turn
from voicebridge.load.reception import Reception
from voicebridge.phone import PATIENCE_S, QUIET_S, VOICED_RMS, Heard, Line, Spoken
from voicebridge.protocol.rtp import CLOCK, FRAME_SAMPLES, Packet

KEY_GAP_FRAMES = 4
AFTER_KEYS_S = 3.0
"""An agent that does not answer keys within so long does not answer them."""
FINISHED_S = 60.0
"""No answer is longer."""

Check = Callable[[], bool]


class Caller:
    """`hang_up` asks the signalling to end the call; `ended` is called when it has ended, however that came about."""

    def __init__(self, number: int, call_id: str, behaviour: Behaviour, law: Law, hang_up: Callable[[], None]) -> None:
        self.number, self.id, self.behaviour = number, call_id, behaviour
        self._law, self._hang_up = law, hang_up
        self._silence = bytes((law.silence,)) * FRAME_SAMPLES
        self._link: RtpEndpoint | None = None
        self._reception: Reception | None = None
        self._zero = 0.0
        self._outbox = b""
        self._out = 0
        self._pause = 0
        self._keys = ""
        self._sent_at: list[float] = []
        self._lines: list[Spoken] = []
        self._last_voiced: float | None = None
        self._speaking_since: float | None = None
        self._waiting: tuple[Check, float, asyncio.Future[bool]] | None = None
        self._talk: asyncio.Task[None] | None = None
        self.offered_at: float | None = None
        self.answered_at: float | None = None
        self.ended_at: float | None = None
        self.ended_by = ""
        self.code = 0

    async def open(self, host: str, port: int = 0) -> int:
        """Have a port for the media. Raises OSError."""
        self._link = await RtpEndpoint.open(self._on_packet, host=host, port=port, law=self._law)
        return self._link.port

    # ---- what the signalling tells

    @property
    def live(self) -> bool:
        return self.answered_at is not None and self.ended_at is None

    def answered(self, host: str, port: int) -> None:
        assert self._link is not None
        self.answered_at, self.code = time.monotonic(), 200
        self._begin(self.answered_at)
        self._link.connect(host, port)
        self._talk = asyncio.get_running_loop().create_task(self._play())

    def refused(self, code: int) -> None:
        self.code, self.ended_at = code, time.monotonic()
        self.close()

    def ended(self, by: str) -> None:
        """Leaves no socket and no task."""
        if self.ended_at is None:
            self.ended_at, self.ended_by = time.monotonic(), by
        if self._talk is not None:
            self._talk.cancel()
        self.close()

    def leave(self) -> None:
        """Hang up, whatever he was about."""
        if self._talk is not None:
            self._talk.cancel()
        self._hang_up()

    def close(self) -> None:
        if self._link is not None:
            self._link.close()

    # ---- media

    def tick(self) -> None:
        """A frame leaves; who waits for something looks."""
        if not self.live or self._link is None:
            return
        now = time.monotonic()
        if self._keys and not self._link.sending_keys:
            self._press_next()
        frame = self._outbox[self._out : self._out + FRAME_SAMPLES]
        if frame and not self._link.sending_keys:
            self._out += FRAME_SAMPLES
            self._sent_at.append(now - self._zero)
            self._link.send(frame.ljust(FRAME_SAMPLES, self._silence[:1]))
        else:
            self._link.send(self._silence)
        if self._waiting is not None:
            done, until, future = self._waiting
            if not future.done() and (done() or now > until):
                future.set_result(done())

    def _press_next(self) -> None:
        assert self._link is not None
        if self._pause:
            self._pause -= 1
            return
        self._link.press(self._keys[0])
        self._keys, self._pause = self._keys[1:], KEY_GAP_FRAMES

    def _begin(self, at: float) -> None:
        if self._reception is None:
            self._zero, self._reception = at, Reception(at, self._law)

    def _on_packet(self, packet: Packet, arrival: float) -> None:
        self._begin(arrival)
        assert self._reception is not None
        if self._law.rms(self._reception.feed(packet, arrival)) > VOICED_RMS:
            self._last_voiced = arrival - self._zero
            if self._speaking_since is None:
                self._speaking_since = self._last_voiced

    @property
    def _now(self) -> float:
        return time.monotonic() - self._zero

    # ---- what he does

    async def _play(self) -> None:
        behaviour = self.behaviour
        if behaviour.kind in ("early", "silent"):
            await self._until(lambda: False, behaviour.after_s)
        else:
            await self._converse()
        self._hang_up()

    async def _converse(self) -> None:
        since = 0.0
        if self.behaviour.keys:
            await self._until_finished(after=since)
            self._keys, since = self.behaviour.keys, self._now
            await self._until(lambda: not self._keys and self._link is not None and not self._link.sending_keys, 20.0)
            if await self._until(lambda: (self._last_voiced or -1.0) > since, AFTER_KEYS_S):
                await self._until_finished(after=since)
        for number, line in enumerate(self.behaviour.lines):
            if line.barge_in_s is not None:
                await self._until_speaks_for(line.barge_in_s)
            elif number or not self.behaviour.keys:
                await self._until_finished(after=since)
            since = await self._say(line)
        await self._until_finished(after=since)

    async def _until(self, done: Check, limit_s: float) -> bool:
        """Until it is so; False where it is not within the time."""
        future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting = (done, time.monotonic() + limit_s, future)
        try:
            return await future
        finally:
            self._waiting = None

    async def _until_finished(self, *, after: float) -> None:
        """Until the agent has spoken after that moment and been quiet for a while."""

        def finished() -> bool:
            last = self._last_voiced
            return last is not None and last > after and self._now - last > QUIET_S

        if await self._until(lambda: (self._last_voiced or -1.0) > after, PATIENCE_S):
            await self._until(finished, FINISHED_S)

    async def _until_speaks_for(self, seconds: float) -> None:
        """Until so long after the agent's first voice behind our last words."""

        def long_enough() -> bool:
            return self._speaking_since is not None and self._now - self._speaking_since >= seconds

        await self._until(long_enough, PATIENCE_S)

    async def _say(self, line: Line) -> float:
        """To its end; when its last voiced sample left."""
        self._outbox, self._out, self._sent_at = self._law.encode(line.pcm), 0, []
        begins = self._now
        spans = voiced_spans(line.pcm, CLOCK)
        first, last = (spans[0][0], spans[-1][1] - 1) if spans else (0, 0)
        await self._until(lambda: self._out >= len(self._outbox), len(line.pcm) / 2 / CLOCK + 5.0)
        self._speaking_since = None
        spoken = Spoken(line, begins, self._sent(last, begins), self._sent(first, begins))
        self._lines.append(spoken)
        return spoken.last_voice

    def _sent(self, sample: int, begins: float) -> float:
        frame, offset = divmod(sample, FRAME_SAMPLES)
        if frame < len(self._sent_at):
            return self._sent_at[frame] + offset / CLOCK
        return begins + sample / CLOCK

    # ---- what came of it

    async def result(self, started: float) -> Call:
        """Times are seconds since `started`, but for those of turns, which are since the call's own zero."""
        if self._talk is not None:
            with contextlib.suppress(asyncio.CancelledError):
                await self._talk

        def since(at: float | None) -> float | None:
            return None if at is None else at - started

        turns, media = self._heard()
        talking = self._out < len(self._outbox)
        return Call(
            self.number, self.id, self.behaviour.kind, since(self.offered_at), since(self.answered_at),
            since(self.ended_at), self.code, self.ended_by, turns, media,
            begun_s=self._zero - started if self._reception is not None else 0.0, cut_while_talking=talking,
        )  # fmt: skip

    def _heard(self) -> tuple[tuple[Turn, ...], Media]:
        """Measured from what was sent and received (`audio.measure`)."""
        reception = self._reception
        if reception is None or self.answered_at is None:
            return (), Media()
        pcm, arrivals, positions = reception.track()
        heard = Heard(self.id, CLOCK, lines=self._lines, agent=bytearray(pcm), arrivals=arrivals, positions=positions)
        heard.measure()
        voice = [(heard.moment(a), heard.moment(b - 1)) for a, b in voiced_spans(pcm, CLOCK)]
        ended = (self.ended_at or time.monotonic()) - self._zero
        gaps = heard.frame_gaps()
        media = Media(
            voice=tuple(voice), longest_silence_s=longest_silence(voice, self._lines, ended),
            packets=reception.packets, lost=reception.lost, reordered=reception.reordered,
            duplicates=reception.duplicates, jitter_s=reception.worst_jitter_s, frame_gap_s=max(gaps, default=0.0),
            sent=self._link.sent if self._link is not None else 0,
        )  # fmt: skip
        return tuple(
            Turn(
                spoken.line.label, spoken.begins, spoken.last_voice, spoken.answer,
                None if spoken.agent_stopped is None else spoken.agent_stopped - spoken.first_voice,
            )
            for spoken in self._lines
        ), media  # fmt: skip


def longest_silence(voice: list[tuple[float, float]], lines: list[Spoken], ended: float) -> float:
    """Seconds without voice while it was the agent's turn: from the answer, and from each of the caller's last voiced
    samples, up to the end of what the agent said before the caller's next words."""
    begins = [0.0, *(line.last_voice if line.agent_stopped is None else max(line.last_voice, line.agent_stopped)
                     for line in lines)]  # fmt: skip
    ends = [*(line.first_voice for line in lines), ended]
    longest = 0.0
    for begin, end in zip(begins, ends, strict=True):
        at = begin
        inside = [(a, b) for a, b in voice if begin < b and a < end]
        for first, last in inside:
            longest, at = max(longest, first - at), max(at, last)
        if not inside:
            longest = max(longest, end - begin)
    return longest

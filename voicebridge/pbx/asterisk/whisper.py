"""Our own voice to a human who is called: an AudioSocket leg that says one thing until it is hung up."""

from __future__ import annotations

from uuid import UUID

from voicebridge.audio.clock import Ticker
from voicebridge.audio.pcm import frame_bytes
from voicebridge.pbx.leg import LegListener, MediaLeg

LEAD_S = 0.4
"""Silence before the first word: who has just picked up is not listening yet."""
PAUSE_S = 2.0
"""Before it is said again."""


class Whisper:
    """Says `pcm` (16-bit mono at the leg's rate) over and over. `leg` is None until Asterisk has come."""

    def __init__(self, pcm: bytes, rate: int) -> None:
        self._round = _silence(LEAD_S, rate) + pcm + _silence(PAUSE_S, rate)
        self._rate = rate
        self._at = 0
        self.leg: MediaLeg | None = None

    def tick(self, _: float) -> None:
        leg = self.leg
        if leg is None:
            return
        size = frame_bytes(self._rate)
        frame = self._round[self._at : self._at + size]
        self._at = (self._at + size) % len(self._round) if len(frame) == size else 0
        leg.send_audio(frame.ljust(size, b"\0"))

    def on_audio(self, pcm: bytes, rate: int) -> None:
        """What the human says is his own."""

    def on_dtmf(self, digit: str) -> None:
        """His keys come as events of his channel."""

    def on_closed(self, reason: str) -> None:
        self.leg = None


class Whispers:
    """Those that Asterisk is about to come for, by the id it will bring."""

    def __init__(self, ticker: Ticker) -> None:
        self._ticker = ticker
        self._expected: dict[UUID, tuple[Whisper, int]] = {}

    def expect(self, call_id: UUID, whisper: Whisper) -> None:
        self._expected[call_id] = (whisper, self._ticker.add(whisper.tick))

    def accept(self, leg: MediaLeg) -> LegListener | None:
        """None where the leg is no whisper's (or a second one for the same)."""
        whisper, _ = self._expected.get(leg.call_id, (None, 0))
        if whisper is None or whisper.leg is not None:
            return None
        whisper.leg = leg
        return whisper

    def end(self, call_id: UUID) -> None:
        whisper, ticket = self._expected.pop(call_id, (None, 0))
        if whisper is None:
            return
        self._ticker.remove(ticket)
        if whisper.leg is not None:
            whisper.leg.hang_up()


def _silence(seconds: float, rate: int) -> bytes:
    return bytes(round(seconds * rate) * 2)

"""A PBX leg: the one thing a call needs of a PBX, whichever it is and by whatever wire its audio comes."""

from __future__ import annotations

from typing import Protocol
from uuid import UUID


class LegListener(Protocol):
    """What a leg tells the call. Called on the event loop; must not block."""

    def on_audio(self, pcm: bytes, rate: int) -> None:
        """The caller's audio as it arrives: 16-bit little-endian mono, any length, `rate` in Hz."""

    def on_dtmf(self, digit: str) -> None:
        """One of 0-9 A-D * #."""

    def on_closed(self, reason: str) -> None:
        """The leg is gone: `hangup` (the peer said so, or ended the stream), `dropped` (connection lost), `error`, or
        `local` (we hung up).

        Called exactly once; nothing is called after it.
        """


class MediaLeg(Protocol):
    """One call's media, as the call sees it."""

    @property
    def call_id(self) -> UUID: ...

    @property
    def rate(self) -> int:
        """Hz of what `send_audio` takes: 8000 until the caller's first frame tells otherwise."""

    @property
    def peer(self) -> str:
        """Who is at the other end, for the log: `127.0.0.1:4711`."""

    def send_audio(self, frame: bytes) -> None:
        """Send 20 ms (rate / 50 samples, 16-bit little-endian mono) now. Never blocks, never raises when closed."""

    def hang_up(self) -> None:
        """End the leg; for Asterisk's AudioSocket() this returns the channel to the dialplan."""

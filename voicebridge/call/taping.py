"""What of a call goes into its recording: both sides a tick, without keys and secrets, and only where it may.

The last half second is held back: a key is told of at its end, when its tone has been heard.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from voicebridge.audio.recording import Recorder

FRAME_S = 0.02
HELD_FRAMES = 25
KEY_FRAMES = round(0.3 / FRAME_S)
"""Before a key is told of and after it."""
AHEAD_FRAMES = 10
"""What the caller sends faster than we speak is left out: the sides stay together."""
CATCH_UP_FRAMES = 5
"""A tick: of the silence that stands for what was not to be recorded."""


class Tape:
    """`make` opens the recording, when something may be recorded for the first time: what came before is silence, so
    that it is as long as the call."""

    def __init__(self, make: Callable[[], Recorder | None]) -> None:
        self._make = make
        self._recorder: Recorder | None = None
        self._held: deque[tuple[bytes, bytes]] = deque()
        self._caller = bytearray()
        self._skipped = 0
        self._keys_left = 0
        self._tones = False

    @property
    def recorded(self) -> bool:
        return self._recorder is not None

    def hear(self, pcm: bytes, *, secret: bool) -> None:
        """The caller's sound. `secret`: he says or keys something that must not be kept."""
        self._caller += bytes(len(pcm)) if secret or self._keys_left else pcm

    def key(self) -> None:
        """The caller has pressed a key."""
        self._caller[:] = bytes(len(self._caller))
        for at in range(max(0, len(self._held) - KEY_FRAMES), len(self._held)):
            caller, agent = self._held[at]
            self._held[at] = bytes(len(caller)), agent
        self._keys_left = KEY_FRAMES

    def tones(self, on: bool) -> None:
        """Keys of ours are being sent as tones, from the last frame on."""
        if on and self._held:
            caller, agent = self._held[-1]
            self._held[-1] = caller, bytes(len(agent))
        self._tones = on

    def tick(self, agent: bytes, *, may: bool, secret: bool) -> None:
        """20 ms of our side have been sent. `may`: this may be recorded. `secret`: neither side is to be heard."""
        caller = bytes(self._caller[: len(agent)])
        del self._caller[: max(len(agent), len(self._caller) - AHEAD_FRAMES * len(agent))]
        if self._recorder is None:
            if not may:
                self._skipped += 1
                return
            self._recorder = self._make()
            if self._recorder is None:
                return
        if self._keys_left:
            self._keys_left -= 1
            caller = b""
        self._held.append((caller if may and not secret else b"", b"" if secret or self._tones or not may else agent))
        for _ in range(min(CATCH_UP_FRAMES, self._skipped)):
            self._silence()
        if not self._skipped and len(self._held) > HELD_FRAMES:
            self._recorder.write(*self._held.popleft())

    def _silence(self) -> None:
        self._skipped -= 1
        if self._recorder is not None:
            self._recorder.write(b"", b"")

    async def close(self) -> None:
        """Write what is held back."""
        if self._recorder is None:
            return
        while self._skipped:
            self._silence()
        while self._held:
            self._recorder.write(*self._held.popleft())
        await self._recorder.close()

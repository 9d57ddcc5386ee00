"""Keys that come by two ways: Asterisk tells of them over ARI, and newer ones also within the AudioSocket."""

from __future__ import annotations

from voicebridge.pbx.leg import LegListener


class Keys:
    """Between a leg and its call: every key reaches the call once, by whichever way it is told first.

    Both ways tell all keys in their order (or one of them none): the n-th of one is the n-th of the other.
    """

    def __init__(self, inner: LegListener) -> None:
        self._inner = inner
        self._from_media = self._from_ari = self._told = 0
        self._closed = False

    def on_audio(self, pcm: bytes, rate: int) -> None:
        self._inner.on_audio(pcm, rate)

    def on_dtmf(self, digit: str) -> None:
        """From the AudioSocket."""
        self._from_media += 1
        self._tell(self._from_media, digit)

    def on_ari_dtmf(self, digit: str) -> None:
        self._from_ari += 1
        self._tell(self._from_ari, digit)

    def on_closed(self, reason: str) -> None:
        self._closed = True
        self._inner.on_closed(reason)

    def _tell(self, number: int, digit: str) -> None:
        if number > self._told and not self._closed:
            self._told = number
            self._inner.on_dtmf(digit)

"""AudioSocket, the PBX's side: for test calls, tests and benchmarks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from uuid import UUID

from voicebridge.protocol import audiosocket as wire

OnAudio = Callable[[bytes, int], None]
OnClosed = Callable[[str], None]


class AudioSocketClient(asyncio.Protocol):
    """A connection that plays the PBX. Callbacks come on the event loop."""

    def __init__(self, call_id: UUID, *, on_audio: OnAudio, on_closed: OnClosed, rate: int = 8_000) -> None:
        self.call_id = call_id
        self.rate = rate
        self._on_audio = on_audio
        self._on_closed = on_closed
        self._parser = wire.AudioSocketParser()
        # The server sends no call id of its own: tell the parser that the conversation is open.
        self._parser.feed(wire.uuid_frame(call_id))
        self._parser.next_event()
        self._transport: asyncio.Transport | None = None
        self._reason = "dropped"

    @classmethod
    async def connect(
        cls, host: str, port: int, call_id: UUID, *, on_audio: OnAudio, on_closed: OnClosed, rate: int = 8_000
    ) -> AudioSocketClient:
        """Connects and tells the call's id. Raises OSError."""
        loop = asyncio.get_running_loop()
        _, client = await loop.create_connection(
            lambda: cls(call_id, on_audio=on_audio, on_closed=on_closed, rate=rate), host, port
        )
        return client

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._transport = transport
        transport.write(wire.uuid_frame(self.call_id))

    def data_received(self, data: bytes) -> None:
        self._parser.feed(data)
        try:
            for event in self._parser.events():
                self._take(event)
        except wire.RemoteProtocolError:
            self._reason = "error"
            self.close()

    def _take(self, event: wire.Event) -> None:
        match event:
            case wire.Audio():
                self._on_audio(event.pcm, event.rate)
            case wire.Hangup():
                self._reason = "hangup"
                self.close()
            case wire.PeerError():
                self._reason = "error"
                self.close()
            case _:
                pass

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._on_closed(self._reason)

    @property
    def open(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    def send_audio(self, pcm: bytes) -> None:
        if self._transport is not None:
            self._transport.write(wire.audio_frame(pcm, self.rate))

    def send_dtmf(self, digit: str) -> None:
        if self._transport is not None:
            self._transport.write(wire.dtmf_frame(digit))

    def hang_up(self) -> None:
        """Say so and close, as Asterisk does when its caller has gone."""
        if self._transport is not None:
            self._transport.write(wire.hangup_frame())
            self._reason = "local"
            self.close()

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

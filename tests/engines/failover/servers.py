"""Speech servers of the Wyoming protocol that do on demand what real ones do on their bad days."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from wyoming.event import Event, async_read_event, async_write_event

from voicebridge.engines.base import SttEngine, TtsEngine
from voicebridge.engines.local import RemoteHost
from voicebridge.engines.wyoming_stt import WyomingStt
from voicebridge.engines.wyoming_tts import WyomingTts

RATE = 8_000


class Server:
    """Hears `heard` in everything and says `tone` whatever it is given. `mood` is how it serves its next request:
    well, dead, hung, garbage, slow, empty, deaf (to a voice it has not), silent."""

    def __init__(self, name: str, folder: Path, mood: str = "well", *, slow_s: float = 0.9) -> None:
        self.name = name
        self.path = folder / f"{name}.sock"
        self.mood = mood
        self.slow_s = slow_s
        self.asked: list[dict[str, Any]] = []
        self.heard: list[int] = []
        """Bytes of audio of each request."""
        self.phrases: list[tuple[str, ...]] = []
        self._server: asyncio.Server | None = None
        self._writers: list[asyncio.StreamWriter] = []

    async def start(self) -> None:
        self._server = await asyncio.start_unix_server(self._serve, str(self.path))

    async def die(self) -> None:
        """As at kill -9: nobody listens, and connections are gone."""
        if self._server is not None:
            self._server.close()
        for writer in self._writers:
            writer.close()
        self.path.unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        pcm, asked = bytearray(), {}
        with contextlib.suppress(OSError):
            while event := await async_read_event(reader):
                if event.type == "describe":
                    if self.mood != "hung":
                        await async_write_event(Event("info", {"asr": [], "tts": []}), writer)
                elif event.type == "transcribe":
                    asked = event.data
                    pcm.clear()
                elif event.type == "audio-chunk":
                    pcm += event.payload or b""
                elif event.type == "audio-stop":
                    self.asked.append(asked)
                    self.heard.append(len(pcm))
                    await self._answer(writer, Event("transcript", {"text": f"{self.name} {len(pcm)}"}))
                elif event.type == "synthesize":
                    self.asked.append(event.data)
                    await self._speak(writer, event.data)
        writer.close()

    async def _answer(self, writer: asyncio.StreamWriter, good: Event) -> None:
        match self.mood:
            case "dead":
                await self.die()
            case "hung":
                pass
            case "garbage":
                writer.write(b"\x00\x01 this is no event\n")
            case "empty":
                await async_write_event(Event("transcript", {"text": " "}), writer)
            case "slow":
                await asyncio.sleep(self.slow_s)
                await async_write_event(good, writer)
            case _:
                await async_write_event(good, writer)

    async def _speak(self, writer: asyncio.StreamWriter, asked: dict[str, Any]) -> None:
        voice = (asked.get("voice") or {}).get("name")
        if self.mood == "deaf" and voice:
            await async_write_event(Event("error", {"text": f"no voice {voice}"}), writer)
            return
        if self.mood in ("hung", "dead", "garbage"):
            await self._answer(writer, Event("audio-stop"))
            return
        if self.mood == "slow":
            await asyncio.sleep(self.slow_s)
        sound = {"silent": bytes(8_000), "empty": b""}.get(self.mood, self.name.encode()[:2].ljust(2) * 4_000)
        audio = {"rate": RATE, "width": 2, "channels": 1}
        await async_write_event(Event("audio-start", audio), writer)
        await async_write_event(Event("audio-chunk", audio, sound), writer)
        await async_write_event(Event("audio-stop"), writer)


@contextlib.asynccontextmanager
async def serving(folder: Path, **moods: str) -> AsyncIterator[list[Server]]:
    servers = [Server(name, folder, mood) for name, mood in moods.items()]
    for server in servers:
        await server.start()
    try:
        yield servers
    finally:
        for server in servers:
            await server.die()


def stt(server: Server) -> SttEngine:
    return WyomingStt(server.name, RemoteHost(f"unix://{server.path}", "stt"))


def tts(server: Server) -> TtsEngine:
    return WyomingTts(server.name, RemoteHost(f"unix://{server.path}", "tts"))


@contextlib.asynccontextmanager
async def started(engine: Any, *, ready: bool = True) -> AsyncIterator[Any]:
    """`ready`: wait until all of its engines are."""
    await engine.start()
    try:
        if ready:
            for one in engine.engines:
                assert await one.wait_ready(10)
        yield engine
    finally:
        await engine.stop()

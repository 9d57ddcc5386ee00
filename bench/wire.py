"""A worker of ours behind a wire that can be spoilt in the middle of a call.

    with worker("vosk", folder) as target, Wire(folder / "wire.sock", target) as wire:
        ...                            # an engine named "unix://.../wire.sock"
        wire.spoilt = "garbage"        # answers are replaced by bytes that mean nothing
        wire.spoilt = "full"           # requests are refused (HTTP) or not come to (Wyoming), as by a full queue

Whether it is there it still tells: a probe finds nothing wrong with it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

from bench.loop import READY_S, RECOGNISER, VOICE
from voicebridge.config import cache_dir
from voicebridge.engines.model_host import SPINS
from voicebridge.engines.supervisor import LAUNCHER
from voicebridge.modelstore.resolve import resolve

Spoilt = Literal["", "garbage", "full"]
GARBAGE = b'\xfe\x00\xf3{"type": 7, \n\r\n}\x9c not what was asked for\n\n'
TELLS = (b'{"type": "info"', b'{"type": "pong"')
WHY = b'{"error": {"message": "the queue is full"}}'
REFUSAL = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nConnection: close\r\n"
    b"Content-Length: %d\r\n\r\n%b" % (len(WHY), WHY)
)
PIECE = 65_536
HELD_S = 0.02


class Wire:
    """From `socket` to the worker at `target`, in a thread of its own: who makes calls may block."""

    def __init__(self, socket: Path, target: Path) -> None:
        self.socket = socket
        self.spoilt: Spoilt = ""
        self.hits = 0
        """So many answers were spoilt."""
        self._target = target
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name=f"wire {socket.name}", daemon=True)
        self._up = threading.Event()

    def __enter__(self) -> Wire:
        self._thread.start()
        self._up.wait()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _run(self) -> None:
        server = self._loop.run_until_complete(asyncio.start_unix_server(self._connected, self.socket))
        self._up.set()
        self._loop.run_forever()
        server.close()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(asyncio.sleep(HELD_S))
        self._loop.close()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there, back = await asyncio.open_unix_connection(self._target)
        except OSError:
            writer.close()
            return
        asked = _Asked()
        ways = [
            asyncio.create_task(self._asks(reader, back, writer, asked)),
            asyncio.create_task(self._answers(there, writer, asked)),
        ]
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        for way in ways:
            way.cancel()
        for end in (back, writer):
            end.close()

    async def _asks(
        self, reader: asyncio.StreamReader, back: asyncio.StreamWriter, writer: asyncio.StreamWriter, asked: _Asked
    ) -> None:
        with contextlib.suppress(OSError):
            while piece := await reader.read(PIECE):
                asked.whether_it_is_there = piece.startswith(b"GET ")
                if self.spoilt == "full" and piece.startswith(b"POST "):
                    self.hits += 1
                    writer.write(REFUSAL)
                    await writer.drain()
                    return
                back.write(piece)
                await back.drain()

    async def _answers(self, there: asyncio.StreamReader, writer: asyncio.StreamWriter, asked: _Asked) -> None:
        with contextlib.suppress(OSError):
            while piece := await there.read(PIECE):
                if self.spoilt and not asked.whether_it_is_there and not piece.startswith(TELLS):
                    self.hits += 1
                    if self.spoilt == "garbage":
                        piece = GARBAGE
                    while self.spoilt == "full":  # noqa: ASYNC110 - it is set in another thread
                        await asyncio.sleep(HELD_S)
                writer.write(piece)
                await writer.drain()


class _Asked:
    """By a connection, last."""

    whether_it_is_there = False


def _command(engine: str, socket: Path) -> tuple[str, ...]:
    llm = {"model": str(resolve("llama_cpp", "", "smollm2-135m-instruct", cache_dir(), kind="llm")), "calls": 2}
    options: Mapping[str, Mapping[str, Any]] = {
        "vosk": {"models": {"en": RECOGNISER["model"]}},
        "piper": {"voices": {"tiny": str(VOICE)}},
        "llama_cpp": llm,
    }
    module = {"llama_cpp": ("voicebridge.engines.llama_cpp.worker",)}.get(
        engine, ("voicebridge.engines.worker", f"voicebridge.engines.{engine}:ENGINE")
    )
    return (sys.executable, "-m", *module, "--socket", str(socket), "--options", json.dumps(options[engine]))


@contextlib.contextmanager
def worker(engine: str, folder: Path) -> Iterator[Path]:
    """The worker process of `vosk`, `piper` or `llama_cpp`, by itself; gives its socket. It dies with us."""
    socket = folder / f"{engine}-behind.sock"
    argv = (sys.executable, "-I", "-S", str(LAUNCHER), str(os.getpid()), "0", *_command(engine, socket))
    with (folder / f"{engine}.log").open("wb") as log:
        env = {**os.environ, "GOMP_SPINCOUNT": SPINS}  # as the daemon has it: threads that spin wait for each other
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=env)
    try:
        until = time.monotonic() + READY_S
        while not socket.exists():
            if process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"{engine} did not start: {(folder / f'{engine}.log').read_text()}")
            time.sleep(0.05)
        yield socket
    finally:
        process.kill()
        process.wait()

"""Where a Wyoming engine runs: a worker process of our own, or a server that somebody else keeps."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Protocol

from voicebridge.engines.supervisor import Worker, WorkerSpec
from voicebridge.engines.wyoming_link import Address, describe, reachable

log = logging.getLogger(__name__)

WATCH_EVERY_S = 2.0
WATCH_PATIENCE_S = 5.0
"""Some servers answer nobody while they compute."""
BUSY_MISSES = 6
"""A server that takes connections and does not say what it offers for so many times is hung, not busy."""
START_TIMEOUT_S = 30.0
WORKER_NICE = 10


class Host(Protocol):
    """What keeps an engine's server running, or at least watches it."""

    @property
    def address(self) -> Address: ...
    @property
    def ready(self) -> bool: ...
    @property
    def voices(self) -> frozenset[str]:
        """The voices that a server which is not ours says it has; empty where it does not tell."""

    async def start(self) -> None:
        """Returns at once; `ready` turns true when the server answers."""

    async def wait_ready(self, timeout: float) -> bool: ...  # noqa: ASYNC109 - the answer is a bool
    async def stop(self) -> None: ...


class LocalHost:
    """A supervised worker process on a Unix socket in a folder that only we can enter.

    `engine` is where the ENGINE object is, as worker.py takes it. Of `options`, `nice` and `run_dir` are
    for us; all others go to the worker.
    """

    voices: frozenset[str] = frozenset()

    def __init__(
        self, name: str, engine: str, options: Mapping[str, Any], *, env: Mapping[str, str],
        start_timeout_s: float = START_TIMEOUT_S,
    ) -> None:  # fmt: skip
        passed = {key: value for key, value in options.items() if key not in ("nice", "run_dir")}
        self._own_folder: tempfile.TemporaryDirectory[str] | None = None
        if "run_dir" in options:
            folder = Path(str(options["run_dir"]))
        else:
            self._own_folder = tempfile.TemporaryDirectory(prefix="voicebridge-")
            folder = Path(self._own_folder.name)
        socket = folder / f"{name}.sock"
        self.address = Address(f"unix://{socket}")
        self.worker = Worker(
            WorkerSpec(
                name=name,
                argv=(
                    *(sys.executable, "-m", "voicebridge.engines.worker", engine),
                    *("--socket", str(socket), "--options", json.dumps(passed)),
                ),
                probe=self._probe,
                socket=socket,
                nice=int(options.get("nice", WORKER_NICE)),
                env={"PYTHONPATH": str(Path(__file__).parents[2]), **env},
                start_timeout_s=start_timeout_s,
            )
        )

    @property
    def ready(self) -> bool:
        return self.worker.ready

    async def start(self) -> None:
        self.worker.start()

    async def wait_ready(self, timeout: float) -> bool:  # noqa: ASYNC109 - the answer is a bool
        return await self.worker.wait_ready(timeout)

    async def stop(self) -> None:
        await self.worker.stop()
        if self._own_folder is not None:
            self._own_folder.cleanup()

    async def _probe(self) -> bool:
        return await describe(self.address) is not None


class RemoteHost:
    """A Wyoming server that runs without us; asked every 2 s whether it is there.

    `kind` is what it is wanted for: one that offers only the other is not ready, and the log tells why.
    """

    worker = None

    def __init__(self, uri: str, kind: Literal["stt", "tts"]) -> None:
        self.address = Address(uri)
        self.voices: frozenset[str] = frozenset()
        self._kind = kind
        self._up = asyncio.Event()
        self._misses = 0
        self._mistaken = False
        self._watch: asyncio.Task[None] | None = None

    @property
    def ready(self) -> bool:
        return self._up.is_set()

    async def start(self) -> None:
        if self._watch is None:
            self._watch = asyncio.create_task(self._watch_it(), name=f"watch {self.address.uri}")

    async def wait_ready(self, timeout: float) -> bool:  # noqa: ASYNC109 - the answer is a bool
        try:
            async with asyncio.timeout(timeout):
                await self._up.wait()
        except TimeoutError:
            return False
        return True

    async def stop(self) -> None:
        task, self._watch = self._watch, None
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        self._up.clear()

    async def _watch_it(self) -> None:
        told: bool | None = None
        while True:
            if await self._serves():
                self._up.set()
            else:
                self._up.clear()
            if told is not self.ready:
                told, level = self.ready, logging.INFO if self.ready else logging.WARNING
                log.log(level, "%s %s %s", self._kind, self.address.uri, "answers" if told else "does not answer")
            await asyncio.sleep(WATCH_EVERY_S)

    async def _serves(self) -> bool:
        info = await describe(self.address, WATCH_PATIENCE_S)
        if info is not None:
            self._misses = 0
            self.voices = _names(info.get("tts"))
            return self._offers_it(info)
        self._misses += 1
        return self.ready and self._misses < BUSY_MISSES and await reachable(self.address)

    def _offers_it(self, info: Mapping[str, Any]) -> bool:
        wanted, other = ("asr", "tts") if self._kind == "stt" else ("tts", "asr")
        mistaken = bool(info.get(other)) and not info.get(wanted)
        if mistaken and not self._mistaken:
            log.error(
                "engines.%s = %s: that server offers %s only; check the address and the port",
                *(self._kind, self.address.uri, "text-to-speech" if other == "tts" else "speech-to-text"),
            )
        self._mistaken = mistaken
        return not mistaken


def _names(programs: Any) -> frozenset[str]:
    """The names of all voices in the `tts` part of an `info` (Wyoming: a list of programs with lists of voices)."""
    lists = [one.get("voices") for one in programs or () if isinstance(one, Mapping)]
    voices = [voice for several in lists if isinstance(several, list) for voice in several]
    return frozenset(str(voice["name"]) for voice in voices if isinstance(voice, Mapping) and voice.get("name"))


class Hosted:
    """An engine behind a Host: started and stopped with it, ready when it is."""

    def __init__(self, name: str, host: Host) -> None:
        self.name = name
        self.host = host

    @property
    def ready(self) -> bool:
        return self.host.ready

    async def start(self) -> None:
        """Start the server; does not wait until it is ready."""
        await self.host.start()

    async def wait_ready(self, timeout: float) -> bool:  # noqa: ASYNC109 - the answer is a bool
        return await self.host.wait_ready(timeout)

    async def stop(self) -> None:
        await self.host.stop()

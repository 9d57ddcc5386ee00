"""Where a Wyoming engine runs: a worker process of our own, or a server that somebody else keeps."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from voicebridge.engines.supervisor import Worker, WorkerSpec
from voicebridge.engines.wyoming_link import Address, describe

WATCH_EVERY_S = 2.0
START_TIMEOUT_S = 30.0
WORKER_NICE = 10


class Host(Protocol):
    """What keeps an engine's server running, or at least watches it."""

    @property
    def address(self) -> Address: ...
    @property
    def ready(self) -> bool: ...
    async def start(self) -> None:
        """Returns at once; `ready` turns true when the server answers."""

    async def wait_ready(self, timeout: float) -> bool: ...  # noqa: ASYNC109 - the answer is a bool
    async def stop(self) -> None: ...


class LocalHost:
    """A supervised worker process on a Unix socket in a folder that only we can enter.

    `engine` is where the ENGINE object is, as worker.py takes it. Of `options`, `nice` and `run_dir` are
    for us; all others go to the worker.
    """

    def __init__(self, name: str, engine: str, options: Mapping[str, Any], *, env: Mapping[str, str]) -> None:
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
                start_timeout_s=START_TIMEOUT_S,
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
    """A Wyoming server that runs without us; asked every 2 s whether it is there."""

    worker = None

    def __init__(self, uri: str) -> None:
        self.address = Address(uri)
        self._up = asyncio.Event()
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
        while True:
            if await describe(self.address) is not None:
                self._up.set()
            else:
                self._up.clear()
            await asyncio.sleep(WATCH_EVERY_S)

"""The worker process of a GGUF model, which answers HTTP on a Unix socket; what every engine with one needs."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from voicebridge.config import cache_dir
from voicebridge.engines.chat_http import ChatHttp
from voicebridge.engines.supervisor import Worker, WorkerSpec
from voicebridge.modelstore.resolve import resolve

SPINS = "1000"
"""How often a thread of ggml (by GNU OpenMP) looks for the others before it sleeps; the default is 300,000."""
START_TIMEOUT_S = 120.0


class ModelHost:
    """The worker `python -m MODULE --socket PATH --options JSON`, and its address.

    `keeps` names the option by which the worker is told of a folder of its own, that survives its crashes; "" for none.
    """

    def __init__(self, name: str, module: str, options: Mapping[str, Any], *, nice: int, keeps: str = "") -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="voicebridge-")
        folder = Path(self._folder.name)
        self.slot_dir = folder / "slots"
        self.slot_dir.mkdir()
        socket = folder / f"{name}.sock"
        self.http = ChatHttp(socket)
        passed = json.dumps({**options, keeps: str(self.slot_dir)} if keeps else dict(options))
        self.worker = Worker(
            WorkerSpec(
                name=name,
                argv=(sys.executable, "-m", module, "--socket", str(socket), "--options", passed),
                probe=self.http.healthy,
                socket=socket,
                nice=nice,
                env={"PYTHONPATH": str(Path(__file__).parents[2]), "GOMP_SPINCOUNT": SPINS},
                start_timeout_s=START_TIMEOUT_S,
            )
        )

    @property
    def ready(self) -> bool:
        return self.worker.ready

    async def start(self) -> None:
        self.worker.start()

    async def stop(self) -> None:
        await self.worker.stop()
        await self.http.close()
        self._folder.cleanup()


class HostedModel:
    """An engine that is one such worker: starts, stops and is ready with it."""

    def __init__(self, name: str, host: ModelHost) -> None:
        self.name = name
        self.host = host

    @property
    def ready(self) -> bool:
        return self.host.ready

    async def start(self) -> None:
        await self.host.start()

    async def stop(self) -> None:
        await self.host.stop()


def model_path(engine: str, options: Mapping[str, Any], default: str, kind: str = "llm") -> Path:
    """`options.model` is a file or a name of the catalogue. Raises ConfigError, with the cure; UnknownModel is one."""
    return resolve(engine, str(options.get("model") or ""), default, cache_dir(), kind=kind)

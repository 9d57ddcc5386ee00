"""A `llama-server` of the machine's own, as an engine for the comparison: llama.cpp alone, without a gate of ours."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from voicebridge.conversation.toolspec import ToolSpec
from voicebridge.engines.base import LlmSession
from voicebridge.engines.local_llm import DEFAULT_MODEL
from voicebridge.engines.model_host import model_path
from voicebridge.engines.openai_chat import OpenAiPlugin

PARALLEL = 8


def binary() -> Path | None:
    found = shutil.which("llama-server")
    return Path(found) if found else None


class LlamaBinary:
    """An LlmEngine. `options`: `model`, `context`, `threads`."""

    name = "llama-server"

    def __init__(self, path: Path, options: Mapping[str, Any]) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
        model = model_path(self.name, options, DEFAULT_MODEL)
        self.context_tokens = int(options["context"])
        threads = int(options.get("threads") or os.cpu_count() or 1)
        self._command = ["nice", "-n", "10", str(path), "-m", str(model), "--host", "127.0.0.1", "--port", str(port)]
        self._command += ["-np", str(PARALLEL), "-c", str(PARALLEL * self.context_tokens), "-t", str(threads)]
        self._command += ["-b", "64", "-ub", "64"]
        self._chat = OpenAiPlugin().create(
            {
                "urls": [f"http://127.0.0.1:{port}"],
                "model": "any",
                "prefill": True,
                "continues": "prefix",
                "extra": {"cache_prompt": True},
                "context": self.context_tokens,
            }
        )
        self._process: asyncio.subprocess.Process | None = None

    @property
    def ready(self) -> bool:
        return self._chat.ready

    async def start(self) -> None:
        quiet = asyncio.subprocess.DEVNULL
        self._process = await asyncio.create_subprocess_exec(*self._command, stdin=quiet, stdout=quiet, stderr=quiet)
        await self._chat.start()

    async def stop(self) -> None:
        await self._chat.stop()
        if self._process is not None:
            with suppress(ProcessLookupError):
                self._process.terminate()
            await self._process.wait()

    def session(self, *, agent: str, tools: Sequence[ToolSpec] = ()) -> LlmSession:
        return self._chat.session(agent=agent, tools=tools)

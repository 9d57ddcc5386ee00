"""Keeps the process that sends traces (`trace.otel`): started with the daemon, fed a record a call, started again."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import json
import logging
import os
import sys
from pathlib import Path

from voicebridge.config import ConfigError, Settings
from voicebridge.engines import launch, supervisor
from voicebridge.installation import cure
from voicebridge.trace import otel
from voicebridge.trace.bus import Happening

log = logging.getLogger(__name__)

NICE = 10
MAX_WAITING = 8 * 2**20
"""Bytes of records that the process has not taken yet; more are dropped."""
PAUSE_S = (0.2, 1.0, 5.0, 30.0)
FLUSH_S = 3.0
"""What has not been sent so long after the end is lost."""
LIBRARIES = ("opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.http")
PASSED = ("OTEL_", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy", "REQUESTS_")


class Tracing:
    """`happened` is a subscriber of the bus (`call_ended`); it never blocks, and drops what nobody takes."""

    def __init__(self, endpoint: str, *, content: bool = False) -> None:
        self._argv = [sys.executable, "-m", otel.__name__, endpoint, *(["--content"] if content else [])]
        self._endpoint = endpoint
        self._process: asyncio.subprocess.Process | None = None
        self._task: asyncio.Task[None] | None = None
        self.sent = self.dropped = 0

    @property
    def pid(self) -> int | None:
        return None if self._process is None else self._process.pid

    async def start(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._keep(), name="tracing")

    async def stop(self) -> None:
        """Lets it send what it has, for a few seconds."""
        task, self._task = self._task, None
        process, self._process = self._process, None
        if process is not None and process.stdin is not None:
            process.stdin.close()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), FLUSH_S)
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    def happened(self, happening: Happening) -> None:
        if happening.get("event") != "call_ended":
            return
        pipe = self._process.stdin if self._process is not None else None
        if pipe is None or pipe.is_closing() or pipe.transport.get_write_buffer_size() > MAX_WAITING:
            self.dropped += 1
            log.warning("call=%s not traced: the tracing process does not take it", happening.get("call_id"))
            return
        pipe.write(json.dumps(happening["record"]).encode() + b"\n")
        self.sent += 1

    async def _keep(self) -> None:
        log.info("tracing to %s", self._endpoint)
        lives = 0
        while True:
            try:
                why = await self._live()
            except OSError as error:
                why = str(error.strerror)
            pause = PAUSE_S[min(lives, len(PAUSE_S) - 1)]
            lives += 1
            log.warning("tracing: its process ended (%s); starting it again in %.1f s", why, pause)
            await asyncio.sleep(pause)

    async def _live(self) -> str:
        """One process from start to end."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-S", str(launch.__file__), str(os.getpid()), str(NICE)),
            *self._argv,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            env=_environment(),
            start_new_session=True,
        )
        self._process = process
        try:
            assert process.stderr is not None
            async for line in process.stderr:
                word, _, rest = line.decode("utf-8", "replace").strip().partition(" ")
                if (level := logging.getLevelNamesMapping().get(word)) is not None:
                    log.log(level, "tracing: %s", rest[:400])
            return f"exit code {await process.wait()}"
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()


def _environment() -> dict[str, str]:
    """A collector's credentials come in OTEL_EXPORTER_OTLP_HEADERS; of ours it gets no other."""
    passed = {name: value for name, value in os.environ.items() if name.startswith(PASSED)}
    house = str(Path(otel.__file__).parents[2])
    return supervisor.worker_environment({"PYTHONPATH": house, **passed})


def tracing_for(settings: Settings) -> Tracing | None:
    """As the settings want it. Raises ConfigError where the extra is missing or the endpoint is no address."""
    wanted = settings.config.tracing
    if not wanted.endpoint:
        return None
    where = settings.where("tracing", "endpoint")
    if not wanted.endpoint.startswith(("http://", "https://")):
        raise ConfigError(f'{where}: {wanted.endpoint!r} is no web address: write e.g. "http://127.0.0.1:4318"')
    if not all(map(_there, LIBRARIES)):
        raise ConfigError(f"{where}: needs OpenTelemetry, which is not installed: {cure('otel')}")
    return Tracing(wanted.endpoint, content=wanted.content)


def _there(library: str) -> bool:
    try:
        return importlib.util.find_spec(library) is not None
    except ModuleNotFoundError:  # not even its package
        return False

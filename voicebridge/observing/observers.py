"""A daemon's observers, wired: metrics fed by the bus, their listener, OpenTelemetry."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import shutil
from collections.abc import Callable

from voicebridge.config import Settings
from voicebridge.observing.listener import MetricsListener, started
from voicebridge.observing.standing import Looks, Standing
from voicebridge.observing.tracing import Tracing, tracing_for
from voicebridge.trace.bus import Bus
from voicebridge.trace.metrics import Metrics, Names

DISK_EVERY_S = 30.0
COUNTED = ("call_began", "call_ended")


class Observers:
    """`start` before calls are taken, `stop` when the last one has ended. `metrics.text()` is the exposition."""

    def __init__(self, settings: Settings, bus: Bus, looks: Looks) -> None:
        """Raises ConfigError where tracing is wanted and its extra is not installed."""
        self._settings = settings
        self._folder = settings.config.store.dir
        self._free: int | None = None
        self.metrics = Metrics(names_of(settings))
        self.metrics.registry.register(Standing(dataclasses.replace(looks, disk_free=lambda: self._free)))
        self.listener: MetricsListener | None = None
        self.tracing: Tracing | None = tracing_for(settings)
        self._ends: list[Callable[[], None]] = [bus.subscribe(self.metrics.happened, COUNTED)]
        if self.tracing is not None:
            self._ends.append(bus.subscribe(self.tracing.happened, ("call_ended",)))
        self._disk: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Raises ConfigError where the metrics' address cannot be listened on."""
        if self.tracing is not None:
            await self.tracing.start()
        self.listener = await started(self._settings, self.metrics)
        self._disk = asyncio.get_running_loop().create_task(self._look_at_the_disk())

    def renew(self, settings: Settings) -> None:
        """Agents were read anew: their names may stand in labels."""
        self.metrics.names = names_of(settings)

    async def stop(self) -> None:
        for end in self._ends:
            end()
        self._ends.clear()
        if self._disk is not None:
            self._disk.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._disk
        if self.listener is not None:
            await self.listener.stop()
        if self.tracing is not None:
            await self.tracing.stop()

    async def _look_at_the_disk(self) -> None:
        while True:
            with contextlib.suppress(OSError):  # a folder that is not there yet
                self._free = (await asyncio.to_thread(shutil.disk_usage, self._folder)).free
            await asyncio.sleep(DISK_EVERY_S)


def names_of(settings: Settings) -> Names:
    """What the configuration calls its agents, tools, targets and engines."""
    agents, config = settings.agents, settings.config
    tools = {tool for agent in agents.values() for tool in agent.tools}
    engines = {
        choice.name for kind in ("stt", "llm", "tts", "embed", "turn") for choice in config.engines.chosen(kind)
    }
    return Names(frozenset(agents), frozenset(tools), frozenset(config.targets), frozenset(engines))

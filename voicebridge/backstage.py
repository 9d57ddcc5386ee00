"""What an administrator sees of a running daemon and may do to it: the control socket's other side."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import os
import time
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

from voicebridge.agentfile import embedded_agents
from voicebridge.audio.clock import Ticker
from voicebridge.call.registry import Registry
from voicebridge.call.staff import Change, Staff
from voicebridge.config import ConfigError, Settings, load
from voicebridge.installation import OURS
from voicebridge.lineup import Engines
from voicebridge.targets import named_by
from voicebridge.tools.catalogue import Shelf, equipped
from voicebridge.trace.store import CallStore

log = logging.getLogger(__name__)


class Backstage:
    """See `control.app.House`. In the daemon's event loop.

    `renewed` is told the settings with the new agents, in the moment in which these answer.
    """

    def __init__(
        self,
        settings: Settings,
        shelf: Shelf,
        *,
        registry: Registry,
        staff: Staff,
        engines: Engines,
        ticker: Ticker,
        store: CallStore,
        metrics: Callable[[], Iterator[bytes]],
        renewed: Callable[[Settings, Change], None],
    ) -> None:
        self.ready = False
        """Calls are answered."""
        self.stopping = False
        self._settings, self._shelf = settings, shelf
        self._registry, self._staff, self._engines = registry, staff, engines
        self._ticker, self._store = ticker, store
        self._metrics, self._renewed = metrics, renewed
        self._began_at = time.time()
        self._version = metadata.version(OURS)
        self._written = _content(settings.source)
        self._reloading = asyncio.Lock()
        self._reloads = 0

    # ---- to be seen

    def status(self) -> dict[str, Any]:
        late = self._ticker.lateness
        return {
            "version": self._version,
            "pid": os.getpid(),
            "started_at": self._began_at,
            "config": self._settings.source,
            "ready": self.ready,
            "draining": self.stopping or self._registry.draining,
            "calls": len(self._registry),
            "max_calls": self._settings.config.listen.max_calls,
            "agents": list(self._staff),
            "engines": self._engine_states(),
            "clock": {
                "late_p99_ms": late.quantile_ms(0.99), "late_max_ms": round(late.worst_s * 1000, 1),
                "skipped": late.skipped,
            },
            "store": dataclasses.asdict(self._store.stats()),
            "reloads": self._reloads,
        }  # fmt: skip

    def _engine_states(self) -> dict[str, dict[str, Any]]:
        """By kind and name. What is not a worker of ours is ready or not, and says no more."""
        return {
            f"{one.kind} {one.name}": {
                "state": one.state, "restarts": one.restarts or 0, "last_error": one.last_error
            }
            for one in self._engines.standing()
        }  # fmt: skip

    def live_calls(self) -> tuple[str, ...]:
        return self._registry.live

    def live_call(self, call_id: str, *, turns: bool = True) -> dict[str, Any] | None:
        return self._registry.picture(call_id, turns=turns)

    def metrics(self) -> Iterator[bytes]:
        return self._metrics()

    # ---- to be done

    def end_call(self, call_id: str, outcome: Literal["fallback", "hangup"]) -> bool:
        return self._registry.end(call_id, outcome)

    def drain(self, on: bool) -> None:
        """A daemon that ends takes no calls again, whatever is wanted."""
        if not self.stopping:
            log.info("an operator wants %s", "no new calls" if on else "new calls to be taken again")
            self._registry.refuse(on)

    async def reload(self) -> dict[str, Any]:
        """Read the agents anew. Raises ConfigError, and then nothing has changed.

        Only agents: what else voicebridge.toml says needs a restart, and `notes` tells if that has changed.
        """
        async with self._reloading:
            settings = await asyncio.to_thread(self._read)
            change = await self._staff.renew(settings.agents)
            self._settings = settings
            self._registry.serve(settings.agents)
            self._renewed(settings, change)
            self._reloads += 1
        log.info("agents read anew: changed=%s gone=%s", ",".join(change.changed), ",".join(change.gone))
        return {**dataclasses.asdict(change), "notes": self._notes()}

    def _read(self) -> Settings:
        """The agents as they are written now, on top of the settings with which the daemon began. Blocks."""
        source = Path(self._settings.source)
        agents = load(source).agents if source.is_file() else embedded_agents()
        config = self._settings.config
        if config.default_agent not in agents:
            left = ", ".join(sorted(agents))
            raise ConfigError(f"default_agent: {config.default_agent!r} is none of the agents any more: {left}")
        for name, agent in agents.items():
            if unknown := sorted({target for _, target in named_by(agent)} - set(config.targets)):
                raise ConfigError(f"agent {name}: the target {unknown[0]!r} is new: targets need a restart")
            if agent.model_scope != "none" and self._engines.llm is None and config.engines.chosen("llm"):
                raise ConfigError(f"agent {name}: it wants a language model and none was started: that needs a restart")
        settings, _ = equipped(self._settings.model_copy(update={"agents": agents}), self._shelf)
        return settings

    def _notes(self) -> list[str]:
        notes = []
        if _content(self._settings.source) != self._written:
            notes.append(f"{self._settings.source} has changed since the start: what stands there needs a restart")
        rules = [rule for agent in self._settings.agents.values() for rule in agent.rules]
        if self._engines.embed is None and any(rule.examples for rule in rules):
            notes.append("agents have examples now, and no embedder was started: matched by words until a restart")
        return notes


def _content(source: str) -> bytes:
    """A few kilobytes, or nothing."""
    path = Path(source)
    try:
        return path.read_bytes() if path.is_file() else b""
    except OSError:
        return b""

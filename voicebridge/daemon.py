"""The daemon: engines, media clock, listener and calls, from settings to the last record written."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from voicebridge.audio.clock import Ticker
from voicebridge.backstage import Backstage
from voicebridge.call.admission import Admission, spec_for
from voicebridge.call.matching import RuleMatcher
from voicebridge.call.registry import Registry
from voicebridge.call.speech import Mouth, Mouths
from voicebridge.call.staff import Change, Staff
from voicebridge.call.work import Parts, local_now
from voicebridge.config import ConfigError, Settings, cache_dir
from voicebridge.control.place import socket_path
from voicebridge.control.server import ControlServer
from voicebridge.conversation.agent import AgentSpec
from voicebridge.engines.base import EngineError
from voicebridge.engines.failover import members
from voicebridge.handoff.desk import Desk
from voicebridge.handoff.directory import Directory
from voicebridge.handoff.hold import hold_music
from voicebridge.handoff.webhook import Webhook, webhook_for
from voicebridge.hooks.catalogue import runners
from voicebridge.hooks.runner import Runner
from voicebridge.lineup import Engines
from voicebridge.observing.observers import Observers
from voicebridge.observing.standing import Looks
from voicebridge.pbx.asterisk.ari import AriError, access_of, own_host
from voicebridge.pbx.asterisk.entrance import Entrance, Given
from voicebridge.pbx.asterisk.stasis import Stasis
from voicebridge.pbx.asterisk.sweep import sweep
from voicebridge.pbx.attach import Destination, Ticket
from voicebridge.pbx.leg import LegListener, MediaLeg
from voicebridge.tools.catalogue import Shelf, equipped
from voicebridge.tools.runner import ToolRunner
from voicebridge.trace.bus import Bus
from voicebridge.trace.privacy import Privacy
from voicebridge.trace.store import CallStore, StoreError

log = logging.getLogger(__name__)

PURGE_EVERY_S = 6 * 3600
BRIEF_S = 3.0
"""A human who is called takes so long to answer, at least; his telephone rings while we make what he will hear."""
BRIEF_PAUSE_S = 0.5
TOOLS_END_S = 5.0
"""At shutdown, for tools that are to be completed although their caller is gone."""
RENDER_AGAIN_S = 30.0
NEEDED = ("stt", "tts")
"""Kinds of engines without which a caller is neither understood nor answered."""
Progress = Callable[[str], None]


class Daemon:
    """One process that serves calls. `start`, then `serve` until `stop` is asked for, then everything is put away.

    `shelf`: the tools, where they are not to be those of the installed plug-ins. `given`: sockets that somebody holds
    open for us (systemd): who comes while no daemon runs waits there.
    """

    def __init__(
        self,
        settings: Settings,
        progress: Progress | None = None,
        *,
        shelf: Shelf | None = None,
        given: Given | None = None,
    ) -> None:
        settings, shelf = equipped(settings, shelf)
        self.settings = settings
        self.tools = ToolRunner(shelf.tools.values(), folder=settings.config.store.dir, settings=shelf.settings)
        self._directory = Directory(settings.config.targets)
        self._webhook: Webhook | None = None
        self._hold_music = hold_music(settings.config.handoff)
        self.engines = Engines(settings)
        self.ticker = Ticker()
        config = settings.config
        self.store = _store(settings)
        self.bus = Bus()
        self.registry = Registry(
            self._choose,
            self.ticker,
            self.store,
            admission=Admission(
                settings.agents,
                config.default_agent,
                max_calls=config.listen.max_calls,
                targets={name: Destination(name, target.kind, target.dest) for name, target in config.targets.items()},
                bare=config.listen.bare,
            ),
            record_audio=config.store.record_audio,
            event_log=config.store.event_log,
            bus=self.bus,
            privacy=Privacy(config.store.redact, config.store.caller_numbers, config.store.dir),
        )
        self.hooks: dict[str, Runner] = runners(settings)
        self.observers = Observers(settings, self.bus, self._looks())
        self.staff = Staff(self._make_parts)
        self._mouths = Mouths(self.engines.tts, cache_dir())
        self._entrance = Entrance(
            config.listen, self.registry, self._accept, self.registry.hung_up, ticker=self.ticker, given=given
        )
        access = access_of(config)
        self.stasis: Stasis | None = None
        if access is not None:
            self.stasis = Stasis(
                access, self.registry, self._ari_media, self.ticker, self._brief, self.registry.hung_up
            )
        self._host_for_ari = ""
        self.backstage = Backstage(
            settings, shelf, registry=self.registry, staff=self.staff, engines=self.engines, ticker=self.ticker,
            store=self.store, metrics=self.observers.metrics.pieces, renewed=self._renewed,
        )  # fmt: skip
        path = socket_path(config)
        self.control = ControlServer(path, self.backstage, self.bus) if path is not None else None
        self._stopping = asyncio.Event()
        self._background: set[asyncio.Task[None]] = set()
        self._progress = progress or (lambda text: None)

    @property
    def port(self) -> int:
        """The port that is listened on (a free one where 0 was configured)."""
        return self._entrance.port

    @property
    def agi_port(self) -> int | None:
        """The port of FastAGI; None where it is off."""
        return self._entrance.agi_port

    @property
    def doors(self) -> list[str]:
        """Where callers come in, for people."""
        return self._entrance.told

    async def start(self, *, ready_timeout_s: float = 60.0) -> None:
        """Up to the point where calls are answered. Raises ConfigError, PluginError, OSError."""
        try:
            await asyncio.to_thread(self.store.prepare)
        except OSError as error:
            where = self.settings.where("store", "dir")
            raise ConfigError(f"{where} = {self.store.folder}: {error.strerror or error}") from error
        except StoreError as error:
            raise ConfigError(str(error)) from error
        await self.observers.start()
        if self.control is not None:
            await self.control.start()
        for hook in self.hooks.values():
            hook.start(self.bus)
        self._webhook = webhook_for(self.settings.config.handoff)
        await self._sweep()
        self._progress("starting engines")
        await self.engines.start()
        await self.staff.hire(self.settings.agents.values())
        if not await self.engines.wait_ready(timeout_s=ready_timeout_s):
            late = ", ".join(name for name, ready in self.engines.states().items() if not ready)
            log.error("not ready after %.0f s: %s; calls are answered as far as the others can", ready_timeout_s, late)
        self._progress("rendering prompts, embedding examples")
        await self.staff.prepare()
        self.ticker.start()
        await self._listen()
        self._keep(self._purge_now_and_then())
        self._keep(self.staff.warm())
        self._keep(self._render_missing())
        self.backstage.ready = True

    def _looks(self) -> Looks:
        """Where metrics look when they are asked for."""
        registry = self.registry
        return Looks(
            calls=registry.__len__, limit=self.settings.config.listen.max_calls, draining=lambda: registry.draining,
            refused=lambda: registry.refusals, lateness=lambda: self.ticker.lateness, engines=self.engines.standing,
            store=self.store.stats, hooks=lambda: self.hooks,
        )  # fmt: skip

    def _make_parts(self, agent: AgentSpec) -> Parts:
        return Parts(
            agent=agent,
            stt=self.engines.stt,
            llm=self.engines.llm if agent.model_scope != "none" else None,
            mouth=Mouth(self.engines.tts, agent, cache_dir()),
            matcher=RuleMatcher(agent, self.engines.embed, cache_dir()),
            tools=self.tools,
            desk=Desk(self._directory.for_agent(agent), clock=local_now, webhook=self._webhook),
            outside=self.stasis,
            judge=self.engines.turn,
            hold_music=self._hold_music,
            deadlines=self.settings.config.engines.deadlines,
        )

    def _choose(self, leg: MediaLeg, ticket: Ticket | None) -> Parts | None:
        if ticket is None:
            return self.staff[self.settings.config.default_agent]
        parts = self.staff[ticket.agent]
        agent = spec_for(parts.agent, ticket.request)
        mouth = self._mouths.speaking(agent.language, parts.agent, parts.mouth)
        return replace(parts, agent=agent, mouth=mouth)

    async def _listen(self) -> None:
        await self._entrance.open()
        if self.stasis is not None:
            self.stasis.start()
        log.info("agents=%s", ",".join(self.staff))

    async def _sweep(self) -> None:
        """Callers that a dead daemon has left in Asterisk must not wait for our engines."""
        if self.stasis is None:
            return
        self._host_for_ari = await asyncio.to_thread(own_host, self.stasis.board.ari.access.url)
        try:
            await sweep(self.settings)
        except AriError as error:
            log.warning("%s", error)

    def _ari_media(self) -> str:
        return self._entrance.addresses().media(self._host_for_ari)

    def _accept(self, leg: MediaLeg) -> LegListener | None:
        return self.registry.accept(leg) if self.stasis is None else self.stasis.accept(leg, self.registry.accept)

    async def _brief(self, agent: str, briefing: str, rate: int) -> bytes:
        """What a human who is called hears: of the caller, and which keys to press."""
        parts, now = self.staff[agent], time.monotonic()
        spoken = []
        for text in filter(None, (briefing, parts.agent.lines.offer)):
            try:
                made = await parts.mouth.say(text, rate, deadline=now + BRIEF_S, give_up=now + 2 * BRIEF_S)
            except EngineError as error:
                log.warning("agent=%s a human is told less: %s", agent, error)
            else:
                spoken.append(made.pcm)
        return bytes(2 * round(BRIEF_PAUSE_S * rate)).join(spoken)

    def _keep(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    async def _purge_now_and_then(self) -> None:
        while True:
            gone = await asyncio.to_thread(self.store.purge)
            if gone:
                log.info("store: %d calls and %d files past their retention deleted", gone.calls, gone.files)
            await asyncio.sleep(PURGE_EVERY_S)

    async def _render_missing(self) -> None:
        """Lines that could not be rendered at the start, or only by a spare's voice."""
        while True:
            await asyncio.sleep(RENDER_AGAIN_S)
            if members(self.engines.tts)[0].ready:
                await self.staff.render_missing()

    async def reload(self) -> dict[str, Any]:
        """Read the agents anew; running calls keep theirs. What has changed, by name, as `POST /v1/reload` tells it.

        Raises ConfigError, and then nothing has changed.
        """
        return await self.backstage.reload()

    def _renewed(self, settings: Settings, change: Change) -> None:
        self.settings = settings
        self._mouths = Mouths(self.engines.tts, cache_dir())  # for other languages: their lines may be others now
        self.observers.renew(settings)
        if change.changed:
            self._keep(self.staff.warm(change.changed))

    def lacking(self) -> list[str]:
        """The kinds of engines without which no call can be held, and of which none is ready."""
        return [kind for kind in NEEDED if kind in (made := self.engines.all()) and not made[kind].ready]

    def says(self) -> str:
        """In a few words, for `systemctl status`."""
        calls = f"{len(self.registry)} call{'' if len(self.registry) == 1 else 's'}"
        return f"no new calls; {calls} may finish" if self._stopping.is_set() else f"taking calls; {calls} now"

    def stop(self) -> None:
        """Ask `serve` to end; asked twice, calls are not waited for."""
        if self._stopping.is_set():
            self.registry.hurry()
        self.backstage.stopping = True
        self._stopping.set()

    async def serve(self, *, drain_s: float = 0.0) -> None:
        """Until SIGTERM, SIGINT or `stop`; then running calls may take `drain_s` to finish."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            with contextlib.suppress(NotImplementedError, ValueError, RuntimeError):
                loop.add_signal_handler(number, self.stop)
        try:
            await self._stopping.wait()
        finally:
            await self.close(drain_s=drain_s)

    async def close(self, *, drain_s: float = 0.0) -> None:
        self.backstage.stopping = True
        await self._entrance.shut()
        had_calls = len(self.registry) > 0
        await self.registry.drain(limit_s=drain_s)
        await asyncio.to_thread(self.store.close)  # first of all: what else is put away may take longer than we have
        await self._entrance.close(asked=had_calls)  # after the calls: their PBX asks for their outcome
        if self.stasis is not None:
            await self.stasis.stop()
        await self._entrance.hang_up()
        if self.control is not None:
            await self.control.stop()
        self.ticker.stop()
        for task in self._background:
            task.cancel()
        await self.tools.close(TOOLS_END_S)
        if self._webhook is not None:
            await self._webhook.close()
        await asyncio.gather(*(hook.stop() for hook in self.hooks.values()))
        await self.engines.stop()
        await self.observers.stop()


def _store(settings: Settings) -> CallStore:
    store = settings.config.store
    try:
        return CallStore(store.dir, keep_days=store.keep_days, url=store.url)
    except StoreError as error:
        raise ConfigError(f"{settings.where('store', 'url')}: {error}") from error

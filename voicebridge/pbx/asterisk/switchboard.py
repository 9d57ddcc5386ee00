"""Who is told of which channel: ARI's events go to whoever waits for that channel, and none is lost by a reconnect."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass

from voicebridge.pbx.asterisk import ari_events as ev
from voicebridge.pbx.asterisk.ari import Ari, AriAccess, AriError, AriEvents
from voicebridge.pbx.asterisk.sweep import is_in_app, sweep_orphans

log = logging.getLogger(__name__)

Inbox = asyncio.Queue[ev.Event]


@dataclass
class _Line:
    """A channel that somebody waits for."""

    inbox: Inbox
    seen: bool = False
    started: bool = False


class Switchboard:
    """`on_caller` is called with the StasisStart of a channel that nobody waited for: a new caller."""

    def __init__(self, access: AriAccess, on_caller: Callable[[ev.StasisStart], None]) -> None:
        self.ari = Ari(access)
        self.keep: set[str] = set()
        """Bridges that are in use."""
        self._on_caller = on_caller
        self._events = AriEvents(access, self._route, on_up=self._came_up)
        self._lines: dict[str, _Line] = {}
        self._checking: asyncio.Task[None] | None = None

    @property
    def connected(self) -> asyncio.Event:
        """Set while Asterisk sends us its events, and so gives us callers."""
        return self._events.connected

    def start(self) -> None:
        self._events.start()

    async def stop(self) -> None:
        await self._events.stop()
        if self._checking is not None:
            self._checking.cancel()
            await asyncio.gather(self._checking, return_exceptions=True)
        await self.ari.close()

    def watch(self, channel: str, *, inbox: Inbox | None = None, started: bool = False) -> Inbox:
        """The events of a channel (by id) go into this inbox from now on. `started`: its StasisStart has come."""
        inbox = inbox or asyncio.Queue()
        self._lines[channel] = _Line(inbox, seen=started, started=started)
        return inbox

    def forget(self, *channels: str) -> None:
        for channel in channels:
            self._lines.pop(channel, None)

    def _route(self, event: ev.Event) -> None:
        match event:
            case ev.ApplicationReplaced():
                log.error("ari app=%s: another process has connected as this application; give it one of its own",
                          event.app)  # fmt: skip
                return
            case ev.PlaybackFinished():
                return
            case ev.Dial():
                channel = event.peer
            case _:
                channel = event.channel
        line = self._lines.get(channel.id)
        if line is not None:
            line.seen = True
            line.started = line.started or isinstance(event, ev.StasisStart)
            line.inbox.put_nowait(event)
        elif isinstance(event, ev.StasisStart):
            self._on_caller(event)

    # ---- after a lost connection

    def _came_up(self) -> None:
        self._checking = asyncio.get_running_loop().create_task(self._check(), name="ari check")

    async def _check(self) -> None:
        """Tell what was missed: channels that have gone or come, and callers that are nobody's."""
        try:
            there = {channel.id: channel for channel in await self.ari.channels()}
            for channel_id, line in list(self._lines.items()):
                self._tell_missed(channel_id, line, there.get(channel_id))
            await sweep_orphans(self.ari, is_kept=lambda found: found in self._lines or found in self.keep)
        except AriError as error:
            log.warning("%s", error)

    def _tell_missed(self, channel_id: str, line: _Line, found: ev.Channel | None) -> None:
        if found is None:
            if line.seen:
                gone = ev.Channel(channel_id, "", "Down")
                line.inbox.put_nowait(ev.ChannelDestroyed(gone, 0))
        elif not is_in_app(found, self.ari.access.app):
            if line.started:
                line.inbox.put_nowait(ev.StasisEnd(found))
        elif found.running == "Stasis" and not line.started:
            line.seen = line.started = True
            line.inbox.put_nowait(ev.StasisStart(found, tuple(found.running_args.split(",")[1:])))

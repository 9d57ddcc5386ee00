"""A run: calls at their pace, each a caller of its own; everything that came of them is kept and nothing is left on."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import math
import resource
import socket
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

from voicebridge.audio.clock import Ticker
from voicebridge.load.behaviour import Behaviour
from voicebridge.load.caller import Caller
from voicebridge.load.outcome import Call
from voicebridge.load.script import Script
from voicebridge.load.sipp import LoadError, Pace, Sipp, Step
from voicebridge.load.usage import Usage, found_here

SIP_PORT = 5060
MOST_CALLS = 20_000
GRACE_S = 45.0
"""Calls that are on when the time is over may go on for so long, to their own end."""
GOODBYE_S = 5.0
SILENT_PBX_S = 5.0
SAMPLE_S = 1.0


@dataclass(frozen=True, slots=True)
class Target:
    """Who is called: `sip:100@pbx.example:5060`."""

    extension: str
    host: str
    port: int = SIP_PORT

    @classmethod
    def parsed(cls, text: str) -> Target:
        """Raises ValueError."""
        scheme, colon, rest = text.partition(":")
        user, at, place = rest.partition("@")
        host, _, port = place.rpartition(":") if place.rpartition(":")[2].isdigit() else (place, "", "")
        if scheme != "sip" or not (colon and at and user and host) or (port and not 0 < int(port) < 65_536):
            raise ValueError(f"{text!r}: say who is to be called as sip:EXTENSION@HOST or sip:EXTENSION@HOST:PORT")
        return cls(user, host.strip("[]"), int(port) if port else SIP_PORT)


@dataclass(frozen=True, slots=True)
class Plan:
    """`at_once` calls at most, `rate` new ones a second, for `duration_s`; `behaviours` says how, call by call.

    `roots`: the processes to be measured by group; None looks for them on this machine.
    """

    target: Target
    script: Script
    behaviours: Iterator[Behaviour]
    at_once: int = 1
    rate: float = 1.0
    duration_s: float = 60.0
    most: int = MOST_CALLS
    first_port: int = 0
    roots: Mapping[str, Iterable[int]] | None = None

    @property
    def total(self) -> int:
        return max(1, min(self.most, math.ceil(self.rate * self.duration_s)))


@dataclass(frozen=True, slots=True)
class Progress:
    elapsed_s: float
    offered: int
    live: int
    answered: int
    refused: int


@dataclass
class Run:
    """`started_at`: unix seconds; `calls`: those that were offered; `late_ms`: how late the run's own clock was."""

    started_at: float = 0.0
    seconds: float = 0.0
    calls: list[Call] = field(default_factory=list)
    usage: Usage | None = None
    late_ms: tuple[float, float] = (0.0, 0.0)
    interrupted: bool = False


class Load:
    """`run` once. `stop` (from a signal) hangs everybody up, and what came so far is the result."""

    def __init__(self, plan: Plan, tell: Callable[[Progress], None] = lambda progress: None) -> None:
        self._plan, self._tell = plan, tell
        self._callers: dict[int, Caller] = {}
        self._ticker = Ticker()
        self._started = 0.0
        self._stopping = asyncio.Event()
        self._begun = asyncio.Event()
        self._heard = False
        self._sipp: Sipp | None = None

    def stop(self) -> None:
        self._stopping.set()

    async def run(self) -> Run:
        """Raises LoadError."""
        address, local = await asyncio.to_thread(addresses, self._plan.target)
        with tempfile.TemporaryDirectory(prefix="voicebridge-load-") as folder:
            self._sipp = Sipp(Path(folder), self._plan.script, local=local)
            try:
                rows = await self._open(local)
                self._started, made = time.monotonic(), Run(started_at=time.time())
                plan = self._plan
                self._sipp.start(plan.target.extension, address, Pace(plan.at_once, plan.rate, plan.total), rows)
                self._ticker.add(self._tick)
                self._ticker.start()
                made.usage = await self._until_over(address)
                made.seconds = time.monotonic() - self._started
            finally:
                self._ticker.stop()
                await self._sipp.end()
                for caller in self._callers.values():
                    if caller.ended_at is None:
                        caller.ended("")
        made.calls = [
            await caller.result(self._started) for caller in self._callers.values() if caller.offered_at is not None
        ]
        lateness = self._ticker.lateness
        made.late_ms = (lateness.quantile_ms(0.99), lateness.worst_s * 1000)
        made.interrupted = self._stopping.is_set()
        return made

    async def _open(self, local: str) -> list[tuple[str, int]]:
        """A caller with a port for each call there may be."""
        total = self._plan.total
        _allow_files(total + 200)
        rows = []
        for number, behaviour in zip(range(1, total + 1), self._plan.behaviours, strict=False):
            name = str(uuid4())
            caller = Caller(number, name, behaviour, self._plan.script.law, lambda number=number: self._hang_up(number))  # type: ignore[misc]
            first = self._plan.first_port
            try:
                port = await caller.open(local, first + 2 * (number - 1) if first else 0)
            except OSError as error:
                raise LoadError(f"no port for the media of call {number}: {error.strerror}") from error
            self._callers[number] = caller
            rows.append((name, port))
        return rows

    def _hang_up(self, number: int) -> None:
        assert self._sipp is not None
        self._sipp.hang_up(number)

    def _tick(self, _: float) -> None:
        for caller in self._callers.values():
            if caller.live:
                caller.tick()

    # ---- the run

    async def _until_over(self, address: tuple[str, int]) -> Usage:
        assert self._sipp is not None
        roots = self._plan.roots if self._plan.roots is not None else found_here(self._sipp.pid)
        usage = Usage(roots)
        tasks = [
            asyncio.create_task(self._watch(usage)), asyncio.create_task(self._clock()),
            asyncio.create_task(self._listen(address)),
        ]  # fmt: skip
        try:
            async for step in self._sipp.steps():
                self._on(step)
        finally:
            for task in tasks:
                task.cancel()
            done = await asyncio.gather(*tasks, return_exceptions=True)
        for made in done:
            if isinstance(made, Exception):
                raise made
        if not any(caller.offered_at for caller in self._callers.values()):
            why = self._sipp.complaints() or "it was not answered while new calls were to come: is the PBX running?"
            raise LoadError(f"sipp made no call: {why}")
        return usage

    def _on(self, step: Step) -> None:
        caller = self._callers.get(step.number)
        if caller is None:
            return
        self._heard = self._heard or step.kind in ("heard", "answered", "ended") or step.code != 0
        match step.kind:
            case "offered":
                caller.offered_at = time.monotonic()
                self._begun.set()
            case "answered":
                caller.answered(step.host, step.port)
                if self._stopping.is_set():
                    caller.leave()
            case "refused":
                caller.refused(step.code)
            case "ended":
                caller.ended(step.by)
            case "heard":
                pass

    async def _listen(self, address: tuple[str, int]) -> None:
        """A PBX that says nothing at all is not worth the whole run. Raises LoadError, having ended SIPp."""
        await self._begun.wait()
        await asyncio.sleep(SILENT_PBX_S)
        assert self._sipp is not None
        if not self._heard:
            said = self._sipp.complaints()
            await self._sipp.end()
            raise LoadError(
                f"nothing answers SIP over UDP on {address[0]}:{address[1]}: is the PBX running, does it listen there, "
                f"and may this machine call it?" + (f" sipp says: {said}" if said else "")
            )

    async def _clock(self) -> None:
        """When the time is over, or somebody wants the end."""
        assert self._sipp is not None
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._plan.duration_s):
                await self._stopping.wait()
        if self._sipp.running:
            self._sipp.stop_calling()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(GRACE_S):
                await self._stopping.wait()
        for caller in self._callers.values():
            if caller.live:
                caller.leave()
        await asyncio.sleep(GOODBYE_S)
        self._sipp.stop_calling()
        await asyncio.sleep(1.0)
        await self._sipp.end()

    async def _watch(self, usage: Usage) -> None:
        for number in itertools.count():
            if number % round(SAMPLE_S / 0.2) == 0:
                await asyncio.to_thread(usage.take)
            callers = [caller for caller in self._callers.values() if caller.offered_at is not None]
            answered = sum(caller.answered_at is not None for caller in callers)
            refused = sum(caller.answered_at is None and caller.ended_at is not None for caller in callers)
            live = sum(caller.live for caller in callers)
            self._tell(Progress(time.monotonic() - self._started, len(callers), live, answered, refused))
            await asyncio.sleep(0.2)


def addresses(target: Target) -> tuple[tuple[str, int], str]:
    """Where the PBX is, and the address of ours that it can reach. Raises LoadError."""
    try:
        found = socket.getaddrinfo(target.host, target.port, type=socket.SOCK_DGRAM)
        family, kind, protocol, _, place = found[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.connect(place)
            return (str(place[0]), target.port), str(probe.getsockname()[0])
    except OSError as error:
        raise LoadError(f"{target.host} cannot be reached: {error.strerror or error}") from error


def _allow_files(count: int) -> None:
    """A socket is an open file. Raises LoadError where there may not be so many."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if count <= soft:
        return
    if hard != resource.RLIM_INFINITY and count > hard:
        raise LoadError(f"{count} open files are needed, {hard} allowed: fewer calls, or a higher `ulimit -n`")
    resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))

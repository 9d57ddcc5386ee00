"""What all kinds of failover are: a roster that starts, stops and is ready together."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import ClassVar, Generic

from voicebridge.engines.base import EngineKind
from voicebridge.engines.failover.health import E, Roster

log = logging.getLogger(__name__)


class Group(Generic[E]):
    """`name` and `identity` are the first engine's: what is kept by these (rendered lines) is kept by that."""

    kind: ClassVar[EngineKind]

    def __init__(self, engines: Sequence[E]) -> None:
        self.roster = Roster(self.kind, engines)
        self.name = engines[0].name
        self.identity: str = getattr(engines[0], "identity", self.name)

    @property
    def engines(self) -> list[E]:
        return [member.engine for member in self.roster.members]

    @property
    def ready(self) -> bool:
        """Any of them."""
        return self.roster.ready

    async def start(self) -> None:
        await asyncio.gather(*(engine.start() for engine in self.engines))

    async def stop(self) -> None:
        results = await asyncio.gather(*(engine.stop() for engine in self.engines), return_exceptions=True)
        for engine, result in zip(self.engines, results, strict=True):
            if isinstance(result, BaseException):
                log.warning("%s %s did not stop cleanly: %r", self.kind, engine.name, result)

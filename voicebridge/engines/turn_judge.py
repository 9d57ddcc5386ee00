"""The client of a worker that judges turns (worker.py): a TurnJudge."""

from __future__ import annotations

import itertools

from wyoming.audio import AudioChunk, AudioStart, AudioStop
from wyoming.event import Event

from voicebridge.engines.base import EngineError
from voicebridge.engines.local import Host, Hosted
from voicebridge.engines.worker import JUDGE_EVENT, TURN_EVENT
from voicebridge.engines.wyoming_link import Links, request_context

IDLE = 4
"""Connections kept: so many callers pause at the same moment."""


class WorkerTurnJudge(Hosted):
    """`host` keeps the worker running. Requests of several calls are answered side by side."""

    def __init__(self, name: str, host: Host) -> None:
        super().__init__(name, host)
        self._links = Links("turn", name, host.address, idle=IDLE)
        self._requests = itertools.count(1)

    async def stop(self) -> None:
        self._links.close()
        await super().stop()

    async def judge(self, pcm: bytes, *, rate: int, deadline: float, give_up: float) -> float:
        """See TurnJudge. Cancel the task to drop the request."""
        context = request_context(self._links.address, str(next(self._requests)), deadline)
        events = [
            Event(JUDGE_EVENT, {"context": context}),
            AudioStart(rate=rate, width=2, channels=1).event(),
            AudioChunk(rate=rate, width=2, channels=1, audio=pcm[: len(pcm) & ~1]).event(),
            AudioStop().event(),
        ]
        answer = (await self._links.ask(events, TURN_EVENT, give_up=give_up, deadline=deadline))[-1]
        probability = answer.data.get("probability")
        if not isinstance(probability, int | float) or not 0 <= probability <= 1:
            raise EngineError("turn", self.name, "garbage", "no probability")
        return float(probability)

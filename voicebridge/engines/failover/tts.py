"""Several voices as one. A call keeps the voice that speaks to it."""

from __future__ import annotations

import math
import re
import time
from dataclasses import replace
from typing import ClassVar, Literal

from voicebridge.engines.base import EngineError, Speech, TtsEngine, Voice
from voicebridge.engines.failover.group import Group
from voicebridge.engines.failover.health import WATCH, Member, Move, tell
from voicebridge.engines.failover.race import Race, Verdict

PATIENCE_S = 0.6
MIN_SPEECH_S = 0.05
SPOKEN = re.compile(r"\w")


class TtsFailover(Group[TtsEngine]):
    """A TtsEngine."""

    kind: ClassVar[Literal["tts"]] = "tts"

    async def synthesize(self, text: str, *, voice: Voice, deadline: float, give_up: float) -> Speech:
        """See TtsEngine; `engine` tells whose voice it is. Speech without a sound is a failure."""

        def judge(made: Speech) -> Verdict:
            short = len(made.pcm) < 2 * MIN_SPEECH_S * made.rate
            return "garbage" if SPOKEN.search(text) and (short or not any(made.pcm)) else "good"

        stays = self._stays()
        order = self.roster.ranked(stays)
        race = Race(
            self.roster,
            order,
            lambda member: self._speak(member, text, voice, deadline, give_up),
            judge=judge,
            patient_until=max(deadline, time.monotonic()) + PATIENCE_S if deadline < math.inf else math.inf,
            patience_s=PATIENCE_S,
        )
        member, made = await race.run()
        self._settle(stays or self.roster.members[0], member, race.causes)
        return replace(made, engine=member.name)

    async def _speak(
        self, member: Member[TtsEngine], text: str, voice: Voice, deadline: float, give_up: float
    ) -> Speech:
        """An agent's voice is one engine's: another that has none of that name speaks with its own."""
        engine = member.engine
        try:
            return await engine.synthesize(text, voice=voice, deadline=deadline, give_up=give_up)
        except EngineError as error:
            if not voice.name or error.cause != "refused":
                raise
        return await engine.synthesize(text, voice=replace(voice, name=""), deadline=deadline, give_up=give_up)

    def _stays(self) -> Member[TtsEngine] | None:
        watch = WATCH.get()
        return self.roster.named(watch.stays.get(self.kind, "")) if watch is not None else None

    def _settle(self, before: Member[TtsEngine], now: Member[TtsEngine], causes: dict[str, str]) -> None:
        if (watch := WATCH.get()) is not None:
            if watch.stays.get(self.kind, before.name) != before.name:
                return  # another clause of the call, asked for at the same time, has moved it and told so
            watch.stays[self.kind] = now.name
        if now is not before:
            tell(Move("tts", before.name, now.name, causes.get(before.name, before.trouble)))

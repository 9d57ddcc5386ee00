"""Several recognisers as one. The session keeps the utterance's audio: the next one hears all of it, from the start."""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

from voicebridge.engines.base import EngineError, SttEngine, SttSession, Transcript
from voicebridge.engines.failover.group import Group
from voicebridge.engines.failover.health import Member, Move, tell
from voicebridge.engines.failover.race import Race, Verdict

PATIENCE_S = 0.6
"""After the moment at which the transcript is wanted; 0.9 s after the last voice, where a filler is heard at 1.1 s."""
MAX_UTTERANCE_S = 60
SURELY_VOICE_S = 0.4
"""In so much audio, of which the voice detector said that it is a voice, there should be a word."""
EMPTY_TIMES = 2
"""So often in a row one hears nothing where another hears words, and it is taken to be deaf."""


class SttFailover(Group[SttEngine]):
    """An SttEngine."""

    kind: ClassVar[Literal["stt"]] = "stt"

    def session(self, *, rate: int, language: str, phrases: Sequence[str] = ()) -> SttSession:
        return SttFailoverSession(self, rate, language, tuple(phrases))


@dataclass
class _Ear:
    """One engine's session: which utterance it hears and how many bytes of it it was given."""

    session: SttSession
    utterance: int | None = None
    fed: int = 0


class SttFailoverSession:
    """One call's. See base.SttSession."""

    def __init__(self, group: SttFailover, rate: int, language: str, phrases: tuple[str, ...]) -> None:
        self._roster = group.roster
        self._rate, self._language, self._vocabulary = rate, language, phrases
        self._ears: dict[str, _Ear] = {}
        self._active = self._roster.members[0]
        self._untold: Move | None = None
        if (best := self._roster.ranked()[0]) is not self._active:
            self._untold = self._move(best, self._active.trouble)
        self._utterance = 0
        self._phrases: tuple[str, ...] = ()
        self._pcm = bytearray()
        self._fed = 0  # bytes since begin(), of which _pcm holds the last
        self._deaf: dict[str, int] = {}
        self._pending: asyncio.Task[Transcript] | None = None

    def begin(self, utterance: int, phrases: Sequence[str] = ()) -> None:
        self._utterance, self._phrases = utterance, tuple(phrases)
        self._pcm.clear()
        self._fed = 0
        best = self._roster.ranked(self._active)[0]
        if best is not self._active:
            self._untold = self._move(best, self._active.trouble)
        self._bring(self._active)

    def feed(self, pcm: bytes) -> None:
        self._pcm += pcm
        self._fed += len(pcm)
        if (excess := len(self._pcm) - 2 * self._rate * MAX_UTTERANCE_S) > 0:
            del self._pcm[: excess + excess % 2]
        self._bring(self._active)

    async def transcribe(self, *, deadline: float, give_up: float, final: bool = True) -> Transcript:
        """See SttSession. An earlier call that this one supersedes raises EngineError `refused`."""
        if self._pending is not None:
            self._pending.cancel()
        task = self._pending = asyncio.create_task(self._transcribe(deadline, give_up, final))
        try:
            await asyncio.wait({task})
        finally:
            if self._pending is task:
                self._pending = None
            task.cancel()
        if task.cancelled():
            raise EngineError("stt", self._active.name, "refused", "superseded")
        return task.result()

    async def close(self) -> None:
        if self._pending is not None:
            self._pending.cancel()
        for ear in self._ears.values():
            with contextlib.suppress(EngineError):
                await ear.session.close()

    async def _transcribe(self, deadline: float, give_up: float, final: bool) -> Transcript:
        if self._untold is not None:
            tell(self._untold)
            self._untold = None
        urgent = deadline < math.inf
        race = Race(
            self._roster,
            self._roster.ranked(self._active),
            lambda member: self._bring(member).transcribe(deadline=deadline, give_up=give_up, final=final),
            judge=self._judge if final else lambda made: "good",
            patient_until=max(deadline, time.monotonic()) + PATIENCE_S if urgent else math.inf,
            patience_s=PATIENCE_S,
        )
        member, made = await race.run()
        self._settle(member, made, race.causes)
        return made if made.engine else replace(made, engine=member.name)

    def _judge(self, made: Transcript) -> Verdict:
        """Nothing heard where there was a voice is doubtful, once he has spoken: another may hear it."""
        heard = made.text or made.samples < SURELY_VOICE_S * self._rate
        return "good" if heard else "doubtful"

    def _settle(self, member: Member[SttEngine], made: Transcript, causes: dict[str, str]) -> None:
        """Stay where the answer came from, unless that only heard what the other, once, did not."""
        cause = causes.get(self._active.name, self._active.trouble)
        if not made.text:
            return
        if member is self._active:
            self._deaf.pop(member.name, None)
            return
        if cause == "empty":
            self._deaf[self._active.name] = self._deaf.get(self._active.name, 0) + 1
            if self._deaf[self._active.name] < EMPTY_TIMES:
                return
            self._roster.failed(self._active, cause)
        tell(self._move(member, cause))

    def _move(self, member: Member[SttEngine], cause: str) -> Move:
        move = Move("stt", self._active.name, member.name, cause)
        self._active = member
        return move

    def _bring(self, member: Member[SttEngine]) -> SttSession:
        """The engine's session, told all that there is of the utterance."""
        ear = self._ears.get(member.name)
        if ear is None:
            made = member.engine.session(rate=self._rate, language=self._language, phrases=self._vocabulary)
            ear = self._ears[member.name] = _Ear(made)
        if ear.utterance != self._utterance:
            ear.session.begin(self._utterance, self._phrases)
            ear.utterance, ear.fed = self._utterance, 0
        kept_from = self._fed - len(self._pcm)
        if self._fed > ear.fed:
            ear.session.feed(bytes(self._pcm[max(0, ear.fed - kept_from) :]))
            ear.fed = self._fed
        return ear.session

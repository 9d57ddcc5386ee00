"""A scenario's caller on a real line: the test phone, led by the script instead of a list of sentences."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from uuid import UUID

from voicebridge.audio.measure import voiced_spans
from voicebridge.phone import Line as Sentence
from voicebridge.phone import Phone
from voicebridge.scenario import conductor
from voicebridge.scenario.conductor import Stuck
from voicebridge.scenario.format import CallScript, Step
from voicebridge.scenario.observation import Mark, Span

KEY_EVERY_S = 0.25
QUIET_S = 0.35
"""So long after its last word an agent that is known to be at rest has been heard to the end."""
LONG_QUIET_S = 3.0
"""An agent of which nothing else is known is at rest after so long without a word: longer than fillers let wait."""
PAUSE_S = 1.0
"""No voice makes a longer pause in the middle of an answer."""
SPEAK_LIMIT_S = 20.0
REST_LIMIT_S = 120.0


class Telephone(Phone):
    """One call; a `conductor.Line`. Times are those of `time.monotonic`.

    `spoken`: the PCM of what each step says, by its number. `at_rest` knows whether the agent has anything to do;
    None where nobody knows, and its silence has to tell.
    """

    def __init__(
        self,
        host: str,
        port: int,
        call: CallScript,
        spoken: Mapping[int, bytes],
        at_rest: Callable[[], bool] | None = None,
    ) -> None:
        super().__init__(host, port)
        self._script = call
        self._spoken = spoken
        self._at_rest = at_rest
        self._done = 0.0
        self.marks: list[Mark] = []
        self.trouble = ""

    async def play(self, call_id: UUID) -> None:
        """Raises PhoneError."""
        await self.call([], call_id=call_id, linger_s=0.0)

    async def _talk(self, lines: Sequence[Sentence], linger_s: float) -> None:
        self.marks, self.trouble = await conductor.play(self._script, self)

    def sounds(self) -> list[Span]:
        """When the agent was heard, by the energy of what arrived."""
        heard = self._heard
        spans = voiced_spans(bytes(heard.agent), heard.rate)
        return [(self._zero + heard.moment(first), self._zero + heard.moment(end - 1)) for first, end in spans]

    @property
    def zero(self) -> float:
        return self._zero

    # ---- what the conductor asks for

    @property
    def over(self) -> bool:
        return self._closed.is_set()

    def now(self) -> float:
        return time.monotonic()

    async def wait(self, seconds: float) -> None:
        await self._wait_until(lambda: False, limit_s=seconds)

    async def rest(self) -> None:
        if self._at_rest is None:
            await self._until_silent()
            return
        at_rest = self._at_rest
        rested = await self._wait_until(lambda: at_rest() and self._quiet_for(QUIET_S), limit_s=REST_LIMIT_S)
        if not rested and not self.over:
            raise Stuck(f"the agent has not come to rest for {REST_LIMIT_S:.0f} s")

    def _quiet_for(self, seconds: float) -> bool:
        return self._last_voiced_at is None or self._now() - self._last_voiced_at > seconds

    async def _until_silent(self) -> None:
        """Until it has answered what was done last and been silent for long."""
        done = self._done

        def answered() -> bool:
            return self._last_voiced_at is not None and self._last_voiced_at > done

        if await self._wait_until(answered, limit_s=SPEAK_LIMIT_S):
            await self._wait_until(lambda: self._quiet_for(LONG_QUIET_S), limit_s=REST_LIMIT_S)

    async def speaks(self, seconds: float) -> None:
        def long_enough() -> bool:
            return self._speaking_since is not None and self._now() - self._speaking_since >= seconds

        if not await self._wait_until(long_enough, limit_s=SPEAK_LIMIT_S + seconds) and not self.over:
            raise Stuck("the agent did not speak: there was nothing to interrupt")
        if not self.over and self._quiet_for(PAUSE_S):
            raise Stuck(f"the agent had finished before {seconds:g} s: there was nothing to interrupt")

    async def say(self, number: int, step: Step) -> float:
        said = await self._say(Sentence(step.told(), self._spoken[number]))
        return self._acted(said.last_voice)

    async def press(self, keys: str) -> None:
        self._speaking_since = None
        for number, key in enumerate(keys.upper()):
            if number:
                await self.wait(KEY_EVERY_S)
            if self._client is not None:
                self._client.send_dtmf(key)
        self._acted(self._now())
        await self.wait(KEY_EVERY_S)

    async def hang_up(self) -> None:
        if self._client is not None:
            self._client.hang_up()
        await asyncio.sleep(0)

    def _acted(self, at: float) -> float:
        """The agent's answer is what comes after this; gives it on the clock of `now`."""
        self._done = at
        return self._zero + at

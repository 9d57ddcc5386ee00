"""Scenarios over the real wire: the same files, real engines, and a phone that speaks AudioSocket.

A daemon of our own runs in this process, so that a call can have its date, its caller, its variables, canned tools
and a canned model. One that runs elsewhere (`remote`) is called as it is: calls that need any of these are skipped.
What the agent did is read from the call's event log in the daemon's store; when it was heard, from the wire.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from voicebridge.audio.resample import resample_segment
from voicebridge.call.call import Call
from voicebridge.call.work import Parts
from voicebridge.config import Listen, Settings, Store
from voicebridge.conversation.agent import AgentSpec
from voicebridge.conversation.spoken import speak
from voicebridge.daemon import Daemon
from voicebridge.engines.base import TtsEngine, Voice
from voicebridge.handoff.desk import Desk
from voicebridge.lineup import make_engine
from voicebridge.pbx.attach import Ticket
from voicebridge.pbx.leg import LegListener, MediaLeg
from voicebridge.phone import read_wav
from voicebridge.scenario.conductor import LiveError
from voicebridge.scenario.format import CallScript
from voicebridge.scenario.model import CannedModel
from voicebridge.scenario.observation import Observation, observe
from voicebridge.scenario.rehearsal import request
from voicebridge.scenario.stubs import Stubs
from voicebridge.scenario.suite import Result, Suite, judged
from voicebridge.scenario.telephone import Telephone
from voicebridge.targets import HandoffSettings
from voicebridge.tools.context import CallInfo
from voicebridge.tools.runner import ToolOutcome, ToolRunner
from voicebridge.trace import eventlog
from voicebridge.trace.store import CallStore

RATE = 8_000
SPEECH_S = 30.0
LOG_S = 5.0


# ---- a daemon of our own


class CannedTools(ToolRunner):
    """A call's canned tools before the real ones."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.stubs: dict[str, Stubs] = {}

    async def run(
        self,
        call: CallInfo,
        run: int,
        name: str,
        arguments: str,
        progress: Callable[[str], None] = lambda text: None,
    ) -> ToolOutcome:
        stubs = self.stubs.get(call.call_id)
        canned = stubs.take(name, arguments) if stubs is not None else None
        if canned is None:
            return await super().run(call, run, name, arguments, progress)
        stub, outcome = canned
        for text in stub.progress:
            await asyncio.sleep(stub.takes / (len(stub.progress) + 1))
            progress(text)
        await asyncio.sleep(stub.takes / (len(stub.progress) + 1))
        return outcome


class Rehearsal(Daemon):
    """A daemon on free ports of loopback, with a store of its own, that tells nobody outside of its calls."""

    def __init__(self, suite: Suite, folder: Path) -> None:
        config = suite.settings.config.model_copy(
            update={
                "listen": Listen(audiosocket="127.0.0.1:0", fastagi=""),
                "store": Store(dir=folder, event_log=True, redact=()),  # what is expected is compared with it
                "handoff": HandoffSettings(),
                "ari": None,
                "ami": None,
            }
        )
        super().__init__(suite.settings.model_copy(update={"config": config}), shelf=suite.shelf)
        self.tools = self._canned = CannedTools(
            suite.shelf.tools.values(), folder=folder, settings=suite.shelf.settings, now=self.clock
        )
        self._scripts: dict[uuid.UUID, CallScript] = {}
        self._legs: dict[uuid.UUID, LegListener] = {}
        self._offset = timedelta()

    def expect(self, call: CallScript) -> uuid.UUID:
        """The next call is to be this one; gives its id. Raises LiveError."""
        ticket = self.registry.attach(request(call))
        if not isinstance(ticket, Ticket):
            raise LiveError(f"the daemon refuses calls: {ticket.reason}")
        self._scripts[ticket.call_id] = call
        self._canned.stubs[str(ticket.call_id)] = Stubs(call.tools, self.tools.tools)
        if call.now is not None:
            wanted = call.now if call.now.tzinfo is not None else call.now.astimezone()
            self._offset = wanted - datetime.now().astimezone()
        else:
            self._offset = timedelta()
        return ticket.call_id

    def clock(self) -> datetime:
        """The date and time in the call."""
        return datetime.now().astimezone() + self._offset

    def at_rest(self, call_id: uuid.UUID) -> bool:
        """Whether the agent has nothing to do before the caller does something."""
        call = self._legs.get(call_id)
        return isinstance(call, Call) and call.at_rest

    def _accept(self, leg: MediaLeg) -> LegListener | None:
        listener = super()._accept(leg)
        if listener is not None:
            self._legs[leg.call_id] = listener
        return listener

    def _make_parts(self, agent: AgentSpec) -> Parts:
        parts = super()._make_parts(agent)
        return dataclasses.replace(parts, desk=Desk(self._directory.for_agent(agent), clock=self.clock), now=self.clock)

    def _choose(self, leg: MediaLeg, ticket: Ticket | None) -> Parts | None:
        parts = super()._choose(leg, ticket)
        call = self._scripts.get(leg.call_id)
        if parts is None or call is None or not call.model:
            return parts
        return dataclasses.replace(parts, llm=CannedModel(call.model, first_s=call.delays.model))


async def rehearse(suites: Sequence[Suite]) -> AsyncIterator[Result]:
    """Each call's result, one after the other, each file with a daemon of its own. Raises what starting one raises."""
    for suite in suites:
        with tempfile.TemporaryDirectory(prefix="voicebridge-test-") as folder:
            daemon = Rehearsal(suite, Path(folder))
            try:
                await daemon.start()
                for call in suite.calls:
                    yield await _rehearsed(suite, call, daemon)
            finally:
                await daemon.close()


async def _rehearsed(suite: Suite, call: CallScript, daemon: Rehearsal) -> Result:
    if call.humans:
        return Result(suite, call, "skipped", reason="humans are called over ARI, which there is not in a live test")
    began = time.monotonic()
    spoken = await _voiced(suite, call, daemon.engines.tts)
    call_id = daemon.expect(call)
    phone = Telephone("127.0.0.1", daemon.port, call, spoken, lambda: daemon.at_rest(call_id))
    await phone.play(call_id)
    seen = await _seen(phone, call_id, daemon.store)
    return judged(suite, call, seen, time.monotonic() - began)


# ---- a daemon elsewhere


async def remote(suites: Sequence[Suite], host: str, port: int, store: Path) -> AsyncIterator[Result]:
    """Calls to a daemon as it runs, whose store is a folder here. Raises PhoneError, LiveError."""
    records = CallStore(store, keep_days=0)
    for suite in suites:
        settings: Settings = suite.settings
        tts: TtsEngine = make_engine(settings, settings.config.engines.chosen("tts")[0])
        async with contextlib.AsyncExitStack() as stack:
            stack.push_async_callback(tts.stop)
            await tts.start()
            for call in suite.calls:
                if reason := _cannot_be_told(call):
                    yield Result(suite, call, "skipped", reason=reason)
                    continue
                began = time.monotonic()
                phone = Telephone(host, port, call, await _voiced(suite, call, tts))
                call_id = uuid.uuid4()
                await phone.play(call_id)
                seen = await _seen(phone, call_id, records, agent=suite.agent.name)
                yield judged(suite, call, seen, time.monotonic() - began)


def _cannot_be_told(call: CallScript) -> str:
    given = [name for name in ("now", "caller", "variables", "tools", "model", "humans") if getattr(call, name)]
    return f"a daemon elsewhere cannot be told: {', '.join(given)}" if given else ""


# ---- both


async def _voiced(suite: Suite, call: CallScript, tts: TtsEngine) -> Mapping[int, bytes]:
    """What each step says, as PCM. Raises PhoneError, EngineError."""
    spoken = {}
    for number, step in enumerate(call.steps):
        if step.wav is not None:
            spoken[number] = read_wav(suite.script.wav(step), RATE)
        elif step.words:
            give_up = time.monotonic() + SPEECH_S
            text = speak(step.words, suite.agent.language).text
            voice = Voice(call.voice, suite.agent.language)
            speech = await tts.synthesize(text, voice=voice, deadline=give_up, give_up=give_up)
            spoken[number] = resample_segment(speech.pcm, speech.rate, RATE)
    return spoken


async def _seen(phone: Telephone, call_id: uuid.UUID, store: CallStore, *, agent: str = "") -> Observation:
    """What the daemon's log and the wire tell of a call. Raises LiveError."""
    path = store.path(str(call_id), ".events.jsonl")
    until = time.monotonic() + LOG_S
    while not path.exists():
        if time.monotonic() > until:
            raise LiveError(
                f"no event log of the call in {path.parent}: is that the daemon's store, and was the daemon started "
                "with --event-log?"
            )
        await asyncio.sleep(0.05)
    with path.open(encoding="utf-8") as lines:
        head, steps = eventlog.read(lines)
        seen = observe(steps)
    if agent and head.agent.name != agent:
        raise LiveError(f"the daemon answers as agent {head.agent.name!r}: start it with --agent {agent}")
    seen.marks += phone.marks
    seen.trouble = phone.trouble
    seen.sounds = phone.sounds()
    return seen

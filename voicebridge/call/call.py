"""One call: the core, the media, the engines and the PBX leg, wired together.

Events go into the core one at a time, in the order in which they came; its commands are carried out in the order in
which it gave them. Whatever takes time (`work`) ends in an event.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from voicebridge.audio.echo import EchoGuard
from voicebridge.audio.ledger import Drained, PlayoutLedger, Segment, SegmentFinished, SegmentStarted
from voicebridge.audio.recording import Recorder
from voicebridge.audio.resample import resample_segment
from voicebridge.audio.tones import Loop, hold_music, keys, under
from voicebridge.call.acts import Acts
from voicebridge.call.document import document
from voicebridge.call.hearing import JUDGED_S, KEEP_S, Hearing
from voicebridge.call.news import News
from voicebridge.call.taping import Tape
from voicebridge.call.work import Parts, Work
from voicebridge.conversation import commands as cmd
from voicebridge.conversation import events as ev
from voicebridge.conversation.core import Conversation
from voicebridge.conversation.owntools import for_model
from voicebridge.conversation.state import Agent, Caller
from voicebridge.engines.failover.health import Move
from voicebridge.engines.telling import room
from voicebridge.handoff.summary import Known, Summary, Turn, summarise
from voicebridge.pbx.attach import AttachRequest, Ticket
from voicebridge.pbx.leg import MediaLeg
from voicebridge.trace import eventlog
from voicebridge.trace.bus import Bus
from voicebridge.trace.frames import FrameGaps
from voicebridge.trace.keeping import Keeping
from voicebridge.trace.privacy import Privacy
from voicebridge.trace.timeline import Timeline

log = logging.getLogger(__name__)

FRAME_S = 0.02
HOLD_RATE = 8_000
TAKEN_S = 0.5
"""So long a leg that ended while a human was rung may still turn out to be a transfer."""
WAITS_FOR_CALLER = frozenset({"no_input", "call_length"})
"""Timers of a call whose agent has nothing to do."""
OUR_KEYS = 0
"""The number of segments of tones; speech counts from 1."""
START_WITHOUT_AUDIO_S = 0.1
"""The rate is known from the caller's first frame; a mute caller is greeted all the same."""


class Call:
    """Listens to its leg (`pbx.leg.LegListener`) and is ticked by the media clock.

    `finished` is called once, when the leg is gone and everything is put away.
    """

    def __init__(
        self,
        leg: MediaLeg,
        parts: Parts,
        *,
        finished: Callable[[Call], None],
        recorder: Callable[[int], Recorder | None] | None = None,
        keep_events: bool = False,
        ticket: Ticket | None = None,
        bus: Bus | None = None,
        privacy: Privacy | None = None,
    ) -> None:
        self.leg = leg
        self.request = ticket.request if ticket is not None else AttachRequest()
        """What the PBX told of the call beforehand: the caller's number, what he dialled."""
        self.id = str(leg.call_id)
        self.parts = parts
        self.began_at = time.time()
        self.zero = time.monotonic()
        self.privacy = privacy or Privacy()
        self.caller_key = self.privacy.key(self.request.caller)
        self.timeline = Timeline(self.privacy)
        self.frames = FrameGaps()
        self.ending: cmd.EndCall | None = None
        """How the agent (or an administrator) ended the call; None where the caller or the PBX did."""
        self.summary = ""
        """One line for the human who takes the caller."""
        self._finished = finished
        context = parts.llm.context_tokens if parts.llm is not None else 2048
        context -= room(for_model(parts.agent))  # the engine tells the model of them
        judged = parts.judge is not None
        recorded = recorder is not None
        self.core = Conversation(parts.agent, context_tokens=context, judged=judged, recorded=recorded)
        self.tape = Tape(lambda: recorder(self.rate) if recorder is not None else None, self.zero)
        self.news = News(bus, self.id, self.core, self.timeline, self.zero)
        self._kept: Keeping | None = None
        if keep_events:
            head = eventlog.header(parts.agent, call=self.id, context_tokens=context, judged=judged, recorded=recorded)
            self._kept = Keeping(self.privacy, head)
        self.rate = 0
        self._ledger: PlayoutLedger | None = None
        self._hearing: Hearing | None = None
        self._work: Work | None = None
        self._acts = Acts(
            self.id, parts.agent, self.request, tools=parts.tools, desk=parts.desk, outside=parts.outside,
            tell=self.tell, story=self.story, now=parts.now, attempted=self.timeline.attempted,
        )  # fmt: skip
        self._music: Loop | None = None
        self._inbox: deque[ev.Event] = deque()
        self._handling = False
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._closed = False

    # ---- the leg

    def on_audio(self, pcm: bytes, rate: int) -> None:
        if self._ledger is None:
            self._begin(self.leg.rate)
        if self._hearing is None:
            return
        if rate != self.rate:  # a mute caller was greeted, and turns out to send at another rate
            pcm = resample_segment(pcm, rate, self.rate)
        self.tape.hear(pcm, time.monotonic(), may=self.core.may_record, secret=self.core.secret)
        for event in self._hearing.hear(pcm):
            self.tell(event)

    def on_dtmf(self, digit: str) -> None:
        if self._ledger is None:
            self._begin(self.leg.rate)
        self.tape.key()
        self.tell(ev.Dtmf(digit))

    def on_closed(self, reason: str) -> None:
        if self.ending is None and self.core.rings_human:
            # Whoever takes the caller takes him off our leg, a moment before we are told so.
            asyncio.get_running_loop().call_later(TAKEN_S, self._on_closed, reason)
        else:
            self._on_closed(reason)

    def _on_closed(self, reason: str) -> None:
        reason = self.core.ended_by if self.ending is not None else reason
        try:
            if self._ledger is None:  # gone before anything was said
                self.core.ended_by = reason
            else:
                self.tell(ev.CallClosed(reason))
        finally:
            self._close()

    # ---- the media clock

    def tick(self, now: float) -> None:
        """Every 20 ms: one frame to the leg, and what playing it means to the core."""
        ledger = self._ledger
        if ledger is None:
            if time.monotonic() - self.zero >= START_WITHOUT_AUDIO_S:
                self._begin(self.leg.rate)
            return
        frame = ledger.pop()
        if self._music is not None:
            frame = under(self._music.next(len(frame)), frame)
        self.leg.send_audio(frame)
        self.frames.sent(time.monotonic())
        if self._hearing is not None:
            self._hearing.played(frame)
        for event in self._hearing.tick() if self._hearing is not None else ():
            self.tell(event)
        self.tape.tick(frame, time.monotonic(), may=self.core.may_record, secret=self.core.secret)
        for played in ledger.take_events():
            self._played(played)
        self.news.tick()

    def _played(self, played: SegmentStarted | SegmentFinished | Drained) -> None:
        match played:
            case SegmentStarted():
                self.tape.tones(played.segment == OUR_KEYS)
                if played.first_voiced_s is not None:
                    self.timeline.audible(played.segment, time.monotonic() + played.first_voiced_s)
                self.tell(ev.PlaybackStarted(played.segment))
            case SegmentFinished():
                self.tape.tones(False)
                self.tell(ev.PlaybackFinished(played.segment))
            case Drained():
                self.tell(ev.Drained())

    def _begin(self, rate: int) -> None:
        self.rate = rate
        self._ledger = PlayoutLedger(rate)
        agent = self.parts.agent
        ears = self.parts.stt.session(rate=rate, language=agent.language, phrases=agent.phrases)
        guard = EchoGuard(rate) if agent.echo_guard == "auto" else None
        self._hearing = Hearing(ears, rate, guard, keep_s=JUDGED_S if self.parts.judge is not None else KEEP_S)
        self._work = Work(
            self.id, self.parts, self.tell, hearing=self._hearing, rate=rate, moved=self._moved,
            served=self.timeline.served,
        )  # fmt: skip
        self.tell(ev.CallStarted())

    # ---- the core

    def tell(self, event: ev.Event) -> None:
        """Give an event to the core and do what it wants. Events that follow at once wait their turn."""
        self._inbox.append(event)
        if self._handling:
            return
        self._handling = True
        try:
            while self._inbox and not self._closed:
                self._step(self._inbox.popleft())
        finally:
            self._handling = False

    def _step(self, event: ev.Event) -> None:
        now = time.monotonic()
        volunteered = isinstance(event, ev.Parsed) and self.core.tells_secret(event)
        secret = self.core.secret or volunteered
        asked = self.core.asked
        wanted = self.core.handle(event, now)
        secret = secret or self.core.secret
        self.timeline.watch(now, event, wanted, secret=secret)
        if self._kept is not None:
            step = eventlog.Step(now, event, tuple(wanted))
            masked = secret or self.core.holds_secret
            self._kept.add(step, masked=masked, volunteered=volunteered, asked=asked)
        self.news.stepped()
        for command in wanted:
            self._carry_out(command)

    def _carry_out(self, command: cmd.Command) -> None:
        ledger, work = self._ledger, self._work
        assert ledger is not None
        assert work is not None
        match command:
            case cmd.SetTimer():
                self._set_timer(command)
            case cmd.CancelTimer():
                if (handle := self._timers.pop(command.name, None)) is not None:
                    handle.cancel()
            case cmd.Listen():
                work.listen(command)
            case cmd.Play():
                self._play(command.segment, ledger, work)
            case cmd.PausePlayout():
                ledger.pause()
            case cmd.ResumePlayout():
                ledger.resume()
            case cmd.FlushPlayout():
                cut = ledger.flush()
                self.tape.tones(False)
                self._inbox.appendleft(
                    ev.PlayoutCut(tuple(ev.HeardSegment(h.segment, h.text, h.complete) for h in cut))
                )
            case cmd.CancelGeneration():
                work.cancel_generation(command.generation)
            case cmd.DropSegments():
                work.drop_segments(command.segments)
            case cmd.EndCall():
                self._end(command)
            case cmd.Parse():
                self._acts.parse(command)
            case cmd.RunTool():
                self._acts.run(command)
            case cmd.CancelTool():
                self._acts.cancel_tool(command.run)
            case cmd.HandOff():
                self._acts.hand_off(command)
            case cmd.CancelHandOff():
                self._acts.cancel_handoff(command.handoff)
            case cmd.Hold():
                self._hold(command.on)
            case cmd.SendDtmf():
                if not self._acts.send_dtmf(command.digits):
                    ledger.enqueue(Segment(OUR_KEYS, 0, "keys", "", (), keys(command.digits, self.rate)))
            case _:
                work.start(command)

    def _play(self, number: int, ledger: PlayoutLedger, work: Work) -> None:
        wanted, made = work.take_speech(number)
        ledger.enqueue(Segment(number, wanted.turn, wanted.kind, wanted.text, made.marks, made.pcm))
        work.defer(time.monotonic() + ledger.queued_s)

    def _hold(self, on: bool) -> None:
        music = self.parts.hold_music
        made = resample_segment(music, HOLD_RATE, self.rate) if music else hold_music(self.rate)
        self._music = Loop(made) if on else None

    def story(self, reason: str) -> Summary:
        """The call so far, for the human who takes the caller; `reason` is why."""
        turns = [Turn(turn.caller, turn.heard, turn.secret) for turn in self.timeline.turns]
        known = [Known(value.slot, value.spoken, value.value, secret) for value, secret in self.core.known.values()]
        return summarise(turns, reason=reason, known=known, done=self.core.done)

    def _moved(self, move: Move) -> None:
        log.warning("call=%s %s: %s %s, goes on with %s", self.id, move.kind, move.old, move.cause, move.new)
        self.timeline.moved(time.monotonic(), move.kind, move.old, move.new, move.cause)

    # ---- timers and the end

    def _set_timer(self, wanted: cmd.SetTimer) -> None:
        if (old := self._timers.pop(wanted.name, None)) is not None:
            old.cancel()
        delay = max(0.0, wanted.at - time.monotonic())
        self._timers[wanted.name] = asyncio.get_running_loop().call_later(delay, self._fire, wanted.name)

    def _fire(self, name: str) -> None:
        self._timers.pop(name, None)
        self.tell(ev.TimerFired(name))

    def end(self, outcome: cmd.Outcome, reason: str) -> None:
        """End the call from outside: shutdown, administration."""
        self.core.ended_by = reason
        self._end(cmd.EndCall(outcome, reason))

    def _end(self, command: cmd.EndCall) -> None:
        if self.ending is None:
            self.ending = command
            if command.outcome != "hangup":
                self.summary = self.story(command.reason).line
            self.leg.hang_up()

    def _close(self) -> None:
        if self._closed:
            return
        self._closed = True
        for handle in self._timers.values():
            handle.cancel()
        self._acts.close()
        if self._work is not None:
            self._work.stop()
        asyncio.get_running_loop().create_task(self._put_away(), name=f"{self.id} close")

    async def _put_away(self) -> None:
        if self._work is not None:
            await self._work.close()
        await self.tape.close()
        self._finished(self)

    @property
    def events(self) -> list[str]:
        """The event log, where one is kept; to be asked for when the call is over."""
        return self._kept.lines() if self._kept is not None else []

    @property
    def outcome(self) -> cmd.Outcome:
        return self.ending.outcome if self.ending is not None else "hangup"

    @property
    def at_rest(self) -> bool:
        """Whether the agent waits for the caller, and for nothing else."""
        ours = self.core.state is not Agent.IDLE or self.core.caller is not Caller.SILENT
        return bool(self.timeline.turns) and not ours and WAITS_FOR_CALLER.issuperset(self._timers)

    def record(self) -> dict[str, Any]:
        """The call as the store keeps it and everybody is told of it: redacted."""
        return document(self)

"""The conversation: `handle(event, now) -> commands`. Pure; what a call does is decided here and nowhere else.

The caller's side (listening, endpointing, barge-in) stands in this module; how an answer is drafted in `replies`, how
it is said in `speaking`. All work on one state, whose moves are the table in `state`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from voicebridge.conversation import events as ev
from voicebridge.conversation.agent import AgentSpec, Rule
from voicebridge.conversation.backchannel import is_backchannel, is_noise, words
from voicebridge.conversation.commands import (
    Command,
    JudgeTurn,
    Listen,
    PausePlayout,
    Prefill,
    Purpose,
    ResumePlayout,
    SetTimer,
    Transcribe,
)
from voicebridge.conversation.consent import Consenting
from voicebridge.conversation.endpointing import looks_open, only_answers, surely_done
from voicebridge.conversation.state import Agent, Caller, Move

KEY_0 = Rule("key_0", dtmf="0", action="handoff")
"""The key for a human, everywhere and unless the agent has another use for it."""
SUSPENDED_FOR_S = 0.25
"""A draft survives a sound of the caller's of up to this length: most are breaths."""


class Conversation(Consenting):
    """One call's conversation. `now` is any clock that only goes forward, in seconds.

    `judged`: somebody can tell from the sound whether the caller has finished. `recorded`: the call is recorded where
    the caller allows it.
    """

    def __init__(
        self, agent: AgentSpec, *, context_tokens: int = 2048, judged: bool = False, recorded: bool = False
    ) -> None:
        super().__init__(agent, context_tokens=context_tokens, recorded=recorded)
        self._judged = judged
        self._judgement: int | None = None  # of this pause, awaited
        self._purpose: Purpose = "final"
        self._voice_began = 0.0
        self._voiced = 0.0
        self._endpoint_s = agent.limits.endpoint_s
        self._paused_at = 0.0
        self._handlers: dict[type, Callable[[Any], None]] = {
            ev.CallStarted: self._on_call_started,
            ev.SpeechStarted: self._on_speech_started,
            ev.SpeechStopped: self._on_speech_stopped,
            ev.TranscriptReady: self._on_transcript,
            ev.TranscriptFailed: self._on_transcript_failed,
            ev.TurnJudged: self._on_turn_judged,
            ev.RuleMatched: self._on_rule_matched,
            ev.ModelText: self._on_model_text,
            ev.ModelDone: self._on_model_done,
            ev.ModelFailed: self._on_model_failed,
            ev.ModelCall: self._on_model_call,
            ev.Parsed: self._on_parsed,
            ev.ToolProgress: self._on_tool_progress,
            ev.ToolDone: self._on_tool_done,
            ev.HandoffUpdate: self._on_handoff_update,
            ev.SegmentReady: self._on_segment_ready,
            ev.SegmentFailed: self._on_segment_failed,
            ev.PlaybackStarted: self._on_playback_started,
            ev.PlaybackFinished: self._on_playback_finished,
            ev.Drained: self._on_drained,
            ev.PlayoutCut: self._on_playout_cut,
            ev.Dtmf: self._on_dtmf,
            ev.TimerFired: self._on_timer,
            ev.CallClosed: self._on_closed,
        }
        self._timers: dict[str, Callable[[], None]] = {
            "speculate": self._speculate,
            "endpoint": self._endpoint,
            "partial": self._partial,
            "discard": self._discard_suspended,
            "confirm": self._confirm_barge_in,
            "cover": self._cover,
            "stuck": self._stuck,
            "no_input": self._no_input,
            "call_length": self._too_long,
            "key_gap": self._keys_late,
            "keys": self._keys_late,
        }

    @property
    def caller(self) -> Caller:
        return self._caller

    def handle(self, event: ev.Event, now: float) -> list[Command]:
        """Take one event at `now`; returns what to do, in order. Events after the end do nothing."""
        self._now = now
        self._out: list[Command] = []
        if self._agent is not Agent.ENDED:
            self._handlers[type(event)](event)
        return self._out

    # ---- the end

    def _on_closed(self, event: ev.CallClosed) -> None:
        self._drop_reply()
        self._move(Move.END)
        self.ended_by = event.reason

    # ---- the caller's voice

    def _on_speech_started(self, event: ev.SpeechStarted) -> None:
        self._caller = Caller.SPEAKING
        self._voice_began = self._now - event.ago
        self._request = self._judgement = None
        self._endpoint_passed = False
        for name in ("speculate", "endpoint", "no_input"):
            self._cancel_timer(name)
        self._do(SetTimer("partial", self._now + self._limits.partial_first_s))
        if self._leaving:
            return
        if self._agent is Agent.SPEAKING:
            self._barge_in()
        elif self._agent is Agent.PAUSED:
            self._arm_confirm()
        else:
            self._caller_takes_or_keeps_turn()

    def _caller_takes_or_keeps_turn(self) -> None:
        reply = self._reply
        if reply is not None and not self._open:
            self._drop_reply()  # a greeting that was not ready yet, or the goodbye to who seemed to be gone
            self._ending = None
        elif reply is not None:
            if reply.committed:
                self._taken_back(reply)
            reply.suspended, reply.committed = True, False
            self._do(SetTimer("discard", self._now + SUSPENDED_FOR_S))
        if self._agent is Agent.THINKING:
            self._move(Move.CALLER_GOES_ON)
            self._stop_waiting()
        if not self._open:
            self._goes_on = False
        self._listen()

    def _listen(self) -> None:
        """Go on with the open utterance or open a new one."""
        if not self._open:
            self._turn += 1
            self._open = True
            self._voiced = 0.0
            self._do(Listen(self._turn, self._expected()))

    def _on_speech_stopped(self, event: ev.SpeechStopped) -> None:
        if self._caller is not Caller.SPEAKING:
            return
        self._caller = Caller.PAUSING
        self._last_voice = self._now - event.ago
        self._voiced += event.voiced
        self._cancel_timer("partial")
        self._cancel_timer("discard")
        self._request = None
        if not self._open:  # spoken into a goodbye, or over a key
            self._caller = Caller.SILENT
            self._await_caller()
            return
        self._do(SetTimer("speculate", max(self._now, self._last_voice + self._limits.speculate_s)))
        self._endpoint_s = self._limits.endpoint_spelled_s if self._spelling() else self._limits.endpoint_s
        self._do(SetTimer("endpoint", max(self._now, self._last_voice + self._endpoint_s)))

    def _speculate(self) -> None:
        if self._caller is not Caller.PAUSING:
            return
        self._transcribe("speculative")
        if self._judged and not self._spelling():  # who spells gets more time than a judgement would give him
            self._judgement = self._number()
            self._do(JudgeTurn(self._judgement, self._turn, self._last_voice + self._limits.endpoint_s))

    def _endpoint(self) -> None:
        if self._caller is not Caller.PAUSING:
            return
        self._caller = Caller.SILENT
        self._endpoint_passed = True
        if self._over_speech:  # the transcript decides whose turn it is
            if self._request is None:
                self._transcribe("final")
        elif self._reply is not None and not self._reply.suspended:
            self._commit()
        elif self._request is None:
            self._transcribe("final")
        if self._agent is Agent.IDLE:
            self._move(Move.COMMIT)
            self._start_waiting()

    def _partial(self) -> None:
        if self._caller is Caller.SPEAKING and self._open:
            if self._request is None:
                self._transcribe("partial")
            self._do(SetTimer("partial", self._now + self._limits.partial_every_s))

    def _discard_suspended(self) -> None:
        if self._caller is Caller.SPEAKING and self._reply is not None and self._reply.suspended:
            self._drop_reply()

    # ---- what he said

    def _transcribe(self, purpose: Purpose) -> None:
        self._request = self._number()
        self._purpose = purpose
        if purpose == "partial":
            deadline = math.inf if self._agent is not Agent.PAUSED else self._now + 0.3
        else:
            deadline = self._last_voice + self._limits.endpoint_s
        give_up = self._now + self._limits.answer_s
        self._do(Transcribe(self._request, self._turn, purpose, deadline, give_up))

    def _on_transcript(self, event: ev.TranscriptReady) -> None:
        if event.request != self._request:
            return
        self._request = None
        if self._purpose == "partial":
            self._on_partial(event.text)
        elif self._over_speech:
            self._judge_barge_in(event.text)
        elif is_noise(event.text, voiced_s=self._voiced):
            self._nothing_said()
        else:
            self._on_words(event.text)

    def _on_partial(self, text: str) -> None:
        if self._over_speech:
            if self._takes_turn(text):
                self._interrupt("")
        elif len(words(text)) >= 2 and self.agent.model_scope == "open":
            self._do(Prefill(self.history.messages(caller_now=text)))

    def _on_words(self, text: str) -> None:
        reply = self._reply
        if reply is not None and words(reply.caller_text) == words(text):
            reply.suspended = False
        else:
            self._drop_reply()
            self._draft(text)
        if self._endpoint_passed:
            self._commit()
        elif looks_open(text, self.agent.language):
            self._wait_longer(self._limits.endpoint_open_s)

    def _on_rule_matched(self, event: ev.RuleMatched) -> None:
        reply, rule = self._reply, self.agent.rule(event.rule or "")
        if reply is not None and reply.match == event.request and reply.form is None:
            if rule is None or not event.sure:
                self._wait_longer(self._limits.endpoint_unsure_s)
            elif surely_done(reply.caller_text, self.agent.language, rule.action):
                self._wait_less()
        super()._on_rule_matched(event)

    def _on_parsed(self, event: ev.Parsed) -> None:
        said, reply, language = event.understood, self._reply, self.agent.language
        mine = reply is not None and reply.parse == event.request
        if mine and self._form is not None and not (said.values or said.answer or said.cancel):
            self._wait_longer(self._limits.endpoint_unsure_s)
        elif mine and self._caller is Caller.PAUSING and self._complete(said):
            self._endpoint_s = self._limits.endpoint_s  # every digit is there: nothing more to wait for
            self._wait_less()
        elif reply is not None and mine and only_answers(reply.caller_text, language, said, self._expected()):
            self._wait_less()
        super()._on_parsed(event)

    def _wait_longer(self, endpoint_s: float) -> None:
        """He may go on: the endpoint comes so long after his last voice, if it has not come yet, and never sooner."""
        if self._caller is Caller.PAUSING:
            self._endpoint_s = max(self._endpoint_s, endpoint_s)
            self._do(SetTimer("endpoint", max(self._now, self._last_voice + self._endpoint_s)))

    def _wait_less(self) -> None:
        """He is surely done: the endpoint comes sooner, unless something made it later."""
        if self._caller is Caller.PAUSING and self._endpoint_s <= self._limits.endpoint_s:
            self._endpoint_s = min(self._endpoint_s, self._limits.endpoint_complete_s)
            self._do(SetTimer("endpoint", max(self._now, self._last_voice + self._endpoint_s)))

    def _on_turn_judged(self, event: ev.TurnJudged) -> None:
        if event.request == self._judgement and event.probability < self._limits.turn_open_below:
            self._wait_longer(self._limits.endpoint_open_s)

    def _nothing_said(self) -> None:
        """A noise: as if nothing had been."""
        self._drop_reply()
        self._open = False
        self._cancel_timer("endpoint")
        self._caller = Caller.SILENT
        if self._agent is Agent.THINKING:
            self._move(Move.NOTHING_SAID)
            self._stop_waiting()
        self._await_caller()

    def _on_transcript_failed(self, event: ev.TranscriptFailed) -> None:
        if event.request != self._request:
            return
        self._request = None
        if self._purpose == "partial":
            return
        if self._agent is Agent.PAUSED:
            self._interrupt("")
        self._trouble(f"stt_{event.cause}")

    # ---- barge-in

    def _barge_in(self) -> None:
        self._move(Move.BARGE_IN)
        self._paused_at = self._now
        self._over_speech = True
        self._goes_on = self._voice_began - self._answer_began <= self._limits.go_on_s
        self._cancel_timer("cover")
        self._do(PausePlayout())
        self._listen()
        self._arm_confirm()

    def _arm_confirm(self) -> None:
        self._do(SetTimer("confirm", self._now + self._limits.barge_in_confirm_s))

    def _confirm_barge_in(self) -> None:
        """No words yet: look for some, and do not stay silent for a noise (or a recogniser that is gone)."""
        if self._agent is not Agent.PAUSED:
            return
        if self._now - self._paused_at >= self._limits.barge_in_give_up_s:
            self._go_on()
            return
        if self._caller is Caller.SPEAKING and self._request is None:
            self._transcribe("partial")
        self._arm_confirm()

    def _judge_barge_in(self, text: str) -> None:
        if self._takes_turn(text):
            self._interrupt(text)
            return
        self._over_speech = False
        self._caller = Caller.SILENT
        self._cancel_timer("endpoint")
        if self._reply is None or self._reply.heard:
            self._open = False
        if self._reply is None:
            self._stop_waiting()
        if self._agent is Agent.PAUSED:
            self._go_on()
        elif self._agent is Agent.THINKING and self._reply is None:
            self._nothing_said()  # a filler covered the wait for a transcript of what were noises
        elif self._agent is Agent.IDLE:
            self._await_caller()

    def _takes_turn(self, text: str) -> bool:
        voiced = self._voiced + (self._now - self._voice_began if self._caller is Caller.SPEAKING else 0.0)
        if is_noise(text, voiced_s=voiced):
            return False
        reply = self._reply
        if reply is not None and not reply.heard and words(text) == words(reply.caller_text):
            return False  # a noise during the filler: the utterance is what it was
        return not is_backchannel(text, language=self.agent.language, after_question=self._asked)

    def _go_on(self) -> None:
        """A false alarm, or none of our business yet: the agent goes on where it was cut."""
        self._move(Move.FALSE_ALARM)
        self._cancel_timer("confirm")
        self._do(ResumePlayout())
        self._give_ready()

    # ---- keys and timers

    def _on_dtmf(self, event: ev.Dtmf) -> None:
        if self._leaving or self._takes_key(event.digit):
            return
        rule = next((rule for rule in self.agent.rules if rule.dtmf == event.digit), None)
        if rule is None and event.digit == "0":
            rule = KEY_0
        if rule is None:
            if self._agent is Agent.IDLE and self._caller is Caller.SILENT:
                self._await_caller()
            return
        self._answer_key(rule)

    def _on_timer(self, event: ev.TimerFired) -> None:
        self._timers[event.name]()

    def _no_input(self) -> None:
        if self._agent is Agent.IDLE and self._caller is Caller.SILENT:
            self._ask_again()

    def _interrupt_self(self) -> None:
        """Drop what both sides were about; a caller who is still speaking is listened to no further."""
        super()._interrupt_self()
        self._request = self._judgement = None
        self._endpoint_passed = False
        if self._caller is Caller.PAUSING:
            self._caller = Caller.SILENT

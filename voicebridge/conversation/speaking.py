"""Speaking: from text to playout, covers, re-prompts, trouble, goodbye.

The lowest layer of the core: `replies` adds how an answer is drafted, `core` the caller's side. Text becomes segments
(Synthesize); segments that are ready are given to playout in order (Play) once the turn is ours.
"""

from __future__ import annotations

import math

from voicebridge.conversation import events as ev
from voicebridge.conversation.agent import AgentSpec
from voicebridge.conversation.commands import (
    CancelGeneration,
    CancelTimer,
    Command,
    DropSegments,
    EndCall,
    FlushPlayout,
    Play,
    Prefill,
    SegmentKind,
    SetTimer,
    Synthesize,
)
from voicebridge.conversation.history import History
from voicebridge.conversation.state import Agent, Caller, Move, Piece, Reply, moved

LEAST_COVER_S = 0.5
"""An answer that is nearly there gets this much time before a filler."""
DRY_COVER_S = 1.1
"""Silence allowed in the middle of an answer before a filler covers it."""


class Speaking:
    """The state that both sides share, and all that is said without knowing what the caller meant."""

    def __init__(self, agent: AgentSpec, *, context_tokens: int) -> None:
        self.agent = agent
        self._limits = agent.limits
        self.history = History(
            agent.call_prompt(), context_tokens=context_tokens, answer_tokens=agent.limits.answer_tokens
        )
        self.ended_by = ""
        self._now = 0.0
        self._out: list[Command] = []
        self._agent = Agent.IDLE
        self._turn = 0
        self._counter = 0
        self._open = False  # the utterance can still grow: nothing of its answer was heard
        self._over_speech = False  # the utterance began while we spoke: its words decide whose turn it is
        self._endpoint_passed = False
        self._asked = False  # what we said last was a question
        self._waiting = False  # committed, and nothing of the answer given to playout yet
        self._reply: Reply | None = None
        self._request: int | None = None  # a transcript is awaited
        self._cover_at = math.inf  # when silence is covered next
        self._lines: dict[int, Piece] = {}  # fillers and trouble on their way, outside of any reply
        self._sent: dict[int, tuple[int, Piece]] = {}  # given to playout: segment -> turn, piece
        self._cut_text: str | None = None
        self._goes_on = False  # the utterance began so soon after our answer that he had not finished the one before
        self._answered = ""  # all of what the caller said that the last answer was to
        self._answer_began = -math.inf
        self._last_voice = -math.inf
        self._ending: EndCall | None = None
        self._unanswered = 0  # re-prompts since the caller last spoke
        self._misunderstood = 0  # answers in a row of which nobody knew one
        self._caller = Caller.SILENT
        self._turns_of_phrase: dict[str, int] = {}

    @property
    def state(self) -> Agent:
        return self._agent

    @property
    def turn(self) -> int:
        return self._turn

    @property
    def _leaving(self) -> bool:
        """The last words are being said, and nothing that the caller does keeps the call."""
        return self._ending is not None and self._ending.reason != "no_input"

    # ---- small things

    def _do(self, command: Command) -> None:
        self._out.append(command)

    def _move(self, move: Move) -> None:
        self._agent = moved(self._agent, move)

    def _number(self) -> int:
        self._counter += 1
        return self._counter

    def _cancel_timer(self, name: str) -> None:
        self._do(CancelTimer(name))

    def _phrase(self, name: str, wordings: tuple[str, ...]) -> str:
        """The wordings of one thing take turns."""
        at = self._turns_of_phrase.get(name, 0)
        self._turns_of_phrase[name] = at + 1
        return wordings[at % len(wordings)]

    def _await_caller(self) -> None:
        """It is the caller's turn, unless there is something that he waits for."""
        if self._agent is Agent.IDLE and self._ending is None and not self._go_on_with_work():
            self._do(SetTimer("no_input", self._now + self._limits.no_input_s))

    def _go_on_with_work(self) -> bool:
        """Whether our turn goes on: a tool is at work, or has a result to tell. `acting` knows."""
        return False

    def _patience(self) -> float:
        """How long an answer may take, in seconds, before we are stuck."""
        return self._limits.answer_s

    def _add(self, reply: Reply, kind: SegmentKind, text: str, *, deadline: float) -> None:
        piece = Piece(self._number(), kind, text)
        reply.pieces.append(piece)
        self._do(Synthesize(piece.segment, reply.turn, kind, text, deadline, self._now + self._limits.answer_s))

    # ---- lines of our own

    def _say(self, kind: SegmentKind, text: str) -> None:
        """One of the agent's own lines as a turn's reply, at once."""
        self._drop_reply()
        reply = Reply(self._turn, "", "greeting" if kind == "greeting" else "line", committed=True, complete=True)
        self._reply = reply
        if self._agent is Agent.IDLE:
            self._move(Move.COMMIT)
        self._waiting = True
        self._do(SetTimer("stuck", self._now + self._limits.answer_s))  # should its speech neither come nor fail
        self._add(reply, kind, text, deadline=self._now)

    def _ask_again(self) -> None:
        lines = self.agent.lines
        self._unanswered += 1
        if self._unanswered > self._limits.no_input_limit:
            self._ending = EndCall("hangup", "no_input")
            self._say("goodbye", lines.no_input_end)
        else:
            self._say("prompt", self._phrase("no_input", lines.no_input))

    def _too_long(self) -> None:
        if self._ending is not None:
            return
        self._interrupt_self()
        self._ending = EndCall("fallback", "call_length")
        self._say("goodbye", self.agent.lines.too_long)

    def _trouble(self, cause: str) -> None:
        """Something we need is gone: say so, and leave the caller to the PBX's fallback."""
        if self._ending is not None and self._ending.outcome == "fallback":
            self._end()
            return
        self._interrupt_self()
        self._ending = EndCall("fallback", cause)
        self._say("trouble", self.agent.lines.trouble)

    def _interrupt_self(self) -> None:
        for name in ("no_input", "confirm", "endpoint", "speculate"):
            self._cancel_timer(name)
        self._stop_waiting()
        self._ending = None
        self._open = self._over_speech = False
        self._lines.clear()
        if self._agent in (Agent.SPEAKING, Agent.PAUSED):
            self._move(Move.INTERRUPT)
            self._do(FlushPlayout())
        elif self._agent is Agent.THINKING:
            self._move(Move.INTERRUPT)  # its timers are gone: who goes on sets his own
        self._drop_reply()

    def _end(self) -> None:
        ending = self._ending or EndCall("hangup", "done")
        self._drop_reply()
        self._move(Move.END)
        self.ended_by = ending.reason
        self._do(ending)

    def _drop_reply(self) -> None:
        reply = self._reply
        if reply is None:
            return
        self._reply = None
        if reply.generation is not None:
            self._do(CancelGeneration(reply.generation))
        if pending := reply.pending():
            self._do(DropSegments(pending))

    # ---- from text to playout

    def _on_segment_ready(self, event: ev.SegmentReady) -> None:
        if (line := self._lines.pop(event.segment, None)) is not None:
            if self._agent is Agent.THINKING:
                self._give(self._turn, line)
            return
        if self._reply is None:
            return
        for piece in self._reply.pieces:
            if piece.segment == event.segment:
                piece.ready = True
        self._give_ready()

    def _give_ready(self) -> None:
        """Hand over, in order, what is ready, if the turn is ours and nobody speaks."""
        reply = self._reply
        if reply is None or not reply.committed or reply.suspended:
            return
        if self._agent not in (Agent.THINKING, Agent.SPEAKING):
            return
        for piece in reply.pieces:
            if piece.given:
                continue
            if not piece.ready:
                break
            piece.given = True
            self._give(reply.turn, piece)
            self._stop_waiting()
        if reply.complete and not reply.pieces:  # a rule that ends the call without a word
            self._finish_if_dry()

    def _give(self, turn: int, piece: Piece) -> None:
        self._sent[piece.segment] = (turn, piece)
        self._move(Move.SPEAK)
        self._do(Play(piece.segment))

    def _on_segment_failed(self, event: ev.SegmentFailed) -> None:
        if self._lines.pop(event.segment, None) is not None:
            return
        reply = self._reply
        if reply is None or event.segment not in reply.pending():
            return
        if not reply.committed:
            self._drop_reply()
        elif any(piece.kind == "trouble" for piece in reply.pieces) or self._ending is not None:
            self._end()
        else:
            self._trouble(f"tts_{event.cause}")

    def _on_playback_started(self, event: ev.PlaybackStarted) -> None:
        if event.segment not in self._sent:
            return
        _, piece = self._sent[event.segment]
        piece.begun = True
        if piece.kind != "filler" and self._reply is not None:
            if not self._reply.heard:
                self._answer_began = self._now
            self._reply.heard = True
            if not self._over_speech:
                self._open = False

    def _on_playback_finished(self, event: ev.PlaybackFinished) -> None:
        sent = self._sent.pop(event.segment, None)
        if sent is not None:
            self._was_heard(*sent, sent[1].text)

    def _was_heard(self, turn: int, piece: Piece, heard: str) -> None:
        if piece.kind != "filler" and heard.strip():
            self.history.exchange(turn).heard.append(heard)
            self._asked = heard.rstrip().endswith("?")

    def _on_drained(self, _: ev.Drained) -> None:
        if self._agent is Agent.SPEAKING and not self._sent:
            self._finish_if_dry()

    def _finish_if_dry(self) -> None:
        reply = self._reply
        if self._sent or self._agent not in (Agent.SPEAKING, Agent.THINKING):
            return
        more_to_come = self._waiting if reply is None else not reply.all_given()
        if more_to_come:
            if self._agent is Agent.SPEAKING:
                self._run_dry()
            return
        if self._ending is not None:
            self._end()
            return
        if self._agent is Agent.THINKING:
            return
        self._move(Move.FINISH)
        self._reply = None
        if self.agent.model_scope != "none":
            self._do(Prefill(self.history.messages()))
        self._await_caller()

    def _run_dry(self) -> None:
        self._move(Move.RUN_DRY)
        self._cover_by(self._now + self._cover_pause())
        if not self._waiting:  # in the middle of an answer
            self._waiting = True
            self._do(SetTimer("stuck", self._now + self._patience()))

    # ---- waiting aloud

    def _start_waiting(self) -> None:
        self._waiting = True
        # Counted from the usual endpoint: the caller has been waiting since his last word, however long ours took.
        patience = self._last_voice + self._limits.endpoint_s + self._limits.cover_first_s
        soon = self._now + min(LEAST_COVER_S, self._limits.cover_first_s)
        latest = self._now + self._limits.cover_first_s
        self._cover_by(max(soon, min(patience, latest)))
        self._do(SetTimer("stuck", self._now + self._patience()))

    def _stop_waiting(self) -> None:
        self._waiting = False
        self._cancel_timer("stuck")
        self._cancel_timer("cover")
        self._cover_at = math.inf

    def _cover_by(self, at: float) -> None:
        self._cover_at = at
        self._do(SetTimer("cover", at))

    def _cover(self) -> None:
        self._cover_at = math.inf
        if self._agent is not Agent.THINKING or self._ending is not None:
            return
        self._say_meanwhile(self._filler())

    def _say_meanwhile(self, text: str) -> None:
        """Something for the ear while the caller waits, outside of any reply."""
        piece = Piece(self._number(), "filler", text)
        self._lines[piece.segment] = piece
        self._do(Synthesize(piece.segment, self._turn, "filler", piece.text, self._now, self._now + 1.0))
        self._cover_by(self._now + self._limits.cover_every_s)

    def _filler(self) -> str:
        return self._phrase("filler", self.agent.lines.fillers)

    def _cover_pause(self) -> float:
        """Silence allowed between one filler and the next."""
        return DRY_COVER_S

    def _stuck(self) -> None:
        if self._waiting and self._agent in (Agent.THINKING, Agent.SPEAKING):
            self._trouble("no_answer_in_time")
        elif self._waiting and self._agent is Agent.PAUSED:  # over a filler he made a sound: that is judged first
            self._do(SetTimer("stuck", self._now + self._limits.barge_in_give_up_s))

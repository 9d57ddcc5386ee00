"""Handing the caller to a human: who is asked for, what he hears meanwhile, and what follows where nobody is there.

Only a target of the agent's own list is ever asked for; whether somebody is there is found out elsewhere (HandOff ->
HandoffUpdate).
"""

from __future__ import annotations

from dataclasses import replace

from voicebridge.conversation import events as ev
from voicebridge.conversation.commands import CancelHandOff, EndCall, HandOff, Hold
from voicebridge.conversation.replies import Replies
from voicebridge.conversation.state import Agent, Handing, HandOffAction, Move, Reply, ToolAction


class HandingOff(Replies):
    """Adds handoffs to answers."""

    def __init__(self, *args: object, **more: object) -> None:
        super().__init__(*args, **more)  # type: ignore[arg-type]
        self._handing: Handing | None = None

    def _answer_with(self, reply: Reply, text: str) -> None:
        if text:
            self._add(reply, "answer", text, deadline=self._now)

    def _open_instead(self, reply: Reply, form: str, failed: ToolAction | None = None, *, told: bool = False) -> bool:
        """Offer a form. `forms` knows how. `told`: what failed has said itself what is wrong."""
        return False

    @property
    def rings_human(self) -> bool:
        """Whether a human is being called while the caller waits."""
        return self._handing is not None and self._handing.calling

    def _find_human(self, reply: Reply, action: HandOffAction) -> None:
        self._open = False
        if action.target not in self.agent.targets:
            self._leave(reply, action.reason)
            return
        if (under_way := self._handing) is not None:
            if under_way.wanted.target == action.target:
                self._ring_on(reply, under_way, action)
                return
            self._give_up_ringing(under_way)
        self._handing = Handing(self._number(), action)
        self._do(HandOff(self._handing.number, action.target, action.reason))

    def _ring_on(self, reply: Reply, handing: Handing, action: HandOffAction) -> None:
        """Asked for again while it is tried: nobody is rung anew."""
        handing.wanted = replace(handing.wanted, must_leave=handing.wanted.must_leave or action.must_leave)
        if handing.calling:
            if not reply.pieces:
                self._answer_with(reply, self.agent.lines.connecting)
            reply.complete = True

    def _give_up_ringing(self, handing: Handing) -> None:
        self._handing = None
        self._do(CancelHandOff(handing.number))
        if handing.calling:
            self._do(Hold(False))
            if self._waiting:  # what covered the wait was the music
                self._cover_by(self._now + self._limits.tool_cover_s)

    def _leave(self, reply: Reply, reason: str) -> None:
        """No target is known: the PBX's own fallback is a human, too."""
        if not reply.pieces:
            self._add(reply, "goodbye", self.agent.lines.connecting, deadline=self._now)
        reply.complete = True
        self._ending = EndCall("fallback", reason)

    def _on_handoff_update(self, event: ev.HandoffUpdate) -> None:
        handing = self._handing
        if handing is None or handing.number != event.handoff:
            return
        lines = self.agent.lines
        if event.state == "connected":
            self._handing = None
            self._ending = EndCall("transfer", handing.wanted.reason, event.target)
            self._end()
            return
        reply = self._floor()
        if event.state == "calling":
            handing.calling = True
            self._do(Hold(True))
            if not reply.pieces or event.say:
                self._add(reply, "answer", event.say or lines.connecting, deadline=self._now)
            reply.complete = True
        elif event.state == "go":
            self._handing = None
            if not reply.pieces or event.say:
                self._add(reply, "goodbye", event.say or lines.connecting, deadline=self._now)
            reply.complete = True
            self._ending = EndCall("transfer", handing.wanted.reason, event.target)
        else:
            self._nobody(reply, handing)
        self._give_ready()
        self._finish_if_dry()

    def _floor(self) -> Reply:
        """The reply that waits for the handoff; a new one where the caller has said something since."""
        if self._reply is not None and self._reply.committed and not self._reply.complete:
            return self._reply
        self._interrupt_self()  # nor may a transcript that is still to come take the turn from it
        self._turn += 1
        self._reply = Reply(self._turn, "", "line", committed=True)
        if self._agent is Agent.IDLE:
            self._move(Move.COMMIT)
            self._start_waiting()
        return self._reply

    def _nobody(self, reply: Reply, handing: Handing) -> None:
        lines = self.agent.lines
        self._handing = None
        if handing.calling:
            self._do(Hold(False))
        self._answer_with(reply, lines.returned if handing.calling else lines.nobody_there)
        reply.complete = True
        if self._open_instead(reply, self.agent.fallback_form):
            return
        if handing.wanted.must_leave:
            self._ending = EndCall("fallback", handing.wanted.reason)
        else:
            self._answer_with(reply, lines.anything_else)

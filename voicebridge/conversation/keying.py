"""Keys that answer a form's question: collected until they are complete, and never written down.

A slot's terminator, its greatest count or a pause completes them; keys stop speech. At the confirmation 1 is yes, 2 no.
"""

from __future__ import annotations

from voicebridge.conversation.acting import MAX_KEYS
from voicebridge.conversation.commands import SetTimer
from voicebridge.conversation.filling import KEYABLE
from voicebridge.conversation.form import Understood
from voicebridge.conversation.forms import Forms
from voicebridge.conversation.state import Agent, Move, Reply


class Keying(Forms):
    """Adds keys to forms."""

    def _takes_key(self, digit: str) -> bool:
        """A key that answers our question. Keys stop speech; what they are is not written down anywhere."""
        filling = self._form
        if filling is None:
            return False
        slot = filling.slot
        if filling.stage == "confirming" and digit in "12":
            self._keys = digit
            self._keys_complete()
            return True
        if slot is None or slot.kind not in KEYABLE or (slot.kind in ("choice", "yes_no") and digit == "0"):
            return False
        self._interrupt_self()
        if digit != slot.terminator:
            if not self._keys:
                self._do(SetTimer("keys", self._now + self._limits.keys_s))
            self._keys += digit
        single = slot.kind in ("choice", "yes_no")
        most = slot.most if slot.most is not None and slot.kind in ("digits", "phone") else MAX_KEYS
        full = len(self._keys) >= most
        if digit == slot.terminator or single or full:
            self._keys_complete()
        else:
            self._do(SetTimer("key_gap", self._now + self._limits.key_gap_s))
        return True

    def _keys_late(self) -> None:
        """No more keys came in time."""
        if self._leaving:
            self._forget_keys()
        elif self._keys:
            self._keys_complete()

    def _keys_complete(self) -> None:
        filling, keys = self._form, self._keys
        self._forget_keys()
        if filling is None:
            return
        self._interrupt_self()
        self._turn += 1
        reply = Reply(self._turn, "", "form", committed=True)
        reply.due = self._now + self._limits.answer_s
        self._reply = reply
        self._unanswered = 0
        if self._agent is Agent.IDLE:
            self._move(Move.COMMIT)
            self._start_waiting()
        if filling.stage == "confirming":
            reply.form = filling.form
            reply.understood = Understood(answer="yes" if keys == "1" else "no")
            self._decide(reply)
        else:
            self._parse(reply, filling.form, filling.asked, keys, keys=True)

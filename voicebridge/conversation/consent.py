"""How a call opens: who speaks is disclosed, that it is recorded is announced or asked, then the greeting.

Where it is asked, only a yes to the whole question allows a recording: a no, anything else, or silence does not.
"""

from __future__ import annotations

from dataclasses import dataclass

from voicebridge.conversation import events as ev
from voicebridge.conversation.agent import Rule
from voicebridge.conversation.commands import ChatMessage, Prefill, SegmentKind, SetTimer, WarmModel
from voicebridge.conversation.filling import Filling
from voicebridge.conversation.form import Form, Understood
from voicebridge.conversation.keying import Keying
from voicebridge.conversation.state import Piece, Reply

CONSENT = "consent"
FORM_NAME = f"{CONSENT} "
"""Of the form that asks for it: with a blank, as no form of an agent's is called."""


@dataclass(frozen=True, slots=True)
class Consent:
    """To being recorded. `given`: None where it was not asked, or not answered yet."""

    asked: bool = False
    given: bool | None = None


class Consenting(Keying):
    """Adds the opening. `recorded`: calls are recorded, if their callers allow it."""

    def __init__(self, *args: object, recorded: bool = False, **more: object) -> None:
        super().__init__(*args, **more)
        self._recorded = recorded
        self.consent = Consent()
        self._question_heard = False

    @property
    def may_record(self) -> bool:
        """Whether this moment of the call may be recorded."""
        return self._recorded and (self.agent.recording_consent != "ask" or self.consent.given is True)

    @property
    def question(self) -> str:
        return CONSENT if self._asks_consent else super().question

    @property
    def _asks_consent(self) -> bool:
        return self._form is not None and self._form.form.name == FORM_NAME

    # ---- the opening

    def _on_call_started(self, _: ev.CallStarted) -> None:
        if prompt := self.agent.system_prompt():
            self._do(WarmModel((ChatMessage("system", prompt),)))
            if self.agent.call_facts and self.agent.model_scope != "none":
                self._do(Prefill(self.history.messages()))  # what is this call's alone, before it is asked for
        self._do(SetTimer("call_length", self._now + self._limits.call_s))
        if opening := self._opening():
            self._say(*opening[0])
            assert self._reply is not None
            self._reply.source = "greeting"
            for kind, text in opening[1:]:
                self._add(self._reply, kind, text, deadline=self._now)
        else:
            self._await_caller()

    def _opening(self) -> list[tuple[SegmentKind, str]]:
        lines, how = self.agent.lines, self.agent.recording_consent if self._recorded else "none"
        said: list[tuple[SegmentKind, str]] = [("disclosure", self.agent.disclosure)]
        if how == "announce":
            said.append(("consent", lines.record_announce))
        if how == "ask":
            self.consent = Consent(asked=True)
            self._form = Filling(Form(FORM_NAME, "", confirm=lines.record_ask), stage="confirming")
            said.append(("consent", lines.record_ask))
        else:
            said.append(("greeting", self.agent.greeting))
        return [(kind, text) for kind, text in said if text]

    def _was_heard(self, turn: int, piece: Piece, heard: str) -> None:
        if piece.text.strip().endswith(self.agent.lines.record_ask) and heard == piece.text:
            self._question_heard = True
        super()._was_heard(turn, piece, heard)

    # ---- the answer

    def _decide(self, reply: Reply) -> None:
        known = reply.parse is None and reply.match is None
        if not known or reply.form is None or reply.form.name != FORM_NAME or not self._asks_consent:
            super()._decide(reply)
            return
        said, asking = reply.understood or Understood(), self._form
        answered = said.answer in ("yes", "no") or said.cancel
        reply.touches_form, reply.filling, reply.form = True, None, None
        if said.answer == "yes" and not self._question_heard:
            reply.filling, reply.complete = asking, True
            self._answer_with(reply, self.agent.lines.record_ask)
        elif answered:
            reply.consents, reply.complete = said.answer == "yes", True
            self._answer_with(reply, self.agent.greeting or self.agent.lines.all_right)
        else:
            reply.consents = False
            self._answer(reply, reply.matched or ev.RuleMatched(0, None))
        self._settle(reply)
        self._reckon(reply)
        self._give_ready()

    def _committed(self, reply: Reply) -> None:
        if reply.consents is not None:
            self.consent = Consent(True, reply.consents)
        super()._committed(reply)

    def _taken_back(self, reply: Reply) -> None:
        if reply.consents is not None:
            self.consent = Consent(True)
        super()._taken_back(reply)

    def _not_given(self) -> bool:
        """The question is dropped; False where there was none."""
        if not self._asks_consent:
            return False
        self._form, self.consent = None, Consent(True, given=False)
        return True

    def _ask_again(self) -> None:
        if self._not_given():
            self._say("greeting", self.agent.greeting or self.agent.lines.no_input[0])
        else:
            super()._ask_again()

    def _answer_key(self, rule: Rule) -> None:
        self._not_given()
        super()._answer_key(rule)

"""Forms in conversation: opened by a rule, filled by speech or keys, confirmed, and left when the caller wants to.

While a form is open each utterance is both parsed for the form's slots and matched with the rules: what answers the
question counts; what is a question of the caller's is answered, and ours asked again.
"""

from __future__ import annotations

from voicebridge.conversation import events as ev
from voicebridge.conversation.acting import Acting
from voicebridge.conversation.agent import Rule
from voicebridge.conversation.commands import Match, Parse
from voicebridge.conversation.filling import SPELLED, Ask, Filling, GiveUp, Leave, Step, again, begin, go_on
from voicebridge.conversation.filling import Run as Complete
from voicebridge.conversation.form import Form, Slot, SlotValue, Understood
from voicebridge.conversation.owntools import as_object
from voicebridge.conversation.state import HandOffAction, Reply, ToolAction

MASK = "***"
"""What stands for a secret in the conversation's own history."""
OVERRULES = 0.8
"""A rule of this score that ends or hands off the call counts although the words fit the question, too."""
OFFER = "offer "
"""Begins the name of a form that only asks whether a rule was meant."""
LEAVING = ("handoff", "end_call", "fallback")

YES_OR_NO = Slot("", "yes_no")


class Forms(Acting):
    """Adds forms to answers and tools."""

    def __init__(self, *args: object, **more: object) -> None:
        super().__init__(*args, **more)
        self._form: Filling | None = None
        self._keys = ""

    # ---- opening

    def _answer_perhaps(self, reply: Reply, rule: Rule) -> None:
        """What is done rather than said is not done on a perhaps: ask."""
        if not rule.offer or rule.action == "say":
            super()._answer_perhaps(reply, rule)
            return
        self._offer(reply, rule)

    def _offer(self, reply: Reply, rule: Rule, resume: Filling | None = None) -> None:
        form = Form(f"{OFFER}{rule.name}", "", confirm=rule.offer, cancelled=self.agent.lines.all_right)
        reply.form = form
        asking = Filling(form, stage="confirming", resume=resume, offered_for=reply.caller_text)
        self._take_step(reply, Ask(asking, rule.offer))

    def _decide_offer(self, reply: Reply, said: Understood, offer: Filling) -> None:
        """Yes does it, no leaves it; anything else is something new."""
        name, resume = offer.form.name.removeprefix(OFFER), offer.resume
        reply.touches_form, reply.filling, reply.form = True, None, None
        rule = self.agent.rule(name)
        if said.answer == "yes" and rule is not None:
            reply.said_before = offer.offered_for
            self._answer_by_rule(reply, rule)
        elif resume is not None:
            reply.complete, reply.filling = True, resume
            question = again(resume, confirm=self._confirm(resume.form), lines=self.agent.lines)
            self._answer_with(reply, f"{self.agent.lines.all_right} {question}")
        elif said.answer == "no" or said.cancel:
            reply.complete = True
            self._answer_with(reply, f"{self.agent.lines.all_right} {self.agent.lines.anything_else}".strip())
        else:
            if reply.matched is not None and reply.matched.rule == name:
                reply.said_before = offer.offered_for
            self._answer(reply, reply.matched or ev.RuleMatched(0, None))
        self._settle(reply)

    def _answer_by_rule(self, reply: Reply, rule: Rule) -> None:
        super()._answer_by_rule(reply, rule)
        form = self.agent.form(rule.form) if rule.action == "form" else None
        following = self.agent.rule(rule.leads_to) if rule.leads_to else None
        if following is not None and following.offer and self._form is None:
            self._offer(reply, following)
        if form is not None:
            reply.complete = False
            self._parse(reply, form, "", f"{reply.said_before} {reply.caller_text}".strip())

    def _parse(self, reply: Reply, form: Form, asked: str, text: str, *, keys: bool = False) -> None:
        reply.source, reply.form = "form", form
        reply.parse = self._number()
        filling = self._form if self._form is not None and self._form.form is form else Filling(form)
        self._do(Parse(reply.parse, form.name, asked, text, keys, filling.partial, filling.values))

    def _open_instead(self, reply: Reply, form: str, failed: ToolAction | None = None, *, told: bool = False) -> bool:
        made = self.agent.form(form) if form else None
        same = made is not None and failed is not None and failed.by_form and failed.tool == made.tool
        if made is None or (same and not told):
            return False  # what has just not worked does not work any better from its beginning
        reply.form = made
        if same and failed is not None:  # "That time is taken": he has only to say another
            self._take_step(reply, Ask(Filling(made, failed.values, stage="changing"), ""))
            return True
        self._take_step(reply, begin(made, Understood(), lines=self.agent.lines, confirm=self._confirm(made)))
        return True

    def _want_tool(self, reply: Reply, action: ToolAction) -> None:
        """What has consequences is confirmed aloud first."""
        spec = self.agent.tool(action.tool)
        if spec is None or not spec.consequential or action.by_form:
            super()._want_tool(reply, action)
            return
        form = Form(f"confirm {action.tool}", action.tool, confirm=spec.confirm, done=action.done)
        reply.form = form
        asking = Filling(form, _as_said(action.arguments), stage="confirming", raw=action.arguments)
        self._take_step(reply, Ask(asking, again(asking, confirm=self._confirm(form), lines=self.agent.lines)))

    def _confirm(self, form: Form) -> str:
        spec = self.agent.tool(form.tool)
        if spec is not None and spec.consequential:
            return form.confirm or spec.confirm or self.agent.lines.go_ahead
        return form.confirm

    # ---- going on

    def _draft(self, text: str) -> None:
        filling = self._form
        if filling is None:
            super()._draft(text)
            return
        reply = Reply(self._turn, MASK if self.secret else text, "form")
        reply.due = self._now + self._limits.answer_s
        self._reply = reply
        self._unanswered = 0
        self._parse(reply, filling.form, filling.asked if filling.stage == "asking" else "", text)
        if any(rule.examples for rule in self.agent.rules):
            reply.match = self._number()
            self._do(Match(reply.match, text))

    def _on_parsed(self, event: ev.Parsed) -> None:
        reply = self._reply
        if reply is not None and reply.parse == event.request:
            if self.tells_secret(event) and reply.caller_text:
                reply.caller_text = MASK
            reply.parse, reply.understood = None, event.understood
            self._decide(reply)

    def _on_rule_matched(self, event: ev.RuleMatched) -> None:
        reply = self._reply
        if reply is not None and reply.form is not None and reply.match == event.request:
            reply.match, reply.matched = None, event
            self._decide(reply)
        else:
            super()._on_rule_matched(event)

    def _decide(self, reply: Reply) -> None:
        """Both are known: what the words say to the form, and which rule they fit."""
        if reply.parse is not None or reply.match is not None or reply.form is None:
            return
        said = reply.understood or Understood()
        filling, confirm = self._form, self._confirm(reply.form)
        lines = self.agent.lines
        if filling is not None and filling.form is reply.form and reply.form.name.startswith(OFFER):
            self._decide_offer(reply, said, filling)
        elif filling is None or filling.form is not reply.form:
            self._take_step(reply, begin(reply.form, said, lines=lines, confirm=confirm))
        elif (perhaps := self._perhaps_leaves(reply, said)) is not None:
            self._offer(reply, perhaps, resume=filling)
        elif (rule := self._digression(reply, said)) is None:
            self._take_step(reply, go_on(filling, said, reply.caller_text, lines=lines, confirm=confirm))
        else:
            reply.form = None
            reply.touches_form, reply.filling = True, None if rule.action in LEAVING else filling
            self._answer_by_rule(reply, rule)
            if rule.action == "say":
                self._answer_with(reply, again(filling, confirm=confirm, lines=lines))
            self._settle(reply)
        self._reckon(reply)
        self._give_ready()

    def _perhaps_leaves(self, reply: Reply, said: Understood) -> Rule | None:
        """A rule that ends or hands off the call, perhaps meant by words that answer nothing: it is asked for."""
        matched = reply.matched
        if matched is None or matched.sure or said.values or said.answer or said.cancel or said.partial:
            return None
        rule = self.agent.rule(matched.rule or "")
        return rule if rule is not None and rule.action in LEAVING and rule.offer else None

    def _digression(self, reply: Reply, said: Understood) -> Rule | None:
        """The rule that was meant rather than an answer to the question."""
        matched = reply.matched
        if matched is None or not matched.sure or said.cancel:
            return None
        rule = self.agent.rule(matched.rule or "")
        if rule is None:
            return None
        answers = bool(said.values or said.answer or said.partial)
        slot = self._form.slot if self._form is not None else None
        if slot is not None and slot.kind == "text" and matched.score >= OVERRULES:
            answers = False  # any words are a text; these are surely something else
        a_name = slot is not None and slot.kind == "name" and not said.answer  # "somebody" is none
        if rule.action in LEAVING and (not answers or a_name or matched.score >= OVERRULES):
            return rule
        return rule if not answers and rule.action in ("say", "form") and rule.form != self._form_name() else None

    def _form_name(self) -> str:
        return self._form.form.name if self._form is not None else ""

    def _take_step(self, reply: Reply, step: Step) -> None:
        lines = self.agent.lines
        form = reply.form
        assert form is not None
        reply.touches_form, reply.complete = True, True
        match step:
            case Ask():
                reply.filling = step.filling
                self._answer_with(reply, step.text)
            case Complete():
                reply.filling = None
                self._remember(step.filling)
                done = ToolAction(
                    form.tool, step.filling.arguments(), form.done, step.filling.values, by_form=True
                )
                self._want_tool(reply, done)
            case Leave():
                reply.filling = None
                self._answer_with(reply, f"{step.text} {lines.anything_else}".strip())
            case GiveUp():
                reply.filling = None
                self._answer_with(reply, lines.give_up)
                target = form.give_up or self.agent.human
                self._want(reply, HandOffAction(target, f"form_{form.name}_not_understood", must_leave=True))
        self._settle(reply)
        self._give_ready()

    def _settle(self, reply: Reply) -> None:
        if reply.committed:
            self._committed(reply)

    def _committed(self, reply: Reply) -> None:
        if reply.touches_form:
            reply.touches_form, reply.before = False, (self._form,)
            self._form = reply.filling
            self._forget_keys()
            self._remember(reply.filling)
        super()._committed(reply)

    def _remember(self, filling: Filling | None) -> None:
        if filling is None:
            return
        for slot in filling.form.slots:
            if (value := filling.value(slot.name)) is not None:
                self.known[slot.name] = value, slot.secret

    def _taken_back(self, reply: Reply) -> None:
        """The caller goes on before anything was heard: the form is where it was."""
        if reply.before is not None:
            (self._form,) = reply.before
            reply.before, reply.touches_form = None, True

    def _ask_again(self) -> None:
        filling = self._form
        if filling is None or self._unanswered >= self._limits.no_input_limit:
            super()._ask_again()
            return
        self._unanswered += 1
        question = again(filling, confirm=self._confirm(filling.form), lines=self.agent.lines)
        self._say("prompt", question or self._phrase("no_input", self.agent.lines.no_input))

    def _spelling(self) -> bool:
        """Whether digits or letters were asked for, which come in groups."""
        slot = self._form.slot if self._form is not None else None
        return slot is not None and slot.kind in SPELLED

    def _expected(self) -> Slot | None:
        """What the caller was asked for; to a question of ours he says yes or no."""
        filling = self._form
        if filling is not None and filling.stage == "confirming":
            return YES_OR_NO
        return filling.slot if filling is not None else None

    def _complete(self, said: Understood) -> bool:
        """Whether as many digits or letters came as there can be."""
        slot = self._form.slot if self._form is not None else None
        if slot is None or slot.kind not in SPELLED or slot.most is None:
            return False
        return any(value.slot == slot.name and len(value.value) >= slot.most for value in said.values)

    @property
    def question(self) -> str:
        """What we wait for: a slot's name, `confirm`, `change` (what is wrong?), `offer RULE`, or "" without a form."""
        filling = self._form
        if filling is None:
            return ""
        if filling.form.name.startswith(OFFER):
            return filling.form.name
        return {"confirming": "confirm", "changing": "change"}.get(filling.stage, filling.asked)

    @property
    def asked(self) -> str:
        """The kind of slot whose answer is awaited, "" where none is."""
        slot = self._form.slot if self._form is not None else None
        return slot.kind if slot is not None else ""

    @property
    def secret(self) -> bool:
        """Whether what the caller says or keys now must not stand in any record."""
        filling = self._form
        if filling is not None and filling.stage == "changing":
            return any(slot.secret for slot in filling.form.slots)
        slot = filling.slot if filling is not None else None
        return slot is not None and slot.secret

    def tells_secret(self, event: ev.Parsed) -> bool:
        """Whether what he just said holds a secret, perhaps one that nobody asked for; to be asked before `handle`."""
        reply = self._reply
        if reply is None or reply.parse != event.request or reply.form is None:
            return False
        secret = {slot.name for slot in reply.form.slots if slot.secret}
        return any(value.slot in secret for value in event.understood.values)

    @property
    def holds_secret(self) -> bool:
        """Whether a secret was told in this call: it may stand in a tool's arguments from then on."""
        return any(secret for _, secret in self.known.values())

    def _forget_keys(self) -> None:
        for name in ("key_gap", "keys"):
            self._cancel_timer(name)
        self._keys = ""


def _as_said(arguments: str) -> tuple[SlotValue, ...]:
    """A model's arguments as values that can be said back."""
    return tuple(SlotValue(name, str(value), str(value)) for name, value in as_object(arguments).items())

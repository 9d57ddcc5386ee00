"""What the agent answers: by a rule, a perhaps, the model, or that it does not know.

An answer is drafted while the caller pauses, committed at his endpoint, and taken back when he goes on.
"""

from __future__ import annotations

from voicebridge.conversation import events as ev
from voicebridge.conversation.agent import Rule
from voicebridge.conversation.clauses import Clause
from voicebridge.conversation.commands import EndCall, FlushPlayout, Generate, Match, SegmentKind
from voicebridge.conversation.speaking import Speaking
from voicebridge.conversation.state import Agent, Move, Reply
from voicebridge.conversation.toolspec import ToolSpec

MODEL_ATTEMPTS = 3
NEXT_CLAUSE_S = 2.0
"""A later clause is wanted this long after it was asked for: something is playing meanwhile."""


class Replies(Speaking):
    """Adds answers to what is said."""

    # ---- by rule

    def _draft(self, text: str) -> None:
        """Begin to prepare the answer to `text`; nothing of it is heard before `_commit`."""
        reply = Reply(self._turn, text, "model")
        reply.due = self._now + self._limits.answer_s
        self._reply = reply
        self._unanswered = 0
        if any(rule.examples for rule in self.agent.rules):
            reply.match = self._number()
            self._do(Match(reply.match, self._with_what_went_before(text)))
        else:
            self._answer_freely(reply)

    def _with_what_went_before(self, text: str) -> str:
        """The utterance, and what he said just before it where we answered too soon."""
        return f"{self._answered} {text}" if self._goes_on and self._answered else text

    def _on_rule_matched(self, event: ev.RuleMatched) -> None:
        reply = self._reply
        if reply is None or reply.match != event.request:
            return
        reply.match = None
        self._answer(reply, event)

    def _answer(self, reply: Reply, event: ev.RuleMatched) -> None:
        """Draft the answer that a rule has, or what is said where none has one."""
        rule = self.agent.rule(event.rule or "")
        if rule is None:
            self._answer_freely(reply)
        elif not event.sure:
            self._answer_perhaps(reply, rule)
        elif rule.action == "model":
            self._answer_freely(reply, asked_for=True)
        elif rule.action == "unknown":
            self._answer_unknown(reply)
        else:
            self._answer_by_rule(reply, rule)
        self._reckon(reply)
        self._give_ready()

    def _tools_for_model(self, reply: Reply) -> tuple[ToolSpec, ...]:
        """What the model may want run. `acting` knows."""
        return ()

    def _answer_perhaps(self, reply: Reply, rule: Rule) -> None:
        """Near a rule, but not near enough: no more than its words, and not as if they were the answer."""
        if self.agent.model_scope == "open":
            self._answer_freely(reply)
        elif rule.action == "say" and self.agent.lines.perhaps:
            self._add(reply, "answer", self.agent.lines.perhaps, deadline=self._answer_deadline())
            self._answer_by_rule(reply, rule)
        else:
            self._answer_unknown(reply)

    def _answer_by_rule(self, reply: Reply, rule: Rule) -> None:
        reply.source, reply.rule, reply.complete = "rule", rule, True
        if rule.say:
            kind: SegmentKind = "goodbye" if rule.action in ("end_call", "fallback") else "answer"
            self._add(reply, kind, self._phrase(f"rule {rule.name}", rule.say), deadline=self._answer_deadline())

    def _answer_key(self, rule: Rule) -> None:
        self._interrupt_self()
        self._turn += 1
        reply = Reply(self._turn, "", "rule")
        self._reply = reply
        self._answer_by_rule(reply, rule)
        self._commit()

    def _answer_freely(self, reply: Reply, *, asked_for: bool = False) -> None:
        if self.agent.model_scope == "open" or (self.agent.model_scope == "smalltalk" and asked_for):
            self._generate(reply)
        else:
            self._answer_unknown(reply)

    def _answer_unknown(self, reply: Reply) -> None:
        reply.source, reply.complete, reply.lost = "line", True, True
        line = self._phrase("unknown", self.agent.lines.unknown)
        self._add(reply, "answer", line, deadline=self._answer_deadline())

    def _answer_deadline(self) -> float:
        return max(self._now, self._now if self._endpoint_passed else self._now + self._limits.endpoint_s / 2)

    # ---- by the model

    def _generate(self, reply: Reply) -> None:
        reply.source = "model"
        reply.attempts += 1
        reply.generation = self._number()
        self._do(
            Generate(
                reply.generation,
                reply.turn,
                self.history.messages(
                    reply.caller_text,
                    reply.model_text,
                    steps=self.history.exchange(reply.turn).steps if reply.steps else (),
                    turn=reply.turn,
                ),
                self._limits.answer_tokens,
                self._answer_deadline(),
                reply.due,
                self._tools_for_model(reply),
            )
        )

    def _on_model_text(self, event: ev.ModelText) -> None:
        reply = self._reply
        if reply is None or reply.generation != event.generation:
            return
        reply.model_text += event.text
        self._add_clauses(reply, reply.splitter.feed(event.text, hurry=self._waiting))

    def _add_clauses(self, reply: Reply, clauses: list[Clause]) -> None:
        for clause in clauses:
            if not any(char.isalnum() for char in clause.text):
                continue
            deadline = self._now + NEXT_CLAUSE_S if reply.pieces else self._answer_deadline()
            reply.in_sentence = not clause.ends_sentence
            self._add(reply, "answer", clause.text, deadline=deadline)

    def _on_model_done(self, event: ev.ModelDone) -> None:
        reply = self._reply
        if reply is None or reply.generation != event.generation:
            return
        reply.generation = None
        if reply.action is None:
            self._finish_text(reply)

    def _finish_text(self, reply: Reply) -> None:
        rest = reply.splitter.finish()
        begins = rest[-2].ends_sentence if len(rest) > 1 else bool(reply.pieces) and not reply.in_sentence
        if rest and begins and not rest[-1].ends_sentence:
            rest.pop()  # the beginning of a sentence for which the tokens did not suffice
        self._add_clauses(reply, rest)
        reply.complete = True
        if not reply.pieces:  # the model had nothing to say
            self._answer_unknown(reply)
        self._give_ready()
        self._finish_if_dry()

    def _on_model_failed(self, event: ev.ModelFailed) -> None:
        reply = self._reply
        if reply is None or reply.generation != event.generation:
            return
        reply.generation = None
        if reply.attempts < MODEL_ATTEMPTS and self._now < reply.due:
            self._generate(reply)  # goes on behind the words that came
        elif reply.heard:
            self._finish_text(reply)
        elif reply.committed:
            self._trouble(f"llm_{event.cause}")
        else:
            self._drop_reply()

    # ---- given, and taken back

    def _commit(self) -> None:
        """The caller has finished: what was drafted may be heard."""
        reply = self._reply
        if reply is None or reply.committed:
            return
        reply.committed = True
        self.history.exchange(reply.turn).caller = reply.caller_text
        self._answered = self._with_what_went_before(reply.caller_text)
        self._goes_on = False
        self._reckon(reply)
        if self._agent is Agent.IDLE:
            self._move(Move.COMMIT)
            self._start_waiting()
        self._committed(reply)
        self._give_ready()

    def _reckon(self, reply: Reply) -> None:
        """What an answer means for the call, once the turn is ours and the answer known: whichever comes last."""
        if not reply.committed or reply.match is not None:
            return
        if reply.rule is not None and reply.rule.action in ("end_call", "fallback"):
            outcome = "hangup" if reply.rule.action == "end_call" else "fallback"
            self._ending = EndCall("hangup" if outcome == "hangup" else "fallback", f"rule_{reply.rule.name}")
        elif reply.ends is not None:
            self._ending = reply.ends
        self._misunderstood = self._misunderstood + 1 if reply.lost else 0

    def _committed(self, reply: Reply) -> None:
        """The reply does what it does besides speaking. `acting` and `forms` know."""

    def _interrupt(self, text: str) -> None:
        """The caller takes the turn. `text` is what he said, "" while he still speaks."""
        self._cancel_timer("confirm")
        self._stop_waiting()
        self._ending = None
        self._over_speech = False
        self._lines.clear()
        self._drop_reply()
        if self._agent in (Agent.PAUSED, Agent.SPEAKING, Agent.THINKING):
            self._move(Move.INTERRUPT)
        self._cut_text = text
        self._do(FlushPlayout())

    def _on_playout_cut(self, event: ev.PlayoutCut) -> None:
        for cut in event.segments:
            sent = self._sent.pop(cut.segment, None)
            if sent is not None:
                self._was_heard(*sent, cut.heard)
        self._sent.clear()
        text, self._cut_text = self._cut_text, None
        if text:
            self._draft(text)
            if self._endpoint_passed:
                self._commit()
        self._give_ready()  # an end without a word waits for no more than this

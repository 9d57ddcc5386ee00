"""What the agent does besides speaking: its tools, and what the model wants done.

An action is decided while an answer is drafted and begins when the turn is ours (`_committed`). While a tool works the
caller hears fillers and may speak: the tool goes on, and its result is told when there is a gap for it. Nobody but the
agent's own list of tools and targets decides what can run and where a call can go.
"""

from __future__ import annotations

import json

from voicebridge.conversation import events as ev
from voicebridge.conversation.agent import Rule
from voicebridge.conversation.clauses import ClauseSplitter
from voicebridge.conversation.commands import (
    CancelHandOff,
    CancelTool,
    ChatMessage,
    EndCall,
    RunTool,
    SendDtmf,
    SetTimer,
)
from voicebridge.conversation.form import SlotValue
from voicebridge.conversation.handingoff import HandingOff
from voicebridge.conversation.owntools import HAND_OFF, HANG_UP, SEND_DTMF, argument, as_object, for_model
from voicebridge.conversation.state import Agent, Caller, HandOffAction, Move, Reply, Run, ToolAction
from voicebridge.conversation.templates import fill, sayable
from voicebridge.conversation.toolspec import ToolSpec

FAILURES = 2
"""After so many tools in a row that did not work, a human."""
KEYS = frozenset("0123456789*#ABCD")
MAX_KEYS = 32


class Acting(HandingOff):
    """Adds tools to answers and handoffs."""

    def __init__(self, *args: object, **more: object) -> None:
        super().__init__(*args, **more)
        self._runs: dict[int, Run] = {}
        self._results: list[tuple[Run, ev.ToolDone, bool]] = []  # the last: it was about to be told once already
        self._progress = ""  # what a tool said of itself and nobody has told yet
        self._covers = 0  # fillers since the wait began
        self._failures = 0
        self.known: dict[str, tuple[SlotValue, bool]] = {}
        """What the caller has told for forms; whether it is secret."""
        self.done: list[str] = []
        """What was done for him, in words."""

    # ---- what an answer does

    def _answer_by_rule(self, reply: Reply, rule: Rule) -> None:
        super()._answer_by_rule(reply, rule)
        if rule.action == "handoff":
            self._want(reply, HandOffAction(rule.target or self.agent.human, f"rule_{rule.name}"))
        elif rule.action == "tool":
            self._want_tool(reply, ToolAction(rule.tool, json.dumps(rule.arguments, default=str), rule.done))

    def _answer_unknown(self, reply: Reply) -> None:
        if self.agent.human and self._misunderstood + 1 >= self._limits.misunderstandings:
            reply.source = "line"
            self._add(reply, "answer", self.agent.lines.give_up, deadline=self._answer_deadline())
            self._want(reply, HandOffAction(self.agent.human, "not_understood", must_leave=True))
        else:
            super()._answer_unknown(reply)

    def _want_tool(self, reply: Reply, action: ToolAction) -> None:
        """Run a tool when the turn is ours. `forms` asks first where it has consequences."""
        self._want(reply, action)

    def _want(self, reply: Reply, action: ToolAction | HandOffAction) -> None:
        reply.action, reply.complete = action, False
        if reply.committed:
            self._committed(reply)

    def _committed(self, reply: Reply) -> None:
        action, reply.action = reply.action, None
        if isinstance(action, ToolAction):
            self._run(reply, action)
        elif isinstance(action, HandOffAction):
            self._find_human(reply, action)

    # ---- tools

    def _run(self, reply: Reply, action: ToolAction) -> None:
        run = self._number()
        self._runs[run] = Run(action, reply.turn)
        reply.run = run
        self._open = False  # what he says now is something new
        self._covers = 0
        self._progress = ""
        if self._waiting:
            self._cover_by(min(self._cover_at, self._now + self._limits.tool_cover_s))
            self._do(SetTimer("stuck", self._now + self._patience()))
        self._do(RunTool(run, reply.turn, action.tool, action.arguments))

    def _on_tool_progress(self, event: ev.ToolProgress) -> None:
        if event.run not in self._runs:
            return
        if self._agent is Agent.THINKING and not self._lines and not self._sent:
            self._say_meanwhile(event.text)
        else:
            self._progress = event.text

    def _on_tool_done(self, event: ev.ToolDone) -> None:
        run = self._runs.pop(event.run, None)
        if run is None:
            return
        reply = self._reply
        if reply is not None and reply.run == event.run:
            self._tell_result(reply, run, event)
            return
        self._results.append((run, event, False))
        if self._nothing_but_waiting():
            self._tell_next()
        elif self._agent is Agent.IDLE and self._caller is Caller.SILENT:
            self._await_caller()

    def _nothing_but_waiting(self) -> bool:
        """Whether the caller hears fillers, or nothing, because of tools that are at work (and not of what he said)."""
        ours = self._agent in (Agent.THINKING, Agent.SPEAKING) and self._request is None
        return ours and self._reply is None and self._waiting and self._caller is Caller.SILENT

    def _finish_if_dry(self) -> None:
        if self._results and self._nothing_but_waiting():
            self._tell_next()
        else:
            super()._finish_if_dry()

    def _tell_next(self) -> None:
        """A result whose own turn is over gets a turn of its own."""
        run, done, again = self._results.pop(0)
        self._turn += 1
        reply = Reply(self._turn, "", "tool", committed=True)
        self._reply = reply
        if self._agent is Agent.IDLE:
            self._move(Move.COMMIT)
            self._start_waiting()
        self._tell_result(reply, run, done, again=again)

    def _tell_result(self, reply: Reply, run: Run, done: ev.ToolDone, *, again: bool = False) -> None:
        reply.run, reply.result, reply.result_from = None, (run, done), len(reply.pieces)
        if not again:
            self._failures = 0 if done.ok else self._failures + 1
            self._note(reply, run, done)
        if run.action.by_model and not done.say and done.cause != "breaker_open":
            self._let_model_go_on(reply)
        elif done.ok:
            self._tell_success(reply, run, done)
        else:
            self._tell_failure(reply, run, done)
        self._give_ready()
        self._finish_if_dry()

    def _drop_reply(self) -> None:
        """A result of which nothing was heard is told later."""
        reply = self._reply
        if reply is not None and reply.result is not None:
            if not any(piece.begun for piece in reply.pieces[reply.result_from :]):
                self._results.insert(0, (*reply.result, True))
            reply.result = None
        super()._drop_reply()

    def _note(self, reply: Reply, run: Run, done: ev.ToolDone) -> None:
        """For the model: what was asked for and what came of it, as data."""
        call = {"name": run.action.tool, "arguments": as_object(run.action.arguments)}
        given = done.data if done.ok else json.dumps({"error": done.cause, "say": done.say})
        self.history.exchange(reply.turn).steps += [
            ChatMessage("assistant", f"call {json.dumps(call)}"), ChatMessage("tool", given or done.say or "{}")
        ]

    def _let_model_go_on(self, reply: Reply) -> None:
        reply.model_text, reply.splitter, reply.attempts = "", ClauseSplitter(), 0
        reply.due = self._now + self._limits.answer_s
        if self._waiting:
            self._do(SetTimer("stuck", reply.due))
        self._generate(reply)

    def _tell_success(self, reply: Reply, run: Run, done: ev.ToolDone) -> None:
        lines = self.agent.lines
        text = done.say
        if not text and run.action.done:
            wording = self._phrase(f"done {run.action.tool}", run.action.done)
            text = fill(wording, sayable(done.data, run.action.values))
        self._answer_with(reply, text or lines.done)
        told = text or run.action.tool.replace("_", " ")
        if run.action.by_form and told not in self.done:
            self.done.append(told)
        reply.complete = True
        if done.hang_up:
            self._ending = EndCall("hangup", f"tool_{run.action.tool}")
        elif done.hand_off:
            self._want(reply, HandOffAction(done.hand_off, f"tool_{run.action.tool}"))
        elif run.action.by_form and lines.anything_else:
            self._answer_with(reply, lines.anything_else)

    def _tell_failure(self, reply: Reply, run: Run, done: ev.ToolDone) -> None:
        """The truth, and what can be done instead."""
        spec = self.agent.tool(run.action.tool)
        words = done.say or (spec.failed if spec is not None else "")
        self._answer_with(reply, words or self._phrase("tool_failed", self.agent.lines.tool_failed))
        reply.complete = True
        way, _, name = (spec.alternative if spec is not None else "").partition(" ")
        if way == "tool" and name != run.action.tool and self.agent.tool(name) is not None:
            reply.result = None  # that tool's result tells the caller enough, and must not be had twice
            self._want_tool(reply, ToolAction(name, run.action.arguments, run.action.done, run.action.values))
        elif way == "handoff":
            self._want(reply, HandOffAction(name or self.agent.human, f"tool_{run.action.tool}_failed"))
        elif way == "form" and self._open_instead(reply, name, run.action, told=bool(done.say)):
            pass
        elif self._failures >= FAILURES and self.agent.human:
            self._want(reply, HandOffAction(self.agent.human, f"tool_{run.action.tool}_failed"))
        else:
            self._answer_with(reply, self.agent.lines.anything_else)

    # ---- what the model wants

    def _tools_for_model(self, reply: Reply) -> tuple[ToolSpec, ...]:
        return for_model(self.agent) if reply.steps < self._limits.tool_steps else ()

    def _on_model_call(self, event: ev.ModelCall) -> None:
        reply = self._reply
        if reply is None or reply.generation != event.generation:
            return
        reply.generation = None
        reply.steps += 1
        self._add_clauses(reply, reply.splitter.finish())
        offered = {spec.name for spec in for_model(self.agent)}
        if reply.steps > self._limits.tool_steps or event.tool not in offered:
            super()._answer_unknown(reply)  # one too many, or no tool of this agent, whatever the model says
        elif event.tool == HAND_OFF:
            self._model_hands_off(reply, argument(event.arguments, "target"))
        elif event.tool == HANG_UP:
            reply.complete = True
            reply.ends = EndCall("hangup", "model")
            if reply.committed:
                self._ending = reply.ends
            self._finish_if_dry()
        elif event.tool == SEND_DTMF:
            self._model_keys(reply, argument(event.arguments, "digits"))
        else:
            self._want_tool(reply, ToolAction(event.tool, event.arguments, by_model=True))
        self._give_ready()

    def _model_hands_off(self, reply: Reply, target: str) -> None:
        """The model names a target of the agent's; anything else is no place a call can go to."""
        if target in self.agent.targets:
            self._want(reply, HandOffAction(target, "model"))
        else:
            super()._answer_unknown(reply)

    def _model_keys(self, reply: Reply, digits: str) -> None:
        if digits and len(digits) <= MAX_KEYS and set(digits) <= KEYS:
            self._do(SendDtmf(digits))
        reply.complete = True
        if not reply.pieces:
            self._answer_with(reply, self.agent.lines.done)

    # ---- waiting for what is at work

    def _go_on_with_work(self) -> bool:
        if self._caller is not Caller.SILENT:
            return False
        if self._results:
            self._tell_next()
        elif self._runs or self._handing is not None:
            self._move(Move.COMMIT)
            self._start_waiting()
        else:
            return False
        return True

    def _patience(self) -> float:
        if self._handing is not None:
            return self._limits.ring_s
        return self._limits.tool_s if self._runs else super()._patience()

    def _stuck(self) -> None:
        if not self._waiting or not (self._runs or self._handing):
            super()._stuck()
            return
        for run in list(self._runs):
            self._do(CancelTool(run))
            self._on_tool_done(ev.ToolDone(run, ok=False, cause="timeout"))
        if self._handing is not None:
            self._do(CancelHandOff(self._handing.number))
            self._on_handoff_update(ev.HandoffUpdate(self._handing.number, "refused", cause="no_answer"))
        if self._waiting:  # they were another turn's, and this one waits for something else
            self._do(SetTimer("stuck", self._now + self._patience()))

    def _start_waiting(self) -> None:
        self._covers = 0
        super()._start_waiting()
        if self._handing is not None and self._handing.calling:
            self._cover_by(self._now + self._limits.hold_every_s)

    def _filler(self) -> str:
        lines = self.agent.lines
        self._covers += 1
        if self._handing is not None and self._handing.calling:
            return self._phrase("hold", lines.hold)
        if self._progress:
            text, self._progress = self._progress, ""
            return text
        if not self._runs:
            return super()._filler()
        if self._covers > 1 and lines.still:
            return self._phrase("still", lines.still)
        spec = self.agent.tool(next(iter(self._runs.values())).action.tool)
        return self._phrase(f"filler {spec.name}", spec.fillers) if spec and spec.fillers else super()._filler()

    def _cover_pause(self) -> float:
        holding = self._handing is not None and self._handing.calling
        return self._limits.hold_every_s if holding else super()._cover_pause()

    def _interrupt(self, text: str) -> None:
        for number, run in list(self._runs.items()):
            spec = self.agent.tool(run.action.tool)
            if spec is not None and spec.cancellable:
                del self._runs[number]
                self._do(CancelTool(number))
        super()._interrupt(text)

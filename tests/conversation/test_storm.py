"""Storms: random callers, keys, tools, humans and engines, and results that come late, twice or for nobody.

The stage here is as strict as a call: events wait their turn, speech that was dropped cannot be played, one human is
rung at a time. Whatever happens: no illegal move, a timer out of every state, sound whenever it is our turn, an end.
"""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from tests.conversation.stage import Engine, Stage
from voicebridge.conversation import commands as cmd
from voicebridge.conversation import events as ev
from voicebridge.conversation.agent import AgentSpec, Limits, Lines, Rule
from voicebridge.conversation.form import Choice, Form, Slot, SlotValue, Understood
from voicebridge.conversation.state import Agent, Caller
from voicebridge.conversation.toolspec import ToolCall, ToolSpec

SILENCE_S = 1.5
BOOK = Form(
    "booking", "book",
    (
        Slot("day", "date", ask=("Which day?",)),
        Slot("pin", "digits", ask=("Your PIN?",), least=4, most=6, secret=True),
        Slot("kind", "choice", ask=("Which kind?",), choices=(Choice("a"), Choice("b"))),
        Slot("note", "text", optional=True),
    ),
    confirm="{day}. Right?",
    done=("Booked {id}.",),
)
RULES = (
    Rule("book", ("book",), action="form", form="booking", offer="Would you like to book?"),
    Rule("empty", ("empty",), ("Well.",), action="form", form="empty"),
    Rule("note", ("note",), action="form", form="note"),
    Rule("hours", ("hours",), ("From nine to five.",)),
    Rule("human", ("human",), action="handoff", offer="A human?"),
    Rule("sales", ("sales",), ("Sure.",), action="handoff", target="sales"),
    Rule("tool", ("tool",), ("I look.",), action="tool", tool="plain", arguments={"id": 1}),
    Rule("costly", ("buy",), action="tool", tool="costly", arguments={"id": 1}),
    Rule("light", ("light",), action="tool", tool="light"),
    Rule("bye", ("bye",), ("Goodbye.",), action="end_call"),
    Rule("quit", ("quit",), action="end_call"),
    Rule("fall", ("fall",), action="fallback"),
    Rule("chat", ("chat",), action="model"),
    Rule("fish", ("fish",), action="unknown"),
    Rule("key_1", dtmf="1", say=("You pressed one.",)),
    Rule("key_5", dtmf="5", action="form", form="booking"),
    Rule("key_6", dtmf="6", action="tool", tool="plain"),
    Rule("key_7", dtmf="7", action="end_call"),
    Rule("key_8", dtmf="8", action="handoff", target="sales"),
)
TOOLS = (
    ToolSpec("book", "B", "{}", consequential=True, failed="Not booked.", alternative="form booking"),
    ToolSpec("plain", "P", "{}", fillers=("Looking.",), alternative="tool costly"),
    ToolSpec("costly", "C", "{}", consequential=True, confirm="Buy {id}?", alternative="handoff sales"),
    ToolSpec("light", "L", "{}", cancellable=True, alternative="form note"),
)
BUSY = AgentSpec(
    "storm", "Hello and welcome.",
    rules=RULES,
    forms=(BOOK, Form("empty", "plain"), Form("note", "plain", (Slot("text", ask=("What?",)),))),
    toolbox=TOOLS,
    tools=("book", "plain", "costly", "light", "hang_up", "send_dtmf", "hand_off"),
    targets=("desk", "sales"), human="desk", fallback_form="note",
    lines=Lines(("One moment.",), no_input=("Still there?",), no_input_end="Goodbye then.", unknown=("No idea.",)),
    limits=Limits(no_input_s=5.0, call_s=300.0, tool_s=12.0, ring_s=20.0),
)
AGENTS = {
    "open": BUSY,
    "rules": replace(BUSY, model_scope="none"),
    "smalltalk": replace(BUSY, model_scope="smalltalk", fallback_form=""),
    "alone": replace(
        BUSY, greeting="", human="", targets=(), fallback_form="", tools=("book", "plain", "costly", "light"),
        rules=tuple(rule for rule in RULES if not rule.target),
    ),
}  # fmt: skip
WORDS = ("", "uh-huh", "yes", "no", "i want to", "gibberish thing", "hours", "book", "empty", "note", "human", "sales",
         "tool", "buy", "light", "bye", "quit", "fall", "chat", "fish")  # fmt: skip


class Storm(Stage):
    """A stage that is as strict as a call and looks at the core after each event."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._inbox: list[ev.Event] = []
        self._handling = False
        self._ready: set[int] = set()
        self.pending: set[str] = set()
        self.ringing: int | None = None
        self.music = False
        self.voiceless = False  # our voice is slow or gone, and silence not the core's fault
        self._silent_from: float | None = None

    def _deliver(self, event: ev.Event) -> None:
        at = 0 if isinstance(event, ev.PlayoutCut) else len(self._inbox)
        self._inbox.insert(at, event)
        if self._handling:
            return
        self._handling = True
        try:
            while self._inbox:
                self._one(self._inbox.pop(0))
        finally:
            self._handling = False

    def _one(self, event: ev.Event) -> None:
        self._listen()
        match event:
            case ev.TimerFired():
                self.pending.discard(event.name)
            case ev.SegmentReady():
                self._ready.add(event.segment)
            case ev.Dtmf():
                self._silent_from = None  # what he waits for now is something else
            case ev.HandoffUpdate() if event.handoff == self.ringing and event.state != "calling":
                self.ringing = None
        Stage._deliver(self, event)
        self._listen()
        if not self._inbox and self.core.state is not Agent.ENDED:
            self._look(event)

    def _carry_out(self, command: cmd.Command) -> None:
        assert not isinstance(self.log[-1][1] if self.log[-1][1] is not command else None, cmd.EndCall)
        match command:
            case cmd.SetTimer():
                self.pending.add(command.name)
            case cmd.CancelTimer():
                self.pending.discard(command.name)
            case cmd.DropSegments():
                self._ready -= set(command.segments)
            case cmd.Play():
                assert command.segment in self._ready
                self._ready.discard(command.segment)
            case cmd.HandOff():
                assert self.ringing is None, "two humans are rung for one caller"
                self.ringing = command.handoff
            case cmd.CancelHandOff() if command.handoff == self.ringing:
                self.ringing = None
            case cmd.Hold():
                self.music = command.on
            case cmd.Parse() if command.keys:
                form = self.agent.form(command.form)
                assert form is not None
                assert command.asked in [slot.name for slot in form.slots]
            case cmd.RunTool():
                assert command.tool in self.agent.tools
        super()._carry_out(command)

    def _look(self, event: ev.Event) -> None:
        state, caller, told = self.core.state, self.core.caller, f"{event} at {self.now - 100:.2f}"
        out = {
            Agent.THINKING: {"stuck", "endpoint"},
            Agent.PAUSED: {"confirm"},
            Agent.IDLE: {Caller.SILENT: {"no_input", "keys"}, Caller.PAUSING: {"endpoint"}}.get(caller, set()),
        }.get(state, set())
        assert not out or out & self.pending, f"{state.name} {caller.name} without a way out after {told}"
        assert "call_length" in self.pending, told
        if self.music:
            assert self.core._handing is not None or self.core._ending is not None, f"music for nothing after {told}"

    def _listen(self) -> None:
        """Our turn may not be silent for longer than it takes to say a filler."""
        if self._inbox:
            return
        ours = self.core.state in (Agent.THINKING, Agent.SPEAKING) and self.core.caller is Caller.SILENT
        sounds = self.music or (self.playing is not None and self._paused_at is None)
        if not ours or sounds or self.voiceless:
            self._silent_from = None
        elif self._silent_from is None:
            self._silent_from = self.now
        else:
            assert self.now - self._silent_from <= SILENCE_S + 1e-6, f"silent at {self.now - 100:.2f}"


class Weather:
    """What a storm is made of, all of it from one seed."""

    def __init__(self, seed: int, agent: AgentSpec) -> None:
        self.rng = random.Random(seed)
        pick = self.rng.choice
        self.stage = Storm(
            agent, tool=self._tool, human=self._human, parse=self._parse, answer=self._answer,
            sure=self.rng.random() < 0.8, score=pick((0.5, 0.9)),
        )  # fmt: skip

    def _parse(self, wanted: cmd.Parse) -> Understood:
        rng, form = self.rng, self.stage.agent.form(wanted.form)
        named = [slot.name for slot in form.slots if rng.random() < 0.3] if form is not None else []
        partial = "12" if not named and rng.random() < 0.2 else ""
        values = tuple(SlotValue(name, "1", "one") for name in named)
        return Understood(values, rng.choice(("", "yes", "no")), rng.random() < 0.08, partial)

    def _tool(self, wanted: cmd.RunTool) -> list[tuple[float, ev.Event]]:
        rng, run = self.rng, wanted.run
        at = rng.choice((0.0, 0.05, 0.3, 1.0, 3.0, 8.0))
        done = rng.choice((
            ev.ToolDone(run, True, say="Found."), ev.ToolDone(run, True, data='{"id": 3}'), ev.ToolDone(run, True),
            ev.ToolDone(run, False, cause="error"), ev.ToolDone(run, False, say="It is taken.", cause="error"),
            ev.ToolDone(run, False, cause="breaker_open"), ev.ToolDone(run, True, data="[1", hang_up=True),
            ev.ToolDone(run, True, say="Moving.", hand_off=rng.choice(("desk", "sales", "0088"))),
        ))  # fmt: skip
        told = [(at * rng.random(), ev.ToolProgress(run, "Nearly there."))] if rng.random() < 0.3 else []
        twice = [(at + rng.random(), done), (at + 0.5, ev.ToolProgress(run, "Still."))] if rng.random() < 0.3 else []
        return [] if rng.random() < 0.08 else [*told, (at, done), *twice]

    def _human(self, wanted: cmd.HandOff) -> list[tuple[float, ev.Event]]:
        rng, number = self.rng, wanted.handoff

        def told(state: str, **more: str) -> ev.HandoffUpdate:
            return ev.HandoffUpdate(number, state, **{"target": wanted.target, **more})

        at = rng.choice((0.0, 0.02, 1.0))
        last = [told("go"), told("connected"), told("refused", cause="busy"), told("calling", target="sales")]
        if rng.random() < 0.5:
            return [] if rng.random() < 0.1 else [(at, rng.choice((told("go"), told("refused", cause="closed"))))]
        end = at + rng.choice((0.01, 2.0, 6.0, 15.0))
        return [(at, told("calling")), (end, rng.choice(last)), (end + 3 * rng.random(), rng.choice(last))]

    def _answer(self, _: cmd.Generate) -> list[str | ToolCall]:
        rng = self.rng
        if rng.random() < 0.5:
            return list(rng.choice((["Sure, ", "we can do that for you.", " Anything else?"], [""], ["..."])))
        tool = rng.choice(("plain", "costly", "light", "book", "hang_up", "send_dtmf", "hand_off", "rm_rf"))
        given = ("{}", '{"target": "desk"}', '{"target": "0088"}', '{"digits": "12#"}', "[", "", "null", '{"id": 3}')
        before = ["Well then. "] if rng.random() < 0.5 else []
        after = ["And more."] if rng.random() < 0.2 else []
        return [*before, ToolCall(tool, rng.choice(given)), *after]

    def act(self) -> None:
        rng, stage, chance = self.rng, self.stage, self.rng.random()
        if chance < 0.30:
            stage.run(rng.choice((0.01, 0.05, 0.1, 0.2, 0.35, 0.5, 1.0, 2.0, 4.0, 8.0)))
        elif chance < 0.60:
            stage.caller(rng.choice(WORDS), seconds=rng.choice((0.1, 0.5, 1.2)))
        elif chance < 0.68:
            stage.begins(rng.choice(WORDS))
        elif chance < 0.74:
            stage.stops(rng.choice((0.0, 0.1, 0.8)))
        elif chance < 0.88:
            stage.tell(ev.Dtmf(rng.choice("0123456789*#AD1212")))
        elif chance < 0.91:
            stage.stt = rng.choice((Engine(), Engine(2.0), Engine(fails="x"), Engine(dead=True)))
        elif chance < 0.94:
            stage.llm = rng.choice((Engine(), Engine(1.5), Engine(fails="x"), Engine(dead=True)))
        elif chance < 0.97:
            stage.tts = rng.choice((Engine(0.02), Engine(0.3), Engine(fails="x")))
            stage.voiceless = stage.tts != Engine(0.02)
        else:
            self._late()

    def _late(self) -> None:
        """A result that nobody waits for, or that somebody else waits for."""
        rng, stage = self.rng, self.stage
        n = rng.randint(1, max(1, stage.core._counter))
        events = [
            ev.ToolDone(n, True, say="x"), ev.ToolDone(n, False, cause="timeout"), ev.ToolProgress(n, "x"),
            ev.HandoffUpdate(n, "go", "desk"), ev.HandoffUpdate(n, "refused"), ev.HandoffUpdate(n, "connected", "desk"),
            ev.Parsed(n, Understood(answer="yes")), ev.TranscriptReady(n, "tool"), ev.TranscriptFailed(n, "x"),
            ev.RuleMatched(n, "human"), ev.ModelText(n, "Hey. "), ev.ModelDone(n), ev.ModelFailed(n, "x"),
            ev.ModelCall(n, "plain", "{}"), ev.SpeechStarted(), ev.SpeechStopped(),
            *(ev.TimerFired(name) for name in sorted(stage.pending - {"call_length"})),
        ]  # fmt: skip
        stage.tell(rng.choice(events))


@pytest.mark.parametrize("agent", AGENTS)
def test_no_storm_breaks_a_call(agent: str):
    for seed in range(400):
        weather = Weather(seed, AGENTS[agent])
        stage = weather.stage.start()
        try:
            for _ in range(weather.rng.randint(1, 25)):
                if stage.core.state is not Agent.ENDED:
                    weather.act()
            stage.stt, stage.llm, stage.tts = Engine(), Engine(), Engine(0.02)
            stage.stops().run(150)
            assert stage.core.state is Agent.ENDED, "a silent caller's call must end"
        except Exception as error:
            raise AssertionError(f"seed {seed}: {error!r}") from error


@pytest.mark.parametrize("agent", AGENTS)
def test_a_hang_up_is_the_end_whenever_it_comes(agent: str):
    for seed in range(200):
        weather = Weather(seed, AGENTS[agent])
        stage = weather.stage.start()
        for _ in range(weather.rng.randint(0, 12)):
            if stage.core.state is not Agent.ENDED:
                weather.act()
        if stage.core.state is Agent.ENDED:
            continue
        stage.tell(ev.CallClosed("hangup"))
        told = len(stage.log)
        assert (stage.core.state, stage.core.ended_by) == (Agent.ENDED, "hangup")
        stage.run(60)
        assert len(stage.log) == told


# ---- what the storms have found


def ready(**parts) -> Storm:
    stage = Storm(AGENTS["rules"], **parts)
    stage.start().run(2.0)
    return stage


def ringing(wanted: cmd.HandOff) -> list[tuple[float, ev.Event]]:
    return [(0.02, ev.HandoffUpdate(wanted.handoff, "calling", wanted.target))]


def test_a_key_while_we_think_is_waited_for_aloud():
    stage = ready(tool=lambda _: [], stt=Engine(dead=True)).caller("hours").run(0.5)
    stage.tell(ev.Dtmf("6"))
    stage.run(8.0)
    assert "Looking." in stage.spoken()
    stage.run(60)
    assert stage.core.state is Agent.ENDED


def test_who_presses_0_again_while_a_human_is_rung_is_not_rung_for_anew():
    stage = ready(human=ringing).tell(ev.Dtmf("0")).run(5).tell(ev.Dtmf("0")).run(5)
    assert len(stage.commands(cmd.HandOff)) == 1
    assert stage.commands(cmd.CancelHandOff) == []


def test_who_wants_another_human_is_rung_for_there_alone():
    stage = ready(human=ringing).tell(ev.Dtmf("0")).run(5).tell(ev.Dtmf("8")).run(5)
    first, second = stage.commands(cmd.HandOff)
    assert [cut.handoff for cut in stage.commands(cmd.CancelHandOff)] == [first.handoff]
    stage.tell(ev.HandoffUpdate(first.handoff, "connected", "desk"))
    assert stage.commands(cmd.EndCall) == []
    stage.tell(ev.HandoffUpdate(second.handoff, "connected", "sales"))
    assert stage.commands(cmd.EndCall) == [cmd.EndCall("transfer", "rule_key_8", "sales")]


def test_an_end_without_words_comes_at_once_though_something_is_being_said():
    stage = Storm(AGENTS["rules"])
    stage.start().run(0.4).tell(ev.Dtmf("7"))
    assert stage.commands(cmd.EndCall) == [cmd.EndCall("hangup", "rule_key_7")]


def test_a_voice_before_the_goodbye_to_nobody_keeps_the_call_and_its_timer():
    stage = ready()
    while "goodbye" not in [command.kind for command in stage.commands(cmd.Synthesize)]:
        stage.run(0.01)
    stage.caller("", seconds=0.3).run(3)
    assert stage.commands(cmd.EndCall) == []
    stage.run(60)
    assert stage.core.state is Agent.ENDED


def test_a_recogniser_that_hangs_after_a_barge_in_does_not_hang_the_call():
    stage = Storm(AGENTS["rules"], stt=Engine(dead=True))
    stage.start().run(0.5).caller("hours", seconds=2.5).run(0.5)
    asked = stage.now
    stage.run(20)
    assert "One moment." in stage.spoken()
    assert next(at for at, kind, _ in stage.said if at > asked - 1.0) - asked < SILENCE_S
    assert [end.outcome for end in stage.commands(cmd.EndCall)] == ["fallback"]


def test_keys_that_were_overtaken_by_words_say_nothing_to_the_next_question():
    form = Form("code", "plain", (Slot("code", "digits", ask=("Code?",), least=4, most=6),), confirm="{code}?")
    agent = replace(AGENTS["rules"], forms=(form,), rules=(Rule("code", ("code",), action="form", form="code"),))
    said = Understood((SlotValue("code", "1234", "one two three four"),))
    stage = Storm(agent, parse=lambda wanted: said if wanted.asked and not wanted.keys else Understood())
    stage.start().run(2).caller("code").run(3).tell(ev.Dtmf("1")).run(0.5)
    stage.caller("one two three four", seconds=0.8).run(10)
    assert stage.spoken()[2] == "one two three four?"
    assert agent.lines.what_instead not in stage.spoken()  # the key's late timer was taken for a no


def test_keys_do_not_keep_a_caller_who_is_being_put_through():
    form = Form("code", "plain", (Slot("code", "digits", ask=("Code?",), least=4, most=6),))
    rules = (*AGENTS["rules"].rules, Rule("code", ("code",), action="form", form="code"))
    late = [(4.0, "go")]
    stage = Storm(
        replace(AGENTS["rules"], forms=(form,), rules=rules),
        human=lambda wanted: [(at, ev.HandoffUpdate(wanted.handoff, state, wanted.target)) for at, state in late],
    )
    stage.start().run(2).caller("human", seconds=0.5).run(0.5).caller("code", seconds=0.5).run(1.8)
    stage.tell(ev.Dtmf("5"))
    stage.run(10)
    assert [end.outcome for end in stage.commands(cmd.EndCall)] == ["transfer"]


@pytest.mark.parametrize("at", [2.9, 3.1, 3.3, 3.5])
def test_a_result_that_comes_while_he_speaks_is_told_when_he_was_answered(at: float):
    """He asks something while a tool works; its result comes before it is clear what he said."""
    stage = ready(tool=lambda wanted: [(at, ev.ToolDone(wanted.run, True, say="Found.", hand_off="sales"))])
    stage.caller("tool", seconds=0.3).run(2.0)
    stage.stt = Engine(1.0)
    stage.caller("hours", seconds=0.5).run(15)
    assert stage.spoken()[-2:] == ["From nine to five.", "Found."]
    assert stage.commands(cmd.EndCall) == [cmd.EndCall("transfer", "tool_plain", "sales")]


def test_a_noise_as_we_give_up_does_not_keep_us_from_giving_up():
    stage = ready(stt=Engine(dead=True)).caller("hours", seconds=0.5)
    while stage.core._waiting is False or stage.pending >= {"stuck"}:
        stage.run(0.05)
        if stage.playing is not None and stage.now > 106.6:
            stage.begins("")
            break
        assert stage.now < 120
    stage.run(0.3).stops()
    stage.run(60)
    assert stage.core.state is Agent.ENDED


def test_a_tool_after_a_tool_does_not_begin_the_silence_anew():
    """The model wants one more just as the next filler is due."""
    for takes in range(10, 40):
        calls = iter([[ToolCall("light", "{}")], [ToolCall("light", "{}")], ["There it is."]])
        stage = Storm(
            AGENTS["open"], answer=lambda _, calls=calls: next(calls),
            tool=lambda wanted, takes=takes: [(takes / 10, ev.ToolDone(wanted.run, True, data="{}"))],
        )  # fmt: skip
        stage.start().run(2).caller("something else", seconds=0.5).run(12)
        assert "There it is." in stage.spoken()  # and Storm looks at the silence


def test_a_flood_of_keys_ends_where_no_number_is_longer():
    form = Form("code", "plain", (Slot("code", "digits", ask=("Code?",)),), confirm="{code}?")
    agent = replace(AGENTS["rules"], forms=(form,), rules=(Rule("code", ("code",), action="form", form="code"),))
    stage = Storm(agent)
    stage.start().run(2).caller("code").run(3)
    for _ in range(1000):
        stage.tell(ev.Dtmf("5")).run(0.001)
    keyed = [command.text for command in stage.commands(cmd.Parse) if command.keys]
    assert keyed
    assert {len(text) for text in keyed} == {32}

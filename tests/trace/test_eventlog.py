"""A call as a log: everything that can happen comes back from it as it was."""

from __future__ import annotations

import json
import math
from typing import Any, get_args, get_type_hints

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.trace.stage import RULED, Watched
from voicebridge.config import load
from voicebridge.conversation import commands as cmd
from voicebridge.conversation import events as ev
from voicebridge.conversation.agent import AgentSpec
from voicebridge.conversation.core import Conversation
from voicebridge.trace.eventlog import FORMAT, Head, LogError, Step, differences, header, line, read

NUMBERS = st.floats(allow_nan=False)
MESSAGES = st.builds(cmd.ChatMessage, st.sampled_from(["system", "user", "assistant"]), st.text(max_size=20))


def anything(cls: type) -> st.SearchStrategy[Any]:
    """Instances of a dataclass with every field filled from its type."""

    def of(hint: Any) -> st.SearchStrategy[Any]:
        if hint is float:
            return NUMBERS
        if hint is str:
            return st.text(max_size=20) | st.just("inf")
        if hint == tuple[ev.HeardSegment, ...]:
            return st.lists(anything(ev.HeardSegment), max_size=3).map(tuple)
        if hint == tuple[cmd.ChatMessage, ...]:
            return st.lists(MESSAGES, max_size=3).map(tuple)
        return st.from_type(hint)

    return st.builds(cls, **{name: of(hint) for name, hint in get_type_hints(cls).items()})


EVENTS = st.one_of([anything(cls) for cls in get_args(ev.Event)])
COMMANDS = st.one_of([anything(cls) for cls in get_args(cmd.Command)])
STEPS = st.builds(Step, NUMBERS, EVENTS, st.lists(COMMANDS, max_size=3).map(tuple))


def logged(steps: list[Step], agent: AgentSpec = RULED) -> list[str]:
    return [header(agent, call="c", context_tokens=2048), *map(line, steps)]


@given(st.lists(STEPS, max_size=4))
@example([Step(math.inf, ev.TranscriptReady(1, "inf"), (cmd.Transcribe(1, 2, "final", math.inf, -math.inf),))])
@example([Step(0.0, ev.PlayoutCut(()), (cmd.WarmModel(()), cmd.DropSegments(())))])
@example([Step(0.0, ev.PlayoutCut((ev.HeardSegment(1, "a\n\"b", True),)), (cmd.DropSegments((1, 2)),))])
def test_every_event_and_command_comes_back_as_it_was(steps):
    lines = logged(steps)
    assert all("\n" not in text for text in lines)
    head, again = read(lines)
    assert head == Head(RULED, 2048)
    assert list(again) == steps


def test_every_kind_of_event_and_command_is_tried_above():
    tried = {*get_args(ev.Event), *get_args(cmd.Command)}
    kinds = {value for module in (ev, cmd) for value in vars(module).values()
             if isinstance(value, type) and value.__module__ == module.__name__}
    assert kinds - tried == {ev.HeardSegment, cmd.ChatMessage}


def test_every_agent_of_the_package_survives_its_header():
    for agent in load().agents.values():
        head, steps = read([header(agent, call="c", context_tokens=512, judged=True)])
        assert head == Head(agent, 512, judged=True)
        assert list(steps) == []


def test_a_recorded_call_replays_to_the_same_decisions():
    stage = Watched(agent=RULED).start().run(2).caller("when are you open").run(2).caller("uh-huh").run(3)
    stage.caller("what is your name").run(4).caller("goodbye").run(5)
    head, steps = read(logged(stage.steps))
    core = Conversation(head.agent, context_tokens=head.context_tokens)
    kept = list(steps)
    assert len(kept) > 40
    assert differences(kept, [tuple(core.handle(step.event, step.now)) for step in kept]) == []


def test_a_call_whose_turns_were_judged_replays_to_the_same_decisions():
    stage = Watched(agent=RULED, finished=0.1).start().run(2).caller("when are you open").run(3)
    assert any(isinstance(step.event, ev.TurnJudged) for step in stage.steps)
    lines = [header(RULED, call="c", context_tokens=2048, judged=True), *map(line, stage.steps)]
    head, steps = read(lines)
    core, kept = Conversation(head.agent, context_tokens=head.context_tokens, judged=head.judged), list(steps)
    assert differences(kept, [tuple(core.handle(step.event, step.now)) for step in kept]) == []


def test_a_replay_that_decides_otherwise_is_told_in_words():
    steps = [Step(1.0, ev.CallStarted(), (cmd.Play(1),)), Step(2.5, ev.Dtmf("1"), ())]
    assert differences(steps, [[cmd.Play(1)], []]) == []
    (told,) = differences(steps, [[cmd.Play(1)], [cmd.Play(2)]])
    assert told == "step 2 at 2.500 (Dtmf): was [], is [Play(segment=2)]"


@pytest.mark.parametrize(
    "first",
    ["", "no json", "[]", "{}", "5", json.dumps({"format": "voicebridge-events-0"}),
     json.dumps({"format": FORMAT, "agent": {"name": "x"}, "context_tokens": 1}),
     json.dumps({"format": FORMAT, "agent": {"name": "x", "greeting": "y"}}),
     json.dumps({"format": FORMAT, "agent": {"name": "x", "greeting": "y", "new": 1}, "context_tokens": 1}),
     json.dumps({"format": FORMAT, "agent": {"name": "x", "greeting": "y"}, "context_tokens": None})],
)
def test_what_is_no_event_log_is_refused_at_its_first_line(first):
    with pytest.raises(LogError, match="line 1"):
        read([first])
    with pytest.raises(LogError, match="line 1"):
        read([])


@pytest.mark.parametrize(
    "bad",
    ["", "{", "[]", "5", "{}", '{"t": 1, "event": {"is": "Dtmf"}, "commands": []}',
     '{"t": 1, "event": {"is": "NoSuchEvent"}, "commands": []}',
     '{"t": "x", "event": {"is": "Drained"}, "commands": []}',
     '{"t": 1, "event": "Drained", "commands": []}', '{"t": 1, "event": {"is": "Drained"}, "commands": 5}',
     '{"t": 1, "event": {"is": "Drained", "more": 1}, "commands": []}', '{"t": 1, "event": 5, "commands": []}',
     '{"t": 1, "event": {"is": "Drained"}, "commands": [{"is": "Drained"}]}',
     '{"t": 1, "event": {"is": "PlayoutCut", "segments": [{"x": 1}]}, "commands": []}'],
)
def test_a_damaged_line_is_named_and_what_came_before_it_stands(bad):
    good = Step(1.0, ev.CallStarted(), ())
    _, steps = read([*logged([good]), bad])
    assert next(steps) == good
    with pytest.raises(LogError, match="line 3"):
        next(steps)

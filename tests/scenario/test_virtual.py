"""Scenarios on the virtual clock: what they expect of an agent holds, and fails as soon as it is another thing."""

from __future__ import annotations

import pytest
import yaml

from tests.scenario.desk import AGENT, played

WHOLE = """
  - name: whole
    tools:
      status: {data: {state: ready}, takes: 3}
    model: ["I am fine."]
    steps:
      - expect: {says: this is the desk, within_ms: 100}
      - caller: when are you open
        expect: {says: "from nine to five, Monday", not_says: saturdays, within_ms: 400, silence_ms: 400}
      - interrupt: where is my order
        after: 2.6
        expect:
          says: [nothing like it, YOUR ORDER IS READY]
          tool: {name: status, arguments: {order: 123, express: true}}
          not_tool: book
          within_ms: 6000
          silence_ms: 1500
      - caller: how are you
        expect: {says: I am fine}
      - after: 8
        expect: {says: still there}
      - caller: a human please
        expect: {says: I connect you, hand_off: sales, ends: transfer}
"""
MUTATIONS = [
    (0, {"says": "good evening"}, "says", "'Hello, this is the desk. How can I help you?'"),
    (1, {"not_says": ["sun", "MONDAY"]}, "not_says", "We are open from nine to five, Monday"),
    (1, {"says": "saturdays"}, "says", "We are open from nine"),
    (1, {"within_ms": 200}, "within_ms", "it came after 300 ms"),
    (1, {"silence_ms": 200}, "silence_ms", "300 ms"),
    (1, {"tool": "status"}, "tool", "no tool"),
    (1, {"hand_off": "sales"}, "hand_off", "no handoff"),
    (1, {"ends": "hangup"}, "ends", "it ended at another step"),
    (2, {"says": ["nothing like it", "is late"]}, "says", "Your order is ready."),
    (2, {"tool": "book"}, "tool", 'status({"order": "123", "express": true})'),
    (2, {"tool": {"name": "status", "arguments": {"order": 124}}}, "tool", 'status({"order": "123"'),
    (2, {"tool": {"name": "status", "arguments": {"other": 1}}}, "tool", 'status({"order": "123"'),
    (2, {"tool": {"name": "status", "arguments": {"express": "true"}}}, "tool", 'status({"order": "123"'),
    (2, {"not_tool": "status"}, "not_tool", 'status({"order": "123"'),
    (2, {"within_ms": 3000}, "within_ms", "it came after 5"),
    (2, {"silence_ms": 600}, "silence_ms", " ms"),
    (5, {"hand_off": "voicemail"}, "hand_off", "sales"),
    (5, {"ends": "fallback"}, "ends", "transfer (rule_human)"),
]


@pytest.fixture
def calls(tmp_path):
    """Plays WHOLE with one expectation replaced."""

    def play(step: int, expect: dict) -> list:
        call = yaml.safe_load(WHOLE)
        if expect:
            call[0]["steps"][step]["expect"] = expect
        return played(tmp_path, "\n".join(f"  {line}" for line in yaml.safe_dump(call).splitlines()))

    return play


def test_a_call_that_goes_as_expected_passes(calls):
    (result,) = calls(0, {})
    assert result.failures == ()
    assert result.status == "passed"


@pytest.mark.parametrize(("step", "expect", "what", "got"), MUTATIONS, ids=range(len(MUTATIONS)))
def test_every_expectation_can_fail(calls, step, expect, what, got):
    (result,) = calls(step, expect)
    (failure,) = result.failures
    assert (result.status, failure.step, failure.what) == ("failed", step, what)
    assert got in failure.got


def test_a_canned_tool_gives_one_result_after_the_other(tmp_path):
    (result,) = played(tmp_path, """
  - name: one after the other
    tools:
      status: [{fails: timeout, say: That system is slow today.}, {data: {state: lost}}, {data: {state: found}}]
    steps:
      - caller: where is my order
        expect: {says: slow today, tool: status}
      - {caller: where is my order, expect: {says: is lost}}
      - {caller: where is my order, expect: {says: is found}}
      - {caller: where is my order, expect: {says: is found}}
""")
    assert result.failures == ()
    assert [run.outcome for run in result.seen.tools] == ["timeout", "ok", "ok", "ok"]


def test_a_long_tool_is_covered_with_its_own_progress(tmp_path):
    (result,) = played(tmp_path, """
  - name: slow
    tools: {status: {data: {state: here}, takes: 12, progress: [I am in the first hall., I am in the second hall.]}}
    steps:
      - caller: where is my order
        expect: {says: first hall.*second hall.*your order is here, silence_ms: 1500}
""")
    assert result.failures == ()


def test_the_hour_of_the_call_decides_who_is_there(tmp_path):
    results = played(tmp_path, """
  - {name: by day, steps: [{caller: a human please, expect: {hand_off: sales, ends: transfer}}]}
  - {name: by night, now: 2026-11-30T23:00:00+01:00, steps: [{caller: a human please, expect: {hand_off: voicemail}}]}
  - {name: wrongly, now: 2026-11-30T23:00:00+01:00, steps: [{caller: a human please, expect: {hand_off: sales}}]}
""")
    assert [result.status for result in results] == ["passed", "passed", "failed"]


WARM = """
config:
  targets:
    sales: {endpoint: PJSIP/1, strategy: warm, next: voicemail}
    voicemail: {extension: "800", context: vm, strategy: blind}
tools: {status: {}, book: {}}
"""


def test_humans_take_warm_calls_or_do_not(tmp_path):
    results = played(tmp_path, """
  - name: taken
    humans: {sales: {after: 12}}
    steps: [{caller: a human please, expect: {hand_off: sales, ends: transfer, silence_ms: 1500}}]
  - name: busy
    humans: {sales: busy}
    steps: [{caller: a human please, expect: {hand_off: voicemail}}]
  - name: without a way to call
    steps: [{caller: a human please, expect: {hand_off: sales, ends: transfer}}]
""", config=WARM)
    assert [(result.call.name, result.failures) for result in results] == [
        ("taken", ()), ("busy", ()), ("without a way to call", ()),
    ]  # fmt: skip
    ended = [result.seen.ended.at for result in results]
    assert 12 < ended[0] - results[0].seen.marks[1].done < 14


def test_keys_are_pressed_and_0_finds_a_human(tmp_path):
    (result,) = played(tmp_path, """
  - {name: a, steps: [{keys: '0', meanwhile: true, after: 1, expect: {hand_off: sales}}]}
""")
    assert result.failures == ()
    assert result.seen.said[0].cut


def test_a_caller_who_hangs_up_ends_the_call(tmp_path):
    (result,) = played(tmp_path, """
  - name: a
    steps:
      - caller: when are you open
      - {hang_up: true, meanwhile: true, after: 1}
      - expect: {not_says: sunday}
""")
    assert result.failures == ()
    assert result.seen.closed[1] == "hangup"
    assert result.seen.ended is None


def test_what_comes_after_the_agents_goodbye_is_a_failure(tmp_path):
    (result,) = played(tmp_path, """
  - name: a
    steps:
      - caller: bye bye
      - {caller: when are you open, expect: {says: nine}}
      - expect: {says: five}
""")
    (failure,) = result.failures
    assert (failure.step, failure.what) == (1, "step")
    assert failure.got == "the agent had ended it: hangup (rule_bye)"


def test_nobody_can_interrupt_silence(tmp_path):
    results = played(tmp_path, """
  - name: too late
    steps:
      - caller: bye bye
      - {interrupt: wait, after: 3}
  - name: too long
    steps: [{caller: when are you open}, {interrupt: wait, after: 30}]
""")
    assert [result.status for result in results] == ["failed", "failed"]
    assert "the agent had ended it" in results[0].failures[0].got
    assert "had finished before 30 s: there was nothing to interrupt" in results[1].failures[0].got


def test_an_unscripted_model_answers_so_that_it_is_noticed(tmp_path):
    (result,) = played(tmp_path, "  - {name: a, steps: [{caller: tell me a joke, expect: {says: haha}}]}")
    assert "The script has no answer of the model for this." in result.failures[0].got


def test_a_draft_that_is_made_again_uses_the_same_answer(tmp_path):
    (result,) = played(tmp_path, """
  - name: a
    model: [First., Second.]
    steps:
      - {caller: tell me a joke, expect: {says: first, not_says: second}}
      - {caller: tell me a joke, expect: {says: second}}
""")
    assert result.failures == ()


OPEN = """
name = "desk"
greeting = "Hello."
instructions = "Help."
model_scope = "open"
tools = ["status", "book"]
targets = ["sales"]
"""


def test_the_model_calls_tools_as_scripted(tmp_path):
    results = played(tmp_path, """
  - name: two steps
    tools: {status: {data: {state: ready}, takes: 1}}
    model: [{call: status, arguments: {order: 7}}, It is ready for you.]
    steps:
      - {caller: "is order seven ready?", expect: {tool: {name: status, arguments: {order: 7}}, says: ready for you}}
  - name: a human
    model: [{call: hand_off, arguments: {target: sales}}]
    steps: [{caller: somebody please, expect: {hand_off: sales}}]
  - name: a place that is not configured
    model: [{call: hand_off, arguments: {target: "00881"}}]
    steps: [{caller: somebody please, expect: {says: know}}]
""", agent=OPEN)
    assert [(result.call.name, result.failures) for result in results] == [
        ("two steps", ()), ("a human", ()), ("a place that is not configured", ()),
    ]  # fmt: skip
    assert results[2].seen.handed == []


def test_a_recording_without_words_is_skipped(tmp_path):
    (tmp_path / "a.wav").touch()
    results = played(tmp_path, """
  - {name: a, steps: [{wav: a.wav}]}
  - {name: b, steps: [{wav: a.wav, caller: when are you open, expect: {says: nine}}]}
""")
    assert [result.status for result in results] == ["skipped", "passed"]
    assert "step 1 is a recording whose words nobody tells" in results[0].reason


def test_what_a_late_transcript_says_counts_as_if_it_had_been_in_time(tmp_path):
    """The endpoint has passed when the words come: a goodbye still ends the call, and misses still add up."""
    results = played(tmp_path, """
  - {name: goodbye, delays: {stt: 0.6}, steps: [{caller: bye bye, expect: {says: goodbye, ends: hangup}}]}
  - name: not understood
    delays: {stt: 0.6}
    steps:
      - {caller: qwerty asdf, expect: {says: don't know}}
      - {caller: yxcv bnm, expect: {says: put you through, hand_off: sales}}
""", agent=AGENT.replace("misunderstandings = 9", "misunderstandings = 2"))
    assert [(result.call.name, result.failures) for result in results] == [("goodbye", ()), ("not understood", ())]

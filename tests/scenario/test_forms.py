"""Forms and real tools in scenarios: the real parser of slots, on the date that the call has."""

from __future__ import annotations

from tests.scenario.desk import opened, played
from voicebridge.call.matching import RuleMatcher
from voicebridge.handoff.directory import Directory
from voicebridge.scenario.rehearsal import request
from voicebridge.scenario.virtual import VirtualCall, VirtualParts

AGENT = """
name = "desk"
greeting = "Hello."
model_scope = "none"
tools = ["book", "take_message", "opening_hours", "remember_fact", "lookup_facts"]
[tool_settings.opening_hours]
week = "mon-fri 09:00-17:00"
timezone = "Europe/Berlin"
[[rules]]
name = "book"
action = "form"
form = "service"
examples = ["I want to book a service", "book my bike in for a service"]
[[rules]]
name = "open"
action = "tool"
tool = "opening_hours"
examples = ["are you open now"]
[[forms]]
name = "service"
tool = "book"
confirm = "A service on {day} at {hour}, shall I book it?"
done = ["Booked, your number is {number}."]
[[forms.slots]]
name = "day"
kind = "date"
ask = ["For which day?"]
[[forms.slots]]
name = "hour"
kind = "time"
ask = ["At what time?"]
opens = "09:00"
closes = "17:00"
[[forms.slots]]
name = "phone"
kind = "phone"
ask = ["What is your phone number?"]
"""
CONFIG = "tools: {book: {data: {number: 17}, takes: 2}}"


def test_a_form_is_filled_on_the_date_of_the_call(tmp_path):
    (result,) = played(tmp_path, """
  - name: books
    steps:
      - caller: I want to book a service
        expect: {says: for which day, not_tool: book}
      - caller: tomorrow
        expect: {says: at what time}
      - caller: at three
        expect: {says: phone number}
      - keys: 5550142#
        expect: {says: shall I book it, not_tool: book}
      - caller: no, on Friday
        expect: {says: shall I book it}
      - caller: yes please
        expect:
          tool: {name: book, arguments: {day: 2026-12-04, hour: "15:00", phone: 5550142}}
          says: your number is 17
          silence_ms: 1500
""", agent=AGENT, config=CONFIG)  # fmt: skip
    assert result.failures == ()


def test_the_same_words_on_another_day_are_another_date(tmp_path):
    template = """
  - name: {name}
    now: {now}
    steps:
      - caller: I want to book a service
      - caller: tomorrow at three
      - caller: 5550142
      - {{caller: yes, expect: {{tool: {{name: book, arguments: {{day: 2026-12-01}}}}}}}}
"""
    calls = "".join(template.format(name=now, now=f"2026-11-{now} 10:00+01:00") for now in ("30", "29"))
    first, second = played(tmp_path, calls, agent=AGENT, config=CONFIG)
    assert first.failures == ()
    (failure,) = second.failures
    assert failure.what == "tool" and '"day": "2026-11-30"' in failure.got


def test_real_tools_run_with_the_clock_of_the_call(tmp_path):
    by_day, by_night = played(tmp_path, """
  - {name: by day, steps: [{caller: are you open now, expect: {tool: opening_hours, not_says: closed}}]}
  - name: by night
    now: 2026-11-30T22:00:00+01:00
    steps: [{caller: are you open now, expect: {tool: opening_hours, says: closed}}]
""", agent=AGENT, config=CONFIG)
    assert (by_day.failures, by_night.failures) == ((), ())
    assert [run.outcome for run in by_day.seen.tools] == ["ok"]


def test_a_canned_tool_checks_its_arguments_where_the_real_one_is_installed(tmp_path):
    agent = AGENT.replace('"none"', '"open"')
    (result,) = played(tmp_path, """
  - name: wrongly called
    tools: {take_message: {say: Noted.}}
    model: [{call: take_message, arguments: {nonsense: 1}}, Sorry., {call: take_message, arguments: {}}, Sorry.]
    steps:
      - {caller: tell him that I called, expect: {says: sorry, not_says: noted}}
""", agent=agent, config=CONFIG)
    assert result.failures == ()
    assert [run.outcome for run in result.seen.tools] == ["invalid_arguments"]


async def test_variables_and_caller_of_the_dialplan_are_known_in_the_call(tmp_path):
    suite = opened(tmp_path, """
  - name: known
    caller: "+15550142"
    variables: {customer: Anna Schmidt}
    steps: [{caller: who am I}]
""", agent=AGENT, config=CONFIG)
    (call,) = suite.calls
    parts = VirtualParts(RuleMatcher(suite.agent, None), Directory({}), suite.shelf, tmp_path)
    line = VirtualCall(suite.agent, request(call), call, parts)
    assert line.agent.call_facts == ("customer: Anna Schmidt",)
    assert request(call).caller == "+15550142"
    assert line.clock().isoformat() == "2026-11-30T10:00:00+01:00"

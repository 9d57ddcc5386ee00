"""A record as a trace: what contains what, at which times, under which names."""

from __future__ import annotations

import json

import pytest

from tests.trace.ended import CALL_ID, record, turn
from voicebridge.trace.otel import Span, trace_of, traces_url

TOOL = {
    "tool": "book", "at": 6.0, "ms": 900, "ok": False, "cause": "timeout", "attempts": 2,
    "try": [{"at": 6.0, "ms": 500, "cause": "timeout"}, {"at": 6.5, "ms": 400, "cause": "timeout"}],
}  # fmt: skip


def named(span: Span, name: str) -> Span:
    (found,) = [inner for inner in span.inner if inner.name == name]
    return found


def test_a_call_is_an_agent_that_is_invoked():
    call = trace_of(record(turn()))
    assert (call.name, call.kind, call.begin, call.end) == ("invoke_agent desk", "server", 0.0, 24.9)
    assert call.attributes["gen_ai.operation.name"] == "invoke_agent"
    assert call.attributes["gen_ai.agent.name"] == "desk"
    assert call.attributes["gen_ai.conversation.id"] == CALL_ID
    assert call.attributes["voicebridge.outcome"] == "hangup"


def test_a_turn_s_stages_are_contiguous_and_add_up_to_its_gap():
    (one,) = trace_of(record(turn())).inner
    stages = [span for span in one.inner if "voicebridge.actor" in span.attributes]
    assert [span.attributes["voicebridge.actor"] for span in stages] == ["vad", "stt", "llm", "tts", "playout"]
    assert [span.begin for span in stages[1:]] == [span.end for span in stages[:-1]]
    assert stages[0].begin == one.begin == 5.0
    assert stages[-1].end - stages[0].begin == pytest.approx(one.attributes["voicebridge.response_gap_s"])


def test_the_model_s_stage_is_a_chat_with_its_first_token():
    (one,) = trace_of(record(turn())).inner
    chat = named(one, "chat llama_server")
    assert chat.kind == "client"
    assert chat.attributes["gen_ai.operation.name"] == "chat"
    assert chat.attributes["gen_ai.request.model"] == chat.attributes["gen_ai.provider.name"] == "llama_server"
    assert chat.attributes["gen_ai.response.time_to_first_chunk"] == pytest.approx(0.2)
    assert [event.name for event in chat.events] == ["first_token", "first_clause"]


def test_a_tool_has_its_own_time_its_attempts_and_its_error():
    (one,) = trace_of(record(turn(tools=[TOOL]))).inner
    tool = named(one, "execute_tool book")
    assert (tool.begin, tool.end, tool.error) == (6.0, pytest.approx(6.9), "timeout")
    assert tool.attributes["gen_ai.tool.name"] == "book"
    assert tool.attributes["error.type"] == "timeout"
    assert [(event.name, event.at) for event in tool.events] == [("attempt", 6.0), ("attempt", 6.5)]


def test_a_turn_ends_when_its_last_word_was_heard_and_begins_without_a_caller_at_its_first():
    greeting = turn(0, gap_s=None, spans=[], marks={"sent": 0.02, "audible": 0.03})
    greeting |= {"last_voice": None, "said": [{**greeting["said"][0], "at": 0.03, "until": 2.5}]}
    first, second = trace_of(record(greeting, turn())).inner
    assert (first.begin, first.end) == (0.02, 2.5)
    assert (second.begin, second.end) == (5.0, 6.6)


def test_what_happened_in_a_turn_are_its_events():
    (one,) = trace_of(
        record(
            turn(
                cut_off=True, cut_at=6.1, stopped_after_ms=90, troubles=["ModelFailed: timeout"],
                moves=[{"kind": "llm", "from": "a", "to": "b", "cause": "timeout", "at": 5.4}],
                handoffs=[{"at": 7.0, "state": "refused", "target": "sales", "cause": "busy"}],
            )
        )
    ).inner  # fmt: skip
    assert [(event.name, event.at) for event in one.events] == [
        ("barge_in", 6.1), ("handoff", 7.0), ("engine_failover", 5.4),
    ]  # fmt: skip
    assert one.error == "ModelFailed: timeout"
    assert one.events[1].attributes == {
        "voicebridge.handoff.state": "refused", "voicebridge.handoff.target": "sales",
        "voicebridge.handoff.cause": "busy",
    }  # fmt: skip


def everything(span: Span) -> str:
    return repr(span)


def test_what_was_said_and_who_called_stand_in_no_span_unless_they_are_wanted():
    told = record(turn(), summary="wants bikes")
    plain = everything(trace_of(told))
    for word in ("rent", "nine", "We do", "***42", "127.0.0.1", "wants bikes"):
        assert word not in plain
    (one,) = trace_of(told, content=True).inner
    assert json.loads(str(one.attributes["gen_ai.input.messages"])) == [
        {"role": "user", "parts": [{"type": "text", "content": "Do you rent bikes?"}]}
    ]
    heard = json.loads(str(one.attributes["gen_ai.output.messages"]))[0]
    assert heard == {"role": "assistant", "parts": [{"type": "text", "content": "We do,"}]}


@pytest.mark.parametrize(
    ("endpoint", "url"),
    [
        ("http://127.0.0.1:4318", "http://127.0.0.1:4318/v1/traces"),
        ("https://collector/otlp/", "https://collector/otlp/v1/traces"),
        ("http://127.0.0.1:4318/v1/traces", "http://127.0.0.1:4318/v1/traces"),
    ],
)
def test_an_endpoint_without_its_path_gets_it(endpoint, url):
    assert traces_url(endpoint) == url

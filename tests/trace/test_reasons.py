"""Why a call ended, in words."""

from __future__ import annotations

import pytest

from voicebridge.trace.reasons import reason_text


@pytest.mark.parametrize(
    ("reason", "outcome", "text"),
    [
        ("hangup", "hangup", "the caller hung up"),
        ("rule_goodbye", "hangup", "rule goodbye ended it"),
        ("rule_human", "transfer", "the caller asked for it by rule human"),
        ("rule_human", "fallback", "the caller asked for it by rule human"),
        ("form_book_not_understood", "transfer", "the answers to form book were not understood"),
        ("tool_find_failed", "fallback", "the tool find failed"),
        ("tool_find", "hangup", "the tool find wanted it"),
        ("llm_no_answer", "fallback", "the language model failed: no answer"),
        ("stt_timeout", "fallback", "speech recognition failed: timeout"),
        ("no_input", "hangup", "the caller said nothing"),
        ("something_new", "", "something new"),
        ("rule_", "", "rule "),
        ("", "", "not known"),
    ],
)
def test_each_reason_is_told(reason, outcome, text):
    assert reason_text(reason, outcome) == text

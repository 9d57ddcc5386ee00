"""An answer in several goes: what is asked next, under which grammar, and what is spoken."""

from __future__ import annotations

import pytest

from voicebridge.conversation.commands import ChatMessage
from voicebridge.conversation.toolspec import ToolCall, ToolSpec
from voicebridge.engines.answer import CALL_TOKENS, Answer, ToolAnswer
from voicebridge.engines.decision import BrokenCall
from voicebridge.engines.grammar import REST, decision_grammar
from voicebridge.engines.telling import told

NOW, BOOK = ToolSpec("now", "Tell the time.", "{}"), ToolSpec("book", "Book.", "{}")
TOOLS = (NOW, BOOK)
ASKED = (ChatMessage("system", "Be brief."), ChatMessage("user", "What time is it?"))


def fed(answer: Answer, *pieces: str) -> str:
    return "".join(answer.add(piece) for piece in pieces)


def test_without_tools_messages_and_pieces_are_left_as_they_are() -> None:
    answer = Answer(ASKED, 5)
    assert answer.prompt() == ASKED
    assert not answer.divisible
    assert fed(answer, "It", " is", " noon") == "It is noon"
    assert (answer.grammar, answer.tokens_left, answer.divisible) == ("", 2, True)
    assert answer.prompt() == (*ASKED, ChatMessage("assistant", "It is noon"))
    assert answer.finish() == ("", None)
    assert answer.broke_off()


def test_an_answer_that_came_last_is_gone_on_with() -> None:
    answer = Answer((*ASKED, ChatMessage("assistant", "It is")), 5)
    fed(answer, " noon")
    assert answer.prompt() == (*ASKED, ChatMessage("assistant", "It is noon"))


def test_under_a_grammar_of_others_it_is_made_in_one_go() -> None:
    answer = Answer(ASKED, 5, "root ::= [a-z]+")
    assert answer.broke_off()
    fed(answer, "it")
    assert not answer.divisible
    assert not answer.broke_off()


def test_words_are_gone_on_with_behind_say() -> None:
    answer = ToolAnswer(ASKED, 5, TOOLS, TOOLS)
    assert (answer.grammar, answer.tokens_left) == (decision_grammar(TOOLS), CALL_TOKENS)
    assert answer.prompt() == told(ASKED, TOOLS)
    assert fed(answer, "s", "ay") == ""
    assert not answer.divisible
    assert fed(answer, " It", " is") == "It is"
    assert (answer.grammar, answer.tokens_left, answer.divisible) == (REST, 3, True)
    assert answer.prompt() == (*told(ASKED, TOOLS), ChatMessage("assistant", "say It is"))
    assert answer.broke_off()
    assert fed(answer, " noon") == " noon"
    assert answer.finish() == ("", None)


def test_a_call_that_broke_off_begins_anew() -> None:
    answer = ToolAnswer(ASKED, 5, TOOLS, TOOLS)
    assert fed(answer, "call", ' {"name": "no') == ""
    assert not answer.divisible
    assert answer.broke_off()
    assert answer.prompt() == told(ASKED, TOOLS)
    assert answer.tokens_left == CALL_TOKENS
    fed(answer, "call ", '{"name": "now", "arguments": {}}')
    assert answer.finish() == ("", ToolCall("now", "{}"))


def test_only_what_is_offered_may_be_called_though_all_are_told() -> None:
    answer = ToolAnswer(ASKED, 5, TOOLS, (NOW,))
    assert answer.prompt() == told(ASKED, TOOLS)
    assert answer.grammar == decision_grammar((NOW,))
    fed(answer, 'call {"name": "book", "arguments": {}}')
    with pytest.raises(BrokenCall):
        answer.finish()


def test_with_nothing_offered_it_speaks() -> None:
    answer = ToolAnswer(ASKED, 5, TOOLS, ())
    assert "call" not in answer.grammar
    assert fed(answer, "say ", "Noon") == "Noon"


def test_words_before_are_gone_on_with_also_after_a_break() -> None:
    answer = ToolAnswer((*ASKED, ChatMessage("assistant", "It is")), 5, TOOLS, TOOLS)
    for _ in range(2):
        assert answer.grammar == REST
        assert answer.prompt()[-1] == ChatMessage("assistant", "say It is")
        assert answer.broke_off()
    assert fed(answer, " noon") == " noon"
    assert answer.prompt()[-1] == ChatMessage("assistant", "say It is noon")
    assert answer.tokens_left == 4


def test_words_held_back_come_at_the_end() -> None:
    answer = ToolAnswer(ASKED, 5, TOOLS, TOOLS)
    assert fed(answer, "ca") == ""
    assert answer.finish() == ("ca", None)

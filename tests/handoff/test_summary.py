"""What a human is told of a call: enough, short, one line where it must be, and nothing that was secret."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicebridge.handoff.masking import MASK, masked
from voicebridge.handoff.summary import LINE_BYTES, NOTHING, Known, Phrases, Turn, summarise
from voicebridge.protocol.variables import FORBIDDEN

TURNS = (
    Turn("", "Good morning, how can I help?"),
    Turn("Can I speak to somebody please?", "Of course. What is it about?"),
    Turn("I want to move my appointment on Tuesday", "What is your name?"),
    Turn("Anna Schmidt", "Your PIN, please."),
    Turn("four seven one one", "Thank you.", secret=True),
)
KNOWN = (Known("customer_name", "Anna Schmidt"), Known("pin", "4 7 1 1", "4711", secret=True))


def test_the_line_tells_why_what_is_known_what_was_done_and_what_for():
    made = summarise(TURNS, reason="rule_human", known=KNOWN, done=["Looked up the appointment."])
    assert made.line == (
        "The caller asked for a human. Customer name Anna Schmidt. Pin ***. Looked up the appointment. "
        "Said: I want to move my appointment on Tuesday"
    )


def test_the_briefing_is_three_sentences_at_most():
    made = summarise(TURNS, reason="asked", known=KNOWN, done=["Looked it up."])
    assert made.spoken == (
        "The caller asked for a human. The caller said: I want to move my appointment on Tuesday. "
        "Known so far: customer name Anna Schmidt, pin ***."
    )
    assert summarise(TURNS, reason="asked", done=["Looked it up."]).spoken.endswith("Done so far: Looked it up.")


def test_a_call_in_which_nothing_was_said_still_has_a_briefing():
    made = summarise((), reason="")
    assert (made.line, made.spoken, made.transcript) == ("", "A caller would like to speak to you.", ())
    assert NOTHING.spoken == ""


@pytest.mark.parametrize(
    ("reason", "says"),
    [
        ("asked", "asked for a human"),
        ("rule_boss", "asked for a human"),
        ("rule_key_0", "pressed zero"),
        ("not_understood", "did not understand"),
        ("tool_book_failed", "did not work"),
        ("model", "could not help"),
        ("something_else", "would like to speak to you"),
    ],
)
def test_the_reason_is_told_in_words(reason, says):
    assert says in summarise((), reason=reason).spoken


def test_what_he_came_for_is_not_that_he_wants_a_human():
    said = [Turn("A human please, I want a real person"), Turn("yes"), Turn("My invoice from May is wrong")]
    assert "invoice from May" in summarise(said, reason="asked").spoken
    assert "real person" in summarise(said[:2], reason="asked").spoken  # nothing better there


def test_other_languages_bring_their_own_words():
    phrases = Phrases(wants="Anliegen: {request}", known="Bekannt: {values}", nothing="Ein Anruf",
                      reasons=(("asked", "Der Anrufer möchte jemanden sprechen"),))
    made = summarise([Turn("Meine Rechnung aus dem Mai stimmt nicht")], reason="asked", phrases=phrases)
    assert made.spoken == "Der Anrufer möchte jemanden sprechen. Anliegen: Meine Rechnung aus dem Mai stimmt nicht."


def test_a_long_request_is_cut_at_a_word_and_the_rest_of_the_line_stays():
    made = summarise([Turn("well " + "alpha beta gamma " * 60)], reason="asked", known=KNOWN)
    assert made.line.startswith("The caller asked for a human. Customer name Anna Schmidt. Pin ***. Said: well alpha")
    assert re.search(r"(alpha|beta|gamma)\.\.\.$", made.line)
    assert len(made.line.encode()) <= LINE_BYTES
    assert len(made.spoken) < 400


TEXT = st.text(max_size=400)


@given(
    st.lists(st.builds(Turn, TEXT, TEXT, st.booleans()), max_size=6), TEXT,
    st.lists(st.builds(Known, TEXT, TEXT, TEXT, st.booleans()), max_size=4), st.lists(TEXT, max_size=3),
)
def test_whatever_was_said_the_line_is_one_safe_short_line(turns, reason, known, done):
    made = summarise(turns, reason=reason, known=known, done=done)
    assert len(made.line.encode()) <= LINE_BYTES
    assert not set(made.line) & (FORBIDDEN | set("\r\n\x00"))
    assert len(made.transcript) == len(turns)


# ---- secrets


@pytest.mark.parametrize(
    "said",
    ["4711", "4 7 1 1", "47 11", "4-7-1-1", "four seven one one", "Four, seven, one, one.", "forty seven eleven",
     "forty-seven eleven", "four seven double one", "for seven won won", "it is four seven 1 1 thanks", "47, eleven",
     "٤٧١١", "my pin 12 4711 34"],
)
def test_a_secret_is_not_told_however_it_was_said(said):
    hidden = masked(f"well {said} please", ["4711"])
    assert MASK in hidden
    assert hidden.startswith("well ")
    assert hidden.endswith(" please")
    for part in ("4", "seven", "eleven", "won", "٧"):
        assert part not in hidden


@pytest.mark.parametrize(
    "said",
    ["I have two dogs", "call 555 0142", "forty seven people", "for seven days", "one one seven four", "4712", ""],
)
def test_other_numbers_stay(said):
    assert masked(said, ["4711"]) == said


def test_letters_are_hidden_written_and_spelled_but_not_inside_words():
    said = "the word is Rosebud, r o s e b u d, R-O-S-E-B-U-D; not rosebuds"
    assert masked(said, ["rosebud"]) == f"the word is {MASK}, {MASK}, {MASK}; not rosebuds"
    assert masked("it is a+b", ["a+b"]) == f"it is {MASK}"


def test_a_card_number_is_hidden_without_being_named_a_phone_number_is_not():
    assert masked("take 4111 1111 1111 1111 please") == f"take {MASK} please"
    assert masked("four one double one " + "one one one one " * 3) == f"{MASK} "
    assert masked("call +49 170 1234567") == "call +49 170 1234567"
    assert masked("dial 0049 170 1234567") == "dial 0049 170 1234567"


def test_a_turn_that_asked_for_a_secret_is_hidden_wholly_and_the_agents_echo_too():
    turns = [Turn("err it's my dog's name", "Did you say four seven one one?", secret=True), Turn("yes 4711", "")]
    made = summarise(turns, reason="asked", known=KNOWN)
    assert [turn.caller for turn in made.transcript] == [MASK, f"yes {MASK}"]
    assert made.transcript[0].agent == f"Did you say {MASK}?"
    assert "dog" not in made.line + made.spoken


@given(st.from_regex(r"[0-9]{4,10}", fullmatch=True), st.text(max_size=30), st.text(max_size=30))
def test_the_digits_of_a_secret_never_come_through(secret, before, after):
    for way in (secret, " ".join(secret), ", ".join(secret)):
        assert secret not in re.sub(r"\D", "", masked(f"{before} {way} {after}", [secret]).replace(MASK, "x"))


@given(st.text())
def test_masking_takes_any_text(text):
    assert isinstance(masked(text, [text, "", " "]), str)

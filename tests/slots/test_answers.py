"""Yes, no and "leave it"."""

from __future__ import annotations

from datetime import datetime

import pytest

from voicebridge.conversation.form import Choice, Form, Slot
from voicebridge.slots import parse

NOW = datetime(2026, 11, 24, 12, 3)
FORM = Form("f", "t", (Slot("sure", "yes_no"), Slot("day", "date"), Slot("who", "name"), Slot("note", "text")))

YES = """yes|Yes.|yes please|Yes, please.|yeah|Yeah.|yep|Yet.|yup|yea|sure|Sure!|sure thing|of course|certainly
absolutely
definitely|correct|that's correct|That's right.|that is right|right|exactly|exactly right|indeed|affirmative|okay
OK|all right
alright|alright then|go ahead|Go ahead.|go ahead please|please do|please go ahead|do it|do that|let's do it
let's do that
sounds good|that sounds good|sounds great|that works|that works for me|works for me|fine|that's fine|fine by me
that's fine by me
perfect|great|that would be great|that'd be lovely|that'll do|that will do nicely|no problem|No problem at all.
why not|I think so
I guess so|I do|yes I do|I would|I am|it is|yes it is|that's it|yes that's it|by all means|you got it|book it
book it please
confirm|I confirm|that is all correct|everything is correct|it's all right|I'd love to|I'd like that|uh-huh|mhm|aye
true
yes yes|yes, yes, that's right|oh yes|well, yes|um, yes|yeah sure|yeah, go for it|okay, do it|you're right|I agree
I don't mind|no objections|sounds perfect|looks good|it looks right|yes, no problem|yes, no changes
absolutely, thank you
I suppose so|that suits me|wonderful|please book it|that's me|yeah that's me|very good|yes indeed|good
of course you can""".split("\n")
NO = """no|No.|nope|Note.|nah|no thanks|no thank you|No, thank you.|not really|not quite|Not quite.|not exactly
not at all
I don't think so|I don't believe so|of course not|absolutely not|definitely not|certainly not|no way|negative
incorrect|wrong
that's wrong|that is wrong|that's not right|that's not correct|that isn't right|it's not|it isn't|no it isn't
no I don't
I'm afraid not|please don't|don't|I don't|never|know|Know.|the name is wrong|the date is wrong|you got it wrong
that's incorrect
not yet|not now|no, that's wrong|well, no|um, no|oh no|no no|no no no|yeah no|yes, no wait|I'd rather not|rather not
that doesn't work|that doesn't suit me|it doesn't work for me|there's a mistake|there is a mistake|wrong day
that's the wrong date
I disagree|I do not|I wouldn't|it's wrong|that's not it|that's not what I said|that's not me|I didn't|probably not
better not|maybe not|I don't want that|I do not agree|no sir|nope, sorry|no, not that one|neither
no way man""".split("\n")
UNSURE = """maybe|perhaps|hold on|wait a moment|what|what did you say|I'm not sure|I don't know|no idea|hello
can you repeat that
Tuesday|how much is it|who is this|what time is it|sorry|pardon|Anna Schmidt|I was wondering about the price
one moment
do you have parking|the blue one|when are you open|note that I am late|could you say that again please
thank you""".split("\n")


def each(lines):
    return [text for line in lines for text in line.split("|")]


@pytest.mark.parametrize("text", each(YES))
def test_a_yes(text):
    said = parse(FORM, "sure", text, now=NOW)
    assert (said.answer, [value.value for value in said.values]) == ("yes", ["yes"])
    assert parse(FORM, "", text, now=NOW).answer == "yes"


@pytest.mark.parametrize("text", each(NO))
def test_a_no(text):
    said = parse(FORM, "sure", text, now=NOW)
    assert (said.answer, [value.value for value in said.values]) == ("no", ["no"])
    again = parse(FORM, "", text, now=NOW)
    assert (again.answer, again.values) == ("no", ())


@pytest.mark.parametrize("text", each(UNSURE))
def test_what_is_neither(text):
    assert parse(FORM, "sure", text, now=NOW).answer == ""
    assert parse(FORM, "", text, now=NOW).answer == ""


CANCEL = """forget it|Forget it.|oh forget it|forget about it|just forget it|never mind|Never mind.|nevermind
cancel|cancel that
cancel it please|please cancel|cancel everything|I changed my mind|I've changed my mind|changed my mind, sorry|stop
stop it|stop that
stop please|leave it|just leave it|let's leave it|drop it|scrap that|call it off|I don't want this anymore
I don't want it any more
I don't want to anymore|no, forget it|no, never mind|actually, never mind|actually I changed my mind|okay cancel that
I want to cancel|I'd like to cancel this|oh never mind, thanks|forget the whole thing
never mind, I'll call back later|quit
no thanks, forget it|you know what, forget it|let's cancel that|can we cancel this|let's not|it doesn't matter
I give up
on second thought, never mind""".split("\n")


@pytest.mark.parametrize("asked", ["sure", "day", "who", "note", ""])
@pytest.mark.parametrize("text", each(CANCEL))
def test_he_wants_to_leave_it(text, asked):
    said = parse(FORM, asked, text, now=NOW)
    assert (said.cancel, said.values) == (True, ())


@pytest.mark.parametrize(("asked", "text"), [
    ("note", "I want to cancel my subscription"), ("note", "the brakes don't stop the bike"),
    ("note", "please stop sending me letters"), ("day", "never mind the time, Tuesday is fine"),
    ("day", "I changed my mind, make it Tuesday"), ("day", "cancel that, Wednesday"), ("", "don't cancel it"),
    ("", "I don't want to cancel that"), ("", "yes"), ("", "no"), ("day", "no"), ("", "don't forget it"),
    ("day", "the bus stop is closed"), ("day", "hello"),
])
def test_he_does_not_want_to_leave_it(asked, text):
    assert not parse(FORM, asked, text, now=NOW).cancel


def test_a_choice_that_is_called_cancel_is_a_choice():
    form = Form("f", "t", (Slot("what", "choice", choices=(Choice("move"), Choice("cancel", ("cancel it",)))),))
    said = parse(form, "what", "cancel it please", now=NOW)
    assert ([value.value for value in said.values], said.cancel) == (["cancel"], False)

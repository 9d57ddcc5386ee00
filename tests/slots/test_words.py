"""Numbers, names, spelling, addresses and free text."""

from __future__ import annotations

from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicebridge.conversation.form import Form, Slot
from voicebridge.slots import parse
from voicebridge.slots.saying import say_email, say_spelled

NOW = datetime(2026, 11, 24, 12, 3)


def value(text, kind, *, asked=True, name="it", ask=(), **bounds):
    form = Form("f", "t", (Slot(name, kind, ask, **bounds),))
    values = parse(form, name if asked else "", text, now=NOW).values
    return values[0].value if values else ""


@pytest.mark.parametrize(("text", "number"), [
    ("four", "4"), ("4", "4"), ("For.", "4"), ("To.", "2"), ("for people", "4"), ("Four people.", "4"), ("one", "1"),
    ("just one", "1"), ("twenty-one", "21"), ("To twenty-one.", "21"), ("a dozen", "12"), ("half a dozen", "6"),
    ("two dozen", "24"), ("a couple", "2"), ("a couple of bikes", "2"), ("just me", "1"), ("only me", "1"),
    ("me and my wife", "2"), ("both of us", "2"), ("there will be five of us", "5"), ("a hundred", "100"),
    ("one hundred and fifty", "150"), ("two thousand", "2000"), ("1,500", "1500"), ("twelve hundred", "1200"),
    ("three thousand two hundred and seven", "3207"), ("none", "0"), ("zero", "0"), ("nobody", "0"),
    ("minus five", "-5"),
    ("about ten", "10"), ("ten or so", "10"), ("I think we are six", "6"), ("six, no, seven", "7"),
    ("not six, seven", "7"),
    ("eight adults", "8"), ("a million", "1000000"), ("thirty", "30"), ("Dirty.", "30"), ("ninety nine", "99"),
    ("three, please", "3"), ("um, five", "5"), ("a party of seven", "7"), ("we're two", "2"), ("twice", "2"),
    ("two and a half", ""), ("a few", ""), ("many", ""), ("I don't know", ""), ("3.5", ""),
])
def test_a_number_that_was_asked_for(text, number):
    assert value(text, "number") == number


@pytest.mark.parametrize(("text", "number"), [("eight", "8"), ("nine", ""), ("zero", ""), ("20, I mean 2", "2")])
def test_a_number_within_bounds(text, number):
    assert value(text, "number", least=1, most=8) == number


@pytest.mark.parametrize(("text", "number"), [
    ("a table for four on Friday", "4"), ("four people at seven", "4"), ("there are three of us", "3"),
    ("we are a party of six", "6"), ("I want two bikes", ""), ("the first one", ""), ("one moment", ""),
    ("twenty one", ""),
])
def test_a_number_that_nobody_asked_for_needs_its_noun(text, number):
    assert value(text, "number", asked=False, name="people", ask=("How many people will you be?",)) == number


@pytest.mark.parametrize(("text", "name"), [
    ("Anna Schmidt", "Anna Schmidt"), ("My name is Anna Schmidt.", "Anna Schmidt"), ("it's Smith", "Smith"),
    ("my name is anna schmidt", "Anna Schmidt"), ("It's Anna.", "Anna"),
    ("This is John Smith speaking", "John Smith"),
    ("I'm Peter", "Peter"), ("Smith", "Smith"), ("Yes, it's Mary Jones", "Mary Jones"),
    ("sure, my name is Lee", "Lee"),
    ("the name is Bond, James Bond", "James Bond"), ("Ludwig van Beethoven", "Ludwig van Beethoven"),
    ("under the name of Garcia please", "Garcia"), ("under Garcia", "Garcia"), ("My last name is O'Brien", "O'Brien"),
    ("mary-jane watson", "Mary-Jane Watson"), ("call me Ishmael", "Ishmael"), ("The name's Kowalski", "Kowalski"),
    ("Mr. Brown", "Brown"), ("It's Mrs Green", "Green"), ("Maria de la Cruz", "Maria de la Cruz"), ("ANNA", "Anna"),
    ("uh, Miller", "Miller"), ("Miller, thanks", "Miller"), ("put it under Miller please", "Miller"),
    ("my name is Anna and I need a service", "Anna"), ("Anna Schmidt here", "Anna Schmidt"),
    ("José Muñoz", "José Muñoz"),
    ("Smith, S M I T H", "Smith"), ("Smyth. S M Y T H.", "Smyth"), ("Smith, that's S M Y T H", "Smyth"),
    ("Anna Schmidt, S C H M I D T", "Anna Schmidt"), ("Anna Smith, that's spelled S C H M I D T", "Anna Schmidt"),
    ("My name is Nguyen, N G U Y E N.", "Nguyen"), ("My name is when, N G U Y E N", "Nguyen"),
    ("S M I T H", "Smith"), ("Owen, O W E N", "Owen"), ("no", ""), ("I don't know", ""), ("what?", ""),
    ("could you repeat that", ""), ("I don't want to tell you", ""), ("hello", ""), ("yes please", ""), ("123", ""),
    ("hold on", ""), ("sorry", ""), ("", ""),
])
def test_a_name_that_was_asked_for(text, name):
    assert value(text, "name") == name


@pytest.mark.parametrize(("text", "name"), [
    ("my name is Anna Schmidt and I need a service", "Anna Schmidt"),
    ("this is Anna Schmidt calling", "Anna Schmidt"),
    ("Hi, I'm John Miller", "John Miller"), ("the name is Brown", "Brown"), ("I'm calling about my bike", ""),
    ("this is about my bike", ""), ("it's Friday", ""), ("I'm fine", ""), ("Anna", ""), ("the name is wrong", ""),
    ("my name is not important", ""),
])
def test_a_name_that_nobody_asked_for(text, name):
    assert value(text, "name", asked=False) == name


@pytest.mark.parametrize(("text", "signs"), [
    ("S M I T H", "SMITH"), ("s m i t h", "SMITH"), ("S. M. I. T. H.", "SMITH"), ("S, M, I, T, H.", "SMITH"),
    ("S-M-I-T-H", "SMITH"), ("Smith S. M. I. T. H..", "SMITH"), ("Smith, S M I T H", "SMITH"), ("SMITH", "SMITH"),
    ("Smith.", "SMITH"), ("S M Id H.", "SMIDH"), ("it's spelled S M I T H", "SMITH"), ("b as in bravo", "B"),
    ("B as in bravo, O, W, E, N", "BOWEN"), ("B for Bertie, A, double T, E, N", "BATTEN"),
    ("bee like boat, a, double l", "BALL"),
    ("sierra mike india tango hotel", "SMITH"), ("Sierra, Mike, India, Tango, Hotel.", "SMITH"),
    ("capital A, seven, nine, X", "A79X"), ("A B one two three", "AB123"), ("A B 1 2 3", "AB123"), ("AB123", "AB123"),
    ("a b twelve", "AB12"), ("see aitch em i dee tea", "CHMIDT"), ("double u e double l s", "WELLS"),
    ("double you i l d e", "WILDE"), ("triple a", "AAA"), ("X Y zed", "XYZ"), ("x y zee", "XYZ"), ("a dash b", "A-B"),
    ("n as in nancy g u y e n", "NGUYEN"), ("M as in Mary, A, R, C", "MARC"), ("small a capital b", "aB"),
    ("the letter k", "K"), ("k a t e", "KATE"), ("T as in tango, I, M", "TIM"), ("J O E", "JOE"), ("you s a", "USA"),
    ("no", ""), ("what", ""), ("I don't know", ""), ("can you repeat that please", ""),
])
def test_spelling_that_was_asked_for(text, signs):
    assert value(text, "spelled") == signs


@pytest.mark.parametrize(("text", "address"), [
    ("anna dot schmidt at example dot com", "anna.schmidt@example.com"),
    ("my email is anna at example dot com", "anna@example.com"),
    ("it's anna underscore s at g mail dot com", "anna_s@gmail.com"),
    ("anna@example.com", "anna@example.com"), ("Anna.Schmidt@Example.com.", "anna.schmidt@example.com"),
    ("John underscore smith at Gmail.com", "john_smith@gmail.com"),
    ("John underscores mithatgmail.com", "john_mith@gmail.com"),
    ("j o e at bike shop dot co dot u k", "joe@bikeshop.co.uk"),
    ("J. O. E. at bikeshop dot co, dot U. K..", "joe@bikeshop.co.uk"),
    ("info at north gate dash cycles dot org", "info@northgate-cycles.org"),
    ("An adot Schmidt at example dot con.", "adotschmidt@example.com"),
    ("john twenty two at yahoo dot com", "john22@yahoo.com"), ("john 22 at yahoo dot com", "john22@yahoo.com"),
    ("j dot smith at web dot de please", "j.smith@web.de"), ("b o double b at a o l dot com", "bobb@aol.com"),
    ("my address is sales plus one at example dot net thank you", "sales+1@example.net"),
    ("anna minus maria at outlook dot com", "anna-maria@outlook.com"),
    ("you can write to me at anna at example dot com", "anna@example.com"),
    ("anna dot schmidt@example.com", "anna.schmidt@example.com"),
    ("anna schmidt all one word at example dot com", "annaschmidt@example.com"),
    ("hello", ""), ("at home", ""), ("I don't have one", ""), ("at example dot com", ""), ("anna at example", ""),
])
def test_an_email_address(text, address):
    assert value(text, "email") == address


@pytest.mark.parametrize(("text", "words"), [
    ("My brakes are squeaking.", "My brakes are squeaking."), ("well, my brakes squeak", "my brakes squeak"),
    ("It's about my invoice", "my invoice"), ("please tell him that I called", "I called"),
    ("the message is I'll be late", "I'll be late"),
    ("Yes, the chain broke on Friday at three", "the chain broke on Friday at three"),
    ("I want to cancel my subscription", "I want to cancel my subscription"), ("no", ""), ("yes please", ""),
    ("what?", ""), ("hold on a second", ""), ("...", ""),
])
def test_free_text(text, words):
    assert value(text, "text") == words


def test_free_text_is_never_taken_unasked():
    assert value("my brakes squeak", "text", asked=False) == ""


@given(st.integers(0, 999_999))
def test_a_number_said_back_is_understood(number):
    assert value(str(number), "number") == str(number)


@given(st.integers(0, 999_999))
def test_a_number_in_words_is_understood(number):
    from num2words import num2words

    assert value(num2words(number), "number") == str(number)


@given(st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ", min_size=2, max_size=12))
def test_spelling_said_back_is_understood(signs):
    assert value(say_spelled(signs), "spelled") == signs


@given(st.from_regex(r"[b-hj-z][b-z]{2,7}(?:[._-][b-z]{3,6})?@[b-z]{3,8}\.(?:com|org|net|de)", fullmatch=True))
def test_an_address_said_back_is_understood(address):
    words = address.replace(".", " ").replace("@", " ").replace("_", " ").replace("-", " ").split()
    if not {"dot", "well", "yes", "send", "reach", "mail", "email", "by", "my", "me"} & set(words):
        assert value(say_email(address), "email") == address

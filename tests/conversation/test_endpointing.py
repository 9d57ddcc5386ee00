"""Does the caller go on? Has he surely finished? Judged by his last words, in ten languages."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.conversation.stage import AGENT, RULED, Stage
from voicebridge.conversation.agent import Rule
from voicebridge.conversation.endings import LANGUAGES
from voicebridge.conversation.endpointing import (
    bare_answer,
    looks_open,
    only_answers,
    surely_done,
    takes_leave,
    whole_question,
)
from voicebridge.conversation.form import Form, Slot, SlotValue, Understood

OPEN = {
    "en": ["I would like to", "Can I book a", "my number is,", "well...", "so um", "I need it because",
           "the red one and", "It is for my", "I was wondering if…", "and then-",
           "Hello, I", "Um", "I want to speak with", "I'm looking for"],
    "de": ["Ich hätte gern einen", "ich möchte...", "Es geht um meine", "Ich rufe an, weil", "und dann ähm",
           "Ich möchte", "meine Nummer ist", "Können Sie", "ich komme mit dem", "Haben Sie vielleicht eine"],
    "nl": ["Ik wil graag een", "Ik bel omdat", "mijn naam is", "Kunt u", "het gaat om de", "voor mijn"],
    "fr": ["Je voudrais une", "C'est pour l'", "Il me faudrait d'une", "Je vous appelle parce que", "euh",
           "Je voudrais parler à", "mon nom est", "Est-ce que", "Avez-vous des"],
    "es": ["Quisiera una", "Llamo porque", "mi número es el", "Me gustaría", "Quiero hablar con",
           "Tiene usted un", "eh"],
    "it": ["Vorrei una", "Chiamo perché", "Il mio numero è il", "Vorrei parlare con", "Avete delle",
           "ho bisogno", "ehm"],
    "pt": ["Eu queria uma", "Estou ligando porque", "Queria falar com", "o meu nome é", "Vocês têm um", "gostaria de"],
    "pl": ["Chciałbym", "Dzwonię, ponieważ", "Chcę rozmawiać z", "mój numer to", "Czy mogę", "na", "yyy"],
    "sv": ["Jag skulle vilja", "Jag ringer för att", "Mitt namn är", "Har ni en", "det gäller min", "öh"],
    "da": ["Jeg vil gerne", "Jeg ringer fordi", "Mit navn er", "Har I en", "det drejer sig om min", "øh"],
}
CLOSED = {
    "en": ["When are you open?", "I want to book a table.", "yes", "Goodbye", "Where are you at?", "What is this?",
           "Which one is it for?", "What can I do?", "Do you sell bikes", "Garcia, G A R C I A", ""],
    "de": ["Wann machen Sie zu?", "Wann haben Sie geöffnet", "Ich rufe Sie morgen an", "Was kostet das?",
           "Ich hätte gern einen Termin.", "Wo ist das?", "ja", "Ich weiß nicht, ob Sie offen haben"],
    "nl": ["Wanneer bent u open?", "Ik wil een afspraak maken.", "Wat kost dat?", "Ik bel u morgen op", "ja"],
    "fr": ["À quelle heure ouvrez-vous ?", "Je voudrais une table pour deux personnes.", "Combien ça coûte ?", "oui"],
    "es": ["¿A qué hora abren?", "Quisiera una mesa para dos personas.", "¿Cuánto cuesta?", "sí", "no"],
    "it": ["A che ora aprite?", "Vorrei un tavolo per due persone.", "Quanto costa?", "sì"],
    "pt": ["A que horas abrem?", "Queria uma mesa para duas pessoas.", "Quanto custa?", "sim"],
    "pl": ["O której otwieracie?", "Chciałbym zarezerwować stolik.", "Ile to kosztuje?", "tak"],
    "sv": ["När öppnar ni?", "Jag skulle vilja boka ett bord.", "Vad kostar det?", "ja", "Kan ni ringa upp"],
    "da": ["Hvornår åbner I?", "Jeg vil gerne bestille et bord.", "Hvad koster det?", "ja"],
}
QUESTIONS = {
    "en": "What does the big one cost?", "de": "Wann haben Sie morgen geöffnet?", "nl": "Hoe laat gaat u morgen open?",
    "fr": "À quelle heure ouvrez-vous demain ?", "es": "¿Cuánto cuesta el billete sencillo?",
    "it": "Quando siete aperti domani?", "pt": "Quanto custa um bilhete simples?",
    "pl": "Ile kosztuje jeden bilet?", "sv": "När har ni öppet imorgon?", "da": "Hvornår har I åbent imorgen?",
}
LEAVES = {
    "en": ["That's all, thank you.", "Goodbye.", "Okay, thanks, bye!"],
    "de": ["Das war's, vielen Dank.", "Auf Wiederhören."],
    "nl": ["Dat was het, dank u wel.", "Tot ziens."], "fr": ["C'est tout, merci.", "Merci, au revoir."],
    "es": ["Nada más, gracias.", "Adiós."], "it": ["È tutto, grazie.", "Arrivederci."],
    "pt": ["É tudo, obrigado.", "Tchau!"],
    "pl": ["To wszystko, dziękuję.", "Do widzenia."], "sv": ["Det var allt, tack.", "Hej då!"],
    "da": ["Det var alt, tak.", "Farvel."],
}


def each(table):
    return [(text, language) for language, texts in table.items() for text in texts]


@pytest.mark.parametrize(("text", "language"), each(OPEN))
def test_a_sentence_that_cannot_end_here_is_open(text, language):
    assert looks_open(text, language)


@pytest.mark.parametrize(("text", "language"), each(CLOSED))
def test_a_sentence_that_can_is_not(text, language):
    assert not looks_open(text, language)


def test_every_language_has_every_kind_of_ending():
    assert set(LANGUAGES) == set(OPEN) == set(CLOSED) == set(LEAVES) == set(QUESTIONS)
    for table in LANGUAGES.values():
        assert table.open and table.open_phrases and table.askers and table.whole and table.yes and table.no
        assert table.may_close <= table.open | table.open_phrases
        assert not table.yes & table.no


def test_a_full_stop_that_the_recogniser_heard_does_not_close_an_article():
    assert looks_open("I would like a.")
    assert looks_open("Do you have the?")


def test_one_or_two_words_with_a_mark_stay_open():
    assert looks_open("I can.")
    assert looks_open("And.")


def test_a_language_without_a_table_is_judged_by_punctuation_alone():
    assert not looks_open("haluaisin sen ja", "fi")
    assert looks_open("haluaisin...", "fi")
    assert not whole_question("Milloin te olette auki tänään?", "fi")
    assert not takes_leave("goodbye", "fi") and not bare_answer("yes", "fi")


def test_a_language_is_known_by_its_tag():
    assert looks_open("i want to", "en-US") and looks_open("eu queria uma", "pt_BR")
    assert not looks_open("ich möchte,", "de-AT") or looks_open("ich möchte", "de-AT")


@given(st.text(max_size=80), st.sampled_from([*LANGUAGES, "fi", ""]))
def test_anything_can_be_judged(text, language):
    assert looks_open(text + "...", language)
    assert not looks_open(text + " bicycle.", language)
    assert whole_question(text, language) in (True, False) and takes_leave(text, language) in (True, False)


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_whole_question_is_one_only_with_its_mark_and_its_end(language):
    asked = QUESTIONS[language]
    assert whole_question(asked, language)
    assert not whole_question(asked.rstrip(" ?") + ".", language)
    assert not whole_question(" ".join(asked.split()[:2]) + "?", language), "too short to be sure"


def test_a_question_behind_another_sentence_counts_and_an_open_one_does_not():
    assert whole_question("I come by train. How far is it from there?")
    assert not whole_question("Is it far? I come by train.")
    assert not whole_question("How much would it be for a?")
    assert not whole_question("You are open on Mondays?"), "who only sounds like asking may go on"


@pytest.mark.parametrize(("text", "language"), each(LEAVES))
def test_a_goodbye_is_heard(text, language):
    assert takes_leave(text, language)


@pytest.mark.parametrize("text", ["Thank you.", "That's all right", "Nothing else matters to my", "good"])
def test_what_only_sounds_like_a_goodbye_is_none(text):
    assert not takes_leave(text)


def test_a_bare_answer_is_nothing_but_that():
    assert bare_answer("Yes, please.") == "yes" and bare_answer("Nein, danke!", "de") == "no"
    assert bare_answer("Yes, but on Friday") == "" and bare_answer("") == ""


def test_only_what_speaks_may_be_sooner():
    asked = QUESTIONS["en"]
    assert surely_done(asked, "en", "say") and surely_done("goodbye", "en", "end_call")
    assert not surely_done(asked, "en", "end_call")
    assert not any(surely_done(asked, "en", action) for action in ("tool", "handoff", "form", "fallback"))


def test_a_yes_that_starts_something_is_given_its_time():
    yes, no = Understood(answer="yes"), Understood(answer="no")
    slot, confirmation = Slot("smoker", "yes_no"), Slot("", "yes_no")
    assert only_answers("yes", "en", yes, slot) and only_answers("no", "en", no, confirmation)
    assert not only_answers("yes", "en", yes, confirmation) and not only_answers("yes", "en", yes, None)
    assert not only_answers("no tuesday", "en", replace(no, values=(SlotValue("day", "2026-12-01", "Tuesday"),)), slot)


# ---- what the core makes of it

ASKED = "What are your opening hours?"
ASKING = replace(RULED, rules=(*RULED.rules, Rule("asked", (ASKED.lower().strip("?"),), ("From nine to five.",))))


def answered_after(text: str, agent=ASKING, **stage) -> float:
    """From the last voice to the answer."""
    played = Stage(agent, **stage).start().run(2).caller(text, seconds=1.0)
    stopped = played.now - 0.05
    played.run(3)
    return played.said[1][0] - stopped


def test_a_whole_question_that_a_rule_answers_is_answered_sooner():
    limits = AGENT.limits
    assert answered_after(ASKED) == pytest.approx(limits.endpoint_complete_s, abs=0.02)
    assert answered_after(ASKED.strip("?")) == pytest.approx(limits.endpoint_s, abs=0.02)
    assert answered_after(ASKED, sure=False) == pytest.approx(limits.endpoint_unsure_s, abs=0.02)


def test_an_endpoint_that_was_set_short_is_not_made_longer():
    quick = replace(ASKING, limits=replace(AGENT.limits, endpoint_s=0.17))
    assert answered_after(ASKED, quick) == pytest.approx(0.17, abs=0.02)


@pytest.mark.parametrize(("language", "text"), [("de", "ich hätte gern einen"), ("sv", "jag skulle vilja")])
def test_an_open_end_waits_in_the_callers_language(language, text):
    agent = replace(AGENT, language=language)
    assert answered_after(text, agent) == pytest.approx(agent.limits.endpoint_open_s, abs=0.02)
    neutral = replace(AGENT, language="fi")
    assert answered_after(text, neutral) < agent.limits.endpoint_open_s - 0.3


def test_who_goes_on_behind_a_whole_question_is_understood_as_one():
    stage = Stage(ASKING).start().run(2).caller(ASKED, seconds=1.0).run(0.5)
    assert stage.spoken()[1] == "From nine to five."
    stage.caller("on sundays that is", seconds=1.0).run(3)
    assert stage.core.history.exchanges[-1].caller.endswith("on sundays that is")


SLOTS = (Slot("code", "digits", ("Which code?",), least=4, most=4), Slot("dog", "yes_no", ("A dog?",)))
VISIT = Rule("visit", ("visit",), action="form", form="visit")
FORMED = replace(AGENT, rules=(VISIT,), forms=(Form("visit", "book", SLOTS, "{code}, right?"),), model_scope="none")


def form_gap(text: str, said: Understood, before: list[Understood]) -> float:
    """How long behind his last voice the form's next words come."""
    heard = [Understood(), *before, said]
    stage = Stage(FORMED, parse=lambda _: heard[0]).start().run(2)
    stage.caller("visit", seconds=0.6).run(3)
    for understood in before:
        heard[0] = understood
        stage.caller("something", seconds=1.0).run(4)
    heard[0] = said
    count = len(stage.said)
    stage.caller(text, seconds=1.0)
    stopped = stage.now - 0.05
    stage.run(3)
    return stage.said[count][0] - stopped


def test_all_digits_and_a_bare_no_are_taken_sooner_and_a_yes_to_the_confirmation_is_not():
    code = Understood(values=(SlotValue("code", "1234", "1 2 3 4"),))
    dog = Understood(values=(SlotValue("dog", "yes", "yes"),), answer="yes")
    limits = AGENT.limits
    assert form_gap("1 2 3 4", code, []) == pytest.approx(limits.endpoint_complete_s, abs=0.02)
    assert form_gap("no", Understood(answer="no"), [code, dog]) == pytest.approx(limits.endpoint_complete_s, abs=0.02)
    half = Understood(partial="12")
    assert form_gap("1 2", half, []) > limits.endpoint_s

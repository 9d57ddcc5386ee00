"""What a caller's words and keys say to a form: rules and tables, no language model, no clock.

`parse` gives everything that an utterance says to a form's slots (see `voicebridge.conversation.form`). The kinds, in
English:

- **date** (`2026-12-01`): today, tomorrow, the day after tomorrow, Tuesday, this Friday, next Friday (the next week's),
  the third, December the 3rd, the first of December, a week on Monday, Monday week, in two weeks, the last Friday
  of the month, Christmas Eve, 12/3. Never in the past unless the slot has `past = true`.
- **time** (`14:30`): three, half past two, half two, quarter to nine, three thirty p.m., 15:00, noon, two in the
  afternoon, in half an hour. Morning or afternoon by `opens` and `closes`, else 7 to 11 is the morning; never outside
  of them.
- **number** (`4`): four, twenty-one, a dozen, a couple, just me, four of us; within `least` and `most`.
- **digits** (`4407`): four four oh seven, double five, triple two, forty-four, 555-0142, "for" and "to" among digits;
  their count within `least` and `most`.
- **phone** (`+4930123456`): as digits, with plus; 6 to 15 of them unless `least` and `most` say otherwise.
- **name** (`Anna Schmidt`): my name is Anna Schmidt, it's Smith; in "Smith, S M I T H" what is spelled wins.
- **spelled** (`SMITH`): S M I T H, b as in bravo, double t, sierra mike, see aitch, capital A; digits too.
- **email** (`anna@example.com`): anna at example dot com, j o e underscore twelve at g mail dot com.
- **yes_no** (`yes`, `no`): yep, that's right, go ahead, no problem; nope, not quite, I don't think so.
- **choice** (its value): its words or others given for it, the word that only it has, nearly so, "the second one".
- **text** (all of it): without "well, it's that" before it.

Values volunteered for other slots are taken where they cannot be mistaken: "a full service on Friday at three" fills
three. A number that nobody asked for needs its noun ("four people"). "Monday, no, Tuesday" and "not Monday, Tuesday"
are Tuesday. Another language is one file (see `languages`); without one, digits, phone, email, choice, text, times and
numbers in figures and dates (by `dateparser`) are read, names, spelling and yes or no are not: `missing` tells.
"""

from voicebridge.slots.expected import phrases
from voicebridge.slots.keys import keys
from voicebridge.slots.languages import missing, warm
from voicebridge.slots.understanding import parse

__all__ = ["keys", "missing", "parse", "phrases", "warm"]

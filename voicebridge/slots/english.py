"""English."""

from __future__ import annotations

from typing import Final

from voicebridge.slots import answers, leaving, repair
from voicebridge.slots.choices import find_choices
from voicebridge.slots.dates import find_dates
from voicebridge.slots.digits import find_digits, find_phones
from voicebridge.slots.emails import find_emails
from voicebridge.slots.language import Language
from voicebridge.slots.names import find_names
from voicebridge.slots.numbers import find_numbers
from voicebridge.slots.spelling import find_spelled
from voicebridge.slots.texts import find_texts
from voicebridge.slots.times import find_times

ENGLISH: Final = Language(
    code="en",
    readers={
        "date": find_dates, "time": find_times, "number": find_numbers, "digits": find_digits, "phone": find_phones,
        "name": find_names, "spelled": find_spelled, "email": find_emails, "yes_no": answers.find_yes_no,
        "choice": find_choices, "text": find_texts,
    },
    answer=answers.answer, cancels=leaving.cancels, only_cancels=leaving.only_cancels, meta=leaving.meta,
    dropped=repair.dropped, dropped_after=repair.dropped_after, repaired=repair.repaired, corrects=repair.corrects,
    named=repair.named, reserves=repair.reserves,
)

"""The names of days, and what recognisers make of them."""

from __future__ import annotations

from typing import Final

MONTHS: Final = {
    "january": 1, "jan": 1, "february": 2, "feb": 2, "march": 3, "mar": 3, "april": 4, "apr": 4, "may": 5, "june": 6,
    "jun": 6, "july": 7, "jul": 7, "august": 8, "aug": 8, "september": 9, "sept": 9, "sep": 9, "october": 10, "oct": 10,
    "november": 11, "nov": 11, "december": 12, "dec": 12,
}
WEEKDAYS: Final = {name: index for index, name in enumerate(
    ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
)}
SHORT: Final = {"mon": 0, "tue": 1, "tues": 1, "thu": 3, "thur": 3, "thurs": 3, "fri": 4}
RISKY: Final = {"wed": 2, "sat": 5, "sun": 6}
MISHEARD: Final = {
    "thirsty": "thursday", "tuesy": "tuesday", "tozy": "tuesday", "wendsday": "wednesday", "wensday": "wednesday",
    "tumorrow": "tomorrow", "tomato": "tomorrow", "to-morrow": "tomorrow", "freeday": "friday",
}
FUZZY: Final = [*WEEKDAYS, "tomorrow", "january", "february", "august", "september", "october", "november", "december"]
HOLIDAYS: Final = {
    "christmas eve": (12, 24), "christmas day": (12, 25), "christmas": (12, 25), "boxing day": (12, 26),
    "new years eve": (12, 31), "new year's eve": (12, 31), "new years day": (1, 1), "new year's day": (1, 1),
    "new year": (1, 1), "valentine's day": (2, 14), "valentines day": (2, 14), "halloween": (10, 31),
    "st patrick's day": (3, 17), "independence day": (7, 4), "the 4 of july": (7, 4),
}

"""Number words of several languages, as those say them who read a number out: digit by digit, in pairs, "double seven".

Words are looked up folded: lower case, without accents. The languages stand in one table: which one is spoken is not
always known, and five number words in a row are a number in any.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import Final

_UNITS: Final = """
    zero one two three four five six seven eight nine; nought; naught
    null eins zwei drei vier funf sechs sieben acht neun; _ ein zwo _ _ fuenf; _ eine; _ einen
    zero un deux trois quatre cinq six sept huit neuf; _ une
    cero uno dos tres cuatro cinco seis siete ocho nueve; _ una
    zero uno due tre quattro cinque sei sette otto nove
    nul een twee drie vier vijf zes zeven acht negen
    zero um dois tres quatro cinco seis sete oito nove; _ uma duas _ _ _ meia
    noll ett tva tre fyra fem sex sju atta nio
    zero jeden dwa trzy cztery piec szesc siedem osiem dziewiec
    nul _ _ tre _ fem seks syv otte ni
    oh
"""
_TEENS: Final = """
    ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen
    zehn elf zwolf dreizehn vierzehn funfzehn sechzehn siebzehn achtzehn neunzehn; _ _ zwoelf _ _ fuenfzehn
    _ onze douze treize quatorze quinze seize
    diez once doce trece catorce quince dieciseis diecisiete dieciocho diecinueve
    dieci undici dodici tredici quattordici quindici sedici diciassette diciotto diciannove
    tien elf twaalf dertien veertien vijftien zestien zeventien achttien negentien
    dez onze doze treze quatorze quinze dezesseis dezessete dezoito dezenove; _ _ _ _ _ _ dezasseis dezassete
    tio elva tolv tretton fjorton femton sexton sjutton arton nitton
"""
_TENS: Final = """
    twenty thirty forty fifty sixty seventy eighty ninety; _ _ fourty
    zwanzig dreissig vierzig funfzig sechzig siebzig achtzig neunzig; _ _ _ fuenfzig
    vingt trente quarante cinquante soixante septante huitante nonante; vingts _ _ _ _ _ octante
    veinte treinta cuarenta cincuenta sesenta setenta ochenta noventa
    venti trenta quaranta cinquanta sessanta settanta ottanta novanta
    twintig dertig veertig vijftig zestig zeventig tachtig negentig
    vinte trinta quarenta cinquenta sessenta setenta oitenta noventa
    tjugo trettio fyrtio femtio sextio sjuttio attio nittio
"""
_COMPOUNDS: Final = re.compile(
    r"(?P<unit>ein|zwei|drei|vier|fu?e?nf|sechs|sieben|acht|neun)und"
    r"(?P<tens>zwanzig|dreissig|vierzig|fu?e?nfzig|sechzig|siebzig|achtzig|neunzig)"
    r"|(?P<unit2>een|twee|drie|vier|vijf|zes|zeven|acht|negen)en"
    r"(?P<tens2>twintig|dertig|veertig|vijftig|zestig|zeventig|tachtig|negentig)"
    r"|(?P<tens3>vent|trent|quarant|cinquant|sessant|settant|ottant|novant)[aio]?"
    r"(?P<unit3>uno|un|due|tre|quattro|cinque|sei|sette|otto|nove)"
    r"|(?P<tens4>veinti)(?P<unit4>uno|un|dos|tres|cuatro|cinco|seis|siete|ocho|nueve)"
)
TIMES: Final = {
    "double": 2, "triple": 3, "treble": 3, "doble": 2, "doppio": 2, "doppia": 2, "triplo": 3, "duplo": 2, "dubbel": 2,
    "dubbele": 2, "doppel": 2, "zweimal": 2, "dreimal": 3, "dobbelt": 2, "dubbelt": 2,
}  # fmt: skip
SCALES: Final = frozenset(
    ["hundred", "thousand", "hundert", "tausend", "cent", "cents", "mille", "mil", "cien", "ciento", "cento", "cem",
     "mila", "honderd", "duizend", "hundra", "tusen"]
)  # fmt: skip
"""Their noughts are not said: "two hundred five" goes on, and counts for two digits."""
LINKS: Final = frozenset(("and", "und", "y", "et", "e", "en", "och"))
"""Between tens and ones ("noventa y uno"), and between digits."""
PAUSES: Final = frozenset(
    ("um", "uh", "er", "erm", "ah", "eh", "mm", "hmm", "then", "dash", "hyphen", "point", "dot", "plus", "space",
     "euh", "ahm", "bindestrich")
)  # fmt: skip
"""Said between digits: "four two, um, one"."""
MAYBE: Final = {
    "o": "0", "to": "2", "too": "2", "for": "4", "won": "1", "ate": "8", "tree": "3", "fire": "4", "en": "1", "et": "1",
}  # fmt: skip
"""What a recogniser makes of a digit, and words that are one in another language."""


def _table(text: str, first: int, digits: int) -> dict[str, str]:
    """Word -> digits. `_` leaves a place out."""
    made: dict[str, str] = {}
    for row in text.replace(";", "\n").splitlines():
        for place, word in enumerate(row.split(), first):
            made[word] = str(place)[:digits]
    made.pop("_", None)
    return made


UNITS: Final = _table(_UNITS, 0, 1)
TEENS: Final = _table(_TEENS, 10, 2)
TENS: Final = _table(_TENS, 2, 1) | {"dix": "1"}
"""The first digit: a unit may follow."""
_STEMS: Final = {word[:-1]: digit for word, digit in TENS.items()} | {"veinti": "2"}


@lru_cache(maxsize=4096)
def folded(word: str) -> str:
    """Lower case, without accents: "Fünf" is "funf"."""
    plain = unicodedata.normalize("NFKD", word.casefold())
    return "".join(char for char in plain if not unicodedata.combining(char))


@lru_cache(maxsize=1024)
def compound(word: str) -> str:
    """The two digits of a folded word like "siebenundvierzig", "tweeëntwintig", "trentadue"; "" of any other."""
    found = _COMPOUNDS.fullmatch(word)
    if found is None:
        return ""
    unit = next(value for name, value in found.groupdict().items() if name.startswith("unit") and value)
    tens = next(value for name, value in found.groupdict().items() if name.startswith("tens") and value)
    return (TENS.get(tens) or _STEMS[tens]) + UNITS.get(unit, "1")

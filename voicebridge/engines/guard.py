"""Words that are data stay data: no text can speak the language of a model's chat template.

Template markers (`<|im_start|>`, `</s>`, `[INST]`, `<start_of_turn>`, `<tool_call>` ...) in a prompt are read as such
wherever they stand, also inside what a caller said or a tool found: they could end his turn and begin a system's. A
blank inside breaks every one of them, known or not, and changes nothing that is heard or is valid JSON.
"""

from __future__ import annotations

import re

# Every marker of the families of templates in use opens with an angle bracket and something at once behind it (also
# full-width ones), or is a word in square brackets.
_ANGLE = re.compile(r"([<\uff1c])(?=\S)")
_SQUARE = re.compile(r"\[(?=/?[A-Za-z_][A-Za-z0-9_ ]*\])")
# Templates without markers tell the roles by what a line begins with ("### Instruction:", "USER:").
_LINE_ENDS = re.compile(r"[\r\n\v\f\x1c-\x1e\x85\u2028\u2029]+")


def harmless(text: str) -> str:
    """`text` without a template's markers."""
    if "<" not in text and "[" not in text and "\uff1c" not in text:
        return text
    return _SQUARE.sub("[ ", _ANGLE.sub(r"\1 ", text))


def one_line(text: str) -> str:
    """`text` as harmless data of one line; JSON stays valid JSON."""
    return harmless(_LINE_ENDS.sub(" ", text)).strip()


def whole(text: str) -> str:
    """`text` without halves of surrogate pairs: JSON may hold them, and nothing that is sent or written can."""
    return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")

"""The words of an answer as its tokens come: whole characters, up to a stop word."""

from __future__ import annotations

import codecs
from collections.abc import Sequence


class Wording:
    """One answer's text. What may be the beginning of a stop word is held back until that is known."""

    def __init__(self, stops: Sequence[str] = ()) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._stops = tuple(stop for stop in stops if stop)
        self._held = ""
        self.stopped = False

    def add(self, piece: bytes) -> str:
        """A token's bytes; gives what can be said of the text so far."""
        return self._said(self._decoder.decode(piece), whole=False)

    def finish(self) -> str:
        """Nothing more comes."""
        return self._said(self._decoder.decode(b"", True), whole=True)

    def _said(self, text: str, *, whole: bool) -> str:
        if self.stopped:
            return ""
        text, self._held = self._held + text, ""
        found = [at for stop in self._stops if (at := text.find(stop)) >= 0]
        if found:
            self.stopped = True
            return text[: min(found)]
        if whole:
            return text
        begun = max((_begun(text, stop) for stop in self._stops), default=0)
        if begun:
            text, self._held = text[:-begun], text[-begun:]
        return text


def _begun(text: str, stop: str) -> int:
    """How many characters at the end of the text may be the beginning of the stop word."""
    return next((size for size in range(min(len(stop) - 1, len(text)), 0, -1) if text.endswith(stop[:size])), 0)

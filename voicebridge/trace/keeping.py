"""Keeps a call's event log while the call runs: redacted, whatever pieces a number comes in.

The steps between two utterances are a block. Where somebody tells a number in it (in partial transcripts, over several
pieces of the model's text or clauses, or going on with the block before), every digit of the block goes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from voicebridge.conversation import commands as cmd
from voicebridge.conversation import events as ev
from voicebridge.trace import eventlog
from voicebridge.trace.eventlog import Step
from voicebridge.trace.privacy import Privacy
from voicebridge.trace.redaction import LEAST, NUMBERED, redact_parts

A_TIME = 4
"""So many steps are made lines of with each new one: no turn's end costs the media clock a frame."""


@dataclass
class _Kept:
    step: Step
    masked: bool
    numbered: bool
    text: str | None = None  # of a piece of the model's, without what is hidden


@dataclass
class _Block:
    steps: list[_Kept] = field(default_factory=list)
    said: str = ""
    tight: bool = False


class Keeping:
    """Of one call. `head` is the log's first line."""

    def __init__(self, privacy: Privacy, head: str) -> None:
        self._privacy = privacy
        self._lines = [head]
        self._before, self._block = _Block(), _Block()
        self._ready: deque[tuple[_Kept, int]] = deque()

    def add(self, step: Step, *, masked: bool = False, volunteered: bool = False, asked: str = "") -> None:
        """`masked`: it holds a secret; `volunteered`: so does all of this utterance. `asked`: the kind of slot that
        the caller was asked for when it came."""
        if volunteered:
            for kept in self._block.steps:
                kept.masked = True
        listens = [command for command in step.commands if isinstance(command, cmd.Listen)]
        if listens:
            self._close_block()
            slot = listens[-1].slot
            self._block.tight = slot is not None and slot.kind in (*NUMBERED, "email")
        self._block.steps.append(_Kept(step, masked, asked in NUMBERED))
        if isinstance(step.event, ev.TranscriptReady):
            self._block.said = step.event.text
        for _ in range(min(A_TIME, len(self._ready))):
            self._make(*self._ready.popleft())

    def lines(self) -> list[str]:
        """All of it, once the call is over."""
        self._close_block()
        self._close_block()
        while self._ready:
            self._make(*self._ready.popleft())
        return self._lines

    def _close_block(self) -> None:
        before, block = self._before, self._block
        spoken = redact_parts((before.said, block.said), self._privacy.redact, glue=". ")
        goes_on = all(part.hidden for part in spoken)
        before.tight = before.tight or goes_on
        block.tight = block.tight or goes_on or self._tells_number(block.steps)
        self._model_text(before)
        self._ready.extend((kept, 1 if before.tight or kept.numbered else LEAST) for kept in before.steps)
        self._before, self._block = block, _Block()

    def _tells_number(self, steps: Iterable[_Kept]) -> bool:
        """Whether a number, or an address, is told in any way."""
        heard, ours, pieces, keys = [], [], [], 0
        for kept in steps:
            match kept.step.event:
                case ev.TranscriptReady(_, text):
                    heard.append(text)
                case ev.ModelText(_, text):
                    pieces.append(text)
                case ev.Dtmf():
                    keys += 1
                case _:
                    pass
            ours += [command.text for command in kept.step.commands if isinstance(command, cmd.Synthesize)]
        texts = (*heard, " ".join(ours), "".join(pieces))
        return keys >= LEAST or any(self._privacy.text(text) != text for text in texts)

    def _model_text(self, block: _Block) -> None:
        """A number in pieces of the model's text stands hidden where it begins."""
        by_generation: dict[int, list[_Kept]] = {}
        for kept in block.steps:
            if isinstance(kept.step.event, ev.ModelText):
                by_generation.setdefault(kept.step.event.generation, []).append(kept)
        least = 1 if block.tight else LEAST
        for kepts in by_generation.values():
            pieces = [kept.step.event.text for kept in kepts if isinstance(kept.step.event, ev.ModelText)]
            told = redact_parts(pieces, self._privacy.redact, glue="", least=least, echo=False)
            for kept, piece in zip(kepts, told, strict=True):
                kept.text = piece.text

    def _make(self, kept: _Kept, least: int) -> None:
        self._lines.append(
            eventlog.line(
                kept.step, masked=kept.masked, kinds=self._privacy.redact, least=least, model_text=kept.text,
                keys=kept.numbered or (least < LEAST and not _acted_on(kept.step)),
            )
        )  # fmt: skip


def _acted_on(step: Step) -> bool:
    """Whether a key meant something by itself: a menu's, the one for a human."""
    return any(not isinstance(command, cmd.SetTimer | cmd.CancelTimer) for command in step.commands)

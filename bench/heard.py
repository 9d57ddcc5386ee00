"""Barge-ins: how soon the agent stops, and whether the record holds the words that were heard and no others.

    python -m bench.heard                  20 barge-ins at varied moments
    python -m bench.heard --json

What was heard is found without anything of the daemon's own books. A first call lets each answer be said whole: that
is the reference. In the call with the barge-ins, the ends of the agent's voiced stretches are looked for in the
reference (correlation of the samples): the furthest one is how far the caller heard it. Which word that is comes from
aligning the reference with the answer's words, each spoken alone by the same voice, by dynamic time warping of their
spectra: none of the engine's word marks, which the playout ledger counts by, has a part in it. A word counts as heard
when its middle was.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
import numpy.typing as npt
import uvloop
from numpy.lib.stride_tricks import sliding_window_view
from rich.console import Console
from rich.table import Table

from bench.calls import BENCH, RATE, Round, Turn, spread
from bench.machine import machine
from voicebridge import plugins
from voicebridge.audio.measure import voiced_spans
from voicebridge.audio.pcm import samples
from voicebridge.audio.resample import resample_segment
from voicebridge.cli.testcall import recorded_sentence, running_daemon, wait_for_record
from voicebridge.conversation.spoken import speak
from voicebridge.engines.base import Voice
from voicebridge.phone import Heard, Line, Phone, read_wav
from voicebridge.trace.store import CallStore

Signal = npt.NDArray[np.float64]
Spectra = npt.NDArray[np.float64]

STOP_TARGET_S = 0.3
"""p95 of the time from the caller's first voiced sample to the agent's last."""
SHARE_TARGET = 0.95
EARLIEST_S, LATEST_S = 0.5, 6.0
RESERVE_S = 1.2
"""A barge-in begins at least so long before the answer's end."""
HOP_S = 0.010
WINDOW_S = 0.025
BANDS = 24
STRETCH = 3
"""A word in a sentence is at most so many times quicker than alone."""
TAIL_S = 0.20
ALIKE = 0.8
"""Correlation from which a stretch is a piece of the reference."""
BEFORE_S = 0.1
GIVE_UP_S = 20.0


@dataclass(frozen=True)
class Reference:
    """An answer as it is when nobody interrupts: `middles` are its words' middles, in samples of `pcm`."""

    text: str
    pcm: bytes
    middles: tuple[float, ...]

    def words_until(self, sample: int) -> int:
        return sum(middle <= sample for middle in self.middles)


@dataclass(frozen=True)
class Cut:
    """One barge-in. `heard` and `recorded` are numbers of words; `stop_s` from his first voice to our last."""

    answer: str
    after_s: float
    stop_s: float
    words: int
    heard: int
    recorded: int
    a_prefix: bool

    @property
    def right(self) -> bool:
        return self.a_prefix and abs(self.heard - self.recorded) <= 1


# ---- which word is where


def spectra(signal: Signal, rate: int) -> Spectra:
    """Log energies in bands, one row each 10 ms; without their mean, so that loudness does not count."""
    size, hop = round(WINDOW_S * rate), round(HOP_S * rate)
    padded = np.concatenate([signal, np.zeros(size)])
    windows = sliding_window_view(padded, size)[::hop] * np.hanning(size)
    power = np.abs(np.fft.rfft(windows, 512)) ** 2
    edges = np.unique(np.geomspace(4, power.shape[1] - 1, BANDS + 1).astype(int))
    bands = np.add.reduceat(power, edges[:-1], axis=1)
    made = np.log(bands + 1e-4 * float(bands.mean()) + 1e-12)
    return np.asarray(made - made.mean(), np.float64)


def warped(whole: Spectra, parts: Spectra) -> npt.NDArray[np.int64]:
    """For each row of `whole` the row of `parts` that it is: monotone, both ends fixed, 0 to STRETCH rows a step."""
    cost = np.linalg.norm(whole[:, None, :] - parts[None, :, :], axis=2)
    rows, columns = cost.shape
    best = np.full(columns, np.inf)
    best[0] = cost[0, 0]
    came = np.zeros((rows, columns), np.int64)
    for row in range(1, rows):
        moved = np.full((STRETCH + 1, columns), np.inf)
        for step in range(STRETCH + 1):
            moved[step, step:] = best[: columns - step]
        came[row] = moved.argmin(axis=0)
        best = moved.min(axis=0) + cost[row]
    path = np.zeros(rows, np.int64)
    path[-1] = columns - 1
    for row in range(rows - 1, 0, -1):
        path[row - 1] = path[row] - came[row, path[row]]
    return path


def word_middles(whole: bytes, words: Sequence[bytes], rate: int) -> tuple[float, ...]:
    """Samples at which the words' middles lie in `whole`; `words` are the same ones, spoken one by one."""
    alone = [samples(_voiced(word, rate)).astype(np.float64) for word in words]
    rows = [spectra(word, rate)[: max(1, round(len(word) / rate / HOP_S))] for word in alone]
    owner = np.repeat(np.arange(len(rows)), [len(row) for row in rows])
    path = owner[warped(spectra(samples(whole).astype(np.float64), rate), np.concatenate(rows))]
    middles: list[float] = []
    for number in range(len(rows)):
        inside = np.flatnonzero(path == number)
        middles.append((inside[0] + inside[-1] + 1) / 2 if len(inside) else (middles[-1] if middles else 0.0))
    return tuple(float(middle) * HOP_S * rate for middle in middles)


def _voiced(pcm: bytes, rate: int) -> bytes:
    spans = voiced_spans(pcm, rate)
    return pcm[2 * spans[0][0] : 2 * spans[-1][1]] if spans else pcm


async def spoken(texts: Sequence[str], rate: int) -> list[bytes]:
    """Texts by the embedded voice, in an engine of our own, each as if it were all there is to say."""
    engine = plugins.load("tts", "espeak").create({})
    await engine.start()
    made = []
    try:
        for text in texts:
            until = time.monotonic() + GIVE_UP_S
            speech = await engine.synthesize(speak(text).text, voice=Voice(), deadline=until, give_up=until)
            made.append(resample_segment(speech.pcm, speech.rate, rate))
    finally:
        await engine.stop()
    return made


# ---- how far it was heard


def place(piece: Signal, whole: Signal) -> tuple[int, float]:
    """Where in `whole` the piece begins, and how alike they are there (1: the same)."""
    if len(piece) > len(whole) or not piece.any():
        return 0, 0.0
    size = 1 << (len(piece) + len(whole)).bit_length()
    product = np.fft.irfft(np.fft.rfft(whole, size) * np.conj(np.fft.rfft(piece, size)), size)
    energy = np.concatenate([[0.0], np.cumsum(whole * whole)])
    inside = energy[len(piece) :] - energy[: -len(piece)]
    own = float(np.sum(piece * piece))
    likeness = np.where(inside > 0.1 * own, product[: len(inside)] / np.sqrt(np.maximum(inside, 1.0) * own), 0.0)
    at = int(likeness.argmax())
    return at, float(likeness[at])


def heard_until(track: bytes, reference: bytes, rate: int) -> int:
    """The furthest sample of the reference that is on the track: the ends of its voiced stretches are looked for."""
    heard, whole = samples(track).astype(np.float64), samples(reference).astype(np.float64)
    furthest = 0
    for first, end in voiced_spans(track, rate, join_s=0.05):
        piece = heard[max(first, end - round(TAIL_S * rate)) : end]
        at, likeness = place(piece, whole)
        if likeness >= ALIKE:
            furthest = max(furthest, at + len(piece))
    return furthest


# ---- calls


def questions() -> list[Line]:
    """Recorded questions of one sentence each that rules answer at length."""
    files = [BENCH / "exam" / "wav" / f"{name}.wav" for name in ("q18", "q06", "q24")]
    return [recorded_sentence(), *(Line(file.stem, read_wav(file, RATE)) for file in files)]


def answered(turns: Sequence[Turn]) -> tuple[str, str]:
    """What the agent wanted to say in the turns of one line, and what of it was heard by the record."""
    said = [p for turn in turns for p in turn["said"] if p["kind"] == "answer" and p["at"] is not None]
    return " ".join(p["text"].strip() for p in said), " ".join(p["heard"].strip() for p in said if p["heard"].strip())


def agent_track(heard: Heard, number: int) -> bytes:
    """The agent's track from line `number`'s last voice to shortly before the next line's answer (or the end)."""
    begin = heard.position(heard.lines[number].last_voice)
    end = len(heard.agent) // 2
    if number + 1 < len(heard.lines):
        following = heard.lines[number + 1]
        end = heard.position(following.answer if following.answer is not None else following.last_voice)
        end -= round(BEFORE_S * RATE)
    return bytes(heard.agent[2 * begin : 2 * end])


async def references(made: Round) -> list[Reference]:
    """From a call in which every answer was said whole."""
    found = []
    for number, (_, turns) in enumerate(made.turns()):
        text, recorded = answered(turns)
        if not text or text != recorded:
            raise RuntimeError(f"line {number} was not answered whole: {text!r}, heard {recorded!r}")
        pcm = _voiced(agent_track(made.heard, number), RATE)
        found.append(Reference(text, pcm, word_middles(pcm, await spoken(text.split(), RATE), RATE)))
    return found


def cuts(made: Round, known: Sequence[Reference]) -> list[Cut]:
    """What came of the barge-ins: line n interrupts the answer to line n-1."""
    found = []
    for number, ((_, turns), (line, _)) in enumerate(itertools.pairwise(made.turns())):
        text, recorded = answered(turns)
        reference = next((known_one for known_one in known if text and known_one.text.startswith(text)), None)
        if line.line.barge_in_s is None or line.agent_stopped is None or reference is None:
            continue
        until = heard_until(agent_track(made.heard, number), reference.pcm, RATE)
        found.append(
            Cut(
                reference.text,
                line.line.barge_in_s,
                round(line.agent_stopped - line.first_voice, 3),
                len(reference.middles),
                reference.words_until(until),
                len(recorded.split()),
                reference.text.startswith(recorded),
            )
        )
    return found


def plan(asked: Sequence[Line], known: Sequence[Reference], count: int) -> list[Line]:
    """Questions in turn; each but the first comes in the middle of the answer before, at another moment each time."""
    lines = [asked[0]]
    for number in range(count):
        latest = min(LATEST_S, len(known[number % len(known)].pcm) / 2 / RATE - RESERVE_S)
        share = (number * 0.618 + 0.1) % 1.0  # golden ratio: spread evenly, whatever the count
        line = asked[(number + 1) % len(asked)]
        lines.append(Line(line.label, line.pcm, round(EARLIEST_S + share * (latest - EARLIEST_S), 2)))
    return lines


def call(port: int, store: Path, lines: Sequence[Line]) -> Round:
    heard = uvloop.run(Phone("127.0.0.1", port).call(lines))
    return Round(heard, wait_for_record(CallStore(store, keep_days=1), heard.call_id))


def measure(port: int, store: Path, count: int, asked: Sequence[Line]) -> list[Cut]:
    """A call for the references, then one with `count` barge-ins."""
    known = asyncio.run(references(call(port, store, asked)))
    return cuts(call(port, store, plan(asked, known, count)), known)


def report(made: Sequence[Cut], asked: int) -> dict[str, Any]:
    return {
        "asked": asked,
        "measured": len(made),
        "within_one_word": round(sum(cut.right for cut in made) / asked, 3),
        "exactly": round(sum(cut.heard == cut.recorded for cut in made) / asked, 3),
        "barge_in_stop_s": spread([cut.stop_s for cut in made]),
        "cuts": [asdict(cut) for cut in made],
        **machine(),
    }


def good(told: dict[str, Any]) -> bool:
    stop = told["barge_in_stop_s"].get("p95", float("inf"))
    return bool(told["within_one_word"] >= SHARE_TARGET and stop <= STOP_TARGET_S)


def show(console: Console, made: Sequence[Cut], told: dict[str, Any]) -> None:
    table = Table("begins", "stops after", "words heard", "recorded", "of", "", title=f"{told['machine']}")
    for cut in made:
        mark = "[green]ok[/]" if cut.right else "[red]WRONG[/]"
        numbers = (str(number) for number in (cut.heard, cut.recorded, cut.words))
        table.add_row(f"{cut.after_s:.2f} s", f"{cut.stop_s:.2f} s", *numbers, mark)
    console.print(table)
    stop = told["barge_in_stop_s"]
    console.print(
        f"{told['measured']} of {told['asked']} barge-ins measured, {told['within_one_word']:.0%} within one word, "
        f"{told['exactly']:.0%} exactly; silence after p50 {stop.get('p50', 0):.2f} s, p95 {stop.get('p95', 0):.2f} s "
        f"(target {STOP_TARGET_S} s)"
    )


@click.command()
@click.option("--barge-ins", default=20, show_default=True)
@click.option("--json", "as_json", is_flag=True)
def main(barge_ins: int, as_json: bool) -> None:
    """Interrupt the agent in the middle of its answers."""
    with Console(stderr=True).status(f"{barge_ins} barge-ins ..."), running_daemon(None, ["--agent", "demo"]) as daemon:
        made = measure(*daemon, barge_ins, questions())
    told = report(made, barge_ins)
    if as_json:
        click.echo(json.dumps(told))
    else:
        show(Console(), made, told)
    sys.exit(0 if good(told) else 1)


if __name__ == "__main__":
    main()

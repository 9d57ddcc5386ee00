"""`voicebridge measure`: how long the caller waited, from a recording alone."""

from __future__ import annotations

import json
import sys
import wave
from pathlib import Path
from typing import Any, NoReturn

import click
import numpy as np
from rich.console import Console
from rich.table import Table

from voicebridge.audio.measure import BELOW_PEAK_DB
from voicebridge.audio.pcm import FULL_SCALE, samples
from voicebridge.audio.turns import Measured, measure
from voicebridge.load.plot import Chart
from voicebridge.load.report import spread

FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
TOO_FULL = 0.95
"""A track that is voiced for more of the time has a background that is."""
COLUMNS = 700
LEAST_RATE = 4_000
"""Hz; no telephony has less."""


@click.command("measure")
@click.argument("recording", type=FILE)
@click.argument("agent", type=FILE, required=False)
@click.option("--caller", "side", type=click.Choice(["left", "right"]), default="left", show_default=True,
              help="Where the caller is on a stereo recording.")
@click.option("--below-peak", type=click.FloatRange(10, 60), default=-BELOW_PEAK_DB, show_default=True, metavar="DB",
              help="Voice is what is louder than so many dB below the loudest; less where the line is noisy.")
@click.option("--plot", type=click.Path(dir_okay=False, path_type=Path), help="Write a picture (SVG).")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def measure_command(
    recording: Path, agent: Path | None, side: str, below_peak: float, plot: Path | None, as_json: bool
) -> None:
    """Measure the response gaps, silences, interruptions and levels of a recorded call, by its sound alone.

    RECORDING is a stereo WAV with the caller on one side and the agent on the other, as voicebridge itself records; or
    the caller's track, with the AGENT's as a second file, as Asterisk makes them:
    MixMonitor(x.wav,r(caller.wav)t(agent.wav)S). The S keeps the two in step.

    docs/measuring.md tells the method and what it cannot know.
    """
    caller, other, rate = _tracks(recording, agent, side)
    made = measure(caller, other, rate, below_peak_db=-below_peak)
    console = Console(stderr=as_json, highlight=False)
    if plot is not None:
        try:
            plot.write_text(picture(made, caller, other, rate), encoding="utf-8")
        except OSError as error:
            _fail(f"{plot}: {error.strerror}")
        console.print(f"the picture: {plot}", markup=False)
    if as_json:
        click.echo(json.dumps(as_dict(made)))
    else:
        _show(console, made)
    for name, level in made.levels.items():
        if level.voiced > TOO_FULL:
            cure = "measure with --below-peak 25, or less"
            click.echo(f"voicebridge: the {name} is never silent, so his background counts as voice: {cure}", err=True)
    if not made.caller or not made.agent:
        nobody = "the caller" if not made.caller else "the agent"
        _fail(f"{nobody} is not heard on this recording: is --caller right, is each side on a track of its own?")


def _fail(text: str) -> NoReturn:
    click.echo(f"voicebridge: {text}", err=True)
    sys.exit(1)


def _tracks(recording: Path, agent: Path | None, side: str) -> tuple[bytes, bytes, int]:
    first, rate = _read(recording)
    if agent is not None:
        second, other = _read(agent)
        if rate != other:
            _fail(f"{recording} has {rate} samples a second, {agent} {other}: they are not of one call")
        if {first.shape[1], second.shape[1]} != {1}:
            _fail("two files are two mono tracks; a stereo recording is one file")
        return first.tobytes(), second.tobytes(), rate
    if first.shape[1] != 2:
        _fail(f"{recording} has {first.shape[1]} channel(s): a stereo file is needed, or a second file with the agent")
    left, right = first[:, 0].tobytes(), first[:, 1].tobytes()
    return (left, right, rate) if side == "left" else (right, left, rate)


def _read(path: Path) -> tuple[Any, int]:
    try:
        with wave.open(str(path), "rb") as wav:
            if wav.getsampwidth() != 2:
                bits = 8 * wav.getsampwidth()
                _fail(f"{path} has {bits} bits a sample, 16 are needed: sox {path.name} -b 16 new.wav")
            if wav.getframerate() < LEAST_RATE:
                _fail(f"{path} says that it has {wav.getframerate()} samples a second: its header is damaged")
            data = samples(wav.readframes(wav.getnframes()))
            return data.reshape(-1, wav.getnchannels()), wav.getframerate()
    except (OSError, EOFError, ValueError, wave.Error) as error:
        _fail(f"{path} is no WAV file of plain samples ({error}): sox {path.name} -e signed -b 16 new.wav")


def as_dict(made: Measured) -> dict[str, Any]:
    return {
        "seconds": round(made.seconds, 3),
        "gap_s": spread(made.gaps),
        "turns": [
            {"begins": round(one.begins, 3), "last_voice": round(one.last_voice, 3), "answer": _rounded(one.answer),
             "gap_s": _rounded(one.gap_s), "barge_in_stop_s": _rounded(one.stop_s)} for one in made.exchanges
        ],
        "unanswered": sum(one.answer is None for one in made.exchanges),
        "silences": [
            {"at": round(one.at, 3), "seconds": round(one.seconds, 3), "turn": one.turn} for one in made.silences
        ],
        "agent_interrupted": made.agent_interrupted,
        "words_between": made.words_between,
        "levels": {
            side: {"peak_dbfs": level.peak_db, "voice_dbfs": level.voice_db, "voiced": round(level.voiced, 3),
                   "clipped_samples": level.clipped} for side, level in made.levels.items()
        },
    }  # fmt: skip


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)


def _show(console: Console, made: Measured) -> None:
    table = Table("turn", "caller", "last voice", "answer", "gap", "")
    for number, one in enumerate(made.exchanges, 1):
        stop = "" if one.stop_s is None else f"interrupted the agent, who stopped after {one.stop_s:.2f} s"
        answer, gap = ("none", "") if one.answer is None else (f"{one.answer:.2f}", f"{one.gap_s:.3f}")
        table.add_row(str(number), f"{one.begins:.2f}", f"{one.last_voice:.2f}", answer, gap, stop)
    console.print(table)
    gaps = spread(made.gaps)
    if gaps["n"]:
        numbers = ", ".join(f"{key} {gaps[key]:.3f} s" for key in ("p50", "p95", "max"))
        console.print(f"response gap over {gaps['n']} turns: [bold]{numbers}[/]")
    waits = [one for one in made.silences if one.turn == "agent"]
    for wait in waits[:3]:
        console.print(f"silence of {wait.seconds:.2f} s at {wait.at:.2f} s, the agent's turn")
    console.print(
        f"the agent began {made.agent_interrupted} times while the caller spoke; "
        f"the caller said {made.words_between} things that the agent spoke over"
    )
    for side, level in made.levels.items():
        clipped = f", {level.clipped} samples clipped" if level.clipped else ""
        loud = f"voice {level.voice_db:.0f} dBFS, peak {level.peak_db:.0f} dBFS"
        console.print(f"{side}: {loud}, {level.voiced:.0%} of the time{clipped}")


def picture(made: Measured, caller: bytes, agent: bytes, rate: int) -> str:
    """Both tracks over time: the caller above, the agent below, gaps marked."""
    chart = Chart(
        "Who spoke when", (0, made.seconds), (-2.2, 2.2), x_label="seconds", y_label="", height=300
    )
    for zero, track, colour, name in ((1.1, caller, "a", "caller"), (-1.1, agent, "c", "agent")):
        chart.line(_envelope(track, rate, zero), colour, name)
    for one in made.exchanges:
        if one.answer is not None:
            chart.band(one.last_voice, one.answer, -2.2, 2.2, "b", "response gap")
            chart.text((one.last_voice + one.answer) / 2, -0.05, f"{one.gap_s:.2f}")
    return chart.svg()


def _envelope(pcm: bytes, rate: int, zero: float) -> list[tuple[float, float]]:
    data = np.abs(samples(pcm).astype(np.float64)) / FULL_SCALE
    step = max(1, len(data) // COLUMNS)
    peaks = [(at / rate, float(data[at : at + step].max())) for at in range(0, len(data), step)]
    loudest = max((peak for _, peak in peaks), default=0.0) or 1.0
    return [point for at, peak in peaks for point in ((at, zero - peak / loudest), (at, zero + peak / loudest))]

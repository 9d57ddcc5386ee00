"""Voices what the callers of calls.toml say: wav/<call>_<what>.wav, 8 kHz G.711 mu-law, mono.

<what> is opening, yes, no or change, or else answer_, repeat_ or correct_ with the name of the value: answer_day. Needs
what bench/exam/make_wavs.py needs. Run `python bench/errands/make_wavs.py` to remake all the files, with `--check` only
to measure those there.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1]))

from bench.exam import make_wavs as exam  # noqa: E402

LONGEST_TOTAL_BYTES = 7_000_000
MARGIN_S = 0.04
"""Silence left before and after the speech."""
LONGEST_PAUSE_S = 0.35
"""What is longer between words is cut to this: all the files are to stay under `LONGEST_TOTAL_BYTES`."""
PEAK_DBFS = -0.5
"""The highest sample allowed: 3 dB above the exam's, so that voices with high peaks come nearer to its level."""
SINGLE = ("opening", "yes", "no", "change")
TABLES = {"answers": "answer", "repeat": "repeat", "corrections": "correct"}
SPELLED = re.compile(r"\b[A-Z](?: [A-Z]){2,}\b")


@dataclass(frozen=True)
class Line:
    """One utterance of a call: its text, the voice (`synthesiser/voice`) and the file it goes to."""

    text: str
    voice: str
    path: Path


def lines(calls: list[dict[str, Any]], folder: Path) -> list[Line]:
    """All that the callers may say, call by call."""
    found = []
    for call in calls:
        said = {what: call[what] for what in SINGLE if what in call}
        for table, prefix in TABLES.items():
            said |= {f"{prefix}_{value}": text for value, text in call.get(table, {}).items()}
        found += [Line(text, call["voice"], folder / f"{call['id']}_{what}.wav") for what, text in said.items()]
    return found


def pronounced(text: str, voice: str) -> str:
    """The text with the letter A of spelled words written as its sound: the synthesisers take it for the article."""
    sound = "[['eI]]" if voice.startswith("espeak-ng/") else "ay"
    return SPELLED.sub(lambda found: found[0].replace("A", sound), text)


def trimmed(samples: exam.Samples) -> exam.Samples:
    """The exam's, with `MARGIN_S` of silence on either side and no pause beyond `LONGEST_PAUSE_S`."""
    excess = exam.MARGIN_FRAMES * exam.FRAME - round(MARGIN_S * exam.RATE)
    spoken = exam.trimmed(samples)[excess:-excess]
    speech, _ = exam.speech_frames(spoken)
    bounds = np.flatnonzero(np.diff(speech)) + 1
    half = round(LONGEST_PAUSE_S * exam.RATE / 2)
    kept = np.ones(len(spoken), dtype=bool)
    for first, last in zip(bounds[:-1] * exam.FRAME, bounds[1:] * exam.FRAME, strict=True):
        if not speech[first // exam.FRAME]:
            kept[first + half : max(last - half, first + half)] = False
    return spoken[kept]


def levelled(samples: exam.Samples) -> exam.Samples:
    """At the exam's level, or as near to it as `PEAK_DBFS` lets."""
    _, rms = exam.speech_frames(samples)
    peak = float(np.max(np.abs(samples)))
    gain_db = min(exam.SPEECH_DBFS - exam.decibels(rms), PEAK_DBFS - exam.decibels(peak))
    louder: exam.Samples = samples * 10.0 ** (gain_db / 20.0)
    return louder


def synthesise(line: Line) -> exam.Samples:
    """The text spoken, at 8 kHz, trimmed and levelled."""
    with tempfile.TemporaryDirectory() as folder:
        spoken = Path(folder) / "spoken.wav"
        arguments, stdin = exam.command(line.voice, pronounced(line.text, line.voice), spoken)
        subprocess.run(arguments, input=stdin, text=True, check=True, capture_output=True)
        effects = ["gain", "-6", "highpass", "70", "rate", "-h", str(exam.RATE)]
        resample = ["sox", str(spoken), "-t", "f32", "-c", "1", "-", *effects]
        raw = subprocess.run(resample, check=True, capture_output=True).stdout
    return levelled(trimmed(np.frombuffer(raw, dtype="<f4").astype(np.float64)))


def write(path: Path, samples: exam.Samples) -> None:
    """A WAV of format 7. No dither: it would turn the silences into noise."""
    raw = np.round(samples * 32767.0).astype("<i2").tobytes()
    source = ["-t", "raw", "-r", str(exam.RATE), "-e", "signed", "-b", "16", "-c", "1", "-"]
    subprocess.run(["sox", "-D", *source, "-e", "mu-law", "-b", "8", str(path)], input=raw, check=True)


def measure(path: Path) -> exam.Measure:
    """Raises ValueError if the file isn't an 8 kHz mono WAV of format 7."""
    head = path.read_bytes()[20:28]
    if head != b"\x07\x00\x01\x00" + exam.RATE.to_bytes(4, "little"):
        raise ValueError(f"{path} isn't an 8 kHz mono mu-law WAV: remake it")
    with tempfile.TemporaryDirectory() as folder:
        linear = Path(folder) / "linear.wav"
        subprocess.run(["sox", "-D", str(path), "-e", "signed", "-b", "16", str(linear)], check=True)
        return exam.measure(linear)


def faults(found: exam.Measure) -> list[str]:
    """What in a recording breaks the rules of README.md; empty when nothing does."""
    told = []
    if max(found.lead, found.trail) > exam.LONGEST_SILENCE_S:
        told.append("too much silence")
    if not exam.QUIETEST_DBFS <= found.speech_dbfs <= exam.SPEECH_DBFS + 1.0:
        told.append("level off")
    return told


def main() -> int:
    parser = argparse.ArgumentParser(description="Voices what the callers say, or measures what was voiced before.")
    parser.add_argument("--check", action="store_true", help="only measure the files that are there")
    check = parser.parse_args().check
    folder = HERE / "wav"
    folder.mkdir(exist_ok=True)
    wanted = lines(tomllib.loads((HERE / "calls.toml").read_text("utf-8"))["call"], folder)
    bad = 0
    seconds = 0.0
    for line in wanted:
        if not check:
            write(line.path, synthesise(line))
        found = measure(line.path)
        wrong = faults(found)
        bad += bool(wrong)
        seconds += found.seconds
        print(
            f"{line.path.stem} {found.seconds:5.2f} s, silence {found.lead:.2f} + {found.trail:.2f} s, "
            f"speech {found.speech_dbfs:5.1f} dBFS, peak {found.peak_dbfs:5.1f} dBFS, {line.voice} {', '.join(wrong)}"
        )
    strays = sorted(set(folder.iterdir()) - {line.path for line in wanted})
    total = sum(path.stat().st_size for path in folder.iterdir())
    print(f"{len(wanted)} files, {seconds:.0f} s, {total / 1e6:.2f} MB; {bad} with faults; strays: {strays or 'none'}")
    return 1 if bad or strays or total > LONGEST_TOTAL_BYTES else 0


if __name__ == "__main__":
    sys.exit(main())

"""Voices an exam's utterances: every entry of its folder's lists becomes its `file`, 8 kHz 16-bit mono.

Needs, from Debian: flite, festival with festvox-kallpc16k, festvox-kdlpc16k and festvox-us-slt-hts, espeak-ng, sox;
and numpy. Run `python bench/exam/make_wavs.py` to remake all the files, with `--check` only to measure those there,
with `--folder bench/exam2` for the other exam's.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import tomllib
import wave
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

HERE = Path(__file__).resolve().parent
LISTS = ("questions.toml", "model_questions.toml")
"""An exam has the first; the second only where the language model's response time is measured too."""
RATE = 8000
FRAME = RATE // 100
"""Samples in the 10 ms frames by which speech is told from silence."""
SILENCE_BELOW_SPEECH_DB = 30.0
"""A frame this far below the speech's level counts as silence."""
MARGIN_FRAMES = 5
"""Frames of silence before and after the speech: 50 ms."""
LONGEST_SILENCE_S = 0.1
SPEECH_DBFS = -20.0
"""RMS of the frames that hold speech; 0 dBFS is a full-scale square wave."""
QUIETEST_DBFS = -25.0
"""How quiet a voice with high peaks may come out."""
PEAK_DBFS = -3.5
"""The highest sample allowed; a voice with higher peaks is made quieter, never clipped."""

Samples = NDArray[np.float64]
"""Shape (n,), mono, full scale at 1.0."""


@dataclass(frozen=True)
class Utterance:
    """What is said, by which voice (`synthesiser/voice`), and the file it goes to."""

    id: str
    text: str
    voice: str
    path: Path


@dataclass(frozen=True)
class Measure:
    """Of one recording: seconds in all, of silence before and after; dBFS of the speech and of the highest sample."""

    seconds: float
    lead: float
    trail: float
    speech_dbfs: float
    peak_dbfs: float


def utterances(folder: Path) -> list[Utterance]:
    """All entries of the folder's lists, in their order. Raises FileNotFoundError if it has no questions.toml."""
    found = []
    for name in LISTS:
        if name != LISTS[0] and not (folder / name).exists():
            continue
        for entry in tomllib.loads((folder / name).read_text("utf-8"))["question"]:
            found.append(Utterance(entry["id"], entry["text"], entry["voice"], folder / entry["file"]))
    return found


def command(voice: str, text: str, output: Path) -> tuple[list[str], str | None]:
    """The synthesiser's command line and what goes to its standard input; it writes a WAV to `output`."""
    synthesiser, _, name = voice.partition("/")
    if synthesiser == "flite":
        return ["flite", "-voice", name, "-t", text, "-o", str(output)], None
    if synthesiser == "festival":
        return ["text2wave", "-eval", f"(voice_{name})", "-o", str(output)], text
    if synthesiser == "espeak-ng":
        return ["espeak-ng", "-v", name, "-s", "160", "-w", str(output), text], None
    raise ValueError(f"no synthesiser for voice {voice!r}: it must start with flite/, festival/ or espeak-ng/")


def synthesise(voice: str, text: str) -> Samples:
    """The text spoken, resampled to 8 kHz."""
    with tempfile.TemporaryDirectory() as folder:
        spoken = Path(folder) / "spoken.wav"
        arguments, stdin = command(voice, text, spoken)
        subprocess.run(arguments, input=stdin, text=True, check=True, capture_output=True)
        # 6 dB down first: the resampler would clip the peaks of a recording at full scale. The high-pass takes out
        # the offset that the diphone voices leave under some words, as a telephone's microphone would.
        effects = ["gain", "-6", "highpass", "70", "rate", "-h", str(RATE)]
        resample = ["sox", str(spoken), "-t", "f32", "-c", "1", "-", *effects]
        raw = subprocess.run(resample, check=True, capture_output=True).stdout
    return np.frombuffer(raw, dtype="<f4").astype(np.float64)


def decibels(amplitude: float) -> float:
    return 20.0 * float(np.log10(max(amplitude, 1e-9)))


def speech_frames(samples: Samples) -> tuple[NDArray[np.bool_], float]:
    """Which 10 ms frames hold speech, shape (n // 80,), and the RMS over those frames."""
    frames = samples[: len(samples) // FRAME * FRAME].reshape(-1, FRAME)
    power = np.mean(frames**2, axis=1)
    level = float(np.mean(power[power > np.max(power) * 1e-3]))
    speech: NDArray[np.bool_] = power > level * 10.0 ** (-SILENCE_BELOW_SPEECH_DB / 10.0)
    return speech, float(np.sqrt(np.mean(power[speech])))


def trimmed(samples: Samples) -> Samples:
    """The speech with `MARGIN_FRAMES` of silence on either side, made up with zeros where the voice gave less."""
    padded = np.pad(samples, MARGIN_FRAMES * FRAME)
    speech, _ = speech_frames(padded)
    held = np.flatnonzero(speech)
    first = int(held[0]) - MARGIN_FRAMES
    last = int(held[-1]) + 1 + MARGIN_FRAMES
    return padded[first * FRAME : last * FRAME]


def levelled(samples: Samples) -> Samples:
    """At `SPEECH_DBFS`, or as near to it as `PEAK_DBFS` lets."""
    _, rms = speech_frames(samples)
    gain_db = min(SPEECH_DBFS - decibels(rms), PEAK_DBFS - decibels(float(np.max(np.abs(samples)))))
    louder: Samples = samples * 10.0 ** (gain_db / 20.0)
    return louder


def write(path: Path, samples: Samples) -> None:
    with wave.open(str(path), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(RATE)
        out.writeframes(np.round(samples * 32767.0).astype("<i2").tobytes())


def measure(path: Path) -> Measure:
    """Raises ValueError if the file isn't 8 kHz 16-bit mono."""
    with wave.open(str(path), "rb") as recording:
        shape = (recording.getframerate(), recording.getsampwidth(), recording.getnchannels())
        if shape != (RATE, 2, 1):
            raise ValueError(f"{path} is (rate, bytes, channels) {shape}, not 8 kHz 16-bit mono: remake it")
        samples = np.frombuffer(recording.readframes(recording.getnframes()), dtype="<i2") / 32767.0
    speech, rms = speech_frames(samples)
    held = np.flatnonzero(speech)
    ends = len(samples) - (int(held[-1]) + 1) * FRAME
    peak = float(np.max(np.abs(samples)))
    return Measure(len(samples) / RATE, int(held[0]) * FRAME / RATE, ends / RATE, decibels(rms), decibels(peak))


def faults(found: Measure) -> list[str]:
    """What in a recording breaks the rules of README.md; empty when nothing does."""
    told = []
    if max(found.lead, found.trail) > LONGEST_SILENCE_S:
        told.append("too much silence")
    if found.peak_dbfs >= -3.0:
        told.append("peaks too high")
    if not QUIETEST_DBFS <= found.speech_dbfs <= SPEECH_DBFS + 1.0:
        told.append("level off")
    return told


def main() -> int:
    parser = argparse.ArgumentParser(description="Voices an exam's utterances, or measures those voiced before.")
    parser.add_argument("--check", action="store_true", help="only measure the files that are there")
    parser.add_argument("--folder", type=Path, default=HERE, help="the exam's folder (default: %(default)s)")
    wanted = parser.parse_args()
    bad = 0
    for said in utterances(wanted.folder):
        if not wanted.check:
            said.path.parent.mkdir(exist_ok=True)
            write(said.path, levelled(trimmed(synthesise(said.voice, said.text))))
        found = measure(said.path)
        wrong = faults(found)
        bad += bool(wrong)
        print(
            f"{said.id} {found.seconds:5.2f} s, silence {found.lead:.2f} + {found.trail:.2f} s, "
            f"speech {found.speech_dbfs:5.1f} dBFS, peak {found.peak_dbfs:5.1f} dBFS, {said.voice} {', '.join(wrong)}"
        )
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())

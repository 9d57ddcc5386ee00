"""`voicebridge measure` on files."""

from __future__ import annotations

import json
import wave
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from voicebridge.cli.main import main

RATE = 8_000


def track(seconds: float, begin: float, end: float) -> np.ndarray:
    at = np.arange(round(seconds * RATE)) / RATE
    return (8_000 * np.sin(2 * np.pi * 400 * at) * ((at >= begin) & (at < end))).astype("<i2")


CALLER, AGENT = track(6, 1, 3), track(6, 3.4, 5)


def wav(path: Path, *channels: np.ndarray, width: int = 2, rate: int = RATE) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(len(channels))
        file.setsampwidth(width)
        file.setframerate(rate)
        file.writeframes(np.stack(channels, axis=1).tobytes())
    return path


def run(*arguments: object):
    return CliRunner().invoke(main, ["measure", *map(str, arguments)])


def test_a_stereo_recording_either_way_round(tmp_path: Path):
    one = run(wav(tmp_path / "a.wav", CALLER, AGENT), "--json")
    other = run(wav(tmp_path / "b.wav", AGENT, CALLER), "--caller", "right", "--json")
    assert one.exit_code == other.exit_code == 0
    made = json.loads(one.stdout)
    assert made == json.loads(other.stdout)
    assert made["gap_s"]["n"] == 1
    assert made["gap_s"]["p50"] == pytest.approx(0.4, abs=0.011)
    assert made["turns"][0]["last_voice"] == pytest.approx(3.0, abs=0.011)


def test_two_files_as_asterisk_makes_them(tmp_path: Path):
    done = run(wav(tmp_path / "caller.wav", CALLER), wav(tmp_path / "agent.wav", AGENT))
    assert done.exit_code == 0
    assert "0.400" in done.output
    assert "silence of 0.40 s at 3.00 s" in done.output


def test_the_picture_is_one(tmp_path: Path):
    plot = tmp_path / "call.svg"
    assert run(wav(tmp_path / "a.wav", CALLER, AGENT), "--plot", plot).exit_code == 0
    tree = ET.parse(plot).getroot()
    assert tree.tag.endswith("svg")
    assert any("0.40" in (part.text or "") for part in tree.iter())


def test_what_cannot_be_measured_is_said_with_its_cure(tmp_path: Path):
    mono = wav(tmp_path / "mono.wav", CALLER)
    stereo = wav(tmp_path / "stereo.wav", CALLER, AGENT)
    quick = wav(tmp_path / "quick.wav", AGENT, rate=16_000)
    text = tmp_path / "text.wav"
    text.write_text("no sound")
    for arguments, cause in (
        ((mono,), "a stereo file is needed"), ((stereo, mono), "two mono tracks"), ((mono, quick), "not of one call"),
        ((text,), "no WAV file of plain samples"),
        ((wav(tmp_path / "slow.wav", CALLER, AGENT, rate=1),), "its header is damaged"),
        ((stereo, "--plot", tmp_path / "no/folder.svg"), "No such file"),
        ((wav(tmp_path / "none.wav", CALLER, 0 * AGENT),), "the agent is not heard"),
    ):  # fmt: skip
        done = run(*arguments)
        assert done.exit_code == 1
        assert cause in done.output


def test_a_background_that_is_never_silent_is_told(tmp_path: Path):
    noise = (CALLER + 900 * np.random.default_rng(1).standard_normal(len(CALLER))).astype("<i2")
    path = wav(tmp_path / "noisy.wav", noise, AGENT)
    loud = run(path)
    assert "--below-peak" in loud.output
    cured = run(path, "--below-peak", 12, "--json")
    assert json.loads(cured.stdout)["gap_s"]["p50"] == pytest.approx(0.4, abs=0.011)

"""The bench's parts that need no Asterisk: packets, mu-law, pcap, words, and finding an installation."""

from __future__ import annotations

import asyncio
import os
import struct
from pathlib import Path

import pytest

from tests.pbx import corpus, install, pcap
from tests.pbx.rtp import Loopback
from tests.pbx.words import error_rate, errors, words
from voicebridge.protocol.rtp import EVENTS, PCMU, Packet


async def test_a_key_is_one_event_that_grows_and_ends_three_times():
    got: list[Packet] = []
    receiver = await Loopback.open(lambda pcm, rate: None)
    sender = await Loopback.open(lambda pcm, rate: None)
    sender.connect(receiver.port)
    sender.send_dtmf("#")
    for _ in range(10):
        sender.send_audio(bytes(320))
    for _ in range(100):
        got = receiver.received
        if len(got) == 10:
            break
        await asyncio.sleep(0.01)
    sender.close()
    receiver.close()
    keys = [packet for packet in got if packet.payload_type == EVENTS]
    assert [struct.unpack("!BBH", packet.payload) for packet in keys] == [
        *((11, 10, 160 * frame) for frame in range(1, 6)), *([(11, 0x80 | 10, 800)] * 3),
    ]
    assert len({packet.timestamp for packet in keys}) == 1
    assert [packet.marker for packet in keys] == [True] + [False] * 7
    assert [packet.payload_type for packet in got[8:]] == [PCMU, PCMU]
    assert [packet.sequence - got[0].sequence & 0xFFFF for packet in got] == list(range(10))


def test_a_pcap_holds_one_valid_packet_each_20_ms(tmp_path: Path):
    assert pcap.write(tmp_path / "speech.pcap", bytes(2 * 200)) == 2
    data = (tmp_path / "speech.pcap").read_bytes()[24:]
    size = 16 + 14 + 20 + 8 + 12 + 160
    assert len(data) == 2 * size
    seconds, micros, kept, length = struct.unpack_from("<IIII", data, size)
    assert (seconds, micros, kept, length) == (0, 20_000, size - 16, size - 16)
    total = sum(struct.unpack_from("!10H", data, 30))
    assert total % 0xFFFF == 0  # an IPv4 header with its checksum adds up
    packet = Packet.parsed(data[size + 16 + 42 :])
    assert packet is not None
    assert (packet.sequence, packet.timestamp, len(packet.payload)) == (1, 160, 160)


@pytest.mark.parametrize(
    ("said", "heard", "wrong"),
    [
        ("Press 4, please.", "press four please", 0),
        ("voice-mail", "voicemail", 0),
        ("I'm afraid so", "Im afraid so", 0),
        ("one two three", "one three", 1),
        ("one two", "one too two", 1),
        ("", "anything at all", 3),
        ("all of it", "", 3),
    ],
)
def test_wrong_words_are_counted_without_spelling(said: str, heard: str, wrong: int):
    assert errors(words(said), words(heard)) == wrong


def test_the_error_rate_is_by_words_said():
    assert error_rate("one two three four", "one two three") == 0.25


def test_a_root_that_holds_no_asterisk_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("PBX_ROOT", str(tmp_path))
    with pytest.raises(install.Unavailable, match="holds no usr/sbin/asterisk"):
        install.locate()


def root_with_asterisk(folder: Path, recipe: str) -> Path:
    (folder / "usr/sbin").mkdir(parents=True)
    (folder / "usr/sbin/asterisk").touch()
    (folder / install.MARK).write_text(recipe)
    return folder


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A machine without Asterisk, whose cache is in tmp_path."""
    monkeypatch.delenv("PBX_ROOT", raising=False)
    monkeypatch.setenv("VOICEBRIDGE_CACHE", str(tmp_path))
    monkeypatch.setattr(install.shutil, "which", lambda *_, **__: None)
    return tmp_path


def test_a_cached_root_is_used_while_its_recipe_is_ours(bare: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    root = root_with_asterisk(bare / "pbx-root", install.RECIPE)
    found = install.locate()
    assert found is not None
    assert found.command("asterisk") == ["chroot", str(root), "asterisk"]
    (root / install.MARK).write_text("an older recipe")
    assert install.locate() is None


def test_who_is_not_root_is_told_what_to_do(bare: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(install.Unavailable, match="install the package sip-tester"):
        install.provide()
    root_with_asterisk(bare / "pbx-root", install.RECIPE)
    with pytest.raises(install.Unavailable, match="takes root"):
        install.locate()


def test_a_download_that_fails_three_times_says_why(bare: Path, monkeypatch: pytest.MonkeyPatch):
    told: list[str] = []
    monkeypatch.setattr(install, "_download", lambda part: "E: no route to the mirror")
    monkeypatch.setattr(install.time, "sleep", lambda seconds: None)
    with pytest.raises(install.Unavailable, match="3 times.*\n.*no route to the mirror"):
        install._build(bare / "pbx-root.part", told.append)
    assert sum("debootstrap failed" in text for text in told) == 3


@pytest.mark.asterisk
def test_held_back_prompts_are_sentences_that_no_test_uses(install: install.Install):
    held = corpus.held_back(install)
    assert len(held) == 30
    assert all(2.0 <= prompt.seconds <= 5.0 for prompt in held)
    assert not {prompt.name for prompt in held} & {prompt.name for prompt in corpus.for_tests(install)}
    assert len(corpus.for_tests(install)) >= 6

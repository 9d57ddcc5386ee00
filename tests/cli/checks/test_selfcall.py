"""What is said of a test call, from calls made up of known sound."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from voicebridge.cli.checks import selfcall
from voicebridge.cli.checks.finding import Finding
from voicebridge.cli.checks.listening import Port
from voicebridge.cli.testcall import DaemonFailed, recorded_sentence, running_daemon
from voicebridge.config import Settings, load
from voicebridge.phone import Heard, Spoken

RATE = 8_000
SETTINGS = load(None)


def tone(begin: float, end: float, seconds: float) -> bytearray:
    at = np.arange(round(seconds * RATE)) / RATE
    sound = np.where((at >= begin) & (at < end), 8000 * np.sin(2 * np.pi * 440 * at), 0)
    return bytearray(sound.astype("<i2").tobytes())


def call(*, gap: float | None = 0.4, greeting: bool = True, frame_s: float = 0.02) -> Heard:
    """A greeting at 0.1 s, the caller from 3 to 5 s, an answer `gap` later."""
    spoken = Spoken(recorded_sentence(), 3.0, last_voice=5.0, first_voice=3.0, answer=None if gap is None else 5 + gap)
    heard = Heard("0" * 8, RATE, [spoken], "caller", 8.0)
    heard.agent = tone(0.1, 2.0, 8.0) if greeting else bytearray(16_000 * 8)
    heard.arrivals = [i * frame_s for i in range(100)]
    return heard


def record(said: str = "what does a basic service cost", source: str = "rule") -> dict[str, Any]:
    turns = [{"caller": "", "gap_s": None, "source": "line"}, {"caller": said, "gap_s": 0.4, "source": source}]
    return {"turns": turns}


def judged(heard: Heard, recorded: dict[str, Any] | None, settings: Settings = SETTINGS) -> dict[str, Finding]:
    return {f.check.removeprefix("self-call: "): f for f in selfcall.judge(settings, heard, recorded)}


def test_a_good_call_is_good_in_all_respects() -> None:
    found = judged(call(), record())
    assert {finding.state for finding in found.values()} == {"ok"}
    assert found["greeting"].found == "heard, 0.10 s after the call began"
    assert found["transcript"].found == "100% of the words right"
    assert found["answer"].found == "0.40 s after the caller's last voice, by rule (aim 0.75 s, budget 1.5 s)"
    assert found["frames"].found.startswith("gap between two p99 20 ms, longest 20 ms")


@pytest.mark.parametrize(
    ("gap", "state"), [(0.75, "ok"), (0.8, "warn"), (1.5, "warn"), (1.6, "fail"), (None, "fail")]
)
def test_the_response_gap_has_an_aim_and_a_budget(gap: float | None, state: str) -> None:
    assert judged(call(gap=gap), record())["answer"].state == state


def test_a_greeting_that_was_configured_must_be_heard() -> None:
    assert judged(call(greeting=False), record())["greeting"].state == "fail"
    mute = {name: agent.__class__(name, "") for name, agent in SETTINGS.agents.items()}
    silent = SETTINGS.model_copy(update={"agents": mute})
    assert judged(call(greeting=False), record(), silent)["greeting"].state == "ok"


def test_words_that_were_not_understood_are_a_failure_of_an_english_agent_and_else_a_warning() -> None:
    finding = judged(call(), record(said="watch the races"))["transcript"]
    assert finding.state == "fail"
    agents = {name: replace(agent, language="de") for name, agent in SETTINGS.agents.items()}
    german = SETTINGS.model_copy(update={"agents": agents})
    found = {finding.check: finding for finding in selfcall.judge(german, call(), record(said="watch the races"))}
    assert found["self-call: transcript"].state == "warn"
    assert finding.found == "0% of the words right"


def test_a_record_that_cannot_be_read_is_skipped_and_nothing_else_with_it() -> None:
    found = judged(call(), None)
    assert found["transcript"].state == "skip"
    assert found["answer"].state == "ok"


@pytest.mark.parametrize(("frame_s", "state"), [(0.02, "ok"), (0.06, "warn"), (0.3, "fail")])
def test_frames_must_keep_coming(frame_s: float, state: str) -> None:
    assert judged(call(frame_s=frame_s), record())["frames"].state == state


def test_a_call_that_the_daemon_ends_at_once_is_one_failure() -> None:
    (finding,) = selfcall.judge(SETTINGS, Heard("0" * 8, RATE, [], "agent", 0.1), None)
    assert finding.state == "fail"
    assert "ended the call after 0.1 s" in finding.found


def test_a_daemon_that_does_not_start_is_told_with_its_last_words(tmp_path: Path) -> None:
    file = tmp_path / "voicebridge.toml"
    file.write_text('[engines]\nstt = "nonsense"\n', encoding="utf-8")
    (finding,) = selfcall.check(load(file), file, Port("127.0.0.1", 1, "nobody"), lambda text: None)
    assert finding.state == "fail"
    assert "the daemon ended with 2" in finding.found
    assert "nonsense" in finding.found


def test_a_daemon_that_serves_and_goes_is_told(unused_tcp_port: int) -> None:
    gone = Port("127.0.0.1", unused_tcp_port, "voicebridge")
    (finding,) = selfcall.check(SETTINGS, None, gone, lambda text: None)
    assert finding.state == "fail"
    assert f"nothing answers on 127.0.0.1:{unused_tcp_port}" in finding.found


def test_what_a_daemon_wrote_before_it_failed_is_kept(tmp_path: Path) -> None:
    with pytest.raises(DaemonFailed) as failure, running_daemon(tmp_path / "none.toml"):
        pass
    assert "none.toml: cannot be read" in failure.value.log

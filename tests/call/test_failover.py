"""A recogniser is stopped in the middle of a sentence: it is heard whole and answered, and the record tells."""

from __future__ import annotations

import asyncio
import os
import re
import signal
from pathlib import Path

import pytest
import uvloop

from bench.faults import worker_pids
from voicebridge.cli.testcall import recorded_sentence, running_daemon, wait_for_record
from voicebridge.phone import Heard, Phone
from voicebridge.trace.store import CallStore

pytest.importorskip("vosk")
pytestmark = pytest.mark.models

TINY = Path(__file__).parents[1] / "models/vosk-tiny-en"
"""A test's model, which knows none of the sentence's words: what is understood is understood by Moonshine."""
CONFIG = f"""
default_agent = "desk"
[engines]
stt = ["tiny", "moonshine"]
llm = ""
embed = ""
[engines.options.tiny]
engine = "vosk"
model = "{TINY}"
"""
AGENT = 'name = "desk"\ngreeting = "Hello, this is the desk."\nmodel_scope = "none"\n'
SOUND_S, ANSWER_S, SLACK_S = 1.5, 5.0, 1.0


def words(text: str) -> list[str]:
    return re.sub(r"[^a-z' ]+", " ", text.lower()).split()


def test_the_sentence_in_whose_middle_it_happens_is_heard_whole_and_answered(tmp_path: Path) -> None:
    (tmp_path / "agents").mkdir()
    (tmp_path / "agents" / "desk.toml").write_text(AGENT)
    (tmp_path / "voicebridge.toml").write_text(CONFIG)
    line = recorded_sentence()

    async def call(port: int) -> Heard:
        loop, victim = asyncio.get_running_loop(), worker_pids(os.getpid())["vosk"]

        def on_event(text: str) -> None:
            if text == f"caller: {line.label}":
                loop.call_later(len(line.pcm) / 16_000 / 2, os.kill, victim, signal.SIGSTOP)

        return await Phone("127.0.0.1", port, on_event=on_event).call([line], linger_s=1.0)

    with running_daemon(tmp_path / "voicebridge.toml") as (port, store):
        heard = uvloop.run(call(port))
        record = wait_for_record(CallStore(store, keep_days=1), heard.call_id)
    assert record is not None
    (spoken,) = heard.lines
    assert spoken.gap is not None and spoken.gap <= SOUND_S + SLACK_S
    turn = next(turn for turn in record["turns"] if turn["caller"])
    assert words(turn["caller"]) == words(line.label)
    assert turn["gap_s"] <= ANSWER_S + SLACK_S
    (move,) = [move for turn in record["turns"] for move in turn["moves"]]
    assert (move["kind"], move["from"], move["to"]) == ("stt", "tiny", "moonshine")
    assert move["cause"] in ("crashed", "timeout")
    assert record["ended_by"] not in ("dropped", "stt_timeout", "stt_crashed")

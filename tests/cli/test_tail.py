"""What is said in calls, in the terminal while it is said; and how the daemon stands."""

from __future__ import annotations

import asyncio
import io
import json
import threading
from contextlib import contextmanager

import pytest
from click.testing import CliRunner
from rich.console import Console

from tests.control.house import Served, until
from voicebridge.cli.main import main
from voicebridge.cli.tail import Lines, follow
from voicebridge.cli.transcript import Transcript
from voicebridge.control.client import Control, NoDaemon

CALL = "0e5c1111-2222-3333-4444-555555555555"
BEGAN = {"event": "call_began", "call_id": CALL, "at": 0.0, "agent": "desk", "caller": "***42", "dialled": "100"}


def turn(**parts):
    made = {"turn": 1, "caller": "", "source": "rule", "rule": "price", "gap_s": None, "marks": {}, "said": []} | parts
    return {"event": "turn", "call_id": CALL, "at": 1.0, "turn": made}


def said(text, heard=None, at=1.0, kind="answer"):
    return {"kind": kind, "text": text, "heard": text if heard is None else heard, "complete": heard is None, "at": at}


def ended(*turns, **more):
    record = {"outcome": "hangup", "ended_by": "hangup", "seconds": 12.4, "target": "", "turns": list(turns), **more}
    return {"event": "call_ended", "call_id": CALL, "at": 9.0, "record": record}


def text(*happenings) -> list[str]:
    transcript = Transcript()
    return [line.plain[9:] for happening in happenings for line in transcript.lines(happening)]


def test_each_thing_is_told_once_although_the_turn_is_told_again_as_it_grows():
    assert text(
        BEGAN,
        turn(caller="What does"),
        turn(caller="What does it cost?", marks={"endpoint": 1.0}),
        turn(caller="What does it cost?", marks={"endpoint": 1.0}, said=[said("45 dollars.", at=None)]),
        turn(caller="What does it cost?", marks={"endpoint": 1.0}, said=[said("45 dollars.", "")], gap_s=0.42),
        turn(caller="What does it cost?", marks={"endpoint": 1.0}, said=[said("45 dollars.")], gap_s=0.42),
        ended(turn(caller="What does it cost?", said=[said("45 dollars.")], gap_s=0.42)["turn"]),
    ) == [
        "0e5c1111        call to desk (***42 -> 100)",
        "0e5c1111 caller What does it cost?",
        "0e5c1111 agent  45 dollars.  [0.42 s, rule price]",
        "0e5c1111        hangup (the caller hung up) after 12 s, 1 turn",
    ]


def test_what_was_cut_off_what_failed_and_who_took_over_is_told():
    made = turn(
        said=[said("One moment.", kind="filler"), said("It costs 45 dollars and", "It costs")], cut_off=True, gap_s=1.0,
        tools=[{"tool": "price", "ms": 31, "ok": False, "cause": "timeout"}, {"tool": "other", "ms": None}],
        troubles=["TranscriptFailed: timeout"], handoffs=[{"state": "go", "target": "sales", "cause": ""}],
    )  # fmt: skip
    assert [line[9:] for line in text(made)] == [
        "!      price 31 ms, failed: timeout",
        "agent  One moment.",
        "agent  It costs 45 dollars and  [1.00 s, rule price]",
        "       interrupted; heard: It costs",
        "!      TranscriptFailed: timeout",
        "       handoff go sales",
    ]


def test_a_call_that_ends_before_it_was_answered_tells_what_the_caller_said_and_text_moves_no_cursor():
    caller = turn(caller="Hel\x1b[2Jlo")
    lines = text(caller, ended(caller["turn"], outcome="transfer", target="x"))
    assert lines == [
        "0e5c1111 caller Hel\ufffd[2Jlo", "0e5c1111        transfer to x (the caller hung up) after 12 s, 1 turn"
    ]  # fmt: skip


# ---- from a daemon


class Sink(Lines):
    def __init__(self) -> None:
        self.out = io.StringIO()
        super().__init__(Console(file=self.out, soft_wrap=True, highlight=False, width=200))

    @property
    def text(self) -> str:
        return self.out.getvalue()


async def test_it_shows_what_runs_already_and_finds_a_daemon_that_was_started_again(tmp_path):
    path, sink = tmp_path / "c.sock", Sink()
    async with Served(path) as served:
        served.house.calls[CALL] = {**BEGAN, "began_at": 0.0, "seconds": 3.0, "turns": [turn(caller="Hi", said=[said("Hello.")])["turn"]]}  # noqa: E501
        following = asyncio.create_task(follow(Control(path), sink, again_s=0.05))
        await until(lambda: "Hello." in sink.text)
        served.tell("turn", CALL, turn=turn(caller="Hi", said=[said("Hello."), said("Again.")])["turn"])
        await until(lambda: "Again." in sink.text)
        assert sink.text.count("Hello.") == 1
    await until(lambda: "1 call cut off" in sink.text)
    async with Served(path) as served:
        await until(lambda: "connected again" in sink.text)
        served.tell("call_began", "c2", agent="night")
        await until(lambda: "call to night" in sink.text)
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
    assert sink.text.count("waiting for it") == 1


async def test_one_call_is_followed_to_its_end(tmp_path):
    sink = Sink()
    async with Served(tmp_path / "c.sock") as served:
        served.house.calls = {CALL: {**BEGAN, "began_at": 0.0, "turns": []}, "other": {"call_id": "other"}}
        following = asyncio.create_task(follow(Control(served.server.path), sink, call_id=CALL))
        await until(lambda: "call to desk" in sink.text)
        served.tell("turn", "other", turn=turn(caller="not this")["turn"])
        served.tell("call_ended", CALL, record=ended()["record"])
        async with asyncio.timeout(10):
            await following
    assert "hangup (the caller hung up)" in sink.text and "not this" not in sink.text


async def test_without_a_daemon_there_is_nothing_to_wait_for(tmp_path):
    with pytest.raises(NoDaemon, match="no daemon runs"):
        await follow(Control(tmp_path / "c.sock"), Sink())


# ---- the commands

STATUS = {
    "version": "0.1.0", "pid": 7, "started_at": 1796126400.0, "config": "/etc/vb.toml", "ready": True,
    "draining": False, "calls": 2, "max_calls": 50, "agents": ["desk"],
    "engines": {"stt vosk": {"state": "ready", "restarts": 0, "last_error": ""},
                "llm far": {"state": "pausing", "restarts": 3, "last_error": "killed by SIGSEGV"}},
    "clock": {"late_p99_ms": 2.0, "late_max_ms": 7.1, "skipped": 0},
    "store": {"queued": 0, "spilled": 2, "written": 9, "lost": 0, "errors": 1, "last_error": "no server"},
    "reloads": 0,
}  # fmt: skip


@contextmanager
def daemon(tmp_path):
    """A house in a loop of its own, for commands that block; yields it and how to configure for it."""
    file = tmp_path / "vb.toml"
    file.write_text(f'[store]\ndir = "{tmp_path}"\n')
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, daemon=True).start()

    async def begin() -> Served:
        return await Served(tmp_path / "control.sock").__aenter__()

    served = asyncio.run_coroutine_threadsafe(begin(), loop).result(20)
    try:
        yield served, ["-c", str(file)]
    finally:
        asyncio.run_coroutine_threadsafe(served.server.stop(), loop).result(20)
        loop.call_soon_threadsafe(loop.stop)


def invoke(*words):
    return CliRunner().invoke(main, list(words))


def test_status_and_reload_tell_and_have_exit_codes_for_monitoring(tmp_path):
    with daemon(tmp_path) as (served, config):
        served.house.status = lambda: STATUS
        done = invoke("status", *config)
        assert done.exit_code == 0, done.output
        for part in ("0.1.0 serves", "2 of 50", "started again 3 times: killed by SIGSEGV", "2 on disk", "no server"):
            assert part in done.output
        assert json.loads(invoke("status", "--json", *config).stdout) == STATUS
        for state in ({"draining": True}, {"ready": False}):
            served.house.status = lambda state=state: STATUS | state
            assert invoke("status", *config).exit_code == 1
        done = invoke("reload", *config)
        assert (done.exit_code, done.stdout) == (0, "changed: desk; 1 agents\n")
        served.house.fault = "agents/desk.toml:3: greting: there is no such key"
        done = invoke("reload", *config)
        assert done.exit_code == 2 and "desk.toml:3" in done.stderr
        assert json.loads(invoke("reload", "--json", *config).stdout) == {"ok": False, "error": served.house.fault}
        done = invoke("calls", "tail", "--call", "abc", *config)
        assert done.exit_code == 1 and "no running call begins with 'abc'; running: none" in done.stderr


@pytest.mark.parametrize("words", [["status"], ["reload"], ["calls", "tail"]], ids=["status", "reload", "tail"])
def test_without_a_daemon_they_say_where_they_looked(tmp_path, words):
    (tmp_path / "vb.toml").write_text(f'[store]\ndir = "{tmp_path}"\n')
    done = invoke(*words, "-c", str(tmp_path / "vb.toml"))
    assert done.exit_code == 1 and f"nobody listens at {tmp_path}/control.sock" in done.stderr

"""How lines are written: fields out of them, as text, JSON and for journald."""

from __future__ import annotations

import json
import logging
import os
import socket
import subprocess
import sys

import pytest

from voicebridge.logs import JournalHandler, Prefixed, fields_of, priority, setup, to_journal

CALL = "23e748a5-1b00-4470-955f-26f6c5495da7"


class Kept:
    """A journal that keeps what it is sent."""

    def __init__(self) -> None:
        self.entries: list[dict[str, str]] = []

    def send(self, fields):
        self.entries.append(dict(fields))


def line(message: str, *values: object, level: int = logging.WARNING, **more: object) -> logging.LogRecord:
    return logging.LogRecord("voicebridge.call", level, "/x/call.py", 42, message, values, None, "end", **more)


@pytest.mark.parametrize(
    ("message", "fields"),
    [
        (f"call={CALL} turn=3 stt failed", {"call": CALL, "turn": "3"}),
        (f"call={CALL} peer=[::1]:4040 agent=desk accepted", {"call": CALL, "peer": "[::1]:4040", "agent": "desk"}),
        (f"call={CALL}: keys not sent", {"call": CALL}),
        ("call=a call=b", {"call": "a"}),
        ("ari channel=PJSIP/6001-00000001 refused", {"channel": "PJSIP/6001-00000001"}),
        ("recall=x uncall=y nothing", {}),
        ("agents=a,b", {}),
    ],
)
def test_what_a_line_is_about(message, fields):
    assert fields_of(message) == fields


@pytest.mark.parametrize(
    ("level", "number"), [("CRITICAL", 2), ("ERROR", 3), ("WARNING", 4), ("INFO", 6), ("DEBUG", 7), ("NOTSET", 7)]
)
def test_levels_are_syslog_s(level, number):
    assert priority(logging.getLevelNamesMapping()[level]) == number


def test_every_line_of_a_text_has_its_priority():
    assert Prefixed("%(levelname)s %(message)s").format(line("one\ntwo")) == "<4>WARNING one\n<4>two"


def test_journald_gets_fields_beside_the_message():
    journal = Kept()
    JournalHandler(journal).handle(line("call=%s turn=%d stt failed", CALL, 3))
    (entry,) = journal.entries
    assert entry == {
        "MESSAGE": f"call={CALL} turn=3 stt failed", "PRIORITY": "4", "SYSLOG_IDENTIFIER": "voicebridge",
        "LOGGER": "voicebridge.call", "CODE_FILE": "/x/call.py", "CODE_LINE": "42", "CODE_FUNC": "end",
        "VB_CALL": CALL, "VB_TURN": "3",
    }  # fmt: skip


def test_a_traceback_is_part_of_the_message():
    journal = Kept()
    try:
        1 / 0  # noqa: B018
    except ZeroDivisionError:
        record = line("call=%s broke", CALL)
        record.exc_info = sys.exc_info()
    JournalHandler(journal).handle(record)
    message = journal.entries[0]["MESSAGE"]
    assert message.startswith(f"call={CALL} broke\nTraceback")
    assert message.endswith("ZeroDivisionError: division by zero")


def test_fields_that_are_given_are_fields_and_odd_names_are_none():
    journal = Kept()
    record = line("hello")
    record.__dict__ |= {"tries": 3, "odd name": 1, "a\nb": 2}
    JournalHandler(journal).handle(record)
    (entry,) = journal.entries
    assert entry["VB_TRIES"] == "3"
    assert all("\n" not in name and " " not in name for name in entry)


def test_a_line_that_cannot_be_formatted_fails_nobody(capsys):
    journal = Kept()
    JournalHandler(journal).handle(line("%d", "no number"))
    assert journal.entries == []
    assert "no number" in capsys.readouterr().err


def test_journald_is_at_the_other_end_where_systemd_says_so(tmp_path):
    with (tmp_path / "log").open("wb") as file:
        there = os.fstat(file.fileno())
        assert to_journal(file.fileno(), {"JOURNAL_STREAM": f"{there.st_dev}:{there.st_ino}"})
        assert not to_journal(file.fileno(), {"JOURNAL_STREAM": f"{there.st_dev}:{there.st_ino + 1}"})
        assert not to_journal(file.fileno(), {"JOURNAL_STREAM": "nonsense"})
        assert not to_journal(file.fileno(), {})


def test_logging_that_somebody_else_has_set_up_is_left_to_him():
    root = logging.getLogger()
    assert root.handlers, "pytest's own"
    before = list(root.handlers)
    setup("json")
    assert root.handlers == before


# ---- whole processes: who they write to

WRITES = f"""
import logging, sys
from voicebridge import logs
import voicebridge.journal as journal
if len(sys.argv) > 2:
    journal.Journal.__init__.__defaults__ = (sys.argv[2],)
logs.setup(sys.argv[1], "info")
logs.setup(sys.argv[1], "info")
logging.getLogger("voicebridge.call").info("call=%s turn=%d ended", "{CALL}", 2)
"""


def run(*arguments: str, journal: bool = False) -> str:
    read, write = os.pipe()
    there = os.fstat(write)
    environment = {name: value for name, value in os.environ.items() if name != "JOURNAL_STREAM"}
    if journal:
        environment["JOURNAL_STREAM"] = f"{there.st_dev}:{there.st_ino}"
    subprocess.run([sys.executable, "-c", WRITES, *arguments], stderr=write, check=True, env=environment, timeout=60)
    os.close(write)
    with os.fdopen(read) as pipe:
        return pipe.read()


def test_text_is_as_ever():
    assert run("auto").rstrip().endswith(f"INFO voicebridge.call call={CALL} turn=2 ended")


def test_json_has_fields_and_when_it_was():
    (text,) = run("json").splitlines()
    told = json.loads(text)
    assert told.pop("timestamp").endswith("Z")
    assert told == {
        "event": f"call={CALL} turn=2 ended", "call": CALL, "turn": "2", "level": "info", "logger": "voicebridge.call",
    }  # fmt: skip


def test_under_systemd_text_has_priorities_and_no_time():
    assert run("text", journal=True) == f"<6>INFO voicebridge.call call={CALL} turn=2 ended\n"


def test_under_systemd_lines_go_to_journald_by_themselves(tmp_path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as link:
        link.bind(str(tmp_path / "socket"))
        link.settimeout(5)
        assert run("auto", str(tmp_path / "socket"), journal=True) == ""
        entry = link.recv(65536)
    assert f"\nVB_CALL={CALL}\n".encode() in entry
    assert b"\nPRIORITY=6\n" in entry


def test_a_journald_that_does_not_listen_gets_the_text(tmp_path):
    told = run("auto", str(tmp_path / "none"), journal=True)
    assert told == f"<6>INFO voicebridge.call call={CALL} turn=2 ended\n"



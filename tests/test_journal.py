"""journald's native protocol: against a socket that listens, and against the real journald where one can be run."""

from __future__ import annotations

import os
import shutil
import socket
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from voicebridge.journal import Journal, encoded

JOURNALD = Path("/usr/lib/systemd/systemd-journald")
CALL = "23e748a5-1b00-4470-955f-26f6c5495da7"


@pytest.fixture
def listener(tmp_path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as link:
        link.bind(str(tmp_path / "socket"))
        link.settimeout(5)
        yield link


def test_an_entry_is_a_line_a_field():
    assert encoded({"MESSAGE": "hello", "VB_CALL": "x=y"}) == b"MESSAGE=hello\nVB_CALL=x=y\n"


def test_a_value_of_several_lines_has_its_length_before_it():
    assert encoded({"MESSAGE": "a\nb"}) == b"MESSAGE\n" + struct.pack("<Q", 3) + b"a\nb\n"


def test_what_is_no_text_is_sent_all_the_same():
    assert encoded({"MESSAGE": "half a letter \ud800"}) == b"MESSAGE=half a letter ?\n"


def test_an_entry_reaches_the_socket(listener):
    journal = Journal(listener.getsockname())
    journal.send({"MESSAGE": "hello", "PRIORITY": "4"})
    assert listener.recv(4096) == b"MESSAGE=hello\nPRIORITY=4\n"
    journal.close()


def test_a_large_entry_comes_as_a_sealed_file(listener):
    journal = Journal(listener.getsockname())
    journal.send({"MESSAGE": "x" * 900_000})
    data, descriptors, *_ = socket.recv_fds(listener, 4096, 1)
    assert data == b""
    (file,) = descriptors
    with os.fdopen(file, "rb") as whole:
        assert whole.seek(0) == 0
        assert whole.read() == b"MESSAGE=" + b"x" * 900_000 + b"\n"
    assert journal.lost == 0


def test_where_nobody_reads_nothing_waits_and_what_is_lost_is_counted(listener):
    journal = Journal(listener.getsockname())
    for number in range(5_000):
        journal.send({"MESSAGE": f"line {number}"})
    assert 0 < journal.lost < 5_000
    listener.recv(4096)
    lost = journal.lost
    journal.send({"MESSAGE": "again"})
    assert journal.lost == lost


def test_a_journald_that_was_started_again_is_found(listener, tmp_path):
    journal = Journal(listener.getsockname())
    listener.close()
    (tmp_path / "socket").unlink()
    journal.send({"MESSAGE": "nobody hears this"})
    assert journal.lost == 1
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
        other.bind(str(tmp_path / "socket"))
        journal.send({"MESSAGE": "hello"})
        assert other.recv(4096) == b"MESSAGE=hello\n"


def test_without_a_journald_there_is_no_journal(tmp_path):
    with pytest.raises(FileNotFoundError):
        Journal(str(tmp_path / "nothing"))


# ---- the real one, in a mount namespace of its own

WRITES = f"""
import logging
from voicebridge.journal import Journal
from voicebridge.logs import JournalHandler
logging.basicConfig(level="INFO", handlers=[JournalHandler(Journal())])
log = logging.getLogger("voicebridge.call")
log.warning("call=%s turn=%d stt failed", "{CALL}", 3)
log.info("call=%s turn=%d %s", "{CALL}", 4, "x" * 300_000)
log.info("call=%s another one", "00000000-0000-0000-0000-000000000000")
"""
SCRIPT = """
mount -t tmpfs tmpfs /run && mkdir -p /run/systemd/journal /run/log/journal || exit 77
"$1" >/dev/null 2>&1 &
for round in $(seq 50); do [ -S /run/systemd/journal/socket ] && break; sleep 0.1; done
[ -S /run/systemd/journal/socket ] || exit 77
"$2" -c "$3" || exit 1
for round in $(seq 50); do
    found=$(journalctl -q -D /run/log/journal -o cat --output-fields=VB_TURN,PRIORITY "VB_CALL=$4")
    [ "$(printf '%s\n' "$found" | wc -l)" -ge 2 ] && break
    sleep 0.1
done
journalctl -q -D /run/log/journal -o verbose --all --output-fields=VB_TURN,PRIORITY,SYSLOG_IDENTIFIER "VB_CALL=$4"
kill %1
"""


@pytest.mark.skipif(
    os.geteuid() != 0 or not JOURNALD.exists() or shutil.which("journalctl") is None,
    reason="a journald of its own needs root and Debian's systemd",
)
def test_journalctl_shows_the_lines_of_one_call():
    asked = ["unshare", "-m", "--propagation", "private", "bash", "-c", SCRIPT]
    done = subprocess.run(
        [*asked, "test", str(JOURNALD), sys.executable, WRITES, CALL],
        capture_output=True, text=True, timeout=60, check=False, cwd=Path(__file__).parents[1],
    )  # fmt: skip
    if done.returncode == 77 or "Operation not permitted" in done.stderr:
        pytest.skip(f"no namespace with a journald here: {done.stderr.strip()}")
    assert done.stderr == ""
    lines = [line.strip() for line in done.stdout.splitlines() if "=" in line and line.startswith(" ")]
    assert lines.count("VB_TURN=3") == lines.count("VB_TURN=4") == 1
    assert lines.count("SYSLOG_IDENTIFIER=voicebridge") == 2
    assert (lines.count("PRIORITY=4"), lines.count("PRIORITY=6")) == (1, 1)

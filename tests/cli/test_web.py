"""`voicebridge web` as it is started."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys

import httpx
import pytest

REFUSED = 2


def start(*arguments, env=None):
    return subprocess.Popen(
        [sys.executable, "-m", "voicebridge", "web", *arguments], stderr=subprocess.PIPE, text=True, env=env
    )


def test_it_prints_a_link_that_works_and_ends_at_sigterm(tmp_path, monkeypatch):
    monkeypatch.delenv("VB_WEB_PASSWORD", raising=False)
    process = start("--listen", "127.0.0.1:0", "--store", str(tmp_path))
    try:
        line = process.stderr.readline()
        link = next(word for word in line.split() if word.startswith("http://127.0.0.1:"))
        answer = httpx.get(link, trust_env=False)
        assert answer.status_code == 303 and "voicebridge_session" in answer.headers["set-cookie"]
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) in (0, -signal.SIGTERM)
        assert link.partition("token=")[2] not in process.stderr.read()
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize(
    ("listen", "told"),
    [("0.0.0.0:0", "reachable from outside"), ("8099", "is not an address"), ("192.0.2.77:0", "web.listen")],
    ids=["exposed", "no_address", "not_ours"],
)
def test_what_cannot_be_is_refused_with_its_cure(tmp_path, listen, told):
    process = start("--listen", listen, "--store", str(tmp_path))
    _, errors = process.communicate(timeout=60)
    assert process.returncode == REFUSED and told in errors and "Traceback" not in errors


def test_an_address_that_is_taken_is_said(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as other:
        process = start("--listen", f"127.0.0.1:{other.getsockname()[1]}", "--store", str(tmp_path))
        _, errors = process.communicate(timeout=60)
    assert process.returncode == REFUSED and "already in use" in errors

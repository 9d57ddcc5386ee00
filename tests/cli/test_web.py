"""`voicebridge web` as it is started."""

from __future__ import annotations

import signal
import subprocess
import sys

import httpx

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


def test_to_be_reachable_from_outside_without_a_password_is_refused_with_its_cure(tmp_path):
    process = start("--listen", "0.0.0.0:0", "--store", str(tmp_path))
    _, errors = process.communicate(timeout=60)
    assert process.returncode == REFUSED and "reachable from outside" in errors and "Traceback" not in errors

"""A real `voicebridge run` in a process of its own, with its records in a folder of the test's."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import time
import wave
from pathlib import Path
from typing import Any
from uuid import UUID

from tests.pbx.process import end, kill_session, tied
from voicebridge.audio.pcm import samples
from voicebridge.trace.store import CallStore

READY = re.compile(r"ready\. AudioSocket on (?:127\.0\.0\.1|\[::1?\]):(\d+),(?: FastAGI on [^ ]+:(\d+),)?")
READY_S = 90.0
REPOSITORY = Path(__file__).resolve().parents[2]
CONFIG = """\
default_agent = "{agent}"
[listen]
audiosocket = "{host}:0"
{listen}[store]
dir = "{folder}"
record_audio = true
event_log = true
{store}{engines}"""
SPEECH_ONLY = '[engines]\nllm = ""\nembed = ""\n'
"""Engines that listen and speak: enough where the test is about sound."""


class DaemonError(Exception):
    """It did not get ready, or left no record; the text ends with what it printed."""


class VoiceDaemon:
    """Use as a context manager. `engines` is a piece of voicebridge.toml; nothing there means the embedded profile.

    `listen`, `store`: lines for these tables.
    """

    def __init__(
        self, folder: Path, *, agent: str = "demo", engines: str = "", listen: str = "", store: str = "",
        host: str = "127.0.0.1",
    ) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.config = folder / "voicebridge.toml"
        text = CONFIG.format(agent=agent, folder=folder, engines=engines, listen=listen, store=store, host=host)
        self.config.write_text(text)
        self._process: subprocess.Popen[bytes] | None = None
        self.port = self.agi_port = 0

    def __enter__(self) -> VoiceDaemon:
        try:
            self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _start(self) -> None:
        command = [sys.executable, "-m", "voicebridge", "run", "--config", str(self.config)]
        with (self._folder / "output").open("wb") as output:
            self._process = subprocess.Popen(
                tied(command), stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, cwd=REPOSITORY,
                env={**os.environ, "PYTHONUNBUFFERED": "1"}, start_new_session=True,
            )
        self.until_ready()

    def until_ready(self, life: int = 0) -> None:
        """Until it takes calls in its nth life, and at which ports. Blocks. Raises DaemonError."""
        assert self._process is not None
        until = time.monotonic() + READY_S
        while len(found := list(READY.finditer(self.output()))) <= life:
            if self._process.poll() is not None or time.monotonic() > until:
                raise DaemonError(f"voicebridge run is not ready (exit {self._process.poll()}):\n{self.output()}")
            time.sleep(0.05)
        self.port, self.agi_port = int(found[life][1]), int(found[life][2] or 0)

    @property
    def pid(self) -> int:
        """Of the daemon itself, below the parent that watches it."""
        assert self._process is not None
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        (pid,) = map(int, children)
        return pid

    @property
    def media(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def agi(self) -> str:
        return f"127.0.0.1:{self.agi_port}"

    def output(self) -> str:
        return (self._folder / "output").read_text(errors="replace")

    def kill(self) -> None:
        """kill -9, as a crash or the kernel would."""
        if self._process is not None:
            kill_session(self._process)

    def stop(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            end(process)
            kill_session(process)

    def record(self, call: UUID, *, limit_s: float = 10.0) -> dict[str, Any]:
        """The record of a call, once it is over. Blocks. Raises DaemonError."""
        store = CallStore(self._folder, keep_days=1)
        until = time.monotonic() + limit_s
        while time.monotonic() < until:
            with contextlib.suppress(FileNotFoundError):
                return store.read(str(call))
            time.sleep(0.05)
        raise DaemonError(f"no record of call {call}:\n{self.output()[-3000:]}")

    def events(self, call: UUID) -> list[str]:
        """The lines of a finished call's event log."""
        return (self._folder / "calls" / f"{call}.events.jsonl").read_text(encoding="utf-8").splitlines()

    def recording(self, call: UUID) -> tuple[bytes, bytes]:
        """What the daemon itself recorded of a finished call, the caller's side and the agent's: 16-bit mono PCM."""
        with wave.open(str(self._folder / "calls" / f"{call}.wav"), "rb") as wav:
            stereo = samples(wav.readframes(wav.getnframes())).reshape(-1, 2)
        return stereo[:, 0].tobytes(), stereo[:, 1].tobytes()


def caller_said(record: dict[str, Any]) -> str:
    """All that was understood of the caller, in order."""
    return " ".join(turn["caller"] for turn in record["turns"] if turn["caller"])


def agent_said(record: dict[str, Any]) -> str:
    """All that was heard of the agent, in order, as written."""
    said = (part for turn in record["turns"] for part in turn["said"] if part["at"] is not None)
    return " ".join(part["heard"] for part in sorted(said, key=lambda part: part["at"]))

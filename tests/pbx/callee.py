"""A human who is called: SIPp answers (or is busy, or lets it ring), the media is our RTP endpoint."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import time
from pathlib import Path
from typing import Literal
from uuid import uuid4

from tests.pbx.asterisk import free_port
from tests.pbx.process import end, tied
from tests.pbx.rtp import Loopback
from voicebridge.audio.pcm import FRAME_S, frame_bytes

RATE = 8_000
FRAME = frame_bytes(RATE)
LONGEST_S = 120
Kind = Literal["human", "busy", "absent"]


class CalleeError(Exception):
    """He was not called, or SIPp did not do what was waited for; the text holds what SIPp logged."""


class Callee:
    """One telephone, for one call. Use as an async context manager."""

    def __init__(self, folder: Path, sip_port: int, kind: Kind = "human") -> None:
        self._folder, self._sip_port, self._kind = folder, sip_port, kind
        self.port = free_port(socket.SOCK_DGRAM)
        self.heard = bytearray()
        """What came from the line since the answer, 8 kHz PCM, without its gaps."""
        self._outbox = bytearray()
        self._name = uuid4().hex
        self._link: Loopback | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def endpoint(self) -> str:
        """What Asterisk dials to reach him."""
        return f"PJSIP/sipp/sip:human@127.0.0.1:{self.port}"

    async def __aenter__(self) -> Callee:
        self._link = await Loopback.open(lambda pcm, rate: self.heard.extend(pcm))
        command = [
            "sipp", "-sf", str(Path(__file__).with_name("scenarios") / f"{self._kind}.xml"),
            "-key", "rtp_port", str(self._link.port), "-key", "sip_port", str(self._sip_port),
            "-i", "127.0.0.1", "-p", str(self.port), "-m", "1", "-nostdin", "-timeout", str(LONGEST_S),
            "-trace_logs", "-log_file", str(self._file("log")), "-trace_err", "-error_file", str(self._file("err")),
        ]
        self._process = subprocess.Popen(
            tied(command), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            cwd=self._folder,
        )
        await asyncio.to_thread(self._wait_bound)
        self._task = asyncio.create_task(self._media())
        return self

    def _wait_bound(self) -> None:
        """SIPp listens when its port cannot be had by us any more."""
        until = time.monotonic() + 5
        while time.monotonic() < until:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
                try:
                    probe.bind(("127.0.0.1", self.port))
                except OSError:
                    return
            time.sleep(0.02)
        raise CalleeError("SIPp does not listen")

    async def __aexit__(self, *_: object) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._link is not None:
            self._link.close()
        if self._process is not None and self._process.poll() is None:
            await asyncio.to_thread(end, self._process, grace_s=1.0)

    def _file(self, kind: str) -> Path:
        return self._folder / f"{self._name}.callee-{kind}"

    def said(self) -> str:
        files = (self._file("log"), self._file("err"))
        return "".join(file.read_text(errors="replace") for file in files if file.exists())

    def logged(self, word: str) -> str | None:
        """The rest of the log's line that begins with `word`."""
        for line in self.said().splitlines():
            first, _, rest = line.partition(" ")
            if first == word:
                return rest.strip()
        return None

    async def until(self, word: str, *, limit_s: float = 10.0) -> str:
        """Waits for a line of the log: rtp, answered, invited, ended. Raises CalleeError."""
        until = time.monotonic() + limit_s
        while (found := self.logged(word)) is None:
            if time.monotonic() > until:
                raise CalleeError(f"no {word!r}: {self.said() or 'SIPp logged nothing'}")
            await asyncio.sleep(0.02)
        return found

    async def _media(self) -> None:
        """A frame every 20 ms as soon as it is known whereto."""
        assert self._link is not None
        self._link.connect(int(await self.until("rtp", limit_s=LONGEST_S)))
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            self._link.send_audio(bytes(self._outbox[:FRAME]).ljust(FRAME, b"\0"))
            del self._outbox[:FRAME]
            due += FRAME_S
            await asyncio.sleep(max(0.0, due - loop.time()))

    def say(self, pcm: bytes) -> None:
        self._outbox += pcm

    def press(self, digits: str) -> None:
        assert self._link is not None
        for digit in digits:
            self._link.send_dtmf(digit)

    def hang_up(self) -> None:
        """Ask the scenario to send its BYE."""
        call_id = self.logged("call-id")
        text = (
            f"INFO sip:human@127.0.0.1:{self.port} SIP/2.0\r\n"
            f"Via: SIP/2.0/UDP 127.0.0.1:9;branch=z9hG4bK{uuid4().hex}\r\n"
            f"From: <sip:bench@127.0.0.1>;tag={uuid4().hex}\r\nTo: <sip:human@127.0.0.1>\r\n"
            f"Call-ID: {call_id}\r\nCSeq: 1 INFO\r\nContent-Length: 0\r\n\r\n"
        )
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.sendto(text.encode(), ("127.0.0.1", self.port))

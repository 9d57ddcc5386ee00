"""A caller's SIP side by SIPp: one call a process, told by a scenario, heard through its log.

The media is somebody else's (`rtp_port`, see caller.py), or SIPp plays a pcap file (`plays`), which takes root.
"""

from __future__ import annotations

import asyncio
import socket
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID, uuid4

from tests.pbx.asterisk import free_port
from tests.pbx.process import end, tied

SCENARIO = Path(__file__).with_name("scenarios") / "invite.xml"
PLAY = '<nop><action><exec play_pcap_audio="{name}"/></action></nop>'
ANSWER_S = 10.0
GONE_S = 5.0
LONGEST_S = 170
"""SIPp gives a call up after this, whatever happened to the test."""


class SippError(Exception):
    """The call was not answered, or SIPp did not end; the text holds what SIPp logged."""


@dataclass
class SippCall:
    """A call to `extension`, whose agent listens at `media`. End it with `close`, always."""

    sip_port: int
    extension: str
    folder: Path
    media: str
    rtp_port: int = 0
    plays: Path | None = None
    call: UUID = field(default_factory=uuid4)
    port: int = field(default_factory=lambda: free_port(socket.SOCK_DGRAM))
    _process: subprocess.Popen[bytes] | None = field(init=False, default=None)

    def start(self) -> None:
        keys = {"call": str(self.call), "media": self.media, "rtp_port": str(self.rtp_port)}
        given = [part for name, value in keys.items() for part in ("-key", name, value)]
        command = [
            "sipp", f"127.0.0.1:{self.sip_port}", "-sf", str(self._scenario()),
            "-s", self.extension, *given, "-i", "127.0.0.1", "-mi", "127.0.0.1", "-p", str(self.port),
            "-cid_str", str(self.call), "-m", "1", "-nostdin", "-timeout", str(LONGEST_S),
            "-trace_logs", "-log_file", str(self._file("log")), "-trace_err", "-error_file", str(self._file("err")),
        ]
        self._process = subprocess.Popen(
            tied(command),
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=self.folder,
        )

    def _scenario(self) -> Path:
        if self.plays is None:
            return SCENARIO
        text = SCENARIO.read_text().replace("[rtp_port]", "[media_port]")
        made = self._file("xml")
        made.write_text(text.replace("<!-- PLAY -->", PLAY.format(name=self.plays)))
        return made

    def _file(self, kind: str) -> Path:
        return self.folder / f"{self.call}.sipp-{kind}"

    def said(self) -> str:
        """What the scenario and SIPp itself have logged."""
        files = (self._file("log"), self._file("err"))
        return "".join(file.read_text(errors="replace") for file in files if file.exists())

    async def answered(self) -> int:
        """The port where the other side takes RTP, once it has answered. Raises SippError."""
        until = time.monotonic() + ANSWER_S
        while time.monotonic() < until and self.running:
            for line in self.said().splitlines():
                word, _, port = line.partition(" ")
                if word == "answered" and port.strip().isdigit():
                    return int(port)
            await asyncio.sleep(0.02)
        raise SippError(f"{self.extension} did not answer: {self.said() or 'SIPp logged nothing'}")

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def ended_by(self) -> str:
        """`callee`, `caller`, or nothing while the call is on."""
        for line in self.said().splitlines():
            if line.startswith("ended by "):
                return line.removeprefix("ended by ").strip()
        return ""

    def hang_up(self) -> None:
        """Ask the scenario to send its BYE: an INFO of this Call-ID, from a socket of ours."""
        text = (
            f"INFO sip:caller@127.0.0.1:{self.port} SIP/2.0\r\n"
            f"Via: SIP/2.0/UDP 127.0.0.1:9;branch=z9hG4bK{uuid4().hex}\r\n"
            f"From: <sip:bench@127.0.0.1>;tag={uuid4().hex}\r\nTo: <sip:caller@127.0.0.1>\r\n"
            f"Call-ID: {self.call}\r\nCSeq: 1 INFO\r\nContent-Length: 0\r\n\r\n"
        )
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.sendto(text.encode(), ("127.0.0.1", self.port))

    async def close(self) -> None:
        """Hang up if the call is still on, and be sure that SIPp is gone."""
        if self.running and not self.ended_by:
            self.hang_up()
        if self._process is not None and not await asyncio.to_thread(self._gone_within, GONE_S):
            end(self._process)
            raise SippError(f"SIPp did not end by itself: {self.said()}")

    def _gone_within(self, seconds: float) -> bool:
        assert self._process is not None
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

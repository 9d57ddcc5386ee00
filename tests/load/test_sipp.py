"""SIPp with our scenario against a telephone of a few lines: passwords, refusals, media anew, nobody there."""

from __future__ import annotations

import asyncio
import re
import shutil
from pathlib import Path

import pytest

from voicebridge.audio.g711 import MU
from voicebridge.load.script import Account, Script
from voicebridge.load.sipp import Pace, Sipp, Step

pytestmark = pytest.mark.skipif(shutil.which("sipp") is None, reason="no sipp: apt install sip-tester")
SDP = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 4444 RTP/AVP 0\r\n"
LIMIT_S = 20.0


class Telephone(asyncio.DatagramProtocol):
    """Answers INVITEs with `answers` in turn (the last one for ever); keeps what it was sent."""

    def __init__(self, *answers: str, then: str = "") -> None:
        self._answers, self._then = list(answers), then
        self._transport: asyncio.DatagramTransport | None = None
        self.got: list[str] = []

    def connection_made(self, transport) -> None:
        self._transport = transport

    @property
    def port(self) -> int:
        assert self._transport is not None
        return self._transport.get_extra_info("sockname")[1]

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        text = data.decode()
        self.got.append(text)
        method = text.split(" ", 1)[0]
        if method == "INVITE":
            status = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
            if status:
                self._reply(text, addr, status)
        elif method == "ACK" and self._then and "200" in self._answers[0]:
            self._send(self._request(self._then, text, addr), addr)
            self._then = ""
        elif method == "SIP/2.0" and "CSeq: 7 INVITE" in text:
            self._send(self._request("ACK", text, addr), addr)
            self._send(self._request("BYE", text, addr), addr)
        elif method in ("BYE", "CANCEL"):
            self._reply(text, addr, "200 OK")

    def _reply(self, text: str, addr: tuple[str, int], status: str) -> None:
        kept = re.findall(r"(?m)^(?:Via|From|Call-ID|CSeq): .*$", text)
        to = re.findall(r"(?m)^To: [^\r\n]*", text)[0]
        body = SDP if status.startswith("200") and "INVITE sip" in text else ""
        more = ['WWW-Authenticate: Digest realm="pbx", nonce="n1", algorithm=MD5'] if status.startswith("401") else []
        tag = "" if "tag=" in to else ";tag=there"
        head = [f"SIP/2.0 {status}", *(line.strip() for line in kept), f"{to.strip()}{tag}", *more,
                f"Contact: <sip:there@127.0.0.1:{self.port}>", f"Content-Length: {len(body)}"]  # fmt: skip
        self._send("\r\n".join([*head, "", body]), addr)

    def _request(self, method: str, text: str, addr: tuple[str, int]) -> str:
        call = re.findall(r"(?m)^Call-ID: .*$", text)[0].strip()
        body = SDP if method == "INVITE" else ""
        head = [f"{method} sip:load@127.0.0.1:{addr[1]} SIP/2.0",
                f"Via: SIP/2.0/UDP 127.0.0.1:{self.port};branch=z9hG4bK{method}{len(self.got)}",
                "From: <sip:100@127.0.0.1>;tag=there", "To: <sip:load@127.0.0.1>;tag=here", call,
                f"CSeq: {8 if method == 'BYE' else 7} {method}", f"Content-Length: {len(body)}"]  # fmt: skip
        return "\r\n".join([*head, "", body])

    def _send(self, text: str, addr: tuple[str, int]) -> None:
        assert self._transport is not None
        self._transport.sendto(text.encode(), addr)


async def steps(telephone: Telephone, script: Script, folder: Path, *, hang_up: bool = False) -> list[Step]:
    """Of one call."""
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(lambda: telephone, local_addr=("127.0.0.1", 0))
    sipp = Sipp(folder, script, local="127.0.0.1")
    made = []
    try:
        sipp.start("100", ("127.0.0.1", telephone.port), Pace(1, 10, 1), [("one", 4000)])
        async with asyncio.timeout(LIMIT_S):
            async for step in sipp.steps():
                made.append(step)
                if step.kind == "answered" and hang_up:
                    sipp.hang_up(step.number)
    finally:
        await sipp.end()
        transport.close()
    return made


async def test_a_password_is_given_when_it_is_asked_for(tmp_path: Path):
    telephone = Telephone("401 Unauthorized", "486 Busy Here")
    made = await steps(telephone, Script(MU, account=Account("ann", "secret")), tmp_path)
    assert [(step.kind, step.code) for step in made] == [("offered", 0), ("refused", 486)]
    _, second = [text for text in telephone.got if text.startswith("INVITE")]
    assert re.search(r'Authorization: Digest .*username="ann".*response="[0-9a-f]{32}"', second)
    assert not any("secret" in text for text in telephone.got)
    acks = [text for text in telephone.got if text.startswith("ACK")]
    assert [re.findall(r"CSeq: (\d+)", text)[0] for text in acks] == ["1", "2"]
    assert (tmp_path / "load.xml").stat().st_mode & 0o077 == 0


async def test_without_a_password_the_challenge_is_a_refusal(tmp_path: Path):
    made = await steps(Telephone("401 Unauthorized"), Script(MU), tmp_path)
    assert made[-1] == Step("refused", 1, code=401)


async def test_we_hang_up_when_we_want_to(tmp_path: Path):
    telephone = Telephone("200 OK")
    made = await steps(telephone, Script(MU), tmp_path, hang_up=True)
    assert made[1:] == [Step("answered", 1, host="127.0.0.1", port=4444), Step("ended", 1, by="caller")]
    (bye,) = [text for text in telephone.got if text.startswith("BYE")]
    assert "tag=there" in bye
    (invite,) = [text for text in telephone.got if text.startswith("INVITE")]
    assert "X-VB-Call: one" in invite
    assert "m=audio 4000 RTP/AVP 0 101" in invite


@pytest.mark.parametrize("then", ["BYE", "INVITE"])
async def test_the_other_side_hangs_up_or_asks_for_media_again_first(then: str, tmp_path: Path):
    telephone = Telephone("200 OK", then=then)
    made = await steps(telephone, Script(MU), tmp_path)
    assert made[-1] == Step("ended", 1, by="callee")
    again = [text for text in telephone.got if text.startswith("SIP/2.0 200") and "CSeq: 7 INVITE" in text]
    assert len(again) == (then == "INVITE")
    assert all("m=audio 4000" in text for text in again)


async def test_who_does_not_answer_is_given_up(tmp_path: Path):
    telephone = Telephone("180 Ringing")
    made = await steps(telephone, Script(MU, ring_s=0.5), tmp_path)
    assert made == [Step("offered", 1), Step("heard", 1), Step("refused", 1, code=0)]
    assert any(text.startswith("CANCEL") for text in telephone.got)

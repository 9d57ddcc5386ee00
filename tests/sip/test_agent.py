"""The user agent against a PBX of a few lines, on the wire: losses, challenges, refusals, and who is not there."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

import pytest

from voicebridge.sip import agent
from voicebridge.sip.agent import Account, SipError, UserAgent
from voicebridge.sip.messages import Message, Whom, reply_to

SDP = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n"
CHALLENGE = 'Digest realm="pbx", nonce="n1", qop="auth", algorithm=MD5'
DEADLINE_S = 10.0


class Pbx(asyncio.DatagramProtocol):
    """Answers each request by `script`: what it returns is sent. All that came is kept."""

    def __init__(self, script: Callable[[Pbx, Message], list[str]]) -> None:
        self._script = script
        self.got: list[Message] = []

    def connection_made(self, transport) -> None:
        self.transport = transport
        self.port = transport.get_extra_info("sockname")[1]

    def datagram_received(self, data: bytes, addr) -> None:
        self.peer = addr
        message = Message.parsed(data)
        assert message is not None
        self.got.append(message)
        for text in self._script(self, message):
            self.transport.sendto(text.encode(), addr)

    def methods(self) -> list[str]:
        return [message.method for message in self.got if not message.code]

    def ask(self, method: str, number: int, body: str = "") -> None:
        """A request within the call."""
        call_id = self.got[0].first("call-id")
        text = (
            f"{method} sip:x SIP/2.0\r\nVia: SIP/2.0/UDP pbx\r\nFrom: <sip:a>;tag=theirs\r\nTo: <sip:b>;tag=ours\r\n"
            f"Call-ID: {call_id}\r\nCSeq: {number} {method}\r\n\r\n{body}"
        )
        self.transport.sendto(text.encode(), self.peer)

    async def until(self, done: Callable[[Pbx], bool]) -> None:
        async with asyncio.timeout(DEADLINE_S):
            while not done(self):  # noqa: ASYNC110 - a socket of another loop's turn
                await asyncio.sleep(0.01)


def ok(request: Message, sdp: str = SDP) -> str:
    more = ["Contact: <sip:agent@127.0.0.1>"] + (["Content-Type: application/sdp"] if sdp else [])
    return reply_to(request, "200 OK", more, sdp).replace("\r\nCall-ID", ";tag=theirs\r\nCall-ID", 1)


def kindly(_: Pbx, request: Message) -> list[str]:
    if request.code or request.method == "ACK":
        return []
    return [ok(request)] if request.method == "INVITE" else [reply_to(request, "200 OK")]


@pytest.fixture(autouse=True)
def hurry(monkeypatch):
    monkeypatch.setattr(agent, "T1_S", 0.05)
    monkeypatch.setattr(agent, "DEAF_S", 0.6)
    monkeypatch.setattr(agent, "LEAVE_S", 0.5)


@pytest.fixture
async def phone():
    """`await phone(script, ...)`: a PBX and a user agent that is about to call it."""
    opened: list = []

    async def make(script, **account) -> tuple[Pbx, UserAgent, list[str]]:
        loop = asyncio.get_running_loop()
        transport, pbx = await loop.create_datagram_endpoint(lambda: Pbx(script), ("127.0.0.1", 0))
        ended: list[str] = []
        whom = Whom("100", f"127.0.0.1:{pbx.port}", "ann")
        made = await UserAgent.open(
            whom, ("127.0.0.1", pbx.port), account=Account("ann", "secret") if account else None,
            on_ended=lambda: ended.append("ended"),
        )  # fmt: skip
        made.take(4000)
        opened.extend((transport, made))
        return pbx, made, ended

    yield make
    for one in opened:
        one.close()


async def test_a_call_is_answered_acknowledged_and_hung_up(phone):
    pbx, ours, ended = await phone(kindly)
    answered = await ours.invite()
    assert (answered.media.host, answered.media.port, answered.media.law.name) == ("127.0.0.1", 4000, "PCMU")
    await ours.hang_up()
    await ours.hang_up()
    assert pbx.methods() == ["INVITE", "ACK", "BYE"]
    assert {message.first("to").partition(";tag=")[2] for message in pbx.got[1:]} == {"theirs"}
    assert ended == [], "who hangs up himself is not told"


async def test_what_is_lost_is_sent_again_both_ways(phone):
    def forgetful(pbx: Pbx, request: Message) -> list[str]:
        if request.method == "INVITE":
            return [] if pbx.methods().count("INVITE") < 3 else [ok(request)]
        if request.method == "ACK":
            return [ok(pbx.got[0])] if pbx.methods().count("ACK") < 2 else []  # as if it had not come
        return [] if pbx.methods().count("BYE") < 2 else kindly(pbx, request)

    pbx, ours, _ = await phone(forgetful)
    await ours.invite()
    await pbx.until(lambda pbx: pbx.methods().count("ACK") == 2)
    await ours.hang_up()
    assert pbx.methods() == ["INVITE"] * 3 + ["ACK"] * 2 + ["BYE"] * 2
    assert len({message.first("via") for message in pbx.got if message.method == "INVITE"}) == 1


@pytest.mark.parametrize(("code", "theirs", "ours"), [
    (401, "WWW-Authenticate", "authorization"), (407, "Proxy-Authenticate", "proxy-authorization"),
], ids=["401", "407"])  # fmt: skip
async def test_a_challenge_is_answered(phone, code: int, theirs: str, ours: str):
    def asking(pbx: Pbx, request: Message) -> list[str]:
        if request.method in ("INVITE", "REGISTER") and not request.first(ours):
            return [reply_to(request, f"{code} Who is it", [f"{theirs}: {CHALLENGE}"])]
        return kindly(pbx, request)

    pbx, made, _ = await phone(asking, account=True)
    await made.register()
    await made.invite()
    await made.hang_up()
    assert pbx.methods() == ["REGISTER"] * 2 + ["INVITE", "ACK", "INVITE", "ACK", "BYE"] + ["REGISTER"] * 2
    assert [message.first("expires") for message in pbx.got if message.method == "REGISTER"][1:] == ["120", "0", "0"]
    value = pbx.got[4].first(ours)
    assert 'username="ann"' in value and f'uri="sip:100@127.0.0.1:{pbx.port}"' in value
    assert "secret" not in "".join(str(message) for message in pbx.got)


@pytest.mark.parametrize(("status", "account", "why"), [
    ("401 Unauthorized", False, "asks who calls (401): say --user"),
    ("407 Proxy Authentication Required", True, "does not take user 'ann' with this password"),
    ("403 Forbidden", False, "403 Forbidden: it lets nobody"),
    ("404 Not Found", False, "dialplan show 100@CONTEXT"),
    ("488 Not Acceptable Here", False, "allow=ulaw"),
    ("302 Moved Temporarily", False, "sends the call on (302) to sip:elsewhere@127.0.0.1"),
    ("499 Whatever", False, "499 Whatever: the PBX's log says why"),
], ids=["401", "407", "403", "404", "488", "302", "499"])  # fmt: skip
async def test_a_refusal_is_acknowledged_and_told_with_its_cure(phone, status: str, account: bool, why: str):
    def refusing(_: Pbx, request: Message) -> list[str]:
        more = [f"{name}-Authenticate: {CHALLENGE}" for name in ("WWW", "Proxy")]
        more.append("Contact: <sip:elsewhere@127.0.0.1>")
        return [reply_to(request, "100 Trying"), reply_to(request, status, more)] if request.method == "INVITE" else []

    pbx, ours, _ = await phone(refusing, **({"account": True} if account else {}))
    with pytest.raises(SipError) as error:
        await ours.invite()
    assert why in str(error.value)
    assert error.value.code == int(status[:3])
    tries = 2 if account else 1
    await pbx.until(lambda pbx: pbx.methods() == ["INVITE", "ACK"] * tries)


async def test_a_challenge_that_is_not_known_is_told(phone):
    def strange(_: Pbx, request: Message) -> list[str]:
        return [reply_to(request, "401 Unauthorized", ["WWW-Authenticate: Negotiate x"])]

    _, ours, _ = await phone(strange, account=True)
    with pytest.raises(SipError, match="Negotiate"):
        await ours.register()


async def test_a_registration_that_is_refused_is_told(phone):
    _, ours, _ = await phone(lambda pbx, request: [reply_to(request, "403 Forbidden")])
    with pytest.raises(SipError, match="does not register 'ann': 403"):
        await ours.register()


async def test_an_answer_without_sound_is_hung_up(phone):
    def mute(pbx: Pbx, request: Message) -> list[str]:
        return [ok(request, "")] if request.method == "INVITE" else kindly(pbx, request)

    pbx, ours, _ = await phone(mute)
    with pytest.raises(SipError, match="without sound in G.711"):
        await ours.invite()
    assert pbx.methods() == ["INVITE", "ACK", "BYE"]


async def test_who_says_nothing_at_all_is_not_there(phone):
    pbx, ours, _ = await phone(lambda pbx, request: [])
    with pytest.raises(SipError, match="nothing answered on 127.0.0.1"):
        await ours.invite()
    assert pbx.methods().count("INVITE") >= 2


async def test_a_port_that_nobody_listens_on_is_told_at_once():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    ours = await UserAgent.open(Whom("1", "a", "b"), ("127.0.0.1", port), account=None, on_ended=lambda: None)
    ours.take(4000)
    with pytest.raises(SipError, match="nothing listens on"):
        await ours.invite()
    ours.close()


async def test_a_name_that_there_is_not_is_told():
    with pytest.raises(SipError, match="no way to no-such-host.invalid"):
        await UserAgent.open(Whom("1", "a", "b"), ("no-such-host.invalid", 5060), account=None, on_ended=lambda: None)


async def test_an_answer_that_crosses_the_cancel_is_hung_up(phone, monkeypatch):
    monkeypatch.setattr(agent, "RING_S", 0.3)
    invites: list[Message] = []

    def late(pbx: Pbx, request: Message) -> list[str]:
        if request.method == "INVITE":
            invites.append(request)
            return [reply_to(request, "180 Ringing")]
        if request.method == "CANCEL":
            return [reply_to(request, "200 OK"), ok(invites[0])]
        return kindly(pbx, request)

    pbx, ours, _ = await phone(late)
    with pytest.raises(SipError, match="nobody answered 100"):
        await ours.invite()
    assert pbx.methods() == ["INVITE", "CANCEL", "ACK", "BYE"]


async def test_who_interrupts_while_it_rings_stops_the_ringing(phone):
    pbx, ours, _ = await phone(lambda pbx, request: [reply_to(request, "180 Ringing")] * (request.method == "INVITE"))
    call = asyncio.create_task(ours.invite())
    await pbx.until(lambda pbx: pbx.methods() == ["INVITE"])
    call.cancel()
    await pbx.until(lambda pbx: pbx.methods() == ["INVITE", "CANCEL"])
    assert pbx.got[1].first("via") == pbx.got[0].first("via")


async def test_what_the_pbx_asks_in_a_call_is_answered_and_its_bye_ends_it_once(phone):
    pbx, ours, ended = await phone(kindly)
    await ours.invite()
    pbx.ask("OPTIONS", 1)
    pbx.ask("INVITE", 2, SDP)
    pbx.ask("ACK", 2)
    pbx.ask("REFER", 3)
    pbx.ask("BYE", 4)
    pbx.ask("BYE", 4)
    await pbx.until(lambda pbx: sum(bool(message.code) for message in pbx.got) == 5)
    replies = [message for message in pbx.got if message.code]
    assert [(reply.number, reply.code) for reply in replies] == [(1, 200), (2, 200), (3, 481), (4, 200), (4, 200)]
    assert "m=audio 4000 RTP/AVP 0" in replies[1].body
    assert ended == ["ended"]
    await ours.hang_up()
    assert pbx.methods() == ["INVITE", "ACK"], "who has been hung up on sends no BYE"


async def test_another_call_is_refused_and_noise_does_no_harm(phone):
    pbx, ours, ended = await phone(kindly)
    await ours.invite()
    stranger = "{0} sip:x SIP/2.0\r\nVia: v\r\nFrom: f\r\nTo: t\r\nCall-ID: other\r\nCSeq: 1 {0}\r\n\r\n"
    for text in ("\r\n\r\n", "nonsense", stranger.format("INVITE"), stranger.format("BYE"), "SIP/2.0 200 OK\r\n\r\n"):
        pbx.transport.sendto(text.encode(), pbx.peer)
    await pbx.until(lambda pbx: sum(bool(message.code) for message in pbx.got) == 2)
    assert [message.code for message in pbx.got if message.code] == [486, 481]
    assert ended == []

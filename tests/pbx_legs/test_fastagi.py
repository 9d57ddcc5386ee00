"""FastAGI over real sockets: an Asterisk of a few lines, and peers that are none. The real one: tests/pbx."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import time
from collections.abc import AsyncIterator
from uuid import UUID, uuid4

import pytest

from voicebridge.pbx.asterisk.fastagi import Addresses, FastAgiServer, Script, Session, scripts
from voicebridge.pbx.attach import AttachRequest, CallEnd, Destination, Refused, Ticket

LOOPBACK = [ipaddress.ip_network("127.0.0.0/8")]
NIGHT = Destination("night", "queue", "nights")


class Desk:
    """Answers what it is told to, and keeps what it was asked."""

    def __init__(self) -> None:
        self.answer: Ticket | Refused | None = None
        self.end = CallEnd("HANGUP", "rule_bye")
        self.attached: list[AttachRequest] = []
        self.outcomes: list[UUID] = []

    def attach(self, request: AttachRequest) -> Ticket | Refused:
        self.attached.append(request)
        return self.answer or Ticket(request.call_id or UUID(int=1), request.agent or "demo", request, 10.0, NIGHT)

    async def outcome(self, call_id: UUID) -> CallEnd:
        self.outcomes.append(call_id)
        return self.end


class Channel:
    """Asterisk's side of one AGI(): sends the environment, answers from its variables."""

    def __init__(self, port: int, script: str, variables: dict[str, str] | None = None) -> None:
        self.port, self.script = port, script
        self.variables = dict(variables or {})
        self.commands: list[str] = []
        self.order: list[str] = []

    async def run(self, *, hang_up_after: int = -1) -> Channel:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(
            f"agi_network: yes\nagi_network_script: {self.script}\nagi_channel: PJSIP/a-1\nagi_uniqueid: 1.1\n"
            "agi_callerid: 4711\nagi_calleridname: unknown\nagi_dnid: 100\n\n".encode()
        )
        while line := (await reader.readline()).decode():
            if len(self.commands) == hang_up_after:
                writer.write(b"HANGUP\n")
            self.commands.append(line)
            writer.write(self.reply(line.rstrip("\n")).encode())
        writer.close()
        return self

    def reply(self, line: str) -> str:
        verb, what, *rest = line.split(" ", 3)
        name = rest[0]
        if (verb, what) == ("SET", "VARIABLE"):
            self.variables[name] = rest[1].strip('"')
            self.order.append(name)
            return "200 result=1\n"
        value = self.variables.get(name)
        return f"200 result=1 ({value})\n" if value else "200 result=0\n"


@contextlib.asynccontextmanager
async def listening(given: dict[str, Script], **options: object) -> AsyncIterator[FastAgiServer]:
    server = FastAgiServer("127.0.0.1", 0, given, **{"allow": LOOPBACK, **options})
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


@contextlib.asynccontextmanager
async def serving(desk: Desk, **options: object) -> AsyncIterator[FastAgiServer]:
    addresses = Addresses(("0.0.0.0", 9092), ("0.0.0.0", 4573), advertise="")  # noqa: S104 - nothing is bound
    async with listening(scripts(desk, lambda: addresses), **options) as server:
        yield server


# ---- attach and outcome


async def test_attach_tells_where_the_audio_goes():
    desk, wanted = Desk(), uuid4()
    async with serving(desk) as server:
        channel = await Channel(server.port, "attach", {"VB_AGENT": "desk", "VB_CALL": str(wanted)}).run()
    assert desk.attached == [
        AttachRequest("desk", wanted, caller="4711", dialled="100", channel="PJSIP/a-1", unique_id="1.1")
    ]
    told = {name: channel.variables[name] for name in channel.order}
    assert told == {
        "VB_CALL": str(wanted), "VB_ATTACHED": str(wanted), "VB_MEDIA": "127.0.0.1:9092", "VB_NODE": "127.0.0.1:4573",
        "VB_TARGET": "night", "VB_TARGET_KIND": "queue", "VB_TARGET_DEST": "nights", "VB_STATUS": "OK",
    }
    assert channel.order[-1] == "VB_STATUS"  # who has it has all


async def test_an_id_that_was_given_by_us_is_not_asked_for_again():
    desk, last = Desk(), str(uuid4())
    async with serving(desk) as server:
        await Channel(server.port, "attach", {"VB_CALL": last, "VB_ATTACHED": last}).run()
        await Channel(server.port, "attach", {"VB_CALL": str(uuid4()), "VB_ATTACHED": last}).run()
    assert desk.attached[0].call_id is None
    assert desk.attached[1].call_id is not None


async def test_a_refusal_is_all_that_is_told():
    desk = Desk()
    desk.answer = Refused("BUSY")
    async with serving(desk) as server:
        channel = await Channel(server.port, "/attach/").run()
    assert channel.order == ["VB_STATUS"]
    assert channel.variables["VB_STATUS"] == "BUSY"


async def test_who_hangs_up_while_he_is_asked_for_gets_no_place():
    desk = Desk()
    async with serving(desk) as server:
        channel = await Channel(server.port, "attach").run(hang_up_after=3)
    assert desk.attached == []
    assert channel.order == []


async def test_outcome_tells_how_the_call_ended_also_to_a_dead_channel():
    desk, call = Desk(), uuid4()
    desk.end = CallEnd("TRANSFER", "asked", Destination("sales", "context", "in,s,1"), 'a "bill"\nEXEC Dial x')
    async with serving(desk) as server:
        channel = await Channel(server.port, "outcome", {"VB_CALL": str(call)}).run(hang_up_after=0)
    assert desk.outcomes == [call]
    assert {name: channel.variables[name] for name in channel.order} == {
        "VB_CALL": str(call), "VB_REASON": "asked", "VB_SUMMARY": "a bill EXEC Dial x", "VB_TARGET": "sales",
        "VB_TARGET_KIND": "context", "VB_TARGET_DEST": "in,s,1", "VB_RESULT": "TRANSFER",
    }
    assert channel.order[-1] == "VB_RESULT"


async def test_an_outcome_without_a_call_sets_nothing():
    desk = Desk()
    async with serving(desk) as server:
        channel = await Channel(server.port, "outcome", {"VB_CALL": "1767225600.1"}).run()
    assert (desk.outcomes, channel.order) == ([], [])


@pytest.mark.parametrize(
    ("host", "advertise", "own", "media"),
    [
        ("0.0.0.0", "", "192.0.2.7", "192.0.2.7:9092"),  # noqa: S104 - nothing is bound
        ("::", "", "::ffff:192.0.2.7", "192.0.2.7:9092"),
        ("::", "", "2001:db8::7", "[2001:db8::7]:9092"),
        ("::", "", "fe80::7%eth0", "[fe80::7]:9092"),
        ("192.0.2.7", "", "192.0.2.7", "192.0.2.7:9092"),
        ("192.0.2.7", "pbx-voice.example", "192.0.2.7", "pbx-voice.example:9092"),
        ("127.0.0.1", "2001:db8::9", "127.0.0.1", "[2001:db8::9]:9092"),
    ],
)
def test_the_pbx_is_told_an_address_that_it_can_reach(host: str, advertise: str, own: str, media: str):
    addresses = Addresses((host, 9092), (host, 4573), advertise=advertise)
    assert addresses.media(own) == media
    assert addresses.node(own) == media.replace(":9092", ":4573")


def test_audio_and_questions_may_have_addresses_of_their_own():
    addresses = Addresses(("192.0.2.7", 9092), ("127.0.0.1", 4573), advertise="")
    assert (addresses.media("127.0.0.1"), addresses.node("127.0.0.1")) == ("192.0.2.7:9092", "127.0.0.1:4573")


# ---- peers that are no Asterisk, or a bad one


async def until(done, limit_s: float = 3.0) -> None:
    for _ in range(round(limit_s / 0.01)):
        if done():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not come to that")


async def closed_after(port: int, data: bytes) -> float:
    """Seconds until a peer that sends this and waits is hung up on."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    began = time.monotonic()
    writer.write(data)
    with contextlib.suppress(ConnectionError):
        await asyncio.wait_for(reader.read(), 5.0)
    writer.close()
    return time.monotonic() - began


@pytest.mark.parametrize(
    "data", [b"", b"agi_network: yes\n", b"agi_network_script: attach\n\n", b"agi_network_script: a"]
)
async def test_one_who_does_not_go_on_is_hung_up_on(data: bytes, caplog: pytest.LogCaptureFixture):
    async with serving(Desk(), hello_s=0.2, script_s=0.2) as server:
        took = await closed_after(server.port, data)
        await until(lambda: len(server) == 0)
    assert 0.1 < took < 3.0
    assert "too slow" in caplog.text


async def test_one_who_drips_is_not_given_more_time():
    async with serving(Desk(), hello_s=0.3) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        began = time.monotonic()
        with contextlib.suppress(ConnectionError):
            while time.monotonic() - began < 5.0 and not reader.at_eof():
                writer.write(b"a")
                await writer.drain()
                await asyncio.sleep(0.02)
        assert time.monotonic() - began < 3.0
        writer.close()
        await until(lambda: len(server) == 0)


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "no agi_name"),
        (b"agi_network_script: passwd\n\n", "none of attach, outcome, ping"),
        (b"x" * 20_000, "a line of more than"),
        (b"agi_network_script: attach\n\n200 result=1\n200 result=1\n", "nobody asked for"),
        (b"agi_network_script: attach\n\n\x00\xff\n", "nobody asked for"),
    ],
)
async def test_nonsense_is_hung_up_on_at_once(data: bytes, told: str, caplog: pytest.LogCaptureFixture):
    desk = Desk()
    async with serving(desk) as server:
        assert await closed_after(server.port, data) < 2.0
        await until(lambda: len(server) == 0)
        channel = await Channel(server.port, "attach").run()
    assert told in caplog.text
    assert channel.variables["VB_STATUS"] == "OK"  # the next one is served


async def test_one_who_goes_away_is_forgotten():
    async with serving(Desk()) as server:
        _, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"agi_network_script: attach\n\n")
        await until(lambda: len(server) == 1)
        writer.transport.abort()
        await until(lambda: len(server) == 0)


async def test_no_more_than_so_many_at_once_and_a_place_is_given_again():
    desk = Desk()
    async with serving(desk, max_connections=3, hello_s=0.5) as server:
        idle = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(3)]
        await until(lambda: len(server) == 3)
        assert await closed_after(server.port, b"") < 0.4
        await until(lambda: len(server) == 0)
        assert (await Channel(server.port, "attach").run()).variables["VB_STATUS"] == "OK"
        for _, writer in idle:
            writer.close()


async def test_who_is_not_in_the_allow_list_is_not_listened_to():
    desk = Desk()
    async with serving(desk, allow=[ipaddress.ip_network("192.0.2.0/24")]) as server:
        assert await closed_after(server.port, b"agi_network_script: attach\n\n") < 1.0
        assert len(server) == 0
    assert desk.attached == []


async def test_a_script_that_fails_is_not_the_end_of_the_listener(caplog: pytest.LogCaptureFixture):
    async def broken(session: Session) -> None:
        raise KeyError("of its own")

    async with listening({"broken": broken}) as server:
        assert await closed_after(server.port, b"agi_network_script: broken\n\n") < 2.0
        assert await closed_after(server.port, b"agi_network_script: broken\n\n") < 2.0
    assert caplog.text.count("a script failed") == 2


async def test_a_command_that_is_refused_ends_the_script(caplog: pytest.LogCaptureFixture):
    after: list[str] = []

    async def sets(session: Session) -> None:
        await session.set("VB_X", "y")
        after.append("went on")

    class Refusing(Channel):
        def reply(self, line: str) -> str:
            return "511 Command Not Permitted on a dead channel or intercept routine\n"

    async with listening({"sets": sets}) as server:
        await Refusing(server.port, "sets").run()
    assert "SET VARIABLE VB_X: 511" in caplog.text
    assert after == []


async def test_stop_lets_a_running_script_finish_and_ends_what_hangs():
    ended: list[str] = []

    async def short(session: Session) -> None:
        await asyncio.sleep(0.2)
        ended.append("short")

    async def long(session: Session) -> None:
        try:
            await asyncio.sleep(30)
        finally:
            ended.append("long")

    async with listening({"short": short, "long": long}, script_s=60.0) as server:
        clients = [asyncio.create_task(closed_after(server.port, b"agi_network_script: %s\n\n" % name))
                   for name in (b"short", b"long")]
        await until(lambda: len(server) == 2)
        await asyncio.sleep(0.05)
        began = time.monotonic()
        await server.stop()
        assert time.monotonic() - began < 3.0
        assert ended == ["short", "long"]
        await asyncio.gather(*clients)


async def test_the_log_holds_nothing_of_the_caller(caplog: pytest.LogCaptureFixture):
    caplog.set_level("INFO")
    desk = Desk()
    desk.end = CallEnd("HANGUP", "bye", summary="a secret wish")
    async with serving(desk) as server:
        given = {"VB_CALL": str(uuid4()), "VB_GREETING": "Hello secret", "VB_DATA_KEYS": "pin", "VB_DATA_pin": "1234"}
        await Channel(server.port, "attach", given).run()
        await Channel(server.port, "outcome", given).run()
    assert "secret" not in caplog.text and "1234" not in caplog.text and "4711" not in caplog.text
    assert "expected" in caplog.text and "outcome told: HANGUP" in caplog.text

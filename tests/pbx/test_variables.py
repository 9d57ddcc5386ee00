"""Hostile text through the real Asterisk: what is cleaned comes back as it went in, and does nothing on its way."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.pbx.asterisk import Asterisk
from voicebridge.pbx.asterisk.fastagi import FastAgiServer, Session
from voicebridge.protocol import agi
from voicebridge.protocol.variables import clean

pytestmark = pytest.mark.asterisk

LIMIT = 400
CANARY = "untouched"
HOSTILE = st.sampled_from(
    [
        '"', "\\", "\n", "\r\n", "\0", "$", "${", "}", "$[", "]", ",", ";", "^", "|", "&", "(", ")", "'", "`", " ",
        "\t", 'x"\nSET VARIABLE VB_CANARY gone\n', "\nHANGUP\n", "${CHANNEL(name)}", "${VB_CANARY}", "$[1+1]",
        "${SHELL(id)}", ")\n200 result=1 (", "EXEC Hangup", "%0a", "\u2028", "\x85", "\u202e", "\ud800", "\U0001f600",
    ]
)
TEXT = st.lists(HOSTILE | st.text(max_size=30), max_size=12).map("".join)


class OnChannel:
    """A channel of Asterisk's that an AGI script of ours holds, while tests ask it things."""

    def __init__(self, session: Session, loop: asyncio.AbstractEventLoop) -> None:
        self.session, self._loop = session, loop

    def run(self, work: Callable[[], Awaitable[str]]) -> str:
        """From another thread: hypothesis calls tests that are not coroutines."""
        return asyncio.run_coroutine_threadsafe(_awaited(work), self._loop).result(10)

    async def command(self, line: bytes) -> agi.Reply:
        return await self.session._ask(line)


async def _awaited(work: Callable[[], Awaitable[str]]) -> str:
    return await work()


@pytest.fixture
async def channel(asterisk: Asterisk) -> AsyncIterator[OnChannel]:
    loop = asyncio.get_running_loop()
    came: asyncio.Future[Session] = loop.create_future()
    over = asyncio.Event()

    async def hold(session: Session) -> None:
        came.set_result(session)
        await over.wait()

    loopback = [ipaddress.ip_network("127.0.0.0/8")]
    server = FastAgiServer("127.0.0.1", 0, {"test": hold}, allow=loopback, script_s=120.0)
    await server.start()
    await asyncio.to_thread(asterisk.cli, f"channel originate Local/{server.port}@agi/n application Wait 120")
    yield OnChannel(await asyncio.wait_for(came, 10), loop)
    over.set()
    await server.stop()
    for _ in range(100):
        if await asyncio.to_thread(asterisk.channels) == 0:
            return
        await asyncio.to_thread(asterisk.cli, "channel request hangup all")
        await asyncio.sleep(0.1)


async def test_whatever_was_said_comes_back_as_one_harmless_line(channel: OnChannel):
    async def through(text: str) -> str:
        session = channel.session
        await session.set("VB_CANARY", CANARY)
        await session.set("AGIEXECFULL", "yes")  # EXEC expands its arguments, as a line of dialplan does
        await session.set("VB_X", clean(text, LIMIT))
        once = await channel.command(agi.get_full_variable("${VB_X}"))
        # As an administrator's dialplan does: from one variable into another, through an expression and a function.
        await channel.command(b'EXEC Set "VB_Y=${VB_X}"\n')
        await channel.command(b'EXEC Set "VB_LEN=${LEN(${VB_X})}"\n')
        await channel.command(b'EXEC Set "VB_SAME=$[\\"${VB_X}\\" = \\"${VB_Y}\\"]"\n')
        again = await session.get("VB_Y")
        assert (once.value or "") == again
        assert await session.get("VB_SAME") == "1"
        assert await session.get("VB_LEN") == str(len(clean(text, LIMIT).encode()))
        assert await session.get("VB_CANARY") == CANARY
        assert not session.hung_up
        return again

    @settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
    @given(TEXT)
    @example('x"\nSET VARIABLE VB_CANARY gone\n')
    @example("${CHANNEL(name)} $[1+1] ${SHELL(id)}")
    @example("\u20ac" * 300)
    @example("ends in a backslash\\")
    def every(text: str) -> None:
        assert channel.run(lambda: through(text)) == clean(text, LIMIT)

    await asyncio.to_thread(every)


async def test_what_is_not_cleaned_is_not_sent_as_two_commands(channel: OnChannel):
    session = channel.session
    await session.set("VB_CANARY", CANARY)
    with pytest.raises(agi.LocalProtocolError, match="several lines"):
        await session.set("VB_X", 'x"\nSET VARIABLE VB_CANARY gone')
    await session.set("VB_X", 'say "a\\b" ${VB_CANARY}')  # quoted, not expanded
    assert await session.get("VB_X") == 'say "a\\b" ${VB_CANARY}'
    assert await session.get("VB_CANARY") == CANARY


async def test_without_our_care_a_newline_is_a_second_command(channel: OnChannel):
    """What all of this is for. The second one is read when anything more comes, and each reply is then one too late."""
    session = channel.session
    await session.set("VB_CANARY", CANARY)
    replies = []
    two = b'SET VARIABLE VB_X "x"\nSET VARIABLE VB_CANARY gone\n'
    for line in (two, b"NOOP\n", b"GET VARIABLE VB_CANARY\n", b"NOOP\n"):
        session._writer.write(line)
        session._wire._waiting = True
        replies.append(await session._event())
    assert replies[-1] == agi.Reply(200, "1", "gone")


async def test_the_longest_command_is_read_as_one(channel: OnChannel):
    session = channel.session
    room = agi.MAX_COMMAND - len(agi.set_variable("VB_X", ""))
    await session.set("VB_X", "x" * room)
    length = await channel.command(agi.get_full_variable("${LEN(${VB_X})}"))
    assert length.value == str(room)
    with pytest.raises(agi.LocalProtocolError, match="more than"):
        await session.set("VB_X", "x" * (room + 1))


async def test_a_value_of_several_lines_is_read_whole(channel: OnChannel):
    await channel.command(b'EXEC Set "VB_NL=${SHELL(x)}"\n')  # no such function here: nothing runs
    await channel.session.set("VB_A", "one")
    reply = await channel.command(agi.get_full_variable("a (b) ${VB_A})"))
    assert reply.value == "a (b) one)"
    missing = await channel.command(agi.get_variable("VB_NOT_THERE"))
    assert (missing.code, missing.result, missing.value) == (200, "0", None)
    unknown = await channel.command(b"MAKE COFFEE\n")
    assert unknown.code == 510
    usage = await channel.command(b"GET VARIABLE\n")
    assert usage.code == 520
    assert await channel.session.get("VB_A") == "one"

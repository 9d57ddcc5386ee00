"""Two doors a protocol: the shared one that outlives a daemon, and its own."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import uuid

import pytest

from tests.pbx_legs.peers import Bench
from voicebridge.audio.clock import Ticker
from voicebridge.config import Listen
from voicebridge.pbx.asterisk.audiosocket import AudioSocketServer
from voicebridge.pbx.asterisk.doors import beside, bound
from voicebridge.pbx.asterisk.entrance import Entrance
from voicebridge.protocol import audiosocket as wire

LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128"))


def held(host: str = "127.0.0.1") -> tuple[socket.socket, socket.socket]:
    """A listening socket as systemd holds it, and our copy."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    theirs = socket.create_server((host, 0), family=family)
    return theirs, theirs.dup()


def server(given: list[socket.socket], seen: list[uuid.UUID]) -> AudioSocketServer:
    def accept(leg):
        seen.append(leg.call_id)

    ticker = Ticker()
    ticker.start()
    return AudioSocketServer("127.0.0.1", 0, accept, ticker=ticker, allow=LOOPBACK, given=given)


async def came(seen: list[uuid.UUID], call: uuid.UUID) -> None:
    async with asyncio.timeout(10):
        while call not in seen:  # noqa: ASYNC110 - within a limit
            await asyncio.sleep(0.01)


async def brings(address: tuple[str, int], call: uuid.UUID) -> asyncio.StreamWriter:
    _, writer = await asyncio.open_connection(*address[:2])
    writer.write(wire.uuid_frame(call))
    return writer


async def test_who_comes_to_a_shut_door_waits_for_the_next_daemon_and_our_own_stays_open():
    theirs, ours = held()
    address = theirs.getsockname()
    seen, later = [], []
    first = server([ours], seen)
    await first.start()
    assert first.port != address[1]
    one, two, three = (uuid.uuid4() for _ in range(3))
    writers = [await brings(address, one)]
    await came(seen, one)
    assert first.shut() and not first.shut()
    await asyncio.sleep(0.1)
    writers.append(await brings(address, two))  # taken by the kernel alone
    writers.append(await brings(first.address, three))
    await came(seen, three)
    second = server([theirs.dup()], later)
    await second.start()
    await came(later, two)
    assert seen == [one, three]
    for writer in writers:
        writer.close()
    await first.stop()
    await second.stop()
    theirs.close()


async def test_a_door_without_a_given_one_is_our_own(bench: Bench):
    made = await bench.serve()
    assert not made.shut()
    peer = await bench.peer(made)
    assert await peer.read()


def test_an_own_door_keeps_to_the_ports_it_may_have():
    theirs, ours = held()
    with theirs, ours, socket.create_server(("127.0.0.1", 0)) as taken:
        free = taken.getsockname()[1]
        with pytest.raises(OSError, match="own_ports"):
            beside([ours], range(free, free + 1))
        (door,) = beside([ours], range(free, free + 50))
        assert free < door.getsockname()[1] < free + 50
        door.close()


@pytest.mark.parametrize("host", ["::1", "::", "127.0.0.1", "localhost"])
async def test_every_address_that_a_host_has_is_listened_on(host: str):
    doors = bound(host, 0)
    port = doors[0].getsockname()[1]
    expected = {"::1": ["::1"], "::": ["::1", "127.0.0.1"], "127.0.0.1": ["127.0.0.1"], "localhost": ["127.0.0.1"]}
    for address in expected[host]:
        socket.create_connection((address, port), 5).close()
    for door in doors:
        door.close()


async def test_a_pbx_is_told_of_the_own_doors_by_the_address_it_came_by():
    """A dual stack socket sees IPv4 callers as ::ffff:127.0.0.1."""
    theirs, ours = held("::1")
    agi, our_agi = held("::1")
    ticker = Ticker()
    ticker.start()
    entrance = Entrance(
        Listen(), None, lambda leg: None, lambda call, by_caller: None, ticker=ticker,
        given={"audiosocket": [ours], "fastagi": [our_agi]},
    )  # fmt: skip
    await entrance.open()
    told = entrance.addresses()
    assert told.media("::1") == f"[::1]:{entrance.port}"
    assert told.node("::1") == f"[::1]:{entrance.agi_port}"
    assert entrance.told == [
        f"AudioSocket on [::1]:{theirs.getsockname()[1]}", f"FastAGI on [::1]:{agi.getsockname()[1]}"
    ]
    await entrance.shut()
    await entrance.close(asked=False)
    await entrance.hang_up()
    ticker.stop()
    theirs.close()
    agi.close()

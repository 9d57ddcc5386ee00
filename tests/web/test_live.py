"""What a browser is told of live calls, from a control socket that comes and goes."""

from __future__ import annotations

import asyncio
import json
from contextlib import aclosing

from bench.pretence_live import pretended_daemon
from voicebridge.control.client import Control, NoDaemon
from voicebridge.web.live import Live

CALL = "7d0c33fc-2f6f-4c65-9a35-2b7f5e1f0a01"
TURN = {"turn": 0, "caller": "", "said": [{"kind": "greeting", "text": "Hello\n\ndata: x", "heard": "", "at": 0.1}]}


def told(piece: bytes) -> tuple[str, dict]:
    event, data = piece.decode().rstrip("\n").split("\n")
    return event.removeprefix("event: "), json.loads(data.removeprefix("data: "))


async def next_told(stream) -> tuple[str, dict]:
    async for piece in stream:
        if not piece.startswith(b":"):
            return told(piece)
    raise AssertionError("the stream has ended")


async def test_the_calls_as_they_stand_and_then_what_happens(tmp_path):
    path = tmp_path / "control.sock"
    live = Live(lambda: Control(path))
    async with pretended_daemon(path) as house:
        house.begin(CALL)
        async with asyncio.timeout(20), aclosing(live.stream()) as stream:
            event, data = await next_told(stream)
            assert (event, [call["call_id"] for call in data["calls"]]) == ("calls", [CALL])
            assert live.watching == 1
            house.turn(CALL, TURN)
            assert await next_told(stream) == ("happening", {**(await _happened(house, TURN)), "at": _any})
            house.end(CALL, {"outcome": "hangup", "ended_by": "caller", "turns": [TURN], "seconds": 3})
            event, data = await next_told(stream)
            assert data["record"] == {"outcome": "hangup", "ended_by": "caller", "target": None, "seconds": 3}
    assert live.watching == 0


class _Any:
    def __eq__(self, other: object) -> bool:
        return True


_any = _Any()


async def _happened(house, turn):
    return {"event": "turn", "call_id": CALL, "turn": turn}


async def test_a_daemon_that_goes_is_told_and_one_that_comes_is_found(tmp_path):
    path = tmp_path / "control.sock"
    live = Live(lambda: Control(path), again_s=0.05)
    async with asyncio.timeout(20), aclosing(live.stream()) as stream:
        event, data = await next_told(stream)
        assert event == "down" and data["text"].startswith("No daemon runs with this configuration")
        async with pretended_daemon(path) as house:
            house.begin(CALL)
            while event == "down":
                event, data = await next_told(stream)
            assert [call["call_id"] for call in data["calls"]] == [CALL]
        while event != "down":
            event, data = await next_told(stream)


async def test_a_socket_that_is_switched_off_is_said():
    def off():
        raise NoDaemon("the control socket is switched off")

    live = Live(off, again_s=0.01)
    async with aclosing(live.stream()) as stream:
        assert await next_told(stream) == ("down", {"text": "The control socket is switched off."})

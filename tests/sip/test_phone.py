"""The SIP telephone against a callee whose delays are known: what it measures must be right."""

from __future__ import annotations

import asyncio
import time

import numpy as np
import pytest

from tests.sip.callee import Callee
from tests.tones import LOUD, tone
from voicebridge import phone
from voicebridge.audio.g711 import A
from voicebridge.audio.pcm import samples
from voicebridge.load.run import Target
from voicebridge.phone import Line, PhoneError
from voicebridge.sip.phone import SipPhone

QUESTION = Line("question", tone(0.4))


@pytest.fixture(autouse=True)
def hurry(monkeypatch):
    monkeypatch.setattr(phone, "QUIET_S", 0.3)


async def called(callee: Callee, *lines: Line, **more):
    told: list[str] = []
    ours = SipPhone(Target("100", "127.0.0.1", callee.port), on_event=told.append, **more)
    heard = await ours.call(lines, linger_s=0.1)
    assert ours.received is not None
    return heard, ours.received, told


async def test_the_gap_is_the_one_of_the_wire_and_early_sound_is_not_the_agents():
    async with Callee(delay=0.3, early=True) as callee:
        heard, received, told = await called(callee, QUESTION)
    (line,) = heard.lines
    assert line.gap == pytest.approx(callee.spoke[0] - callee.heard_last[0], abs=0.05)
    assert told[0].startswith("answered after")
    assert (received.codec, received.lost, heard.ended_by) == ("PCMU", 0, "caller")
    assert received.packets == len(heard.arrivals) < callee.sent, "what came before the answer is not counted"
    assert np.abs(samples(heard.agent)).max() > LOUD and np.abs(samples(heard.caller)).max() > LOUD
    assert callee.methods == ["INVITE", "ACK", "BYE"]


async def test_in_a_law_every_frame_is_understood_and_lost_ones_are_counted():
    async with Callee(law=A, loses=20) as callee:
        heard, received, _ = await called(callee, QUESTION)
    assert received.codec == "PCMA"
    assert received.lost >= 1
    assert callee.loudest == pytest.approx(8_000, rel=0.05), "he was heard as he spoke"
    assert abs(int(np.abs(samples(heard.agent)).max()) - 8_000) < 400


async def test_a_callee_who_hangs_up_ends_the_call():
    async with Callee(hangs_up_after=0.4) as callee:
        began = time.monotonic()
        heard, _, told = await called(callee)
    assert heard.ended_by == "agent"
    assert time.monotonic() - began < 5
    assert "call ended by agent" in told
    assert "BYE" not in callee.methods


async def test_a_call_that_is_not_made_leaves_nothing_open():
    async with Callee(refuses="486 Busy Here") as callee:
        before = len(asyncio.all_tasks())
        with pytest.raises(PhoneError, match="486 Busy Here: busy"):
            await called(callee, QUESTION)
        assert len(asyncio.all_tasks()) == before


async def test_the_callee_is_told_who_calls_and_with_which_id():
    async with Callee() as callee:
        heard, _, _ = await called(callee, user="ann", headers=("X-A: b",))
    invite = callee.invite
    assert invite.first("x-vb-call") == heard.call_id
    assert invite.first("x-a") == "b"
    assert invite.first("from").startswith("<sip:ann@127.0.0.1>")

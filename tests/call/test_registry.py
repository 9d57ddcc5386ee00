"""The calls that live: admission, ticks, records, and the end of the day."""

from __future__ import annotations

import asyncio
import json
import logging
import struct
import uuid
import wave
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from voicebridge.audio.clock import Ticker
from voicebridge.call.admission import Admission
from voicebridge.call.matching import RuleMatcher
from voicebridge.call.registry import Registry
from voicebridge.call.speech import Mouth
from voicebridge.call.work import Parts
from voicebridge.conversation.agent import AgentSpec, Rule
from voicebridge.conversation.commands import EndCall
from voicebridge.conversation.events import HandoffUpdate
from voicebridge.conversation.state import Handing, HandOffAction
from voicebridge.engines.base import Speech, Transcript, Voice
from voicebridge.pbx.attach import AttachRequest, Destination, Ticket
from voicebridge.pbx.leg import LegListener, MediaLeg
from voicebridge.trace import eventlog
from voicebridge.trace.store import Calls, CallStore

FRAME = bytes(320)
AGENT = AgentSpec(
    "desk",
    "Hello there.",
    rules=(Rule("one", dtmf="1", say=("One.",)), Rule("bye", dtmf="9", say=("Bye.",), action="end_call")),
)


class Leg:
    """A PBX leg without a wire: keeps what is sent, tells its listener when it is hung up."""

    rate = 8_000
    peer = "test"

    def __init__(self, call_id: uuid.UUID | None = None) -> None:
        self.call_id = call_id or uuid.uuid4()
        self.sent: list[bytes] = []
        self.listener: LegListener | None = None
        self.closed = False

    def send_audio(self, frame: bytes) -> None:
        self.sent.append(frame)

    def hang_up(self) -> None:
        self.close("local")

    def close(self, reason: str) -> None:
        if not self.closed and self.listener is not None:
            self.closed = True
            asyncio.get_running_loop().call_soon(self.listener.on_closed, reason)


class Mute:
    """A recogniser that hears nothing."""

    name, ready = "mute", True

    async def start(self) -> None: ...
    async def stop(self) -> None: ...
    async def close(self) -> None: ...
    def begin(self, utterance: int, phrases: Sequence[str] = ()) -> None: ...
    def feed(self, pcm: bytes) -> None: ...

    def session(self, *, rate: int, language: str, phrases: Sequence[str] = ()) -> Mute:
        return self

    async def transcribe(self, *, deadline: float, give_up: float, final: bool = True) -> Transcript:
        return Transcript(0, "", 0, 0.0, 0.0)


class Buzzer:
    """A voice of a tenth of a second whatever the text."""

    name, ready = "buzzer", True

    async def start(self) -> None: ...
    async def stop(self) -> None: ...

    async def synthesize(self, text: str, *, voice: Voice, deadline: float, give_up: float) -> Speech:
        return Speech(text, struct.pack("<hh", 9_000, -9_000) * 400, 8_000)


class House:
    def __init__(self, folder: Path, **options: Any) -> None:
        self.folder = folder / "calls"
        self.store = CallStore(folder, keep_days=1)
        self.store.prepare()
        self.ticker = Ticker()
        self.parts: Parts | None = Parts(AGENT, Mute(), None, Mouth(Buzzer(), AGENT, folder / "cache"),
                                         RuleMatcher(AGENT, None))
        self.records: list[dict[str, Any]] = []
        self.admission = Admission([AGENT.name], AGENT.name, max_calls=3)
        self.tickets: list[Ticket | None] = []
        self.registry = Registry(self.choose, self.ticker, self.store, admission=self.admission, **options)
        self.registry.on_record = lambda record: self.records.append(dict(record))

    def choose(self, leg: MediaLeg, ticket: Ticket | None) -> Parts | None:
        self.tickets.append(ticket)
        return self.parts

    def kept(self) -> bool:
        """Whether all that was given to the store is in its database."""
        return self.store.stats().written > 0 and self.store.flush(0)

    def call(self, leg: Leg) -> Leg | None:
        """A leg that was answered, or None."""
        leg.listener = self.registry.accept(leg)
        if leg.listener is None:
            return None
        leg.listener.on_audio(FRAME, 8_000)
        return leg


@pytest.fixture
async def house(tmp_path):
    made = House(tmp_path)
    made.ticker.start()
    yield made
    await made.registry.drain(limit_s=0)
    made.ticker.stop()
    made.store.close()


async def until(done, limit_s: float = 5.0) -> None:
    for _ in range(round(limit_s / 0.01)):
        if done():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not come to that")


async def test_a_call_is_ticked_while_it_lives_and_recorded_when_it_ends(house):
    leg = house.call(Leg())
    await until(lambda: any(any(frame) for frame in leg.sent))
    assert len(house.registry) == len(house.ticker) == 1
    leg.close("hangup")
    await until(lambda: house.records)
    assert len(house.registry) == len(house.ticker) == 0
    await until(house.kept)
    record = house.store.read(str(leg.call_id))
    assert record == json.loads(json.dumps(house.records[0]))
    assert (record["agent"], record["ended_by"], record["outcome"]) == ("desk", "hangup", "hangup")
    assert record["turns"][0]["said"][0]["text"] == "Hello there."
    assert list(house.folder.iterdir()) == []
    sent = len(leg.sent)
    await asyncio.sleep(0.06)
    assert len(leg.sent) == sent


async def test_a_key_can_end_the_call_after_its_goodbye(house):
    leg = house.call(Leg())
    await asyncio.sleep(0.05)
    leg.listener.on_dtmf("9")
    await until(lambda: house.records)
    assert house.records[0]["outcome"] == "hangup"
    assert [said["text"] for turn in house.records[0]["turns"] for said in turn["said"]][-1] == "Bye."


async def test_over_the_limit_a_call_is_refused_and_a_free_place_is_given_again(house, caplog):
    legs = [house.call(Leg()) for _ in range(3)]
    assert all(legs) and house.call(Leg()) is None
    assert "refused: 3 calls of 3" in caplog.text
    legs[0].close("hangup")
    await until(lambda: len(house.registry) == 2)
    assert house.call(Leg()) is not None


async def test_a_call_id_that_is_here_already_is_refused_and_the_first_goes_on(house):
    first = house.call(Leg())
    assert house.call(Leg(first.call_id)) is None
    sent = len(first.sent)
    await until(lambda: len(first.sent) > sent)
    assert len(house.registry) == 1


async def test_a_leg_that_no_agent_answers_is_refused(house):
    house.parts = None
    assert house.call(Leg()) is None
    assert len(house.registry) == 0


async def test_draining_refuses_new_calls_lets_old_ones_end_and_sends_the_rest_to_their_fallback(house):
    short, long = house.call(Leg()), house.call(Leg())
    asyncio.get_running_loop().call_later(0.05, short.close, "hangup")
    drained = asyncio.create_task(house.registry.drain(limit_s=0.3))
    await asyncio.sleep(0.01)
    assert house.call(Leg()) is None
    await drained
    ended = {record["call_id"]: (record["outcome"], record["ended_by"]) for record in house.records}
    assert ended == {str(short.call_id): ("hangup", "hangup"), str(long.call_id): ("fallback", "shutdown")}
    await until(house.kept)
    assert set(Calls(house.folder.parent).matching("")) == {str(short.call_id), str(long.call_id)}


async def test_draining_an_empty_house_takes_no_time(house):
    await asyncio.wait_for(house.registry.drain(limit_s=60), 1.0)
    assert len(house.registry) == 0


async def test_recording_and_event_log_are_made_where_they_are_wanted(tmp_path):
    house = House(tmp_path, record_audio=True, event_log=True)
    house.ticker.start()
    leg = house.call(Leg())
    await asyncio.sleep(0.3)
    leg.close("hangup")
    await until(lambda: house.records)
    await house.registry.drain(limit_s=1)
    house.ticker.stop()
    await until(house.kept)
    with wave.open(str(house.folder / f"{leg.call_id}.wav")) as wav:
        assert (wav.getnchannels(), wav.getframerate()) == (2, 8_000)
        assert 0.1 < wav.getnframes() / 8_000 < 2.0
    with (house.folder / f"{leg.call_id}.events.jsonl").open() as lines:
        head, steps = eventlog.read(lines)
        kinds = [type(step.event).__name__ for step in steps]
    assert head.agent == AGENT
    assert (kinds[0], kinds[-1]) == ("CallStarted", "CallClosed")


async def test_the_log_tells_ids_and_numbers_and_nothing_said(house, caplog):
    caplog.set_level(logging.INFO)
    leg = house.call(Leg())
    await asyncio.sleep(0.1)
    leg.close("dropped")
    await until(lambda: house.records)
    assert f"call={leg.call_id} ended by=dropped outcome=hangup" in caplog.text
    assert "Hello" not in caplog.text


# ---- what a PBX asks before and after the audio


async def test_a_ticket_leads_to_its_call_and_the_end_is_told_once_it_has_come(house):
    ticket = house.registry.attach(AttachRequest(caller="4711", dialled="100", unique_id="1.2"))
    leg = house.call(Leg(ticket.call_id))
    assert house.tickets == [ticket]
    asked = asyncio.create_task(house.registry.outcome(ticket.call_id))
    await asyncio.sleep(0.05)
    leg.listener.on_dtmf("9")
    end = await asked
    assert (end.result, end.reason) == ("HANGUP", "rule_bye")
    record = house.records[0]
    assert (record["caller"], record["dialled"], record["unique_id"]) == ("***", "100", "1.2")
    assert await house.registry.outcome(ticket.call_id) == end


async def test_a_transfer_leads_to_a_configured_target_only(tmp_path):
    house = House(tmp_path)
    desk = Destination("desk", "queue", "front")
    house.admission = Admission([AGENT.name], AGENT.name, max_calls=3, targets={"desk": desk})
    house.registry._admission = house.admission
    found = []
    for target in ("desk", "0900123"):
        leg = house.call(Leg(house.registry.attach(AttachRequest()).call_id))
        leg.listener._end(EndCall("transfer", "asked", target))
        found.append(await house.registry.outcome(leg.call_id))
    assert [(end.result, end.target.dest, end.summary) for end in found] == [
        ("TRANSFER", "front", "The caller asked for a human"), ("FALLBACK", "", "The caller asked for a human"),
    ]


def answered_with_ticket(house: House, *, tells_hangup: bool = True) -> Leg:
    """A call of a PBX that tells who hung up, or does not."""
    ticket = house.registry.attach(AttachRequest(tells_hangup=tells_hangup))
    assert isinstance(ticket, Ticket)
    leg = house.call(Leg(ticket.call_id))
    assert leg is not None
    return leg


@pytest.mark.parametrize("first", ["told", "closed"])
@pytest.mark.parametrize(("by_caller", "ended_by"), [(True, "hangup"), (False, "dropped")])
async def test_the_pbx_tells_whether_it_was_the_caller_who_ended_the_call(house, by_caller, ended_by, first):
    leg = answered_with_ticket(house)
    if first == "told":
        house.registry.hung_up(leg.call_id, by_caller)
    leg.close("hangup")
    await asyncio.sleep(0.05)
    house.registry.hung_up(leg.call_id, by_caller)
    await until(lambda: house.records)
    assert house.records[0]["ended_by"] == ended_by
    await until(house.kept)
    assert house.store.read(str(leg.call_id))["ended_by"] == ended_by


async def test_a_pbx_that_would_have_told_and_says_nothing_has_died(house, monkeypatch):
    monkeypatch.setattr("voicebridge.call.registry.TOLD_S", 0.2)
    leg = answered_with_ticket(house)
    leg.close("hangup")
    await until(lambda: len(house.registry) == 0)  # its place is free at once
    assert house.records == []
    await until(lambda: house.records)
    assert house.records[0]["ended_by"] == "dropped"


async def test_a_pbx_that_does_not_tell_is_believed_and_an_agents_end_is_its_own(house):
    leg = answered_with_ticket(house, tells_hangup=False)
    leg.close("hangup")
    await until(lambda: house.records)
    leg = answered_with_ticket(house)
    assert leg.listener is not None
    leg.listener.on_dtmf("9")
    await until(lambda: len(house.records) == 2)
    assert [record["ended_by"] for record in house.records] == ["hangup", "rule_bye"]
    house.registry.hung_up(uuid.uuid4(), True)  # of a call that nobody knows


async def test_an_agent_that_has_ended_its_call_need_not_be_waited_for(house, monkeypatch):
    monkeypatch.setattr("voicebridge.call.registry.ENDING_S", 0.0)
    leg = house.call(Leg())
    monkeypatch.setattr(leg, "hang_up", lambda: None)  # and it takes its time to be put away
    leg.listener.on_dtmf("9")
    await until(lambda: leg.listener.ending is not None)
    end = await house.registry.outcome(leg.call_id)
    assert (end.result, end.reason) == ("HANGUP", "rule_bye")
    assert len(house.registry) == 1
    leg.close("local")
    await until(lambda: house.records)
    assert await house.registry.outcome(leg.call_id) == end


async def test_a_call_that_does_not_end_is_given_to_the_fallback(house, monkeypatch):
    monkeypatch.setattr("voicebridge.call.registry.ENDING_S", 0.1)
    leg = house.call(Leg())
    end = await house.registry.outcome(leg.call_id)
    assert (end.result, end.reason) == ("FALLBACK", "still_running")
    assert len(house.registry) == 1
    end = await house.registry.outcome(uuid.uuid4())
    assert (end.result, end.reason) == ("FALLBACK", "unknown_call")


@pytest.mark.parametrize(("taken", "outcome"), [(True, "transfer"), (False, "hangup")])
async def test_who_takes_the_caller_off_our_leg_may_tell_it_a_moment_later(house, taken, outcome):
    leg = house.call(Leg())
    call = leg.listener
    call.core._handing = Handing(7, HandOffAction("desk", "asked"), calling=True)
    leg.close("hangup")
    await asyncio.sleep(0.05)
    if taken:
        call.tell(HandoffUpdate(7, "connected", "desk"))
    async with asyncio.timeout(5):
        while not house.records:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    assert house.records[0]["outcome"] == outcome

"""What a running call tells the bus: who began, what is said as it is said, how it ended."""

from __future__ import annotations

import json

from tests.call.test_registry import House, Leg, until
from voicebridge.pbx.attach import AttachRequest
from voicebridge.trace.bus import Bus


async def told_of_a_call(tmp_path, *, wanted: bool = True):
    bus, told = Bus(), []
    house = House(tmp_path, bus=bus)
    house.ticker.start()
    if wanted:
        bus.subscribe(lambda happening: told.append(json.loads(json.dumps(happening))))
    ticket = house.registry.attach(AttachRequest(dialled="100", unique_id="1.2"))
    leg = house.call(Leg(ticket.call_id))
    call = leg.listener
    await until(lambda: any(turn.said and turn.said[0].complete for turn in call.timeline.turns))
    leg.listener.on_dtmf("1")
    await until(lambda: len(call.timeline.turns) > 1 and call.timeline.turns[-1].said)
    await until(lambda: call.timeline.turns[-1].said[0].complete)
    leg.listener.on_dtmf("9")
    await until(lambda: house.records)
    house.ticker.stop()
    await house.registry.drain(limit_s=1)
    return leg, told, house


async def test_a_call_is_told_from_its_beginning_to_its_record(tmp_path):
    leg, told, house = await told_of_a_call(tmp_path)
    assert {happening["call_id"] for happening in told} == {str(leg.call_id)}
    assert (told[0]["event"], told[-1]["event"]) == ("call_began", "call_ended")
    assert (told[0]["agent"], told[0]["dialled"], told[0]["peer"], told[0]["language"]) == ("desk", "100", "test", "en")
    assert told[-1]["record"] == json.loads(json.dumps(house.records[0]))
    times = [happening["at"] for happening in told]
    assert times == sorted(times)


async def test_turns_grow_and_none_is_told_twice_nor_too_often(tmp_path):
    _, told, _ = await told_of_a_call(tmp_path)
    turns = [happening for happening in told if happening["event"] == "turn"]
    assert all(before["turn"] != after["turn"] for before, after in zip(turns, turns[1:], strict=False))
    heard = [said["heard"] for happening in turns for said in happening["turn"]["said"]]
    assert {"Hello there.", "One."} <= set(heard)
    kept_apart = len({round(happening["at"], 1) for happening in turns})
    assert len(turns) <= 2 * kept_apart + 2  # two turns at once at most


async def test_what_caller_and_agent_do_is_told_when_it_changes(tmp_path):
    _, told, _ = await told_of_a_call(tmp_path)
    states = [(happening["caller"], happening["agent"]) for happening in told if happening["event"] == "state"]
    assert ("silent", "speaking") in states and ("silent", "idle") in states
    assert all(before != after for before, after in zip(states, states[1:], strict=False))


async def test_nothing_is_made_while_nobody_listens(tmp_path, monkeypatch):
    made = []
    monkeypatch.setattr("voicebridge.trace.bus.Bus.publish", lambda bus, happening: made.append(happening["event"]))
    await told_of_a_call(tmp_path, wanted=False)
    assert made == ["call_ended"]


async def test_who_wants_records_only_costs_no_turns(tmp_path, monkeypatch):
    made = []
    publish = Bus.publish
    monkeypatch.setattr(Bus, "publish", lambda bus, told: (made.append(told["event"]), publish(bus, told)))
    bus = Bus()
    bus.subscribe(lambda happening: None, events=("call_began", "call_ended"))
    house = House(tmp_path, bus=bus)
    house.ticker.start()
    leg = house.call(Leg())
    await until(lambda: any(turn.said and turn.said[0].complete for turn in leg.listener.timeline.turns))
    leg.close("hangup")
    await until(lambda: house.records)
    house.ticker.stop()
    assert made == ["call_began", "call_ended"]


async def test_a_running_call_can_be_looked_at_and_ended(tmp_path):
    house = House(tmp_path)
    house.ticker.start()
    leg = house.call(Leg())
    key = str(leg.call_id)
    await until(lambda: any(turn.said and turn.said[0].complete for turn in leg.listener.timeline.turns))
    for answers in (2, 3):
        leg.listener.on_dtmf("1")
        await until(lambda answers=answers: sum(bool(turn.said) for turn in leg.listener.timeline.turns) >= answers)
        await until(lambda: leg.listener.at_rest)
    assert house.registry.live == (key,)
    picture = house.registry.picture(key)
    assert (picture["call_id"], picture["agent"], picture["peer"]) == (key, "desk", "test")
    assert picture["state"]["caller"] == "silent" and picture["seconds"] > 0
    assert [turn["said"][0]["text"] for turn in picture["turns"]] == ["Hello there.", "One.", "One."]
    assert "turns" not in house.registry.picture(key, turns=False)
    settled = house.registry.picture(key)["turns"][0]
    assert settled is house.registry.picture(key)["turns"][0]  # made once, however often it is asked for
    assert house.registry.end(key, "fallback")
    assert not house.registry.end(key, "fallback")
    await until(lambda: house.records)
    house.ticker.stop()
    assert (house.records[0]["outcome"], house.records[0]["ended_by"]) == ("fallback", "operator")
    assert house.registry.live == () and house.registry.picture(key) is None
    assert not house.registry.end(key, "hangup")

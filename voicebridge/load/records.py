"""The daemon's own records of a run's calls, found by id where the PBX passes it on, else by the time of day."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from voicebridge.load.outcome import Call, Turn

NEAR_S = 2.5
"""A record that begins or ends so much elsewhere is another call's."""
SLACK_S = 0.5

Record = dict[str, Any]


def matched(calls: Sequence[Call], records: Iterable[Record], started_at: float) -> list[Call]:
    """The calls with what their records know. `started_at`: the run's beginning, unix seconds."""
    left = {record["call_id"]: record for record in records}
    own: dict[int, Record] = {
        call.number: left.pop(call.call_id) for call in calls if call.answered and call.call_id in left
    }
    pairs = sorted(
        (distance, call.number, name)
        for call in calls
        if call.answered and call.number not in own
        for name, record in left.items()
        if (distance := _distance(call, record, started_at)) <= NEAR_S
    )
    for _, number, name in pairs:  # the nearest pair first
        if number not in own and name in left:
            own[number] = left.pop(name)
    return [_with(call, own[call.number], started_at) if call.number in own else call for call in calls]


def _distance(call: Call, record: Record, started_at: float) -> float:
    begun = started_at + call.begun_s
    ended = started_at + (call.ended_s or 0.0)
    over: float = record["began_at"] + record["seconds"]
    return max(abs(float(record["began_at"]) - begun), abs(over - ended))


def _with(call: Call, record: Record, started_at: float) -> Call:
    later = record["began_at"] - (started_at + call.begun_s)
    ends = [*(turn.begins for turn in call.turns[1:]), float("inf")]
    turns = tuple(_turn(turn, end, record, later) for turn, end in zip(call.turns, ends, strict=False))
    return replace(call, turns=turns, outcome=record.get("outcome", ""), ended=record.get("ended_by", ""))


def _turn(turn: Turn, end: float, record: Record, later: float) -> Turn:
    """With those of the record's turns in which the caller's voice ended while the line was said or behind it."""
    inside = [
        made for made in record["turns"]
        if made["last_voice"] is not None and turn.begins < made["last_voice"] + later < end + SLACK_S
        and abs(made["last_voice"] + later - turn.last_voice) < SLACK_S
    ]  # fmt: skip
    answered = next((made for made in inside if made["gap_s"] is not None), None)
    filler = any(said["kind"] == "filler" and said["at"] is not None for made in inside for said in made["said"])
    if answered is None:
        return replace(turn, filler=filler)
    return replace(turn, own_gap_s=answered["gap_s"], filler=filler, source=answered["source"])

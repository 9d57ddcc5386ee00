"""The desk: what the core is told while a human is looked for, and that nobody is rung for a caller who has gone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import UTC, datetime

import pytest

from voicebridge.conversation.agent import Limits
from voicebridge.conversation.commands import HandOff
from voicebridge.conversation.events import HandoffUpdate
from voicebridge.handoff.desk import TOTAL_S, Case, Desk, Warm, WarmState
from voicebridge.handoff.directory import Directory
from voicebridge.handoff.summary import Summary, Turn
from voicebridge.handoff.webhook import Delivery, Webhook
from voicebridge.targets import Target

DAY = datetime(2026, 12, 1, 11, 0, tzinfo=UTC)
NIGHT = datetime(2026, 12, 1, 22, 0, tzinfo=UTC)
TARGETS = {
    "queue": Target(queue="sales", announce="I am putting you through to sales."),
    "blind": Target(context="ivr", strategy="blind", announce="Never said."),
    "anna": Target(endpoint="PJSIP/1001", strategy="warm", announce="I am calling Anna.", next="ben", ring_s=7),
    "ben": Target(extension="200", context="internal", strategy="warm", next="queue"),
    "carl": Target(endpoint="PJSIP/1003", strategy="warm"),
    "shut": Target(queue="q", hours="mon-fri 09:00-17:00", timezone="UTC"),
    "shut_then": Target(queue="q", hours="mon-fri 09:00-17:00", timezone="UTC", next="queue"),
}
SUMMARY = Summary("the line", "The briefing.", (Turn("hi", "hello"),))
CASE = Case("call-1", caller="+4930123", agent="desk", summary=SUMMARY)


class Phones:
    """The ARI side: every endpoint answers as it is told; `ringing` is who rings at this moment."""

    def __init__(self, **ends: object) -> None:
        self.ends = {name.replace("_", "/", 1): end for name, end in ends.items()}
        self.called: list[tuple[str, str, str, float]] = []
        self.ringing: set[str] = set()

    async def call(self, endpoint: str, *, briefing: str, line: str, ring_s: float) -> AsyncGenerator[WarmState, None]:
        self.called.append((endpoint, briefing, line, ring_s))
        self.ringing.add(endpoint)
        try:
            yield "calling"
            end = self.ends[endpoint]
            if end is None:
                await asyncio.Event().wait()
            elif isinstance(end, Exception):
                raise end
            elif end:
                yield end  # type: ignore[misc]
        finally:
            self.ringing.discard(endpoint)


class Told(Webhook):
    """Keeps what it is given instead of sending it."""

    def __init__(self) -> None:
        super().__init__("http://127.0.0.1:9/")
        self.kept: list[Delivery] = []

    def post(self, delivery: Delivery) -> None:
        self.kept.append(delivery)


def desk(now: datetime = DAY, **more: object) -> Desk:
    return Desk(Directory(TARGETS), clock=lambda: now, **more)  # type: ignore[arg-type]


async def updates(desk: Desk, target: str, warm: Warm | None = None) -> list[HandoffUpdate]:
    async with aclosing(desk.hand_off(HandOff(3, target, "asked"), CASE, warm)) as told:
        return [update async for update in told]


def brief(told: list[HandoffUpdate]) -> list[tuple[str, str, str]]:
    assert all(update.handoff == 3 for update in told)
    return [(update.state, update.target, update.cause) for update in told]


async def test_a_target_of_the_dialplan_goes_at_once_with_its_announcement():
    (told,) = await updates(desk(), "queue")
    assert told == HandoffUpdate(3, "go", "queue", "I am putting you through to sales.")


async def test_a_blind_one_says_nothing():
    (told,) = await updates(desk(), "blind")
    assert told == HandoffUpdate(3, "go", "blind")


@pytest.mark.parametrize("target", ["nobody", "", "0088123456", "queue\n", "PJSIP/1001"])
async def test_what_is_unknown_is_refused_without_a_word_of_it(target):
    (told,) = await updates(desk(), target, Phones())
    assert told == HandoffUpdate(3, "refused", "", "", "unknown_target")


async def test_closed_is_refused_or_goes_to_the_next():
    assert brief(await updates(desk(NIGHT), "shut")) == [("refused", "shut", "closed")]
    assert brief(await updates(desk(NIGHT), "shut_then")) == [("go", "queue", "")]


async def test_warm_without_ari_is_announced():
    (told,) = await updates(desk(), "anna")
    assert told == HandoffUpdate(3, "go", "anna", "I am calling Anna.")


async def test_a_human_who_accepts_is_connected():
    phones = Phones(PJSIP_1001="connected")
    assert brief(await updates(desk(), "anna", phones)) == [("calling", "anna", ""), ("connected", "anna", "")]
    assert phones.called == [("PJSIP/1001", "The briefing.", "the line", 7.0)]
    assert phones.ringing == set()


@pytest.mark.parametrize("cause", ["declined", "busy", "no_answer", "failed"])
async def test_one_who_does_not_is_followed_by_the_next(cause):
    phones = Phones(**{"PJSIP_1001": cause, "Local_200@internal": "connected"})
    told = await updates(desk(), "anna", phones)
    assert brief(told) == [("calling", "anna", ""), ("calling", "ben", ""), ("connected", "ben", "")]


async def test_the_last_of_the_line_may_be_the_dialplans():
    phones = Phones(**{"PJSIP_1001": "busy", "Local_200@internal": "declined"})
    told = await updates(desk(), "anna", phones)
    assert brief(told) == [("calling", "anna", ""), ("calling", "ben", ""), ("go", "queue", "")]


async def test_nobody_there_is_refused_with_the_cause_of_who_was_rung():
    assert brief(await updates(desk(), "carl", Phones(PJSIP_1003="busy"))) == [
        ("calling", "carl", ""), ("refused", "carl", "busy"),
    ]


@pytest.mark.parametrize("end", [RuntimeError("ARI is gone"), ConnectionError(), ""], ids=["bug", "wire", "no_end"])
async def test_a_fault_in_calling_is_a_refusal_not_a_lost_caller(end):
    assert brief(await updates(desk(), "carl", Phones(PJSIP_1003=end)))[-1] == ("refused", "carl", "failed")


async def test_a_call_that_never_ends_is_given_up():
    short = Target(endpoint="PJSIP/1003", strategy="warm", ring_s=3).model_copy(update={"ring_s": 0.05})
    slow = Desk(Directory({"carl": short}), clock=lambda: DAY, decide_s=0.05)
    phones = Phones(PJSIP_1003=None)
    assert brief(await asyncio.wait_for(updates(slow, "carl", phones), 5))[-1] == ("refused", "carl", "no_answer")
    assert phones.ringing == set()


async def test_when_the_time_for_all_is_up_the_rest_is_the_dialplans():
    impatient = Desk(Directory(TARGETS), clock=lambda: DAY, total_s=0.05)
    phones = Phones(**{"PJSIP_1001": None, "Local_200@internal": "connected"})
    told = await asyncio.wait_for(updates(impatient, "anna", phones), 5)
    assert brief(told) == [("calling", "anna", ""), ("go", "ben", "")]
    assert [called[0] for called in phones.called] == ["PJSIP/1001"]


def test_the_core_waits_longer_than_the_desk():
    assert Limits().ring_s >= TOTAL_S + 5


async def test_a_caller_who_hangs_up_ends_the_ringing():
    phones = Phones(PJSIP_1003=None)
    task = asyncio.create_task(updates(desk(), "carl", phones))
    for _ in range(20):
        await asyncio.sleep(0)
    assert phones.ringing == {"PJSIP/1003"}
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert phones.ringing == set()


async def test_closing_the_iterator_between_two_updates_calls_nobody():
    phones = Phones(PJSIP_1003="connected")
    told = desk().hand_off(HandOff(3, "carl", "asked"), CASE, phones)
    assert (await anext(told)).state == "calling"
    await told.aclose()
    assert phones.called == []


async def test_the_webhook_is_told_of_every_step_with_what_the_human_needs():
    told = Told()
    await updates(desk(webhook=told), "anna", Phones(**{"PJSIP_1001": "busy", "Local_200@internal": "connected"}))
    assert [(d.state, d.target) for d in told.kept] == [("calling", "anna"), ("calling", "ben"), ("connected", "ben")]
    first = told.kept[0]
    assert (first.call_id, first.caller, first.agent, first.reason) == ("call-1", "+4930123", "desk", "asked")
    assert (first.summary, first.at, first.label) == (CASE.summary, DAY, "anna")


async def test_logs_carry_no_word_of_the_call(caplog):
    caplog.set_level("DEBUG")
    await updates(desk(), "anna", Phones(**{"PJSIP_1001": "busy", "Local_200@internal": RuntimeError("x")}))
    await updates(desk(), "0088123456")
    assert "call=call-1 handoff=3 calling target=anna" in caplog.text
    for word in ("briefing", "the line", "+4930123", "hello", "0088123456"):
        assert word not in caplog.text

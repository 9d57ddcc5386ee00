"""A review of calls whose truth is known: it finds what was planted, and nothing else."""

from __future__ import annotations

import json

import pytest

from tests.trace.planted import (
    DAY_S,
    PARKING,
    SINCE,
    UNKNOWN,
    UNTIL,
    all_problems,
    bookings,
    call,
    crowd,
    failovers,
    misses,
    nobody_there,
    parking,
    quiet,
    tool,
    turn,
    unsure,
)
from voicebridge.conversation.agent import AgentSpec, Rule
from voicebridge.trace.review import review, unknown_rules


def reviewed(records, **more):
    return review(records, since=SINCE, until=UNTIL, **more)


@pytest.fixture(scope="module")
def found():
    return reviewed(all_problems())


# ---- suggestions


def test_exactly_the_planted_problems_are_named(found):
    assert sorted((fix.kind, fix.weight) for fix in found.fixes) == [
        ("engine", 3), ("form", 6), ("handoff", 4), ("question", 12), ("speed", 96), ("tool", 5), ("unsure", 4),
    ]  # fmt: skip


def fix_of(found, kind):
    (fix,) = [fix for fix in found.fixes if fix.kind == kind]
    return fix


def test_a_question_without_an_answer_comes_with_its_wordings_as_examples(found):
    fix = fix_of(found, "question")
    assert set(fix.examples) == set(PARKING)
    assert fix.evidence == "12 callers asked about it and got no answer"
    assert len(fix.call_ids) == 12


def test_who_asks_twice_is_one_caller():
    records = parking(3)
    records[0]["turns"].append(turn(2, PARKING[1], UNKNOWN, rule="not_covered"))
    assert fix_of(reviewed(records), "question").evidence == "3 callers asked about it and got no answer, 4 times"


def test_an_unsure_rule_a_tool_a_form_a_target_and_an_engine_are_named_with_their_numbers(found):
    assert "examples of rule service" in fix_of(found, "unsure").what
    tool_fix = fix_of(found, "tool")
    assert "book_table" in tool_fix.what and "deadline_s" in tool_fix.what
    assert tool_fix.evidence == "it failed 5 of 40 times (timeout 5); p95 5.0 s"
    assert "For how many people?" in fix_of(found, "form").what
    assert fix_of(found, "form").evidence == "it had to be asked again 6 of 16 times"
    assert fix_of(found, "handoff").what.startswith("Target sales: check who is to answer")
    assert "stt engine vosk" in fix_of(found, "engine").what and "moonshine 3 times" in fix_of(found, "engine").evidence


def test_a_recogniser_that_suffers_from_many_calls_is_told_from_one_that_is_slow(found):
    fix = fix_of(found, "speed")
    assert "max_calls" in fix.what and "recognising speech" in fix.what
    assert "p95 0.90 s at 8 or more calls and 0.10 s at 1 call" in fix.evidence
    alone = [call(SINCE + n * 3_000.0, [turn(1, "hours", shares={"llm": 1.4})]) for n in range(20)]
    (fix,) = reviewed(alone).fixes
    assert fix.what.startswith("Speed up the language model") and "p95 1.40 s" in fix.evidence


def test_a_quiet_week_has_nothing_to_do():
    assert reviewed(quiet()).fixes == ()


@pytest.mark.parametrize(
    ("records", "kind"),
    [
        (parking(1), ""), (parking(2), "question"), (unsure(2), "unsure"), (bookings(40, 2), ""), (misses(10, 2), ""),
        (nobody_there(2), ""), (nobody_there(3), "handoff"), (failovers(1), "engine"), (crowd(8, 1), "speed"),
    ],
    ids=["asked-once", "asked-twice", "unsure", "two-timeouts", "two-misses", "two-refused", "three-refused",
         "one-failover", "crowd"],
)  # fmt: skip
def test_what_happened_once_or_twice_is_no_finding_unless_it_should_never_happen(records, kind):
    assert {fix.kind for fix in reviewed(records).fixes} == ({kind} if kind else set())


def endings(number, **fields):
    return [call(SINCE + n * 3_000.0, [turn(1, "hello there")], **fields) for n in range(number)]


@pytest.mark.parametrize(
    ("records", "kind", "words"),
    [
        (endings(3, outcome="fallback", ended_by="not_understood"), "handoff", "did not understand"),
        (endings(3, outcome="fallback", ended_by="call_length"), "handoff", "time limit"),
        (endings(2, outcome="fallback", ended_by="llm_timeout"), "engine", "second llm engine"),
        (endings(2, outcome="transfer", ended_by="form_book_not_understood"), "form", "slots of form book"),
        (endings(3, ended_by="dropped"), "silence", "lines were lost"),
        ([call(SINCE + n, [], ended_by="no_input") for n in range(3)], "silence", "3 were ended for it"),
        (endings(3, cut_greeting=True), "greeting", "half of them had enough after 0.8 s"),
    ],
    ids=["not-understood", "too-long", "engine", "form", "dropped", "silent", "greeting"],
)
def test_each_kind_of_trouble_has_its_suggestion(records, kind, words):
    if kind == "greeting":
        records = [call(SINCE + n * 3_000.0, [turn(1, "hello there")], cut_greeting=True) for n in range(3)]
    found = [fix for fix in reviewed(records).fixes if fix.kind == kind]
    assert any(words in f"{fix.what} {fix.evidence}" for fix in found)


# ---- counts


def test_containment_is_of_those_who_spoke_and_a_lost_line_is_none():
    records = [
        *endings(6), *endings(1, outcome="transfer", ended_by="rule_human", target="desk"),
        *endings(1, outcome="fallback", ended_by="llm_error"), *endings(2, ended_by="dropped"),
        call(SINCE + 5, []), call(SINCE + 6, [], ended_by="no_input"),
    ]  # fmt: skip
    found = reviewed(records)
    assert (found.calls, found.spoken, found.silent, found.contained) == (12, 10, 2, 6)
    assert found.containment == pytest.approx(0.6)
    assert (found.no_input, found.dropped) == (1, 2)
    assert found.outcomes == {"hangup": 10, "fallback": 1, "transfer": 1}
    assert [(reason.reason, reason.calls, reason.targets) for reason in found.handoffs] == [
        ("llm_error", 1, {"": 1}), ("rule_human", 1, {"desk": 1}),
    ]  # fmt: skip


def test_nobody_spoke_is_no_containment_of_nought():
    assert reviewed([]).containment is None
    assert reviewed([]).gap.p50 is None and reviewed([]).fixes == ()
    assert reviewed([call(SINCE, [])]).containment is None


def test_topics_are_sure_rules_and_not_those_that_admit_not_to_know(found):
    assert found.topics == {"hours": 139, "book": 50, "goodbye": 40, "human": 4}


def test_an_agents_own_name_for_not_knowing_is_learned_from_its_file():
    agent = AgentSpec(
        name="desk", greeting="Hello.", instructions="",
        rules=(Rule(name="off_topic", action="unknown", examples=("a",)),
               Rule(name="hours", say=("x",), examples=("b",))),
    )  # fmt: skip
    records = [call(SINCE + n, [turn(1, "do you sell cars", UNKNOWN, rule="off_topic")]) for n in range(2)]
    assert reviewed(records).questions == () and reviewed(records).topics == {"off_topic": 2}
    known = reviewed(records, unknown=unknown_rules({"desk": agent}))
    assert [question.calls for question in known.questions] == [2] and known.topics == {}
    assert reviewed(records, unknown=unknown_rules({"other": agent})).questions == ()


def test_no_rule_at_all_is_a_question_without_an_answer_and_a_model_or_a_form_answers():
    def one(**more):
        return reviewed([call(SINCE, [turn(1, "do you sell cars", **more)])]).questions

    assert [question.kind for question in one(rule="", source="line")] == ["unknown"]
    assert one(rule="", source="model") == ()
    assert one(rule="", source="form") == ()
    assert one(rule="", source="line", said=[]) == ()
    assert one(rule="hours?", source="model") == ()
    assert [question.rules for question in one(rule="hours?")] == [("hours",)]


def test_a_secret_is_no_question():
    assert reviewed([call(SINCE, [turn(1, "***", rule="", source="line")])]).questions == ()


def test_tools_are_counted_with_causes_attempts_and_percentiles():
    runs = [tool("find", ms=100 * n, attempts=1 + n % 2) for n in range(1, 10)] + [tool("find", 5000, "timeout", 3)]
    (use,) = reviewed([call(SINCE, [turn(1, "find it", tools=runs)])]).tools
    assert (use.runs, use.failures, use.causes, use.retried) == (10, 1, {"timeout": 1}, 6)
    assert use.p50_ms == 550 and use.p95_ms == pytest.approx(3155)


def test_a_tool_that_was_not_finished_is_a_failure_of_its_own():
    (use,) = reviewed([call(SINCE, [turn(1, "x", tools=[{**tool("find"), "ms": None, "ok": False}])])]).tools
    assert use.causes == {"not finished": 1} and use.p95_ms is None


# ---- time


def test_gaps_are_split_by_source_and_by_stage():
    records = [call(SINCE + n, [turn(1, "x", source="rule"), turn(2, "y", source="model", shares={"llm": 0.4})])
               for n in range(5)]  # fmt: skip
    found = reviewed(records)
    assert {name: (spread.count, spread.p50) for name, spread in found.by_source.items()} == {
        "model": (5, pytest.approx(0.7)), "rule": (5, pytest.approx(0.3)),
    }  # fmt: skip
    assert found.by_actor["llm"].count == 5 and found.by_actor["llm"].p95 == pytest.approx(0.4)
    assert found.gap.count == 10 and found.gap.p50 == pytest.approx(0.5)


def test_the_stages_of_a_bucket_add_up_to_its_mean(found):
    assert len(found.buckets) == 7
    for bucket in found.buckets:
        assert (bucket.mean is None) == (bucket.turns == 0)
        if bucket.mean is not None:
            assert sum(bucket.actors.values()) == pytest.approx(bucket.mean, abs=1e-3)
    assert sum(bucket.calls for bucket in found.buckets) == found.calls
    assert sum(bucket.turns for bucket in found.buckets) == found.gap.count


def test_buckets_can_begin_at_midnight_before_the_time():
    found = review(quiet(4), since=SINCE, until=SINCE + DAY_S, bucket_s=DAY_S, origin=SINCE - 3_600)
    assert [bucket.at for bucket in found.buckets] == [SINCE - 3_600, SINCE - 3_600 + DAY_S]
    assert sum(bucket.calls for bucket in found.buckets) == 4


def test_only_calls_that_began_in_the_time_count():
    records = [call(SINCE - 1, []), call(SINCE, []), call(UNTIL - 1, []), call(UNTIL, [])]
    assert reviewed(records).calls == 2


def test_calls_at_the_same_time_are_counted(found):
    assert found.busiest == 8
    assert [(load.calls, load.turns) for load in found.loads] == [(1, 141), (2, 18), (8, 96)]


def test_the_slowest_turn_of_each_call_is_told_with_its_cause():
    turns = [turn(n, "x", shares={"llm": 1.0 + n}) for n in (1, 2)]
    records = [call(SINCE + n, turns if n < 3 else [turn(1, "x", shares={"tts": 5.0})]) for n in range(14)]
    found = reviewed(records)
    assert len(found.slowest) == 10 and len({slow.call_id for slow in found.slowest}) == 10
    assert found.slowest[0].actor == "tts" and "the voice" in found.slowest[0].text
    assert found.slowest[0].gap_s == pytest.approx(5.3)
    assert found.blamed == {"tts": 11, "llm": 6}
    assert found.over_budget == 11 + 3 + 3 and found.gap.count == 17


def test_barge_ins_and_how_soon_we_were_silent():
    made = turn(1, "x", cut_off=True, cut_at=14.0, stopped_after_ms=240)
    found = reviewed([call(SINCE, [made])])
    assert found.barge_ins == 1 and found.stopped.p50 == pytest.approx(0.24)


# ---- records as they are found


def test_records_of_version_1_and_damaged_ones_are_counted_as_far_as_they_go():
    old = {**turn(1, "where can I park", UNKNOWN, rule="not_covered"), "handoffs": ["refused sales no_answer"],
           "marks": {"detected": 13.08, "transcript": 13.9, "audible": 14.3}}  # fmt: skip
    for new in ("spans", "slow", "stopped_after_ms", "fillers"):
        del old[new]
    records = [call(SINCE, [old]), {"call_id": "x", "began_at": SINCE + 1}, call(SINCE + 2, [None, "turn"])]
    records[2]["turns"] = None
    found = reviewed(records)
    assert found.calls == 3 and found.spoken == 1
    assert found.by_actor["stt"].p50 == pytest.approx(0.82)
    assert [question.text for question in found.questions] == ["where can I park"]


def test_a_review_is_json(found):
    told = json.loads(json.dumps(found.as_dict()))
    assert told["containment"] == pytest.approx(141 / 145)
    assert told["gap"]["p50"] == found.gap.p50
    assert [fix["kind"] for fix in told["fixes"]] == [fix.kind for fix in found.fixes]

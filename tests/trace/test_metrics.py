"""What Prometheus is told: counted from records, with bounded labels, in an exposition that its own parser takes."""

from __future__ import annotations

import time

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.trace.ended import record, turn
from voicebridge.trace.bus import Bus
from voicebridge.trace.metrics import Metrics, Names, ended_by, handed, longest_silence

NAMES = Names({"desk", "shop"}, {"book", "price"}, {"sales"}, {"vosk", "moonshine"})


def counted(*records: dict[str, object], names: Names = NAMES) -> Metrics:
    metrics = Metrics(names)
    for each in records:
        metrics.count(each)
    return metrics


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(f"voicebridge_{name}", labels)


def test_a_call_is_counted_with_its_outcome_and_its_turns():
    metrics = counted(record(turn(1), turn(2, 9.0, source="rule", gap_s=0.25)))
    assert value(metrics, "calls_total", agent="desk", outcome="hangup", ended_by="rule") == 1
    assert value(metrics, "call_seconds_sum", agent="desk") == pytest.approx(24.9)
    assert value(metrics, "response_gap_seconds_count", agent="desk", source="model") == 1
    assert value(metrics, "response_gap_seconds_bucket", agent="desk", source="rule", le="0.3") == 1
    assert value(metrics, "response_gap_seconds_bucket", agent="desk", source="rule", le="0.2") == 0


def test_the_parts_of_the_stages_add_up_to_the_gaps():
    metrics = counted(record(turn(1), turn(2, 9.0)))
    parts = [value(metrics, "stage_seconds_sum", actor=actor) for actor in ("vad", "stt", "llm", "tts", "playout")]
    assert parts == pytest.approx([0.2, 0.2, 0.6, 0.1, 0.1])
    assert sum(map(float, filter(None, parts))) == pytest.approx(
        value(metrics, "response_gap_seconds_sum", agent="desk", source="model")
    )


def test_a_turn_without_an_answer_has_no_gap():
    metrics = counted(record(turn(0, gap_s=None, spans=[])))
    assert value(metrics, "response_gap_seconds_count", agent="desk", source="model") is None


def test_a_slow_turn_is_blamed_and_its_fillers_break_the_silence():
    slow = {"actor": "tool", "span": "tool_done", "ms": 3000, "over_ms": 1700, "text": "..."}
    silent = turn(1, gap_s=3.0, slow=slow)
    covered = turn(2, 20.0, gap_s=3.0, slow=slow, fillers=[[21.1, 22.4]])
    metrics = counted(record(silent, covered))
    assert value(metrics, "slow_turns_total", actor="tool") == 2
    assert value(metrics, "silences_total", agent="desk") == 1
    assert value(metrics, "fillers_total", agent="desk") == 1
    assert value(metrics, "filler_seconds_total", agent="desk") == pytest.approx(1.3)


def test_a_filler_that_was_not_finished_counts_without_a_length():
    metrics = counted(record(turn(1, fillers=[[5.2, None]])))
    assert value(metrics, "fillers_total", agent="desk") == 1
    assert value(metrics, "filler_seconds_total", agent="desk") == 0


def test_a_barge_in_and_how_soon_we_were_silent():
    metrics = counted(record(turn(1, cut_off=True, cut_at=6.4, stopped_after_ms=120)))
    assert value(metrics, "barge_ins_total", agent="desk") == 1
    assert value(metrics, "barge_in_stop_seconds_bucket", le="0.15") == 1
    assert value(metrics, "barge_in_stop_seconds_bucket", le="0.1") == 0


def test_tools_handoffs_and_failovers_are_counted_by_what_came_of_them():
    acts = turn(
        tools=[
            {"tool": "book", "at": 6.0, "ms": 400, "ok": True, "cause": "", "attempts": 1, "try": []},
            {"tool": "book", "at": 7.0, "ms": 900, "ok": False, "cause": "timeout", "attempts": 3, "try": []},
            {"tool": "price", "at": 8.0, "ms": None, "ok": False, "cause": "", "attempts": 1, "try": []},
        ],
        handoffs=[
            {"at": 9.0, "state": "calling", "target": "sales", "cause": ""},
            {"at": 12.0, "state": "refused", "target": "sales", "cause": "busy"},
            {"at": 13.0, "state": "go", "target": "sales", "cause": ""},
        ],
        moves=[{"kind": "stt", "from": "vosk", "to": "moonshine", "cause": "crashed", "at": 5.1}],
        troubles=["ModelFailed: timeout"],
    )
    metrics = counted(record(acts))
    assert value(metrics, "tool_calls_total", tool="book", result="ok") == 1
    assert value(metrics, "tool_calls_total", tool="book", result="timeout") == 1
    assert value(metrics, "tool_retries_total", tool="book") == 2
    assert value(metrics, "tool_seconds_count", tool="book") == 2
    assert value(metrics, "tool_seconds_count", tool="price") is None
    assert value(metrics, "handoffs_total", target="sales", result="busy") == 1
    assert value(metrics, "handoffs_total", target="sales", result="go") == 1
    assert value(metrics, "engine_failovers_total", kind="stt", engine="vosk", cause="crashed") == 1
    assert value(metrics, "engine_failures_total", kind="llm", cause="timeout") == 1


def test_the_bus_feeds_it():
    bus, metrics = Bus(), Metrics(NAMES)
    bus.subscribe(metrics.happened)
    bus.publish({"event": "call_began", "call_id": "x", "at": 0.0, "agent": "shop", "caller": "***42"})
    bus.publish({"event": "turn", "call_id": "x", "at": 1.0, "turn": turn()})
    bus.publish({"event": "call_ended", "call_id": "x", "at": 2.0, "record": record(agent="shop")})
    assert value(metrics, "calls_started_total", agent="shop") == 1
    assert value(metrics, "calls_total", agent="shop", outcome="hangup", ended_by="rule") == 1


# ---- nothing personal, nothing without bounds


def test_no_word_of_a_record_gets_into_a_label_unless_it_is_a_known_one():
    secret = "4111111111111111"
    told = turn(
        caller=secret, source=secret, rule=secret, troubles=[f"{secret}: {secret}", f"ModelFailed: {secret}"],
        slow={"actor": secret, "ms": 1}, spans=[{"name": secret, "actor": secret, "from": 5.0, "to": 5.6}],
        said=[{"kind": secret, "text": secret, "heard": secret, "complete": True, "at": 6.0, "until": 7.0}],
        tools=[{"tool": secret, "at": 6.0, "ms": 1, "ok": False, "cause": secret, "attempts": 2, "try": []}],
        handoffs=[{"at": 7.0, "state": "refused", "target": secret, "cause": secret}],
        moves=[{"kind": secret, "from": secret, "to": secret, "cause": secret, "at": 5.0}],
    )  # fmt: skip
    whole = record(told, agent=secret, outcome=secret, ended_by=f"rule_{secret}", target=secret, caller=secret)
    text = counted(whole, record(ended_by=secret)).text().decode()
    assert secret not in text
    assert 'engine_failures_total{cause="other",kind="llm"} 1.0' in text
    assert 'handoffs_total{result="other",target="other"} 1.0' in text


@pytest.mark.parametrize(
    ("value", "told"),
    [("rule_goodbye", "rule"), ("tool_book", "tool"), ("rule_a\nb", "rule"), ("hangup", "hangup"), ("42", "other")],
)
def test_who_ended_a_call_is_one_of_a_few_words(value, told):
    assert ended_by(value) == told


@pytest.mark.parametrize(
    ("step", "result"),
    [
        ({"state": "calling", "target": "sales"}, ""),
        ({"state": "go", "cause": ""}, "go"),
        ({"state": "connected"}, "connected"),
        ({"state": "refused", "cause": "no_answer"}, "no_answer"),
        ({"state": "refused", "cause": "+49 30 1234"}, "other"),
    ],
)
def test_only_the_end_of_a_handoff_counts(step, result):
    assert handed(step) == result


@pytest.mark.parametrize(
    ("sounds", "longest"),
    [
        ([], 3.0),
        ([(11.0, 12.0)], 1.0),
        ([(10.0, 10.5), (11.0, 11.2)], 1.8),
        ([(12.0, 14.0)], 2.0),
        ([(13.5, 14.0)], 3.0),
        ([(10.5, 12.0), (11.0, 11.5)], 1.0),
    ],
)
def test_the_longest_silence_is_between_the_sounds(sounds, longest):
    assert longest_silence(10.0, 13.0, sounds) == pytest.approx(longest)


# ---- the exposition


def full() -> Metrics:
    """With as many series as an installation of ten agents has."""
    names = Names([f"agent{n}" for n in range(10)], [f"tool{n}" for n in range(10)], ["sales"], ["vosk"])
    metrics = Metrics(names)
    for number in range(10):
        tools = [{"tool": f"tool{number}", "at": 6.0, "ms": 5, "ok": True, "cause": "", "attempts": 1, "try": []}]
        turns = [turn(n, source=source, tools=tools) for n, source in enumerate(("rule", "form", "model", "tool"))]
        metrics.count(record(*turns, agent=f"agent{number}"))
    return metrics


def test_prometheus_parses_it_and_every_metric_has_help_type_and_a_base_unit():
    families = list(text_string_to_metric_families(full().text().decode()))
    assert len({family.name for family in families}) == len(families) > 20
    for family in families:
        assert family.name.startswith("voicebridge_")
        assert family.documentation
        assert family.type in ("counter", "gauge", "histogram")
        assert not any(unit in family.name for unit in ("_ms", "milli", "minutes", "_kb"))
        if family.type == "histogram":
            assert family.name.endswith("_seconds")
        for sample in family.samples:
            if family.type == "counter":
                assert sample.name.endswith("_total")


def test_a_histogram_that_nobody_observed_is_not_missing_where_it_has_no_labels():
    assert "voicebridge_barge_in_stop_seconds_count 0.0" in Metrics().text().decode()


def test_it_comes_in_pieces_between_which_the_media_clock_ticks():
    """The bound is a generous one: a piece of 100 samples takes about 1 ms."""
    metrics, longest, began = full(), 0.0, time.thread_time()
    pieces = []
    for piece in metrics.pieces():
        longest, began = max(longest, time.thread_time() - began), time.thread_time()
        pieces.append(piece)
    assert max(piece.count(b"\n") for piece in pieces) <= 102 < sum(piece.count(b"\n") for piece in pieces)
    assert longest < 0.1


async def test_pieces_and_whole_are_the_same():
    metrics = full()

    def lasting(text: bytes) -> list[bytes]:
        return [line for line in text.splitlines() if b"_process_" not in line]

    assert lasting(metrics.text()) == lasting(b"".join(metrics.pieces())) == lasting(await metrics.told())
    assert metrics.text().count(b"# TYPE voicebridge_response_gap_seconds ") == 1

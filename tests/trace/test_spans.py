"""Spans are contiguous, sum to the gap, and say whom the answer waited for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicebridge.trace.spans import _ACTOR_OF, ACTORS, STAGES, by_actor, spans


def shares(**marks: float) -> dict[str, float]:
    made = spans(0.0, marks)
    return {actor: round(s, 3) for actor, s in by_actor({"spans": [span.as_dict(0.0) for span in made]}).items()}


def test_every_mark_but_the_one_beside_the_rest_has_an_actor():
    assert set(STAGES) - set(_ACTOR_OF) == {"judged"}
    assert set(_ACTOR_OF.values()) | {"cover"} == set(ACTORS)


def test_the_endpoint_is_not_blamed_for_what_was_not_ready():
    marks = {"detected": 0.08, "transcript": 0.2, "rule": 0.22, "endpoint": 0.3, "first_token": 1.5}
    made = shares(**marks, first_clause=1.6, speech_ready=1.65, sent=1.66, audible=1.68)
    assert made == {"vad": 0.08, "stt": 0.12, "match": 0.02, "llm": 1.38, "tts": 0.05, "playout": 0.03}


def test_the_endpoint_is_what_was_waited_for_where_all_else_was_ready():
    marks = {"detected": 0.08, "transcript": 0.2, "rule": 0.22, "first_clause": 0.22, "speech_ready": 0.23}
    made = shares(**marks, endpoint=0.9, sent=0.91, audible=0.93)
    assert made["endpoint"] == pytest.approx(0.67)
    assert "llm" not in made


def test_a_late_transcript_is_the_recognisers():
    made = shares(detected=0.08, endpoint=0.3, transcript=2.3, rule=2.32, first_clause=2.32, speech_ready=2.33,
                  sent=2.34, audible=2.36)  # fmt: skip
    assert made["stt"] == pytest.approx(2.22)


def test_a_tools_time_is_the_tools_and_the_way_to_it_the_endpoints():
    made = shares(detected=0.08, transcript=0.2, rule=0.22, endpoint=0.3, tool=0.31, tool_done=2.31, first_clause=2.32,
                  speech_ready=2.4, sent=2.41, audible=2.43)  # fmt: skip
    assert made["tool"] == pytest.approx(2.0)
    assert made["endpoint"] == pytest.approx(0.08)
    assert made["tts"] == pytest.approx(0.08)


def test_a_tool_that_the_model_chose_was_the_models_time_until_it_began():
    made = shares(detected=0.08, transcript=0.2, rule=0.22, first_token=1.0, endpoint=1.1, tool=1.2, tool_done=1.3,
                  speech_ready=1.4, audible=1.5)  # fmt: skip
    assert made["llm"] == pytest.approx(0.78 + 0.1)
    assert made["endpoint"] == pytest.approx(0.1)


def test_an_answer_that_waited_for_a_filler_says_so():
    marks = {"detected": 0.08, "transcript": 0.2, "speech_ready": 1.6, "sent": 2.3, "audible": 2.32}
    made = spans(0.0, marks, [(1.1, 2.28)])
    assert [(span.name, span.actor) for span in made[-3:]] == [
        ("covered", "cover"), ("sent", "playout"), ("audible", "playout"),
    ]  # fmt: skip
    assert (made[-3].begin, made[-3].end) == (1.6, 2.28)
    assert sum(span.end - span.begin for span in made) == pytest.approx(2.32)
    assert all(span.actor != "cover" for span in spans(0.0, marks, [(1.1, 1.5)])), "it was over before"


def test_without_voice_or_answer_there_are_none():
    assert spans(None, {"audible": 1.0}) == []
    assert spans(0.0, {"detected": 1.0}) == []


@given(
    st.dictionaries(st.sampled_from(sorted(STAGES)), st.floats(0.0, 9.0)),
    st.floats(0.0, 9.0),
    st.lists(st.tuples(st.floats(0.0, 9.0), st.floats(0.0, 9.0)), max_size=3),
)
def test_whatever_the_marks_the_spans_add_up(marks, audible, fillers):
    made = spans(0.0, {**marks, "audible": audible}, fillers)
    assert made[0].begin == 0.0
    assert made[-1].name == "audible"
    assert made[-1].end == audible
    assert all(before.end == after.begin for before, after in zip(made, made[1:], strict=False))
    assert all(span.begin <= span.end for span in made)
    assert sum(span.end - span.begin for span in made) == pytest.approx(audible)

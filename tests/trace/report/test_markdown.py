"""A report as Markdown: what was planted stands in it, and what callers said is no mark-up."""

from __future__ import annotations

import pytest

from tests.trace.planted import DAY_S, SINCE, UNKNOWN, UNTIL, all_problems, call, quiet, turn
from voicebridge.trace.report.markdown import markdown
from voicebridge.trace.review import review

WEEK = UNTIL - SINCE


def reviewed(records, since=SINCE):
    return review(records, since=since, until=since + WEEK, bucket_s=DAY_S)


@pytest.fixture(scope="module")
def text():
    return markdown(reviewed(all_problems()), reviewed(quiet(70, SINCE - WEEK), SINCE - WEEK), agent="desk")


def section(text: str, title: str) -> str:
    return text.partition(f"## {title}\n")[2].partition("\n## ")[0]


def test_the_head_says_it_in_a_sentence(text):
    lines = text.splitlines()
    assert lines[0] == "# Calls of desk, 18 Nov 2026 to 25 Nov 2026"
    assert lines[2].startswith("145 calls, 2.4 hours on the line. 97% of the 145 callers who said something needed")
    assert "Half of all answers began within 0.30 s, 95% within 1.10 s." in lines[2]


def test_figures_are_compared_with_the_time_before(text):
    for row in ("| calls | 145 | ▲ 75 |", "| needed no human | 97% | ▼ 3 points (worse) |",
                "| gap, 95% within | 1.10 s | ▲ 0.80 s (worse) |", "| gap, half within | 0.30 s | as before |",
                "| handed off | 4 (3%) | ▲ 3 points (worse) |", "| tools failed | 6 | ▲ 6 (worse) |",
                "| interruptions | 0 | as before |"):  # fmt: skip
        assert row in text


def test_less_of_what_is_bad_is_better():
    text = markdown(reviewed(quiet()), reviewed(all_problems()[:60]))
    assert "| not answered | 0 (0%) | ▼" in text and "(better)" in text


def test_what_to_do_stands_first_with_evidence_and_examples(text):
    todo = section(text, "What to do")
    assert [line[:2] for line in todo.splitlines() if line[:1].isdigit()] == [f"{n}." for n in range(1, 8)]
    assert "12 callers asked about it" in todo and "   - where can I park my car" in todo
    assert "raise its `deadline_s`" in todo and "Tool book_table" in todo


@pytest.mark.parametrize(
    ("title", "row"),
    [
        ("What was asked", "| can I park there | is there parking; do you have a car park; where can I park my car |"),
        ("What was asked", "| hours | 139 | 70 |"),
        ("Why callers went to a human", "| the caller asked for it by rule human | the PBX's fallback | 4 | 0 |"),
        ("Why callers went to a human", "| sales | no answer | 4 |"),
        ("What failed", "| book_table | timeout 5 | 40 | 5 (12%) | 0 | 0.30 s | 5.00 s |"),
        ("What failed", "| stt | vosk | moonshine | timeout | 3 |"),
        ("What failed", "| For how many people? | 16 | 6 (38%) |"),
        ("Where the time went", "| the recogniser vosk took 0.90 of 1.10 s | 1.10 s |"),
        ("Where the time went", "| recognising speech | 255 | 0.10 s | 0.90 s |"),
        ("Where the time went", "| a form | 16 | 0.30 s |"),
        ("Where the time went", "| 8 or more | 96 | 1.10 s | 0.90 s |"),
        ("How calls ended", "| rule_goodbye | rule goodbye ended it | 40 | 70 |"),
    ],
)
def test_each_truth_stands_in_its_section(text, title, row):
    assert row in section(text, title)


def test_tables_have_as_many_cells_as_columns(text):
    for block in text.split("\n\n"):
        rows = [line for line in block.splitlines() if line.startswith("|")]
        assert len({line.replace("\\|", "").count("|") for line in rows}) <= 1, block


def test_what_a_caller_said_is_no_mark_up():
    evil = "a | b\n# c <script>alert(1)</script> `x` *y* [z](http://e) \x1b[2J"
    records = [call(SINCE + n, [turn(1, evil, UNKNOWN, rule="not_covered")], agent="a|b") for n in range(3)]
    text = markdown(reviewed(records), reviewed([]), agent="a|b")
    assert "<script>" not in text.replace("\\<script\\>", "") and "\x1b" not in text
    assert "\n# c" not in text and "[z](" not in text.replace("\\[z\\](", "")
    rows = [line for line in section(text, "What was asked").splitlines() if line.startswith("| a")]
    assert rows and all(row.replace("\\|", "").count("|") == 5 for row in rows)


def test_without_calls_before_nothing_is_compared():
    text = markdown(reviewed(quiet()), reviewed([]))
    assert "▲" not in text and "▼" not in text and "as before" not in text


def test_a_quiet_week_says_so():
    assert "Nothing stands out." in markdown(reviewed(quiet()), reviewed([]))


def test_no_calls_is_one_sentence():
    text = markdown(reviewed([]), reviewed(quiet()))
    assert text.splitlines()[2:] == ["No calls in this time."]


def test_one_caller_is_told_in_the_singular():
    text = markdown(reviewed([call(SINCE, [turn(1, "when are you open")])]), reviewed([]))
    assert "1 call, 1 minutes" not in text
    assert "The one caller who said something needed no human." in text

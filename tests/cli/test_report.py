"""`voicebridge report` on a store: the period, the period before, the forms."""

from __future__ import annotations

import json
import stat
import time

import pytest

from tests.cli.kept import filled, voicebridge
from tests.trace.planted import DAY_S, UNKNOWN, call, turn


def week(end: float, texts: list[str]) -> list[dict]:
    return [
        call(end - 3_600.0 * (number + 1), [turn(1, text, UNKNOWN, rule="not_covered")])
        for number, text in enumerate(texts)
    ]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    now = time.time()
    calls = [*week(now, ["is there parking"] * 3), *week(now - 7 * DAY_S, ["hello"]), *week(now - 20 * DAY_S, ["old"])]
    calls.append(call(now - 60, [turn(1, "when are you open")], agent="shop"))
    return filled(tmp_path_factory.mktemp("kept"), calls)


@pytest.fixture(autouse=True)
def place(folder, monkeypatch):
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    monkeypatch.setenv("VOICEBRIDGE_STATE", str(folder))


def test_the_last_week_is_reviewed_and_compared_with_the_one_before():
    done = voicebridge("report", "--format", "json")
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert (told["calls"], told["before"]["calls"]) == (4, 1)
    assert told["questions"][0]["text"] == "is there parking"
    assert told["fixes"][0]["kind"] == "question"
    assert told["until"] - told["since"] == pytest.approx(7 * DAY_S, abs=5)


def test_an_agent_and_a_time_choose():
    assert json.loads(voicebridge("report", "--json", "--agent", "shop").stdout)["calls"] == 1
    assert json.loads(voicebridge("report", "--format", "json", "--since", "30d").stdout)["calls"] == 6
    told = json.loads(voicebridge("report", "--format", "json", "--since", "30d", "--until", "10d").stdout)
    assert told["calls"] == 1 and len(told["buckets"]) == 21, "days, from midnight on"
    short = json.loads(voicebridge("report", "--format", "json", "--since", "24h").stdout)
    assert short["bucket_s"] == 3600


def test_for_people_it_is_markdown():
    done = voicebridge("report")
    assert done.stdout.startswith("# Calls, ")
    assert "Answer “is there parking”" in done.stdout


def test_the_form_follows_the_files_ending(tmp_path):
    for name, begins in (("week.html", "<!doctype html>"), ("week.json", "{"), ("week.md", "# Calls"),
                         ("week.txt", "# Calls")):  # fmt: skip
        done = voicebridge("report", "-o", tmp_path / name)
        assert done.exit_code == 0 and done.stdout == ""
        assert "4 calls, 1 to do" in done.stderr
        assert (tmp_path / name).read_text().startswith(begins)
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600
    assert voicebridge("report", "-o", tmp_path / "x.html", "--format", "md").exit_code == 0
    assert (tmp_path / "x.html").read_text().startswith("# Calls")


def test_a_time_that_ends_before_it_begins_and_a_missing_store_are_told(tmp_path, monkeypatch):
    done = voicebridge("report", "--since", "1d", "--until", "2d")
    assert done.exit_code == 2 and "lies before --since" in done.output
    monkeypatch.setenv("VOICEBRIDGE_STATE", str(tmp_path / "none"))
    done = voicebridge("report", "-o", tmp_path / "out.html")
    assert done.exit_code == 1 and "voicebridge run" in done.stderr
    assert not (tmp_path / "out.html").exists()


def test_a_time_without_calls_is_a_report_all_the_same(tmp_path):
    done = voicebridge("report", "--until", "2020-01-08", "--since", "2020-01-01")
    assert done.exit_code == 0 and "No calls in this time." in done.stdout
    done = voicebridge("report", "--until", "2020-01-08", "--since", "2020-01-01", "-o", tmp_path / "x.html")
    assert done.exit_code == 0 and "No calls in this time." in (tmp_path / "x.html").read_text()

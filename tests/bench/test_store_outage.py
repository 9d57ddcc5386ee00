"""The bench of outages in small: a PostgreSQL that is killed for two seconds."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from bench import store_outage
from tests.trace.store.server import programs


def test_no_record_is_lost_and_the_clock_is_told_by_phase(monkeypatch):
    if programs() is None:
        pytest.skip("no PostgreSQL here: apt install postgresql")
    monkeypatch.setattr(store_outage, "CALM_S", 0.5)
    done = CliRunner().invoke(store_outage.main, ["--how", "kill", "--seconds", "2", "--rate", "5", "--json"])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert (found["lost"], found["in_order"], found["good"]) == (0, True, True)
    assert [phase["name"] for phase in found["phases"]] == ["no records", "database there", "database away", "back"]
    assert found["records"] == sum(phase["records"] for phase in found["phases"]) >= 10
    assert found["spilled_most"] > 0
    for phase in found["phases"]:
        assert 0 < phase["gap_p50_ms"] <= phase["gap_p99_ms"] <= phase["gap_max_ms"]

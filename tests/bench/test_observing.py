"""The bench of what observing costs: a cost is a comparison."""

from __future__ import annotations

import pytest

from bench.observing import Round, costs


def made(way: str, cpu: float) -> Round:
    return Round(
        way=way, cpu=0.5, cpu_ms_call_s=cpu, gap_p50_ms=20, gap_p99_ms=21, gap_max_ms=22, frames=1, tick_p99_ms=1,
        tick_max_ms=1, records=0, traces=0,
    )  # fmt: skip


def test_a_cost_is_a_share_of_what_the_daemon_took_that_nobody_observed():
    rounds = [made("off", 10.0), made("observed", 10.2), made("off", 20.0), made("observed", 20.4)]
    assert costs(rounds) == {"observed": pytest.approx(0.02)}

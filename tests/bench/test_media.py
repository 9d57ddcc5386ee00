"""The media benchmark in small: it counts what it says it counts, for both servers."""

from __future__ import annotations

import json
import socket

import pytest
from click.testing import CliRunner

from bench.echo import SERVERS
from bench.media import main


def test_both_servers_are_measured_and_give_every_frame_back():
    made = CliRunner().invoke(main, ["--calls", "20", "--seconds", "2", "--json"])
    assert made.exit_code == 0, made.output
    found = json.loads(made.stdout)
    assert "cores" in found["machine"]
    assert [one["server"] for one in found["servers"]] == list(SERVERS)
    for one in found["servers"]:
        assert one["calls"] == 20
        assert one["calls_lost"] == 0
        assert one["seconds"] == pytest.approx(2.0, rel=0.5)
        assert one["frames_share"] > 0.5, "a generous bound: other tests may want the processor"
        assert 10 < one["gap_p50_ms"] < 40
        assert one["gap_p50_ms"] <= one["gap_p99_ms"] <= one["gap_p999_ms"] <= one["gap_max_ms"]
        assert 0 < one["cpu_per_s"] < 1.5


def test_more_calls_than_files_are_refused_with_the_cure():
    made = CliRunner().invoke(main, ["--calls", "9000000"])
    assert made.exit_code == 2
    assert "ulimit" in made.output


def test_a_server_that_says_nothing_is_an_error_and_not_a_number():
    with socket.create_server(("127.0.0.1", 0)) as mute:
        to = f"127.0.0.1:{mute.getsockname()[1]}"
        made = CliRunner().invoke(main, ["--calls", "1", "--seconds", "1", "--to", to])
    assert made.exit_code == 1
    assert "has died" in made.output

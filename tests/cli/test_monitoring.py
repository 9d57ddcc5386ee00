"""What is shipped for Grafana and Prometheus: valid, and about metrics that there are."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from tests.trace.ended import record, turn
from voicebridge.audio.clock import Lateness
from voicebridge.cli.main import main
from voicebridge.lineup import EngineState
from voicebridge.observing.standing import Looks, Standing
from voicebridge.trace.metrics import Metrics, Names
from voicebridge.trace.store.writer import Stats

ELSEWHERE = {"le", "instance", "job"}
"""Labels that Prometheus gives."""
needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool is not here: apt install prometheus, or unpack that package"
)


def printed(*arguments: str) -> str:
    result = CliRunner().invoke(main, ["monitoring", *arguments])
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture(scope="module")
def exposed() -> dict[str, set[str]]:
    """Each sample's name, with its labels, of a daemon in which everything has happened once."""
    metrics = Metrics(Names({"desk"}, {"book"}, {"sales"}, {"vosk"}))
    looks = Looks(
        engines=lambda: [EngineState("stt", "vosk", True, 1)], store=Stats, lateness=Lateness, disk_free=lambda: 1
    )
    metrics.registry.register(Standing(looks))
    metrics.happened({"event": "call_began", "agent": "desk"})
    everything = turn(
        slow={"actor": "tool", "ms": 1}, fillers=[[5.1, 5.2]], cut_off=True, stopped_after_ms=80,
        troubles=["ModelFailed: timeout"], moves=[{"kind": "stt", "from": "vosk", "to": "x", "cause": "crashed"}],
        tools=[{"tool": "book", "at": 5.2, "ms": 9, "ok": True, "cause": "", "attempts": 2}], gap_s=3.0,
        handoffs=[{"at": 6.0, "state": "go", "target": "sales", "cause": ""}],
    )  # fmt: skip
    metrics.count(record(everything))
    found: dict[str, set[str]] = {"up": set()}
    for family in metrics.registry.collect():
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


def expressions(document: Any) -> list[str]:
    """All PromQL in a dashboard or in rules."""
    if isinstance(document, dict):
        own = [value for key, value in document.items() if key in ("expr", "definition") and isinstance(value, str)]
        return own + [found for value in document.values() for found in expressions(value)]
    return [found for value in document for found in expressions(value)] if isinstance(document, list) else []


DASHBOARD, RULES = json.loads(printed("dashboard")), yaml.safe_load(printed("alerts"))
PROMQL = sorted({*expressions(DASHBOARD), *expressions(RULES)})


def test_there_is_something_to_look_at():
    assert len(expressions(DASHBOARD)) > 40
    assert len(expressions(RULES)) >= 12


@pytest.mark.parametrize("promql", PROMQL)
def test_every_metric_and_label_that_is_asked_for_exists(promql, exposed):
    asked = re.findall(r"\b(voicebridge_\w+)(?:\{([^}]*)\})?", promql)
    assert asked or promql.startswith(("up{", "min(up{"))
    for name, selector in asked:
        assert name in exposed
        assert set(re.findall(r"(\w+)\s*(?:=|!=|=~|!~)", selector)) <= exposed[name] | ELSEWHERE
    known = ELSEWHERE.union(*(exposed[name] for name, _ in asked))
    for by in re.findall(r"\b(?:by|on) \(([^)]*)\)", promql):
        assert {label.strip() for label in by.split(",")} <= known


def test_a_metric_that_is_not_there_would_be_found(exposed):
    with pytest.raises(AssertionError):
        test_every_metric_and_label_that_is_asked_for_exists("rate(voicebridge_nothing_total[5m])", exposed)
    with pytest.raises(AssertionError):
        test_every_metric_and_label_that_is_asked_for_exists('voicebridge_calls_total{caller="x"}', exposed)


def test_every_panel_takes_the_datasource_that_is_chosen_and_none_lies_on_another():
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert not cells & taken, panel["title"]
        taken |= cells
        if panel["type"] != "row":
            assert panel["datasource"]["uid"] == "${datasource}"
            assert panel["targets"]
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])


def test_variables_that_are_used_are_there():
    there = {each["name"] for each in DASHBOARD["templating"]["list"]}
    used = {name for promql in expressions(DASHBOARD) for name in re.findall(r"\$(\w+)", promql)}
    used |= {name for link in DASHBOARD["links"] for name in re.findall(r"\$\{(\w+)\}", link["url"])}
    assert used <= there | {"__range", "__rate_interval"}
    assert {"job", "instance", "agent", "logs"} <= used


def test_every_alert_says_what_and_what_to_do():
    for rule in RULES["groups"][0]["rules"]:
        assert rule["labels"]["severity"] in ("warning", "critical")
        assert rule["annotations"]["summary"]
        assert rule["annotations"]["description"]


def test_alerts_and_scrape_as_json_are_the_same():
    assert json.loads(printed("alerts", "--json")) == RULES
    assert json.loads(printed("scrape", "--json")) == yaml.safe_load(printed("scrape"))


def test_the_scrape_names_the_address_that_is_configured(tmp_path):
    file = tmp_path / "voicebridge.toml"
    file.write_text('[metrics]\nlisten = "127.0.0.1:9999"\n')
    told = yaml.safe_load(printed("scrape", "-c", str(file)))
    assert told["scrape_configs"][0]["static_configs"] == [{"targets": ["127.0.0.1:9999"]}]
    assert told["scrape_configs"][0]["job_name"] == "voicebridge"


# ---- Prometheus' own judgement


@needs_promtool
def test_promtool_takes_rules_and_scrape(tmp_path):
    (tmp_path / "alerts.yml").write_text(printed("alerts"))
    (tmp_path / "scrape.yml").write_text(printed("scrape"))
    for arguments in (["rules", "alerts.yml"], ["config", "--syntax-only", "scrape.yml"]):
        done = subprocess.run(
            ["promtool", "check", *arguments], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr


@needs_promtool
def test_promtool_finds_nothing_to_complain_of_in_the_exposition():
    metrics = Metrics(Names({"desk"}))
    metrics.registry.register(Standing(Looks(engines=lambda: [EngineState("stt", "vosk", True, 1)], store=Stats)))
    metrics.count(record(turn()))
    done = subprocess.run(
        ["promtool", "check", "metrics"], input=metrics.text(), capture_output=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, b"")


WHERE = 'instance="a",job="voicebridge"'
HEALTHY = [
    {"series": f"up{{{WHERE}}}", "values": "1x60"},
    {"series": f'voicebridge_engine_ready{{{WHERE},kind="stt",engine="vosk"}}', "values": "1x60"},
    {"series": f"voicebridge_store_spilled{{{WHERE}}}", "values": "0x60"},
    {"series": f'voicebridge_response_gap_seconds_bucket{{{WHERE},le="0.5"}}', "values": "0+10x60"},
    {"series": f'voicebridge_response_gap_seconds_bucket{{{WHERE},le="+Inf"}}', "values": "0+10x60"},
    {"series": f"voicebridge_response_gap_seconds_count{{{WHERE}}}", "values": "0+10x60"},
]
SICK = [
    {"series": f"up{{{WHERE}}}", "values": "0x60"},
    {"series": f'voicebridge_engine_ready{{{WHERE},kind="stt",engine="vosk"}}', "values": "0x60"},
    {"series": f"voicebridge_store_spilled{{{WHERE}}}", "values": "5x60"},
    {"series": f'voicebridge_response_gap_seconds_bucket{{{WHERE},le="1.5"}}', "values": "0x60"},
    {"series": f'voicebridge_response_gap_seconds_bucket{{{WHERE},le="3.0"}}', "values": "0+10x60"},
    {"series": f'voicebridge_response_gap_seconds_bucket{{{WHERE},le="+Inf"}}', "values": "0+10x60"},
    {"series": f"voicebridge_response_gap_seconds_count{{{WHERE}}}", "values": "0+10x60"},
    {"series": f'voicebridge_calls_refused_total{{{WHERE},reason="busy"}}', "values": "0+1x60"},
    {"series": f"voicebridge_frames_late_total{{{WHERE}}}", "values": "0+100x60"},
    {"series": f"voicebridge_frame_lateness_seconds_count{{{WHERE}}}", "values": "0+3000x60"},
]
ON = {
    "VoicebridgeDown", "VoicebridgeEngineDown", "VoicebridgeNoEngine", "VoicebridgeStoreSpilling",
    "VoicebridgeSlowAnswers", "VoicebridgeCallsRefused", "VoicebridgeFramesLate",
}  # fmt: skip


@needs_promtool
@pytest.mark.parametrize(("series", "on"), [(SICK, ON), (HEALTHY, set())], ids=["sick", "healthy"])
def test_alerts_are_on_when_they_are_to_be(tmp_path, series, on):
    """By `ALERTS`, the series that Prometheus makes of its alerts."""
    (tmp_path / "alerts.yml").write_text(printed("alerts"))
    expected = [{"labels": f'{{alertname="{name}"}}', "value": 1} for name in sorted(on)]
    asked = {
        "expr": 'max by (alertname) (ALERTS{alertstate="firing"})', "eval_time": "45m", "exp_samples": expected,
    }  # fmt: skip
    test = {
        "rule_files": ["alerts.yml"], "evaluation_interval": "1m",
        "tests": [{"interval": "1m", "input_series": series, "promql_expr_test": [asked]}],
    }  # fmt: skip
    (tmp_path / "test.yml").write_text(yaml.safe_dump(test))
    done = subprocess.run(
        ["promtool", "test", "rules", "test.yml"], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr

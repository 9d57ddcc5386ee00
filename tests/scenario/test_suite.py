"""Which files belong to which agent, and what is told of those that cannot be used."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.scenario.desk import AGENT, base, opened, written
from voicebridge.config import load
from voicebridge.scenario.source import ScriptError
from voicebridge.scenario.suite import files, open_suite

CALL = "  - {name: a, steps: [{caller: when are you open}]}\n"


def test_an_agents_scenarios_stand_beside_it(tmp_path):
    path = written(tmp_path, CALL)
    assert list(files([tmp_path / "desk.toml"])) == [path]
    assert list(files([tmp_path])) == [path]
    assert list(files([path, Path("demo")]))[1].name == "demo.test.yaml"
    (tmp_path / "lonely.toml").write_text(AGENT)
    with pytest.raises(ScriptError, match=r"lonely\.toml: its scenarios belong into lonely\.test\.yaml beside it"):
        list(files([tmp_path / "lonely.toml"]))
    (tmp_path / "empty").mkdir()
    with pytest.raises(ScriptError, match=r"there is no \*\.test\.yaml in this folder"):
        list(files([tmp_path / "empty"]))


def test_the_file_beside_is_the_agent_then_the_configured_one(tmp_path):
    assert opened(tmp_path, CALL).agent.name == "desk"
    other = tmp_path / "other.test.yaml"
    other.write_text(f"agent: demo\ncalls:\n{CALL}")
    assert open_suite(other, base()).agent.name == "demo"
    other.write_text(f"agent: ./desk.toml\ntools: {{status: {{}}, book: {{}}}}\ncalls:\n{CALL}")
    with pytest.raises(ScriptError, match=r"other\.test\.yaml:1: agent 'desk' names the target '\w+', which is not"):
        open_suite(other, base())
    other.write_text(f"calls:\n{CALL}")
    with pytest.raises(ScriptError, match=r"agent: no \S+other\.toml, and 'other' is none of the configured ones"):
        open_suite(other, base())


def test_a_piece_of_configuration_is_laid_over_the_one_in_use(tmp_path):
    (tmp_path / "vb.toml").write_text('[targets.sales]\nqueue = "elsewhere"\n[targets.stock]\nqueue = "stock"\n')
    suite = open_suite(written(tmp_path, CALL), load(tmp_path / "vb.toml"))
    targets = suite.settings.config.targets
    assert {name: target.dest for name, target in targets.items()} == {
        "sales": "sales", "stock": "stock", "voicemail": "800@vm",
    }  # fmt: skip
    assert suite.settings.default_agent is suite.agent


@pytest.mark.parametrize(
    ("calls", "config", "told"),
    [
        (CALL, "config: {targets: {sales: {queue: 'a b'}}}", ":2: config.targets.sales.queue: "),
        (CALL, "config: {targets: {sales: {queue: a, next: nobody}}}", ":2: "),
        (CALL, "config: {tragets: {}}", ":2: config.tragets: "),
        (CALL, None, "is there no tool"),
        ("  - {name: a, tools: {stauts: {}}, steps: [{caller: x}]}\n", "", "stauts: agent 'desk' has no such tool"),
        ("  - name: a\n    steps:\n      - expect: {hand_off: slaes}\n", "", "expect.hand_off: 'slaes' is none of"),
    ],
    ids=range(6),
)
def test_names_that_mean_nothing_are_told_with_their_line(tmp_path, calls, config, told):
    if config is None:
        with pytest.raises(ScriptError, match=r"there is no tool 'status'.*install its package, or can it in `tools:`"):
            opened(tmp_path, calls, config="config: {targets: {sales: {queue: a}, voicemail: {queue: b}}}")
        return
    with pytest.raises(ScriptError) as caught:
        opened(tmp_path, calls, **({"config": f"\n{config}"} if config else {}))
    assert told in str(caught.value)
    assert str(caught.value).startswith(f"{tmp_path / 'desk.test.yaml'}:")


def test_a_broken_agent_is_told(tmp_path):
    with pytest.raises(ScriptError, match=r"desk\.toml:2: nmae"):
        opened(tmp_path, CALL, agent='greeting = "Hi."\nnmae = "x"\n')

"""YAML with line numbers, read without YAML 1.1's surprises."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicebridge.scenario.source import ScriptError, line_of, read


def written(folder: Path, text: str | bytes) -> Path:
    path = folder / "a.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.mark.parametrize(
    ("scalar", "value"),
    [
        ("yes", "yes"), ("no", "no"), ("on", "on"), ("15:30", "15:30"), ("2026-12-01", "2026-12-01"),
        ("2026-12-01 10:15", "2026-12-01 10:15"), ("0142", "0142"), ("+4930123", "+4930123"), ("1_000", "1_000"),
        ("0x10", "0x10"), ("1e3", "1e3"), ("123#", "123#"), ("=", "="), ("9" * 30, "9" * 30),
        ("true", True), ("False", False), ("7", 7), ("-2", -2), ("0.5", 0.5), ("", None), ("null", None),
    ],
)  # fmt: skip
def test_what_a_caller_says_is_text(tmp_path, scalar, value):
    data, _ = read(written(tmp_path, f"a: {scalar}\n"))
    assert data == {"a": value}
    assert type(data["a"]) is type(value)


def test_each_part_knows_its_line(tmp_path):
    _, lines = read(written(tmp_path, "a: 1\nb:\n  - c: 2\n    d: 3\n  - e: [4,\n        5]\n"))
    assert [line_of(lines, place) for place in (("a",), ("b", 0, "d"), ("b", 1), ("b", 1, "e", 1))] == [1, 4, 5, 6]
    assert line_of(lines, ("b", 1, "nothing", "of", "that")) == 5
    assert line_of({}, ("a",)) is None


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a: [1\nb: 2", "a.yaml:2: is not YAML: "),
        ("a: 1\nb: 2\na: 3\n", "a.yaml:3: the key 'a' stands twice"),
        ("a:\n  b: 1\n  b: 2\n", "a.yaml:3: the key 'b' stands twice"),
        ("a: &x\n  - *x\n", "a.yaml:1: an alias that contains itself"),
        ("a: !!python/object/apply:os.system ['true']\n", "a.yaml:1: is not YAML: could not determine a constructor"),
        ("a: *nobody\n", "a.yaml:1: is not YAML: found undefined alias"),
        ("--- 1\n--- 2\n", "a.yaml:2: is not YAML: but found another document"),
        ("[" * 5_000, "a.yaml: is nested too deeply"),
        ("a: \x01", "a.yaml: is not YAML: "),
        (b"a: \xff", "a.yaml: is not UTF-8 (byte 3)"),
        ("? [1, 2]\n: 3", "a.yaml:1: is not YAML: found unhashable key"),
    ],
)
def test_a_fault_is_told_with_its_line(tmp_path, text, told):
    with pytest.raises(ScriptError, match=r"^\S*a\.yaml") as caught:
        read(written(tmp_path, text))
    assert told in str(caught.value)


def test_a_file_that_is_not_there_is_told(tmp_path):
    with pytest.raises(ScriptError, match=r"gone\.yaml: cannot be read: No such file"):
        read(tmp_path / "gone.yaml")


@given(st.text(alphabet="ab:-[]{}&*!|>\n \t\"'#,?%@0", max_size=60))
def test_any_text_is_data_or_a_script_error(tmp_path_factory, text):
    path = written(tmp_path_factory.getbasetemp(), text)
    try:
        _, lines = read(path)
    except ScriptError as error:
        assert str(error).startswith(str(path))
    else:
        assert all(line >= 1 for line in lines.values())

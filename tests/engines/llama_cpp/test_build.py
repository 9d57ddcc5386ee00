"""How llama-cpp-python is compiled: what the compiler is told, what is kept, and what is said when it fails."""

from __future__ import annotations

import configparser
import importlib.metadata
import os
import platform
import stat
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from voicebridge.engines.llama_cpp import build
from voicebridge.engines.llama_cpp.build import BuildFailed, cmake_arguments, kept_wheel

MODERN = "flags : fpu sse4_2 avx avx2 fma f16c bmi2 avx512f amx_tile"
WHEEL = f"llama_cpp_python-{build.VERSION}-py3-none-linux_{platform.machine()}.whl"


def test_a_build_uses_nothing_that_only_this_processor_has() -> None:
    told = cmake_arguments("x86_64", MODERN).split()
    assert "-DGGML_NATIVE=OFF" in told
    assert {"-DGGML_AVX2=ON", "-DGGML_FMA=ON", "-DGGML_F16C=ON"} <= set(told)
    assert not [one for one in told if "512" in one or "AMX" in one]
    assert "-DLLAMA_BUILD_SERVER=OFF" in told


def test_an_old_processor_gets_what_it_has_and_another_kind_no_word_of_x86() -> None:
    old = cmake_arguments("x86_64", "flags : fpu sse4_2 avx").split()
    assert {"-DGGML_AVX=ON", "-DGGML_AVX2=OFF", "-DGGML_FMA=OFF", "-DGGML_BMI2=OFF"} <= set(old)
    arm = cmake_arguments("aarch64", "Features : fp asimd")
    assert "AVX" not in arm
    assert "-DGGML_NATIVE=OFF" in arm.split()


def test_a_wheel_is_known_by_version_and_architecture(tmp_path: Path) -> None:
    for version, machine in (("0.3.36", "x86_64"), ("0.3.35", "x86_64"), ("0.3.36", "aarch64")):
        (tmp_path / f"llama_cpp_python-{version}-py3-none-linux_{machine}.whl").touch()
    found = kept_wheel(tmp_path, "0.3.36", "aarch64")
    assert found is not None
    assert found.name == "llama_cpp_python-0.3.36-py3-none-linux_aarch64.whl"
    assert kept_wheel(tmp_path, "0.3.37", "x86_64") is None
    assert kept_wheel(tmp_path / "none", "0.3.36", "x86_64") is None


def test_what_is_built_is_what_the_extra_asks_for() -> None:
    setup = configparser.ConfigParser()
    setup.read(Path(build.__file__).parents[3] / "setup.cfg")
    asked = [Requirement(line) for line in setup["options.extras_require"]["llama"].strip().splitlines()]
    (own,) = [one for one in asked if one.name == "llama-cpp-python"]
    assert build.VERSION in own.specifier
    assert {one.name for one in asked if one.name != "llama-cpp-python"} == {"aiohttp", "Jinja2"}


def test_with_the_wheel_comes_what_else_the_extra_asks_for(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = ["click<9", 'aiohttp<4,>=3.9; extra == "llama"', 'llama-cpp-python<0.4; extra == "llama"']
    monkeypatch.setattr(importlib.metadata, "requires", lambda name: [*lines, 'vosk<1; extra == "vosk"'])
    assert build.companions() == ["aiohttp<4,>=3.9"]


@pytest.fixture
def pip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A script in the place of Python: what `python -m pip wheel` does is the test's."""
    script = tmp_path / "python"
    monkeypatch.setattr(sys, "executable", str(script))
    monkeypatch.setattr(build, "TELL_EVERY_S", 0.0)
    return script


def behaves(script: Path, lines: str) -> None:
    script.write_text(f"#!/bin/sh\n{lines}\n")
    script.chmod(script.stat().st_mode | stat.S_IXUSR)


def test_a_build_tells_how_far_it_is_and_is_kept(pip: Path, tmp_path: Path) -> None:
    behaves(
        pip,
        'echo "  [1/2] Building CXX object a.o"; echo "$CMAKE_ARGS" >"$(dirname "$0")/args"\n'
        'echo "  [2/2] Linking"\nwhile [ "$1" != -w ]; do shift; done\n'
        f'touch "$2/{WHEEL}"',
    )
    kept = tmp_path / "wheels"
    kept.mkdir()
    said: list[str] = []
    assert build.build(kept, build.VERSION, said.append) == kept / WHEEL
    assert [path.name for path in kept.iterdir()] == [WHEEL]
    assert any("compiled 1 of 2 files" in line for line in said)
    assert "GGML_NATIVE=OFF" in (tmp_path / "args").read_text()


def test_a_build_that_fails_shows_the_compiler_s_last_words_and_keeps_nothing(pip: Path, tmp_path: Path) -> None:
    behaves(pip, "for n in 1 2 3; do echo line $n; done; echo 'error: no such header' >&2; exit 3")
    kept = tmp_path / "wheels"
    kept.mkdir()
    with pytest.raises(BuildFailed) as raised:
        build.build(kept, build.VERSION, lambda text: None)
    assert "error: no such header" in str(raised.value)
    assert "status 3" in str(raised.value)
    assert list(kept.iterdir()) == []


def test_a_machine_without_a_compiler_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(BuildFailed, match="apt install g\\+\\+"):
        build.ensure_compiler(lambda text: None)
    compiler = tmp_path / "g++"
    behaves(compiler, "exit 0")
    build.ensure_compiler(lambda text: None)


@pytest.mark.parametrize("there", [True, False], ids=["kept", "not yet"])
def test_the_programme_builds_only_what_is_not_there(
    there: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("VOICEBRIDGE_CACHE", str(tmp_path))
    wheel = tmp_path / "wheels" / WHEEL
    if there:
        wheel.parent.mkdir()
        wheel.touch()
    done: list[str] = []

    def made(folder: Path, version: str, tell: build.Tell) -> Path:
        done.append("built")
        return wheel

    monkeypatch.setattr(build, "build", made)
    monkeypatch.setattr(build, "install", lambda path: done.append(path.name))
    monkeypatch.setattr(build, "trouble", lambda: "" if WHEEL in done else "not installed")
    assert build.main([]) == 0
    assert done == ([WHEEL] if there else ["built", WHEEL])
    assert build.main([]) == 0, "installed now"
    assert len(done) == (1 if there else 2)
    assert "installed" in capsys.readouterr().out


def test_the_programme_s_status_tells_that_there_is_no_library(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("VOICEBRIDGE_CACHE", str(tmp_path))
    monkeypatch.setattr(build, "LIBRARIES", ("json", "no_such_library"))

    def fails(folder: Path, version: str, tell: build.Tell) -> Path:
        raise BuildFailed("the compiler says no")

    monkeypatch.setattr(build, "build", fails)
    assert build.main(["--check"]) == 1
    assert not list(tmp_path.iterdir())
    assert build.main([]) == 1
    told = capsys.readouterr()
    assert "not installed: no_such_library" in told.out
    assert "the compiler says no" in told.err


def test_a_library_that_crashes_as_it_is_loaded_is_found_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "crashing.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGILL)\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    monkeypatch.setattr(build, "LIBRARIES", ("json", "crashing"))
    assert build.trouble() == "does not load: status -4"

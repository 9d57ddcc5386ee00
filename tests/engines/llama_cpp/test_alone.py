"""The tests that load llama-cpp-python, in a process that has loaded nothing else: see conftest.py."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ALONE = "VOICEBRIDGE_TESTS_ALONE"


@pytest.mark.models
@pytest.mark.timeout(500)
def test_what_needs_the_library_passes_in_a_process_of_its_own():
    if importlib.util.find_spec("llama_cpp") is None:
        pytest.skip("llama-cpp-python is not installed: make llama")
    files = [str(HERE / f"test_{name}.py") for name in ("batching", "model", "prompt", "server", "worker")]
    ran = subprocess.run(
        [sys.executable, *"-m pytest -q -rs --durations=8 -p no:cacheprovider -p no:xdist".split(), *files],
        cwd=HERE.parents[2],
        env={name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")} | {ALONE: "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    print(ran.stdout[-6000:], ran.stderr[-2000:])
    assert ran.returncode == 0
    assert " passed" in ran.stdout.splitlines()[-1]

"""For all tests: generated examples may take their time, machines are shared, and what takes long comes first.

`make test` gives whole files to its workers, in this order: a file of few tests that places calls for a minute, begun
last, would leave the other workers idle.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("shared", deadline=None)
settings.load_profile("shared")

HERE = Path(__file__).parent
LONGEST_FIRST = (
    "call/test_barge_in.py", "faults/test_killed_workers.py", "pbx/test_calls.py", "call/test_speakerphone.py",
    "call/test_call.py", "faults/test_engine_faults.py", "cli/test_doctor.py", "scenario/test_live.py",
    "engines/test_namespaces.py", "cli/test_call.py", "pbx/", "bench/test_tools.py", "engines/llama_cpp/",
    "web/test_browser.py", "test_operating.py", "service/", "trace/store/test_outages.py", "observing/", "sip/",
    "call/", "cli/", "faults/", "web/", "watch/", "bench/", "engines/", "trace/store/", "hooks/", "test_daemon.py",
)  # fmt: skip
"""Files and folders below tests/, by how long they wait for real calls and processes."""


def _rank(item: pytest.Item) -> int:
    place = item.path.relative_to(HERE).as_posix() if item.path.is_relative_to(HERE) else ""
    return next((rank for rank, name in enumerate(LONGEST_FIRST) if place.startswith(name)), len(LONGEST_FIRST))


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=_rank)  # stable: a file stays together, and in its own order


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    """What a test (a command that it runs, a server) changes of logging is not the next one's, nor what a fixture of
    a module before it has changed: commands quieten our logger for good."""
    ours = logging.getLogger("voicebridge")
    ours.setLevel(logging.NOTSET)
    ours.propagate, ours.disabled = True, False
    named = logging.root.manager.loggerDict.values()
    known = [logging.getLogger(), *(one for one in named if isinstance(one, logging.Logger))]
    before = [(one, one.level, one.propagate, one.disabled) for one in known]
    switched_off = logging.root.manager.disable
    yield
    logging.disable(switched_off)
    for one, level, propagate, disabled in before:
        one.setLevel(level)
        one.propagate, one.disabled = propagate, disabled

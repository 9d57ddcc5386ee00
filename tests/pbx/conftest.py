"""The bench's fixtures: one Asterisk a session, and what it takes to call through it.

    pytest tests/pbx                 # all of it; Asterisk is fetched when there is none (half a minute, see install.py)
    pytest tests/pbx -m "not models" # without our engines

Where no Asterisk can be had, its tests are skipped with the reason; with CI=true they fail instead.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from tests.pbx import corpus
from tests.pbx.asterisk import Asterisk
from tests.pbx.caller import Caller
from tests.pbx.daemon import REPOSITORY, VoiceDaemon
from tests.pbx.install import Install, Unavailable, provide

INSTALL_S = 900
Dial = Callable[..., Awaitable[Caller]]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The first test may have to wait for an Asterisk to be fetched."""
    for item in items:
        if item.get_closest_marker("asterisk") and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(INSTALL_S))


@pytest.fixture(scope="session")
def install(request: pytest.FixtureRequest) -> Install:
    capture = request.config.pluginmanager.getplugin("capturemanager")

    def tell(text: str) -> None:
        with capture.global_and_fixture_disabled():
            print(f"\npbx: {text}", flush=True)

    try:
        return provide(tell)
    except Unavailable as reason:
        tell(f"NO ASTERISK, its tests cannot run: {reason}")
        if os.environ.get("CI") == "true":
            pytest.fail(f"CI must test with a real Asterisk: {reason}")
        pytest.skip(f"no Asterisk: {reason}")


@pytest.fixture(scope="session")
def fallback(install: Install) -> corpus.Prompt:
    """What callers hear whose agent is gone."""
    return corpus.prompts(install)["all-circuits-busy-now"]


@pytest.fixture(scope="session")
def asterisk(install: Install, fallback: corpus.Prompt) -> Iterator[Asterisk]:
    with Asterisk(install, fallback.path) as running:
        yield running


@pytest.fixture
async def dial(asterisk: Asterisk, tmp_path: Path) -> AsyncIterator[Dial]:
    """`await dial(media, extension)`: a caller whose call was answered. At the end everybody hangs up."""
    callers: list[Caller] = []

    async def make(media: str, extension: str = "agent") -> Caller:
        caller = Caller(asterisk, media, tmp_path, extension=extension)
        callers.append(caller)
        await caller.begin()
        return caller

    try:
        yield make
    finally:
        await asyncio.gather(*(caller.end() for caller in callers))


@pytest.fixture(scope="session")
def models() -> None:
    """The embedded models, fetched where they are missing."""
    fetched = subprocess.run(
        [sys.executable, "-m", "voicebridge", "models", "fetch"], capture_output=True, text=True, cwd=REPOSITORY
    )
    assert fetched.returncode == 0, fetched.stdout + fetched.stderr


@pytest.fixture(scope="module")
def daemon(models: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[VoiceDaemon]:
    """`voicebridge run` with the embedded engines and the demo agent."""
    with VoiceDaemon(tmp_path_factory.mktemp("daemon")) as running:
        yield running

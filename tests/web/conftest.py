"""A store of made-up calls, and the dashboard over it."""

from __future__ import annotations

import pytest

from bench.screenshots import dashboard, fill
from voicebridge.web.access import PASSWORD_VARIABLE


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """(folder, the record of the call with everything in it). Not to be changed."""
    folder = tmp_path_factory.mktemp("store")
    return folder, fill(folder, calls=60)


@pytest.fixture
async def served(kept, monkeypatch):
    """(dashboard, what it has printed), by links."""
    monkeypatch.delenv(PASSWORD_VARIABLE, raising=False)
    said: list[str] = []
    async with dashboard(kept[0], said) as made:
        yield made, said

"""A daemon that listens on IPv6, called by a real Asterisk: both protocols at [::1], and both families at [::]."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.pbx.asterisk import Asterisk
from tests.pbx.conftest import Dial
from tests.pbx.daemon import SPEECH_ONLY, VoiceDaemon

pytestmark = [pytest.mark.asterisk, pytest.mark.models]
AGENT = 'name = "desk"\ngreeting = "Hello, this is the desk."\nmodel_scope = "none"\n'


@pytest.mark.parametrize(
    ("host", "called"), [("[::1]", "[::1]"), ("[::]", "[::1]"), ("[::]", "127.0.0.1")], ids=["v6", "dual-v6", "dual-v4"]
)
async def test_a_call_comes_by_ipv6(
    models: None, asterisk: Asterisk, dial: Dial, tmp_path: Path, host: str, called: str
):
    folder = tmp_path / "daemon"
    (folder / "agents").mkdir(parents=True)
    (folder / "agents" / "desk.toml").write_text(AGENT)
    allow = 'allow = ["127.0.0.0/8", "::1/128"]\n'
    with VoiceDaemon(folder, agent="desk", engines=SPEECH_ONLY, listen=allow, host=host) as daemon:
        caller = await dial(f"{called}:{daemon.agi_port}", "targets")
        assert await caller.until_quiet(), (asterisk.steps(caller.id), daemon.output()[-2000:])
        await caller.end()
        record = await asyncio.to_thread(daemon.record, caller.id)
        assert record["turns"][0]["said"][0]["heard"] == "Hello, this is the desk."

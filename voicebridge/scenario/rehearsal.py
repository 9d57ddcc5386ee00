"""Virtual runs of whole suites: what their calls share is prepared once."""

from __future__ import annotations

import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from voicebridge.call.matching import RuleMatcher
from voicebridge.config import cache_dir
from voicebridge.engines.base import Embedder
from voicebridge.handoff.directory import Directory
from voicebridge.pbx.attach import AttachRequest
from voicebridge.scenario import virtual
from voicebridge.scenario.format import CallScript
from voicebridge.scenario.stubs import installed
from voicebridge.scenario.suite import Result, Suite, judged
from voicebridge.tools.runner import ToolRunner


async def rehearse(suites: Sequence[Suite], embedder: Embedder | None = None) -> AsyncIterator[Result]:
    """Each call's result as it comes. With an embedder rules are matched by meaning, else by words."""
    for suite in suites:
        matcher = RuleMatcher(suite.agent, embedder, cache_dir())
        await matcher.prepare()
        directory = Directory(suite.settings.config.targets).for_agent(suite.agent)
        with tempfile.TemporaryDirectory(prefix="voicebridge-test-") as folder:
            parts = virtual.VirtualParts(matcher, directory, suite.shelf, Path(folder))
            for call in suite.calls:
                yield await _rehearsed(suite, call, parts)
            await ToolRunner(installed(suite.shelf), folder=Path(folder)).close()


async def _rehearsed(suite: Suite, call: CallScript, parts: virtual.VirtualParts) -> Result:
    if reason := _not_here(call):
        return Result(suite, call, "skipped", reason=reason)
    began = time.monotonic()
    seen = await virtual.run(suite.agent, request(call), call, parts)
    return judged(suite, call, seen, time.monotonic() - began)


def request(call: CallScript) -> AttachRequest:
    """What the dialplan would have told of a call."""
    return AttachRequest(caller=call.caller, facts=tuple(call.variables.items()))


def _not_here(call: CallScript) -> str:
    """Why a call cannot be played virtually."""
    for number, step in enumerate(call.steps, 1):
        if step.wav is not None and not step.words:
            return f"step {number} is a recording whose words nobody tells (add `caller:`)"
    return ""

"""Virtual runs of whole suites: what their calls share is prepared once."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Sequence

from voicebridge.call.matching import RuleMatcher
from voicebridge.config import cache_dir
from voicebridge.engines.base import Embedder
from voicebridge.handoff.directory import Directory
from voicebridge.scenario import virtual
from voicebridge.scenario.format import CallScript
from voicebridge.scenario.suite import Result, Suite, judged


async def rehearse(suites: Sequence[Suite], embedder: Embedder | None = None) -> AsyncIterator[Result]:
    """Each call's result as it comes. With an embedder rules are matched by meaning, else by words."""
    for suite in suites:
        matcher = RuleMatcher(suite.agent, embedder, cache_dir())
        await matcher.prepare()
        directory = Directory(suite.settings.config.targets).for_agent(suite.agent)
        parts = virtual.VirtualParts(matcher, directory)
        for call in suite.calls:
            if reason := _not_here(call):
                yield Result(suite, call, "skipped", reason=reason)
                continue
            began = time.monotonic()
            seen = await virtual.run(suite.agent, call, parts)
            yield judged(suite, call, seen, time.monotonic() - began)


def _not_here(call: CallScript) -> str:
    """Why a call cannot be played virtually."""
    for number, step in enumerate(call.steps, 1):
        if step.wav is not None and not step.words:
            return f"step {number} is a recording whose words nobody tells (add `caller:`)"
    return ""

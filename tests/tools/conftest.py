"""A runner with a call, for tools of the test's own."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from voicebridge.tools import Tool
from voicebridge.tools.context import CallInfo
from voicebridge.tools.outcome import ToolOutcome
from voicebridge.tools.runner import ToolRunner


class Bench:
    """`run` runs a tool for a call that may use all of them; `told` holds the progress lines."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.told: list[str] = []
        self.runners: list[ToolRunner] = []
        self.call = CallInfo("11111111-2222-3333-4444-555555555555", "desk", "en", "+49 89 1234567", "100")

    def runner(self, *tools: Tool, **options: Any) -> ToolRunner:
        self.call = dataclasses.replace(self.call, tools=frozenset(tool.name for tool in tools))
        made = ToolRunner(tools, folder=self.folder, **options)
        self.runners.append(made)
        return made

    async def run(self, tool: Tool, arguments: str = "{}", **options: Any) -> ToolOutcome:
        """The tool alone, once. Options go to the runner."""
        return await self.runner(tool, **options).run(self.call, 1, tool.name, arguments, self.told.append)


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    made = Bench(tmp_path)
    yield made
    for runner in made.runners:
        await runner.close()


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Retries wait hardly at all."""
    monkeypatch.setattr("voicebridge.tools.runner.RETRY_S", 0.001)
    return lambda: None

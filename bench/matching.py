"""The demo agent's rules matched in writing, and what their thresholds do on a set of questions kept for tuning."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from rich.console import Console
from rich.table import Table

from voicebridge import plugins
from voicebridge.call.matching import RuleMatcher
from voicebridge.config import cache_dir, load
from voicebridge.conversation.agent import AgentSpec
from voicebridge.conversation.intents import MARGIN, PERHAPS, SURE, Match

READY_S = 30.0
POLL_S = 0.05


@asynccontextmanager
async def _matcher(agent: AgentSpec) -> AsyncIterator[RuleMatcher]:
    embedder = plugins.load("embed", "minilm").create({})
    await embedder.start()
    try:
        for _ in range(round(READY_S / POLL_S)):
            if embedder.ready:
                break
            await asyncio.sleep(POLL_S)
        matcher = RuleMatcher(agent, embedder, cache_dir())
        await matcher.prepare()
        yield matcher
    finally:
        await embedder.stop()


async def examine_in_writing(texts: Sequence[str]) -> list[tuple[str, str]]:
    """For each text: how it was matched, and the agent's answer."""
    agent = load().agents["demo"]
    made = []
    async with _matcher(agent) as matcher:
        for text in texts:
            found = await matcher.match(text)
            rule = next((rule for rule in agent.rules if rule.name == found.name), None)
            answer = rule.say[0] if rule is not None and rule.say else agent.lines.unknown[0]
            if rule is not None and rule.action == "say" and not found.sure:
                answer = f"{agent.lines.perhaps} {answer}"
            detail = f"{found.name} {found.score:.2f} +{found.margin:.2f} (then {found.runner_up})"
            made.append((detail, answer))
    return made


def verdict(question: dict[str, Any], found: Match, threshold: float, margin: float) -> str:
    """right, missed (admitted although covered) or wrong (another answer than the right one)."""
    sure = found.best is not None and found.score >= threshold and found.margin >= margin
    name = found.best if sure else None
    if question["kind"] == "covered":
        if name in (question["topic"], *question.get("also", ())):
            return "right"
        return "missed" if name in (None, "not_covered", "help") else "wrong"
    fine = (None, "not_covered", "help") if question["kind"] == "uncovered" else (None, "smalltalk", "help", "thanks")
    return "right" if name in fine else "wrong"


async def tune(questions: Sequence[dict[str, Any]], console: Console) -> None:
    """For each threshold: how many would be answered (`sure`), or answered with a perhaps, rightly and wrongly."""
    async with _matcher(load().agents["demo"]) as matcher:
        found = [await matcher.match(question["text"]) for question in questions]
    wanted = (("covered", "right"), ("covered", "missed"), ("covered", "wrong"), ("uncovered", "wrong"),
              ("smalltalk", "wrong"))
    table = Table("threshold", "covered: right", "missed", "wrong", "uncovered: answered", "chat: wrong")
    for threshold in sorted({0.42, 0.44, 0.48, 0.50, 0.52, 0.54, 0.56, 0.58, 0.62, 0.64, SURE, PERHAPS}):
        margin = MARGIN if threshold > PERHAPS else 0.0
        verdicts = [(q["kind"], verdict(q, m, threshold, margin)) for q, m in zip(questions, found, strict=True)]
        mark = {SURE: " sure", PERHAPS: " perhaps"}.get(threshold, "")
        table.add_row(f"{threshold:.2f}{mark}", *(str(verdicts.count(pair)) for pair in wanted))
    console.print(table)
    totals = {kind: sum(q["kind"] == kind for q in questions) for kind in ("covered", "uncovered", "smalltalk")}
    console.print(f"of {totals}; sure and perhaps are those of conversation/intents.py")

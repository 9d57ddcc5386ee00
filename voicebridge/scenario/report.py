"""What came of scenarios: for the terminal, as JSON, and as JUnit XML for whatever watches over builds."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from junitparser import Failure as JUnitFailure
from junitparser import JUnitXml, Skipped, TestCase, TestSuite
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from voicebridge.scenario.observation import Told, conversation
from voicebridge.scenario.suite import Result, Status
from voicebridge.scenario.verdict import Failure, answer_gap
from voicebridge.trace.render import summary

_MARKS: dict[Status, tuple[str, str]] = {"passed": ("✓", "green"), "failed": ("✗", "red"), "skipped": ("-", "yellow")}
_STYLES = {"caller": "bold cyan", "agent": "bold green", "filler": "green", "end": "bold"}


def told(result: Result) -> list[Told]:
    """The conversation as far as it was played."""
    steps = enumerate(result.call.steps)
    return conversation(result.seen, {number: step.words or step.told() for number, step in steps})


def gaps(result: Result) -> list[float]:
    """Response gaps of the call's turns, in seconds."""
    seen = result.seen
    spoken = [mark for mark in seen.marks if mark.step >= 0 and result.call.steps[mark.step].words]
    made = [answer_gap(seen, *seen.window(mark.step)) for mark in spoken]
    return [gap for gap in made if gap is not None]


# ---- the terminal


def show_result(console: Console, result: Result) -> None:
    """One line a call; a failed one with the conversation and what was expected where."""
    mark, style = _MARKS[result.status]
    line = Text.assemble((f"{mark} ", style), result.call.name)
    longest = max(gaps(result), default=None)
    note = result.reason if result.status == "skipped" else f"{result.seconds:.2f} s"
    note += f", longest gap {longest * 1000:.0f} ms" if longest is not None else ""
    line.append(f"  {note}", style="dim")
    console.print(line, soft_wrap=True)
    if result.status == "failed":
        console.print(_conversation(result))
        for failure in result.failures:
            _show_failure(console, result, failure)
        console.print()


def _conversation(result: Result) -> Table:
    table = Table.grid(padding=(0, 1))
    table.add_column(width=9, justify="right", style="dim")
    table.add_column(width=8)
    table.add_column()
    for line in told(result):
        text = Text(line.text)
        if line.note:
            text.append(f"  [{line.note}]", style="dim")
        table.add_row(f"{line.at:.2f}", Text(line.who, style=_STYLES.get(line.who, "magenta")), text)
    return table


def _show_failure(console: Console, result: Result, failure: Failure) -> None:
    where = f"{result.suite.script.path}:{result.line(failure)}"
    step = result.call.steps[failure.step].told()
    console.print(
        f"  [red]step {failure.step + 1}[/] ({escape(step)}) [red]{failure.what}[/]  [dim]{escape(where)}[/]",
        soft_wrap=True,
    )
    console.print(Text(f"    expected  {failure.expected}"), soft_wrap=True)
    console.print(Text(f"    got       {failure.got}"), soft_wrap=True)


def show_summary(console: Console, results: Sequence[Result]) -> None:
    counts = Counter(result.status for result in results)
    told = ", ".join(f"{counts[status]} {status}" for status in _MARKS if counts[status]) or "no calls"
    style = "red" if counts["failed"] else "green"
    console.print(f"[bold {style}]{told}[/]; response gap {summary([gap for r in results for gap in gaps(r)])}")


# ---- for machines


def as_dict(result: Result) -> dict[str, Any]:
    return {
        "file": str(result.suite.script.path),
        "agent": result.suite.agent.name,
        "call": result.call.name,
        "status": result.status,
        "reason": result.reason,
        "seconds": round(result.seconds, 3),
        "gaps_ms": [round(gap * 1000) for gap in gaps(result)],
        "failures": [
            {
                "step": failure.step + 1,
                "line": result.line(failure),
                "what": failure.what,
                "expected": failure.expected,
                "got": failure.got,
            }
            for failure in result.failures
        ],
        "conversation": [
            {"at_s": round(line.at, 3), "who": line.who, "text": line.text, "note": line.note} for line in told(result)
        ],
    }


def as_json(results: Sequence[Result]) -> str:
    counts = Counter(result.status for result in results)
    totals = {status: counts[status] for status in _MARKS}
    return json.dumps({**totals, "calls": [as_dict(result) for result in results]}, ensure_ascii=False)


def write_junit(results: Sequence[Result], path: Path) -> None:
    """One suite a file, one case a call. Raises OSError."""
    document = JUnitXml("voicebridge test")
    for file in dict.fromkeys(result.suite.script.path for result in results):
        suite = TestSuite(str(file))
        for result in results:
            if result.suite.script.path == file:
                suite.add_testcase(_case(result))
        document.add_testsuite(suite)
    document.update_statistics()  # type: ignore[no-untyped-call]
    document.write(str(path), pretty=True)


def _case(result: Result) -> TestCase:
    case = TestCase(
        _xml_safe(result.call.name), classname=_xml_safe(result.suite.agent.name), time=round(result.seconds, 3)
    )
    if result.status == "skipped":
        case.result = [Skipped(_xml_safe(result.reason))]
    elif result.failures:
        lines = [_in_words(result, failure) for failure in result.failures]
        made = JUnitFailure(_xml_safe(lines[0]), "expectation")
        made.text = _xml_safe("\n".join([*lines, "", *_plain(result)]))
        case.result = [made]
    case.system_out = _xml_safe("\n".join(_plain(result)))
    return case


def _in_words(result: Result, failure: Failure) -> str:
    return (
        f"{result.suite.script.path}:{result.line(failure)}: step {failure.step + 1}: {failure.what}: "
        f"expected {failure.expected}, got {failure.got}"
    )


def _plain(result: Result) -> list[str]:
    return [
        f"{line.at:8.2f}  {line.who:<8} {line.text}" + (f"  [{line.note}]" if line.note else "")
        for line in told(result)
    ]


def _xml_safe(text: str) -> str:
    """Without the control characters that XML 1.0 cannot hold."""
    return "".join(char if char.isprintable() or char in "\t\n" else "?" for char in text)

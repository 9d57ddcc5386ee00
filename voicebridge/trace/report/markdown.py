"""A report as Markdown that is readable as it is, in a mail. What callers said is text, never mark-up."""

from __future__ import annotations

import re
from collections.abc import Iterator

from voicebridge.trace.findings import Fix, Review
from voicebridge.trace.reading import plain
from voicebridge.trace.report.content import (
    ID_CHARS,
    Section,
    Table,
    bars,
    figures,
    headline,
    method,
    period,
    sections,
)

_SPECIAL = re.compile(r"([\\`*\[\]<>|#~]|(?<!\w)_|_(?!\w))")


def markdown(now: Review, before: Review, *, agent: str = "") -> str:
    """`before`: the review of the period before, of the same length."""
    return "\n".join(_lines(now, before, agent)) + "\n"


def _lines(now: Review, before: Review, agent: str) -> Iterator[str]:
    yield f"# Calls{f' of {_text(agent)}' if agent else ''}, {period(now)}"
    yield ""
    yield headline(now)
    if not now.calls:
        return
    yield ""
    yield "| | | against before |"
    yield "|---|---:|---|"
    for figure in figures(now, before):
        mood = f" ({figure.mood})" if figure.mood else ""
        yield f"| {figure.label} | {figure.value} | {figure.change}{mood} |"
    yield from _fixes(now)
    for section in sections(now, before):
        yield from _section(section, now)
    yield ""
    yield f"*{method(now)}*"


def _fixes(now: Review) -> Iterator[str]:
    yield ""
    yield "## What to do"
    yield ""
    if not now.fixes:
        yield "Nothing stands out."
    for number, fix in enumerate(now.fixes, 1):
        yield f"{number}. **{_coded(fix.what)}.** {_sentence(fix)}"
        for example in fix.examples:
            yield f"   - {_text(example)}"
        if fix.call_ids:
            yield f"   - see {', '.join(f'`{plain(call)[:ID_CHARS]}`' for call in fix.call_ids[:4])}"


def _sentence(fix: Fix) -> str:
    text = _coded(fix.evidence)
    return f"{text[:1].upper()}{text[1:]}."


def _section(section: Section, now: Review) -> Iterator[str]:
    yield ""
    yield f"## {section.title}"
    if section.title == "Where the time went" and len(now.buckets) > 1:
        yield ""
        yield f"Gap p95 over time: `{bars([bucket.p95 or 0.0 for bucket in now.buckets])}`, " + (
            f"calls: `{bars([float(bucket.calls) for bucket in now.buckets])}`"
        )
    for table in section.tables:
        yield from _table(table)


def _table(table: Table) -> Iterator[str]:
    yield ""
    yield f"### {table.title}"
    yield ""
    yield f"| {' | '.join(table.columns)} |"
    left = len(table.columns) - table.numbers
    yield f"|{'---|' * left}{'---:|' * table.numbers}"
    for row in table.rows:
        yield f"| {' | '.join(_text(cell) for cell in row)} |"
    if table.more > 0:
        yield ""
        yield f"and {table.more} more"
    if table.note:
        yield ""
        yield table.note


def _coded(text: str) -> str:
    """What stands between backticks is code and stays as it is."""
    parts = plain(text).split("`")
    return "`".join(part if place % 2 else _text(part) for place, part in enumerate(parts))


def _text(text: str) -> str:
    return _SPECIAL.sub(r"\\\1", plain(text))

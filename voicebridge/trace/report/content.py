"""What a report says, in reading order, whatever it is written as: figures, what to do, tables. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from voicebridge.trace.findings import Review
from voicebridge.trace.reasons import reason_text
from voicebridge.trace.spans import ACTORS

ROWS = 15
ID_CHARS = 8


@dataclass(frozen=True, slots=True)
class Figure:
    """`change`: against the period before, with an arrow; "" where there is none. `mood`: better, worse or ""."""

    label: str
    value: str
    change: str = ""
    mood: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """Cells are text. `numbers`: so many of the last columns are aligned right. `note` stands below the title."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""
    numbers: int = 0
    more: int = 0


@dataclass(frozen=True, slots=True)
class Section:
    title: str
    tables: tuple[Table, ...]


def headline(now: Review) -> str:
    """What somebody should know who reads one sentence."""
    if not now.calls:
        return "No calls in this time."
    told = f"{count(now.calls, 'call')}, {length(now.seconds)} on the line."
    if now.containment is not None:
        told += (
            f" {percent(now.containment)} of the {count(now.spoken, 'caller')} who said something needed no human."
            if now.spoken != 1
            else f" The one caller who said something needed {'no' if now.contained else 'a'} human."
        )
    if now.gap.p50 is not None and now.gap.p95 is not None:
        told += f" Half of all answers began within {seconds(now.gap.p50)}, 95% within {seconds(now.gap.p95)}."
    if now.fixes:
        told += f" {count(len(now.fixes), 'thing')} to do below."
    return told


def figures(now: Review, before: Review) -> Iterator[Figure]:
    handed, handed_before = (sum(reason.calls for reason in one.handoffs) for one in (now, before))
    asked, asked_before = (sum(question.asked for question in one.questions) for one in (now, before))
    failed, failed_before = (sum(use.failures for use in one.tools) for one in (now, before))
    old = before.calls > 0
    yield _figure("calls", now.calls, before.calls if old else None, str, good=None)
    yield _figure("needed no human", now.containment, before.containment, percent, good=+1, points=True)
    yield _share("handed off", handed, now.calls, handed_before, before.calls)
    yield _figure("gap, half within", now.gap.p50, before.gap.p50, seconds, good=-1)
    yield _figure("gap, 95% within", now.gap.p95, before.gap.p95, seconds, good=-1)
    yield _share("gap above 1.5 s", now.over_budget, now.gap.count, before.over_budget, before.gap.count)
    yield _share("not answered", asked, now.turns, asked_before, before.turns)
    yield _figure("tools failed", failed, failed_before if old else None, str, good=-1)
    yield _figure("interruptions", now.barge_ins, before.barge_ins if old else None, str, good=None)
    yield _figure("most at once", now.busiest, before.busiest if old else None, str, good=None)


def sections(now: Review, before: Review) -> tuple[Section, ...]:
    """Those with something in them."""
    made = (
        Section("What was asked", (_questions(now), _topics(now, before))),
        Section("Why callers went to a human", (_reasons(now, before), _refusals(now))),
        Section("What failed", (_tools(now), _failovers(now), _troubles(now), _misses(now))),
        Section("Where the time went", (_slowest(now), _actors(now, before), _sources(now, before), _loads(now))),
        Section("How calls ended", (_endings(now, before),)),
    )
    kept = (Section(one.title, tuple(table for table in one.tables if table.rows)) for one in made)
    return tuple(section for section in kept if section.tables)


def method(now: Review) -> str:
    return (
        "The gap is the time from the caller's last voiced sample to the first audible sample of the answer's own "
        "words; fillers do not count. What a turn waited for adds up to its gap. "
        f"Callers who said nothing ({now.silent}) are left out of “needed no human”. "
        "Texts are as stored: redacted."
    )


# ---- tables


def _questions(now: Review) -> Table:
    rows = tuple(
        (one.text, "; ".join(text for text in one.examples[1:4]),
         f"perhaps {one.rules[0]}" if one.kind == "unsure" and one.rules else "no answer", str(one.calls))
        for one in now.questions[:ROWS]
    )  # fmt: skip
    return Table("Questions without an answer", ("question", "also as", "got", "callers"), rows, numbers=1,
                 more=len(now.questions) - len(rows))  # fmt: skip


def _topics(now: Review, before: Review) -> Table:
    rows = tuple(
        (name, str(number), str(before.topics.get(name, 0))) for name, number in list(now.topics.items())[:ROWS]
    )
    return Table("Questions with an answer, by rule", ("rule", "turns", "before"), rows, numbers=2,
                 more=len(now.topics) - len(rows))  # fmt: skip


def _reasons(now: Review, before: Review) -> Table:
    old = {(reason.outcome, reason.reason): reason.calls for reason in before.handoffs}
    rows = tuple(
        (reason.text, ", ".join(f"{name} {number}" for name, number in reason.targets.items() if name)
         or ("the PBX's fallback" if reason.outcome == "fallback" else ""),
         str(reason.calls), str(old.get((reason.outcome, reason.reason), 0)))
        for reason in now.handoffs[:ROWS]
    )  # fmt: skip
    return Table("Reasons", ("because", "to", "calls", "before"), rows, numbers=2)


def _refusals(now: Review) -> Table:
    rows = tuple((one.target, _words(one.cause), str(one.count)) for one in now.refusals[:ROWS])
    return Table("Humans who did not come", ("target", "cause", "times"), rows, numbers=1)


def _tools(now: Review) -> Table:
    rows = tuple(
        (use.tool, ", ".join(f"{_words(cause)} {number}" for cause, number in use.causes.items()), str(use.runs),
         f"{use.failures} ({percent(use.failures / use.runs)})" if use.failures else "0", str(use.retried),
         "" if use.p50_ms is None else seconds(use.p50_ms / 1000),
         "" if use.p95_ms is None else seconds(use.p95_ms / 1000))
        for use in now.tools[:ROWS]
    )  # fmt: skip
    return Table("Tools", ("tool", "causes", "runs", "failed", "retried", "p50", "p95"), rows, numbers=5)


def _failovers(now: Review) -> Table:
    rows = tuple((one.kind, one.old, one.new, _words(one.cause), str(one.count)) for one in now.failovers[:ROWS])
    return Table("Engines that were left for others", ("kind", "from", "to", "cause", "times"), rows, numbers=1)


def _troubles(now: Review) -> Table:
    rows = tuple((name, str(number)) for name, number in list(now.troubles.items())[:ROWS])
    return Table("Troubles of engines", ("trouble", "turns"), rows, numbers=1)


def _misses(now: Review) -> Table:
    rows = tuple(
        (one.question, str(one.asked), f"{one.again} ({percent(one.again / one.asked)})") for one in now.misses[:ROWS]
    )
    return Table("Our questions that had to be asked again", ("question", "asked", "again"), rows, numbers=2)


def _slowest(now: Review) -> Table:
    rows = tuple(
        (clock(turn.at), turn.call_id[:ID_CHARS], turn.text or "not known", seconds(turn.gap_s))
        for turn in now.slowest
    )  # fmt: skip
    return Table("Slowest turns", ("when", "call", "why", "gap"), rows, numbers=1,
                 note="`voicebridge calls show ID` draws a call." if rows else "")  # fmt: skip


def _actors(now: Review, before: Review) -> Table:
    rows = []
    for actor, spread in now.by_actor.items():
        old = before.by_actor.get(actor)
        rows.append(
            (ACTORS[actor], str(spread.count), _seconds(spread.p50), _seconds(spread.p95), _seconds(spread.p99),
             _seconds(old.p95 if old else None), str(now.blamed.get(actor, 0)))
        )  # fmt: skip
    columns = ("", "turns", "p50", "p95", "p99", "p95 before", "to blame")
    note = "To blame: turns above 0.8 s in which this was furthest above its usual time."
    return Table("By what was waited for", columns, tuple(rows), numbers=6, note=note)


def _sources(now: Review, before: Review) -> Table:
    rows = []
    for source, spread in now.by_source.items():
        old = before.by_source.get(source)
        rows.append(
            (_SOURCES.get(source, source), str(spread.count), _seconds(spread.p50), _seconds(spread.p95),
             _seconds(spread.p99), _seconds(old.p95 if old else None))
        )  # fmt: skip
    return Table("By who answered", ("", "turns", "p50", "p95", "p99", "p95 before"), tuple(rows), numbers=5)


_SOURCES = {"rule": "a rule", "form": "a form", "model": "the language model", "tool": "a tool",
            "line": "a line of its own"}  # fmt: skip


def _loads(now: Review) -> Table:
    """Only where there was more than one level."""
    if len(now.loads) < 2:
        return Table("", (), ())
    tops = [load.calls for load in now.loads[1:]]
    names = [f"{low}" if top - 1 == low else f"{low} to {top - 1}"
             for low, top in zip((load.calls for load in now.loads), tops, strict=False)]  # fmt: skip
    names.append(f"{now.loads[-1].calls} or more")
    rows = tuple(
        (name, str(load.turns), _seconds(load.gap_p95),
         *(_seconds(load.actors_p95.get(actor)) for actor in ("stt", "llm", "tts")))
        for name, load in zip(names, now.loads, strict=True)
    )  # fmt: skip
    return Table("By calls at the same time", ("calls", "turns", "gap p95", "stt p95", "llm p95", "tts p95"), rows,
                 numbers=5)  # fmt: skip


def _endings(now: Review, before: Review) -> Table:
    rows = tuple(
        (ended_by or "not known", reason_text(ended_by), str(number), str(before.endings.get(ended_by, 0)))
        for ended_by, number in list(now.endings.items())[:ROWS]
    )
    return Table("By reason", ("ended by", "that is", "calls", "before"), rows, numbers=2)


# ---- in words


def _figure(
    label: str, now: float | None, before: float | None, told: Callable[[float], str], *, good: int | None,
    points: bool = False,
) -> Figure:  # fmt: skip
    """`good`: +1 where more is better, -1 where less is, None where neither."""
    if now is None:
        return Figure(label, "none")
    if before is None:
        return Figure(label, told(now))
    difference = now - before
    shown = f"{abs(difference) * 100:.0f} points" if points else told(abs(difference))
    if shown in (told(0), told(0.0), "0 points"):
        return Figure(label, told(now), "as before")
    mood = "" if good is None else "better" if difference * good > 0 else "worse"
    return Figure(label, told(now), f"{'▲' if difference > 0 else '▼'} {shown}", mood)


def _share(label: str, part: int, whole: int, part_before: int, whole_before: int) -> Figure:
    """Of things that are bad: the count, the share, and how that has changed."""
    if not whole:
        return Figure(label, "none")
    made = _figure(label, part / whole, part_before / whole_before if whole_before else None, percent, good=-1,
                   points=True)  # fmt: skip
    return Figure(label, f"{part} ({percent(part / whole)})", made.change, made.mood)


def count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def percent(share: float) -> str:
    return f"{share * 100:.0f}%" if share in (0.0, 1.0) or 0.01 <= share <= 0.99 else f"{share * 100:.1f}%"


def seconds(value: float) -> str:
    return f"{value:.2f} s"


def _seconds(value: float | None) -> str:
    return "" if value is None else seconds(value)


def length(value: float) -> str:
    return f"{value / 3600:.1f} hours" if value >= 5400 else count(round(value / 60), "minute")


def clock(at: float) -> str:
    return f"{datetime.fromtimestamp(at):%a %d %b %H:%M}"


def day(at: float) -> str:
    return f"{datetime.fromtimestamp(at):%d %b %Y}"


def period(now: Review) -> str:
    """`17 Nov 2026 to 24 Nov 2026`; with times where it is not of whole days."""
    short = now.until - now.since < 2 * 86_400
    told = clock if short else day
    return f"{told(now.since)} to {told(now.until)}"


def _words(cause: str) -> str:
    return cause.replace("_", " ") or "not told"


def bars(values: Sequence[float]) -> str:
    """A line of small bars for text: ▁▂▃▄▅▆▇█, a space where there is nothing."""
    top = max(values, default=0.0)
    return "".join(" " if value <= 0 else "▁▂▃▄▅▆▇█"[min(7, int(value / top * 7.999))] for value in values)

"""What would help, from what a review found: each suggestion with the numbers that speak for it, the weightiest first.

A suggestion is made only where the same thing happened several times: a single timeout is no finding.
"""

from __future__ import annotations

from collections.abc import Iterator

from voicebridge.trace.findings import Fix, Load, Question, Review, ToolUse
from voicebridge.trace.reasons import reason_text
from voicebridge.trace.spans import ACTORS

FEW = 3
"""So often at least."""
QUESTION_CALLS = 2
TOOL_SHARE = 0.02
TOOL_SLOW_MS = 2_000
MISS_SHARE = 0.15
BLAME_SHARE = 0.03
GREETING_SHARE = 0.3
SILENT_SHARE = 0.1
LOADED = 1.5
"""A stage that takes so many times as long with many calls as with few suffers from load."""
LOAD_TURNS = 10
LOG = "see the daemon's log for its errors"

_TOOL_CURES = {
    "timeout": "raise its `deadline_s`, or make what stands behind it answer sooner",
    "breaker_open": "see why the system behind it was down: its breaker was open, nobody tried it any more",
    "invalid_arguments": "give its parameters clearer descriptions, or collect them by a form",
    "invalid_result": "let it return what its result schema says",
    "too_large": "let it return less: results are capped",
    "unknown_tool": "put it into the agent's `tools`",
    "cancelled": "callers did not wait for it: make it quicker, or say how long it takes",
    "error": LOG,
    "not finished": "callers did not wait for it: make it quicker, or say how long it takes",
}
_SLOW_CURES = {
    "stt": "a quicker recogniser or model (`voicebridge engines ls` measures), or move it to another machine",
    "llm": 'a smaller model, a shorter prompt, `model_scope = "smalltalk"` with more rules, or another machine',
    "tts": "a quicker voice, or shorter first sentences: what stands in `say` and `lines` is rendered before",
    "tool": "see the tools below: quicker ones, or `fillers` that cover the wait",
    "endpoint": '`[engines] turn = "smart_turn"`, or questions that are answered in one phrase',
    "match": "fewer examples, or fewer calls at once: the matcher shares the machine",
    "vad": "fewer calls at once: the media clock was late",
    "cover": "see who was late: a filler came before the answer was ready",
    "playout": "fewer calls at once: the media clock was late",
}
_REFUSED_CURES = {
    "closed": "check the target's hours, or give it a `next`",
    "no_answer": "check who is to answer there, or give it a `next`",
    "busy": "more people there, or a `next`",
    "declined": "ask those who declined, or give it a `next`",
    "unknown_target": "add it to `[targets]`",
}


def fixes(review: Review) -> tuple[Fix, ...]:
    """The weightiest first."""
    found = [
        *_questions(review), *_tools(review), *_forms(review), *_engines(review), *_speed(review), *_handoffs(review),
        *_opening(review),
    ]  # fmt: skip
    return tuple(sorted(found, key=lambda fix: (-fix.weight, fix.kind, fix.what)))


def _many(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _quoted(text: str) -> str:
    """Of a caller or an agent; backticks would be taken for our own, which mark code."""
    return text.replace("`", "'")


def _questions(review: Review) -> Iterator[Fix]:
    for question in review.questions:
        if question.calls >= QUESTION_CALLS:
            yield _unsure(question) if question.kind == "unsure" else _unknown(question)


def _unknown(question: Question) -> Fix:
    return Fix(
        "question", f"Answer “{_quoted(question.text)}”: add a rule with these examples",
        f"{_many(question.calls, 'caller')} asked about it and got no answer{_times(question)}",
        question.calls, question.examples, question.call_ids,
    )  # fmt: skip


def _unsure(question: Question) -> Fix:
    rule = question.rules[0] if question.rules else ""
    return Fix(
        "unsure", f"Add these wordings to the examples of rule {rule}, or give them a rule of their own",
        f"{_many(question.calls, 'caller')} said it and the rule was not sure to be meant{_times(question)}",
        question.calls, question.examples, question.call_ids,
    )  # fmt: skip


def _times(question: Question) -> str:
    return f", {_many(question.asked, 'time')}" if question.asked != question.calls else ""


def _tools(review: Review) -> Iterator[Fix]:
    for use in review.tools:
        if use.failures >= FEW and use.failures >= TOOL_SHARE * use.runs:
            yield _failing(use)
        elif use.p95_ms is not None and use.runs >= FEW and use.p95_ms > TOOL_SLOW_MS:
            yield Fix(
                "tool", f"Make the tool {use.tool} quicker, or give it `fillers`",
                f"it took {use.p95_ms / 1000:.1f} s at p95 over {_many(use.runs, 'run')}", use.runs,
            )  # fmt: skip


def _failing(use: ToolUse) -> Fix:
    cause = next(iter(use.causes))
    parts = [f"{cause.replace('_', ' ')} {count}" for cause, count in use.causes.items()]
    took = f"; p95 {use.p95_ms / 1000:.1f} s" if use.p95_ms is not None else ""
    return Fix(
        "tool", f"Tool {use.tool}: {_TOOL_CURES.get(cause, LOG)}",
        f"it failed {use.failures} of {_many(use.runs, 'time')} ({', '.join(parts)}){took}", use.failures,
    )  # fmt: skip


def _forms(review: Review) -> Iterator[Fix]:
    for miss in review.misses:
        if miss.again >= FEW and miss.again >= MISS_SHARE * miss.asked:
            yield Fix(
                "form", f"Word “{_quoted(miss.question)}” so that the answer is plain, or let it be keyed",
                f"it had to be asked again {miss.again} of {_many(miss.asked, 'time')}", miss.again,
                call_ids=miss.call_ids,
            )  # fmt: skip
    for name, count in _ended(review, "form_", "_not_understood"):
        yield Fix(
            "form", f"Look at the slots of form {name}: kinds, wordings, what callers really said",
            f"{_many(count, 'caller')} went to a human because it did not understand", count,
        )  # fmt: skip


def _engines(review: Review) -> Iterator[Fix]:
    for move in review.failovers:
        yield Fix(
            "engine", f"See why the {move.kind} engine {move.old} failed: `voicebridge doctor`, the daemon's log",
            f"calls went on with {move.new} {_many(move.count, 'time')} ({move.cause.replace('_', ' ')})", move.count,
        )  # fmt: skip
    for reason in review.handoffs:
        kind = reason.reason.partition("_")[0]
        if kind in ("stt", "llm", "tts") and reason.outcome == "fallback":
            yield Fix(
                "engine", f"Name a second {kind} engine in `[engines]`, so that calls go on when the first fails",
                f"{_many(reason.calls, 'call')} went to the fallback because {reason.text}", reason.calls,
            )  # fmt: skip


def _speed(review: Review) -> Iterator[Fix]:
    turns = review.gap.count
    for actor, count in review.blamed.items():
        if count < FEW or count < BLAME_SHARE * turns or actor not in _SLOW_CURES:
            continue
        evidence = f"{count} of {_many(turns, 'turn')} were slow because of it"
        what = f"Speed up {ACTORS[actor]}: {_SLOW_CURES[actor]}"
        if (under := _under_load(actor, review.loads)) is not None:
            few, many = under
            what = f"Fewer calls at once (`[listen] max_calls`), more cores, or {ACTORS[actor]} on another machine"
            evidence += (
                f"; p95 {many.actors_p95[actor]:.2f} s at {_at_least(many)} and {few.actors_p95[actor]:.2f} s at "
                f"{_at_least(few)}"
            )
        elif (took := review.by_actor.get(actor)) is not None and took.p95 is not None:
            evidence += f"; p95 {took.p95:.2f} s"
        yield Fix("speed", what, evidence, count, call_ids=_slow_calls(review, actor))


def _under_load(actor: str, loads: tuple[Load, ...]) -> tuple[Load, Load] | None:
    """The least and the most loaded level, where the stage takes much longer at the second."""
    known = [load for load in loads if load.turns >= LOAD_TURNS and actor in load.actors_p95]
    if len(known) < 2 or known[-1].actors_p95[actor] < LOADED * known[0].actors_p95[actor]:
        return None
    return known[0], known[-1]


def _at_least(load: Load) -> str:
    return "1 call" if load.calls == 1 else f"{load.calls} or more calls"


def _slow_calls(review: Review, actor: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(turn.call_id for turn in review.slowest if turn.actor == actor))


def _handoffs(review: Review) -> Iterator[Fix]:
    for refused in review.refusals:
        if refused.count >= FEW:
            cure = _REFUSED_CURES.get(refused.cause, LOG)
            yield Fix(
                "handoff", f"Target {refused.target}: {cure}",
                f"{_many(refused.count, 'caller')} wanted a human there and got none "
                f"({refused.cause.replace('_', ' ') or 'failed'})",
                refused.count,
            )  # fmt: skip
    for reason in review.handoffs:
        if reason.calls < FEW:
            continue
        if reason.reason == "not_understood":
            yield Fix(
                "handoff", "Read what these callers said: `voicebridge calls ls --text` and the questions below",
                f"{_many(reason.calls, 'caller')} went to a human because {reason.text}", reason.calls,
            )  # fmt: skip
        elif reason.reason == "call_length":
            yield Fix(
                "handoff", "Raise `limits.call_s`, or see what these callers could not settle",
                f"{_many(reason.calls, 'call')} reached the time limit", reason.calls,
            )  # fmt: skip


def _opening(review: Review) -> Iterator[Fix]:
    if review.cut_greetings >= FEW and review.cut_greetings >= GREETING_SHARE * review.greeted:
        heard = f"; half of them had enough after {review.greeting_s:.1f} s" if review.greeting_s is not None else ""
        yield Fix(
            "greeting", "Shorten the greeting, and put what matters first",
            f"{review.cut_greetings} of {_many(review.greeted, 'caller')} interrupted it{heard}", review.cut_greetings,
        )  # fmt: skip
    if review.silent >= FEW and review.silent >= SILENT_SHARE * review.calls:
        yield Fix(
            "silence", "See whether the caller's audio arrives: `voicebridge doctor`, a recording of such a call",
            f"in {review.silent} of {_many(review.calls, 'call')} nothing was heard of the caller"
            + (f", {review.no_input} were ended for it" if review.no_input else ""),
            review.silent,
        )  # fmt: skip
    if review.dropped >= FEW:
        yield Fix(
            "silence", "See the daemon's log and Asterisk's at these times: lines were lost in mid-call",
            f"{_many(review.dropped, 'call')}: {reason_text('dropped')}", review.dropped,
        )  # fmt: skip


def _ended(review: Review, prefix: str, suffix: str) -> Iterator[tuple[str, int]]:
    for reason in review.handoffs:
        if reason.reason.startswith(prefix) and reason.reason.endswith(suffix) and reason.calls >= QUESTION_CALLS:
            yield reason.reason.removeprefix(prefix).removesuffix(suffix), reason.calls

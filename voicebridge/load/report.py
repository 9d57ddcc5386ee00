"""A run in numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from voicebridge.load.machine import machine
from voicebridge.load.outcome import Call
from voicebridge.load.run import Run
from voicebridge.trace.render import percentile

Spread = dict[str, float | int]
Report = dict[str, Any]


def spread(values: Sequence[float]) -> Spread:
    """n, p50, p95, p99, max."""
    if not values:
        return {"n": 0}
    shares = {f"p{share}": round(percentile(values, share), 3) for share in (50, 95, 99)}
    return {"n": len(values), **shares, "max": round(max(values), 3)}


def report(run: Run, calls: Sequence[Call], asked: dict[str, Any]) -> Report:
    """`calls`: the run's, with what records knew of them. `asked`: how the run was ordered.

    `gap_s` is from the wire, to the first sound whatever it is; `answer_gap_s` to the answer's own words: of turns
    with a filler the daemon's own number, with what the wire added to the others in the middle.
    """
    answered = [call for call in calls if call.answered]
    turns = [turn for call in calls for turn in call.turns]
    media = [call.media for call in answered]
    lost = Counter(call.lost for call in calls if call.lost)
    sounds = [turn.gap_s for turn in turns if turn.gap_s is not None]
    return {
        **asked,
        **machine(),
        "seconds": round(run.seconds, 1),
        "interrupted": run.interrupted,
        "offered": len(calls),
        "answered": len(answered),
        "lost": sum(lost.values()),
        "lost_why": dict(lost.most_common()),
        "refused": dict(Counter(str(call.code) for call in calls if not call.answered)),
        "behaviours": dict(Counter(call.behaviour for call in calls)),
        "ended_by": dict(Counter(call.ended_by for call in answered)),
        "outcomes": dict(Counter(call.outcome for call in calls if call.outcome)),
        "turns": len(turns),
        "unanswered": sum(turn.gap_s is None for turn in turns),
        "gap_s": spread(sounds),
        "answer_gap_s": spread(answer_gaps(calls)),
        "recorded": sum(bool(call.outcome) for call in calls),
        "fillers": sum(turn.filler for turn in turns),
        "by": dict(Counter(turn.source for turn in turns if turn.source)),
        "barge_in_stop_s": spread([turn.barge_in_stop_s for turn in turns if turn.barge_in_stop_s is not None]),
        "greeted_s": spread([call.media.voice[0][0] for call in answered if call.media.voice]),
        "longest_silence_s": spread([made.longest_silence_s for made in media]),
        "jitter_ms": spread([made.jitter_s * 1000 for made in media]),
        "frame_gap_ms": spread([made.frame_gap_s * 1000 for made in media]),
        "packets": sum(made.packets for made in media),
        "packets_lost": sum(made.lost for made in media),
        "packets_reordered": sum(made.reordered for made in media),
        "usage": usage(run),
        "own_clock_late_ms": {"p99": round(run.late_ms[0], 1), "max": round(run.late_ms[1], 1)},
        "calls": [call.as_dict() for call in calls],
    }


def counted(run: Run) -> list[Call]:
    """Without those that an interruption kept from being answered."""
    return [call for call in run.calls if call.answered or call.code or call.ended_by or not run.interrupted]


def answer_gaps(calls: Sequence[Call]) -> list[float]:
    """Gaps to the answers' own words; none where no record was found."""
    turns = [turn for call in calls for turn in call.turns if turn.own_gap_s is not None]
    plain = [turn.gap_s for turn in turns if not turn.filler and turn.gap_s is not None]
    own = [turn.own_gap_s for turn in turns if turn.filler and turn.own_gap_s is not None]
    added = [turn.gap_s - turn.own_gap_s for turn in turns
             if not turn.filler and turn.gap_s is not None and turn.own_gap_s is not None]  # fmt: skip
    wire = percentile(added, 50) if added else 0.0
    return plain + [gap + wire for gap in own]


def usage(run: Run) -> dict[str, dict[str, float]]:
    """Cores and memory by group of processes."""
    made = {}
    for name, samples in (run.usage.samples if run.usage is not None else {}).items():
        cores = [sample.cpu for sample in samples]
        made[name] = {
            "cores_mean": round(sum(cores) / len(cores), 3),
            "cores_max": round(max(cores), 3),
            "memory_mb_max": round(max(sample.memory_mb for sample in samples)),
        }
    return made

"""Plots of the overview, as SVG with widths in percent: pure, coloured by the style sheet, readable without colours."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from html import escape

HEIGHT = 190
TALL = 260
TOP = 16
BOTTOM = 26
LEFT = 7.0
"""Percent of the width for the numbers of the axis."""
LABELS = 6


@dataclass(frozen=True, slots=True)
class Column:
    """One place on the axis: `parts` are stacked (class, value); `marks` are points above them (class, value)."""

    label: str
    title: str
    parts: tuple[tuple[str, float], ...] = ()
    marks: tuple[tuple[str, float], ...] = ()

    @property
    def top(self) -> float:
        return max(sum(value for _, value in self.parts), *(value for _, value in self.marks), 0.0)


@dataclass(frozen=True, slots=True)
class Axis:
    """Round numbers from 0 to `top`, so that all columns fit."""

    top: float
    step: float
    numbers: tuple[float, ...] = field(default=())


def axis(highest: float, *, whole: bool = False) -> Axis:
    """`whole`: things that are counted."""
    if highest <= 0:
        highest = 1.0
    step = 10.0 ** math.floor(math.log10(highest / 3))
    step *= next(factor for factor in (1, 2, 2.5, 5, 10) if highest / (step * factor) <= 4)
    if whole:
        step = float(max(1, math.ceil(step)))
    count = math.ceil(highest / step - 1e-9)
    return Axis(step * count, step, tuple(step * n for n in range(count + 1)))


def columns(made: Sequence[Column], summary: str, *, unit: str = "", whole: bool = False, height: int = HEIGHT) -> str:
    """Stacked columns side by side. `height`: pixels."""
    scale = axis(max((column.top for column in made), default=0.0), whole=whole)
    floor = height - BOTTOM

    def y(value: float) -> float:
        return floor - (floor - TOP) * value / scale.top

    parts = [f'<svg class="chart" role="img" aria-label="{escape(summary)}" width="100%" height="{height}">']
    for number in scale.numbers:
        parts.append(f'<line class="grid" x1="{LEFT}%" x2="100%" y1="{y(number):.1f}" y2="{y(number):.1f}"/>')
        parts.append(
            f'<text class="tick" x="{LEFT}%" dx="-6" y="{y(number) + 4:.1f}" text-anchor="end">{number:g}'
            f"{unit if number == scale.top else ''}</text>"
        )
    width = (100.0 - LEFT) / max(1, len(made))
    every = max(1, math.ceil(len(made) / LABELS))
    for place, column in enumerate(made):
        x = LEFT + place * width
        parts.append(_column(column, x, width, floor, y))
        if (len(made) - 1 - place) % every == every // 2:
            parts.append(
                f'<text class="tick" x="{x + width / 2:.2f}%" y="{floor + 18}" text-anchor="middle">'
                f"{escape(column.label)}</text>"
            )
    return "".join([*parts, "</svg>"])


def _column(column: Column, x: float, width: float, floor: float, y: Callable[[float], float]) -> str:
    pad = width * 0.14
    found = [f"<g><title>{escape(column.title)}</title>"]
    found.append(f'<rect class="hit" x="{x:.2f}%" width="{width:.2f}%" y="{TOP}" height="{floor - TOP}"/>')
    base = 0.0
    for kind, value in column.parts:
        if value > 0:
            top, bottom = y(base + value), y(base)
            found.append(
                f'<rect class="a-{escape(kind)}" x="{x + pad:.2f}%" width="{width - 2 * pad:.2f}%" '
                f'y="{top:.1f}" height="{max(bottom - top, 0.8):.1f}"/>'
            )
        base += value
    for kind, value in column.marks:
        at = y(value)
        found.append(
            f'<line class="mark m-{escape(kind)}" x1="{x + pad:.2f}%" x2="{x + width - pad:.2f}%" '
            f'y1="{at:.1f}" y2="{at:.1f}"/>'
        )
    return "".join([*found, "</g>"])


def share_bar(value: float, highest: float, kind: str) -> str:
    """One horizontal bar of a list; what it stands for is written beside it."""
    width = 100.0 * value / highest if highest > 0 else 0.0
    return (
        '<svg class="share" aria-hidden="true" width="100%" height="8">'
        '<rect class="rail" width="100%" height="8" rx="4"/>'
        f'<rect class="{escape(kind)}" width="{width:.1f}%" height="8" rx="4"/></svg>'
    )

"""Plots of the overview, with widths in percent: pure, coloured by the style sheet, readable without colours."""

from __future__ import annotations

from collections.abc import Sequence

from voicebridge.trace.chart import Column, Plane, element, picture
from voicebridge.trace.chart import columns as drawn

HEIGHT = 190
TALL = 260
TOP = 16
BOTTOM = 26
LEFT = 7.0
"""Percent of the width for the numbers of the axis."""
LABELS = 6


def columns(made: Sequence[Column], summary: str, *, unit: str = "", whole: bool = False, height: int = HEIGHT) -> str:
    """Stacked columns side by side. `height`: pixels."""
    plane = Plane(LEFT, 100.0, TOP, height - BOTTOM, unit="%")
    inner = drawn(made, plane, labels=LABELS, unit=unit, whole=whole)
    return picture(inner, summary, class_="chart", width="100%", height=height)


def share_bar(value: float, highest: float, kind: str) -> str:
    """One horizontal bar of a list; what it stands for is written beside it."""
    width = 100.0 * value / highest if highest > 0 else 0.0
    rail = element("rect", class_="rail", width="100%", height=8, rx=4)
    bar = element("rect", class_=kind, width=f"{width:.1f}%", height=8, rx=4)
    return element("svg", rail + bar, class_="share", aria_hidden="true", width="100%", height=8)

"""Charts as SVG: round axes, stacked columns, lines and dots, all text escaped. Pure.

Colours are the style sheet's, by class, so that light and dark are its business. Heights are pixels. So are widths, or
percent, where text is to keep its size on every screen.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from html import escape

Point = tuple[float, float]
"""Across and up; or from and to."""
COLUMN = 0.72
"""A column's share of its place."""
LONGER = 0.04
"""So much of a column's width a mark is longer than it, on both sides."""
LEAST = 0.8
"""Pixels of height: what is there is seen."""


def element(name: str, inner: str = "", /, **attributes: str | float) -> str:
    """`inner` is SVG already, values of attributes are escaped. `text_anchor` is `text-anchor`, `class_` is `class`."""
    pairs = "".join(f' {key.rstrip("_").replace("_", "-")}="{_value(value)}"' for key, value in attributes.items())
    return f"<{name}{pairs}>{inner}</{name}>" if inner else f"<{name}{pairs}/>"


def _value(value: str | float) -> str:
    return escape(value) if isinstance(value, str) else f"{round(value, 2):g}"


def picture(inner: str, summary: str, **attributes: str | float) -> str:
    """`summary`: what it shows, for who cannot see it."""
    return element("svg", inner, **attributes, role="img", aria_label=summary)


def step(length: float, most: int, *, whole: bool = False) -> float:
    """The smallest round number that fits into `length` (above 0) `most` times or less. `whole`: of what is counted."""
    if whole:
        length = max(length, most)
    power = 10.0 ** math.floor(math.log10(length / most))
    steps = (power * factor for factor in (1, 2, 2.5, 5, 10))
    return next(one for one in steps if length / one <= most + 1e-9 and (not whole or one.is_integer()))


def ticks(low: float, high: float, most: int = 6, *, whole: bool = False) -> list[float]:
    """Round numbers inside."""
    by = step(high - low, most, whole=whole)
    first = math.ceil(low / by - 1e-9)
    return [round(number * by, 10) for number in range(first, math.floor(high / by + 1e-9) + 1)]


def axis(highest: float, *, whole: bool = False) -> list[float]:
    """Round numbers from 0 on, the last one at `highest` or above."""
    if highest <= 0:
        highest = 1.0
    by = step(highest, 4, whole=whole)
    return [round(number * by, 10) for number in range(math.ceil(highest / by - 1e-9) + 1)]


@dataclass(frozen=True, slots=True)
class Plane:
    """Where values lie: the edges of the picture's inside, and the values that are there, (from, to). `unit`: "%" where
    `left` and `right` are percent of the width."""

    left: float
    right: float
    top: float
    floor: float
    x: Point = (0.0, 1.0)
    y: Point = (0.0, 1.0)
    unit: str = ""

    def across(self, x: float) -> float:
        low, high = self.x
        return self.left + (self.right - self.left) * (x - low) / (high - low)

    def up(self, y: float) -> float:
        """Pixels from above."""
        low, high = self.y
        return self.floor - (self.floor - self.top) * (y - low) / (high - low)

    def bar(self, kind: str, x: Point, y: Point) -> str:
        left, top = self.across(x[0]), self.up(y[1])
        width, height = self._wide(self.across(x[1]) - left), max(self.up(y[0]) - top, LEAST)
        return element("rect", class_=kind, x=self._wide(left), y=top, width=width, height=height)

    def rule(self, kind: str, x: Point, y: float) -> str:
        """A level line."""
        left, right = (self._wide(self.across(end)) for end in x)
        return element("line", class_=kind, x1=left, x2=right, y1=self.up(y), y2=self.up(y))

    def line(self, kind: str, points: Iterable[Point]) -> str:
        """Through points; of a plane in pixels only."""
        path = " ".join(f"{self.across(x):.1f},{self.up(y):.1f}" for x, y in points)
        return element("polyline", class_=kind, points=path)

    def dots(self, kind: str, points: Iterable[Point]) -> str:
        return "".join(
            element("circle", class_=kind, cx=self._wide(self.across(x)), cy=self.up(y), r=3) for x, y in points
        )

    def text(self, words: str, x: float, y: float, *, below: float = 0.0) -> str:
        """In the middle of x; `below`: pixels."""
        return element(
            "text", escape(words), class_="tick", x=self._wide(self.across(x)), y=self.up(y) + below,
            text_anchor="middle",
        )  # fmt: skip

    def grid(self, numbers: Sequence[float], unit: str = "") -> str:
        """A line at each number, which stands left of it; the last one with its unit."""
        parts = []
        for number in numbers:
            words = f"{number:g}{unit if number == numbers[-1] else ''}"
            parts.append(self.rule("grid", self.x, number))
            parts.append(
                element(
                    "text", escape(words), class_="tick", x=self._wide(self.left), dx=-6, y=self.up(number) + 4,
                    text_anchor="end",
                )
            )  # fmt: skip
        return "".join(parts)

    def _wide(self, width: float) -> str:
        return f"{_value(width)}{self.unit}"


@dataclass(frozen=True, slots=True)
class Column:
    """One place on the axis: `parts` are stacked (kind, value); `marks` are lines across it (kind, value). Kinds become
    the classes `a-KIND` and `m-KIND`; `title` is told to who points at it."""

    label: str
    title: str
    parts: tuple[tuple[str, float], ...] = ()
    marks: tuple[tuple[str, float], ...] = ()

    @property
    def top(self) -> float:
        return max(sum(value for _, value in self.parts), *(value for _, value in self.marks), 0.0)


def columns(
    made: Sequence[Column], plane: Plane, *, labels: int, unit: str = "", whole: bool = False, widest: float = math.inf
) -> str:
    """Columns side by side, of which each is `widest` at most (in the plane's widths) and `labels` at most have one."""
    numbers = axis(max((column.top for column in made), default=0.0), whole=whole)
    plane = replace(plane, x=(0.0, max(1.0, len(made))), y=(0.0, numbers[-1]))
    half = min(COLUMN, widest / (plane.across(1) - plane.left)) / 2
    every = max(1, math.ceil(len(made) / labels))
    parts = [plane.grid(numbers, unit)]
    for place, column in enumerate(made):
        parts.append(_column(column, plane, place, half))
        if (len(made) - 1 - place) % every == every // 2:
            parts.append(plane.text(column.label, place + 0.5, 0.0, below=18.0))
    return "".join(parts)


def _column(column: Column, plane: Plane, place: int, half: float) -> str:
    middle = place + 0.5
    found = [element("title", escape(column.title)), plane.bar("hit", (place, place + 1), plane.y)]
    base = 0.0
    for kind, value in column.parts:
        if value > 0:
            found.append(plane.bar(f"a-{kind}", (middle - half, middle + half), (base, base + value)))
            base += value
    half *= 1 + 2 * LONGER
    found += [plane.rule(f"mark m-{kind}", (middle - half, middle + half), value) for kind, value in column.marks]
    return element("g", "".join(found))

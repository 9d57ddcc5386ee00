"""Charts as SVG, self-contained, light and dark by the reader's setting."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

import numpy as np

Point = tuple[float, float]
WIDTH, HEIGHT = 760, 240
LEFT, RIGHT, TOP, BOTTOM = 48, 12, 36, 34
STYLE = (
    "svg{font:12px system-ui,sans-serif;max-width:100%;height:auto}"
    ".axis{stroke:#888;stroke-width:1;fill:none}.grid{stroke:#8884;stroke-width:1}text{fill:currentColor}"
    ".a{stroke:#2a78c8;fill:#2a78c8}.b{stroke:#d9822b;fill:#d9822b}.c{stroke:#3a9a5b;fill:#3a9a5b}"
    ".d{stroke:#8a5fc0;fill:#8a5fc0}.e{stroke:#c8324b;fill:#c8324b}"
    ".line{fill:none;stroke-width:2}.dot{stroke:none}.band{stroke:none;fill-opacity:.25}.legend{stroke:none}"
)
COLOURS = "abcde"


class Chart:
    """One picture with axes; `x` and `y` are (from, to) of what is shown, in the units of its axes."""

    def __init__(
        self, title: str, x: Point, y: Point, *, x_label: str, y_label: str, height: int = HEIGHT
    ) -> None:
        self._x, self._y = (x[0], max(x[1], x[0] + 1e-9)), (y[0], max(y[1], y[0] + 1e-9))
        self._title, self._height = title, height
        self._parts: list[str] = []
        self._legend: list[tuple[str, str]] = []
        self._axes(x_label, y_label)

    def line(self, points: Sequence[Point], colour: str, name: str = "") -> None:
        if points:
            path = " ".join(f"{self._at_x(x):.1f},{self._at_y(y):.1f}" for x, y in points)
            self._parts.append(f'<polyline class="line {colour}" points="{path}"/>')
        self._named(colour, name)

    def dots(self, points: Sequence[Point], colour: str, name: str = "") -> None:
        self._parts += [
            f'<circle class="dot {colour}" cx="{self._at_x(x):.1f}" cy="{self._at_y(y):.1f}" r="3"/>' for x, y in points
        ]
        self._named(colour, name)

    def band(self, begin: float, end: float, low: float, high: float, colour: str, name: str = "") -> None:
        """A coloured piece of the picture."""
        left, top = self._at_x(begin), self._at_y(high)
        wide, tall = self._at_x(end) - left, self._at_y(low) - top
        self._parts.append(
            f'<rect class="band {colour}" x="{left:.1f}" y="{top:.1f}" width="{wide:.1f}" height="{tall:.1f}"/>'
        )
        self._named(colour, name)

    def text(self, x: float, y: float, text: str) -> None:
        self._parts.append(
            f'<text x="{self._at_x(x):.1f}" y="{self._at_y(y):.1f}" text-anchor="middle">{escape(text)}</text>'
        )

    def svg(self) -> str:
        legend, at = [], LEFT
        for colour, name in self._legend:
            legend.append(f'<rect class="legend {colour}" x="{at}" y="{TOP - 18}" width="9" height="9"/>')
            legend.append(f'<text x="{at + 13}" y="{TOP - 10}">{escape(name)}</text>')
            at += 24 + 7 * len(name)
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {self._height}" width="{WIDTH}" '
            f'height="{self._height}" role="img" aria-label="{escape(self._title)}"><style>{STYLE}</style>'
            f'<text x="{LEFT}" y="12" font-weight="bold">{escape(self._title)}</text>'
            + "".join(legend) + "".join(self._parts) + "</svg>"
        )  # fmt: skip

    def _named(self, colour: str, name: str) -> None:
        if name and (colour, name) not in self._legend:
            self._legend.append((colour, name))

    def _at_x(self, x: float) -> float:
        return LEFT + (x - self._x[0]) / (self._x[1] - self._x[0]) * (WIDTH - LEFT - RIGHT)

    def _at_y(self, y: float) -> float:
        low, high = self._y
        return self._height - BOTTOM - (y - low) / (high - low) * (self._height - TOP - BOTTOM)

    def _axes(self, x_label: str, y_label: str) -> None:
        left, base, right = LEFT, self._height - BOTTOM, WIDTH - RIGHT
        for x in ticks(*self._x):
            self._parts.append(f'<text x="{self._at_x(x):.1f}" y="{base + 15}" text-anchor="middle">{x:g}</text>')
        for y in ticks(*self._y) if y_label else ():
            at = self._at_y(y)
            self._parts.append(f'<line class="grid" x1="{left}" x2="{right}" y1="{at:.1f}" y2="{at:.1f}"/>')
            self._parts.append(f'<text x="{left - 5}" y="{at + 4:.1f}" text-anchor="end">{y:g}</text>')
        self._parts.append(f'<path class="axis" d="M{left},{TOP}V{base}H{right}"/>')
        self._parts.append(f'<text x="{right}" y="{base + 29}" text-anchor="end">{escape(x_label)}</text>')
        self._parts.append(f'<text x="{right}" y="12" text-anchor="end">{escape(y_label)}</text>')


def ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Round numbers inside: 1, 2 or 5 times a power of ten apart."""
    step = 10 ** math.floor(math.log10((high - low) / most))
    step = next(step * by for by in (1, 2, 5, 10, 20) if (high - low) / (step * by) <= most)
    first = math.ceil(low / step - 1e-9)
    return [round(number * step, 10) for number in range(first, math.floor(high / step + 1e-9) + 1)]


def distribution(values: Sequence[float]) -> list[Point]:
    """The share of values (%) that are at most x, as the corners of a line."""
    ordered = np.sort(np.asarray(values))
    return [(float(value), 100 * (rank + 1) / len(ordered)) for rank, value in enumerate(ordered)]

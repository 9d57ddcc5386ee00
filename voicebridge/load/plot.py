"""Charts of one or several series, self-contained, light and dark by the reader's setting."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np

from voicebridge.trace.chart import Plane, Point, element, picture, ticks

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
    """One picture with axes; `x` and `y` are (from, to) of what is shown, in the units of its axes. `whole`: y is
    counted."""

    def __init__(
        self, title: str, x: Point, y: Point, *, x_label: str, y_label: str, height: int = HEIGHT, whole: bool = False
    ) -> None:
        x, y = ((low, max(high, low + 1e-9)) for low, high in (x, y))
        self._plane = Plane(LEFT, WIDTH - RIGHT, TOP, height - BOTTOM, x, y)
        self._title, self._height = title, height
        self._legend: list[tuple[str, str]] = []
        self._parts = self._axes(x_label, y_label, whole)

    def line(self, points: Sequence[Point], colour: str, name: str = "") -> None:
        if points:
            self._parts.append(self._plane.line(f"line {colour}", points))
        self._named(colour, name)

    def dots(self, points: Sequence[Point], colour: str, name: str = "") -> None:
        self._parts.append(self._plane.dots(f"dot {colour}", points))
        self._named(colour, name)

    def band(self, begin: float, end: float, low: float, high: float, colour: str, name: str = "") -> None:
        """A coloured piece of the picture."""
        self._parts.append(self._plane.bar(f"band {colour}", (begin, end), (low, high)))
        self._named(colour, name)

    def text(self, x: float, y: float, text: str) -> None:
        self._parts.append(self._plane.text(text, x, y))

    def svg(self) -> str:
        legend, at = [], LEFT
        for colour, name in self._legend:
            legend.append(element("rect", class_=f"legend {colour}", x=at, y=TOP - 18, width=9, height=9))
            legend.append(element("text", escape(name), x=at + 13, y=TOP - 10))
            at += 24 + 7 * len(name)
        style, title = element("style", STYLE), element("text", escape(self._title), x=LEFT, y=12, font_weight="bold")
        return picture(
            "".join((style, title, *legend, *self._parts)), self._title, xmlns="http://www.w3.org/2000/svg",
            viewBox=f"0 0 {WIDTH} {self._height}", width=WIDTH, height=self._height,
        )  # fmt: skip

    def _named(self, colour: str, name: str) -> None:
        if name and (colour, name) not in self._legend:
            self._legend.append((colour, name))

    def _axes(self, x_label: str, y_label: str, whole: bool) -> list[str]:
        plane, base, right = self._plane, self._height - BOTTOM, WIDTH - RIGHT
        parts = [plane.text(f"{x:g}", x, plane.y[0], below=15.0) for x in ticks(*plane.x)]
        if y_label:
            parts.append(plane.grid(ticks(*plane.y, whole=whole)))
        parts.append(element("path", class_="axis", d=f"M{LEFT},{TOP}V{base}H{right}"))
        for label, y in ((x_label, base + 29), (y_label, 12)):
            parts.append(element("text", escape(label), x=right, y=y, text_anchor="end"))
        return parts


def distribution(values: Sequence[float]) -> list[Point]:
    """The share of values (%) that are at most x, as the corners of a line."""
    ordered = np.sort(np.asarray(values))
    return [(float(value), 100 * (rank + 1) / len(ordered)) for rank, value in enumerate(ordered)]

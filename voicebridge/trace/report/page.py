"""A report as one HTML page: nothing is loaded, light and dark, fit for paper."""

from __future__ import annotations

import re

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from voicebridge.trace.findings import Review
from voicebridge.trace.reading import plain
from voicebridge.trace.report import plots
from voicebridge.trace.report.content import ID_CHARS, figures, headline, method, period, sections
from voicebridge.trace.spans import ACTORS

_PAGES = Environment(
    loader=PackageLoader("voicebridge", "data/report"), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
    lstrip_blocks=True,
)  # fmt: skip
_CODE = re.compile(r"`([^`]+)`")


def _code(text: str) -> Markup:
    """What stands between backticks is code; all of it is escaped."""
    return Markup(_CODE.sub(r"<code>\1</code>", str(escape(text))))  # noqa: S704


def _upfirst(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}"


_PAGES.filters.update(plain=plain, code=_code, upfirst=_upfirst)


def page(now: Review, before: Review, *, agent: str = "", made_at: str = "") -> str:
    """`before`: the review of the period before, of the same length."""
    drawn = now.gap.count > 0
    return _PAGES.get_template("report.html").render(
        agent=agent, period=period(now), headline=headline(now), figures=list(figures(now, before)), review=now,
        sections=sections(now, before), method=method(now), made_at=made_at, id_chars=ID_CHARS,
        gaps=Markup(plots.gaps(now)) if drawn else "", calls=Markup(plots.calls(now)) if now.calls else "",
        legend=[(actor, ACTORS[actor]) for actor in plots.used(now)],
    )  # fmt: skip

"""Where a configured request goes: a fixed host, and placeholders that cannot leave their place."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote

import httpx

from voicebridge.tools.context import SetupError, ToolError
from voicebridge.tools.template import Template, parse

_URL = re.compile(r"(https?)://([^/?#{}@\s\\]+)(/[^?#\s]*)?(?:\?([^#\s]*))?", re.IGNORECASE)

MOST_PORT = 65535


def escaped(value: str) -> str:
    """Percent-encoded, slashes too."""
    return quote(value, safe="")


@dataclass(frozen=True, slots=True)
class Address:
    """Where requests go: `origin` is fixed, path segments and query hold placeholders."""

    origin: str
    segments: tuple[Template, ...]
    query: Template

    @classmethod
    def of(cls, url: str) -> Address:
        """Raises SetupError."""
        found = _URL.fullmatch(url)
        try:
            base = httpx.URL(f"{found[1]}://{found[2]}" if found is not None else "")
            whole = bool(base.host) and (base.port or 0) <= MOST_PORT
        except httpx.InvalidURL:
            whole = False
        if found is None or not whole:
            raise SetupError(
                f"url: {url!r} is not https://host/path with a fixed host; "
                "placeholders may stand in its path and query only"
            )
        scheme, host, path, query = found.groups()
        segments = tuple(parse(part, "url") for part in (path or "/").split("/")[1:])
        return cls(f"{scheme.lower()}://{host}", segments, parse(query or "", "url"))

    def render(self, values: Mapping[str, str]) -> str:
        """ToolError where a value does not fit into a path."""
        path = "".join(f"/{segment.render(values, escaped)}" for segment in self.segments)
        for segment in self.segments:
            filled = segment.render(values)
            if not segment.fixed and (filled.strip(". \t") == "" or re.search(r"[/\\\x00-\x1f\x7f]", filled)):
                raise ToolError
        query = self.query.render(values, escaped)
        return f"{self.origin}{path}{'?' if query else ''}{query}"

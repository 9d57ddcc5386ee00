"""A fallback: what is tried before a caller is given up, such as taking a message or a number to call back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from voicebridge.conversation.form import Form
from voicebridge.tools.tool import Tool


@dataclass(frozen=True, slots=True)
class Fallback:
    """The form that the caller is asked, and the tools it needs: `form.tool` is one of them, or a tool found anyway."""

    form: Form
    tools: Sequence[Tool] = ()


class FallbackPlugin(Protocol):
    """An entry point of the group `voicebridge.fallbacks`; `settings` is `[fallbacks.<entry point>]`."""

    def create(self, settings: dict[str, Any]) -> Fallback: ...

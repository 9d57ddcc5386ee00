"""The form that asks for number and time, and the tool that writes them down.

    [fallbacks.callback]                                   # every key is optional
    ask_phone = "What number can we call you back on?"
    ask_when = "When would suit you?"                      # "" does not ask
    ask_name = "And your name, please?"                    # does not ask unless you say so
    webhook = "https://crm.example/callbacks"              # a POST of the same as JSON, beside the book
    headers = { Authorization = "Bearer {env:CRM_TOKEN}" }
"""

from __future__ import annotations

import logging
import sqlite3
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Final

import httpx
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from voicebridge.conversation.form import Form, Slot
from voicebridge.tools import Fallback, Parameter, SetupError, Tool, ToolContext, ToolError, ToolReply
from voicebridge.tools.template import secret
from voicebridge_callback.book import FILE, Book, Wish

log = logging.getLogger("voicebridge.callback")

TOOL: Final = "book_callback"
WEBHOOK_S: Final = 4.0


class CallbackSettings(BaseModel):
    """`{phone}` in `confirm` and `done` is the number as it is spoken. `least` and `most` bound its digits.

    `file`: where the book lies; without one it is `callbacks.db` in voicebridge's state folder.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    ask_phone: str = Field(default="We can call you back. What number can we reach you on?", min_length=1)
    phone_again: str = "Please tell me the number digit by digit, or key it in, and then the hash key."
    ask_when: str = "When would be a good time to call you?"
    ask_name: str = ""
    confirm: str = "I have {phone}. Is that right?"
    done: str = "Thank you. I have noted that, and somebody will call you back."
    cancelled: str = "All right, no call then."
    failed: str = "I'm sorry, I could not note your number just now."
    least: int = Field(default=5, ge=3, le=15)
    most: int = Field(default=15, ge=3, le=20)
    file: Path | None = None
    webhook: str = Field(default="", pattern=r"^(https?://.+)?$")
    headers: dict[str, str] = Field(default_factory=dict)


class Booking:
    """The tool."""

    def __init__(self, settings: CallbackSettings) -> None:
        """Raises SetupError."""
        self._settings = settings
        self._headers = {name: secret(value, f"headers.{name}") for name, value in settings.headers.items()}

    def tool(self) -> Tool:
        digits = rf"^\+?[0-9]{{{self._settings.least},{self._settings.most}}}$"
        words = Annotated[str, Field(max_length=200)]
        return Tool.of(
            self.book,
            [
                Parameter("phone", Annotated[str, Field(pattern=digits)], about="the number to call, digits only"),
                Parameter("convenient", words, "", "when it suits the caller, in his words"),
                Parameter("name", words, "", "the caller's name"),
            ],
            takes_context=True, name=TOOL, deadline_s=WEBHOOK_S + 2, idempotent=True, retries=1, on_hangup="complete",
            description="Note that the caller wants to be called back.", consequential=True,
            confirm=self._settings.confirm, failed=self._settings.failed,
        )  # fmt: skip

    def book(self, context: ToolContext, /, phone: str, convenient: str = "", name: str = "") -> ToolReply:
        """It is noted when it is in the book or with the webhook."""
        wish = Wish(
            key=context.key, at=context.now().isoformat(timespec="seconds"), phone=phone, convenient=convenient,
            name=name, caller=context.caller, dialled=context.dialled, agent=context.agent, language=context.language,
            call=context.call_id,
        )  # fmt: skip
        number = self._write(wish, self._settings.file or context.folder / FILE)
        told = bool(self._settings.webhook) and self._post(wish, number, context.left())
        if number is None and not told:
            raise ToolError(transient=True)
        return ToolReply(data={"booked": True} if number is None else {"booked": True, "number": number})

    def _write(self, wish: Wish, path: Path) -> int | None:
        try:
            return Book(path).write(wish)
        except (OSError, sqlite3.Error) as error:
            log.error("call=%s callback not written to %s: %s", wish.call, path, error)  # noqa: TRY400
            return None

    def _post(self, wish: Wish, number: int | None, left_s: float) -> bool:
        body = {"number": number, **{name: value for name, value in asdict(wish).items() if name != "done"}}
        headers = {**self._headers, "Idempotency-Key": wish.key}
        limit = max(0.1, min(WEBHOOK_S, left_s - 0.5))
        try:
            with httpx.Client(trust_env=False, verify=_tls(), timeout=limit) as client:
                client.post(self._settings.webhook, json=body, headers=headers).raise_for_status()
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            log.warning("call=%s callback not delivered to the webhook: %s", wish.call, type(error).__name__)
            return False
        return True


class Callback:
    """The entry point."""

    def create(self, settings: dict[str, Any]) -> Fallback:
        """Raises SetupError."""
        try:
            wanted = CallbackSettings.model_validate(settings)
        except ValidationError as error:
            told = "; ".join(f"{'.'.join(str(part) for part in e['loc'])}: {e['msg']}" for e in error.errors())
            raise SetupError(told) from None
        if wanted.most < wanted.least:
            raise SetupError(f"most: {wanted.most} digits at most are fewer than {wanted.least} at least")
        if wanted.file is not None and not wanted.file.is_absolute():
            raise SetupError(f"file: {str(wanted.file)!r} is relative: write the whole path")
        again = (wanted.phone_again,) if wanted.phone_again else ()
        slots = [Slot("phone", "phone", (wanted.ask_phone,), again, least=wanted.least, most=wanted.most)]
        if wanted.ask_name:
            slots.append(Slot("name", "name", (wanted.ask_name,)))
        if wanted.ask_when:
            slots.append(Slot("convenient", "text", (wanted.ask_when,), most=200))
        form = Form("callback", TOOL, tuple(slots), wanted.confirm, (wanted.done,), wanted.cancelled)
        return Fallback(form, [Booking(wanted).tool()])


@lru_cache(maxsize=1)
def _tls() -> Any:
    """Reading the certificates takes some 20 ms: once is enough."""
    return httpx.create_ssl_context(trust_env=False)


CALLBACK = Callback()

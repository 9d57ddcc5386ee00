"""The fallback `take_message`: the caller's name, number and message are asked for and kept by the tool of that name.

    [fallbacks.take_message]
    ask_name = "May I have your name?"
    ask_phone = "What number can we reach you on?"
    ask_message = "What may I pass on?"
    done = "Thank you, I will pass that on."

Every key is optional.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from voicebridge.conversation.form import Form, Slot
from voicebridge.tools.context import SetupError
from voicebridge.tools.fallback import Fallback


class MessageForm(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    ask_name: str = "Can I take a message? What is your name, please?"
    ask_phone: str = "And what number can we reach you on?"
    ask_message: str = "What may I pass on?"
    done: str = "Thank you. I have noted that, and somebody will call you back."
    cancelled: str = "All right, no message then."


class TakeMessage:
    """The entry point."""

    def create(self, settings: dict[str, Any]) -> Fallback:
        try:
            words = MessageForm.model_validate(settings)
        except ValidationError as error:
            raise SetupError("; ".join(f"{e['loc'][-1]}: {e['msg']}" for e in error.errors())) from None
        slots = (
            Slot("name", "name", (words.ask_name,)),
            Slot("phone", "phone", (words.ask_phone,), least=4),
            Slot("message", "text", (words.ask_message,)),
        )
        return Fallback(Form("take_message", "take_message", slots, done=(words.done,), cancelled=words.cancelled))


TAKE_MESSAGE = TakeMessage()

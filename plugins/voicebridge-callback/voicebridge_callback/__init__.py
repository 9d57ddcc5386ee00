"""The fallback `callback`: the caller's number is taken and confirmed, and somebody calls back.

    fallback_form = "callback"        # in the agent's file

`python -m voicebridge_callback ls` shows who waits to be called, `done` ticks them off.
"""

from voicebridge_callback.fallback import CALLBACK

__all__ = ["CALLBACK"]

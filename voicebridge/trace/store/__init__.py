"""The store of calls: a record a call in a database, recordings and event logs in files beside it.

What was said stands here and nowhere else. A record that cannot be written is kept until it can be, and never fails a
call.
"""

from voicebridge.trace.store.callstore import DAY_S, CallStore
from voicebridge.trace.store.database import NewerStoreError, NoStoreError, StoreError
from voicebridge.trace.store.reader import Calls, NoSuchCallError, open_calls
from voicebridge.trace.store.writer import Stats

__all__ = [
    "DAY_S", "CallStore", "Calls", "NewerStoreError", "NoStoreError", "NoSuchCallError", "Stats", "StoreError",
    "open_calls",
]  # fmt: skip

"""How another system is told something: JSON by POST, signed. One attempt; who delivers decides about the next.

    POST <url>
    Content-Type: application/json
    X-Voicebridge-Delivery: 0e5c...            the same in every attempt: who has seen it may drop it
    X-Voicebridge-Timestamp: 1796126400        seconds since 1970, of this attempt
    X-Voicebridge-Signature: sha256=6b1f...    HMAC-SHA256 of "<timestamp>.<body>" with the secret, where there is one

2xx is success. Other answers than 408, 429 and 5xx are final.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
import os
import time
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from voicebridge.config import ConfigError, is_loopback

log = logging.getLogger(__name__)

FIRST_PAUSE_S = 0.5
"""Before the second attempt; it doubles with each, and is spread by half."""
LONGEST_PAUSE_S = 60.0
TRY_AGAIN = frozenset({408, 429})


@dataclass(frozen=True, slots=True)
class Attempt:
    """`trouble`: what went wrong, "" where nothing did. `final`: another attempt is pointless. `silent`: nobody
    answered at all, as nobody would answer anything else now."""

    trouble: str = ""
    final: bool = False
    silent: bool = False


class Sender:
    """To one address. Belongs to the event loop in which it is used."""

    def __init__(self, url: str, *, secret: bytes = b"", timeout_s: float = 5.0) -> None:
        self.url = url
        self.host = urlsplit(url).hostname or ""
        self.secret = secret
        self._timeout_s = timeout_s
        # Made here, when the daemon starts: reading the certificates would stop the media clock of a call.
        self._client = httpx.AsyncClient(timeout=None, follow_redirects=False)

    async def close(self) -> None:
        await self._client.aclose()

    async def attempt(self, number: str, body: bytes) -> Attempt:
        stamp = str(int(time.time()))
        headers = {
            "Content-Type": "application/json",
            "X-Voicebridge-Delivery": number,
            "X-Voicebridge-Timestamp": stamp,
        }
        if self.secret:
            headers["X-Voicebridge-Signature"] = f"sha256={signature(self.secret, stamp, body)}"
        try:
            async with (
                asyncio.timeout(self._timeout_s),
                self._client.stream("POST", self.url, content=body, headers=headers) as answer,
            ):
                status = answer.status_code  # the body is of no interest, however long it is
        except TimeoutError:
            return Attempt(f"no answer in {self._timeout_s:g} s", silent=True)
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            return Attempt(type(error).__name__, final=isinstance(error, httpx.InvalidURL), silent=True)
        if 200 <= status < 300:
            return Attempt()
        return Attempt(f"answered {status}", final=status not in TRY_AGAIN and status < 500)


def signature(secret: bytes, timestamp: str, body: bytes) -> str:
    """Hexadecimal; what a receiver compares with the header."""
    return hmac.new(secret, timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()


def pause_s(attempt: int, spread: float, first_s: float = FIRST_PAUSE_S) -> float:
    """After so many attempts; `spread` from 0 to 1, by chance."""
    doubled = first_s * 2.0 ** min(attempt - 1, 30)
    return min(LONGEST_PAUSE_S, doubled) * (0.75 + spread / 2)


def secret_of(key: str, env: str, file: Path | None) -> bytes:
    """The file's, else the environment's; empty where there is neither. ConfigError where the file cannot be read;
    `key` names its option."""
    if file is None:
        return os.environ.get(env, "").encode() if env else b""
    try:
        secret = file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{key}: {file} cannot be read: {error}") from None
    if not secret:
        raise ConfigError(f"{key}: {file} is empty: write the secret into it")
    return secret.encode()


def address_problem(url: str) -> str:
    """Why it is none that can be told anything; "" where it is one."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and url.isprintable() and parts.port != 0
        usable = usable and bool(httpx.URL(url).host)
    except (ValueError, httpx.InvalidURL):  # of the port and of the name, too
        usable = False
    return "" if usable else f"{url!r} is no address: write http://host/path or https://host/path"


def warn_of_clear_text(key: str, url: str) -> None:
    address = urlsplit(url)
    if address.scheme == "http" and not is_loopback(address.hostname or ""):
        log.warning("%s: what callers say goes to %s in the clear: use https", key, address.hostname)

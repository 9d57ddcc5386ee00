"""HTTP digest as SIP uses it (RFC 2617, RFC 7616, RFC 3261 section 22): a challenge in, the header's value out."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

PAIR = re.compile(r'(\w+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,]+))')
HASHES = {"md5": hashlib.md5, "sha-256": hashlib.sha256}


class DigestError(ValueError):
    """A challenge that cannot be answered; the text says why."""


@dataclass(frozen=True, slots=True)
class Challenge:
    """What a server wants to be shown. `qop`: "auth", or "" for servers of before RFC 2617."""

    realm: str
    nonce: str
    algorithm: str = "MD5"
    qop: str = ""
    opaque: str = ""

    @classmethod
    def parsed(cls, header: str) -> Challenge:
        """A WWW-Authenticate or Proxy-Authenticate header's value. Raises DigestError."""
        scheme, _, rest = header.strip().partition(" ")
        if scheme.lower() != "digest":
            raise DigestError(f"it asks for {scheme or 'nothing'}, not for a digest")
        given = {name.lower(): quoted or plain for name, quoted, plain in PAIR.findall(rest)}
        algorithm = given.get("algorithm", "MD5")
        if algorithm.lower() not in HASHES:
            raise DigestError(f"it asks for a digest by {algorithm}; MD5 and SHA-256 are known here")
        offered = [name.strip() for name in given.get("qop", "").split(",") if name.strip()]
        if offered and "auth" not in offered:
            raise DigestError(f"it protects by {', '.join(offered)}; only auth is known here")
        if not given.get("nonce"):
            raise DigestError("its challenge has no nonce")
        qop = "auth" if offered else ""
        return cls(given.get("realm", ""), given["nonce"], algorithm, qop, given.get("opaque", ""))

    def answer(self, user: str, password: str, *, method: str, uri: str, cnonce: str) -> str:
        """The value of Authorization or Proxy-Authorization. `cnonce`: any text that was not used before."""

        def hashed(text: str) -> str:
            return HASHES[self.algorithm.lower()](text.encode()).hexdigest()

        secret, request = hashed(f"{user}:{self.realm}:{password}"), hashed(f"{method}:{uri}")
        count = "00000001"
        middle = f"{self.nonce}:{count}:{cnonce}:{self.qop}" if self.qop else self.nonce
        parts = [
            f'username="{user}"', f'realm="{self.realm}"', f'nonce="{self.nonce}"', f'uri="{uri}"',
            f'response="{hashed(f"{secret}:{middle}:{request}")}"', f"algorithm={self.algorithm}",
        ]  # fmt: skip
        if self.qop:
            parts += [f"qop={self.qop}", f"nc={count}", f'cnonce="{cnonce}"']
        if self.opaque:
            parts.append(f'opaque="{self.opaque}"')
        return "Digest " + ", ".join(parts)

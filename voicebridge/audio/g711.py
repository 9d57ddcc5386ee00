"""G.711 (ITU-T), by table: 16-bit little-endian PCM to one byte a sample and back, mu-law and A-law."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

BIAS = 132
"""Mu-law's, which makes its segments powers of two."""
EVEN_BITS = 0x55
"""What A-law inverts on the wire."""

Table = npt.NDArray[np.int16]


def _mu_law() -> Table:
    code = ~np.arange(256) & 0xFF
    size = (((code & 0x0F) << 3) + BIAS << ((code & 0x70) >> 4)) - BIAS
    return np.asarray(np.where(code & 0x80, -size, size), dtype="<i2")


def _a_law() -> Table:
    code = np.arange(256) ^ EVEN_BITS
    segment, step = (code & 0x70) >> 4, (code & 0x0F) << 4
    size = np.where(segment == 0, step + 8, step + 0x108 << np.maximum(segment - 1, 0))
    return np.asarray(np.where(code & 0x80, size, -size), dtype="<i2")


def _nearest(decoded: Table) -> npt.NDArray[np.uint8]:
    """The code whose value is nearest, for every 16-bit sample; of mu-law's two zeros the positive one."""
    values, last = np.unique(decoded[::-1], return_index=True)
    codes = 255 - last
    middles = (values[1:].astype(int) + values[:-1].astype(int)) / 2
    return np.asarray(codes[np.searchsorted(middles, np.arange(-32_768, 32_768), side="right")], dtype=np.uint8)


@dataclass(frozen=True, slots=True)
class Law:
    """One of the two. `payload_type` and `name` are those of RTP (RFC 3551)."""

    name: str
    payload_type: int
    _decoded: Table = field(repr=False)
    _encoded: npt.NDArray[np.uint8] = field(repr=False)
    _energy: npt.NDArray[np.float64] = field(repr=False)

    @classmethod
    def made(cls, name: str, payload_type: int, decoding: Callable[[], Table]) -> Law:
        decoded = decoding()
        return cls(name, payload_type, decoded, _nearest(decoded), decoded.astype(np.float64) ** 2)

    def encode(self, pcm: bytes) -> bytes:
        data = np.frombuffer(pcm, dtype="<i2").astype(np.int32)
        return self._encoded[data + 32_768].tobytes()

    def decode(self, data: bytes | bytearray) -> bytes:
        return self._decoded[np.frombuffer(data, dtype=np.uint8)].tobytes()

    def rms(self, data: bytes) -> float:
        """Of coded samples, on PCM's scale (32,768 is full); 0 for none."""
        if not data:
            return 0.0
        return float(np.sqrt(self._energy[np.frombuffer(data, dtype=np.uint8)].mean()))

    @property
    def silence(self) -> int:
        """The code of a sample of silence."""
        return int(self._encoded[32_768])


MU = Law.made("PCMU", 0, _mu_law)
A = Law.made("PCMA", 8, _a_law)
LAWS = {law.name: law for law in (MU, A)}

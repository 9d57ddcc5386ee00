"""Mu-law (ITU-T G.711), by table: 16-bit little-endian PCM to one byte a sample and back."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

BIAS = 132
CLIP = 32_635
SILENCE = 0xFF


def _decoding() -> npt.NDArray[np.int16]:
    code = ~np.arange(256) & 0xFF
    size = (((code & 0x0F) << 3) + BIAS << ((code & 0x70) >> 4)) - BIAS
    return np.asarray(np.where(code & 0x80, -size, size), dtype="<i2")


def _encoding() -> npt.NDArray[np.uint8]:
    value = np.arange(-32_768, 32_768)
    size = np.minimum(np.abs(value), CLIP) + BIAS
    segment = np.floor(np.log2(size)).astype(int) - 7
    mantissa = size >> (segment + 3) & 0x0F
    code = np.where(value < 0, 0x80, 0) | segment << 4 | mantissa
    return np.asarray(~code & 0xFF, dtype=np.uint8)


_DECODED = _decoding()
_ENCODED = _encoding()


def encode(pcm: bytes) -> bytes:
    samples = np.frombuffer(pcm, dtype="<i2").astype(np.int32)
    return bytes(_ENCODED[samples + 32_768].tobytes())


def decode(data: bytes) -> bytes:
    return bytes(_DECODED[np.frombuffer(data, dtype=np.uint8)].tobytes())

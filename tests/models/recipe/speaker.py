"""espeak-ng in this process, telling when each sound and word begins: the teacher of both models.

The structures and the way to be called back are those of voicebridge/engines/espeak.py; that engine has no use for
sounds and for a voice's pitch, so what is asked of the library here is more. Numbers: speak_lib.h of espeak-ng 1.52.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from typing import Any, Final

import espeakng_loader
import numpy as np
import numpy.typing as npt

from voicebridge.engines.espeak import (
    AUDIO_OUTPUT_SYNCHRONOUS,
    CHARS_UTF8,
    EVENT_LIST_TERMINATED,
    EVENT_WORD,
    PARAMETER_RATE,
    POS_CHARACTER,
    _Callback,
)

EVENT_PHONEME: Final = 7
PARAMETER_PITCH, PARAMETER_RANGE = 3, 4
TELL_SOUNDS, IN_IPA = 1, 2
BUFFER_MS: Final = 200
RATE: Final = 22_050


@dataclass(frozen=True, slots=True)
class Sound:
    """What begins at `sample`: a sound in IPA ("" is a pause), or where `name` is None the word at `position`."""

    sample: int
    name: str | None
    position: int = -1


@dataclass(frozen=True, slots=True)
class Said:
    pcm: npt.NDArray[np.int16]
    sounds: tuple[Sound, ...]


class Speaker:
    """libespeak-ng, which exists once in a process. Speech is 16-bit PCM at RATE."""

    def __init__(self) -> None:
        self._lib = ctypes.CDLL(espeakng_loader.get_library_path())
        data = espeakng_loader.get_data_path().encode()
        rate = self._lib.espeak_Initialize(AUDIO_OUTPUT_SYNCHRONOUS, BUFFER_MS, data, TELL_SOUNDS | IN_IPA)
        if rate != RATE:
            raise RuntimeError(f"espeak-ng speaks at {rate} Hz, not {RATE}: another version? 1.52 is known to do")
        self._pcm: list[npt.NDArray[np.int16]] = []
        self._sounds: list[Sound] = []
        self._callback = _Callback(self._on_audio)
        self._lib.espeak_SetSynthCallback(self._callback)

    def choose(self, voice: str, *, words_a_minute: int, pitch: int, pitch_range: int) -> None:
        """`pitch` and `pitch_range` from 0 to 100; 50 is the voice's own, range 0 speaks on one note."""
        if self._lib.espeak_SetVoiceByName(voice.encode()) != 0:
            raise ValueError(f"espeak has no voice {voice!r}")
        settings = {PARAMETER_RATE: words_a_minute, PARAMETER_PITCH: pitch, PARAMETER_RANGE: pitch_range}
        for parameter, value in settings.items():
            self._lib.espeak_SetParameter(parameter, value, 0)

    def say(self, text: str) -> Said:
        self._pcm.clear()
        self._sounds.clear()
        raw = text.encode()
        status = self._lib.espeak_Synth(raw, len(raw) + 1, 0, POS_CHARACTER, 0, CHARS_UTF8, None, None)
        if status != 0:
            raise RuntimeError(f"espeak_Synth returned {status}")
        self._lib.espeak_Synchronize()
        pcm = np.concatenate(self._pcm) if self._pcm else np.zeros(0, np.int16)
        return Said(pcm, tuple(self._sounds))

    def _on_audio(self, wave: Any, samples: int, events: Any) -> int:
        if wave and samples > 0:
            self._pcm.append(np.ctypeslib.as_array(wave, (samples,)).copy())
        index = 0
        while events[index].type != EVENT_LIST_TERMINATED:
            event = events[index]
            if event.type == EVENT_WORD:
                self._sounds.append(Sound(event.sample, None, event.text_position - 1))
            elif event.type == EVENT_PHONEME:
                self._sounds.append(Sound(event.sample, event.id.string.decode("utf-8", "replace")))
            index += 1
        return 0

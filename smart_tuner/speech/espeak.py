"""The door to espeak-ng: its library with the data that lie in the wheel of espeakng-loader, started and ended."""

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager

from smart_tuner.errors import CorpusError

SYNCHRONOUS, UTF8 = 2, 1
"""espeak-ng's constants: hand results to the caller and wait; text is UTF-8."""


def is_installed() -> bool:
    """Whether the wheel is there."""
    try:
        import espeakng_loader  # noqa: F401
    except ImportError:
        return False
    return True


@contextmanager
def start_espeak(voice: str) -> Iterator[tuple[ctypes.CDLL, int]]:
    """The library speaking with a voice, and its sample rate in Hz. Raises ImportError, CorpusError."""
    import espeakng_loader

    espeak = ctypes.CDLL(espeakng_loader.get_library_path())
    data = os.path.dirname(espeakng_loader.get_data_path())
    rate = espeak.espeak_Initialize(SYNCHRONOUS, 0, os.fsencode(data), 0)
    if rate <= 0 or espeak.espeak_SetVoiceByName(voice.encode()) != 0:
        raise CorpusError(f"espeak-ng could not start with its voice {voice!r} (data in {data}).")
    try:
        yield espeak, rate
    finally:
        espeak.espeak_Terminate()

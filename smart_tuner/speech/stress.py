"""Russian word stress: silero-stress puts a plus before the stressed vowel of every word that has none."""

import functools
import warnings
from collections.abc import Sequence
from typing import Any

import torch

from smart_tuner.errors import SettingsError


def predict(texts: Sequence[str]) -> list[str]:
    """Normalised Russian texts with a plus before each stressed vowel, е made ё where that is meant.

    A word of one syllable gets no mark: it would say nothing, and be wrong on prepositions and particles. Marks and
    ё that are written stay. Raises SettingsError without silero-stress (extra ru).
    """
    threads = torch.get_num_threads()
    try:
        with torch.no_grad():
            accentor = _accentor()
            return [accentor(text, stress_single_vowel=False) for text in texts]
    finally:
        # On its first use silero-stress sets one thread and no gradients for the whole process: training would stand.
        torch.set_num_threads(threads)


@functools.cache
def _accentor() -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about TorchScript and package loading, nothing a user could act on
            from silero_stress import load_accentor

            return load_accentor()
    except ImportError as problem:
        raise SettingsError(
            "speech.stress=predicted needs the package silero-stress (pip install 'smart-tuner-tts[ru]'); or set "
            "speech.stress=written."
        ) from problem

"""Russian word stress: silero-stress puts a plus before the stressed vowel of every word that has none."""

import functools
import re
import warnings
from collections.abc import Sequence
from typing import Any

import torch

from smart_tuner.errors import SettingsError
from smart_tuner.speech import morphology

WORD = re.compile("[а-яё+]+")


def predict(texts: Sequence[str]) -> list[str]:
    """Normalised Russian texts with a plus before each stressed vowel, е made ё where that is meant.

    A word of one syllable gets no mark: it would say nothing, and be wrong on prepositions and particles. Marks and
    ё that are written stay, and so does an е that is marked, unless the word so stressed exists with ё alone. Raises
    SettingsError without silero-stress (extra ru).
    """
    threads = torch.get_num_threads()
    try:
        with torch.no_grad():
            accentor = _accentor()
            return [_keep_marked(text, accentor(text, stress_single_vowel=False), accentor) for text in texts]
    finally:
        # On its first use silero-stress sets one thread and no gradients for the whole process: training would stand.
        torch.set_num_threads(threads)


def _keep_marked(text: str, predicted: str, accentor: Any) -> str:
    """The prediction with the words that are marked in the text as they are written there."""
    # silero-stress 1.5 makes м+ел (chalk) м+ёл (swept): an ё that it can put it puts, whatever the mark says.
    written = WORD.findall(text)
    if not any("+" in word and "е" in word for word in written):
        return predicted
    words = iter(written)
    return WORD.sub(lambda found: _choose_marked(next(words), found[0], accentor), predicted)


def _choose_marked(written: str, predicted: str, accentor: Any) -> str:
    if "+" not in written or written == predicted:
        return predicted
    bare = written.replace("+", "")
    if not morphology.is_exact_word(bare):
        return predicted  # пош+ел: there is пош+ёл alone
    own = accentor(bare, put_yo=False, put_yo_homo=False)
    return written if own == written else predicted  # передохн+ем: with е it is перед+охнем


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

"""The demo corpus with its mels, for benchmarks that train in their own processes."""

from pathlib import Path

from smart_tuner.settings.settings import Settings
from smart_tuner.speech import corpus, demo
from smart_tuner.speech.cache import MelCache
from smart_tuner.speech.corpus import Examples
from smart_tuner.speech.preflight import prepare_examples


def quiet(done: int, total: int) -> None:
    """Stands where a progress bar stands."""


def prepare(folder: Path, settings: Settings, output: Path) -> Examples:
    """A corpus read and its mels cached in the output folder, made the first time."""
    cache = MelCache(output / "mels", settings.speech)
    return prepare_examples(corpus.read_corpus([folder], settings), settings, cache, quiet)


def prepare_demo(settings: Settings, output: Path) -> Examples:
    """The English demo corpus, spoken the first time."""
    return prepare(demo.build(output / "demo", "en", quiet), settings, output)

"""Search spaces for tests, written as a person would."""

from pathlib import Path
from typing import Any

from smart_tuner.settings.settings import Settings
from smart_tuner.space import file as space_file
from smart_tuner.space.space import Space

SETTINGS = Settings().replace(budget="1000utt")
"""What the spaces are searched around, if nothing else is said."""
RATE = "hparams.learning_rate: {type: float, low: 1.0e-4, high: 1.0e-2, log: true}"
BATCH = "hparams.batch_size: {type: int, low: 8, high: 64, step: 8}"
GUIDED = "hparams.use_guided_attn: {type: categorical, choices: [true, false]}"
WEIGHT = "hparams.guide_weight: {type: float, low: 0.1, high: 10, log: true, when: {hparams.use_guided_attn: true}}"
ALL = (RATE, BATCH, GUIDED, WEIGHT)


def write(folder: Path, parameters: tuple[str, ...] = ALL, rest: str = "") -> Path:
    """A file whose parameters stand from line 2 on, one a line, and the rest below them."""
    file = folder / "mine.yaml"
    file.write_text("parameters:\n" + "".join(f"  {line}\n" for line in parameters) + rest + "\n", encoding="utf-8")
    return file


def space(
    folder: Path, parameters: tuple[str, ...] = ALL, rest: str = "", settings: Settings = SETTINGS, **options: Any
) -> Space:
    """The space of such a file."""
    return space_file.load_space(write(folder, parameters, rest), settings, **options)

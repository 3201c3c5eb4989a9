"""Search spaces for tests, written as a person would."""

import math
import random
from collections.abc import Sequence
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


class RandomChooser:
    """Draws every value by itself: for looking at a space without a study."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def suggest_float(self, _: str, low: float, high: float, *, step: float | None = None, log: bool = False) -> float:
        """A number from low to high."""
        if step is not None:
            return low + step * self.random.randint(0, round((high - low) / step))
        if log:
            return min(high, max(low, math.exp(self.random.uniform(math.log(low), math.log(high)))))
        return self.random.uniform(low, high)

    def suggest_int(self, _: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int:
        """A whole number from low to high."""
        if log:
            drawn = math.exp(self.random.uniform(math.log(low - 0.5), math.log(high + 0.5)))
            return min(high, max(low, round(drawn)))
        return self.random.randrange(low, high + 1, step)

    def suggest_categorical(self, _: str, choices: Sequence[Any]) -> Any:
        """One of the choices."""
        return self.random.choice(choices)

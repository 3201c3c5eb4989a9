"""History: what was told of one training so far, as the health rules look back on it."""

import math
import statistics
from collections import deque
from dataclasses import dataclass, field

from smart_tuner import reduction
from smart_tuner.limits import Health
from smart_tuner.progress import Progress
from smart_tuner.settings import Hparams

LOSS, NORM, GUIDE, DURATION = "training.loss", "grad.norm", "training.guide_loss", "duration"
GATE_LOSS = "training.gate_loss"
VALIDATION_LOSS, SCORE, FOCUS = "validation.loss", "validation.alignment_score", "validation.attention_focus"
ENTROPY, SPREAD = "validation.attention_entropy", "validation.attention_spread"
GATE_MEAN, GATE_STD = "validation.gate_mean", "validation.gate_std"
NEVER = math.inf


class Window:
    """The last values of a training metric, and their median: batches that stand out do not move it."""

    def __init__(self, size: int) -> None:
        self.values: deque[float] = deque(maxlen=size)
        self.median = self.first = self.lowest = math.nan
        """Of the last full window, of the first one, and the lowest of all; NaN before."""

    def add(self, value: float) -> None:
        """Take the next value."""
        self.values.append(value)
        if len(self.values) < (self.values.maxlen or 0):
            return
        self.median = statistics.median(self.values)
        if math.isnan(self.first):
            self.first = self.lowest = self.median
        self.lowest = min(self.lowest, self.median)


@dataclass
class History:
    """All that was told so far. It depends on nothing but the Progress values given, so that they can be replayed."""

    health: Health
    hparams: Hparams
    validations: list[Progress] = field(default_factory=list)
    windows: dict[str, Window] = field(init=False)
    """By training metric."""
    medians: dict[str, list[float]] = field(init=False)
    """The windows' medians at each validation."""
    rate: float = 0.0
    """Learning rate of the last iteration."""
    r: int = field(init=False)
    """Mel frames that a decoder step predicts."""
    earlier: list[Progress] = field(default_factory=list)
    """Validations with larger r: losses and scores before a change do not compare with those after it."""

    def __post_init__(self) -> None:
        self._begin(self.hparams.reduction_factor)

    def _begin(self, r: int) -> None:
        names = (LOSS, NORM, GUIDE, GATE_LOSS, DURATION)
        self.windows = {name: Window(self.health.training_window) for name in names}
        self.medians = {name: [] for name in names}
        self.earlier, self.validations, self.r = [*self.earlier, *self.validations], [], r

    def add(self, progress: Progress) -> None:
        """Take the next Progress."""
        if progress.kind == "validation":
            self.validations.append(progress)
            for name, window in self.windows.items():
                self.medians[name].append(window.median)
            return
        hparams, before = self.hparams, max(0, progress.utterances - self.hparams.batch_size)
        r = reduction.at(hparams.reduction_factor, hparams.reduction_schedule, before)
        if r != self.r:
            self._begin(r)
        self.rate = progress.metrics.get("learning.rate", self.rate)
        for name, window in self.windows.items():
            if name in progress.metrics:  # a value that is not finite is left out
                window.add(progress.metrics[name])

    def all(self, name: str, since: float = 0) -> list[float]:
        """A metric at all validations from so many utterances on."""
        return [one.metrics[name] for one in self.validations if name in one.metrics and one.utterances >= since]

    def last(self, name: str, count: int, since: float = 0) -> list[float]:
        """A metric at the last so many of these validations; empty when they are fewer."""
        values = self.all(name, since)
        return values[-count:] if len(values) >= count else []

    def reached(self, score: float) -> float:
        """Utterances at the first validation whose alignment_score was this high; NEVER when none was."""
        told = [*self.earlier, *self.validations]
        return min((one.utterances for one in told if one.metrics.get(SCORE, 0.0) >= score), default=NEVER)

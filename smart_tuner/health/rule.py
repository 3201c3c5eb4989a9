"""What a health rule is, and the history that it looks back on."""

import math
import statistics
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from smart_tuner.errors import Level, Verdict
from smart_tuner.progress import (
    DURATION,
    ENTROPY,
    GATE_LOSS,
    GUIDE,
    LOSS,
    NORM,
    SCORE,
    Progress,
)
from smart_tuner.settings import reduction
from smart_tuner.settings.health import Health
from smart_tuner.settings.hparams import Hparams

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
        r = reduction.reduction_at(hparams.reduction_factor, hparams.reduction_schedule, before)
        if r != self.r:
            self._begin(r)
        self.rate = progress.metrics.get("learning.rate", self.rate)
        for name, window in self.windows.items():
            if name in progress.metrics:  # a value that is not finite is left out
                window.add(progress.metrics[name])

    def all(self, name: str, since: float = 0) -> list[float]:
        """A metric at all validations from so many utterances on."""
        return [
            validation.metrics[name]
            for validation in self.validations
            if name in validation.metrics and validation.utterances >= since
        ]

    def last(self, name: str, count: int, since: float = 0) -> list[float]:
        """A metric at the last so many of these validations; empty when they are fewer."""
        values = self.all(name, since)
        return values[-count:] if len(values) >= count else []

    def reached(self, score: float) -> float:
        """Utterances at the first validation whose alignment_score was this high; NEVER when none was."""
        told = [*self.earlier, *self.validations]
        return min(
            (validation.utterances for validation in told if validation.metrics.get(SCORE, 0.0) >= score), default=NEVER
        )

    def best_and_recent(self, name: str, count: int, since: float = 0) -> tuple[float, list[float]]:
        """The lowest value before the last so many validations, infinite when there are none; and those last."""
        values = self.all(name, since)
        return min(values[:-count], default=math.inf), values[-count:]

    def is_forming(self, deadline: int) -> bool:
        """Whether the attention at the deadline scored higher, or was less even, than at half of it.

        True when no validation lies between: the benefit of the doubt.
        """
        since_half = [validation for validation in self.validations if validation.utterances >= deadline // 2]
        half, at = (
            since_half[0].metrics,
            next(validation for validation in since_half if validation.utterances >= deadline).metrics,
        )
        if half is at:
            return True
        score = at.get(SCORE, 0.0) - half.get(SCORE, 0.0)
        entropy = half.get(ENTROPY, 1.0) - at.get(ENTROPY, 1.0)
        return max(score, entropy) > self.health.attention_rise


@dataclass(frozen=True)
class Symptom:
    """What a check saw."""

    what: str
    """For a person: the values, over which window, against which threshold."""
    seen: dict[str, tuple[float, float | None]]
    """By metric, the value that decided and what it was compared with, if it was."""
    threshold: str
    window: str
    level: Level = "stop"


@dataclass(frozen=True, kw_only=True)
class Repair:
    """What the next attempt changes after a stop."""

    changes: dict[str, Any]
    """Hyperparameters with their new values."""
    change: str
    """The same for a person: each with its value before and now."""
    roll_back: bool
    """It starts from the best checkpoint of the stopped trial, when that wrote one, instead of from scratch."""


Check = Callable[[History, Progress], Symptom | None]
RepairStep = Callable[[Hparams], dict[str, Any]]
"""The hyperparameters that a step changes; none when it has nothing to change."""


@dataclass(frozen=True)
class HealthRule:
    """A rule: all that the program knows of it."""

    check: Check
    """Its function; the rule has its name."""
    asked_at: Literal["training", "validation"] = field(default="validation", kw_only=True)
    """The kind of Progress it is asked at."""
    meaning: str = field(default="", kw_only=True)
    """What a stop by it means, for the report; empty for a rule that stops nothing."""
    remedy: str = field(default="", kw_only=True)
    """What usually helps: said with each of its warnings and stops."""
    repairs: tuple[RepairStep, ...] = field(default=(), kw_only=True)
    """What the next attempt of train mode changes, one step after the other."""
    roll_back: bool = field(default=False, kw_only=True)
    """The model was good and was lost: the next attempt goes on from its best checkpoint."""
    loosened_by: str = field(default="", kw_only=True)
    """The setting of health whose double makes it stop later."""
    signs: tuple[str, ...] = field(default=(), kw_only=True)
    """Metrics whose bad value in the best run of a study tells of the same trouble."""
    nothing_left: str = field(default="what usually helps was tried, or is set already", kw_only=True)
    """Why there is no further change to try."""

    @property
    def name(self) -> str:
        """As in tags, tables and sentences."""
        return self.check.__name__

    def judge(self, history: History, now: Progress) -> Verdict | None:
        """What it says after a Progress. At the end of a budget a stop is a warning: nothing is left to save."""
        symptom = self.check(history, now)
        if symptom is None:
            return None
        level: Level = "warn" if symptom.level == "stop" and now.fraction >= 1 else symptom.level
        opening = "Stopped at" if level == "stop" else "At"
        remedy = f" {self.remedy}" if level != "note" else ""
        return Verdict(
            level=level,
            rule=self.name,
            sentence=f"{opening} iteration {now.step}: {symptom.what}.{remedy}",
            step=now.step,
            utterances=now.utterances,
            observed={name: value for name, (value, _) in symptom.seen.items()},
            limits={name: limit for name, (_, limit) in symptom.seen.items() if limit is not None},
            threshold=symptom.threshold,
            window=symptom.window,
        )

    def repair(self, hparams: Hparams, attempt: int) -> Repair | None:
        """What the next attempt changes; None when nothing is left.

        attempt counts, from 1, the trials that this rule has stopped. A step that would change nothing is passed over.
        """
        for step in self.repairs[attempt - 1 :]:
            changes = {name: value for name, value in step(hparams).items() if value != getattr(hparams, name)}
            if changes:
                told = ", ".join(describe_change(name, getattr(hparams, name), to) for name, to in changes.items())
                return Repair(changes=changes, change=told, roll_back=self.roll_back)
        return None


def describe_change(name: str, before: float, after: float) -> str:
    """A repaired setting with both values, as they are written in a settings file."""
    values = (str(value).lower() if isinstance(value, bool) else f"{value:g}" for value in (before, after))
    return f"hparams.{name} from {' to '.join(values)}"

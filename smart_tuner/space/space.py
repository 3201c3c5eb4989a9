"""A search space: parameters with ranges and conditions, what is optimised, and how (file.py reads one)."""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from smart_tuner.errors import SettingsError
from smart_tuner.progress import VALIDATION_METRICS
from smart_tuner.settings.budget import Budget
from smart_tuner.settings.settings import Settings, setting_of, with_values
from smart_tuner.space.methods import PRUNERS, SAMPLERS, PrunerKind, SamplerKind
from smart_tuner.space.objective import Objective
from smart_tuner.space.parameter import Category, Chooser, Parameter, active

METRICS = (
    *(name for name in VALIDATION_METRICS if name != "validation.step"),
    "validation.attention_coverage",
    "validation.attention_spread",
    "duration",
    "gpu.peak_memory",
)
"""What a search may optimise or constrain, as measured at a trial's best validation; duration is the median iteration's
(seconds), gpu.peak_memory (GiB) needs a GPU."""
HIGHER_IS_BETTER = ("validation.alignment_score", "validation.attention_focus", "validation.attention_coverage")

MOST_RUNGS = 20
"""Evenly spaced comparisons within a trial; each costs a validation."""


@dataclass(frozen=True, kw_only=True)
class Constraint:
    """What a trial must satisfy to count as best."""

    metric: str
    operator: Literal["<=", ">="]
    limit: float

    def violation(self, metrics: Mapping[str, float]) -> float:
        """How far beyond the limit; 0 or less is feasible. Raises SettingsError for a metric that was not logged."""
        if self.metric not in metrics:
            raise SettingsError(
                f"The constraint {self} names a metric that this trial did not log; it logged {', '.join(metrics)}."
            )
        excess = metrics[self.metric] - self.limit
        return excess if self.operator == "<=" else -excess

    def __str__(self) -> str:
        return f"{self.metric} {self.operator} {self.limit:g}"


@dataclass(frozen=True, kw_only=True)
class Sampler:
    """How values are chosen."""

    name: str = "tpe"
    """One of methods.SAMPLERS."""
    startup_trials: int = 10
    """Trials at random before it learns from them, where it learns."""

    @property
    def kind(self) -> SamplerKind:
        """What it can do."""
        return SAMPLERS[self.name]


@dataclass(frozen=True, kw_only=True)
class Pruner:
    """How hopeless trials are told from the others: by comparison after equal amounts of data."""

    name: str = "asha"
    """One of methods.PRUNERS."""
    warmup: str | None = None
    """Amount of data (utt or ep) before the first comparison; None: a tenth of the budget."""
    reduction_factor: int = 3
    """One in so many goes on from a comparison (asha, hyperband)."""
    percentile: float = 25.0
    """Trials among the best so many per cent go on (percentile)."""
    patience: int = 2
    """Comparisons without an improvement that are borne (patient)."""
    startup_trials: int = 5
    """Trials that are compared with nothing (median, percentile)."""

    @property
    def kind(self) -> PrunerKind:
        """What it can do."""
        return PRUNERS[self.name]

    @property
    def goes_on(self) -> str:
        """Which trials it lets go on, in words."""
        return self.kind.goes_on.format(comparisons=self.patience + 1, **vars(self))


@dataclass(frozen=True, kw_only=True)
class Space:
    """A search space, checked."""

    file: Path
    parameters: tuple[Parameter, ...]
    baseline: tuple[dict[str, Category], ...] = ()
    """Points to try right after the settings' own values, each complete."""
    objectives: tuple[Objective, ...] = (Objective(),)
    constraints: tuple[Constraint, ...] = ()
    sampler: Sampler = Sampler()
    pruner: Pruner = Pruner()
    budget: str | None = None
    """Budget of every trial; None: that of the settings."""
    audit: float = 0.0
    """Share of the doomed trials that run on, to learn whether stopping them was right."""
    confirm: int = 3
    """Trainings of the best trial and of the baseline with new seeds, at the end."""

    @cached_property
    def by_name(self) -> dict[str, Parameter]:
        """The parameters by their settings' names."""
        return {parameter.name: parameter for parameter in self.parameters}

    @property
    def metrics(self) -> tuple[str, ...]:
        """Every metric that the objectives and constraints name, once."""
        named = [goal.metric for goal in self.objectives] + [goal.metric for goal in self.constraints]
        return tuple(dict.fromkeys(named))

    def suggest(self, chooser: Chooser) -> dict[str, Category]:
        """A value for every parameter that counts under the values chosen before it, in the file's order."""
        values: dict[str, Category] = {}
        for parameter in self.parameters:
            if active(parameter, values):
                values[parameter.name] = parameter.suggest(chooser)
        return values

    def own(self, settings: Settings) -> dict[str, Category]:
        """The settings' own values of the parameters that count under them: the first baseline."""
        return self.complete({}, settings)

    def complete(self, values: Mapping[str, Category], settings: Settings) -> dict[str, Category]:
        """These values, and the settings' own for what else counts under them."""
        known: dict[str, Category] = {}
        for parameter in self.parameters:
            if active(parameter, known):
                known[parameter.name] = values.get(parameter.name, setting_of(settings, parameter.name))
        return known

    def apply(self, settings: Settings, values: Mapping[str, Category]) -> Settings:
        """A trial's settings: these values and the space's budget over the given ones. Raises SettingsError."""
        return with_values(settings, ({"hparams.budget": self.budget} if self.budget else {}) | dict(values))

    def highest(self, name: str, settings: Settings) -> float:
        """The largest number that trials may have for a setting: what the corpus must bear (hparams.batch_size)."""
        parameter = self.by_name.get(name)
        corners = (setting_of(settings, name), *(parameter.corners() if parameter else ()))
        return max(float(corner) for corner in corners)

    def rungs(self, utterances: int, train_size: int) -> tuple[int, ...]:
        """Utterances seen at which trials are compared, all below the budget's; () without a pruner.

        asha and hyperband compare at the warm-up and at each multiple by reduction_factor, the others at even
        distances. Raises SettingsError for a warm-up that leaves nothing to compare.
        """
        if self.pruner.name == "none":
            return ()
        first = max(1, math.ceil(utterances / 10))
        if self.pruner.warmup is not None:
            warmup = Budget.parse(self.pruner.warmup)
            first = max(1, math.ceil(warmup.amount * (train_size if warmup.unit == "ep" else 1)))
        if first >= utterances:
            raise SettingsError(
                f"{self.file}: the pruner's warm-up must end before the budget does, at {utterances:,} utterances; "
                f"received {self.pruner.warmup}, which is {first:,}."
            )
        if not self.pruner.kind.is_halving:
            return tuple(range(first, utterances, max(first, math.ceil(utterances / MOST_RUNGS))))
        rungs = [first]
        while rungs[-1] * self.pruner.reduction_factor < utterances:
            rungs.append(rungs[-1] * self.pruner.reduction_factor)
        return tuple(rungs)

    def to_plain(self) -> dict[str, Any]:
        """What the space says, without where it says it: for JSON, and to compare it with what it was."""
        plain: dict[str, Any] = json.loads(json.dumps({**asdict(self), "file": ""}))
        del plain["file"]
        plain["parameters"] = {parameter.pop("name"): parameter for parameter in plain["parameters"]}
        for parameter in plain["parameters"].values():
            del parameter["line"]
        return plain

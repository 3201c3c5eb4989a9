"""A search space: parameters with ranges and conditions, what is optimised, and how (file.py reads one)."""

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Protocol

from smart_tuner.budget import Budget
from smart_tuner.errors import SettingsError
from smart_tuner.progress import VALIDATION_METRICS
from smart_tuner.settings import Settings

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

SamplerName = Literal["tpe", "gp", "cmaes", "random", "qmc", "grid"]
PrunerName = Literal["asha", "hyperband", "median", "percentile", "patient", "none"]
Category = bool | int | float | str
MOST_RUNGS = 20
"""Evenly spaced comparisons within a trial; each costs a validation."""


class Chooser(Protocol):
    """Chooses values; an optuna.Trial is one as it is."""

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        """A number from low to high."""
        ...

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int:
        """A whole number from low to high."""
        ...

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        """One of the choices."""
        ...


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """A setting that is searched over."""

    name: str
    """The setting: hparams.learning_rate."""
    type: Literal["float", "int", "categorical"]
    line: int
    """Where it stands in its file."""
    low: float = 0.0
    high: float = 0.0
    """Both belong to the range; whole numbers of type int."""
    log: bool = False
    step: float | None = None
    """Distance between values, counted from low; None for a float: every value, for an int: 1."""
    choices: tuple[Category, ...] = ()
    when: Mapping[str, tuple[Category, ...]] = field(default_factory=dict)
    """It counts only while each of these earlier parameters counts and has one of these values."""

    def contains(self, value: Category) -> bool:
        """Whether it can have this value."""
        if self.type == "categorical":
            return any(
                value == choice and isinstance(value, bool) == isinstance(choice, bool) for choice in self.choices
            )
        assert isinstance(value, int | float)  # a number's setting holds numbers
        steps = (value - self.low) / (self.step or 1)
        on_a_step = (self.step is None and self.type == "float") or abs(steps - round(steps)) < 1e-8
        return self.low <= value <= self.high and on_a_step

    def suggest(self, chooser: Chooser) -> Category:
        """A value of the chooser's."""
        if self.type == "float":
            return chooser.suggest_float(self.name, self.low, self.high, step=self.step, log=self.log)
        if self.type == "int":
            step = int(self.step or 1)
            return chooser.suggest_int(self.name, int(self.low), int(self.high), step=step, log=self.log)
        chosen: Category = chooser.suggest_categorical(self.name, self.choices)
        return chosen

    def corners(self) -> tuple[Category, ...]:
        """Its outermost values; all of them for a categorical one."""
        return self.choices if self.type == "categorical" else (self.low, self.high)

    def size(self) -> int | None:
        """How many values it can have; None for a range without steps."""
        if self.type == "categorical":
            return len(self.choices)
        if self.type == "float" and self.step is None:
            return None
        return round((self.high - self.low) / (self.step or 1)) + 1


@dataclass(frozen=True, kw_only=True)
class Objective:
    """What is optimised, at a trial's best validation."""

    metric: str = "validation.loss"
    direction: Literal["minimize", "maximize"] = "minimize"


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

    name: SamplerName = "tpe"
    startup_trials: int = 10
    """Trials at random before it learns from them (tpe, gp, cmaes)."""


@dataclass(frozen=True, kw_only=True)
class Pruner:
    """How hopeless trials are told from the others: by comparison after equal amounts of data."""

    name: PrunerName = "asha"
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
        named = [one.metric for one in self.objectives] + [one.metric for one in self.constraints]
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
                known[parameter.name] = values.get(parameter.name, setting(settings, parameter.name))
        return known

    def apply(self, settings: Settings, values: Mapping[str, Category]) -> Settings:
        """A trial's settings: these values and the space's budget over the given ones. Raises SettingsError."""
        changes: dict[str, dict[str, Any]] = {"hparams": {"budget": self.budget} if self.budget else {}}
        for name, value in values.items():
            section, _, key = name.partition(".")
            changes.setdefault(section, {})[key] = value
        try:
            sections = {name: dataclasses.replace(getattr(settings, name), **given) for name, given in changes.items()}
        except ValueError as problem:  # the architecture's own checks
            raise SettingsError(str(problem)) from problem
        return dataclasses.replace(settings, **sections)

    def highest(self, name: str, settings: Settings) -> float:
        """The largest number that trials may have for a setting: what the corpus must bear (hparams.batch_size)."""
        parameter = self.by_name.get(name)
        corners = (setting(settings, name), *(parameter.corners() if parameter else ()))
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
        if self.pruner.name not in ("asha", "hyperband"):
            return tuple(range(first, utterances, max(first, math.ceil(utterances / MOST_RUNGS))))
        rungs = [first]
        while rungs[-1] * self.pruner.reduction_factor < utterances:
            rungs.append(rungs[-1] * self.pruner.reduction_factor)
        return tuple(rungs)

    def to_plain(self) -> dict[str, Any]:
        """What the space says, without where it says it; for JSON, and for linter.changed."""
        plain: dict[str, Any] = json.loads(json.dumps({**asdict(self), "file": ""}))
        del plain["file"]
        plain["parameters"] = {one.pop("name"): one for one in plain["parameters"]}
        for parameter in plain["parameters"].values():
            del parameter["line"]
        return plain


def active(parameter: Parameter, values: Mapping[str, Category]) -> bool:
    """Whether a parameter counts under the values of those before it."""
    return all(name in values and values[name] in allowed for name, allowed in parameter.when.items())


def setting(settings: Settings, name: str) -> Any:
    """The value of a setting by its full name."""
    section, _, key = name.partition(".")
    return getattr(getattr(settings, section), key)

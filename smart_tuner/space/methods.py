"""The samplers and pruners that a search space may name: one record each, with all that they can do.

To add one of Optuna's samplers, add its record: the file format, checks, warnings and study/samplers.py follow. A
pruner needs a line in study/pruners.py too, which makes it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True)
class SamplerKind:
    """How values are chosen."""

    name: str
    made_by: str
    """Module and class: optuna.samplers:TPESampler."""
    arguments: Mapping[str, Any] = field(default_factory=dict)
    """What it is always told."""
    arguments_with_conditions: Mapping[str, Any] = field(default_factory=dict)
    """What it is told beside, where parameters have conditions."""
    startup_argument: str = ""
    """What it calls the trials that it draws at random before it learns; empty: it does not learn."""
    takes_conditions: bool = True
    """Otherwise parameters with conditions are drawn at random."""
    takes_categories: bool = True
    """Otherwise categorical parameters are drawn at random."""
    takes_several_objectives: bool = True
    is_list: bool = False
    """Its points are listed before the study begins, so every parameter needs steps and none a condition."""
    is_sequence: bool = False
    """The study's storage counts how far it has come: a study that goes on has the same seed, not another."""
    package: str = ""
    """What has to be installed for it."""

    @property
    def options(self) -> tuple[str, ...]:
        """What a space can tell it."""
        return ("startup_trials",) if self.startup_argument else ()


SAMPLERS: dict[str, SamplerKind] = {
    kind.name: kind
    for kind in (
        SamplerKind(
            name="tpe",
            made_by="optuna.samplers:TPESampler",
            arguments={"multivariate": True, "constant_liar": True},
            arguments_with_conditions={"group": True},
            startup_argument="n_startup_trials",
        ),
        SamplerKind(
            name="gp",
            made_by="optuna.samplers:GPSampler",
            arguments={"warn_independent_sampling": False},
            startup_argument="n_startup_trials",
            takes_conditions=False,
        ),
        SamplerKind(
            name="cmaes",
            made_by="optuna.samplers:CmaEsSampler",
            arguments={"warn_independent_sampling": False},
            startup_argument="n_startup_trials",
            takes_conditions=False,
            takes_categories=False,
            takes_several_objectives=False,
            package="cmaes",
        ),
        SamplerKind(name="random", made_by="optuna.samplers:RandomSampler"),
        SamplerKind(
            name="qmc",
            made_by="optuna.samplers:QMCSampler",
            arguments={"scramble": True, "warn_independent_sampling": False},
            takes_conditions=False,
            is_sequence=True,
        ),
        SamplerKind(name="grid", made_by="optuna.samplers:RandomSampler", is_list=True),  # it is never asked
    )
}
"""By name."""


@dataclass(frozen=True, kw_only=True)
class PrunerKind:
    """How hopeless trials are told from the others: by comparison after equal amounts of data."""

    name: str
    options: tuple[str, ...] = ("warmup",)
    """What a space can tell it."""
    goes_on: str
    """Which trials it lets go on, with the options in braces."""
    meaning: str = ""
    """What a stop by it means, for the report; empty for one that stops nothing."""
    share: Callable[[Any], float] = lambda pruner: 1.0
    """The share of trials that it lets go on from a comparison, by its options."""
    is_halving: bool = False
    """It compares at the warm-up and at each multiple by reduction_factor, and remembers trials by the rung's number;
    the others compare at even distances, and stop most of theirs at the first comparison."""


PRUNERS: dict[str, PrunerKind] = {
    kind.name: kind
    for kind in (
        PrunerKind(
            name="asha",
            options=("warmup", "reduction_factor"),
            goes_on="the best 1 in {reduction_factor} of those that have come so far go on",
            meaning="After the same amount of data, too many other trials were better (successive halving).",
            share=lambda pruner: 1 / pruner.reduction_factor,
            is_halving=True,
        ),
        PrunerKind(
            name="hyperband",
            options=("warmup", "reduction_factor"),
            goes_on="the best 1 in {reduction_factor} of those of its bracket that have come so far go on",
            meaning="After the same amount of data, too many other trials of its bracket were better.",
            share=lambda pruner: 1 / pruner.reduction_factor,
            is_halving=True,
        ),
        PrunerKind(
            name="median",
            options=("warmup", "startup_trials"),
            goes_on="those no worse than the median of complete trials go on",
            meaning="After the same amount of data it was worse than the median of the complete trials.",
            share=lambda pruner: 0.5,
        ),
        PrunerKind(
            name="percentile",
            options=("warmup", "startup_trials", "percentile"),
            goes_on="those among the best {percentile:g} % of complete trials go on",
            meaning="After the same amount of data it was not among the best share of the complete trials.",
            share=lambda pruner: pruner.percentile / 100,
        ),
        PrunerKind(
            name="patient",
            options=("warmup", "patience"),
            goes_on="those that have improved within their last {comparisons} comparisons go on",
            meaning="It had not improved for several comparisons.",
        ),
        PrunerKind(name="none", options=(), goes_on="all go on"),
    )
}
"""By name."""


def list_others(names: Mapping[str, Any], *without: str) -> str:
    """The names of a table but for some, as an error lists the choices."""
    return ", ".join(name for name in names if name not in without)

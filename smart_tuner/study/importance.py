"""Which parameters mattered in a search, and how sure that is: PED-ANOVA with a band over trials."""

import random
import statistics
import warnings
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
from optuna.trial import FrozenTrial, TrialState, create_trial

from smart_tuner.space.space import Parameter
from smart_tuner.study.conclusions import reached_end, searched
from smart_tuner.study.results import Result
from smart_tuner.study.warm import distribution

FEW = 20
"""With fewer complete trials the order of the parameters is mostly luck."""
SHARE = 0.25
"""The best quarter is told from the rest. Of simulated searches (40 trials, 4 or 8 parameters, of which one decides and
one helps), the deciding one came first in 43 of 48; with the tenth that Optuna takes when left alone, in 30."""
DRAWS, MOST_DRAWN = 50, 20_000
"""Studies drawn for the band, and trials in all of them together: of many trials fewer draws tell as much."""
LOW, HIGH = 5, 95
"""Per cent of the draws below the ends of a band."""


@dataclass(frozen=True, kw_only=True)
class Share:
    """How much a parameter decides whether a trial is among the best; the shares of all sum to 1."""

    name: str
    share: float
    low: float
    high: float
    """Both: what 5 and 95 % of the studies drawn from these trials, with repetition, stay below."""


@dataclass(frozen=True, kw_only=True)
class Importance:
    """What mattered."""

    shares: tuple[Share, ...]
    """Largest first; none when it cannot be said."""
    trials: int
    """Complete, feasible trials of the search within its ranges."""
    enough: bool
    """Whether anything can be said."""
    needed: int = FEW
    """Trials that it takes; with as many or more and not enough, all trials came to the same objective."""

    def of(self, name: str) -> Share | None:
        """A parameter's share; None when it is not known."""
        return next((one for one in self.shares if one.name == name), None)


def importance(
    results: Sequence[Result], space: Mapping[str, Any], direction: str, seed: int = 0, draws: int = DRAWS
) -> Importance:
    """The share of each parameter of a space (Space.to_plain()) in a trial's being among the best.

    PED-ANOVA (Watanabe et al., 2023, arXiv 2304.10255; with conditions arXiv 2601.20800) compares the density of the
    best trials' values with that of all; the band is Efron's percentile bootstrap (1979) over trials.
    """
    known = parameters(space)
    ended = [one for one in searched(results) if one.state == "complete" and reached_end(one)]
    trials = [trial for one in ended if (trial := frozen(one, known)) is not None]
    varied = {name for trial in trials for name in trial.params}
    if len(trials) < FEW or len({trial.value for trial in trials}) == 1 or not varied:
        return Importance(shares=(), trials=len(trials), enough=False)
    study, chance = Drawn(direction), random.Random(seed)
    own = study.shares(trials)
    drawn = [study.shares(chance.choices(trials, k=len(trials))) for _ in range(min(draws, MOST_DRAWN // len(trials)))]
    shares = [banded(name, share, [one.get(name, 0.0) for one in drawn]) for name, share in own.items()]
    shares.sort(key=lambda one: (-one.share, one.name))
    return Importance(shares=tuple(shares), trials=len(trials), enough=True)


def banded(name: str, share: float, drawn: Iterable[float]) -> Share:
    """A share with its band, which holds it: where draws repeat trials, their densities are narrower than its own."""
    cuts = statistics.quantiles([share, *drawn, share], n=100, method="inclusive")
    low, high = cuts[LOW - 1], cuts[HIGH - 1]
    return Share(name=name, share=share, low=min(low, share), high=max(high, share))


def parameters(space: Mapping[str, Any]) -> dict[str, Parameter]:
    """The parameters of a Space.to_plain() by name; none of an empty one."""
    plain: Mapping[str, Mapping[str, Any]] = space.get("parameters", {})
    return {
        name: Parameter(
            **{
                **entry,
                "name": name,
                "line": 0,
                "choices": tuple(entry["choices"]),
                "when": {other: tuple(allowed) for other, allowed in entry["when"].items()},
            }
        )
        for name, entry in plain.items()
    }


def frozen(result: Result, known: Mapping[str, Parameter]) -> FrozenTrial | None:
    """A result as a trial of Optuna's; None when a value lies outside its range, as the settings' own may."""
    values = {name: value for name, value in result.values.items() if name in known}
    if not all(known[name].contains(value) for name, value in values.items()):
        return None
    distributions = {name: distribution(known[name]) for name in values}
    trial = create_trial(value=result.loss, params=values, distributions=distributions)
    trial._trial_id = trial.number = result.number
    return trial


class Drawn(optuna.Study):
    """A study in memory that holds the trials last drawn: to add them one by one takes longer than to weigh them."""

    def __init__(self, direction: str) -> None:
        base = optuna.create_study(
            direction=optuna.study.StudyDirection[direction.upper()], storage=optuna.storages.InMemoryStorage()
        )
        super().__init__(study_name=base.study_name, storage=base._storage)
        self.drawn: list[FrozenTrial] = []

    def get_trials(self, deepcopy: bool = True, states: Container[TrialState] | None = None) -> list[FrozenTrial]:
        """The trials drawn, all of them complete."""
        return self.drawn

    def shares(self, trials: list[FrozenTrial]) -> dict[str, float]:
        """PED-ANOVA's share of each parameter that these trials have."""
        self.drawn = trials
        evaluator = PedAnovaImportanceEvaluator(target_quantile=SHARE)
        with warnings.catch_warnings():  # conditions that a single trial meets: it is left out, and the band shows it
            warnings.filterwarnings("ignore", "Some regimes for parameter", UserWarning)
            return get_param_importances(self, evaluator=evaluator)

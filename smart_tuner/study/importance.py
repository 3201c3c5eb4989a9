"""Which parameters mattered in a search, and how sure that is: PED-ANOVA with a band over trials."""

import random
import statistics
import warnings
from collections.abc import Container, Iterable, Mapping, Sequence
from typing import Any

import optuna
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
from optuna.trial import FrozenTrial, TrialState, create_trial

from smart_tuner.analysis.conclusions import list_searched, reached_end
from smart_tuner.analysis.importance import FEW, Importance, Share
from smart_tuner.analysis.results import Result
from smart_tuner.space.parameter import Parameter, read_parameters
from smart_tuner.study.samplers import make_distribution

SHARE = 0.25
"""The best quarter is told from the rest. Of simulated searches (40 trials, 4 or 8 parameters, of which one decides and
one helps), the deciding one came first in 43 of 48; with the tenth that Optuna takes when left alone, in 30."""
DRAWS, MOST_DRAWN = 50, 20_000
"""Studies drawn for the band, and trials in all of them together: of many trials fewer draws tell as much."""
LOW, HIGH = 5, 95
"""Per cent of the draws below the ends of a band."""


def weigh_parameters(
    results: Sequence[Result], space: Mapping[str, Any], direction: str, seed: int = 0, draws: int = DRAWS
) -> Importance:
    """The share of each parameter of a space (Space.to_plain()) in a trial's being among the best.

    PED-ANOVA (Watanabe et al., 2023, arXiv 2304.10255; with conditions arXiv 2601.20800) compares the density of the
    best trials' values with that of all; the band is Efron's percentile bootstrap (1979) over trials.
    """
    known = read_parameters(space)
    ended = [result for result in list_searched(results) if result.state == "complete" and reached_end(result)]
    trials = [trial for result in ended if (trial := as_trial(result, known)) is not None]
    varied = {name for trial in trials for name in trial.params}
    if len(trials) < FEW or len({trial.value for trial in trials}) == 1 or not varied:
        return Importance(shares=(), trials=len(trials), enough=False)
    study, chance = Drawn(direction), random.Random(seed)
    own = study.shares(trials)
    drawn = [study.shares(chance.choices(trials, k=len(trials))) for _ in range(min(draws, MOST_DRAWN // len(trials)))]
    shares = [with_band(name, share, [sample.get(name, 0.0) for sample in drawn]) for name, share in own.items()]
    shares.sort(key=lambda share: (-share.share, share.name))
    return Importance(shares=tuple(shares), trials=len(trials), enough=True)


def with_band(name: str, share: float, drawn: Iterable[float]) -> Share:
    """A share with its band, which holds it: where draws repeat trials, their densities are narrower than its own."""
    cuts = statistics.quantiles([share, *drawn, share], n=100, method="inclusive")
    low, high = cuts[LOW - 1], cuts[HIGH - 1]
    return Share(name=name, share=share, low=min(low, share), high=max(high, share))


def as_trial(result: Result, known: Mapping[str, Parameter]) -> FrozenTrial | None:
    """A result as a trial of Optuna's; None when a value lies outside its range, as the settings' own may."""
    values = {name: value for name, value in result.values.items() if name in known}
    if not all(known[name].contains(value) for name, value in values.items()):
        return None
    distributions = {name: make_distribution(known[name]) for name in values}
    trial = create_trial(value=result.value, params=values, distributions=distributions)
    trial._trial_id = trial.number = result.number  # the evaluator tells trials apart by their id, and all have -1
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

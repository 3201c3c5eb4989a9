"""Samplers and pruners by the names that a search space gives them."""

import importlib
import random
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256
from typing import Any

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.pruners import (
    BasePruner,
    HyperbandPruner,
    NopPruner,
    PatientPruner,
    PercentilePruner,
    SuccessiveHalvingPruner,
)
from optuna.samplers import BaseSampler, CmaEsSampler, GPSampler, QMCSampler, RandomSampler, TPESampler

from smart_tuner.errors import SettingsError
from smart_tuner.settings import Settings
from smart_tuner.space.space import Category, Chooser, Space

LARGEST_GRID = 100_000
MOST_INVALID = 100
"""Suggestions in a row that are no valid settings."""


def derived(*parts: object) -> int:
    """A number from 0 to 2 ** 32 - 1 that the parts alone decide."""
    return int.from_bytes(sha256(" ".join(map(str, parts)).encode()).digest()[:4], "big")


@contextmanager
def quiet() -> Iterator[None]:
    """Keep to ourselves what Optuna warns of and we know: experimental parts, and own values out of a range."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        warnings.filterwarnings("ignore", "Fixed parameter .* is out of range", UserWarning)
        yield


def make_sampler(space: Space, seed: int, trials: int) -> BaseSampler:
    """The space's sampler, for a study with a base seed that holds so many trials already.

    A study that goes on gets another seed: the same one would suggest the same values again. A QMC sequence is the
    exception, as the study's storage counts how far it has come. The grid's points are enqueued, so its sampler is
    never asked. Raises SettingsError for cmaes without its package.
    """
    name, startup, fresh = space.sampler.name, space.sampler.startup_trials, derived(seed, trials)
    with quiet():
        if name == "tpe":
            conditions = any(parameter.when for parameter in space.parameters)
            return TPESampler(
                seed=fresh, multivariate=True, constant_liar=True, group=conditions, n_startup_trials=startup
            )
        if name == "gp":
            return GPSampler(seed=fresh, n_startup_trials=startup, warn_independent_sampling=False)
        if name == "cmaes":
            _require_cmaes()
            return CmaEsSampler(seed=fresh, n_startup_trials=startup, warn_independent_sampling=False)
        if name == "qmc":
            return QMCSampler(scramble=True, seed=derived(seed), warn_independent_sampling=False)
        return RandomSampler(seed=fresh)


def _require_cmaes() -> None:
    try:
        importlib.import_module("cmaes")
    except ImportError as problem:
        raise SettingsError(
            "The sampler cmaes needs the package cmaes (pip install cmaes); without it: tpe, gp, random, qmc, grid."
        ) from problem


def make_pruner(space: Space, rungs: Sequence[int]) -> BasePruner:
    """The space's pruner, which compares trials at the rungs (utterances).

    asha: of the trials that have reached a rung so far, this one included, the best 1 in reduction_factor go on, each
    judged when it arrives and never again. With fewer than 2 * reduction_factor of them that is the best one alone,
    so early trials are judged harshly: the second trial goes on only if it beats the first. The first rung comes after
    the warm-up for that reason, and the audit measures what it costs. hyperband: the same, but each trial
    (by its number) starts to be judged at another rung. median, percentile: compared with complete trials once there
    are startup_trials of them. patient: compared with nothing but itself, patience rungs ago.
    """
    pruner = space.pruner
    if not rungs:
        return NopPruner()
    if pruner.name == "asha":
        return SuccessiveHalvingPruner(min_resource=rungs[0], reduction_factor=pruner.reduction_factor)
    if pruner.name == "hyperband":
        last = rungs[-1] + 1  # so that rounding in its logarithm loses no rung
        return HyperbandPruner(min_resource=rungs[0], max_resource=last, reduction_factor=pruner.reduction_factor)
    if pruner.name in ("median", "percentile"):
        share = 50.0 if pruner.name == "median" else pruner.percentile
        return PercentilePruner(share, n_startup_trials=pruner.startup_trials)
    if pruner.name == "patient":
        with quiet():
            return PatientPruner(None, patience=pruner.patience)
    return NopPruner()


class _Path:
    """A Chooser that takes the branch it is told, and the first one from there on."""

    def __init__(self, branches: Sequence[int]) -> None:
        self.branches = list(branches)
        self.taken: list[tuple[int, int]] = []
        """Branch and number of branches at each choice."""

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        """One of the steps from low to high."""
        if step is None:
            raise SettingsError(f"The sampler grid needs a step for every float; {name} has none.")
        return min(high, low + step * self._choose(round((high - low) / step) + 1))

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int:
        """One of the steps from low to high."""
        return low + step * self._choose((high - low) // step + 1)

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        """One of the choices."""
        return choices[self._choose(len(choices))]

    def _choose(self, count: int) -> int:
        depth = len(self.taken)
        branch = self.branches[depth] if depth < len(self.branches) else 0
        self.taken.append((branch, count))
        return branch


def grid(space: Space, seed: int) -> list[dict[str, Category]]:
    """Every combination once, in an order that the seed decides: a study that goes on has the same one.

    Raises SettingsError for a float without steps and for more combinations than anybody trains.
    """
    points, branches = list[dict[str, Category]](), list[int]()
    while True:
        path = _Path(branches)
        points.append(space.suggest(path))
        if len(points) > LARGEST_GRID:
            raise SettingsError(
                f"The grid holds more than {LARGEST_GRID:,} combinations; larger steps, or: tpe, gp, random, qmc."
            )
        taken = path.taken
        while taken and taken[-1][0] + 1 == taken[-1][1]:
            taken.pop()
        if not taken:
            break
        branches = [branch for branch, _ in taken]
        branches[-1] += 1
    random.Random(seed).shuffle(points)
    return points


def sample(space: Space, settings: Settings, count: int, seed: int) -> list[dict[str, Category]]:
    """What the space's sampler would suggest first, without a study: at most count points that are valid settings.

    Raises SettingsError when hardly any point is.
    """
    if space.sampler.name == "grid":
        return grid(space, seed)[:count]
    points = list[dict[str, Category]]()
    study = optuna.create_study(sampler=make_sampler(space, seed, 0), directions=directions(space))
    invalid = 0
    while len(points) < count:
        with quiet():
            values = space.suggest(_chooser(study.ask()))
        try:
            space.apply(settings, values)
        except SettingsError as problem:
            invalid += 1
            if invalid == MOST_INVALID:
                raise nothing_valid(problem) from problem
            continue
        invalid = 0
        points.append(values)
    return points


def _chooser(trial: optuna.Trial) -> Chooser:
    return trial


def nothing_valid(problem: SettingsError) -> SettingsError:
    """The error for a space that holds hardly any valid settings."""
    return SettingsError(f"{MOST_INVALID} suggestions in a row are no valid settings; the last: {problem}")


def directions(space: Space) -> list[optuna.study.StudyDirection]:
    """The directions of the space's objectives."""
    return [optuna.study.StudyDirection[objective.direction.upper()] for objective in space.objectives]

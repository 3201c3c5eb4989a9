"""Samplers by the names that a search space gives them, and what they would suggest."""

import importlib
import random
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler

from smart_tuner.errors import SettingsError
from smart_tuner.settings.settings import Settings
from smart_tuner.space.methods import SAMPLERS, SamplerKind, list_others
from smart_tuner.space.parameter import Category, Chooser, Parameter
from smart_tuner.space.space import Space

LARGEST_GRID = 100_000
MOST_INVALID = 100
"""Suggestions in a row that are no valid settings."""


def derive_seed(*parts: object) -> int:
    """A number from 0 to 2 ** 32 - 1 that the parts alone decide."""
    return int.from_bytes(sha256(" ".join(map(str, parts)).encode()).digest()[:4], "big")


@contextmanager
def quiet_optuna() -> Iterator[None]:
    """Keep to ourselves what Optuna warns of and we know: experimental parts, and own values out of a range."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        warnings.filterwarnings("ignore", "Fixed parameter .* is out of range", UserWarning)
        yield


def make_sampler(space: Space, seed: int, trials: int) -> BaseSampler:
    """The space's sampler, for a study with a base seed that holds so many trials already.

    A study that goes on gets another seed: the same one would suggest the same values again. Raises SettingsError for
    a sampler that is unknown or lacks its package.
    """
    sampler = space.sampler
    if sampler.name not in SAMPLERS:
        raise SettingsError(f"The sampler must be one of {', '.join(SAMPLERS)}; received {sampler.name!r}.")
    kind = sampler.kind
    require_package(kind)
    arguments = dict(kind.arguments)
    if any(parameter.when for parameter in space.parameters):
        arguments |= kind.arguments_with_conditions
    if kind.startup_argument:
        arguments[kind.startup_argument] = sampler.startup_trials
    arguments["seed"] = derive_seed(seed) if kind.is_sequence else derive_seed(seed, trials)
    module, _, name = kind.made_by.partition(":")
    with quiet_optuna():
        made: BaseSampler = getattr(importlib.import_module(module), name)(**arguments)
    return made


def require_package(kind: SamplerKind) -> None:
    """Raise SettingsError for a sampler whose package is not installed."""
    try:
        importlib.import_module(kind.package or "optuna")
    except ImportError as problem:
        raise SettingsError(
            f"The sampler {kind.name} needs the package {kind.package} (pip install {kind.package}); without it: "
            f"{list_others(SAMPLERS, kind.name)}."
        ) from problem


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


def list_grid(space: Space, seed: int) -> list[dict[str, Category]]:
    """Every combination once, in an order that the seed decides: a study that goes on has the same one.

    Raises SettingsError for a float without steps and for more combinations than anybody trains.
    """
    points, branches = list[dict[str, Category]](), list[int]()
    while True:
        path = _Path(branches)
        points.append(space.suggest(path))
        if len(points) > LARGEST_GRID:
            raise SettingsError(
                f"The grid holds more than {LARGEST_GRID:,} combinations; larger steps, or "
                f"another sampler: {list_others(SAMPLERS, space.sampler.name)}."
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


def draw_samples(space: Space, settings: Settings, count: int, seed: int) -> list[dict[str, Category]]:
    """What the space's sampler would suggest first, without a study: at most count points that are valid settings.

    Raises SettingsError when hardly any point is.
    """
    if space.sampler.kind.is_list:
        return list_grid(space, seed)[:count]
    points = list[dict[str, Category]]()
    optuna.logging.set_verbosity(optuna.logging.ERROR)  # a line about a study in memory would puzzle
    study = optuna.create_study(sampler=make_sampler(space, seed, 0), directions=study_directions(space))
    invalid = 0
    while len(points) < count:
        with quiet_optuna():
            values = space.suggest(_chooser(study.ask()))
        try:
            space.apply(settings, values)
        except SettingsError as problem:
            invalid += 1
            if invalid == MOST_INVALID:
                raise no_valid_settings(problem) from problem
            continue
        invalid = 0
        points.append(values)
    return points


def _chooser(trial: optuna.Trial) -> Chooser:
    return trial


def no_valid_settings(problem: SettingsError) -> SettingsError:
    """The error for a space that holds hardly any valid settings."""
    return SettingsError(f"{MOST_INVALID} suggestions in a row are no valid settings; the last: {problem}")


def study_directions(space: Space) -> list[optuna.study.StudyDirection]:
    """The directions of the space's objectives."""
    return [optuna.study.StudyDirection[objective.direction.upper()] for objective in space.objectives]


def make_distribution(parameter: Parameter) -> BaseDistribution:
    """A parameter in Optuna's words."""
    if parameter.type == "categorical":
        return CategoricalDistribution(parameter.choices)
    if parameter.type == "int":
        step = int(parameter.step or 1)
        return IntDistribution(int(parameter.low), int(parameter.high), log=parameter.log, step=step)
    return FloatDistribution(parameter.low, parameter.high, log=parameter.log, step=parameter.step)

"""Pruners by name, against real Optuna studies."""

from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from smart_tuner.space.space import Pruner, Space
from smart_tuner.study.pruners import make_pruner


def space(pruner: Pruner) -> Space:
    return Space(file=Path("s.yaml"), parameters=(), pruner=pruner)


def judged(pruner: Pruner, rungs: tuple[int, ...], curves: list[list[float]]) -> list[int]:
    """At which rung each trial, run one after the other, is stopped; 0: never."""
    study = optuna.create_study(pruner=make_pruner(space(pruner), rungs))
    stops = []
    for curve in curves:
        trial = study.ask()
        stopped = 0
        for rung, value in zip(rungs, curve, strict=True):
            trial.report(value, rung)
            if trial.should_prune():
                stopped = rung
                break
        study.tell(trial.number, None if stopped else curve[-1], TrialState.PRUNED if stopped else None)
        stops.append(stopped)
    return stops


def test_asha_lets_the_best_third_go_on_at_each_rung() -> None:
    rungs = (100, 300, 900)
    curves = [[0.5, 0.4, 0.3], [0.6, 0.1, 0.1], [0.4, 0.5, 0.1], [0.45, 0.1, 0.1], [0.9, 0.1, 0.1], [0.42, 0.3, 0.3]]
    assert judged(Pruner(name="asha"), rungs, curves) == [0, 100, 300, 100, 100, 0]


def test_asha_counts_the_trials_that_it_stopped() -> None:
    curves = [[0.5], [0.9], [0.8], [0.7], [0.6], [0.52]]
    assert judged(Pruner(name="asha"), (100,), curves) == [0, 100, 100, 100, 100, 0]  # second best of six


def test_hyperband_judges_at_the_rungs_too_whatever_its_logarithm_rounds_to() -> None:
    rungs = (1, 3, 9, 27, 81, 243)
    pruner = make_pruner(space(Pruner(name="hyperband")), rungs)
    study = optuna.create_study(pruner=pruner)
    trial = study.ask()
    trial.report(1.0, 1)
    trial.should_prune()
    assert isinstance(pruner, optuna.pruners.HyperbandPruner)
    assert pruner._n_brackets == 6
    stops = judged(Pruner(name="hyperband"), rungs, [[1.0 + n] * 6 for n in range(30)])
    assert set(stops) <= {0, *rungs}
    assert len(set(stops)) > 2


def test_median_and_percentile_start_after_their_startup_trials() -> None:
    curves = [[0.1], [0.3], [0.5], [0.4], [0.2]]
    assert judged(Pruner(name="median", startup_trials=3), (100,), curves) == [0, 0, 0, 100, 0]
    assert judged(Pruner(name="percentile", percentile=10, startup_trials=3), (100,), curves) == [0, 0, 0, 100, 100]


def test_patient_stops_what_does_not_improve_any_more() -> None:
    rungs = (1, 2, 3, 4, 5)
    curves = [[0.5, 0.4, 0.3, 0.2, 0.1], [0.5, 0.6, 0.6, 0.6, 0.4]]
    assert judged(Pruner(name="patient", patience=2), rungs, curves) == [0, 4]


@pytest.mark.parametrize("name", ["none", "asha", "median"])
def test_without_rungs_nothing_is_pruned(name: str) -> None:
    rungs = () if name != "none" else (100,)
    assert isinstance(make_pruner(space(Pruner(name=name)), rungs), optuna.pruners.NopPruner)

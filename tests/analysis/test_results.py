"""What a train study says of its trials."""

import pytest

from smart_tuner.analysis.results import summarise_training
from tests.support.evidenced import OWN, baseline, result, stopped


def test_mean_and_spread_are_those_of_complete_trials_with_the_best_ones_settings() -> None:
    changed = result(5, 0.9, values={"hparams.learning_rate": 1e-4})
    others = [stopped(3, values=OWN), result(4, 0.1, state="failed", values=OWN), changed]
    results = [result(number, loss, values=OWN) for number, loss in enumerate((0.5, 0.2, 0.8))]
    summary = summarise_training([*results, *others])
    assert summary.best is results[1]
    assert summary.mean == pytest.approx(0.5)
    assert summary.spread == pytest.approx(0.3)  # sample standard deviation of 0.5, 0.2, 0.8


def test_one_trial_has_no_spread_and_none_has_nothing() -> None:
    alone, nothing = summarise_training([baseline(0.5)]), summarise_training([stopped(0)])
    assert (alone.best, alone.mean, alone.spread) == (baseline(0.5), 0.5, None)
    assert (nothing.best, nothing.mean, nothing.spread) == (None, None, None)

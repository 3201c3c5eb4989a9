"""The power of Welch's test, against simulated experiments and tables."""

import numpy as np
import pytest
from scipy import stats

from smart_tuner.analysis.power import MOST_RUNS, detectable, power, runs_needed


@pytest.mark.parametrize(
    ("difference", "runs"), [(2.8, 3), (3.0, 3), (2.0, 5), (1.0, 17), (0.5, 64), (15.0, 2), (0.0, 4)]
)
def test_the_power_is_what_simulated_experiments_show(difference: float, runs: int) -> None:
    generator = np.random.default_rng(1)
    first, second = (generator.normal(mean, 1.0, (40_000, runs)) for mean in (difference, 0.0))
    found = stats.ttest_ind(first, second, axis=1, equal_var=False)
    shown = float(np.mean((found.pvalue < 0.05) & (found.statistic > 0)))
    assert power(difference, runs) == pytest.approx(shown, abs=0.01)  # three standard errors are 0.0075


@pytest.mark.parametrize("runs", [2, 3, 4, 5, 6, 10, 20])
def test_what_is_detectable_shows_in_four_of_five(runs: int) -> None:
    assert power(detectable(1.0, runs), runs) == pytest.approx(0.8, abs=1e-9)
    assert detectable(0.1, runs) == pytest.approx(0.1 * detectable(1.0, runs))


@pytest.mark.parametrize("ratio", [0.1, 0.5, 1.0, 2.0, 3.0, 3.6])
def test_the_runs_needed_are_the_least_that_show_it(ratio: float) -> None:
    needed = runs_needed(ratio, 1.0)
    assert power(ratio, needed) >= 0.8 > power(ratio, needed - 1)
    assert runs_needed(0.1 * ratio, 0.1) == needed


def test_the_runs_of_tables() -> None:
    """Cohen (1988), table 2.4.1: 64 on each side for half a standard deviation, 17 for a whole one."""
    assert (runs_needed(0.5, 1.0), runs_needed(1.0, 1.0)) == (64, 17)


def test_the_extremes_have_a_number_too() -> None:
    assert (runs_needed(1e9, 1.0), runs_needed(1e-9, 1.0)) == (2, MOST_RUNS)
    assert power(30.0, 5) == pytest.approx(1.0)

"""A budget is an amount with a unit, and says how many iterations it buys."""

import pytest

from smart_tuner.errors import SettingsError
from smart_tuner.settings.budget import Budget


@pytest.mark.parametrize(
    ("text", "iterations"),
    [("20ep", 60), ("5000it", 5000), ("300000utt", 18750), ("0.5ep", 2), (" 7 it ", 7), ("17utt", 2), ("1utt", 1)],
)
def test_iterations_of_a_budget(text: str, iterations: int) -> None:
    assert Budget.parse(text).iterations(batch_size=16, epoch_iterations=3) == iterations


def test_epochs_are_never_rounded_up_to_one_iteration_more() -> None:
    for epoch_iterations in range(1, 400, 7):
        for epochs in range(1, 300, 11):
            assert Budget(epochs, "ep").iterations(16, epoch_iterations) == epochs * epoch_iterations


@pytest.mark.parametrize(("text", "seconds"), [("45m", 2700.0), ("90s", 90.0), ("1.5h", 5400.0)])
def test_wall_time_has_seconds_and_no_iterations(text: str, seconds: float) -> None:
    budget = Budget.parse(text)
    assert budget.seconds == seconds
    assert budget.iterations(16, 3) is None


@pytest.mark.parametrize("text", ["20ep", "5000it", "300000utt"])
def test_an_amount_of_data_has_no_seconds(text: str) -> None:
    assert Budget.parse(text).seconds is None


@pytest.mark.parametrize("text", ["", "20", "ep", "0ep", "0.0it", "-5ep", "20 epochs", "1e3it", "nanep", "20ep 5it"])
def test_a_wrong_budget_is_shown_beside_right_ones(text: str) -> None:
    with pytest.raises(SettingsError, match="20ep, 5000it, 300000utt or 45m") as refusal:
        Budget.parse(text)
    assert repr(text) in str(refusal.value)

"""kWh are told only where a GPU told its power and it is clear whose it was."""

from typing import Any

import pytest

from smart_tuner.report.evidence import Run
from smart_tuner.report.judging.energy import energy
from tests.evidenced import COMMAND, Shelf, baseline, result, run, study

POWER = "system/gpu_0_power_usage_watts"


def powered(number: int, *metrics: str, device: str = "cuda:0", **changed: Any) -> Run:
    of = baseline(0.5, **changed) if number == 0 else result(number, 0.5, **changed)
    return run(of, metrics=dict.fromkeys(metrics or (POWER,), 300.0), tags={"device": device})


def test_energy_is_mean_power_times_training_time() -> None:
    # 300 W for 600 s: 180,000 J = 0.05 kWh; 100 W for 1,800 s: the same
    first, second = powered(0), powered(1, seconds=1800.0)
    shelf = Shelf({("id-0", POWER): [(0, 200.0), (1, 400.0)], ("id-1", POWER): [(0, 100.0)]})
    found = energy(study([], first, second, run(result(2, 0.4))), shelf)
    assert found is not None
    assert (found.kwh, found.trials) == (pytest.approx(0.1), 2)


def test_the_name_of_a_node_may_stand_before_the_gpus() -> None:
    metric = "system/node_3/gpu_7_power_usage_watts"
    found = energy(study([], powered(0, metric)), Shelf({("id-0", metric): [(0, 360.0)]}))
    assert found is not None
    assert found.kwh == pytest.approx(0.06)


@pytest.mark.parametrize(
    "unclear",
    [
        powered(0, POWER, "system/gpu_1_power_usage_watts"),
        powered(0, device="cpu"),
        powered(0, "system/gpu_0_power_usage_percentage"),
        powered(0, seconds=0.0),
        powered(0, state="failed"),
    ],
)
def test_a_trial_whose_gpu_is_not_clear_does_not_count(unclear: Run) -> None:
    shelf = Shelf({("id-0", metric): [(0, 300.0)] for metric in unclear.metrics})
    assert energy(study([], unclear), shelf) is None


def test_power_whose_history_is_gone_is_not_guessed() -> None:
    assert energy(study([], powered(0)), Shelf()) is None


@pytest.mark.parametrize(("option", "known"), [("--per-gpu 2", False), ("--per-gpu=12", False), ("--per-gpu 1", True)])
def test_trials_that_share_a_gpu_do_not_count(option: str, known: bool) -> None:
    evidence = study([], powered(0), command=f"{COMMAND} {option}")
    assert (energy(evidence, Shelf({("id-0", POWER): [(0, 300.0)]})) is not None) == known

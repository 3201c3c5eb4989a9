"""What the rules of advice ask of a study, and ranges, and how they are widened."""

from typing import Any

import pytest

from smart_tuner.report.case import describe_extent, double_budget, find_end, shift_range, widen_range
from smart_tuner.space.parameter import Parameter
from tests.support.cases import case, result


def parameter(name: str = "learning_rate", **changed: Any) -> Parameter:
    return Parameter(**{"name": f"hparams.{name}", "type": "float", "line": 0} | changed)


RATE = parameter(low=1e-3, high=1e-2, log=True)
BATCH = parameter("batch_size", type="categorical", choices=(8, 16, 32))


def test_the_trials_asked_for_are_those_of_the_command_line() -> None:
    lines = {"run.py --trials 12": 12, "run.py --trials=12 --data 'a --trials 99'": 12, "run.py --trials many": 0}
    for command, asked in {**lines, "run.py --data 'no end": 0, "": 0}.items():
        assert case([result(0)], command=command).asked == asked


@pytest.mark.parametrize(("budget", "expected"), [("300000utt", "600000utt"), ("1.5ep", "3ep"), ("0.25h", "0.5h")])
def test_a_budget_is_doubled_as_a_person_writes_it(budget: str, expected: str) -> None:
    assert double_budget(budget) == expected


@pytest.mark.parametrize(("value", "end"), [(1.05e-3, "low"), (9.5e-3, "high"), (3e-3, None)])
def test_a_value_within_a_twentieth_of_a_log_range_lies_at_its_end(value: float, end: str | None) -> None:
    # log(1.05)/log(10) = 0.021, log(9.5)/log(10) = 0.978
    assert find_end(RATE, value) == end
    assert find_end(parameter("use_guided_attn", type="categorical", choices=(True, False)), True) is None


@pytest.mark.parametrize(
    ("spec", "end", "expected"),
    [
        (RATE, "high", "low: 0.001, high: 0.03"),  # 0.01 * sqrt(10) = 0.0316
        (RATE, "low", "low: 0.0003, high: 0.01"),  # 0.001 / sqrt(10)
        (parameter("prenet_dropout", low=0.3, high=0.7), "high", "low: 0.3, high: 0.9"),
        (parameter("prenet_dropout", low=0.1, high=0.9), "high", "low: 0.1, high: 0.95"),  # the setting's own limit
        (parameter("batch_size", type="int", low=8, high=64, step=8), "high", "low: 8, high: 96"),  # 64 + 28: 3.5 steps
        (parameter("batch_size", type="int", low=16, high=128, log=True), "low", "low: 6, high: 128"),  # 16 / 2.83
        (parameter("grad_clip_thresh", low=1.0, high=1.3), "high", "low: 1, high: 1.5"),  # 1.45, in one digit no wider
        (BATCH, "high", "8, 16, 32, 64"),
        (BATCH, "low", "4, 8, 16, 32"),
        (parameter("reduction_factor", type="categorical", choices=(1, 2, 3)), "high", "1, 2, 3, 4"),
    ],
)
def test_a_range_grows_by_half_of_itself(spec: Parameter, end: Any, expected: str) -> None:
    assert widen_range(spec, end) == expected


def test_a_shifted_range_keeps_its_ratio() -> None:
    assert shift_range(RATE, 0.3) == "low: 0.0003, high: 0.003"
    assert (describe_extent(RATE), describe_extent(BATCH)) == ("0.001–0.01", "8, 16, 32")

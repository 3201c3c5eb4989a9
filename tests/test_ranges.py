"""Ranges, and how they are widened."""

from typing import Any

import pytest

from smart_tuner.report.advising.ranges import crowded, end_of, outermost, shifted, wider
from smart_tuner.space.space import Parameter


def parameter(name: str = "learning_rate", **changed: Any) -> Parameter:
    return Parameter(**{"name": f"hparams.{name}", "type": "float", "line": 0} | changed)


RATE = parameter(low=1e-3, high=1e-2, log=True)
BATCH = parameter("batch_size", type="categorical", choices=(8, 16, 32))


@pytest.mark.parametrize(("value", "end"), [(1.05e-3, "low"), (9.5e-3, "high"), (3e-3, None)])
def test_a_value_within_a_twentieth_of_a_log_range_lies_at_its_end(value: float, end: str | None) -> None:
    # log(1.05)/log(10) = 0.021, log(9.5)/log(10) = 0.978
    assert end_of(RATE, value) == end


def test_nothing_lies_at_an_end_that_cannot_be_moved() -> None:
    assert end_of(parameter("attention_dropout", low=0.0, high=0.4), 0.0) is None  # a dropout is 0 at least
    assert end_of(parameter("use_guided_attn", type="categorical", choices=(True, False)), True) is None


@pytest.mark.parametrize(
    ("one", "end", "expected"),
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
def test_a_range_grows_by_half_of_itself(one: Parameter, end: Any, expected: str) -> None:
    assert wider(one, end) == expected


def test_a_shifted_range_keeps_its_ratio() -> None:
    assert shifted(RATE, 0.3) == "low: 0.0003, high: 0.003"


def test_the_outermost_values_are_those_of_the_range_or_the_choices() -> None:
    mixed = parameter("batch_size", type="categorical", choices=(16, 8, 32))
    assert (outermost(mixed, "low"), outermost(mixed, "high"), outermost(RATE, "high")) == (8, 32, 1e-2)


def test_a_crowd_is_three_of_four_at_the_same_end() -> None:
    assert crowded(RATE, [1e-3, 1.01e-3, 1.02e-3, 5e-3], 0.75) == "low"
    assert crowded(RATE, [1e-3, 1.01e-3, 9.9e-3, 5e-3], 0.75) is None
    assert crowded(RATE, [], 0.75) is None

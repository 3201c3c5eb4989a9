"""Verdicts at the guide's thresholds and right beside them."""

from typing import Any

import pytest

from smart_tuner.report.evidence import Points, Run
from smart_tuner.report.judging.guide import course, overall, verdicts
from smart_tuner.report.view import Verdict
from tests.evidenced import english, result, run

A_BIT = 1e-6


def logged(**params: str) -> Run:
    return Run(name="mine", params={f"hparams.{name}": value for name, value in params.items()})


def measured(**metrics: float) -> dict[str, Verdict]:
    """Verdicts by metric on validation metrics."""
    found = verdicts(Run(name="mine", metrics={f"validation.{name}": value for name, value in metrics.items()}), {})
    return {one.metric.removeprefix("validation."): one for one in found}


def flat(value: float, count: int = 500) -> Points:
    return [(step, value) for step in range(1, count + 1)]


def trained(metric: str, points: Points, **params: str) -> Verdict | None:
    found = verdicts(logged(**params), {metric: points})
    return found[0] if found else None


def level(metric: str, points: Points, **params: str) -> str | None:
    found = trained(metric, points, **params)
    return found.level if found else None


@pytest.mark.parametrize(
    ("metric", "value", "expected"),
    [
        ("alignment_score", 0.5 + A_BIT, "good"),
        ("alignment_score", 0.5, "watch"),
        ("alignment_score", 0.3, "watch"),
        ("alignment_score", 0.3 - A_BIT, "sick"),
        ("attention_coverage", 0.8 + A_BIT, "good"),
        ("attention_coverage", 0.8, "watch"),
        ("attention_coverage", 0.0, "watch"),
        ("attention_spread", 0.95 + A_BIT, "good"),
        ("attention_spread", 0.95, "watch"),
        ("attention_spread", 0.0, "watch"),
        ("gate_mean", 0.3, "good"),
        ("gate_mean", 0.7, "good"),
        ("gate_mean", 0.3 - A_BIT, "watch"),
        ("gate_mean", 0.7 + A_BIT, "watch"),
        ("gate_mean", 0.1, "watch"),
        ("gate_mean", 0.9, "watch"),
        ("gate_mean", 0.1 - A_BIT, "sick"),
        ("gate_mean", 0.9 + A_BIT, "sick"),
        ("gate_std", 0.3 + A_BIT, "good"),
        ("gate_std", 0.3, "watch"),
        ("gate_std", 0.1, "watch"),
        ("gate_std", 0.1 - A_BIT, "sick"),
        ("freerun.failure_rate", 0.05, "good"),
        ("freerun.failure_rate", 0.05 + A_BIT, "watch"),
        ("freerun.failure_rate", 0.2, "watch"),
        ("freerun.failure_rate", 0.2 + A_BIT, "sick"),
    ],
)
def test_a_validation_metric_is_held_against_the_guides_thresholds(metric: str, value: float, expected: str) -> None:
    found = measured(**{metric: value})[metric]
    assert (found.level, found.value) == (expected, value)


@pytest.mark.parametrize(
    ("focus", "score", "expected"),
    [
        (0.8 + A_BIT, 0.5 + A_BIT, "good"),
        (0.8, 0.9, "watch"),
        (0.1, 0.9, "watch"),
        (0.95, 0.5, "watch"),
        (0.95, 0.3, "watch"),
        (0.95, 0.3 - A_BIT, "sick"),
        (0.8, 0.16, "watch"),
        (0.95, None, "watch"),
    ],
)
def test_a_sharp_attention_is_good_only_where_it_follows_the_text(
    focus: float, score: float | None, expected: str
) -> None:
    others = {} if score is None else {"alignment_score": score}
    assert measured(attention_focus=focus, **others)["attention_focus"].level == expected


@pytest.mark.parametrize(("cer", "expected"), [(0.4, "good"), (0.4 + A_BIT, "watch"), (1.0, "watch")])
def test_a_free_voice_is_understood_nearly_as_well_as_recordings(cer: float, expected: str) -> None:
    found = measured(**{"freerun.cer": cer, "freerun.cer_recorded": 0.3})
    assert found["freerun.cer"].level == expected


def test_an_attention_that_is_sharp_and_does_not_move_is_stuck() -> None:
    assert measured(attention_spread=0.05 - A_BIT, attention_focus=0.81)["attention_spread"].level == "sick"
    assert measured(attention_spread=0.05, attention_focus=0.81)["attention_spread"].level == "watch"
    assert measured(attention_spread=0.01, attention_focus=0.8)["attention_spread"].level == "watch"


def test_the_study_knows_the_best_validation_and_mlflow_the_last() -> None:
    trial = run(
        result(1, 3.0, metrics={"validation.gate_mean": 0.5}),
        metrics={"validation.gate_mean": 0.05, "validation.gate_std": 0.4},
    )
    found = {one.metric: one.value for one in verdicts(trial, {})}
    assert found == {"validation.gate_mean": 0.5, "validation.gate_std": 0.4}


def test_what_was_not_measured_or_is_not_finite_has_no_verdict() -> None:
    nan = run(result(1, 3.0, metrics={"validation.gate_mean": float("nan")}))
    assert verdicts(nan, {}) == ()
    assert measured(attention_entropy=0.9) == {}
    assert overall(()) is None


@pytest.mark.parametrize(("last", "expected"), [(2.0, "good"), (2.1, "good"), (2.1 + A_BIT, "watch"), (9.0, "watch")])
def test_a_loss_that_ended_above_its_lowest_is_to_be_watched(last: float, expected: str) -> None:
    found = verdicts(Run(name="mine", metrics={"validation.loss": last, "best.validation.loss": 2.0}), {})
    assert [(one.level, one.value) for one in found] == [(expected, last)]
    assert english(found[0].rule) == "the last one; good within 5 % of the lowest, 2.0000"
    assert verdicts(Run(name="mine", metrics={"validation.loss": last}), {}) == ()


@pytest.mark.parametrize(
    ("norm", "count", "expected"),
    [
        (5 - A_BIT, 500, "good"),
        (5, 500, "watch"),
        (10, 500, "watch"),
        (10 + A_BIT, 500, "sick"),
        (25, 99, "watch"),
        (25, 100, "sick"),
        (4, 99, "good"),
    ],
)
def test_large_gradients_are_sick_only_after_the_start(norm: float, count: int, expected: str) -> None:
    assert level("grad.norm", flat(norm, count)) == expected


def test_the_median_is_of_the_last_hundred_points_or_of_a_fifth() -> None:
    long = [*flat(50.0, 400), *((step, 1.0) for step in range(401, 501))]
    short = [*flat(50.0, 40), *((step, 1.0) for step in range(41, 51))]
    for points, of in ((long, 100), (short, 10)):
        assert (trained("grad.norm", points) or pytest.fail("no verdict")).value == 1.0
        passed = course(points[:-of])
        assert passed is not None
        assert passed.last == 50.0
    uneven = [*flat(9.0, 16), (17, 1.0), (18, 1.0), (19, 3.0), (20, 3.0)]
    assert (trained("grad.norm", uneven) or pytest.fail("no verdict")).value == 2.0
    spiked = [*flat(1.0, 460), *((step, 99.0) for step in range(461, 501))]
    assert level("grad.norm", spiked) == "good"


def test_a_series_of_less_than_ten_points_tells_nothing() -> None:
    assert level("grad.norm", flat(99.0, 9)) is None
    assert level("grad.norm", []) is None
    assert level("grad.norm", flat(1.0, 10)) == "good"
    assert level("grad.norm", [*flat(1.0, 9), (10, float("nan"))]) is None


def falling(first: float, last: float, between: float | None = None) -> Points:
    """A hundred points each: first, between, last."""
    values = [first] * 100 + [first if between is None else between] * 100 + [last] * 100
    return list(enumerate(values, start=1))


@pytest.mark.parametrize(
    ("points", "expected"),
    [
        (falling(8, 4), "good"),
        (falling(8, 8), "watch"),
        (falling(8, 4.8, 4), "good"),
        (falling(8, 4.8 + A_BIT, 4), "watch"),
        (falling(20, 12, 4), "watch"),
        (falling(20, 12 + A_BIT, 4), "sick"),
    ],
)
def test_the_training_loss_must_fall_and_stay_down(points: Points, expected: str) -> None:
    # windows of 300 // 5 = 60 from the end: last in 241..300, lowest in 121..180, first in 1..60
    assert level("training.loss", points) == expected


@pytest.mark.parametrize(
    ("first", "last", "expected"),
    [(0.6, 0.05 - A_BIT, "good"), (0.6, 0.05, "watch"), (0.6, 0.54, "watch"), (0.6, 0.54 + A_BIT, "sick")],
)
def test_the_guide_loss_must_fall_by_a_tenth(first: float, last: float, expected: str) -> None:
    assert level("training.guide_loss", falling(first, last), use_guided_attn="True") == expected


def test_guided_attention_that_is_not_used_has_no_verdict() -> None:
    assert level("training.guide_loss", flat(0.0)) is None
    assert level("training.guide_loss", flat(0.5), use_guided_attn="False") is None
    assert level("training.guide_loss", flat(0.5)) == "sick"


@pytest.mark.parametrize(
    ("value", "r", "expected"),
    [
        (0.2 - A_BIT, "1", "good"),
        (0.2, "1", "watch"),
        (1.0, "1", "watch"),
        (1.0 + A_BIT, "1", "sick"),
        (3.0, "3", "watch"),
        (0.1, "3", "good"),
        (3.0, "", "watch"),
    ],
)
def test_the_limit_of_the_attention_loss_holds_for_one_frame_a_step(value: float, r: str, expected: str) -> None:
    assert level("training.atten_loss", flat(value), reduction_factor=r) == expected


@pytest.mark.parametrize(("last", "expected"), [(1.0, "good"), (2.0, "good"), (2.0 + A_BIT, "watch"), (99, "watch")])
def test_iterations_that_take_twice_their_usual_time_are_to_be_watched(last: float, expected: str) -> None:
    found = trained("duration", falling(1.0, last))
    assert found is not None
    assert (found.level, found.value) == (expected, last)
    assert english(found.rule) == "median at the end; good up to 2 times the usual 1 s"


def test_the_worst_verdict_counts() -> None:
    assert overall(list(measured(alignment_score=0.9, gate_std=0.4).values())) == "good"
    assert overall(list(measured(alignment_score=0.9, gate_std=0.2).values())) == "watch"
    assert overall(list(measured(alignment_score=0.2, gate_std=0.2).values())) == "sick"


def test_each_verdict_says_its_threshold() -> None:
    shown: dict[str, Any] = {
        name: english(one.rule) for name, one in measured(alignment_score=0.4, gate_mean=0.2).items()
    }
    assert shown == {
        "alignment_score": "good above 0.5, sick below 0.3",
        "gate_mean": "good from 0.3 to 0.7, sick below 0.1 or above 0.9",
    }

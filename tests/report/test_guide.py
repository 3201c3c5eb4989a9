"""Verdicts at the guide's thresholds and right beside them."""

import pytest

from smart_tuner.report.evidence import Points, Run
from smart_tuner.report.guide import find_course, judge_run, worst_grade
from smart_tuner.report.view import GuideVerdict
from smart_tuner.settings.health import Health
from tests.support.evidenced import english, result, run

A_BIT = 1e-6
USUAL = Health()
STRICT = Health(
    formed_score=0.8,
    sharp_focus=0.5,
    stuck_spread=0.3,
    gate_low=0.35,
    gate_high=0.6,
    gate_spread=0.25,
    gradient_limit=6.0,
    loss_rise=0.05,
    loss_jump=1.5,
    guide_fall=0.5,
    duration_factor=1.5,
    rising_gain=0.01,
    training_window=50,
)


def measured(health: Health = USUAL, **metrics: float) -> dict[str, GuideVerdict]:
    """Verdicts by metric on validation metrics."""
    logged = Run(name="mine", metrics={f"validation.{name}": value for name, value in metrics.items()})
    return {verdict.metric.removeprefix("validation."): verdict for verdict in judge_run(logged, {}, health)}


def flat(value: float, count: int = 500) -> Points:
    return [(step, value) for step in range(1, count + 1)]


def falling(first: float, last: float, between: float | None = None) -> Points:
    """A hundred points each: first, between, last."""
    values = [first] * 100 + [first if between is None else between] * 100 + [last] * 100
    return list(enumerate(values, start=1))


def trained(metric: str, points: Points, health: Health = USUAL, **params: str) -> GuideVerdict | None:
    logged = Run(name="mine", params={f"hparams.{name}": value for name, value in params.items()})
    return next(iter(judge_run(logged, {metric: points}, health)), None)


def grade(metric: str, points: Points, health: Health = USUAL, **params: str) -> str | None:
    verdict = trained(metric, points, health, **params)
    return verdict.grade if verdict else None


# at the best validation


@pytest.mark.parametrize(
    ("metric", "grades"),
    [
        ("alignment_score", {0.3 - A_BIT: "sick", 0.3: "watch", 0.5: "watch", 0.5 + A_BIT: "good"}),
        ("attention_coverage", {0.0: "watch", 0.8: "watch", 0.8 + A_BIT: "good"}),
        ("attention_spread", {0.0: "watch", 0.95: "watch", 0.95 + A_BIT: "good"}),
        ("gate_mean", {0.1 - A_BIT: "sick", 0.1: "watch", 0.3 - A_BIT: "watch", 0.3: "good"}),
        ("gate_mean", {0.7: "good", 0.7 + A_BIT: "watch", 0.9: "watch", 0.9 + A_BIT: "sick"}),
        ("gate_std", {0.1 - A_BIT: "sick", 0.1: "watch", 0.3: "watch", 0.3 + A_BIT: "good"}),
        ("freerun.failure_rate", {0.05: "good", 0.05 + A_BIT: "watch", 0.2: "watch", 0.2 + A_BIT: "sick"}),
    ],
)
def test_a_validation_metric_is_held_against_the_guides_thresholds(metric: str, grades: dict[float, str]) -> None:
    for value, expected in grades.items():
        found = measured(**{metric: value})[metric]
        assert (found.grade, found.value) == (expected, value)


@pytest.mark.parametrize(
    ("focus", "score", "expected"),
    [
        (0.8 + A_BIT, 0.5 + A_BIT, "good"),
        (0.8, 0.9, "watch"),
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
    assert measured(attention_focus=focus, **others)["attention_focus"].grade == expected


def test_an_attention_that_is_sharp_and_does_not_move_is_stuck() -> None:
    assert measured(attention_spread=0.05 - A_BIT, attention_focus=0.81)["attention_spread"].grade == "sick"
    assert measured(attention_spread=0.05, attention_focus=0.81)["attention_spread"].grade == "watch"
    assert measured(attention_spread=0.01, attention_focus=0.8)["attention_spread"].grade == "watch"


@pytest.mark.parametrize(("cer", "expected"), [(0.4, "good"), (0.4 + A_BIT, "watch"), (1.0, "watch")])
def test_a_free_voice_is_understood_nearly_as_well_as_recordings(cer: float, expected: str) -> None:
    assert measured(**{"freerun.cer": cer, "freerun.cer_recorded": 0.3})["freerun.cer"].grade == expected


@pytest.mark.parametrize(("last", "expected"), [(2.0, "good"), (2.1, "good"), (2.1 + A_BIT, "watch"), (9.0, "watch")])
def test_a_loss_that_ended_above_its_lowest_is_to_be_watched(last: float, expected: str) -> None:
    (found,) = judge_run(Run(name="mine", metrics={"validation.loss": last, "best.validation.loss": 2.0}), {}, USUAL)
    assert (found.grade, found.value) == (expected, last)
    assert english(found.rule) == "the last one; good within 5 % of the lowest, 2.0000"
    assert judge_run(Run(name="mine", metrics={"validation.loss": last}), {}, USUAL) == ()


def test_the_study_knows_the_best_validation_and_mlflow_the_last() -> None:
    gate, spread = "validation.gate_mean", "validation.gate_std"
    trial = run(result(1, 3.0, metrics={gate: 0.5}), metrics={gate: 0.05, spread: 0.4})
    assert {verdict.metric: verdict.value for verdict in judge_run(trial, {}, USUAL)} == {gate: 0.5, spread: 0.4}
    assert judge_run(run(result(1, 3.0, metrics={gate: float("nan")})), {}, USUAL) == ()


def test_the_worst_verdict_counts_and_each_says_its_threshold() -> None:
    good, watch, sick = ({"gate_std": 0.4}, {"gate_std": 0.2}, {"gate_std": 0.2, "gate_mean": 0.0})
    assert [worst_grade([*measured(alignment_score=0.9, **more).values()]) for more in (good, watch, sick)] == [
        *("good", "watch", "sick")
    ]
    assert worst_grade(()) is None
    rules = {name: english(verdict.rule) for name, verdict in measured(alignment_score=0.4, gate_mean=0.2).items()}
    assert rules == {
        "alignment_score": "good above 0.5, sick below 0.3",
        "gate_mean": "good from 0.3 to 0.7, sick below 0.1 or above 0.9",
    }


# over the training


@pytest.mark.parametrize(
    ("count", "grades"),
    [
        (500, {5 - A_BIT: "good", 5: "watch", 10: "watch", 10 + A_BIT: "sick"}),
        (100, {25: "sick"}),
        (99, {25: "watch", 4: "good"}),
    ],
)
def test_large_gradients_are_sick_only_after_the_start(count: int, grades: dict[float, str]) -> None:
    for norm, expected in grades.items():
        assert grade("grad.norm", flat(norm, count)) == expected


def test_the_median_is_of_the_last_hundred_points_or_of_a_fifth() -> None:
    long = [*flat(50.0, 400), *((step, 1.0) for step in range(401, 501))]
    short = [*flat(50.0, 40), *((step, 1.0) for step in range(41, 51))]
    for points, of in ((long, 100), (short, 10)):
        assert (trained("grad.norm", points) or pytest.fail("no verdict")).value == 1.0
        assert (find_course(points[:-of], 100) or pytest.fail("no course")).last == 50.0
    uneven = [*flat(9.0, 16), (17, 1.0), (18, 1.0), (19, 3.0), (20, 3.0)]
    assert (trained("grad.norm", uneven) or pytest.fail("no verdict")).value == 2.0
    assert grade("grad.norm", [*flat(1.0, 460), *((step, 99.0) for step in range(461, 501))]) == "good"


def test_a_series_of_less_than_ten_points_tells_nothing() -> None:
    assert grade("grad.norm", flat(99.0, 9)) is grade("grad.norm", []) is None
    assert grade("grad.norm", flat(1.0, 10)) == "good"
    assert grade("grad.norm", [*flat(1.0, 9), (10, float("nan"))]) is None


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
    assert grade("training.loss", points) == expected


def test_the_guide_loss_must_fall_by_a_tenth_where_guided_attention_is_used() -> None:
    for last, expected in {0.05 - A_BIT: "good", 0.05: "watch", 0.54: "watch", 0.54 + A_BIT: "sick"}.items():
        assert grade("training.guide_loss", falling(0.6, last), use_guided_attn="True") == expected
    assert grade("training.guide_loss", flat(0.0)) is None
    assert grade("training.guide_loss", flat(0.5), use_guided_attn="False") is None
    assert grade("training.guide_loss", flat(0.5)) == "sick"


@pytest.mark.parametrize(
    ("r", "grades"),
    [
        ("1", {0.2 - A_BIT: "good", 0.2: "watch", 1.0: "watch", 1.0 + A_BIT: "sick"}),
        ("3", {0.1: "good", 3.0: "watch"}),
        ("", {3.0: "watch"}),
    ],
)
def test_the_limit_of_the_attention_loss_holds_for_one_frame_a_step(r: str, grades: dict[float, str]) -> None:
    for value, expected in grades.items():
        assert grade("training.atten_loss", flat(value), reduction_factor=r) == expected


@pytest.mark.parametrize(("last", "expected"), [(1.0, "good"), (2.0, "good"), (2.0 + A_BIT, "watch"), (99, "watch")])
def test_iterations_that_take_twice_their_usual_time_are_to_be_watched(last: float, expected: str) -> None:
    found = trained("duration", falling(1.0, last)) or pytest.fail("no verdict")
    assert (found.grade, found.value) == (expected, last)
    assert english(found.rule) == "median at the end; good up to 2 times the usual 1 s"


# the study's own thresholds


@pytest.mark.parametrize(
    ("metrics", "usual", "strict"),
    [
        ({"alignment_score": 0.7}, "good", "watch"),
        ({"attention_focus": 0.6, "alignment_score": 0.1}, "watch", "sick"),
        ({"attention_spread": 0.2, "attention_focus": 0.9}, "watch", "sick"),
        ({"gate_mean": 0.3}, "good", "sick"),
        ({"gate_mean": 0.65}, "good", "sick"),
        ({"gate_std": 0.2}, "watch", "sick"),
    ],
)
def test_thresholds_are_those_of_the_studys_own_health_rules(
    metrics: dict[str, float], usual: str, strict: str
) -> None:
    name = next(iter(metrics))
    assert (measured(**metrics)[name].grade, measured(STRICT, **metrics)[name].grade) == (usual, strict)


@pytest.mark.parametrize(
    ("metric", "points", "usual", "strict"),
    [
        ("grad.norm", flat(8.0), "watch", "sick"),
        ("training.loss", falling(8, 4.4, 4), "good", "watch"),
        ("training.loss", falling(8, 7, 4), "watch", "sick"),
        ("training.guide_loss", falling(0.6, 0.4), "watch", "sick"),
        ("duration", falling(1.0, 1.8), "good", "watch"),
    ],
)
def test_so_are_those_over_the_training(metric: str, points: Points, usual: str, strict: str) -> None:
    assert (grade(metric, points), grade(metric, points, STRICT)) == (usual, strict)
    ended = Run(name="mine", metrics={"validation.loss": 1.03, "best.validation.loss": 1.0})
    assert [judge_run(ended, {}, health)[0].grade for health in (USUAL, STRICT)] == ["good", "watch"]

"""Sick trainings are stopped by the right rule, healthy ones are left alone; all told as plain numbers."""

import dataclasses
import math
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from smart_tuner.errors import Verdict
from smart_tuner.health.rules import RULES
from smart_tuner.health.watch import Watch
from smart_tuner.progress import Progress
from smart_tuner.settings.health import Health
from smart_tuner.settings.hparams import Hparams
from smart_tuner.settings.settings import Settings, load_settings

DEMO = load_settings("demo", None, [])
BATCH = DEMO.hparams.batch_size
Curve = Callable[[int], float | None]

HEALTHY: dict[str, Curve] = {
    "training.loss": lambda step: 3 + 9 * math.exp(-step / 60) + step % 3,
    "training.guide_loss": lambda step: 0.01 + 0.57 * math.exp(-step / 20),
    "grad.norm": lambda step: 25 if step < 25 or step % 20 == 0 else 2,
    "training.gate_loss": lambda step: 0.05 + 0.7 * math.exp(-step / 100),
    "learning.rate": lambda step: DEMO.hparams.learning_rate * (1 - step / 400),
    "duration": lambda step: 0.5 + 0.1 * (step % 4),
    "validation.loss": lambda step: 3 + 6 * math.exp(-step / 80),
    "validation.alignment_score": lambda step: 0.28 if step < 50 else 0.98,
    "validation.attention_focus": lambda step: 0.02 if step < 50 else 0.8 + step / 4000,
    "validation.attention_entropy": lambda step: 1.0 if step < 50 else 0.1,
    "validation.attention_spread": lambda step: 0.0 if step < 50 else 0.97,
    "validation.gate_mean": lambda step: 0.4 - 0.4 * math.exp(-step / 80),
    "validation.gate_std": lambda step: 0.4 - 0.4 * math.exp(-step / 80),
}
"""The demo preset as it trains: the loss falls by fits and starts, grad.norm begins high and has its peaks."""


def told(curves: dict[str, Curve], iterations: int, every: int = 25, batch: int = BATCH) -> Iterator[Progress]:
    """What a training tells whose metrics follow these curves, the healthy ones where none is given."""
    curves = {**HEALTHY, **curves}
    for step in range(1, iterations + 1):
        values = {name: value for name, curve in curves.items() if (value := curve(step)) is not None}
        for kind in ("training", "validation") if step % every == 0 else ("training",):
            mine = {name: value for name, value in values.items() if name.startswith("validation") == (kind[0] == "v")}
            place = {"step": step, "utterances": step * batch, "fraction": step / iterations}
            yield Progress(kind=kind, metrics=mine, **place)  # type: ignore[arg-type]


def verdicts(
    curves: dict[str, Curve], iterations: int = 400, health: Health = DEMO.health, **hparams: Any
) -> list[Verdict]:
    watch = Watch(health, dataclasses.replace(DEMO.hparams, **hparams))
    return [verdict for progress in told(curves, iterations) for verdict in watch.judge(progress)]


def stops(curves: dict[str, Curve], iterations: int = 400, **given: Any) -> list[tuple[str, int]]:
    """Rule and iteration of every stop."""
    return [(one.rule, one.step) for one in verdicts(curves, iterations, **given) if one.level == "stop"]


def jump(to: float, at: int = 100, until: int = 10**9, name: str = "training.loss") -> Curve:
    return lambda step: to if at < step <= until else HEALTHY[name](step)


NO_ATTENTION: dict[str, Curve] = {
    "validation.alignment_score": lambda _: 0.28,
    "validation.attention_entropy": lambda _: 0.99,
    "validation.attention_focus": lambda _: 0.03,
}
DEAD_GATE: dict[str, Curve] = {"training.gate_loss": lambda _: 0.5}
SICK: dict[str, tuple[dict[str, Curve], int]] = {
    "exploding_gradients": ({"grad.norm": lambda step: 11, "training.loss": lambda step: 10 + step / 5}, 40),
    "loss_jump": ({"training.loss": jump(30)}, 110),
    "validation_rising": ({"validation.loss": lambda step: 4 + abs(step - 150) / 100}, 225),
    "attention_late": (NO_ATTENTION, 100),
    "attention_stuck": (
        {
            "validation.alignment_score": lambda _: 0.16,
            "validation.attention_focus": lambda _: 0.95,
            "validation.attention_spread": lambda _: 0.01,
        },
        75,
    ),
    "attention_off_diagonal": (
        {"validation.alignment_score": lambda _: 0.49, "validation.attention_focus": lambda _: 0.98},
        75,
    ),
    "attention_collapsed": ({"validation.alignment_score": lambda step: 0.6 if step > 150 else 0.98}, 200),
    "guide_not_falling": ({**NO_ATTENTION, "training.guide_loss": lambda _: 0.57}, 75),
    "gate_never": ({"validation.gate_mean": lambda _: 0.001, "validation.gate_std": lambda _: 0.001} | DEAD_GATE, 100),
    "gate_always": ({"validation.gate_mean": lambda _: 0.999, "validation.gate_std": lambda _: 0.001} | DEAD_GATE, 100),
    "gate_flat": ({"validation.gate_mean": lambda _: 0.4, "validation.gate_std": lambda _: 0.05} | DEAD_GATE, 100),
}
"""Curves of a sick training, and the iteration at which the rule stops it."""


def test_a_healthy_training_with_high_gradients_at_the_start_and_spikes_is_left_alone() -> None:
    told_of = verdicts({})
    assert [(one.level, one.rule, one.step) for one in told_of] == [("note", "attention_formed", 50)]


@pytest.mark.parametrize("rule", SICK)
def test_a_sick_training_is_stopped_by_its_rule_at_once(rule: str) -> None:
    curves, step = SICK[rule]
    assert stops(curves)[0] == (rule, step)


@pytest.mark.parametrize("rule", SICK)
def test_a_rule_stops_once_and_nothing_is_said_twice(rule: str) -> None:
    said = [(one.rule, one.level) for one in verdicts(SICK[rule][0])]
    assert len(said) == len(set(said))


def test_every_rule_that_stops_is_tried_here() -> None:
    assert set(RULES) - set(SICK) == {"non_finite", "validation_flat", "attention_formed", "duration_growing"}


def swinging(low: float, high: float) -> Curve:
    """High at every second validation."""
    return lambda step: high if step % 50 == 0 else low


ALL_BUT_SICK: dict[str, dict[str, Curve]] = {
    "large gradients while the loss falls": {"grad.norm": lambda _: 30},
    "huge gradients while the loss falls": {"grad.norm": lambda step: 500 if step % 4 == 0 else 2},
    "a few spikes while the loss rises": {
        "grad.norm": lambda step: 500 if step % 7 == 0 else 2,
        "training.loss": lambda step: 8 + step / 50,
    },
    "a loss that jumps and comes back": {"training.loss": jump(40, at=100, until=109)},
    "a loss that doubles": {"training.loss": jump(11)},
    "a validation loss that swings": {"validation.loss": swinging(4, 5)},
    "a validation loss a little above its best": {"validation.loss": lambda step: 4 if step < 200 else 4.15},
    "a validation loss that jumped and is coming down": {
        "validation.loss": lambda step: 4 if step <= 100 else 8 - step / 100
    },
    "a flat end": {"validation.loss": lambda step: max(3.5, 6 - step / 100)},
    "a sharp attention that moves": {"validation.attention_focus": lambda _: 0.99},
    "an even attention that does not move": {"validation.attention_spread": lambda _: 0.0}
    | NO_ATTENTION
    | {"validation.alignment_score": lambda step: 0.28 if step < 100 else 0.9},
    "an attention off the diagonal that is getting there": {
        "validation.alignment_score": lambda step: 0.4 + step / 1000,
        "validation.attention_focus": lambda _: 0.9,
    },
    "a blurred attention off the diagonal": {
        "validation.alignment_score": lambda _: 0.49,
        "validation.attention_focus": lambda _: 0.7,
    },
    "a score that falls before there is any attention": NO_ATTENTION
    | {"validation.alignment_score": lambda step: 0.45 if step < 150 else 0.15},
    "a guide that asks too much of an attention that is there": {"training.guide_loss": lambda _: 0.57},
    "an attention that is lost at one validation": {
        "validation.alignment_score": lambda step: 0.3 if step == 150 else 0.98
    },
    "an attention a little worse than its best": {
        "validation.alignment_score": lambda step: 0.98 if step < 150 else 0.75
    },
    "a gate whose spread rises": DEAD_GATE
    | {"validation.gate_mean": lambda step: step / 5000, "validation.gate_std": lambda step: step / 2000},
    "a gate whose loss falls": {"validation.gate_mean": lambda _: 0.05, "validation.gate_std": lambda _: 0.02},
    "a gate that is silent until the attention has formed": DEAD_GATE
    | {
        "validation.gate_mean": lambda step: 0.0 if step <= 75 else 0.3,
        "validation.gate_std": lambda step: 0.0 if step <= 75 else 0.3,
    },
    "a slow machine": {"duration": lambda step: 0.5 if step < 300 else 5},
}


@pytest.mark.parametrize("name", ALL_BUT_SICK)
def test_what_only_looks_sick_is_not_stopped(name: str) -> None:
    assert stops(ALL_BUT_SICK[name]) == []


SILENCED = {
    "exploding_gradients": {"gradient_limit": 12.0},
    "loss_jump": {"loss_jump": 20.0},
    "validation_rising": {"rising_gain": 1.0},
    "attention_late": {"attention_deadline": 10**6},
    "attention_stuck": {"stuck_spread": 0.005, "guide_deadline": 10**6, "diagonal_score": 0.1},
    "attention_off_diagonal": {"diagonal_score": 0.4},
    "attention_collapsed": {"collapse_drop": 0.5},
    "guide_not_falling": {"guide_fall": 0.0},
    "gate_never": {"gate_low": 0.0, "gate_spread": 0.0},
    "gate_always": {"gate_high": 1.0, "gate_spread": 0.0},
    "gate_flat": {"gate_spread": 0.01},
}


@pytest.mark.parametrize("rule", SICK)
def test_each_threshold_is_a_setting(rule: str) -> None:
    health = dataclasses.replace(DEMO.health, **SILENCED[rule])
    assert rule not in [stopped for stopped, _ in stops(SICK[rule][0], health=health)]


LATER: dict[str, tuple[dict[str, Any], int]] = {
    "exploding_gradients": ({"gradient_warmup": 60}, 80),
    "loss_jump": ({"training_window": 40}, 121),
    "validation_rising": ({"rising_validations": 5}, 275),
    "attention_late": ({"attention_deadline": 3200, "guide_deadline": 10**6}, 200),
    "attention_stuck": ({"sharp_warmup": 100 * BATCH, "guide_deadline": 10**6}, 150),
    "attention_off_diagonal": ({"diagonal_validations": 5}, 125),
    "attention_collapsed": ({"collapse_validations": 4}, 250),
    "guide_not_falling": ({"guide_deadline": 1500, "attention_deadline": 10**6}, 100),
    "gate_never": ({"gate_warmup": 100 * BATCH}, 200),
    "gate_always": ({"gate_validations": 5}, 150),
    "gate_flat": ({"gate_validations": 6}, 175),
}


@pytest.mark.parametrize("rule", SICK)
def test_each_warm_up_and_window_is_a_setting(rule: str) -> None:
    changes, step = LATER[rule]
    assert (rule, step) in stops(SICK[rule][0], health=dataclasses.replace(DEMO.health, **changes))


def test_the_warm_up_of_the_learning_rate_counts_too() -> None:
    assert ("exploding_gradients", 120) in stops(SICK["exploding_gradients"][0], warmup_iterations=100)


def test_spikes_explode_as_a_large_median_does() -> None:
    curves: dict[str, Curve] = {"grad.norm": lambda step: 500 if step % 5 == 0 else 2, "training.loss": lambda s: s / 5}
    assert stops(curves)[0] == ("exploding_gradients", 40)


def test_large_gradients_alone_are_warned_of_once() -> None:
    warned = [(one.level, one.rule, one.step) for one in verdicts({"grad.norm": lambda _: 30}) if one.level == "warn"]
    assert warned == [("warn", "exploding_gradients", 40)]


def test_the_deadline_of_the_attention_moves_once_when_it_is_on_its_way() -> None:
    rising = NO_ATTENTION | {"validation.alignment_score": lambda step: min(0.34, 0.26 + step / 1500)}
    assert [(one.level, one.step) for one in verdicts(rising) if one.rule == "attention_late"] == [
        ("note", 100),
        ("stop", 200),
    ]
    sharper = NO_ATTENTION | {"validation.attention_entropy": lambda step: 1 - step / 1000}
    assert ("attention_late", 200) in stops(sharper)


def test_an_attention_that_forms_within_the_moved_deadline_is_left_alone() -> None:
    late = {"validation.alignment_score": lambda step: 0.25 + step / 2000 if step < 190 else 0.9}
    assert stops(NO_ATTENTION | late) == []


def test_a_single_validation_says_nothing_about_the_way() -> None:
    watch = Watch(DEMO.health, DEMO.hparams)
    levels = [one.level for progress in told(NO_ATTENTION, 300, every=100) for one in watch.judge(progress)]
    assert levels == ["note", "stop"], "one at the deadline, one after the moved deadline"


PUBLISHED = Settings()


def late_stops(hparams: Hparams) -> list[tuple[str, int]]:
    """Stops of a published-size training without attention, told every 100 iterations of 32 utterances."""
    watch, curves = Watch(PUBLISHED.health, hparams), {**NO_ATTENTION, "training.guide_loss": lambda _: None}
    told_of = (progress for progress in told(curves, 13_000, every=100, batch=32) if progress.kind == "validation")
    return [(one.rule, one.utterances) for progress in told_of for one in watch.judge(progress) if one.level == "stop"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("help_given", "deadline"),
    [
        ({"use_guided_attn": True}, 102_400),
        ({"forward_sum_weight": 0.1}, 102_400),
        ({"reduction_factor": 2}, 102_400),
        ({}, 400_000),
    ],
)
def test_the_published_model_has_longer_without_help(help_given: dict[str, Any], deadline: int) -> None:
    hparams = dataclasses.replace(PUBLISHED.hparams, **{"use_guided_attn": False, **help_given})
    assert late_stops(hparams) == [("attention_late", deadline)]


def test_the_guide_is_not_asked_for_when_it_is_not_used() -> None:
    curves = {**SICK["guide_not_falling"][0], "training.guide_loss": lambda _: 0.0}
    assert "guide_not_falling" not in dict(stops(curves, use_guided_attn=False))


def test_a_flat_validation_loss_is_warned_of_while_the_learning_rate_is_high() -> None:
    flat: dict[str, Curve] = {"validation.loss": lambda step: max(4.0, 6 - step / 30)}
    assert [one.step for one in verdicts(flat) if one.rule == "validation_flat"] == [175]
    late: dict[str, Curve] = {"validation.loss": lambda step: max(3.5, 6 - step / 100)}
    assert not [one for one in verdicts(late) if one.rule == "validation_flat"]


def test_a_flat_validation_loss_before_the_attention_forms_is_no_news() -> None:
    curves = NO_ATTENTION | {"validation.loss": lambda _: 6.0}
    assert "validation_flat" not in [one.rule for one in verdicts(curves)]


def test_slower_iterations_are_warned_of_and_blamed_on_the_machine() -> None:
    [slow] = [one for one in verdicts(ALL_BUT_SICK["a slow machine"]) if one.rule == "duration_growing"]
    assert (slow.level, slow.step, slow.observed) == ("warn", 325, {"duration": 5})
    assert "machine" in slow.sentence


SCHEDULE = "2@3200"
"""From iteration 201 on."""


@pytest.mark.parametrize(
    "curves",
    [
        {"duration": lambda step: 0.5 if step <= 200 else 1.5},
        {"training.loss": jump(30, at=200), "grad.norm": lambda step: 2},
        {"validation.loss": lambda step: 6 - step / 100 if step <= 200 else 4.6 - (step - 200) / 1500},
        {"validation.alignment_score": lambda step: 0.98 if step <= 200 else 0.6},
    ],
)
def test_what_a_smaller_r_changes_is_no_symptom(curves: dict[str, Curve]) -> None:
    assert [one.rule for one in verdicts(curves) if one.level != "note"]
    assert [one.rule for one in verdicts(curves, reduction_schedule=SCHEDULE) if one.level != "note"] == []


def test_a_training_is_judged_after_a_change_of_r_too() -> None:
    curves = SICK["attention_collapsed"][0] | {"validation.alignment_score": lambda step: 0.6 if step > 300 else 0.98}
    assert stops(curves, reduction_schedule=SCHEDULE) == [("attention_collapsed", 350)]


def test_the_usual_pace_is_that_of_full_windows() -> None:
    watch, curve = Watch(DEMO.health, DEMO.hparams), {"duration": lambda step: 0.5 if step <= 31 else 5}
    said = [one.rule for progress in told(curve, 60, every=15) for one in watch.judge(progress)]
    assert "duration_growing" not in said, "0.5 at 30 and 5 at 45: which is the usual one?"


def test_an_outlier_of_a_batch_or_a_value_that_is_missing_decides_nothing() -> None:
    gaps = {name: lambda step, curve=curve: None if step % 50 == 0 else curve(step) for name, curve in HEALTHY.items()}
    assert stops(gaps | {"training.loss": lambda step: 900 if step % 3 == 0 else 5}) == []


@pytest.mark.parametrize("rule", SICK)
def test_nothing_is_judged_when_the_watch_is_off(rule: str) -> None:
    assert verdicts(SICK[rule][0], health=dataclasses.replace(DEMO.health, enabled=False)) == []


@pytest.mark.parametrize("rule", SICK)
def test_a_verdict_says_what_was_seen_beyond_what_in_which_window_and_what_helps(rule: str) -> None:
    stop = next(one for one in verdicts(SICK[rule][0]) if (one.level, one.rule) == ("stop", rule))
    assert stop.sentence.startswith(f"Stopped at iteration {stop.step}: ")
    assert stop.sentence.endswith(f". {RULES[rule].remedy}")
    assert (stop.kind, stop.utterances) == ("health", stop.step * BATCH)
    assert stop.threshold and stop.window  # noqa: PT018
    assert set(stop.limits) <= set(stop.observed) <= set(HEALTHY)
    below = {"validation.alignment_score", "validation.attention_spread", "validation.gate_std"}
    for metric, limit in stop.limits.items():
        low = metric in below or rule == "gate_never"
        assert (stop.observed[metric] < limit) == low, metric


def test_a_verdict_has_threshold_and_window_in_words_and_the_metrics_that_decided() -> None:
    stop = next(one for one in verdicts(SICK["loss_jump"][0]) if one.level == "stop")
    assert (stop.threshold, stop.window) == ("median training.loss > 3 times its lowest", "20 iterations")
    assert stop.series == ("training.loss",)


def test_a_note_gives_no_advice() -> None:
    assert [one.sentence for one in verdicts({})] == [
        "At iteration 50: the attention has formed after 800 utterances (alignment_score 0.98)."
    ]


# what is judged


def test_validations_between_the_regular_ones_fill_no_window() -> None:
    watch = Watch(DEMO.health, DEMO.hparams)
    rising = {"validation.loss": lambda step: 4.0 if step <= 100 else 8.0}
    levels = [one.level for progress in told(rising, 160, every=10) for one in watch.judge(progress)]
    assert "stop" not in levels, "after 100, only those at 125 and 150 are regular; three are needed"


def test_what_would_stop_a_training_that_has_ended_is_a_warning() -> None:
    (stopped,) = (one for one in verdicts(NO_ATTENTION, 400) if one.rule == "attention_late")
    (warned,) = (one for one in verdicts(NO_ATTENTION, stopped.step) if one.rule == "attention_late")
    assert (stopped.level, warned.level, warned.step) == ("stop", "warn", stopped.step)

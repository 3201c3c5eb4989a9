"""After a stop the next attempt changes what the rule's table says, and nothing else, until nothing is left."""

from typing import Any

import pytest

from smart_tuner.health.rules import RULES, nothing_left, repair
from smart_tuner.settings.hparams import Hparams
from smart_tuner.settings.settings import Settings

REPAIRED = [name for name, rule in RULES.items() if rule.repairs]
ROLL_BACK = {"loss_jump", "attention_collapsed"}


def changes(rule: str, attempt: int = 1, **hparams: Any) -> dict[str, Any]:
    """The hyperparameters that the next attempt changes, with their new values; empty when nothing is left."""
    made = repair(rule, Hparams(**hparams), attempt)
    return made.changes if made is not None else {}


def test_every_rule_that_stops_a_trial_has_repairs() -> None:
    assert [name for name, rule in RULES.items() if rule.meaning] == REPAIRED


@pytest.mark.parametrize("rule", REPAIRED)
def test_attempts_end(rule: str) -> None:
    settings, told = Settings().replace(use_guided_attn=False), []
    for attempt in range(1, 10):
        made = repair(rule, settings.hparams, attempt)
        if made is None:
            break
        told.append(made.change)
        settings = settings.replace(**made.changes)
    assert 1 <= len(told) == attempt - 1 <= 5
    assert len(set(told)) == len(told), "each attempt is another one"


@pytest.mark.parametrize(
    ("rule", "attempt", "hparams", "changed"),
    [
        ("non_finite", 1, {"fp16_run": True}, {"fp16_run": False}),
        ("non_finite", 1, {}, {"learning_rate": 3e-4}),
        ("non_finite", 2, {"fp16_run": True}, {"learning_rate": 3e-4}),
        ("exploding_gradients", 1, {}, {"learning_rate": 3e-4}),
        ("exploding_gradients", 2, {}, {"grad_clip_thresh": 0.25}),
        ("exploding_gradients", 2, {"grad_clip_thresh": 0.2}, {"learning_rate": 3e-4}),
        ("loss_jump", 1, {"learning_rate": 0.02}, {"learning_rate": 0.006}),
        ("validation_rising", 1, {}, {"attention_dropout": 0.3, "decoder_dropout": 0.3}),
        ("validation_rising", 2, {}, {"weight_decay": 1e-5}),
        ("validation_rising", 2, {"weight_decay": 5e-5}, {"weight_decay": 1e-4}),
        (
            "validation_rising",
            3,
            {"attention_dropout": 0.3, "decoder_dropout": 0.4},
            {"attention_dropout": 0.5, "decoder_dropout": 0.5},
        ),
        ("validation_rising", 1, {"decoder_dropout": 0.9, "prenet_dropout": 0.1, "postnet_dropout": 0.0},
         {"attention_dropout": 0.3, "prenet_dropout": 0.5, "postnet_dropout": 0.5}),
        ("attention_late", 1, {"use_guided_attn": False}, {"use_guided_attn": True}),
        ("attention_late", 1, {"learning_rate": 2e-5}, {"learning_rate": 3e-4}),
        ("attention_late", 1, {}, {"reduction_factor": 2}),
        ("attention_late", 3, {"reduction_factor": 2}, {"reduction_factor": 3}),
        ("attention_late", 3, {"reduction_factor": 3}, {"forward_sum_weight": 0.1}),
        ("attention_late", 5, {"guide_weight": 5.0}, {"guide_weight": 10.0}),
        ("attention_stuck", 1, {}, {"learning_rate": 3e-4}),
        ("attention_stuck", 2, {}, {"reduction_factor": 2}),
        ("attention_off_diagonal", 1, {"use_guided_attn": False}, {"use_guided_attn": True}),
        ("attention_off_diagonal", 1, {}, {"guide_weight": 3.0}),
        ("attention_collapsed", 1, {}, {"learning_rate": 3e-4}),
        ("guide_not_falling", 1, {"learning_rate": 2e-5, "final_learning_rate": 1e-5}, {"learning_rate": 3e-4}),
        ("guide_not_falling", 2, {}, {"guide_weight": 3.0}),
        ("guide_not_falling", 2, {"use_guided_attn": False}, {"reduction_factor": 2}),
        ("gate_never", 1, {}, {"gate_positive_weight": 10.0}),
        ("gate_never", 2, {"gate_positive_weight": 15.0}, {"gate_positive_weight": 20.0}),
        ("gate_never", 2, {"gate_positive_weight": 20.0}, {"gate_weight": 3.0}),
        ("gate_always", 1, {}, {"gate_positive_weight": 2.5}),
        ("gate_always", 1, {"gate_positive_weight": 1.5}, {"gate_positive_weight": 1.0}),
        ("gate_always", 1, {"gate_positive_weight": 1.0}, {"gate_weight": 3.0}),
        ("gate_flat", 1, {"gate_weight": 4.0}, {"gate_weight": 10.0}),
        ("attention_off_diagonal", 1, {"guide_weight": 10.0}, {}),
        ("attention_off_diagonal", 1, {"guide_weight": 20.0}, {}),
        ("gate_never", 3, {"gate_positive_weight": 50.0, "gate_weight": 50.0}, {}),
        ("exploding_gradients", 4, {}, {}),
        ("duration_growing", 1, {}, {}),
        ("asha", 1, {}, {}),
    ],
)  # fmt: skip
def test_a_rule_changes_what_its_table_says(
    rule: str, attempt: int, hparams: dict[str, Any], changed: dict[str, Any]
) -> None:
    assert changes(rule, attempt, **hparams) == changed


def test_the_schedule_never_ends_above_its_peak() -> None:
    changed = changes("loss_jump", learning_rate=2e-5, final_learning_rate=1e-5)
    assert changed == {"learning_rate": 6e-6, "final_learning_rate": 6e-6}


def test_a_rate_that_learns_nothing_is_not_tried() -> None:
    assert changes("loss_jump", learning_rate=3e-6, final_learning_rate=1e-6) == {"grad_clip_thresh": 0.25}


@pytest.mark.parametrize("rule", REPAIRED)
def test_a_model_that_was_good_and_was_lost_goes_on_from_its_best_checkpoint(rule: str) -> None:
    made = repair(rule, Hparams(), 1)
    assert made is not None
    assert made.roll_back == (rule in ROLL_BACK)


@pytest.mark.parametrize("rule", sorted(ROLL_BACK))
def test_a_checkpoint_that_is_gone_on_from_fits_the_model(rule: str) -> None:
    settings = Settings().replace(use_guided_attn=False)
    for attempt in range(1, len(RULES[rule].repairs) + 1):
        repaired = settings.replace(**changes(rule, attempt, use_guided_attn=False))
        assert repaired != settings
        assert repaired.sizes(30) == settings.sizes(30)


@pytest.mark.parametrize(
    ("rule", "hparams", "sentence"),
    [
        ("gate_never", {}, "hparams.gate_positive_weight from 5 to 10"),
        ("non_finite", {"fp16_run": True}, "hparams.fp16_run from true to false"),
        (
            "loss_jump",
            {"learning_rate": 2e-5},
            "hparams.learning_rate from 2e-05 to 6e-06, hparams.final_learning_rate from 1e-05 to 6e-06",
        ),
    ],
)
def test_a_change_is_told_with_the_value_before_and_now(rule: str, hparams: dict[str, Any], sentence: str) -> None:
    made = repair(rule, Hparams(**hparams), 1)
    assert made is not None
    assert made.change == sentence


@pytest.mark.parametrize(
    ("rule", "reason"),
    [
        ("gate_never", "tried, or is set already"),
        ("attention_off_diagonal", "compare some texts with their recordings"),
        ("duration_growing", "it is the machine"),
        ("asha", "it is no health rule"),
    ],
)
def test_when_nothing_is_left_the_user_is_told_why(rule: str, reason: str) -> None:
    assert f"after {rule}: " in nothing_left(rule)
    assert reason in nothing_left(rule)

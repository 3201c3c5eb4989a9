"""Repairs: the steps that rules.py lists after each rule, each a change of some hyperparameters."""

from typing import Any

from smart_tuner.settings.hparams import Hparams

LOWEST_RATE = 1e-6
"""A lower learning rate learns nothing."""


def lower_rate(hparams: Hparams) -> dict[str, Any]:
    """Three tenths of the learning rate, and a schedule that ends no higher."""
    rate = float(f"{0.3 * hparams.learning_rate:.3g}")  # as a person would write it
    if rate < LOWEST_RATE:
        return {}
    return {"learning_rate": rate, "final_learning_rate": min(hparams.final_learning_rate, rate)}


def raise_rate(hparams: Hparams) -> dict[str, Any]:
    """A rate too low to learn from scratch is brought to the low end of what published trainings use, 1e-4 to 2e-3."""
    return {"learning_rate": 3e-4} if hparams.learning_rate < 1e-4 else {}


def fitting_rate(hparams: Hparams) -> dict[str, Any]:
    """A rate too low to learn from scratch is raised, any other lowered."""
    return raise_rate(hparams) or lower_rate(hparams)


def clip_more(hparams: Hparams) -> dict[str, Any]:
    """Gradients scaled down to a quarter."""
    return {"grad_clip_thresh": 0.25} if hparams.grad_clip_thresh > 0.25 else {}


def full_precision(hparams: Hparams) -> dict[str, Any]:
    """fp32 instead of bf16 or fp16."""
    return {"fp16_run": False} if hparams.fp16_run else {}


def guide(hparams: Hparams) -> dict[str, Any]:
    """Guided attention."""
    return {} if hparams.use_guided_attn else {"use_guided_attn": True}


def guide_more(hparams: Hparams) -> dict[str, Any]:
    """Three times the weight of guided attention, at most 10."""
    heavier = min(10.0, 3 * hparams.guide_weight)
    return {"guide_weight": heavier} if hparams.use_guided_attn and heavier > hparams.guide_weight else {}


def forward_sum(hparams: Hparams) -> dict[str, Any]:
    """The forward-sum loss."""
    return {} if hparams.forward_sum_weight else {"forward_sum_weight": 0.1}


def larger_steps(hparams: Hparams) -> dict[str, Any]:
    """One more mel frame in a decoder step, at most 3."""
    return {"reduction_factor": hparams.reduction_factor + 1} if hparams.reduction_factor < 3 else {}


def heavier_stop(hparams: Hparams) -> dict[str, Any]:
    """Twice the weight of the stop frame, at most 20."""
    heavier = min(20.0, 2 * hparams.gate_positive_weight)
    return {"gate_positive_weight": heavier} if heavier > hparams.gate_positive_weight else {}


def lighter_stop(hparams: Hparams) -> dict[str, Any]:
    """Half the weight of the stop frame, at least 1."""
    lighter = max(1.0, hparams.gate_positive_weight / 2)
    return {"gate_positive_weight": lighter} if lighter < hparams.gate_positive_weight else {}


def heavier_gate(hparams: Hparams) -> dict[str, Any]:
    """Three times the weight of the gate loss, at most 10."""
    heavier = min(10.0, 3 * hparams.gate_weight)
    return {"gate_weight": heavier} if heavier > hparams.gate_weight else {}


def more_dropout(hparams: Hparams) -> dict[str, Any]:
    """More dropout on both LSTMs, first 0.3 and then 0.5, and the published 0.5 around them."""
    recurrent = 0.3 if min(hparams.attention_dropout, hparams.decoder_dropout) < 0.3 else 0.5
    wanted = {
        "attention_dropout": recurrent,
        "decoder_dropout": recurrent,
        "prenet_dropout": 0.5,
        "encoder_dropout": 0.5,
        "postnet_dropout": 0.5,
    }
    return {name: value for name, value in wanted.items() if value > getattr(hparams, name)}


def more_decay(hparams: Hparams) -> dict[str, Any]:
    """Ten times the weight decay, between 1e-5 and 1e-4."""
    decay = min(1e-4, max(1e-5, 10 * hparams.weight_decay))
    return {"weight_decay": decay} if decay > hparams.weight_decay else {}

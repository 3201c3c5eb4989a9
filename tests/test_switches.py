"""Every hyperparameter does something: a training with another value of it tells other numbers."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from model.sizes import Architecture
from smart_tuner.settings import Hparams
from tests import small

OTHER: dict[str, tuple[dict[str, Any], Any]] = {
    "learning_rate": ({}, 2e-2),
    "batch_size": ({}, 3),
    "budget": ({}, "8it"),
    "seed": ({}, 5),
    "accumulation": ({}, 2),
    "optimizer": ({"weight_decay": 0.1}, "adamw"),
    "schedule": ({}, "constant"),
    "warmup_iterations": ({}, 4),
    "final_learning_rate": ({}, 5e-3),
    "weight_decay": ({}, 0.1),
    "adam_eps": ({}, 1e-2),
    "ema_decay": ({}, 0.5),
    "grad_clip_thresh": ({}, 1e-3),
    "reduction_factor": ({}, 2),
    "reduction_schedule": ({"reduction_factor": 2}, "1@8"),
    "attention_kind": ({}, "dynamic"),
    "use_guided_attn": ({}, False),
    "guide_weight": ({}, 2.0),
    "guide_sigma": ({}, 0.4),
    "forward_sum_weight": ({}, 1.0),
    "gate_weight": ({}, 2.0),
    "gate_positive_weight": ({}, 2.0),
    "use_mmi": ({}, True),
    "max_gaf": ({"use_mmi": True}, 1e-3),
    "drop_frame_rate": ({}, 0.5),
    "use_gst": ({}, True),
    "prenet_dropout": ({}, 0.1),
    "encoder_dropout": ({}, 0.1),
    "attention_dropout": ({}, 0.5),
    "decoder_dropout": ({}, 0.5),
    "attention_zoneout": ({}, 0.5),
    "decoder_zoneout": ({}, 0.5),
    "postnet_dropout": ({}, 0.1),
    "validation_freq": ({}, 2),
}
"""By hyperparameter, settings in which it acts, and another value of it."""
ELSEWHERE = {
    "fp16_run": "acts on a GPU alone: test_trainer",
    "guide_anneal": "acts once the attention has formed: test_trainer",
    "stress_masking": "acts on texts with stress marks: test_batches",
    "validation_utterances": "acts when the corpus is split: test_corpus",
}


def told(folder: Path, **hparams: Any) -> list[dict[str, Any]]:
    return small.lines(small.trainer(folder, **hparams).steps())


def test_every_hyperparameter_is_here() -> None:
    assert {one.name for one in dataclasses.fields(Hparams)} == set(OTHER) | set(ELSEWHERE)


@pytest.mark.parametrize("name", OTHER)
def test_another_value_changes_the_training(name: str, tmp_path: Path) -> None:
    base, value = OTHER[name]
    other, own = told(tmp_path, **base, **{name: value}), told(tmp_path, **base)
    for one in other:
        one["metrics"].pop("training.parts", None)  # says the setting again
    assert other != own


@pytest.mark.parametrize("kind", ["location", "dynamic", "forward"])
def test_each_attention_kind_is_another(kind: str, tmp_path: Path) -> None:
    others = {"location", "dynamic", "forward"} - {kind}
    assert all(told(tmp_path, attention_kind=kind) != told(tmp_path, attention_kind=other) for other in sorted(others))


@pytest.mark.parametrize("schedule", ["constant", "step", "exponential", "cosine"])
def test_each_schedule_is_another(schedule: str, tmp_path: Path) -> None:
    others = {"constant", "step", "exponential", "cosine"} - {schedule}
    assert all(told(tmp_path, schedule=schedule) != told(tmp_path, schedule=other) for other in sorted(others))


@pytest.mark.parametrize(("name", "value"), [("style_tokens", 3), ("style_heads", 2), ("style_dim", 12)])
def test_the_sizes_of_the_style_change_the_training(name: str, value: int, tmp_path: Path) -> None:
    small_style = {**small.WIDTHS, "style_tokens": 4, "style_heads": 4, "style_dim": 8}
    base = dataclasses.replace(small.settings(use_gst=True), model=Architecture(**small_style))
    other = dataclasses.replace(base, model=dataclasses.replace(base.model, **{name: value}))
    assert small.lines(small.trainer(tmp_path, other).steps()) != small.lines(small.trainer(tmp_path, base).steps())

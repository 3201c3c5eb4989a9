"""Every hyperparameter does something: a training with another value of it tells other numbers."""

import dataclasses
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from model.sizes import Architecture
from smart_tuner.settings.hparams import Hparams
from tests.support import small

pytestmark = pytest.mark.slow  # trains with each

OTHER: dict[str, tuple[dict[str, Any], Any]] = {
    "learning_rate": ({}, 2e-2),
    "batch_size": ({}, 3),
    "budget": ({}, "5it"),
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
    "validation_freq": ({}, 1),
}
"""By hyperparameter, settings in which it acts, and another value of it."""
ELSEWHERE = {
    "fp16_run": "acts on a GPU alone: test_optimisation",
    "tf32_run": "acts on a GPU alone: test_optimisation",
    "decoder_loop": "changes rounding and time alone: test_trainer",
    "guide_anneal": "acts once the attention has formed: test_trainer",
    "stress_masking": "acts on texts with stress marks: test_batches",
    "validation_utterances": "acts when the corpus is split: test_corpus",
}


Told = list[dict[str, Any]]


@pytest.fixture(scope="module")
def tell(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Told]:
    """What a training of four iterations tells with some hyperparameters; each is done once."""
    folder, known = tmp_path_factory.mktemp("switches"), dict[str, Told]()

    def train(**hparams: Any) -> Told:
        name = repr(sorted(hparams.items()))
        if name not in known:
            known[name] = small.lines(small.trainer(folder, **{"budget": "4it", **hparams}).steps())
            for one in known[name]:
                one["metrics"].pop("training.parts", None)  # says a setting again
        return known[name]

    return train


def test_every_hyperparameter_is_here() -> None:
    assert {one.name for one in dataclasses.fields(Hparams)} == set(OTHER) | set(ELSEWHERE)


@pytest.mark.parametrize("name", OTHER)
def test_another_value_changes_the_training(name: str, tell: Callable[..., Told]) -> None:
    base, value = OTHER[name]
    assert tell(**base, **{name: value}) != tell(**base)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("attention_kind", ["location", "dynamic", "forward"]),
        ("schedule", ["constant", "step", "exponential", "cosine"]),
    ],
)
def test_each_choice_is_another(name: str, values: list[str], tell: Callable[..., Told]) -> None:
    for one, other in itertools.combinations(values, 2):
        assert tell(**{name: one}) != tell(**{name: other}), (one, other)


@pytest.mark.parametrize(("name", "value"), [("style_tokens", 3), ("style_heads", 2), ("style_dim", 12)])
def test_the_sizes_of_the_style_change_the_training(name: str, value: int, tmp_path: Path) -> None:
    small_style = {**small.WIDTHS, "style_tokens": 4, "style_heads": 4, "style_dim": 8}
    base = dataclasses.replace(small.settings(use_gst=True, budget="2it"), model=Architecture(**small_style))
    other = dataclasses.replace(base, model=dataclasses.replace(base.model, **{name: value}))
    assert small.lines(small.trainer(tmp_path, other).steps()) != small.lines(small.trainer(tmp_path, base).steps())

"""Validation: the same utterances, measured by the contract whatever the training is."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from smart_tuner.evaluation.validation import summarise_validation
from tests.support import small


def test_texts_narrower_than_the_band_do_not_enter_the_alignment_score_unless_all_are() -> None:
    columns = {"alignment_score": torch.tensor([1.0, 0.5]), "gate_first": torch.tensor([0.4, 0.6])}
    columns["gate_second"] = torch.tensor([0.4, 0.5])
    mixed = summarise_validation({**columns, "tokens": torch.tensor([19, 20])})
    short = summarise_validation({**columns, "tokens": torch.tensor([19, 19])})
    assert mixed["validation.alignment_score"] == 0.5
    assert short["validation.alignment_score"] == 0.75
    assert mixed["validation.gate_mean"] == pytest.approx(0.5)
    assert mixed["validation.gate_std"] == pytest.approx(math.sqrt(0.45 - 0.25))


def test_an_exhibit_is_the_shown_utterance_without_padding(tmp_path: Path) -> None:
    trainer = small.trainer(tmp_path, reduction_factor=2)
    list(trainer.steps())
    exhibit = trainer.validation.exhibit
    assert exhibit is not None
    shown = next(example for example in trainer.validation.examples if example.name == exhibit.name)
    np.testing.assert_array_equal(exhibit.target_MF, np.load(shown.mel))
    assert exhibit.predicted_MF.shape == (small.MELS, shown.frames)
    assert exhibit.attention_TN.shape == (-(-shown.frames // 2), len(shown.tokens))
    assert exhibit.attention_TN.sum(1) == pytest.approx(1.0, abs=1e-5)
    assert 0 < exhibit.gate_T.min() <= exhibit.gate_T.max() < 1


def test_validation_values_repeat_whatever_the_training_batch_size(tmp_path: Path) -> None:
    def measured(batch_size: int) -> list[dict[str, float]]:
        trainer = small.trainer(tmp_path, batch_size=batch_size)
        torch.rand(batch_size)
        metrics = [trainer._validate().metrics for _ in range(2)]
        return [{name: value for name, value in one.items() if name != "validation.step"} for one in metrics]

    first, second = measured(2)
    assert [first, second] == measured(7)
    assert first == second


def test_tunable_weights_do_not_enter_validation(tmp_path: Path) -> None:
    plain = small.trainer(tmp_path)
    weighted = small.trainer(tmp_path, gate_weight=9.0, gate_positive_weight=50.0, guide_weight=7.0)
    assert plain._validate().metrics == weighted._validate().metrics

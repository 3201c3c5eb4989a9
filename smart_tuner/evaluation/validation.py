"""Validation: the same utterances every time, in eval mode and fp32, measured by the metrics contract."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model import alignment
from model.lengths import decoder_steps
from model.losses import gate_losses, taco_losses
from model.prediction import Network, Prediction
from smart_tuner.evaluation.frozen import frozen
from smart_tuner.speech.batches import Batch, Example, load_batches, validation_batches
from smart_tuner.trial import Exhibit

EACH = ("tokens", "loss", "alignment_score")
"""What is kept of each utterance."""
FEWEST_TOKENS = 20
"""Shorter texts are narrower than the alignment score's band."""


class Validation:
    """A fixed choice of utterances, and how a model does on them."""

    def __init__(self, examples: Sequence[Example], reduction_factor: int) -> None:
        self.examples, self.reduction_factor = examples, reduction_factor
        self.plan = validation_batches(examples)
        order = [index for batch in self.plan for index in batch]
        self.shown = order[len(order) * 3 // 4]  # longer than three quarters of them, so that it shows something
        self.exhibit: Exhibit | None = None
        self.utterances: list[dict[str, str | float]] = []
        """Name, tokens, loss and alignment_score of each, as the last validation measured them."""

    @torch.no_grad()
    def run(self, model: Network, device: torch.device) -> dict[str, float]:
        """The validation.* metrics of a model, teacher-forced; keeps the exhibit and what each utterance came to."""
        columns = []
        with frozen(model, device):
            for indices, batch in zip(self.plan, load_batches(self.examples, self.plan, device), strict=True):
                predicted = model(batch.tokens_BN, batch.tokens_B, batch.mels_BMF, batch.frames_B)
                columns.append(measure(predicted, batch, self.reduction_factor))
                if self.shown in indices:
                    self.exhibit = self._keep(predicted, batch, indices.index(self.shown))
        whole = {name: torch.cat([column[name] for column in columns]) for name in columns[0]}
        self.utterances = self._each(whole)
        return summarise_validation(whole)

    def _each(self, columns: dict[str, Tensor]) -> list[dict[str, str | float]]:
        measured = [columns[name].tolist() for name in EACH]
        names = [self.examples[index].name for batch in self.plan for index in batch]
        rows = zip(names, *measured, strict=True)
        return [{"name": name, **dict(zip(EACH, values, strict=True))} for name, *values in rows]

    def _keep(self, predicted: Prediction, batch: Batch, row: int) -> Exhibit:
        example = self.examples[self.shown]
        tokens, frames = len(example.tokens), example.frames
        steps = -(-frames // self.reduction_factor)

        def array(tensor: Tensor) -> NDArray[np.float32]:
            return tensor.float().cpu().numpy()

        return Exhibit(
            name=example.name,
            tokens=example.tokens,
            target_MF=array(batch.mels_BMF[row, :, :frames]),
            predicted_MF=array(predicted.refined_BMF[row, :, :frames]),
            gate_T=array(predicted.gate_BT[row, :steps].sigmoid()),
            attention_TN=array(predicted.attention_BTN[row, :steps, :tokens]),
        )


def measure(predicted: Prediction, batch: Batch, r: int) -> dict[str, Tensor]:
    """What validation needs of each utterance: columns of shape (B,)."""
    tokens_B, steps_B, attention = batch.tokens_B, decoder_steps(batch.frames_B, r), predicted.attention_BTN
    first, second = alignment.gate_moments(predicted.gate_BT, steps_B)
    return {
        "loss": taco_losses(predicted, batch.mels_BMF, batch.frames_B) + gate_losses(predicted.gate_BT, steps_B, 1.0),
        "alignment_score": alignment.alignment_score(attention, steps_B, tokens_B),
        "attention_entropy": alignment.attention_entropy(attention, steps_B, tokens_B),
        "attention_focus": alignment.attention_focus(attention, steps_B),
        "attention_coverage": alignment.attention_coverage(attention, steps_B, tokens_B),
        "attention_spread": alignment.attention_spread(attention, steps_B, tokens_B),
        "gate_first": first,
        "gate_second": second,
        "tokens": tokens_B,
    }


def summarise_validation(columns: dict[str, Tensor]) -> dict[str, float]:
    """Validation metrics from each utterance's columns (B,), by the contract."""
    long_enough = columns.pop("tokens") >= FEWEST_TOKENS
    if long_enough.any():
        columns["alignment_score"] = columns["alignment_score"][long_enough]
    mean = {name: column.double().mean().item() for name, column in columns.items()}
    gate_mean, second = mean.pop("gate_first"), mean.pop("gate_second")
    mean |= {"gate_mean": gate_mean, "gate_std": math.sqrt(max(0.0, second - gate_mean**2))}
    return {f"validation.{name}": value for name, value in mean.items()}

"""Progress: what a training reports while it runs, as plain data; and the fixed metric names."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

Report = Callable[[int, int], None]
"""How preparations tell how far they are: called with things done and things to do."""

TRAINING_METRICS = (
    "training.loss",
    "training.taco_loss",
    "training.atten_loss",
    "training.mi_loss",
    "training.guide_loss",
    "training.gate_loss",
    "training.emb_loss",
    "grad.norm",
    "learning.rate",
    "duration",
    "epoch",
    "iteration",
)
"""Logged at every training iteration (docs/metrics.md)."""

VALIDATION_METRICS = (
    "validation.loss",
    "validation.alignment_score",
    "validation.attention_entropy",
    "validation.attention_focus",
    "validation.gate_mean",
    "validation.gate_std",
    "validation.step",
)
"""Logged at every validation."""


@dataclass(frozen=True, kw_only=True)
class Progress:
    """One training iteration or one validation. Every value is finite."""

    kind: Literal["training", "validation"]
    step: int
    """Training iterations so far, this one included."""
    utterances: int
    """Utterances seen so far: what trials with different batch sizes are compared at."""
    fraction: float
    """Share of the budget that is used, 0 to 1."""
    metrics: dict[str, float]

    def fixed(self) -> dict[str, float]:
        """The metrics of the contract alone, without the extra ones."""
        names = TRAINING_METRICS if self.kind == "training" else VALIDATION_METRICS
        return {name: self.metrics[name] for name in names if name in self.metrics}

"""Progress: what a training reports while it runs, as plain data; and the fixed metric names."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

Origin = Literal["baseline", "sampled", "replicate", "repaired", "retried", "warm-start"]
"""Why a trial exists. warm-start: another study trained it; it teaches the sampler and counts for nothing else."""
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

LOSS, NORM, GUIDE, DURATION = "training.loss", "grad.norm", "training.guide_loss", "duration"
GATE_LOSS = "training.gate_loss"
VALIDATION_LOSS, SCORE, FOCUS = "validation.loss", "validation.alignment_score", "validation.attention_focus"
ENTROPY, SPREAD = "validation.attention_entropy", "validation.attention_spread"
GATE_MEAN, GATE_STD = "validation.gate_mean", "validation.gate_std"
"""Those that something is decided by."""


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


@dataclass(frozen=True)
class Entry:
    """A Progress and when it was made."""

    progress: Progress
    milliseconds: int
    """Unix time."""

"""Where a training is, as its checkpoint keeps it, and the decisions that follow from its numbers alone."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from smart_tuner.errors import TrialStopped, UtteranceTooLargeError, Verdict

PLATEAU_PATIENCE, PLATEAU_GAIN = 5, 0.01
"""A plateau: so many validations without such a gain of validation.loss."""
OVERFLOW_WINDOW, OVERFLOW_SHARE = 200, 0.05
"""fp16 is given up when more than this share of so many steps overflow; finding the loss scale costs a few."""


@dataclass(kw_only=True)
class TrainState:
    """All that a training must know beside tensors to go on."""

    iteration: int = 0
    utterances: int = 0
    epoch: int = 0
    batch: int = 0
    """Batches of this epoch that are done."""
    validations: int = 0
    validated_at: int = 0
    """Iteration of the last validation."""
    best_loss: float = math.inf
    best_step: int = 0
    seconds: float = 0.0
    """Training time so far, earlier sessions included."""
    parts: int = 1
    """Parts in which a batch goes through the network: hparams.accumulation, or more after the GPU was full."""
    skipped: int = 0
    """Optimizer steps that were left out because a loss or gradient was not finite."""
    skipped_at: list[int] = field(default_factory=list)
    """Iterations of those in the last OVERFLOW_WINDOW."""
    overflowed: bool = False
    """fp16 was given up."""
    formed: int = 0
    """Regular validations in a row with a formed attention."""
    plateau_loss: float = math.inf
    """The validation.loss that the next must be below by PLATEAU_GAIN."""
    plateau_waited: int = 0
    """Regular validations since."""
    plateaus: int = 0
    """Plateaus so far: each lowers the rate of the plateau schedule."""
    freeruns: int = 0
    """Free-running evaluations."""
    freerun_next: float = 0.0
    """Share of the budget from which the next one is due."""

    @classmethod
    def from_kept(cls, kept: Mapping[str, Any]) -> "TrainState":
        """What a checkpoint keeps of it. Raises TypeError or ValueError for what no training was ever at."""
        state = cls(**kept)
        for spec in fields(cls):
            value, usual = getattr(state, spec.name), getattr(cls(), spec.name)
            if type(value) is not type(usual):
                raise TypeError(f"train_state.{spec.name} is {value!r}, not {type(usual).__name__}")
            if any(type(number) is not int for number in value) if isinstance(value, list) else value != value:
                raise ValueError(f"train_state.{spec.name} is {value!r}")
            if isinstance(value, int) and not 0 <= value < 2**62:
                raise ValueError(f"train_state.{spec.name} is {value}")
        return state

    def add_validation(self, loss: float, *, formed: bool) -> None:
        """What a regular validation changes; those at marks change nothing, for marks are the study's affair."""
        self.formed = self.formed + 1 if formed else 0
        if not self.formed:  # before the attention the loss hardly falls, whatever the rate is
            self.plateau_loss, self.plateau_waited = min(loss, self.plateau_loss), 0
        elif loss < self.plateau_loss * (1 - PLATEAU_GAIN):
            self.plateau_loss, self.plateau_waited = loss, 0
        else:
            self.plateau_waited += 1
            if self.plateau_waited == PLATEAU_PATIENCE:
                self.plateau_waited, self.plateaus = 0, self.plateaus + 1

    def freerun_is_due(self, used: float, count: int, *, formed: bool) -> bool:
        """Whether the next of count evaluations is, with this share of the budget used; if so, it is counted.

        They begin where the attention has formed and are spread evenly to the end, where one is due in any case.
        """
        early = formed and self.freeruns < count - 1 and used >= self.freerun_next
        if count == 0 or not (early or used >= 1):
            return False
        self.freeruns += 1
        self.freerun_next = used + (1 - used) / max(1, count - self.freeruns)
        return True

    def take_smaller_parts(self, batch_size: int, problem: RuntimeError) -> None:
        """Twice as many parts, after the GPU was full. Raises UtteranceTooLargeError for single utterances."""
        if self.parts >= batch_size:
            raise UtteranceTooLargeError(
                f"The device has no memory for a single utterance (hparams.batch_size {batch_size} in as many parts);"
                f" leave the longest out, or make the network smaller. ({problem})"
            ) from problem
        self.parts = min(2 * self.parts, batch_size)

    def skip_unless_finite(self, loss: float, norm: float, *, scaled: bool) -> None:
        """Count a step that will not be taken, an fp16 overflow of a scaled loss; raise TrialStopped for any other."""
        if math.isfinite(loss) and math.isfinite(norm):
            return
        step = self.iteration + 1
        self.skipped += 1
        # a window of steps, or a long training would collect its way to giving fp16 up
        self.skipped_at = [earlier for earlier in self.skipped_at if earlier > step - OVERFLOW_WINDOW] + [step]
        # fp16's scale was too large; the scaler lowers it and leaves the step out
        if math.isfinite(loss) and scaled:
            return
        what = "the training loss" if not math.isfinite(loss) else "the gradient norm"
        sentence = f"Stopped at iteration {step}: {what} is not finite (loss {loss:g}, gradient norm {norm:g}); "
        sentence += "no optimizer step was taken on it. A lower learning rate is the usual remedy."
        raise self.not_finite(sentence, step, {"training.loss": loss, "grad.norm": norm})

    def overflows(self) -> bool:
        """Whether fp16 is to be given up."""
        return len(self.skipped_at) > OVERFLOW_SHARE * OVERFLOW_WINDOW

    def not_finite(self, sentence: str, step: int, observed: dict[str, float]) -> TrialStopped:
        """The stop on a value that is not finite."""
        return TrialStopped(
            Verdict(
                rule="non_finite",
                sentence=sentence,
                step=step,
                utterances=self.utterances,
                observed=observed,
                threshold="not finite",
                window="at once",
            )
        )

    def note(self, rule: str, what: str) -> Verdict:
        """What the training has changed by itself after this iteration."""
        sentence = f"After iteration {self.iteration}: {what}."
        return Verdict(level="note", rule=rule, sentence=sentence, step=self.iteration, utterances=self.utterances)

"""The training loop. It yields Progress and knows neither MLflow nor Optuna; whoever iterates decides when to stop."""

import math
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from model.losses import LossWeights, training_losses
from model.tacotron2 import Tacotron2
from smart_tuner import checkpoint
from smart_tuner.errors import CheckpointError, OutOfMemoryError, SettingsError, TrialStopped
from smart_tuner.progress import Progress
from smart_tuner.settings import Hparams, Settings
from smart_tuner.speech.batches import Batch, Example, fill_ratio, load, plan_epoch
from smart_tuner.validation import Validation, frozen

MOST_SKIPPED_IN_A_ROW = 30
"""fp16 only: so many overflows in a row are no search for the loss scale any more (2 ** 30 from the first scale)."""


@dataclass(kw_only=True)
class Position:
    """Where a training is: all that a checkpoint must know beside tensors."""

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
    skipped: int = 0
    """Optimizer steps that fp16 overflows left out."""
    skipped_in_a_row: int = 0


def choose_device(name: str) -> torch.device:
    """auto: the first GPU if there is one. Raises SettingsError for a GPU that is not there."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    index = int(name.partition(":")[2] or 0)
    if name.startswith("cuda") and index >= torch.cuda.device_count():
        raise SettingsError(
            f"--device {name}: torch sees {torch.cuda.device_count()} CUDA device(s) here; auto or cpu always work."
        )
    return torch.device("cpu") if name == "cpu" else torch.device("cuda", index)


def choose_precision(device: torch.device, asked: bool) -> torch.dtype:
    """Mixed precision where it was asked for and the device has it: bf16 before fp16."""
    if not asked or device.type != "cuda":
        return torch.float32
    return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16


def learning_rate(hparams: Hparams, iteration: int, used: float) -> float:
    """The rate of an iteration (from 1), with this share of the budget used before it."""
    peak, final = hparams.learning_rate, hparams.final_learning_rate
    if iteration <= hparams.warmup_iterations:
        return peak * iteration / hparams.warmup_iterations
    if hparams.schedule == "cosine":
        return final + (peak - final) * 0.5 * (1 + math.cos(math.pi * used))
    if hparams.schedule == "exponential":
        return peak * math.pow(final / peak, max(0.0, 2 * used - 1))
    return peak


class Trainer:
    """Trains one Tacotron 2. `for progress in trainer.steps()` is the whole of its use."""

    def __init__(
        self,
        settings: Settings,
        train: list[Example],
        validation: list[Example],
        symbols: tuple[str, ...],
        mean_mel: NDArray[np.float32],
        device: torch.device,
        folder: Path,
        marks: tuple[int, ...] = (),
    ) -> None:
        hparams = settings.hparams
        self.marks = marks
        self.settings, self.hparams, self.symbols, self.device, self.folder = settings, hparams, symbols, device, folder
        self.train, self.validation = train, Validation(validation, hparams.reduction_factor)
        self.frames = [example.frames for example in train]
        torch.manual_seed(hparams.seed)
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        self.model = Tacotron2(settings.sizes(len(symbols)))
        self.model.set_mean_mel(torch.from_numpy(mean_mel))
        self.model.to(device)
        self.precision = choose_precision(device, hparams.fp16_run)
        self.scaler = torch.amp.GradScaler(device.type, enabled=self.precision is torch.float16)
        self.optimizer = torch.optim.Adam(
            self.model.parameters(),
            lr=hparams.learning_rate,
            weight_decay=hparams.weight_decay,
            eps=hparams.adam_eps,
            fused=device.type == "cuda",
        )
        self.weights = LossWeights(
            gate=hparams.gate_weight,
            gate_positive=hparams.gate_positive_weight,
            guide=hparams.guide_weight if hparams.use_guided_attn else 0.0,
            guide_sigma=hparams.guide_sigma,
            forward_sum=hparams.forward_sum_weight,
        )
        self.epoch_iterations = len(train) // hparams.batch_size
        self.iterations = settings.budget.iterations(hparams.batch_size, self.epoch_iterations)
        self.position = Position()
        self._best: checkpoint.Snapshot | None = None
        self._saved_at = self._ticked_at = time.perf_counter()

    def steps(self) -> Iterator[Progress]:
        """Train until the budget is spent; one Progress an iteration and one a validation, at the marks too.

        Between two of them the training may be saved and left. Raises TrialStopped before the optimizer would take a
        step on a loss or gradient that is not finite, OutOfMemoryError when the device is full.
        """
        position, parameters = self.position, list(self.model.parameters())
        batches = self._batches()
        self._ticked_at = time.perf_counter()
        while True:
            # once in a while: validate, and keep what was learned
            if self._validation_is_due():
                yield self._validate()
                if time.perf_counter() - self._saved_at >= self.settings.tracking.checkpoint_seconds:
                    self.save()
                self._tick()
            if self.used() >= 1:
                self.save()
                return

            with out_of_memory_is_a_fault(self.hparams):
                batch = next(batches)
                rate = learning_rate(self.hparams, position.iteration + 1, self.used())
                for group in self.optimizer.param_groups:
                    group["lr"] = rate
                with self._autocast():
                    predicted = self.model(batch.tokens_BN, batch.tokens_B, batch.mels_BMF, batch.frames_B)
                r = self.hparams.reduction_factor
                losses = training_losses(
                    predicted, batch.tokens_B, batch.mels_BMF, batch.frames_B, r=r, weights=self.weights
                )
                self.scaler.scale(losses["loss"]).backward()
                self.scaler.unscale_(self.optimizer)
                norm = nn.utils.clip_grad_norm_(parameters, self.hparams.grad_clip_thresh)

                # here the iteration waits for the device: one transfer for all that is logged
                frames, norm_value, *values = torch.stack([batch.frames_B.sum(), norm, *losses.values()]).tolist()
                self._stop_unless_finite(values[0], norm_value)
                self.scaler.step(self.optimizer)  # skips the step after an fp16 overflow
                self.scaler.update()
                self.optimizer.zero_grad(set_to_none=True)

            position.iteration += 1
            position.utterances += len(batch)
            duration = self._tick()
            metrics = {f"training.{name}": value for name, value in zip(losses, values, strict=True)}
            metrics |= {"grad.norm": norm_value, "learning.rate": rate, "duration": duration}
            metrics |= {"epoch": float(position.epoch + 1), "iteration": float(position.iteration)}
            metrics |= {"training.frames_per_second": frames / duration}
            yield self._progress("training", metrics)

    def used(self) -> float:
        """Share of the budget that is spent, 0 to 1."""
        if self.iterations is not None:
            return min(1.0, self.position.iteration / self.iterations)
        seconds = self.settings.budget.seconds
        assert seconds is not None  # a budget counts either iterations or seconds
        return min(1.0, self.position.seconds / seconds)

    def planned_epochs(self) -> float | None:
        """Epochs that the budget spans, or None when it is wall time."""
        return None if self.iterations is None else self.iterations / self.epoch_iterations

    def save(self) -> None:
        """Write the best and the last checkpoint. Raises CheckpointError; earlier files survive."""
        self.save_best()
        checkpoint.write(self.folder / checkpoint.LAST, self._snapshot())
        self._saved_at = time.perf_counter()

    def save_best(self) -> None:
        """Write the best checkpoint, if it is not on disk yet. Raises CheckpointError."""
        if self._best is not None:
            checkpoint.write(self.folder / checkpoint.BEST, self._best)
            self._best = None

    def restore(self) -> None:
        """Go on from the last checkpoint. Raises CheckpointError."""
        snapshot = checkpoint.read(self.folder / checkpoint.LAST)
        if tuple(snapshot["symbols"]) != self.symbols:
            raise CheckpointError(f"The checkpoint {self.folder / checkpoint.LAST} was made with another symbol table.")
        self.model.load_state_dict(snapshot["state_dict"])
        self.optimizer.load_state_dict(snapshot["optimizer"])
        if snapshot["scaler"]:  # empty when made without fp16
            self.scaler.load_state_dict(snapshot["scaler"])
        self.position = Position(**snapshot["position"])
        torch.set_rng_state(snapshot["rng"]["cpu"])
        if self.device.type == "cuda" and snapshot["rng"]["cuda"] is not None:  # None when made on a CPU
            torch.cuda.set_rng_state(snapshot["rng"]["cuda"], self.device)

    def start_from(self, path: Path) -> None:
        """Begin with the weights of a checkpoint, and nothing else of it. Raises CheckpointError."""
        snapshot = checkpoint.read(path)
        if tuple(snapshot["symbols"]) != self.symbols:
            raise CheckpointError(f"The checkpoint {path} was made with another symbol table.")
        try:
            self.model.load_state_dict(snapshot["state_dict"])
        except RuntimeError as problem:
            raise CheckpointError(f"The checkpoint {path} holds another network: {problem}") from problem

    @torch.no_grad()
    def speak(self, tokens: NDArray[np.int64], most_frames: int) -> NDArray[np.float32]:
        """Free-running log-mel spectrogram (M, F) of a text's symbols."""
        steps = max(1, most_frames // self.hparams.reduction_factor)
        tokens_BN = torch.from_numpy(tokens)[None].to(self.device)
        with frozen(self.model, self.device):
            predicted = self.model.infer(tokens_BN, torch.tensor([len(tokens)], device=self.device), max_steps=steps)
        end = int((predicted.refined_BMF[0] != 0).any(0).sum())
        return predicted.refined_BMF[0, :, :end].cpu().numpy()

    def fill_ratio(self) -> float:
        """Real frames over all frames in the first epoch's batches."""
        return fill_ratio(self.frames, plan_epoch(self.frames, self.hparams.batch_size, self.hparams.seed, 0))

    def _batches(self) -> Iterator[Batch]:
        position, hparams = self.position, self.hparams
        while True:
            plan = plan_epoch(self.frames, hparams.batch_size, hparams.seed, position.epoch)
            for batch in load(self.train, plan[position.batch :], self.device):
                position.batch += 1
                yield batch
            position.epoch, position.batch = position.epoch + 1, 0

    def _autocast(self) -> AbstractContextManager[None]:
        if self.precision is torch.float32:
            return nullcontext()
        return torch.autocast(self.device.type, self.precision)

    def _stop_unless_finite(self, loss: float, norm: float) -> None:
        """A loss or gradient that is not finite ends the trial; only an fp16 overflow may pass, its step is skipped."""
        position = self.position
        if math.isfinite(loss) and math.isfinite(norm):
            position.skipped_in_a_row = 0
            return
        position.skipped += 1
        position.skipped_in_a_row += 1
        if math.isfinite(loss) and self.scaler.is_enabled() and position.skipped_in_a_row <= MOST_SKIPPED_IN_A_ROW:
            return
        step = position.iteration + 1
        what = "the training loss" if not math.isfinite(loss) else "the gradient norm"
        sentence = f"Stopped at iteration {step}: {what} is not finite (loss {loss:g}, gradient norm {norm:g}); "
        sentence += "no optimizer step was taken on it. A lower learning rate is the usual remedy."
        raise self._not_finite(sentence, step, {"training.loss": loss, "grad.norm": norm})

    def _not_finite(self, sentence: str, step: int, observed: dict[str, float]) -> TrialStopped:
        return TrialStopped(
            sentence,
            rule="non_finite",
            step=step,
            utterances=self.position.utterances,
            observed=observed,
            threshold="not finite",
            window="at once",
            series=tuple(observed),
        )

    def _validation_is_due(self) -> bool:
        position = self.position
        at_the_end = self.used() >= 1
        before = position.utterances - self.hparams.batch_size
        at_a_mark = any(before < mark <= position.utterances for mark in self.marks)
        return position.iteration > position.validated_at and (
            position.iteration % self.hparams.validation_freq == 0 or at_a_mark or at_the_end
        )

    def _validate(self) -> Progress:
        position = self.position
        with out_of_memory_is_a_fault(self.hparams):
            metrics = self.validation.run(self.model, self.device)
        loss, step = metrics["validation.loss"], position.iteration
        if not math.isfinite(loss):
            sentence = f"Stopped at iteration {step}: validation.loss is not finite ({loss:g})."
            raise self._not_finite(sentence, step, {"validation.loss": loss})
        position.validations, position.validated_at = position.validations + 1, step
        if loss < position.best_loss:
            position.best_loss, position.best_step = loss, step
            self._best = self._snapshot()
        self._tick()
        if self.device.type == "cuda":
            metrics["gpu.peak_memory"] = torch.cuda.max_memory_allocated(self.device) / 2**30  # GiB
        return self._progress("validation", {**metrics, "validation.step": float(position.validations)})

    def _progress(self, kind: Literal["training", "validation"], metrics: dict[str, float]) -> Progress:
        finite = {name: value for name, value in metrics.items() if math.isfinite(value)}
        position = self.position
        return Progress(
            kind=kind, step=position.iteration, utterances=position.utterances, fraction=self.used(), metrics=finite
        )

    def _tick(self) -> float:
        """Seconds since the last tick; they count as training time."""
        now = time.perf_counter()
        seconds, self._ticked_at = now - self._ticked_at, now
        self.position.seconds += seconds
        return seconds

    def _snapshot(self) -> checkpoint.Snapshot:
        cuda = torch.cuda.get_rng_state(self.device) if self.device.type == "cuda" else None
        snapshot: checkpoint.Snapshot = checkpoint.on_cpu(
            {
                "state_dict": dict(self.model.state_dict()),
                "optimizer": self.optimizer.state_dict(),
                "scaler": self.scaler.state_dict(),
                "position": asdict(self.position),
                "rng": {"cpu": torch.get_rng_state(), "cuda": cuda},
                "symbols": list(self.symbols),
                "settings": asdict(self.settings),
            }
        )
        return snapshot


@contextmanager
def out_of_memory_is_a_fault(hparams: Hparams) -> Iterator[None]:
    """Translate torch's out-of-memory error into ours."""
    try:
        yield
    except RuntimeError as problem:  # a full GPU has many names: torch's own, CUDA's, those of its libraries
        if not any(name in str(problem) for name in ("out of memory", "ALLOC_FAILED")):
            raise
        raise OutOfMemoryError(
            f"The GPU has no memory left at hparams.batch_size {hparams.batch_size}; try half of it. ({problem})"
        ) from problem

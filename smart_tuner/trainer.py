"""The training loop. It yields Progress and knows neither MLflow nor Optuna; whoever iterates decides when to stop."""

import math
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from model.losses import Counts, training_losses
from model.tacotron2 import Tacotron2
from smart_tuner import checkpoint, optimisation, reduction, warmstart
from smart_tuner.errors import CheckpointError, OutOfMemoryError, SettingsError
from smart_tuner.freerun import FreeRunning
from smart_tuner.health.watch import Finding
from smart_tuner.position import OVERFLOW_WINDOW, Position
from smart_tuner.progress import Progress
from smart_tuner.settings import Hparams, Settings
from smart_tuner.speech.batches import Batch, Example, StressMasking, fill_ratio, load, plan_epoch
from smart_tuner.validation import Validation, frozen


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
        *,
        front_end: Mapping[str, str] = {},
        corpus_digest: str = "",
        freerun: FreeRunning | None = None,
    ) -> None:
        hparams = settings.hparams
        self.settings, self.hparams, self.symbols, self.device, self.folder = settings, hparams, symbols, device, folder
        self.marks, self.front_end, self.corpus_digest, self.freerun = marks, front_end, corpus_digest, freerun
        self.train, self.validation = train, Validation(validation, hparams.reduction_factor)
        self.frames = [example.frames for example in train]
        torch.manual_seed(hparams.seed)
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        self.model = Tacotron2(settings.sizes(len(symbols)))
        self.model.set_mean_mel(torch.from_numpy(mean_mel))
        self.model.to(device)
        self.averaged = optimisation.WeightMean(self.model, hparams.ema_decay)
        self.norms = optimisation.BatchNorms(self.model)
        self.optimizer = optimisation.make_optimizer(self.model.parameters(), hparams, device)
        self.epoch_iterations = len(train) // hparams.batch_size
        self.iterations = settings.budget.iterations(hparams.batch_size, self.epoch_iterations)
        self.position = Position(parts=min(hparams.accumulation, hparams.batch_size))
        self._choose_precision()
        self.notes: list[Finding] = []
        """What the training changed by itself; whoever tells of it takes it away."""
        self._best: checkpoint.Snapshot | None = None
        self._saved_at = self._ticked_at = time.perf_counter()

    def steps(self) -> Iterator[Progress]:
        """Train until the budget is spent; one Progress an iteration and one a validation, at the marks too.

        Between two of them the training may be saved and left. Raises TrialStopped before the optimizer would take a
        step on a loss or gradient that is not finite, OutOfMemoryError when the device does not hold one utterance.
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
            # once in a while: fewer frames a decoder step
            self._follow_reduction_schedule()

            with out_of_memory_is_a_fault(self.hparams):
                batch = next(batches)
                rate = optimisation.learning_rate(self.hparams, position.iteration + 1, self.used(), position.plateaus)
                for group in self.optimizer.param_groups:
                    group["lr"] = rate
                beginning = optimisation.Beginning(self.model, self.device)
                while (losses := self._backward(batch)) is None:  # the GPU was full: again, in smaller parts
                    self.optimizer.zero_grad(set_to_none=True)
                    beginning.restore()
                self.scaler.unscale_(self.optimizer)
                norm = nn.utils.clip_grad_norm_(parameters, self.hparams.grad_clip_thresh)

                # here the iteration waits for the device: one transfer for all that is logged
                frames, norm_value, *values = torch.stack([batch.frames_B.sum(), norm, *losses.values()]).tolist()
                position.skip_unless_finite(values[0], norm_value, scaled=self.scaler.is_enabled())
                self.scaler.step(self.optimizer)  # skips the step after an fp16 overflow
                self.scaler.update()
                self.optimizer.zero_grad(set_to_none=True)

            position.iteration += 1
            position.utterances += len(batch)
            self.averaged.follow(position.iteration)
            self._give_up_fp16_that_overflows()
            duration = self._tick()
            told = optimisation.as_optimised(dict(zip(losses, values, strict=True)))
            metrics = {f"training.{name}": value for name, value in told.items()}
            metrics |= {"grad.norm": norm_value, "learning.rate": rate, "duration": duration}
            metrics |= {"epoch": float(position.epoch + 1), "iteration": float(position.iteration)}
            metrics |= {"training.frames_per_second": frames / duration}
            metrics |= {"training.parts": float(position.parts)} if position.parts > 1 else {}
            yield self._progress("training", metrics)

    def _backward(self, batch: Batch) -> dict[str, Tensor] | None:
        """Add a batch's gradients, part after part; its losses, summed over the parts, and MMI's gaf, their mean.

        None when the GPU was full. A method of its own, so that what filled the GPU is gone when it has returned.
        """
        r, whole, done = self.model.reduction_factor, len(batch), 0
        weights = optimisation.loss_weights(self.hparams, self.position.formed)
        losses: dict[str, Tensor] = {}
        zero, adaptive = torch.zeros((), device=self.device), self.model.decoder.adaptive
        try:
            parts = batch.parts(self.position.parts)
            counts = Counts.of(batch.tokens_BN, batch.tokens_B, batch.frames_B, r) if len(parts) > 1 else None
            for part in parts:
                tokens_BN, tokens_B, mels_BMF, frames_B = part.tokens_BN, part.tokens_B, part.mels_BMF, part.frames_B
                self.norms.expect(len(part), after=whole - done - len(part), whole=whole)
                with optimisation.autocast(self.device, self.precision):
                    predicted = self.model(tokens_BN, tokens_B, mels_BMF, frames_B)
                shares = training_losses(
                    predicted, tokens_B, mels_BMF, frames_B, r=r, weights=weights, tokens_BN=tokens_BN, of=counts
                )
                self.scaler.scale(shares["loss"]).backward()
                if adaptive is not None and adaptive.value is not None:
                    shares["gaf"] = adaptive.value * (len(part) / whole)
                losses = {name: losses.get(name, zero) + share.detach() for name, share in shares.items()}
                done += len(part)
        except RuntimeError as problem:
            if not optimisation.is_out_of_memory(problem):
                raise
            self.position.take_smaller_parts(whole, problem)
            what = f"the GPU was full; a batch of {whole} goes through the network in {self.position.parts} parts"
            self.notes.append(self.position.note("out_of_memory", what))
            return None
        return losses

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
        self.averaged.begin(snapshot["ema"])
        self._use_reduction_factor(snapshot["reduction_factor"])
        self.position = Position(**snapshot["position"])
        if self.position.overflowed:
            self._choose_precision()
        self.optimizer.load_state_dict(snapshot["optimizer"])
        if snapshot["scaler"]:  # empty when made without fp16
            self.scaler.load_state_dict(snapshot["scaler"])
        optimisation.set_random_state(snapshot["rng"], self.device)

    def start_from(self, path: Path) -> None:
        """Begin with the weights of a checkpoint, and nothing else of it. Raises CheckpointError, SettingsError."""
        taken = warmstart.load_into(self.model, path, self.symbols, self.settings.speech)
        self.averaged.begin_again()
        self.notes.append(self.position.note("warm_start", taken.described(path)))

    @torch.no_grad()
    def speak(self, tokens: NDArray[np.int64], most_frames: int) -> NDArray[np.float32]:
        """Free-running log-mel spectrogram (M, F) of a text's symbols."""
        steps = max(1, most_frames // self.model.reduction_factor)
        tokens_BN = torch.from_numpy(tokens)[None].to(self.device)
        with self.averaged.in_use(), frozen(self.model, self.device):
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
            masking = StressMasking.of(self.symbols, hparams.stress_masking, hparams.seed, position.epoch)
            for batch in load(self.train, plan[position.batch :], self.device, masking):
                position.batch += 1
                yield batch
            position.epoch, position.batch = position.epoch + 1, 0

    def _choose_precision(self) -> None:
        self.precision = optimisation.choose_precision(
            self.device, self.hparams.fp16_run, overflowed=self.position.overflowed
        )
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.precision is torch.float16)

    def _give_up_fp16_that_overflows(self) -> None:
        if self.scaler.is_enabled() and self.position.overflows():
            self.position.overflowed = True
            self._choose_precision()
            name = str(self.precision).removeprefix("torch.")
            what = f"fp16 overflowed in too many of the last {OVERFLOW_WINDOW} steps; the training goes on in {name}"
            self.notes.append(self.position.note("fp16_overflow", what))

    def _follow_reduction_schedule(self) -> None:
        hparams, before = self.hparams, self.model.reduction_factor
        r = reduction.at(hparams.reduction_factor, hparams.reduction_schedule, self.position.utterances)
        if r != before:
            self._use_reduction_factor(r)
            self.position.plateau_loss, self.position.plateau_waited = math.inf, 0  # the loss means something else now
            what = f"a decoder step predicts {r} mel frames from here on, {before} before"
            self.notes.append(self.position.note("reduction_factor", what))

    def _use_reduction_factor(self, r: int) -> None:
        self.model.reduction_factor = self.validation.reduction_factor = r

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
        with out_of_memory_is_a_fault(self.hparams), self.averaged.in_use():
            metrics = self.validation.run(self.model, self.device)
            loss, step = metrics["validation.loss"], position.iteration
            if not math.isfinite(loss):
                sentence = f"Stopped at iteration {step}: validation.loss is not finite ({loss:g})."
                raise position.not_finite(sentence, step, {"validation.loss": loss})
            position.validations, position.validated_at = position.validations + 1, step
            if step % self.hparams.validation_freq == 0:
                self._add_regular_validation(loss, metrics["validation.alignment_score"])
            if loss < position.best_loss:
                position.best_loss, position.best_step = loss, step
                self._best = {**self._snapshot(), "ema": {}}
            self._tick()
            score, count = metrics["validation.alignment_score"], self.settings.tracking.freerun_evaluations
            if self.freerun is not None and position.freerun_is_due(self.used(), score, count):
                metrics |= self.freerun.run(self.model, self.device)
                self._tick()
        if self.device.type == "cuda":
            metrics["gpu.peak_memory"] = torch.cuda.max_memory_allocated(self.device) / 2**30  # GiB
        return self._progress("validation", {**metrics, "validation.step": float(position.validations)})

    def _add_regular_validation(self, loss: float, score: float) -> None:
        position, anneal = self.position, self.hparams.guide_anneal
        position.add_validation(loss, score)
        if self.hparams.use_guided_attn and anneal and position.formed == anneal + 1:
            what = f"the attention has been formed for {anneal} validations; each one more halves the guide's weight"
            self.notes.append(position.note("guide_annealed", what))

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
        snapshot: checkpoint.Snapshot = checkpoint.on_cpu(
            {
                "state_dict": dict(self.model.state_dict()),
                "ema": self.averaged.mean,
                "optimizer": self.optimizer.state_dict(),
                "scaler": self.scaler.state_dict(),
                "position": asdict(self.position),
                "rng": optimisation.random_state(self.device),
                "symbols": list(self.symbols),
                "longest_text": max(len(example.tokens) for example in self.train),
                "settings": asdict(self.settings),
                "front_end": dict(self.front_end),
                "corpus": self.corpus_digest,
                "reduction_factor": self.model.reduction_factor,
            }
        )
        return snapshot


@contextmanager
def out_of_memory_is_a_fault(hparams: Hparams) -> Iterator[None]:
    """Translate torch's out-of-memory error into ours."""
    try:
        yield
    except RuntimeError as problem:
        if not optimisation.is_out_of_memory(problem):
            raise
        raise OutOfMemoryError(
            f"The GPU has no memory left at hparams.batch_size {hparams.batch_size}; try half of it. ({problem})"
        ) from problem

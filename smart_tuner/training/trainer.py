"""The training loop. It yields Progress and knows neither MLflow nor Optuna; whoever iterates decides when to stop."""

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from model.loop import forget_graphs
from model.losses import Counts, training_losses
from model.tacotron2 import Tacotron2
from smart_tuner import checkpoint
from smart_tuner.errors import CheckpointError, OutOfMemoryError, Verdict
from smart_tuner.evaluation.freerun import FreeRunning
from smart_tuner.evaluation.frozen import frozen
from smart_tuner.evaluation.validation import Validation
from smart_tuner.paths import TrialFolder
from smart_tuner.progress import Progress
from smart_tuner.settings import reduction
from smart_tuner.settings.hparams import Hparams
from smart_tuner.settings.settings import Settings
from smart_tuner.speech.batches import Batch, StressMasking, TrainingData, fill_ratio, load_batches, plan_epoch
from smart_tuner.training import optimisation, pretrained
from smart_tuner.training.memory import keep_freed_memory
from smart_tuner.training.state import OVERFLOW_WINDOW, TrainState


class Trainer:
    """Trains one Tacotron 2. `for progress in trainer.steps()` is the whole of its use."""

    def __init__(
        self,
        settings: Settings,
        data: TrainingData,
        device: torch.device,
        folder: TrialFolder,
        *,
        rungs: Sequence[int] = (),
        freerun: FreeRunning | None = None,
    ) -> None:
        hparams = settings.hparams
        self.settings, self.hparams = settings, hparams
        self.data, self.device, self.folder = data, device, folder
        self.rungs, self.freerun = rungs, freerun
        self.validation = Validation(data.validation, hparams.reduction_factor)
        self.frames = [example.frames for example in data.train]
        # before the network is made: its first weights are the seed's
        torch.manual_seed(hparams.seed)
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        else:
            keep_freed_memory()
        self.model = Tacotron2(settings.sizes(len(data.symbols)))
        self.model.set_mean_mel(torch.from_numpy(data.mean_mel))
        self.model.decoder.fast = hparams.decoder_loop == "fast"
        self.model.to(device)
        self.ema = optimisation.WeightAverage(self.model, hparams.ema_decay)
        self.norms = optimisation.BatchNorms(self.model)
        self.optimizer = optimisation.make_optimizer(self.model.parameters(), hparams, device)
        self.epoch_iterations = len(data.train) // hparams.batch_size
        self.iterations = settings.budget.iterations(hparams.batch_size, self.epoch_iterations)
        self.state = TrainState(parts=min(hparams.accumulation, hparams.batch_size))
        self._choose_precision()
        optimisation.choose_products(device, hparams.tf32_run)
        self.notes: list[Verdict] = []
        """What the training changed by itself; whoever tells of it takes it away."""
        self._best: checkpoint.Snapshot | None = None
        self._saved_at = self._ticked_at = time.perf_counter()

    def steps(self) -> Iterator[Progress]:
        """Train until the budget is spent; one Progress an iteration and one a validation, at the rungs too.

        Between two of them the training may be saved and left. Raises TrialStopped before the optimizer would take a
        step on a loss or gradient that is not finite, UtteranceTooLargeError when the device does not hold one.
        """
        state, parameters = self.state, list(self.model.parameters())
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
                rate = optimisation.learning_rate(self.hparams, state.iteration + 1, self.used(), state.plateaus)
                for group in self.optimizer.param_groups:
                    group["lr"] = rate
                # passes that did not fit may have drawn dropout and moved statistics: another try starts from the same
                rewind = optimisation.Rewind(self.model, self.device)
                while (losses := self._backward(batch)) is None:  # the GPU was full: again, in smaller parts
                    self.optimizer.zero_grad(set_to_none=True)
                    rewind.restore()
                self.scaler.unscale_(self.optimizer)
                # of the unscaled gradients, before they are clipped: health watches this norm
                norm = nn.utils.clip_grad_norm_(parameters, self.hparams.grad_clip_thresh)

                # here the iteration waits for the device: one transfer for all that is logged
                frames, norm_value, *values = torch.stack([batch.frames_B.sum(), norm, *losses.values()]).tolist()
                state.skip_unless_finite(values[0], norm_value, scaled=self.scaler.is_enabled())
                self.scaler.step(self.optimizer)  # skips the step after an fp16 overflow
                self.scaler.update()
                self.optimizer.zero_grad(set_to_none=True)

            state.iteration += 1
            state.utterances += len(batch)
            self.ema.follow(state.iteration)
            self._give_up_fp16_that_overflows()
            # after the transfer above, so the device's work is in it
            duration = self._tick()
            told = optimisation.as_optimised(dict(zip(losses, values, strict=True)))
            metrics = {f"training.{name}": value for name, value in told.items()}
            metrics |= {"grad.norm": norm_value, "learning.rate": rate, "duration": duration}
            metrics |= {"epoch": float(state.epoch + 1), "iteration": float(state.iteration)}
            metrics |= {"training.frames_per_second": frames / duration}
            metrics |= {"training.parts": float(state.parts)} if state.parts > 1 else {}
            yield self._progress("training", metrics)

    def _backward(self, batch: Batch) -> dict[str, Tensor] | None:
        """Add a batch's gradients, part after part; its losses, summed over the parts, and MMI's gaf, their mean.

        None when the GPU was full. A method of its own, so that what filled the GPU is gone when it has returned.
        """
        r, whole, done = self.model.reduction_factor, len(batch), 0
        weights = optimisation.loss_weights(self.hparams, self.state.formed)
        losses: dict[str, Tensor] = {}
        zero, adaptive = torch.zeros((), device=self.device), self.model.decoder.adaptive
        try:
            parts = batch.parts(self.state.parts)
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
                del predicted, shares  # they hold the loop's buffers: the next part needs the room
        except RuntimeError as problem:
            if not optimisation.is_out_of_memory(problem):
                raise
            forget_graphs()
            self.state.take_smaller_parts(whole, problem)
            what = f"the GPU was full; a batch of {whole} goes through the network in {self.state.parts} parts"
            self.notes.append(self.state.note("out_of_memory", what))
            return None
        return losses

    def used(self) -> float:
        """Share of the budget that is spent, 0 to 1."""
        if self.iterations is not None:
            return min(1.0, self.state.iteration / self.iterations)
        seconds = self.settings.budget.seconds
        assert seconds is not None  # a budget counts either iterations or seconds
        return min(1.0, self.state.seconds / seconds)

    def planned_epochs(self) -> float | None:
        """Epochs that the budget spans, or None when it is wall time."""
        return None if self.iterations is None else self.iterations / self.epoch_iterations

    def save(self) -> None:
        """Write the best and the last checkpoint. Raises CheckpointError; earlier files survive."""
        self.save_best()
        checkpoint.write_checkpoint(self.folder.last, self._snapshot())
        self._saved_at = time.perf_counter()

    def save_best(self) -> None:
        """Write the best checkpoint, if it is not on disk yet. Raises CheckpointError."""
        if self._best is not None:
            checkpoint.write_checkpoint(self.folder.best, self._best)
            self._best = None

    def restore(self) -> None:
        """Go on from the last checkpoint. Raises CheckpointError."""
        snapshot = checkpoint.read_checkpoint(self.folder.last)
        try:
            self._take_over(snapshot)
        except (KeyError, TypeError, ValueError, RuntimeError) as problem:
            if isinstance(problem, RuntimeError) and optimisation.is_out_of_memory(problem):
                raise
            told = str(problem).splitlines()[0] if str(problem) else type(problem).__name__
            raise CheckpointError(
                f"The checkpoint {self.folder.last} does not fit this training ({told}); remove it to begin again."
            ) from problem

    def _take_over(self, snapshot: checkpoint.Snapshot) -> None:
        checkpoint.require_form(snapshot)
        if tuple(snapshot["symbols"]) != self.data.symbols:
            raise CheckpointError(f"The checkpoint {self.folder.last} was made with another symbol table.")
        self.model.load_state_dict(snapshot["state_dict"])
        self.ema.begin(snapshot["ema"])
        self._use_reduction_factor(snapshot["reduction_factor"])
        self.state = TrainState.from_kept(snapshot["train_state"])
        if self.state.overflowed:
            self._choose_precision()
        optimisation.restore_optimizer(self.optimizer, snapshot["optimizer"])
        if snapshot["scaler"]:  # empty when made without fp16
            self.scaler.load_state_dict(snapshot["scaler"])
        optimisation.set_random_state(snapshot["rng"], self.device)

    def start_from(self, path: Path) -> None:
        """Begin with the weights of a checkpoint, and nothing else of it. Raises CheckpointError, SettingsError."""
        taken = pretrained.load_pretrained(self.model, path, self.data.symbols, self.settings.speech)
        self.ema.start_over()
        self.notes.append(self.state.note("warm_start", taken.describe(path)))

    @torch.no_grad()
    def speak(self, tokens: NDArray[np.int64], most_frames: int) -> NDArray[np.float32]:
        """Free-running log-mel spectrogram (M, F) of a text's symbols."""
        steps = max(1, most_frames // self.model.reduction_factor)
        tokens_BN = torch.from_numpy(tokens)[None].to(self.device)
        with self.ema.in_use(), frozen(self.model, self.device):
            predicted = self.model.infer(tokens_BN, torch.tensor([len(tokens)], device=self.device), max_steps=steps)
        end = int((predicted.refined_BMF[0] != 0).any(0).sum())
        return predicted.refined_BMF[0, :, :end].cpu().numpy()

    def fill_ratio(self) -> float:
        """Real frames over all frames in the first epoch's batches."""
        return fill_ratio(self.frames, plan_epoch(self.frames, self.hparams.batch_size, self.hparams.seed, 0))

    def _batches(self) -> Iterator[Batch]:
        state, hparams = self.state, self.hparams
        while True:
            plan = plan_epoch(self.frames, hparams.batch_size, hparams.seed, state.epoch)
            masking = StressMasking.of(self.data.symbols, hparams.stress_masking, hparams.seed, state.epoch)
            for batch in load_batches(self.data.train, plan[state.batch :], self.device, masking):
                state.batch += 1
                yield batch
            state.epoch, state.batch = state.epoch + 1, 0

    def _choose_precision(self) -> None:
        self.precision = optimisation.choose_precision(
            self.device, self.hparams.fp16_run, overflowed=self.state.overflowed
        )
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.precision is torch.float16)

    def _give_up_fp16_that_overflows(self) -> None:
        if self.scaler.is_enabled() and self.state.overflows():
            self.state.overflowed = True
            self._choose_precision()
            name = str(self.precision).removeprefix("torch.")
            what = f"fp16 overflowed in too many of the last {OVERFLOW_WINDOW} steps; the training goes on in {name}"
            self.notes.append(self.state.note("fp16_overflow", what))

    def _follow_reduction_schedule(self) -> None:
        hparams, before = self.hparams, self.model.reduction_factor
        r = reduction.reduction_at(hparams.reduction_factor, hparams.reduction_schedule, self.state.utterances)
        if r != before:
            self._use_reduction_factor(r)
            self.state.plateau_loss, self.state.plateau_waited = math.inf, 0  # the loss means something else now
            what = f"a decoder step predicts {r} mel frames from here on, {before} before"
            self.notes.append(self.state.note("reduction_factor", what))

    def _use_reduction_factor(self, r: int) -> None:
        self.model.reduction_factor = self.validation.reduction_factor = r

    def _validation_is_due(self) -> bool:
        state = self.state
        at_the_end = self.used() >= 1
        before = state.utterances - self.hparams.batch_size
        # a rung between two iterations belongs to the one that passes it
        at_a_rung = any(before < rung <= state.utterances for rung in self.rungs)
        return state.iteration > state.validated_at and (
            state.iteration % self.hparams.validation_freq == 0 or at_a_rung or at_the_end
        )

    def _validate(self) -> Progress:
        state = self.state
        with out_of_memory_is_a_fault(self.hparams), self.ema.in_use():
            metrics = self.validation.run(self.model, self.device)
            loss, step = metrics["validation.loss"], state.iteration
            formed = metrics["validation.alignment_score"] >= self.settings.health.formed_score
            if not math.isfinite(loss):
                sentence = f"Stopped at iteration {step}: validation.loss is not finite ({loss:g})."
                raise state.not_finite(sentence, step, {"validation.loss": loss})
            state.validations, state.validated_at = state.validations + 1, step
            if step % self.hparams.validation_freq == 0:
                self._add_regular_validation(loss, formed=formed)
            if loss < state.best_loss:
                state.best_loss, state.best_step = loss, step
                # kept in memory and written with the last: a new best comes often, and a file takes long
                self._best = {**self._snapshot(), "ema": {}}
            self._tick()
            count = self.settings.tracking.freerun_evaluations
            if self.freerun is not None and state.freerun_is_due(self.used(), count, formed=formed):
                metrics |= self.freerun.run(self.model, self.device, last=self.used() >= 1)
                self._tick()
        if self.device.type == "cuda":
            metrics["gpu.peak_memory"] = torch.cuda.max_memory_allocated(self.device) / 2**30  # GiB
        return self._progress("validation", {**metrics, "validation.step": float(state.validations)})

    def _add_regular_validation(self, loss: float, *, formed: bool) -> None:
        state, anneal = self.state, self.hparams.guide_anneal
        state.add_validation(loss, formed=formed)
        if self.hparams.use_guided_attn and anneal and state.formed == anneal + 1:
            what = f"the attention has been formed for {anneal} validations; each one more halves the guide's weight"
            self.notes.append(state.note("guide_annealed", what))

    def _progress(self, kind: Literal["training", "validation"], metrics: dict[str, float]) -> Progress:
        finite = {name: value for name, value in metrics.items() if math.isfinite(value)}
        state = self.state
        return Progress(
            kind=kind, step=state.iteration, utterances=state.utterances, fraction=self.used(), metrics=finite
        )

    def _tick(self) -> float:
        """Seconds since the last tick; they count as training time."""
        now = time.perf_counter()
        seconds, self._ticked_at = now - self._ticked_at, now
        self.state.seconds += seconds
        return seconds

    def _snapshot(self) -> checkpoint.Snapshot:
        snapshot: checkpoint.Snapshot = checkpoint.on_cpu(
            {
                "state_dict": dict(self.model.state_dict()),
                "ema": self.ema.mean,
                "optimizer": self.optimizer.state_dict(),
                "scaler": self.scaler.state_dict(),
                "train_state": asdict(self.state),
                "rng": optimisation.random_state(self.device),
                "symbols": list(self.data.symbols),
                "longest_text": max(len(example.tokens) for example in self.data.train),
                "settings": asdict(self.settings),
                "front_end": dict(self.data.front_end),
                "corpus": self.data.corpus_digest,
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
            f"The device has no memory left at hparams.batch_size {hparams.batch_size}; try half of it, or a smaller "
            f"network. ({problem})"
        ) from problem

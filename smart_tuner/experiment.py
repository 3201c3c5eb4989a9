"""A trial from start to end: the one place where trainer and tracker meet."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from threading import Event

import numpy as np
import torch
from numpy.typing import NDArray

from smart_tuner import checkpoint
from smart_tuner.errors import Fault, Interrupted, TrackingError, TrialStopped
from smart_tuner.journal import Journal
from smart_tuner.machine import Extras
from smart_tuner.progress import Progress
from smart_tuner.settings import Settings
from smart_tuner.speech.corpus import Examples
from smart_tuner.tracker import StudyRun, TrialRun
from smart_tuner.trainer import Trainer
from smart_tuner.validation import Exhibit

ALIGNED = 0.5
"""alignment_score from which a model is worth listening to."""


@dataclass(frozen=True, kw_only=True)
class Trial:
    """What is to be trained."""

    number: int
    origin: str
    """baseline, sampled, replicate, repaired or retried."""
    settings: Settings


class Experiment:
    """Runs the trials of one study in this process, each in its own folder and its own nested run."""

    def __init__(
        self,
        examples: Examples,
        source: str,
        device: torch.device,
        folder: Path,
        study: StudyRun,
        extras: Extras,
        stop: Event,
    ) -> None:
        self.examples, self.source, self.device, self.folder = examples, source, device, folder
        self.study, self.extras, self.stop = study, extras, stop

    def run(self, trial: Trial) -> Iterator[Progress]:
        """Train a trial, from its checkpoint if it has one. Raises a Verdict or Fault if it does not end by itself."""
        folder = self.folder / f"trial-{trial.number:04d}"
        folder.mkdir(parents=True, exist_ok=True)
        examples = self.examples
        trainer = Trainer(
            trial.settings,
            examples.train,
            examples.validation,
            examples.corpus.symbols.symbols,
            examples.mean_mel,
            self.device,
            folder,
        )
        if (folder / checkpoint.LAST).exists():
            trainer.restore()
        journal = Journal(folder / "metrics.jsonl", trainer.position.iteration, trainer.position.validated_at)
        tags = {"trial.origin": trial.origin, "trial.state": "running"}
        run = self.study.open_trial(trial.number, tags, journal, self.extras)
        try:
            self._describe(run, trial, trainer)
            artefacts = Artefacts(run, trainer, self.extras)
            yield from (entry.progress for entry in journal.kept if entry.progress.kind == "validation")
            for progress in trainer.steps():
                run.log(progress)
                if progress.kind == "validation":
                    artefacts.validated(progress)
                yield progress
                if self.stop.is_set():
                    trainer.save()
                    raise Interrupted(
                        f"Interrupted after iteration {progress.step}; the checkpoint is saved.", step=progress.step
                    )
            artefacts.finished()
        except Interrupted as verdict:
            run.close("KILLED", {"trial.state": "interrupted", "stop.kind": "user", "stop.reason": str(verdict)})
            raise
        except TrialStopped as verdict:
            try:
                trainer.save_best()
            finally:
                run.close("KILLED", stopped_tags(verdict, folder), best(trainer))
            raise
        except Fault as fault:
            try:
                if isinstance(fault, TrackingError):
                    trainer.save()
            finally:
                run.close("FAILED", {"trial.state": "failed", "error": str(fault), "checkpoint": last_good(folder)})
            raise
        except GeneratorExit:  # whoever iterated has left: the study's own storage failed, or a bug elsewhere
            try:
                trainer.save()
            finally:
                run.close("KILLED", {"trial.state": "interrupted", "stop.kind": "abandoned"})
            raise
        except BaseException as bug:  # named in the run, then raised again
            run.close("FAILED", {"trial.state": "failed", "error": f"{type(bug).__name__}: {bug}"})
            raise
        spent = f"The budget of {trial.settings.hparams.budget} is spent."
        skipped = {"fp16.skipped_steps": str(trainer.position.skipped)} if trainer.scaler.is_enabled() else {}
        run.close("FINISHED", {"trial.state": "complete", "stop.reason": spent, **skipped}, best(trainer))

    def _describe(self, run: TrialRun, trial: Trial, trainer: Trainer) -> None:
        settings, examples = trial.settings, self.examples
        parameters = list(trainer.model.parameters())
        run.params(
            {
                **{
                    f"{section}.{name}": value
                    for section, values in asdict(settings).items()
                    if section != "tracking"  # may change when a trial goes on; settings.yaml holds it
                    for name, value in values.items()
                },
                **({"hparams.epochs": trainer.planned_epochs()} if trainer.planned_epochs() else {}),
                "model.total_params": sum(parameter.numel() for parameter in parameters),
                "model.trainable_params": sum(parameter.numel() for parameter in parameters if parameter.requires_grad),
                "dataset.train_size": len(examples.train),
                "dataset.val_size": len(examples.validation),
            }
        )
        run.tags(
            {
                "device": str(self.device),
                "precision": str(trainer.precision).removeprefix("torch."),
                "dataset.language": examples.corpus.language,
                "dataset.digest": examples.digest,
                "dataset.fill_ratio": f"{trainer.fill_ratio():.3f}",
                "seed": str(settings.hparams.seed),
                "tracking.extras": self.extras.found,
            }
        )
        facts = {
            "hours": round(examples.hours, 3),
            "train": len(examples.train),
            "validation": len(examples.validation),
        }
        run.dataset(examples.corpus.name, examples.digest, self.source, facts)
        run.text(settings.to_yaml(), "settings.yaml")


class Artefacts:
    """Plots, audio and the best checkpoint of a trial, at a sensible cadence, written by the tracker's thread."""

    def __init__(self, run: TrialRun, trainer: Trainer, extras: Extras) -> None:
        self.run, self.trainer, self.extras = run, trainer, extras
        self.plots = trainer.settings.tracking.plots
        self.drawn = int(trainer.used() * self.plots)
        self.step = trainer.position.iteration
        self.spoke = self.ended = False

    def validated(self, progress: Progress) -> None:
        """Plot the first validation and then evenly over the budget; speak once when the attention has formed."""
        last = self.ended = progress.fraction >= 1
        self.step = progress.step
        exhibit = self.trainer.validation.exhibit
        assert exhibit is not None  # a validation has just been
        due = int(progress.fraction * self.plots)
        if self.extras.plots and (due > self.drawn or progress.metrics["validation.step"] == 1):
            self.drawn = due
            self.run.later(partial(plot, self.run, exhibit, progress.step))
        aligned = progress.metrics["validation.alignment_score"] >= ALIGNED
        if self.extras.on and (last or (aligned and not self.spoke)):
            self.spoke = True
            self._speak(exhibit, progress.step, last)

    def _speak(self, exhibit: Exhibit, step: int, last: bool) -> None:
        spoken = self.trainer.speak(exhibit.tokens, most_frames=2 * exhibit.target_MF.shape[1])
        mels = {"teacher-forced": exhibit.predicted_MF, "free-running": spoken}
        if last:
            mels["target"] = exhibit.target_MF
        for kind, mel in mels.items():
            self.run.later(partial(write_audio, self.run, mel, self.trainer, f"{step:06d}-{kind}-{exhibit.name}.wav"))

    def finished(self) -> None:
        """Store the best checkpoint, and what only the end of a budget of wall time tells."""
        exhibit = self.trainer.validation.exhibit
        if exhibit is not None and not self.ended:  # the time ran out right after a validation
            if self.extras.plots:
                self.run.later(partial(plot, self.run, exhibit, self.step))
            if self.extras.on:
                self._speak(exhibit, self.step, last=True)
        if self.trainer.planned_epochs() is None:
            self.run.params({"hparams.epochs": self.trainer.position.iteration / self.trainer.epoch_iterations})
        if self.extras.on:
            self.run.later(partial(self.run.file, self.trainer.folder / checkpoint.BEST, "checkpoint"))


def plot(run: TrialRun, exhibit: Exhibit, step: int) -> None:
    """Draw the three plots of an exhibit and store them."""
    from smart_tuner import figures  # matplotlib is optional

    run.image(figures.alignment(exhibit.attention_TN, exhibit.name, step), "alignment", step)
    run.image(figures.mel(exhibit.target_MF, exhibit.predicted_MF, exhibit.name, step), "mel", step)
    run.image(figures.gate(exhibit.gate_T, exhibit.name, step), "gate", step)


def write_audio(run: TrialRun, mel: NDArray[np.float32], trainer: Trainer, name: str) -> None:
    """Turn a mel into sound, keep it beside the checkpoints and store it; MLflow's interface plays it."""
    from smart_tuner.speech import audio  # training itself needs no audio library

    speech = trainer.settings.speech
    path = trainer.folder / "audio" / name
    path.parent.mkdir(exist_ok=True)
    audio.write_wav(path, audio.griffin_lim(mel, speech), speech.sampling_rate)
    run.file(path, "audio")


def best(trainer: Trainer) -> dict[str, float]:
    """The metrics that a run's table cannot show by itself: it shows last values."""
    position = trainer.position
    if not position.validations:
        return {}
    return {"best.validation.loss": position.best_loss, "best.step": float(position.best_step)}


def stopped_tags(verdict: TrialStopped, folder: Path) -> dict[str, str]:
    """Why a trial was stopped, with the numbers that decided."""
    return {
        "trial.state": "stopped",
        "stop.kind": "health",
        "stop.rule": verdict.rule,
        "stop.step": str(verdict.step),
        "stop.reason": str(verdict),
        "mlflow.note.content": str(verdict),
        "checkpoint": last_good(folder),
        **{f"stop.observed.{name}": value for name, value in verdict.observed.items()},
    }


def last_good(folder: Path) -> str:
    """The best checkpoint that is on disk, else the last one."""
    found = [folder / name for name in (checkpoint.BEST, checkpoint.LAST) if (folder / name).exists()]
    return str(found[0]) if found else "none"

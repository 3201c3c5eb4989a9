"""One trial's training, in whatever process it runs: trainer, journal and health, told as plain events."""

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from typing import Any

import torch
from filelock import FileLock, Timeout

from smart_tuner.errors import CheckpointError, Interrupted, SettingsError, StorageError, TrialStopped, Verdict
from smart_tuner.evaluation.freerun import FreeRunning, speaks_freely
from smart_tuner.evaluation.recogniser import Recogniser
from smart_tuner.evaluation.recogniser_training import await_recogniser, is_readable
from smart_tuner.health.watch import Watch
from smart_tuner.paths import TrialFolder
from smart_tuner.progress import SCORE, Progress
from smart_tuner.speech.batches import TrainingData
from smart_tuner.speech.corpus import Examples
from smart_tuner.training.journal import Journal, describe_loss
from smart_tuner.training.proving import prove_ways
from smart_tuner.training.trainer import Trainer, out_of_memory_is_a_fault
from smart_tuner.trial import Control, Ended, Event, Exhibit, Listed, Opening, Plotted, Spoken, Trial

LOCK_SECONDS = 60
"""A worker whose parent was killed ends after its iteration, but it does not end at once."""
UTTERANCES = "validation/utterances.json"
"""Artefact: what each validation utterance came to in the end, the worst of which tell of faults in the corpus."""
SPOKEN = "validation/freerun.json"
"""Artefact: what the last free-running evaluation made of each text: its faults and what the recogniser read."""


def train_trial(
    trial: Trial, device: str, folder: TrialFolder, control: Control, *, examples: Examples
) -> Generator[Event, None, None]:
    """Train a trial on a corpus, from its checkpoint if it has one. Raises a Judgement or Fault if it is ended.

    The checkpoint is written when the training is interrupted or left. Raises StorageError for a folder in use.
    """
    folder.path.mkdir(parents=True, exist_ok=True)
    with only_training_in(folder):
        with out_of_memory_is_a_fault(trial.settings.hparams):
            trainer = make_trainer(trial, examples, torch.device(device), folder)
        journal = Journal(folder.journal, trainer.state.iteration, trainer.state.validated_at)
        watch = Watch(trial.settings.health, trial.settings.hparams)
        exhibition = Exhibition(trainer)
        try:
            yield describe_run(trial, examples, trainer)
            if journal.lost:
                yield trainer.state.note("journal", describe_loss(journal))
            for entry in journal.kept:  # a trial that goes on tells its past again: health and study judge by all of it
                yield entry
                yield from judge(watch, entry.progress, trial)
                obey(control, entry.progress)
            for progress in trainer.steps():
                yield journal.append(progress)
                yield from trainer.notes
                trainer.notes.clear()
                if progress.kind == "validation":
                    yield from exhibition.validated(progress)
                yield from judge(watch, progress, trial)
                obey(control, progress)
                if progress.kind == "training" and progress.fraction >= 1:
                    yield from wait_for_recogniser(trainer, examples, control, progress)
            yield from exhibition.finished()
            if trainer.validation.utterances:  # none when the time ran out before a validation
                yield Listed(name=UTTERANCES, rows=trainer.validation.utterances)
            if trainer.freerun is not None and trainer.freerun.rows:
                yield Listed(name=SPOKEN, rows=trainer.freerun.rows)
        except (Interrupted, GeneratorExit):  # GeneratorExit: whoever listened has left
            trainer.save()
            raise
        # a stopped trial never goes on, so it needs no last checkpoint; a repair may roll back to its best
        except TrialStopped:
            trainer.save_best()
            raise
        finally:
            journal.close()
        yield Ended(None, *closing_facts(trainer))


@contextmanager
def only_training_in(folder: TrialFolder) -> Iterator[None]:
    """Hold the trial's folder. Raises StorageError when another process trains there."""
    try:
        with FileLock(folder.lock, timeout=LOCK_SECONDS):
            yield
    except Timeout:
        raise StorageError(f"Another process trains in {folder.path}; wait for it, or end it.") from None


def wait_for_recogniser(
    trainer: Trainer, examples: Examples, control: Control, progress: Progress
) -> Iterator[Verdict]:
    """Before the last validation: until a recogniser that is trained beside is there. Raises Interrupted if told so."""
    file = examples.recogniser
    if file is None or trainer.freerun is None or trainer.freerun.awaited is None or is_readable(file):
        return
    yield trainer.state.note("recogniser", "the training waits for the recogniser that will judge it")
    await_recogniser(examples, trainer.settings, file, lambda done, total: obey(control, progress))


def make_trainer(trial: Trial, examples: Examples, device: torch.device, folder: TrialFolder) -> Trainer:
    """The trial's trainer, where its checkpoint left it."""
    settings, symbols = trial.settings, examples.corpus.symbols.symbols
    freerun = None
    if speaks_freely(settings):
        freerun = FreeRunning(examples.validation, symbols, settings)
        if examples.recogniser is not None and examples.recogniser_awaited:
            freerun.awaited = partial(await_recogniser, examples, settings, examples.recogniser)
        elif examples.recogniser is not None:
            freerun.recogniser = Recogniser.load(examples.recogniser)
    data = TrainingData(
        train=examples.train,
        validation=examples.validation,
        symbols=symbols,
        mean_mel=examples.mean_mel,
        front_end=examples.corpus.front_end.described(),
        corpus_digest=examples.digest,
    )
    trainer = Trainer(settings, data, device, folder, rungs=trial.rungs, freerun=freerun)
    if folder.last.exists():
        trainer.restore()
    elif trial.start_from is not None:
        try:
            trainer.start_from(trial.start_from)
        except CheckpointError as problem:  # no outage: another try would end the same
            raise SettingsError(str(problem)) from problem
    if device.type == "cuda" and trainer.model.decoder.fast:
        refused = prove_ways(trainer.model.decoder, device, [trainer.precision, torch.float32])
        trainer.notes += [trainer.state.note("fast_path", what) for what in refused]
    return trainer


def judge(watch: Watch, progress: Progress, trial: Trial) -> Iterator[Verdict]:
    """What the health watch says. Raises TrialStopped when it says stop and the trial is not audited."""
    for verdict in watch.judge(progress):
        yield verdict
        if verdict.level == "stop" and not trial.audited:
            raise TrialStopped(verdict)


def obey(control: Control, progress: Progress) -> None:
    """Raise what the control answers."""
    answer = control.ask(progress)
    if isinstance(answer, TrialStopped):
        raise answer
    if answer is not None:
        why = "Interrupted" if answer == "user" else "Out of time"
        sentence = f"{why} after iteration {progress.step}; the checkpoint is saved."
        raise Interrupted(sentence, step=progress.step, kind=answer)


def describe_run(trial: Trial, examples: Examples, trainer: Trainer) -> Opening:
    """Params and tags of the trial's run."""
    settings = trial.settings
    parameters = list(trainer.model.parameters())
    return Opening(
        params={
            **{
                f"{section}.{name}": value
                for section, values in asdict(settings).items()
                if section not in ("tracking", "health")  # do not decide what is learned; settings.yaml holds them
                for name, value in values.items()
            },
            **({"hparams.epochs": trainer.planned_epochs()} if trainer.planned_epochs() else {}),
            "model.total_params": sum(parameter.numel() for parameter in parameters),
            "model.trainable_params": sum(parameter.numel() for parameter in parameters if parameter.requires_grad),
            "dataset.train_size": len(examples.train),
            "dataset.val_size": len(examples.validation),
        },
        tags={
            "device": str(trainer.device),
            "threads": str(torch.get_num_threads()),
            "precision": str(trainer.precision).removeprefix("torch."),
            "dataset.language": examples.corpus.language,
            "dataset.digest": examples.digest,
            "dataset.fill_ratio": f"{trainer.fill_ratio():.3f}",
            "seed": str(settings.hparams.seed),
            **({"recogniser.no_judge": examples.no_judge} if examples.no_judge else {}),
        },
    )


class Exhibition:
    """Which validations are shown and which are spoken, at a sensible cadence."""

    def __init__(self, trainer: Trainer) -> None:
        self.trainer = trainer
        self.plots = trainer.settings.tracking.plots
        self.drawn = int(trainer.used() * self.plots)
        self.step = trainer.state.iteration
        self.spoke = self.ended = False

    def validated(self, progress: Progress) -> Iterator[Plotted | Spoken]:
        """Show the first validation and then evenly over the budget; speak once when the attention has formed."""
        last = self.ended = progress.fraction >= 1
        self.step = progress.step
        exhibit = self.trainer.validation.exhibit
        assert exhibit is not None  # a validation has just been
        due = int(progress.fraction * self.plots)
        if due > self.drawn or progress.metrics["validation.step"] == 1:
            self.drawn = due
            yield Plotted(step=progress.step, exhibit=exhibit)
        aligned = progress.metrics[SCORE] >= self.trainer.settings.health.formed_score
        if last or (aligned and not self.spoke):
            self.spoke = True
            yield from self._speak(exhibit, last)

    def finished(self) -> Iterator[Plotted | Spoken]:
        """What the end owes, when the time ran out right after a validation."""
        exhibit = self.trainer.validation.exhibit
        if exhibit is not None and not self.ended:
            yield Plotted(step=self.step, exhibit=exhibit)
            yield from self._speak(exhibit, last=True)

    def _speak(self, exhibit: Exhibit, last: bool) -> Iterator[Spoken]:
        if self.trainer.settings.tracking.enhanced == "false":
            return
        with out_of_memory_is_a_fault(self.trainer.hparams):
            spoken = self.trainer.speak(exhibit.tokens, most_frames=2 * exhibit.target_MF.shape[1])
        mels = {"teacher-forced": exhibit.predicted_MF, "free-running": spoken}
        if last:
            mels["target"] = exhibit.target_MF
        for kind, mel in mels.items():
            yield Spoken(name=f"{self.step:06d}-{kind}-{exhibit.name}.wav", mel=mel)


def closing_facts(trainer: Trainer) -> tuple[dict[str, Any], dict[str, str]]:
    """Params and tags that only the end tells."""
    state = trainer.state
    params = {"hparams.epochs": state.iteration / trainer.epoch_iterations}
    precision = str(trainer.precision).removeprefix("torch.")  # not what the run was opened with, if fp16 was given up
    fp16 = trainer.scaler.is_enabled() or state.overflowed
    skipped = {"fp16.skipped_steps": str(state.skipped), "precision": precision} if fp16 else {}
    why = trainer.freerun.no_judge if trainer.freerun is not None else ""
    judged = {"recogniser.no_judge": why} if why else {}
    return ({} if trainer.planned_epochs() else params), {**skipped, **judged}

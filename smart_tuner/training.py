"""One trial's training, in whatever process it runs: trainer, journal and health, told as plain events."""

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import torch
from filelock import FileLock, Timeout
from numpy.typing import NDArray

from smart_tuner import checkpoint
from smart_tuner.errors import CheckpointError, Interrupted, SettingsError, StorageError, TrialStopped
from smart_tuner.freerun import FreeRunning
from smart_tuner.health.watch import Finding, Watch
from smart_tuner.journal import Entry, Journal
from smart_tuner.position import FORMED
from smart_tuner.progress import Progress
from smart_tuner.recognition import Recogniser
from smart_tuner.settings import Settings
from smart_tuner.speech.corpus import Examples
from smart_tuner.trainer import Trainer, out_of_memory_is_a_fault
from smart_tuner.validation import Exhibit

LOCK_SECONDS = 60
"""A worker whose parent was killed ends after its iteration, but it does not end at once."""
JOURNAL = "metrics.jsonl"
UTTERANCES = "validation/utterances.json"
"""Artefact: what each validation utterance came to in the end, the worst of which tell of faults in the corpus."""
SPOKEN = "validation/freerun.json"
"""Artefact: what the last free-running evaluation made of each text: its faults and what the recogniser read."""

Origin = Literal["baseline", "sampled", "replicate", "repaired", "retried"]
Answer = TrialStopped | Literal["user", "budget"] | None
"""What a training is told: stop by a rule, stop and go on later (asked by the user, or time is up), or go on."""


@dataclass(frozen=True, kw_only=True)
class Trial:
    """What is to be trained."""

    number: int
    origin: Origin
    settings: Settings
    audited: bool = False
    """A doomed one runs on, to learn whether the stop was right."""
    marks: tuple[int, ...] = ()
    """Utterances at which it validates, whatever validation_freq says: trials are compared there."""
    start_from: Path | None = None
    """A checkpoint whose weights it starts from."""
    note: str = ""
    """Why it exists, when its origin does not say it all."""


@dataclass(frozen=True, kw_only=True)
class Start:
    """What every trial of a study starts from: a checkpoint's file with its digest, or nothing."""

    file: Path | None = None
    digest: str = ""

    @classmethod
    def of(cls, file: Path | None) -> "Start":
        """The start from a file that is there."""
        return cls() if file is None else cls(file=file, digest=sha256(file.read_bytes()).hexdigest()[:16])


FROM_SCRATCH = Start()


@dataclass(frozen=True, kw_only=True)
class Opening:
    """The first event: what the trial's run is described by."""

    params: dict[str, Any]
    tags: dict[str, str]


@dataclass(frozen=True, kw_only=True)
class Shown:
    """A validation utterance to plot."""

    step: int
    exhibit: Exhibit


@dataclass(frozen=True, kw_only=True)
class Spoken:
    """A log-mel spectrogram (M, F) to turn into sound."""

    name: str
    mel: NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Listed:
    """What the last validation, or the last free-running evaluation, came to: a row for each utterance."""

    name: str
    rows: list[dict[str, Any]]


@dataclass(frozen=True)
class Ended:
    """The last event of a trial."""

    outcome: Exception | None
    """None: the budget is spent."""
    params: dict[str, Any] = field(default_factory=dict)
    """What only the end of a budget of wall time tells."""
    tags: dict[str, str] = field(default_factory=dict)


Event = Opening | Entry | Finding | Shown | Spoken | Listed | Ended


class Control(Protocol):
    """How a training hears whether to go on."""

    def ask(self, progress: Progress) -> Answer:
        """What to do after a Progress; after a validation, waits until somebody has answered."""
        ...


def train(
    trial: Trial, examples: Examples, device: torch.device, folder: Path, control: Control
) -> Generator[Event, None, None]:
    """Train a trial, from its checkpoint if it has one. Raises a Verdict or Fault if it does not end by itself.

    The checkpoint is written when the training is interrupted or left. Raises StorageError for a folder in use.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with alone_in(folder):
        with out_of_memory_is_a_fault(trial.settings.hparams):
            trainer = prepared(trial, examples, device, folder)
        journal = Journal(folder / JOURNAL, trainer.position.iteration, trainer.position.validated_at)
        watch, exhibition = Watch(trial.settings.health, trial.settings.hparams), Exhibition(trainer)
        try:
            yield opening(trial, examples, trainer)
            for entry in journal.kept:  # a trial that goes on tells its past again: health and study judge by all of it
                yield entry
                yield from judged(watch, entry.progress, trial)
                obey(control, entry.progress)
            for progress in trainer.steps():
                yield journal.append(progress)
                yield from trainer.notes
                trainer.notes.clear()
                if progress.kind == "validation":
                    yield from exhibition.validated(progress)
                yield from judged(watch, progress, trial)
                obey(control, progress)
            yield from exhibition.finished()
            if trainer.validation.utterances:  # none when the time ran out before a validation
                yield Listed(name=UTTERANCES, rows=trainer.validation.utterances)
            if trainer.freerun is not None and trainer.freerun.rows:
                yield Listed(name=SPOKEN, rows=trainer.freerun.rows)
        except (Interrupted, GeneratorExit):  # GeneratorExit: whoever listened has left
            trainer.save()
            raise
        except TrialStopped:
            trainer.save_best()
            raise
        finally:
            journal.close()
        yield Ended(None, *closing_facts(trainer))


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Hold the trial's folder. Raises StorageError when another process trains there."""
    try:
        with FileLock(folder / ".lock", timeout=LOCK_SECONDS):
            yield
    except Timeout:
        raise StorageError(f"Another process trains in {folder}; wait for it, or end it.") from None


def prepared(trial: Trial, examples: Examples, device: torch.device, folder: Path) -> Trainer:
    """The trial's trainer, where its checkpoint left it."""
    symbols = examples.corpus.symbols.symbols
    recogniser = Recogniser.load(examples.recogniser) if examples.recogniser else None
    freely = speaks_freely(trial.settings)
    trainer = Trainer(
        trial.settings,
        examples.train,
        examples.validation,
        symbols,
        examples.mean_mel,
        device,
        folder,
        trial.marks,
        front_end=examples.corpus.front_end.described(),
        corpus_digest=examples.digest,
        freerun=FreeRunning(examples.validation, symbols, trial.settings, recogniser) if freely else None,
    )
    if (folder / checkpoint.LAST).exists():
        trainer.restore()
    elif trial.start_from is not None:
        try:
            trainer.start_from(trial.start_from)
        except CheckpointError as problem:  # no outage: another try would end the same
            raise SettingsError(str(problem)) from problem
    return trainer


def speaks_freely(settings: Settings) -> bool:
    """Whether a training has free-running evaluations, which are extra metrics."""
    return settings.tracking.enhanced != "false" and settings.tracking.freerun_evaluations > 0


def judged(watch: Watch, progress: Progress, trial: Trial) -> Iterator[Finding]:
    """What the health watch finds. Raises TrialStopped when it says stop and the trial is not audited."""
    for finding in watch.judge(progress):
        yield finding
        if finding.level == "stop" and not trial.audited:
            raise finding.verdict()


def obey(control: Control, progress: Progress) -> None:
    """Raise what the control answers."""
    answer = control.ask(progress)
    if isinstance(answer, TrialStopped):
        raise answer
    if answer is not None:
        why = "Interrupted" if answer == "user" else "Out of time"
        sentence = f"{why} after iteration {progress.step}; the checkpoint is saved."
        raise Interrupted(sentence, step=progress.step, kind=answer)


def opening(trial: Trial, examples: Examples, trainer: Trainer) -> Opening:
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
            "precision": str(trainer.precision).removeprefix("torch."),
            "dataset.language": examples.corpus.language,
            "dataset.digest": examples.digest,
            "dataset.fill_ratio": f"{trainer.fill_ratio():.3f}",
            "seed": str(settings.hparams.seed),
        },
    )


class Exhibition:
    """Which validations are shown and which are spoken, at a sensible cadence."""

    def __init__(self, trainer: Trainer) -> None:
        self.trainer = trainer
        self.plots = trainer.settings.tracking.plots
        self.drawn = int(trainer.used() * self.plots)
        self.step = trainer.position.iteration
        self.spoke = self.ended = False

    def validated(self, progress: Progress) -> Iterator[Shown | Spoken]:
        """Show the first validation and then evenly over the budget; speak once when the attention has formed."""
        last = self.ended = progress.fraction >= 1
        self.step = progress.step
        exhibit = self.trainer.validation.exhibit
        assert exhibit is not None  # a validation has just been
        due = int(progress.fraction * self.plots)
        if due > self.drawn or progress.metrics["validation.step"] == 1:
            self.drawn = due
            yield Shown(step=progress.step, exhibit=exhibit)
        aligned = progress.metrics["validation.alignment_score"] >= FORMED
        if last or (aligned and not self.spoke):
            self.spoke = True
            yield from self._speak(exhibit, last)

    def finished(self) -> Iterator[Shown | Spoken]:
        """What the end owes, when the time ran out right after a validation."""
        exhibit = self.trainer.validation.exhibit
        if exhibit is not None and not self.ended:
            yield Shown(step=self.step, exhibit=exhibit)
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
    position = trainer.position
    params = {"hparams.epochs": position.iteration / trainer.epoch_iterations}
    precision = str(trainer.precision).removeprefix("torch.")  # not what the run was opened with, if fp16 was given up
    fp16 = trainer.scaler.is_enabled() or position.overflowed
    skipped = {"fp16.skipped_steps": str(position.skipped), "precision": precision} if fp16 else {}
    return ({} if trainer.planned_epochs() else params), skipped

"""Every file and folder of the project by name."""

import os
from dataclasses import dataclass
from pathlib import Path

DEFAULT_OUTPUT = Path("smart_tuner_files")


def is_file(path: Path) -> bool:
    """Whether a file is there. A name that none can have, because it is too long, is that of no file."""
    return os.path.isfile(path)  # Path.is_file raises for it


def trial_name(number: int) -> str:
    """What a trial is called: its folder, its run in MLflow, sentences."""
    return f"trial-{number:04d}"


def find_moved(remembered: Path, *bases: Path) -> Path:
    """Where a folder lies now whose full path was kept: a working folder may be renamed, or moved with all in it.

    It is the longest end of that path, of two names at least, that is there below one of the bases, the first base
    first; else the path as it was kept.
    """
    names = remembered.parts[1:] if remembered.is_absolute() else remembered.parts
    tails = [Path(*names[start:]) for start in range(len(names) - 1)]
    there = (base / tail for base in bases for tail in tails)
    return next((path for path in there if path.is_dir()), remembered)


@dataclass(frozen=True)
class TrialFolder:
    """The files of one trial."""

    path: Path

    @property
    def best(self) -> Path:
        """The checkpoint with the lowest validation.loss."""
        return self.path / "best.pt"

    @property
    def last(self) -> Path:
        """The checkpoint that the training goes on from."""
        return self.path / "last.pt"

    @property
    def journal(self) -> Path:
        """Every Progress, a line each."""
        return self.path / "metrics.jsonl"

    @property
    def audio(self) -> Path:
        """Folder of what the trial has said: <iteration>-<kind>-<utterance>.wav."""
        return self.path / "audio"

    @property
    def lock(self) -> Path:
        """Held by the process that trains here."""
        return self.path / ".lock"

    @property
    def kept(self) -> tuple[Path, ...]:
        """All that a user may want, whether it is there or not: without audio, plots or a checkpoint it may be less."""
        return self.best, self.last, self.journal, self.audio

    @property
    def last_good(self) -> Path | None:
        """The best checkpoint that is on disk, else the last one."""
        return next((file for file in (self.best, self.last) if file.exists()), None)


@dataclass(frozen=True)
class StudyFolder:
    """The files of one study."""

    path: Path

    @property
    def lock(self) -> Path:
        """Held by the process that works on the study."""
        return self.path / ".lock"

    def trial(self, number: int) -> TrialFolder:
        """A trial's folder."""
        return TrialFolder(self.path / trial_name(number))

    def has_trials(self) -> bool:
        """Whether any trial has a folder here."""
        return any(self.path.glob("trial-*"))


@dataclass(frozen=True)
class OutputFolder:
    """All that the program keeps beside its two databases: --output."""

    path: Path

    @classmethod
    def of_checkpoint(cls, file: Path) -> "OutputFolder":
        """The folder that a trial's checkpoint lies in; the default one for a file that lies elsewhere."""
        above = file.resolve().parents  # <output>/studies/<study>/<trial>/best.pt
        return cls(above[3] if len(above) > 3 and above[2].name == "studies" else DEFAULT_OUTPUT)

    @property
    def mels(self) -> Path:
        """Folder of the mel cache."""
        return self.path / "mels"

    @property
    def demo(self) -> Path:
        """Folder of the demo corpus."""
        return self.path / "demo"

    @property
    def recognisers(self) -> Path:
        """Folder of the recognisers, one for each corpus."""
        return self.path / "recognisers"

    @property
    def spoken(self) -> Path:
        """Folder of what synth mode says."""
        return self.path / "spoken"

    @property
    def stores_lock(self) -> Path:
        """Held while the databases' tables are made."""
        return self.path / ".stores.lock"

    def study(self, name: str) -> StudyFolder:
        """A study's folder."""
        return StudyFolder(self.path / "studies" / name)

    def report(self, *studies: str) -> Path:
        """Folder of the report on a study, or on several; a name's unusual letters become underscores."""
        names = ["".join(sign if sign.isalnum() or sign in "-_." else "_" for sign in study)[:80] for study in studies]
        return self.path / "reports" / "-vs-".join(names)

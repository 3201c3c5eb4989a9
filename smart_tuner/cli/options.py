"""What the command line asks for: one record, checked; each mode takes of it what it needs."""

import os
import re
import shlex
import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from smart_tuner.errors import SettingsError, StorageError
from smart_tuner.paths import DEFAULT_OUTPUT, OutputFolder, StudyFolder, find_moved, is_file
from smart_tuner.report.commands import reword
from smart_tuner.settings.budget import Budget
from smart_tuner.settings.settings import Settings, load_settings
from smart_tuner.tracking import machine
from smart_tuner.tracking.stores import database_file

MLFLOW_DEFAULT = "sqlite:///mlflow.db"
STUDIES_DEFAULT = "sqlite:///smart_tuner.db"
ModeName = Literal["train", "tune", "report", "check", "synth"]
EVERY: tuple[ModeName, ...] = ("train", "tune", "report", "check", "synth")
ON_A_CORPUS: tuple[ModeName, ...] = ("train", "tune", "check")


def taken_by(*modes: ModeName, default: Any = None) -> Any:
    """An option that means something in these modes alone."""
    return field(default=default, metadata={"modes": modes})


@dataclass(frozen=True, kw_only=True)
class Options:
    """One run of the program, as typed; smart_tuner_main.py says what each option does."""

    mode: ModeName = taken_by(*EVERY, default="train")
    trials: int = taken_by(*ON_A_CORPUS, default=1)
    data: tuple[Path, ...] = taken_by(*ON_A_CORPUS, default=())
    preset: str | None = taken_by(*ON_A_CORPUS)
    settings: Path | None = taken_by(*ON_A_CORPUS)
    space: str | None = taken_by("tune", "check")
    from_study: str | None = taken_by(*ON_A_CORPUS)
    set_: tuple[str, ...] = taken_by(*ON_A_CORPUS, default=())
    budget: str | None = taken_by(*ON_A_CORPUS)
    timeout: str | None = taken_by(*ON_A_CORPUS)
    checkpoint: Path | None = taken_by("train", "tune", "synth")
    seed: int | None = taken_by(*ON_A_CORPUS, "synth")
    device: str = taken_by(*ON_A_CORPUS, "synth", default="auto")
    workers: int | None = taken_by(*ON_A_CORPUS)
    """Trials at a time; 0: one, in this process. None: as the mode has it."""
    per_gpu: int = taken_by(*ON_A_CORPUS, default=1)
    warm_start: str | None = taken_by("tune", "check")
    study: str | None = taken_by(*EVERY)
    compare: tuple[str, str] | None = taken_by("report")
    format_: str = taken_by("report", default="html,md")
    lang: Literal["en", "ru"] = taken_by("report", default="en")
    text: tuple[str, ...] = taken_by("synth", default=())
    text_file: Path | None = taken_by("synth")
    vocoder: Path | None = taken_by("synth")
    reference: Path | None = taken_by("synth")
    style: str | None = taken_by("synth")
    output: Path = taken_by(*EVERY, default=DEFAULT_OUTPUT)
    experiment: str = taken_by(*ON_A_CORPUS, default="Default")
    tracking_uri: str | None = taken_by(*ON_A_CORPUS, "report")
    storage: str = taken_by(*EVERY, default=STUDIES_DEFAULT)
    dry_run: bool = taken_by(*ON_A_CORPUS, default=False)

    def __post_init__(self) -> None:
        if self.mode in (*ON_A_CORPUS, "synth") and not re.fullmatch(r"auto|cpu|cuda(:\d+)?", self.device):
            raise SettingsError(f"--device is auto, cpu, cuda or cuda:N; received {self.device!r}.")
        if self.checkpoint is not None and not is_file(self.checkpoint):
            raise SettingsError(f"--checkpoint: there is no file {self.checkpoint}.")
        if self.mode not in ON_A_CORPUS:
            return
        if self.trials < 1:
            raise SettingsError(f"--trials must be at least 1; received {self.trials}.")
        if self.workers is not None and self.workers < 0:
            raise SettingsError(f"--workers must be at least 0 (0: in this process); received {self.workers}.")
        if self.mode == "train" and (self.workers or 0) > 1:
            raise SettingsError(
                "--workers above 1 is for --mode tune: here a trial hangs on how the one before ended; "
                f"received {self.workers}."
            )
        if self.per_gpu < 1:
            raise SettingsError(f"--per-gpu must be at least 1; received {self.per_gpu}.")
        if self.timeout is not None and not is_time(self.timeout):
            raise SettingsError(f"--timeout is a time such as 90s, 45m or 8h; received {self.timeout!r}.")
        if self.study is not None and not re.fullmatch(r"(?!\.+$)[\w.-]{1,100}", self.study):  # it names a folder
            rule = "--study takes 1 to 100 letters, digits, dots, dashes or underscores, not dots alone"
            raise SettingsError(f"{rule}; received {self.study!r}.")
        if self.storage == (self.tracking_uri or MLFLOW_DEFAULT):
            raise StorageError(f"MLflow and Optuna cannot share one database; both were given {self.storage}.")

    @classmethod
    def of(cls, params: Mapping[str, Any], typed: Collection[str]) -> "Options":
        """From what the command line was parsed to and the names of the options that stand on it.

        Raises SettingsError for one that means nothing in the mode, and for values that cannot be.
        """
        repeated = ("data", "set_", "text")
        given: dict[str, Any] = {
            name: tuple(value or ()) if name in repeated else value for name, value in params.items()
        }
        mode = str(given["mode"])
        for spec in fields(cls):
            modes = spec.metadata["modes"]
            if spec.name in typed and mode not in modes:
                *first, last = modes
                listed = f"{', '.join(first)} and {last}" if first else f"--mode {last}"
                raise SettingsError(f"{option_name(spec.name)} is for {listed}; received it with --mode {mode}.")
        if mode == "synth" and "output" not in typed:
            given["output"] = OutputFolder(given["output"]).spoken
        return cls(**{spec.name: given[spec.name] for spec in fields(cls) if spec.name in given})

    @property
    def files(self) -> OutputFolder:
        """The folder for all that is kept beside the databases."""
        return OutputFolder(self.output)

    def find_study(self, remembered: str) -> StudyFolder:
        """A study's files: under the present --output, in this folder or beside the storage, else where they were."""
        file = database_file(self.storage)
        beside = (file.parent,) if file is not None else ()
        return StudyFolder(find_moved(Path(remembered), self.output, DEFAULT_OUTPUT, Path(), *beside))

    @property
    def seconds(self) -> float | None:
        """The timeout; None without one."""
        return None if self.timeout is None else Budget.parse(self.timeout).seconds

    @property
    def has_own_budget(self) -> bool:
        """Whether the budget was given on the command line, so that a search space's does not count."""
        return self.budget is not None or any(text.startswith("hparams.budget=") for text in self.set_)

    @property
    def start_from(self) -> str:
        """What the settings start from, for a person."""
        if self.from_study is not None:
            return f"of the study {self.from_study}"
        return self.preset or ("tacotron2" if self.data else "demo")

    def resolve_settings(self) -> Settings:
        """The settings: a preset or what a study found, then the file, --set, other options. Raises UserError."""
        if self.from_study is not None and self.preset is not None:
            raise SettingsError("--preset and --from-study both say where the settings start from; give one of them.")
        given = list(self.set_)
        given += [f"hparams.budget={self.budget}"] if self.budget is not None else []
        given += [f"hparams.seed={self.seed}"] if self.seed is not None else []
        if self.from_study is None:
            return load_settings(self.start_from, self.settings, given)
        from smart_tuner.study.store import load_winner  # Optuna takes a second to import

        return load_settings("tacotron2", self.settings, given, load_winner(self.storage, self.from_study)["settings"])

    def again(self, *, without: tuple[str, ...] = (), **changed: str) -> str:
        """The command line as it was given, but for the options named: what to type next."""
        return reword(type_program(*sys.argv[1:]), without=without, **changed)

    def report_again(self, study: str) -> str:
        """What to type for a study's report, from the same stores."""
        given = {"storage": self.storage, "tracking-uri": self.tracking_uri, "output": str(self.output)}
        usual = {"storage": STUDIES_DEFAULT, "tracking-uri": None, "output": str(DEFAULT_OUTPUT)}
        changed = {name: value for name, value in given.items() if value is not None and value != usual[name]}
        return type_program(
            "--mode", "report", "--study", study, *(f"--{name}={value}" for name, value in changed.items())
        )


def type_program(*words: str) -> str:
    """The program with some words, as it is typed here."""
    script = sys.argv[0]
    program = [machine.find_command("python3"), script]
    if not script.endswith(".py"):  # installed, it has a name of its own
        program = [machine.find_command(Path(script).name)]
    return shlex.join([*program, *words])


def option_name(field_name: str) -> str:
    """As it is typed: dry_run is --dry-run, set_ is --set."""
    return "--" + field_name.rstrip("_").replace("_", "-")


def is_time(text: str) -> bool:
    """Whether a text is a budget of wall time."""
    try:
        return Budget.parse(text).seconds is not None
    except SettingsError:
        return False


def require_writable(folder: Path) -> None:
    """Raise StorageError when nothing can be written in a folder that is there, or is made later; makes nothing."""
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    probe = there / f".write-test-{os.getpid()}"
    try:
        probe.touch()
        probe.unlink()
    except OSError as problem:
        raise _unwritable(folder, problem) from problem


def make_folder(folder: Path) -> list[Path]:
    """Make a folder to write in; which folders were made for it, the innermost first. Raises StorageError."""
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise _unwritable(folder, problem) from problem
    return made


def remove_made(made: Sequence[Path], files: Iterable[Path]) -> None:
    """Remove files and folders that were just made, the innermost first, up to one in which something else is."""
    for file in files:
        file.unlink(missing_ok=True)
    for folder in made:
        if folder.exists():
            if any(folder.iterdir()):
                return
            folder.rmdir()


def _unwritable(folder: Path, problem: OSError) -> StorageError:
    return StorageError(f"The folder {folder.resolve()} cannot be written to: {problem.strerror}.")

"""What was asked for on the command line, checked."""

import re
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from smart_tuner import machine
from smart_tuner import settings as settings_module
from smart_tuner.budget import Budget
from smart_tuner.errors import SettingsError, StorageError
from smart_tuner.settings import Settings

MLFLOW_DEFAULT = "sqlite:///mlflow.db"
STUDIES_DEFAULT = "sqlite:///smart_tuner.db"


@dataclass(frozen=True, kw_only=True)
class Request:
    """One run of the program."""

    trials: int
    data: tuple[Path, ...]
    preset: str
    settings: Settings
    device: str
    study: str | None
    output: Path
    experiment: str
    tracking_uri: str | None
    storage: str
    dry_run: bool
    space: Path | None = None
    own_budget: bool = False
    """The budget was given on the command line, so that a search space's does not count."""
    workers: int | None = None
    """Trials at a time; 0: one, in this process. None: as the mode has it."""
    per_gpu: int = 1
    timeout: str | None = None
    warm_start: str | None = None
    checkpoint: Path | None = None
    """A file of weights that every trial starts from."""

    def __post_init__(self) -> None:
        if self.trials < 1:
            raise SettingsError(f"--trials must be at least 1; received {self.trials}.")
        if self.workers is not None and self.workers < 0:
            raise SettingsError(f"--workers must be at least 0 (0: in this process); received {self.workers}.")
        if self.per_gpu < 1:
            raise SettingsError(f"--per-gpu must be at least 1; received {self.per_gpu}.")
        if self.timeout is not None and not is_time(self.timeout):
            raise SettingsError(f"--timeout is a time such as 90s, 45m or 8h; received {self.timeout!r}.")
        require_device(self.device)
        if self.study is not None and not re.fullmatch(r"[\w.-]{1,100}", self.study):
            raise SettingsError(
                f"--study takes 1 to 100 letters, digits, dots, dashes or underscores; received {self.study!r}."
            )
        if self.checkpoint is not None and not self.checkpoint.is_file():
            raise SettingsError(f"--checkpoint: there is no file {self.checkpoint}.")
        if self.storage == (self.tracking_uri or MLFLOW_DEFAULT):
            raise SettingsError(f"MLflow and Optuna cannot share one database; both were given {self.storage}.")

    @property
    def seconds(self) -> float | None:
        """The timeout; None without one."""
        return None if self.timeout is None else Budget.parse(self.timeout).seconds

    @property
    def demo_language(self) -> str | None:
        """Language of the demo corpus, or None when the user has a corpus."""
        if self.data:
            return None
        return "ru" if self.settings.speech.language == "ru" else "en"

    def again(self, *, without: tuple[str, ...] = (), **changed: str) -> str:
        """The command line as it was given, but for the options named: what to type next."""
        script = sys.argv[0]
        program = (
            [machine.command("python3"), script] if script.endswith(".py") else [machine.command(Path(script).name)]
        )
        return reworded(shlex.join([*program, *sys.argv[1:]]), without=without, **changed)


def reworded(command: str, *, without: tuple[str, ...] = (), **changed: str) -> str:
    """A command line with other values for the options named, and without some; each of them takes a value."""
    options = {f"--{name}" for name in (*changed, *without)}
    kept, words = [], iter(shlex.split(command))
    for word in words:
        if word in options:
            next(words, None)  # its value
        elif word.partition("=")[0] not in options:
            kept.append(word)
    added = [text for name, value in changed.items() for text in (f"--{name}", value)]
    return shlex.join([*kept, *added])


def without_password(command: str) -> str:
    """A command line whose addresses keep their user and lose the password: it is stored, and shown in reports."""
    return re.sub(r"(://[^:/@\s]+):[^@\s]+@", r"\1:***@", command)


def require_device(name: str) -> None:
    """Raise SettingsError for what is no device's name."""
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", name):
        raise SettingsError(f"--device is auto, cpu, cuda or cuda:N; received {name!r}.")


def is_time(text: str) -> bool:
    """Whether a text is a budget of wall time."""
    try:
        return Budget.parse(text).seconds is not None
    except SettingsError:
        return False


def load_settings(
    preset: str | None,
    data: tuple[Path, ...],
    file: Path | None,
    assignments: list[str],
    budget: str | None,
    seed: int | None,
    found: Mapping[str, Any] | None = None,
) -> tuple[str, Settings]:
    """What the settings start from, and the settings: preset or a study's finding, then file, --set, other options."""
    if found is not None and preset is not None:
        raise SettingsError("--preset and --from-study both say where the settings start from; give one of them.")
    chosen = preset or ("tacotron2" if data else "demo")
    given = list(assignments)
    given += [f"hparams.budget={budget}"] if budget is not None else []
    given += [f"hparams.seed={seed}"] if seed is not None else []
    if found is not None:
        return "of the study", settings_module.load("tacotron2", file, given, found)
    return chosen, settings_module.load(chosen, file, given)


def require_writable(folder: Path) -> None:
    """Make the folder if need be. Raises StorageError when nothing can be written there."""
    probe = folder / ".write-test"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as problem:
        raise StorageError(f"The folder {folder.resolve()} cannot be written to: {problem.strerror}.") from problem

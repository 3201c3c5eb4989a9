"""What was asked for on the command line, checked."""

import re
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path

from smart_tuner import machine
from smart_tuner import settings as settings_module
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

    def __post_init__(self) -> None:
        if self.trials < 1:
            raise SettingsError(f"--trials must be at least 1; received {self.trials}.")
        if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", self.device):
            raise SettingsError(f"--device is auto, cpu, cuda or cuda:N; received {self.device!r}.")
        if self.study is not None and not re.fullmatch(r"[\w.-]{1,100}", self.study):
            raise SettingsError(
                f"--study takes 1 to 100 letters, digits, dots, dashes or underscores; received {self.study!r}."
            )
        if self.storage == (self.tracking_uri or MLFLOW_DEFAULT):
            raise SettingsError(f"MLflow and Optuna cannot share one database; both were given {self.storage}.")

    @property
    def demo_language(self) -> str | None:
        """Language of the demo corpus, or None when the user has a corpus."""
        if self.data:
            return None
        return "ru" if self.settings.speech.language == "ru" else "en"

    def again(self, **changed: str) -> str:
        """The command line as it was given, but for the options named: what to type next."""
        options = {f"--{name}" for name in changed}
        kept, words = [], iter(sys.argv[1:])
        for word in words:
            if word in options:
                next(words, None)  # its value
            elif word.partition("=")[0] not in options:
                kept.append(word)
        script = sys.argv[0]
        program = (
            [machine.command("python3"), script] if script.endswith(".py") else [machine.command(Path(script).name)]
        )
        added = [text for name, value in changed.items() for text in (f"--{name}", value)]
        return shlex.join([*program, *kept, *added])


def load_settings(
    preset: str | None,
    data: tuple[Path, ...],
    file: Path | None,
    assignments: list[str],
    budget: str | None,
    seed: int | None,
) -> tuple[str, Settings]:
    """The preset's name and the settings: preset, then file, then --set, then the options that stand for a setting."""
    chosen = preset or ("tacotron2" if data else "demo")
    given = list(assignments)
    given += [f"hparams.budget={budget}"] if budget is not None else []
    given += [f"hparams.seed={seed}"] if seed is not None else []
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

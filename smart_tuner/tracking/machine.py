"""What a run happened on: package versions, git commit, user; and which optional packages are there."""

import getpass
import os
import platform
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from smart_tuner.errors import SettingsError

PACKAGES = ("torch", "numpy", "optuna", "mlflow", "librosa")
WANTED = {"psutil": "system metrics", "matplotlib": "plots"}


@dataclass(frozen=True)
class Extras:
    """What is written beside the fixed metrics, and what was found."""

    on: bool
    """Extra metrics, and artefacts other than settings and checkpoint."""
    system_metrics: bool
    plots: bool
    found: str
    """A sentence for the log."""


def find_extras(choice: str) -> Extras:
    """What tracking.enhanced = auto, true or false means here. Raises SettingsError when true lacks a package."""
    if choice == "false":
        return Extras(False, False, False, "off (tracking.enhanced is false)")
    missing = [package for package in WANTED if find_spec(package) is None]
    if missing and choice == "true":
        raise SettingsError(
            f"tracking.enhanced is true but {', '.join(missing)} cannot be imported; install it, or choose auto."
        )
    found = ", ".join(use for package, use in WANTED.items() if package not in missing) or "nothing"
    lacking = "".join(f"; no {WANTED[package]} without {package}" for package in missing)
    on = "extra metrics, audio, " + found
    return Extras(True, "psutil" not in missing, "matplotlib" not in missing, on + lacking)


def find_command(program: str) -> str:
    """What to type for a program of this Python environment: its name, or its path when the shell would not find it."""
    own = Path(sys.executable).parent / program
    if not own.exists() or shutil.which(program) == str(own):
        return program
    relative = os.path.relpath(own)
    return str(own) if relative.startswith("..") else relative


def find_versions() -> dict[str, str]:
    """Python's version and those of the packages that decide a result."""
    known = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            known[package] = version(package)
        except PackageNotFoundError:
            known[package] = "not installed"
    return known


def find_git_commit() -> str | None:
    """The commit of this code, with + when files differ from it; None outside a git checkout."""
    folder = Path(__file__).parent
    command = ["git", "-C", str(folder), "describe", "--always", "--abbrev=40", "--dirty=+", "--exclude=*"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:  # no git on this machine
        return None
    return done.stdout.strip() or None


def find_user() -> str | None:
    """Who runs this; None for a container's user without a name."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return None


def describe_process() -> dict[str, str]:
    """Tags of a run: those that MLflow's own interface sets, and versions."""
    known = {f"version.{name}": text for name, text in find_versions().items()}
    known |= {"mlflow.source.name": Path(sys.argv[0]).name or "python", "mlflow.source.type": "LOCAL"}
    known |= {"host": platform.node(), "pid": str(os.getpid())}
    name = find_user()
    known |= {"mlflow.user": name} if name else {}
    commit = find_git_commit()
    return known | ({"mlflow.source.git.commit": commit} if commit else {})


def without_password(text: str) -> str:
    """A command line or an address with its users and without their passwords: it is stored, and shown in reports."""
    return re.sub(r"(://[^:/@\s]+):[^@\s]+@", r"\1:***@", text)

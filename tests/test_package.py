"""What an installed program holds: every file that is no module is named as package data, or it stays in the clone."""

import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SETUP = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]


def data_files() -> list[Path]:
    """Every file below the packages that is no module."""
    packages = [ROOT / pattern.rstrip("*") for pattern in SETUP["packages"]["find"]["include"]]
    files = [file for package in packages for file in package.rglob("*") if file.is_file()]
    return [file for file in files if file.suffix not in (".py", ".pyc")]


@pytest.mark.parametrize("file", data_files(), ids=lambda file: str(file.relative_to(ROOT)))
def test_a_file_beside_the_modules_is_package_data(file: Path) -> None:
    shipped = [
        found
        for package, patterns in SETUP["package-data"].items()
        for pattern in patterns
        for found in (ROOT / package.replace(".", "/")).glob(pattern)
    ]
    assert file in shipped


def test_there_is_such_a_file_in_both_places() -> None:
    places = {file.relative_to(ROOT).parts[0] for file in data_files()}
    assert places == {"smart_tuner", "search_spaces"}

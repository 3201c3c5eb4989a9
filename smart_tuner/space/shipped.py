"""The search spaces that come with the program, found by name from any folder."""

from pathlib import Path

from smart_tuner.errors import SettingsError
from smart_tuner.paths import is_file

SHIPPED = Path(__file__).parents[2] / "search_spaces"  # beside smart_tuner/ in a clone and where packages are installed


def shipped_spaces() -> list[str]:
    """The names that --space takes, in order of the alphabet."""
    return sorted(file.stem for file in SHIPPED.glob("*.yaml"))


def locate_space(given: str) -> Path:
    """The file of a search space, given by its path or as a shipped one's name. Raises SettingsError for neither."""
    file = Path(given)
    if is_file(file):
        return file
    names = shipped_spaces()
    name = file.stem if file.name == given or file.parent == Path(SHIPPED.name) else None
    if name not in names:
        raise SettingsError(
            f"--space takes a YAML file or the name of a shipped space ({', '.join(names)}); received {given!r}."
        )
    found = SHIPPED / f"{name}.yaml"
    return found.relative_to(Path.cwd()) if found.is_relative_to(Path.cwd()) else found

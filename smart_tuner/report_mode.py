"""--mode report: what won, why, whether it is more than noise, and what to try next, as a page and in the terminal."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from smart_tuner.console import Console
from smart_tuner.errors import SettingsError, StorageError, TrackingError
from smart_tuner.report import build
from smart_tuner.report.catalogue import Catalogue, Language, said
from smart_tuner.report.evidence import Evidence
from smart_tuner.report.gathering import gather, gather_runs
from smart_tuner.report.view import View
from smart_tuner.report.writing import pages
from smart_tuner.report.writing.note import note
from smart_tuner.request import require_writable
from smart_tuner.tracking.reader import Reader
from smart_tuner.tracking.tracker import NOTE_CHARACTERS

WRITERS: dict[str, Callable[[View, Catalogue], str]] = {"html": pages.html, "md": pages.markdown, "json": pages.json}


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What the command line asks for."""

    study: str | None
    """None: the latest."""
    compare: tuple[str, str] | None
    formats: str
    language: Language
    output: Path
    tracking_uri: str | None
    storage: str

    def __post_init__(self) -> None:
        unknown = [one for one in self.formats.split(",") if one not in WRITERS]
        if unknown:
            raise SettingsError(f"--format takes {', '.join(WRITERS)}, or several of them; received {self.formats!r}.")
        if self.study is not None and self.compare is not None:
            raise SettingsError("--study and --compare both say what to report on; give one of them.")
        if self.compare is not None and self.compare[0] == self.compare[1]:
            raise SettingsError(f"--compare takes two different studies; received {self.compare[0]} twice.")


def run(asked: Asked, console: Console) -> int:
    """Write the report. The exit code: 0 also when the study holds nothing to praise, for the report says so."""
    catalogue = Catalogue(asked.language)
    sources = [source(asked, name) for name in asked.compare or (asked.study,)]
    views = [seen(evidence, reader, catalogue) for evidence, reader in sources]
    shown = replace(views[0], others=tuple(views[1:]))
    folder = asked.output / "reports" / "-vs-".join(filed(view.title) for view in views)
    files = write(shown, catalogue, folder, asked.formats.split(","))
    pages.terminal(shown, catalogue, console)
    console.say(catalogue(said("mode.written")), ", ".join(map(str, files)))
    if asked.compare is None:
        publish(*sources[0], shown, catalogue, files, console)
    return 0


def seen(evidence: Evidence, reader: Reader, catalogue: Catalogue) -> View:
    """A study's view, with what could not be read among its notices."""
    view = build.view(evidence, reader, catalogue)
    return replace(view, notices=(*view.notices, *(said("mode.unread", reason=reason) for reason in reader.unread)))


def source(asked: Asked, name: str | None) -> tuple[Evidence, Reader]:
    """What is known of a study, or of the runs that a filter of MLflow finds: that has an operator in it."""
    if name is not None and any(sign in name for sign in "=<>'\" "):
        return gather_runs(asked.tracking_uri, name)
    return gather(asked.storage, asked.tracking_uri, name)


def filed(title: str) -> str:
    """A title as a folder's name."""
    return "".join(sign if sign.isalnum() or sign in "-_." else "_" for sign in title)[:80]


def write(view: View, catalogue: Catalogue, folder: Path, formats: list[str]) -> list[Path]:
    """Write the files, each complete or not at all. Raises StorageError for a folder that cannot be written to."""
    require_writable(folder)
    texts = {folder / f"report.{suffix}": WRITERS[suffix](view, catalogue) for suffix in formats}
    for file, text in texts.items():
        half = file.with_suffix(".half")
        try:
            half.write_text(text, encoding="utf-8")
            half.replace(file)
        except OSError as problem:
            half.unlink(missing_ok=True)
            raise StorageError(f"The report {file} cannot be written: {problem.strerror}.") from problem
    return list(texts)


def publish(
    evidence: Evidence, reader: Reader, view: View, catalogue: Catalogue, files: list[Path], console: Console
) -> None:
    """Store the report in the study's own run, if there is one; its description becomes the summary."""
    if evidence.parent_id is None:
        return
    try:
        reader.publish(evidence.parent_id, note(view, catalogue, NOTE_CHARACTERS), files)
    except (TrackingError, StorageError) as problem:  # the report is there all the same
        console.say("MLflow", catalogue(said("mode.unpublished", reason=str(problem))), "yellow")
    else:
        console.say("MLflow", catalogue(said("mode.published", link=evidence.parent_link)))

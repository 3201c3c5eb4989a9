"""--mode report: what won, why, whether it is more than noise, and what to try next, as a page and in the terminal."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

from smart_tuner.cli.console import Console
from smart_tuner.cli.inputs import is_filter
from smart_tuner.cli.options import Options, make_folder
from smart_tuner.errors import StorageError, TrackingError
from smart_tuner.report.build import build_view, notice_unread
from smart_tuner.report.catalogue import Catalogue
from smart_tuner.report.evidence import Evidence
from smart_tuner.report.gathering import gather, gather_runs
from smart_tuner.report.message import Message, format_metric
from smart_tuner.report.pages import format_minutes, write_html, write_json, write_markdown
from smart_tuner.report.summary import write_note
from smart_tuner.report.view import Line, View
from smart_tuner.tracking.reader import Reader
from smart_tuner.tracking.tracker import NOTE_CHARACTERS

WRITERS: dict[str, Callable[[View, Catalogue], str]] = {"html": write_html, "md": write_markdown, "json": write_json}
SCREEN = 7
"""Trials in the terminal."""


def run_report(options: Options, console: Console) -> int:
    """Write the report. The exit code: 0 also when the study holds nothing to praise, for the report says so."""
    catalogue = Catalogue(options.lang)
    sources = [find_source(options, name) for name in options.compare or (options.study,)]
    views = [view_study(evidence, reader, catalogue) for evidence, reader in sources]
    shown = replace(views[0], others=tuple(views[1:]))
    folder = options.files.report(*(view.title for view in views))
    files = write_report(shown, catalogue, folder, options.format_.split(","))
    for view in views:
        show_view(view, catalogue, console)
    console.say(catalogue(Message("Report")), ", ".join(map(str, files)))
    if options.compare is None:
        publish_report(*sources[0], shown, catalogue, files, console)
    return 0


def view_study(evidence: Evidence, reader: Reader, catalogue: Catalogue) -> View:
    """A study's view, with what could not be read among its notices."""
    view = build_view(evidence, reader, catalogue)
    return replace(view, notices=(*view.notices, *map(notice_unread, reader.unread)))


def find_source(options: Options, name: str | None) -> tuple[Evidence, Reader]:
    """What is known of a study, or of the runs that a filter of MLflow finds: that has an operator in it."""
    if name is not None and is_filter(name):
        return gather_runs(options.tracking_uri, name)
    evidence, reader = gather(options.storage, options.tracking_uri, name)
    return replace(evidence, folder=str(options.find_study(evidence.folder).path) if evidence.folder else ""), reader


def write_report(view: View, catalogue: Catalogue, folder: Path, formats: list[str]) -> list[Path]:
    """Write the files, each complete or not at all. Raises StorageError for a folder that cannot be written to."""
    make_folder(folder)
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


def publish_report(
    evidence: Evidence, reader: Reader, view: View, catalogue: Catalogue, files: list[Path], console: Console
) -> None:
    """Store the report in the study's own run, if there is one; its description becomes the summary."""
    if evidence.parent_id is None:
        return
    try:
        reader.publish(evidence.parent_id, write_note(view, catalogue, NOTE_CHARACTERS), files)
    except (TrackingError, StorageError) as problem:  # the report is there all the same
        reason = Message(
            "the report could not be stored in the study's run, the files above are complete: {reason}",
            reason=str(problem),
        )
        console.say("MLflow", catalogue(reason), "yellow")
    else:
        stored = Message(
            "the report is also an artefact of the study's run, whose description now sums it up: {link}",
            link=evidence.parent_link,
        )
        console.say("MLflow", catalogue(stored))


# the terminal


def show_view(view: View, catalogue: Catalogue, console: Console) -> None:
    """The answer, the leaderboard's head, the stops and the commands: what fits on a screen."""
    notices = [Line(label=Message("Note"), text=notice) for notice in view.notices]
    console.say(view.title, f"{catalogue(view.kind)} · {catalogue(view.status)}")
    console.facts(say_lines([*view.answer, *notices], catalogue))
    console.say("")
    console.table(*list_screen(view, catalogue))
    console.say("")
    console.facts(say_lines(list_stop_lines(view), catalogue))
    console.say("")
    for typed in view.commands:
        console.say(f"{catalogue(typed.label)}:")
        console.say(typed.command)


def say_lines(lines: Iterable[Line], catalogue: Catalogue) -> list[tuple[str, str]]:
    return [(catalogue(line.label), catalogue(line.text)) for line in lines]


def list_screen(view: View, catalogue: Catalogue) -> tuple[list[str], list[list[str]]]:
    """Head and rows of the leaderboard: the first, and the baseline wherever it stands."""
    baseline = [row for row in view.rows[SCREEN:] if row.is_baseline]
    columns = [column.rsplit(".", 1)[-1].replace("_", "\n") for column in view.columns]
    head = [catalogue(Message("trial")), catalogue(Message("state")), *columns]
    rows = [
        [
            row.name,
            ", ".join(map(catalogue, row.marks)) or catalogue(row.state),
            *(format_metric(row.metrics.get(column)) for column in view.columns),
            format_minutes(row.minutes),
            catalogue(row.why) or row.changed,
        ]
        for row in [*view.rows[: SCREEN - len(baseline)], *baseline]
    ]
    return [*head, catalogue(Message("minutes")), catalogue(Message("changed"))], rows


def list_stop_lines(view: View) -> list[Line]:
    """How many trials were stopped, by which rules, and whether that was right."""
    if view.audit:
        return list(view.audit[:2])
    rules = " · ".join(f"{stop.rule} ({stop.kind}) {len(stop.names)}" for stop in view.stops)
    return [Line(label=Message("Stopped"), text=rules or Message("No trial was stopped by a rule."))]

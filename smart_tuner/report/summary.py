"""What a study comes to in short: for the terminal at the end of a training, and for its description in MLflow."""

from collections.abc import Mapping

from smart_tuner.report.answer import list_audit, write_answer
from smart_tuner.report.catalogue import Catalogue
from smart_tuner.report.evidence import Archive, Evidence, Points
from smart_tuner.report.finalists import find_finalists
from smart_tuner.report.findings import describe_kind, describe_status, list_notices
from smart_tuner.report.guide import judge_run, read_series
from smart_tuner.report.leaderboard import list_columns, list_rows
from smart_tuner.report.message import Message, format_metric
from smart_tuner.report.next_step import list_commands
from smart_tuner.report.view import TrialRow, View
from smart_tuner.settings.health import Health
from smart_tuner.settings.settings import parse_settings

SHORTEST_ROW = 20
"""Characters."""


def build_summary(
    evidence: Evidence, archive: Archive, series: Mapping[str, Mapping[str, Points]] | None = None
) -> View:
    """The answer, the audit, the commands and the leaderboard; build.build_view adds the rest.

    series: what training logged, by the run's name and the metric; of the runs in focus, which the answer is about,
    when it is not given.
    """
    finalists = find_finalists(evidence)
    known = read_series(finalists.in_focus, archive) if series is None else series
    health = find_health(evidence)
    verdicts = {run.name: judge_run(run, known.get(run.name, {}), health) for run in evidence.runs}
    return View(
        title=evidence.name,
        kind=describe_kind(evidence),
        status=describe_status(evidence),
        notices=list_notices(evidence),
        answer=write_answer(evidence, finalists, verdicts, archive),
        commands=tuple(list_commands(evidence, finalists, verdicts, archive)),
        columns=list_columns(evidence),
        rows=list_rows(evidence, finalists, verdicts),
        audit=list_audit(evidence),
    )


def find_health(evidence: Evidence) -> Health:
    """The thresholds that the study's trials were watched with; the defaults when they are not known."""
    settings = parse_settings(evidence.settings)
    return settings.health if settings is not None else Health()


# the description of the study's run in MLflow


def write_note(view: View, catalogue: Catalogue, characters: int) -> str:
    """Markdown of at most so many characters: the answer, then the leaderboard; rows that do not fit are counted."""
    lines = [f"- **{catalogue(line.label)}**: {catalogue(line.text)}" for line in view.answer]
    heads: list[Message | str] = [Message("trial"), Message("state"), *view.columns]
    heads += [Message("what it is"), Message("changed")]
    table = [[catalogue(head) for head in heads], ["---"] * len(heads)]
    table += [list_cells(row, view, catalogue) for row in view.rows]
    rows = [f"| {' | '.join(cells)} |" for cells in table]
    # the longest note that fits: rows are dropped from the end, one by one
    for kept in range(min(len(view.rows), characters // SHORTEST_ROW), 0, -1):
        more = [f"| {catalogue(Message('and {count} more', count=len(view.rows) - kept))} |"]
        text = "\n".join([*lines, "", *rows[: kept + 2], *(more if kept < len(view.rows) else [])])
        if len(text) <= characters:
            return text
    return "\n".join(lines)[:characters]


def list_cells(row: TrialRow, view: View, catalogue: Catalogue) -> list[str]:
    what = catalogue(row.why) or ", ".join(map(catalogue, row.marks))
    numbers = [format_metric(row.metrics.get(column)) for column in view.columns]
    name = f"[{row.name}]({row.link})" if row.link else row.name
    cells = (name, catalogue(row.state), *numbers, what, row.changed)
    return [" ".join(cell.split()).replace("|", r"\|") for cell in cells]

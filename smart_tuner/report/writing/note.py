"""The description of a study's own run in MLflow: a report's answer and its leaderboard, with links to the trials."""

from smart_tuner.report.catalogue import MISSING, Catalogue, said
from smart_tuner.report.view import Row, View
from smart_tuner.study.summary import shortened


def note(view: View, catalogue: Catalogue, characters: int) -> str:
    """Markdown of at most so many characters; rows that do not fit are counted."""
    text = "\n".join(f"- **{catalogue(line.label)}**: {catalogue(line.text)}" for line in view.answer)
    rows = [cells(row, view.columns, catalogue) for row in view.rows]
    kept = shortened(rows, characters - len(text) - 2, catalogue(said("note.more")))
    if not kept:
        return text[:characters]
    head = [f"| {' | '.join(kept[0])} |", "|" + "---|" * len(kept[0])]
    return "\n".join([text, "", *head, *(f"| {' | '.join(row.values())} |" for row in kept)])


def cells(row: Row, columns: tuple[str, ...], catalogue: Catalogue) -> dict[str, str]:
    """A trial's cells by column."""
    measured = {name: row.metrics.get(name) for name in columns}
    texts = {
        catalogue(said("note.trial")): f"[{row.name}]({row.link})" if row.link else row.name,
        catalogue(said("note.state")): catalogue(row.state),
        **{name: MISSING if value is None else f"{value:.4f}" for name, value in measured.items()},
        catalogue(said("note.why")): catalogue(row.why) or ", ".join(map(catalogue, row.marks)),
        catalogue(said("note.changed")): row.changed,
    }
    return {name: text.replace("|", "\\|").replace("\n", " ") for name, text in texts.items()}

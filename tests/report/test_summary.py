"""The summary says what the whole report says; as a note it fits into so many characters."""

import dataclasses

from smart_tuner.report.build import build_view
from smart_tuner.report.catalogue import Catalogue
from smart_tuner.report.summary import build_summary, find_health, write_note
from smart_tuner.settings.health import Health
from smart_tuner.settings.settings import Settings
from tests.support import views
from tests.support.evidenced import Shelf, answered, confirmed, run, stopped, study

LIMIT = 7500
HEALTHY = {"validation.alignment_score": 0.9, "validation.gate_mean": 0.5}
SICK_END = [(step, 20.0) for step in range(1, 201)]


def test_it_gives_the_same_answer_audit_and_commands_as_the_report() -> None:
    runs = [run(result, metrics=HEALTHY) for result in (*confirmed(), stopped(2))]
    evidence = study([], *runs, winner=1)
    shelf = Shelf({("id-1", "grad.norm"): SICK_END})
    summary, view = build_summary(evidence, shelf), build_view(evidence, shelf, Catalogue("en"))
    for part in ("title", "kind", "status", "answer", "audit", "commands", "columns"):
        assert getattr(summary, part) == getattr(view, part), part
    assert "Sick: grad.norm 20" in Catalogue("en")(summary.answer[2].text), "the curves of the best are read"
    assert (summary.curves, summary.advice, summary.trials) == ((), (), None)


def test_only_the_curves_of_those_in_focus_are_read() -> None:
    shelf = Shelf()
    build_summary(study([*confirmed(), *(stopped(number) for number in range(2, 9))]), shelf)
    assert shelf.asked == {"id-0", "id-1", "id-8"}  # baseline, best, worst; the median is one of them


def test_health_is_the_studys_own_or_the_usual_one() -> None:
    strict = dataclasses.replace(Settings(), health=Health(formed_score=0.95))
    evidence = study([], run(confirmed()[1], metrics=HEALTHY), settings=strict.to_yaml())
    assert find_health(evidence) == strict.health
    assert find_health(study([], settings="hparams: {of_another_version: 1}")) == find_health(study([])) == Health()
    health = dict(zip(answered(evidence), build_summary(evidence, Shelf()).answer, strict=True))["Health"]
    assert "good above 0.95" in Catalogue("en")(health.text)


def test_the_note_starts_with_the_answer_and_links_to_the_trials() -> None:
    view = views.view()
    text = write_note(view, Catalogue("en"), LIMIT)
    assert text.startswith("- **Best**: trial-0000")
    assert all(f"[{row.name}]({row.link})" in text for row in view.rows if row.link)
    assert all(f" {column} |" in text.splitlines()[6] for column in view.columns)


def test_rows_that_do_not_fit_are_counted() -> None:
    many = views.view(rows=(views.row(0),) * 500)
    for catalogue, more in ((Catalogue("en"), "and {} more"), (Catalogue("ru"), "и ещё {}")):
        text = write_note(many, catalogue, LIMIT)
        shown = sum(line.startswith("| [") for line in text.splitlines())
        assert 0.9 * LIMIT < len(text) <= LIMIT
        assert text.endswith(f"| {more.format(500 - shown)} |")


def test_cells_do_not_break_the_table() -> None:
    odd = dataclasses.replace(views.row(0), changed="a|b\nc", name="x|y")
    lines = write_note(views.view(rows=(odd,)), Catalogue("en"), LIMIT).splitlines()
    assert sum("x\\|y" in line and "a\\|b c" in line for line in lines) == 1


def test_a_study_without_trials_is_its_answer() -> None:
    view = views.view(rows=())
    assert len(write_note(view, Catalogue("en"), LIMIT).splitlines()) == len(view.answer)
    assert len(write_note(view, Catalogue("en"), 100)) == 100

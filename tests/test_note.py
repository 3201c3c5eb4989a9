"""The description of a study's run: the answer, and as many trials as fit."""

import dataclasses

from smart_tuner.report.catalogue import Catalogue
from smart_tuner.report.writing.note import note
from tests import views

LIMIT = 7500


def test_it_starts_with_the_answer_and_links_to_the_trials() -> None:
    view = views.view()
    text = note(view, Catalogue("en"), LIMIT)
    assert text.startswith("- **")
    assert all(f"[{row.name}]({row.link})" in text for row in view.rows if row.link)
    head = next(one for one in text.splitlines() if one.startswith("| "))
    assert all(f" {column} |" in head for column in view.columns)


def test_rows_that_do_not_fit_are_counted() -> None:
    view = views.view()
    many = dataclasses.replace(view, rows=view.rows[:1] * 500)
    text = note(many, Catalogue("en"), LIMIT)
    assert len(text) <= LIMIT
    shown = sum(one.startswith("| [") for one in text.splitlines())
    assert 10 < shown < 500
    assert f"and {500 - shown} more" in text
    russian = note(many, Catalogue("ru"), LIMIT)
    kept = sum(one.startswith("| [") for one in russian.splitlines())
    assert len(russian) <= LIMIT
    assert f"и ещё {500 - kept}" in russian


def test_cells_do_not_break_the_table() -> None:
    view = views.view()
    odd = dataclasses.replace(view.rows[0], changed="a|b\nc", name="x|y")
    text = note(dataclasses.replace(view, rows=(odd,)), Catalogue("en"), LIMIT)
    (line,) = [one for one in text.splitlines() if "x\\|y" in one]
    assert "a\\|b c" in line


def test_a_report_without_trials_is_its_answer() -> None:
    view = dataclasses.replace(views.view(), rows=())
    text = note(view, Catalogue("en"), LIMIT)
    assert len(text.splitlines()) == len(view.answer)
    assert all(one.startswith("- **") for one in text.splitlines())

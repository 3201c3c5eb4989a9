"""What --mode report shows in the terminal."""

import io
import re

import pytest
from rich.console import Console as RichConsole

from smart_tuner.cli.console import Console
from smart_tuner.cli.report import list_screen, list_stop_lines, show_view
from smart_tuner.report.catalogue import LANGUAGES, Catalogue
from smart_tuner.report.view import View
from tests.support import views

ENGLISH = Catalogue("en")


def screen(view: View, width: int, language: str = "en") -> list[str]:
    """The lines of a terminal so wide, long ones wrapped."""
    console, shown = Console(), io.StringIO()
    console.out = RichConsole(file=shown, force_terminal=True, color_system=None, width=width, soft_wrap=True)
    show_view(view, Catalogue("ru" if language == "ru" else "en"), console)
    lines = shown.getvalue().splitlines()
    return [line[start : start + width] for line in lines for start in range(0, max(1, len(line)), width)]


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_summary_fits_on_a_screen(language: str) -> None:
    many = views.view(rows=views.rows(60))
    assert len(screen(many, 120, language)) <= 40
    assert len(screen(many, 80, language)) <= 48


def test_the_screen_shows_the_answer_the_best_the_baseline_and_the_stops() -> None:
    shown = "\n".join(screen(views.view(rows=views.rows(60)), 120))
    assert re.search(r"^Best +trial-0000 with validation.loss 0.4100", shown, re.MULTILINE)
    assert re.search(r"^trial-0000 +best, winner +0.4100 +0.9000", shown, re.MULTILINE)
    assert re.search(r"^trial-0009 +baseline +0.6170", shown, re.MULTILINE)
    assert "trial-0005" in shown
    assert "trial-0006" not in shown
    assert "2 doomed trials ran on" in shown
    assert "--from-study" in shown


def test_the_baseline_is_shown_wherever_it_stands_and_once() -> None:
    for count, last in ((60, "trial-0009"), (5, "trial-0004")):
        names = [cells[0] for cells in list_screen(views.view(rows=views.rows(count)), ENGLISH)[1]]
        assert names[-1] == last
        assert len(names) == len(set(names)) == min(7, count)


def test_without_an_audit_the_terminal_counts_the_rules() -> None:
    lines = list_stop_lines(views.view(audit=()))
    assert [ENGLISH(line.text) for line in lines] == ["attention_late (health) 1 · asha (pruner) 15"]
    assert "No trial was stopped by a rule." in "\n".join(screen(views.empty(), 80))

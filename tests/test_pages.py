"""A report's page is whole, loads nothing, escapes everything and can be read by everybody; so are its twins."""

import importlib.resources
import io
import re
from html.parser import HTMLParser
from itertools import pairwise
from json import loads
from pathlib import Path

import pytest
from rich.console import Console as RichConsole

from smart_tuner import documents
from smart_tuner.console import Console
from smart_tuner.report.catalogue import LANGUAGES, Catalogue, said
from smart_tuner.report.phrases import figure
from smart_tuner.report.view import View
from smart_tuner.report.writing import pages
from tests import views
from tests.views import LONG, NASTY

PACKAGE = Path(str(importlib.resources.files("smart_tuner.report")))
ENGLISH = Catalogue("en")
VOID = {"meta", "link", "img", "br", "wbr", "hr", "input"}
WRITTEN = ("pages.py", "differences.py", "page.html", "page.md")
SECTIONS = ["answer", "leaderboard", "verdicts", "stops", "matters", "curves", "plots", "advice", "reproduction"]


class Page(HTMLParser):
    """The elements of a page, in order, and what is wrong with their nesting."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.found: list[tuple[str, dict[str, str]]] = []
        self.texts: list[tuple[str, str]] = []
        self.wrong: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, {name: value or "" for name, value in attrs}))
        if len(dict(attrs)) != len(attrs):
            self.wrong.append(f"{tag} repeats an attribute")
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.wrong.append(f"</{tag}> at {self.getpos()}")

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.texts.append((self.open[-1] if self.open else "", " ".join(data.split())))

    def values(self, name: str, *tags: str) -> list[str]:
        """An attribute's values, of all elements or of some."""
        return [attrs[name] for tag, attrs in self.found if name in attrs and (not tags or tag in tags)]

    def tags(self, *names: str) -> list[str]:
        """The elements of these names, in order."""
        return [tag for tag, _ in self.found if tag in names]

    def said(self) -> str:
        """All its words."""
        return " ".join(text for tag, text in self.texts if tag != "style")


def page(view: View, language: str = "en") -> Page:
    """A view's page."""
    return Page(pages.html(view, Catalogue("ru" if language == "ru" else "en")))


def compared() -> View:
    """Two studies side by side."""
    return views.view(others=(views.view(title="second", rows=views.rows(5)),))


EVERY = {"full": views.view(), "nasty": views.nasty(), "empty": views.empty(), "compared": compared()}


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", EVERY)
def test_the_page_is_well_formed(name: str, language: str) -> None:
    text = pages.html(EVERY[name], Catalogue(language))
    found = Page(text)
    ids = found.values("id")
    assert text.startswith("<!doctype html>")
    assert found.wrong == []
    assert found.open == []
    assert len(ids) == len(set(ids))
    assert found.values("lang", "html") == [language]
    assert "Said(" not in text


@pytest.mark.parametrize("name", EVERY)
def test_links_within_the_page_and_labels_lead_somewhere(name: str) -> None:
    found = page(EVERY[name])
    inside = {link.removeprefix("#") for link in found.values("href", "a") if link.startswith("#")}
    assert (inside | set(found.values("aria-labelledby"))) <= set(found.values("id"))
    assert {f"{one}-heading" for one in SECTIONS} <= set(found.values("aria-labelledby"))


@pytest.mark.parametrize("name", EVERY)
def test_nothing_is_loaded_and_nothing_runs(name: str) -> None:
    found = page(EVERY[name])
    loaded = found.values("src") + found.values("href", "link") + found.values("srcset") + found.values("poster")
    style = pages.resource("page.css")
    assert all(one == "" or one.startswith("data:") for one in loaded)
    assert all(link.startswith(("#", "http://127.0.0.1:5000/")) for link in found.values("href", "a"))
    assert found.tags("script", "iframe", "object", "embed", "form", "base") == []
    assert not [attribute for _, attrs in found.found for attribute in attrs if attribute.startswith("on")]
    assert "url(" not in style
    assert "@import" not in style
    assert "default-src 'none'" in " ".join(found.values("content", "meta"))


def test_what_was_logged_is_shown_as_it_is() -> None:
    found = page(views.nasty())
    shown = " ".join(NASTY.split())
    assert found.said().count(shown) > 20
    assert LONG in found.said()
    assert ("h1", shown) in found.texts


@pytest.mark.parametrize("name", EVERY)
def test_headings_go_down_one_level_at_a_time(name: str) -> None:
    levels = [int(tag[1]) for tag in page(EVERY[name]).tags("h1", "h2", "h3", "h4", "h5")]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))


def test_sections_stand_in_the_order_in_which_a_person_asks() -> None:
    found = page(views.view())
    assert [attrs["id"] for tag, attrs in found.found if tag == "section"] == SECTIONS
    assert [link for link in found.values("href", "a") if link[1:] in SECTIONS][1:] == [f"#{one}" for one in SECTIONS]
    assert found.tags("header", "nav", "main", "footer") == ["header", "nav", "main", "footer"]


def test_the_answer_comes_before_all_else() -> None:
    answered = [text for tag, text in page(views.view()).texts if tag == "dt"][:5]
    assert answered == ["Best", "Gain", "Health", "Cost", "Next"]


def test_tables_have_captions_scopes_and_a_region_that_scrolls_by_keyboard() -> None:
    found = page(views.view())
    regions = [attrs for tag, attrs in found.found if attrs.get("role") == "region"]
    assert len(found.tags("caption")) == len(found.tags("table")) == len(regions) == 6
    assert all(one["tabindex"] == "0" and one["aria-label"] for one in regions)
    assert set(found.values("scope", "th")) == {"col", "row"}
    assert len(found.values("scope", "th")) == len(found.tags("th"))


def test_what_is_drawn_has_words() -> None:
    found = page(views.view())
    charts = len(views.view().matters) + len(views.view().curves)
    assert all(found.values("alt", "img"))
    assert len(found.values("alt", "img")) == len(found.tags("img")) == 7
    assert len(found.values("aria-label", "svg")) == charts
    assert found.said().count("the best quarter lies from 3e-4 to 7e-4") == charts
    assert found.said().count("1.9213") == charts


def test_a_verdict_is_a_symbol_a_word_a_number_and_a_threshold() -> None:
    said_of = page(views.view()).said()
    assert "✓ good 0.900" in said_of
    assert "▲ watch 0.608" in said_of
    assert "✕ sick 0.317" in said_of
    assert "✓ 5 good ▲ 4 watch ✕ 2 sick" in said_of
    assert said_of.count("> 0.5 good, < 0.3 sick") == 1
    assert said_of.count("a: below 5 b: below 5, early") == 1
    assert "▲ watch 8.00 b" in said_of
    assert said_of.count("falls from …") == 1
    assert "✓ good 0.030 … 0.5000" in said_of


def test_runs_that_share_a_name_have_rows_of_their_own() -> None:
    found = page(views.view(rows=(views.row(0, name="mine"), views.row(1, name="mine"))))
    assert [one for one in found.values("id") if one.startswith("run-")] == ["run-0-0", "run-0-1"]


def test_a_trial_leads_to_its_run_or_says_that_there_is_none() -> None:
    found = page(views.view())
    assert f"{views.MLFLOW}{1:032x}" in found.values("href", "a")
    assert ("small", "no run in MLflow") in found.texts


def test_voices_are_named_only_when_asked() -> None:
    text = pages.html(views.view(), ENGLISH)
    heard = text[text.index('<article class="sentence">') : text.index("</article>", text.index("Voice C"))]
    blind, who = heard.split("<details", 1)
    assert blind.count('preload="none"') == 4
    assert "trial-" not in blind
    assert re.findall(r"<dt>(\w)</dt><dd><a [^>]*>([\w-]+)", who) == [
        ("A", "trial-0009"),
        ("B", "trial-0000"),
        ("C", "trial-0001"),
    ]


def test_a_long_leaderboard_is_folded_after_its_best() -> None:
    text = pages.html(views.view(rows=views.rows(1000)), ENGLISH)
    shown, folded = text.split("The other trials: 900")
    assert 'id="run-0-99"' in shown
    assert 'id="run-0-100"' in folded
    assert "The other trials: 974" in folded
    assert len(text) < 2_000_000


def test_an_empty_study_says_what_is_not_there() -> None:
    found = page(views.empty())
    assert [attrs["id"] for tag, attrs in found.found if tag == "section"] == SECTIONS
    assert found.tags("table", "svg", "img", "audio") == []
    assert sum(attrs.get("class") == "nothing" for _, attrs in found.found) == 9


# colours


def colours(style: str) -> dict[str, str]:
    return dict(re.findall(r"--([a-z]+): (#[0-9a-f]{6});", style))


def contrast(one: str, other: str) -> float:
    """WCAG 2.2's ratio."""

    def luminance(colour: str) -> float:
        parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_words_stand_out_from_the_paper(scheme: str) -> None:
    parts = pages.resource("page.css").split("(prefers-color-scheme: dark)")
    found = colours(parts[("light", "dark").index(scheme)])
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    for name in ("ink", "muted", "link", "best", "baseline", "median", "good", "watch", "sick"):
        for ground in ("paper", "sunk"):
            assert contrast(found[name], found[ground]) >= 4.5, (name, ground)
    assert contrast(found["other"], found["paper"]) >= 3
    assert {"grid", "raised"} < set(found)


# comparison


def test_two_studies_stand_side_by_side() -> None:
    found = page(compared())
    assert ("h1", "Comparison: ivr_ru_first, second") in found.texts
    assert [text for tag, text in found.texts if tag == "h3"] == ["ivr_ru_first", "second"] * 9
    assert {"run-0-11", "run-1-4"} < set(found.values("id"))


# Markdown


def test_markdown_has_the_same_parts_in_the_same_order() -> None:
    lines = pages.markdown(views.view(), ENGLISH).splitlines()
    assert lines[0] == "# ivr_ru_first"
    headings = [line[3:] for line in lines if line.startswith("## ")]
    assert headings == [ENGLISH(said(f"page.{one}")) for one in SECTIONS]
    assert "- **Next**: Train trial-0000 at full length and listen to it." in lines
    assert "1. **Widen hparams.learning_rate upwards, to 4e-3.** The best, trial-0000, has 1.9e-3, " in "\n".join(lines)


def test_markdown_tables_are_whole() -> None:
    for view in EVERY.values():
        written = re.sub(r"^( *)(`{3,}).*?^\1\2$", "", pages.markdown(view, ENGLISH), flags=re.DOTALL | re.MULTILINE)
        tables = re.findall(r"(?:^\|.*\n)+", written, flags=re.MULTILINE)
        assert bool(tables) == bool(view.rows)
        for table in tables:
            rows = table.splitlines()
            assert set(rows[1]) == {"|", "-"}
            assert len({len(re.findall(r"(?<!\\)\|", row)) for row in rows}) == 1


def test_markdown_shows_what_was_logged_as_it_is() -> None:
    told = r"\<script>alert('x')\</script> | \"quoted\" & \`code\` \*bold\* \[link\](http://evil.example) second line"
    assert pages.inline(NASTY) == told.replace('\\"', '"')
    assert pages.cell(pages.inline("a | b\nc")) == r"a \| b c"
    assert pages.inline("validation.alignment_score > 0.5, < 0.3 [0.1, 0.2] _x_ &lt;") == (
        r"validation.alignment_score > 0.5, < 0.3 [0.1, 0.2] \_x\_ &amp;lt;"
    )
    assert pages.fence("a\n````\nb") == "`````\na\n````\nb\n`````"


def test_markdown_fits_into_a_pull_request() -> None:
    many = views.view(rows=views.rows(1000), settings="x: 1\n" * 9_000)
    written = pages.markdown(many, ENGLISH)
    assert len(written) <= pages.PULL_REQUEST
    assert "Not shown here: 960." in written
    assert "x: 1" not in written
    assert "batch_size: 16" in pages.markdown(views.view(), ENGLISH)


def test_markdown_holds_no_picture_and_no_unsafe_link() -> None:
    written = pages.markdown(views.nasty(), ENGLISH)
    assert "data:" not in written
    assert "javascript:" not in written


# JSON


def test_json_holds_the_sentences_and_the_numbers_but_no_drawing() -> None:
    view = views.view(rows=(views.row(0, minutes=float("nan")),))
    told = loads(pages.json(view, ENGLISH))
    assert told["answer"][4] == {
        "label": "Next",
        "text": "Train trial-0000 at full length and listen to it.",
        "link": "",
    }
    assert told["rows"][0]["metrics"]["validation.loss"] == 0.41
    assert told["rows"][0]["minutes"] is None
    assert told["curves"][0]["rows"][0] == ["trial-0000", "1.9213", "0.4100"]
    assert "data:" not in pages.json(view, ENGLISH)
    assert "<svg" not in pages.json(view, ENGLISH)


# terminal


def screen(view: View, width: int, language: str = "en") -> list[str]:
    """The lines of a terminal so wide, long ones wrapped."""
    console, shown = Console(), io.StringIO()
    console.out = RichConsole(file=shown, force_terminal=True, color_system=None, width=width, soft_wrap=True)
    pages.terminal(view, Catalogue("ru" if language == "ru" else "en"), console)
    lines = shown.getvalue().splitlines()
    return [line[start : start + width] for line in lines for start in range(0, max(1, len(line)), width)]


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_summary_fits_on_a_screen(language: str) -> None:
    many = views.view(rows=views.rows(60))
    assert len(screen(many, 120, language)) <= 40
    assert len(screen(many, 80, language)) <= 48


def test_the_screen_shows_the_answer_the_best_the_baseline_the_verdicts_and_the_stops() -> None:
    shown = "\n".join(screen(views.view(rows=views.rows(60)), 120))
    assert re.search(r"^Best +trial-0000 with validation.loss 0.4100", shown, re.MULTILINE)
    assert re.search(r"^trial-0000 +best, winner +0.4100 +0.9000", shown, re.MULTILINE)
    assert re.search(r"^trial-0009 +baseline +0.6170", shown, re.MULTILINE)
    assert "trial-0005" in shown
    assert "trial-0006" not in shown
    assert "✕ sick: " in shown
    assert "2 doomed trials ran on" in shown
    assert "--from-study" in shown


def test_reruns_do_not_crowd_the_screen() -> None:
    again = tuple(views.row(number, marks=(views.words("rerun of the best"),)) for number in range(60, 63))
    assert [cells[0] for cells in pages.screen(views.view(rows=views.rows(60) + again), ENGLISH)[1]] == [
        *(f"trial-{number:04d}" for number in range(6)),
        "trial-0009",
    ]


def test_the_terminal_names_what_is_not_good() -> None:
    lines = pages.verdict_lines(views.view(rows=(views.row(6), views.row(11))), ENGLISH)
    assert [ENGLISH(line.text) for line in lines] == [
        "trial-0006: ✓ good 1 · ▲ watch: validation.alignment_score 0.550, validation.attention_focus 0.600, "
        "validation.gate_mean 0.250, …",
        "✓ good 2 · ✕ sick: validation.alignment_score 1, validation.attention_focus 1, validation.gate_mean 1, … · "
        "▲ watch: validation.alignment_score 1, validation.attention_focus 1, validation.gate_mean 1, …",
    ]


def test_the_terminal_judges_the_best_and_counts_those_that_ended() -> None:
    best = views.row(8, marks=(said("findings.mark_best"),))
    early = [
        views.row(number, state=said(f"findings.state_{how}")) for number, how in ((9, "running"), (10, "interrupted"))
    ]
    lines = [ENGLISH(line.text) for line in pages.verdict_lines(views.view(rows=(views.row(0), best, *early)), ENGLISH)]
    assert lines[0].startswith("trial-0008: ")
    assert lines[1] == (
        "✓ good 6 · ▲ watch: validation.alignment_score 1, validation.attention_focus 1, validation.gate_mean 1, …"
    )
    assert len(pages.verdict_lines(views.view(rows=(best, *early)), ENGLISH)) == 1


def test_the_page_marks_verdicts_on_a_run_that_is_still_in_training() -> None:
    running = views.view(rows=(views.row(0), views.row(11, state=said("findings.state_running"))))
    told = page(running).said()
    assert "trial-0011 running" in told
    assert "all that ended ✓ 1 good ✓ 1 good" in told
    assert "| trial-0011 (running) |" in pages.markdown(running, ENGLISH)


def test_without_an_audit_the_terminal_counts_the_rules() -> None:
    assert [ENGLISH(line.text) for line in pages.stop_lines(views.view(audit=()), ENGLISH)] == [
        "attention_late (health) 1 · asha (pruner) 15"
    ]


def test_an_empty_study_has_a_screen_too() -> None:
    shown = "\n".join(screen(views.empty(), 80))
    assert "No run has a metric that the guide judges." in shown
    assert "No trial was stopped by a rule." in shown


# numbers and strings


@pytest.mark.parametrize(
    ("value", "shown"), [(0.41, "0.4100"), (-3.0, "-3.0000"), (123456.7, "1.235e+05"), (None, "–"), (float("nan"), "–")]
)
def test_a_measured_number_has_four_decimals(value: float | None, shown: str) -> None:
    assert figure(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"), [(0.0, "0.000"), (0.0000123, "1.2e-05"), (0.0416, "0.042"), (6.214, "6.21"), (1234.5, "1,234")]
)
def test_a_judged_number_has_three_digits(value: float, shown: str) -> None:
    assert pages.short(value) == shown


@pytest.mark.parametrize(("value", "shown"), [(14.26, "14.3"), (250.4, "250"), (None, "–"), (float("inf"), "–")])
def test_minutes_are_rounded(value: float | None, shown: str) -> None:
    assert pages.minutes(value) == shown


def test_every_string_of_the_page_is_used_and_is_there_in_each_language() -> None:
    strings = documents.value((PACKAGE / "strings" / "page.yaml").read_text(encoding="utf-8"))
    written = "".join((PACKAGE / "writing" / name).read_text(encoding="utf-8") for name in WRITTEN)
    used = set(re.findall(r"page\.[a-z_]+", written)) - {"page.html", "page.md", "page.css"}
    assert used | {f"page.{one}" for one in SECTIONS} == set(strings)
    for texts in strings.values():
        assert set(texts) == set(LANGUAGES)
        assert len({frozenset(re.findall(r"{\w+", text)) for text in texts.values()}) == 1

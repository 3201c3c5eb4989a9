"""A report's page is whole, loads nothing, escapes everything and can be read by everybody; so are its twins."""

import re
from html.parser import HTMLParser
from itertools import pairwise
from json import loads

import pytest

from smart_tuner.report import pages
from smart_tuner.report.catalogue import LANGUAGES, Catalogue
from smart_tuner.report.message import MISSING, Message
from smart_tuner.report.pages import list_differences
from smart_tuner.report.view import Line, View
from tests.support import views
from tests.support.views import LONG, NASTY

ENGLISH = Catalogue("en")
VOID = {"meta", "link", "img", "br", "wbr", "hr", "input"}
SECTIONS = list(pages.SECTIONS)


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
        return [tag for tag, _ in self.found if tag in names]

    def said(self) -> str:
        return " ".join(text for tag, text in self.texts if tag != "style")


def page(view: View) -> Page:
    return Page(pages.write_html(view, ENGLISH))


COMPARED = views.view(others=(views.view(title="second", rows=views.rows(5)),))
EVERY = {"full": views.view(), "nasty": views.nasty(), "empty": views.empty(), "compared": COMPARED}


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", EVERY)
def test_the_page_is_well_formed(name: str, language: str) -> None:
    text = pages.write_html(EVERY[name], Catalogue(language))
    found = Page(text)
    ids = found.values("id")
    assert text.startswith("<!doctype html>")
    assert (found.wrong, found.open) == ([], [])
    assert len(ids) == len(set(ids))
    assert found.values("lang", "html") == [language]
    assert "Message(" not in text


@pytest.mark.parametrize("name", EVERY)
def test_links_within_the_page_and_labels_lead_somewhere(name: str) -> None:
    found = page(EVERY[name])
    inside = {link.removeprefix("#") for link in found.values("href", "a") if link.startswith("#")}
    assert (inside | set(found.values("aria-labelledby"))) <= set(found.values("id"))
    assert {f"{section}-heading" for section in SECTIONS} <= set(found.values("aria-labelledby"))


@pytest.mark.parametrize("name", EVERY)
def test_headings_go_down_one_level_at_a_time(name: str) -> None:
    levels = [int(tag[1]) for tag in page(EVERY[name]).tags("h1", "h2", "h3", "h4", "h5")]
    assert (levels[0], levels.count(1)) == (1, 1)
    assert all(after <= before + 1 for before, after in pairwise(levels))


@pytest.mark.parametrize("name", EVERY)
def test_nothing_is_loaded_and_nothing_runs(name: str) -> None:
    found = page(EVERY[name])
    loaded = found.values("src") + found.values("href", "link") + found.values("srcset") + found.values("poster")
    style = pages.read_resource("page.css")
    assert all(source == "" or source.startswith("data:") for source in loaded)
    assert all(link.startswith(("#", "http://127.0.0.1:5000/")) for link in found.values("href", "a"))
    assert found.tags("script", "iframe", "object", "embed", "form", "base") == []
    assert not [attribute for _, attrs in found.found for attribute in attrs if attribute.startswith("on")]
    assert not re.search(r"url\(|@import", style)
    assert "default-src 'none'" in " ".join(found.values("content", "meta"))


def test_what_was_logged_is_shown_as_it_is() -> None:
    found = page(views.nasty())
    shown = " ".join(NASTY.split())
    assert found.said().count(shown) > 20
    assert LONG in found.said()
    assert ("h1", shown) in found.texts


def test_sections_stand_in_the_order_in_which_a_person_asks_and_the_answer_first() -> None:
    found = page(views.view())
    assert [attrs["id"] for tag, attrs in found.found if tag == "section"] == SECTIONS
    assert [link[1:] for link in found.values("href", "a") if link[1:] in SECTIONS][1:] == SECTIONS
    assert found.tags("header", "nav", "main", "footer") == ["header", "nav", "main", "footer"]
    assert [text for tag, text in found.texts if tag == "dt"][:5] == ["Best", "Gain", "Health", "Cost", "Next"]


def test_tables_have_captions_scopes_and_a_region_that_scrolls_by_keyboard() -> None:
    found = page(views.view())
    regions = [attrs for tag, attrs in found.found if attrs.get("role") == "region"]
    assert len(found.tags("caption")) == len(found.tags("table")) == len(regions) == 7
    assert all(region["tabindex"] == "0" and region["aria-label"] for region in regions)
    assert set(found.values("scope", "th")) == {"col", "row"}
    assert len(found.values("scope", "th")) == len(found.tags("th"))


def test_what_is_drawn_has_words() -> None:
    found = page(views.view())
    assert all(found.values("alt", "img"))
    assert len(found.values("alt", "img")) == len(found.tags("img")) == 7
    said = found.said()
    assert len(found.values("aria-label", "svg")) == said.count("the best quarter lies from 3e-4 to 7e-4") == 5
    assert said.count("1.9213") == 5  # in the tables of numbers


def test_the_picture_of_all_trials_is_the_first_after_the_answer() -> None:
    text = pages.write_html(views.view(), ENGLISH)
    answer = text[text.index('<section id="answer"') : text.index('<section id="leaderboard"')]
    assert answer.index("at full length and listen to it") < answer.index("<svg") < answer.index("What is missing")
    assert 'aria-label="All trials: validation.loss"' in answer
    lines = pages.write_markdown(views.view(), ENGLISH).splitlines()
    (summary,) = [line for line in lines if line.startswith("- **All trials: validation.loss**: It ends at 0.4100")]
    assert lines.index("## The answer") < lines.index(summary) < lines.index("**What is missing**")


def test_a_verdict_is_a_symbol_a_word_and_a_number_with_what_is_not_good_explained() -> None:
    said, written = page(views.view()).said(), pages.write_markdown(views.view(), ENGLISH)
    for text in ("✓ good 0.9", "▲ watch 0.608", "✕ sick 0.317", "✓ 5 good ▲ 4 watch ✕ 2 sick"):
        assert text in said
    assert said.count("> 0.5 good, < 0.3 sick") == written.count("0.5 good, < 0.3 sick") == 1, "once, for all runs"
    assert "▲ watch 8 below 5, early" in said
    assert said.count("below 5, early") == written.count("(below 5, early)") == 5
    assert "✓ good 2 below" not in said
    assert "falls from" not in said, "runs differ in it, and all are good"


def test_a_run_that_is_still_in_training_is_marked_and_not_counted() -> None:
    running = views.view(rows=(views.row(0), views.row(11, state=views.words("running"), is_open=True)))
    said = page(running).said()
    assert "trial-0011 running" in said
    assert "all that ended ✓ 1 good ✓ 1 good" in said
    assert "| trial-0011 (running) |" in pages.write_markdown(running, ENGLISH)


def test_trials_lead_to_their_rows_and_these_to_mlflow_or_say_that_there_is_no_run() -> None:
    found = page(views.view())
    assert f"{views.MLFLOW}{1:032x}" in found.values("href", "a")
    assert ("small", "no run in MLflow") in found.texts
    parts = pages.StudyOnPage(views.view(), ENGLISH, 0).split_names("trial-0001 beats trial-0099.")
    assert parts == [("trial-0001", "run-0-1"), (" beats ", ""), ("trial-0099", ""), (".", "")]
    twins = page(views.view(rows=(views.row(0, name="mine"), views.row(1, name="mine"))))
    assert [anchor for anchor in twins.values("id") if anchor.startswith("run-")] == ["run-0-0", "run-0-1"]


def test_voices_are_named_only_when_asked() -> None:
    text = pages.write_html(views.view(), ENGLISH)
    heard = text[text.index('<article class="sentence">') : text.index("</article>", text.index("Voice C"))]
    blind, who = heard.split("<details", 1)
    assert blind.count('preload="none"') == 4
    assert "trial-" not in blind
    named = re.findall(r"<dt>(\w)</dt><dd><a [^>]*>([\w-]+)", who)
    assert named == [("A", "trial-0009"), ("B", "trial-0000"), ("C", "trial-0001")]


def test_a_long_leaderboard_is_folded_after_its_best() -> None:
    text = pages.write_html(views.view(rows=views.rows(1000)), ENGLISH)
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


def contrast(first: str, second: str) -> float:
    """WCAG 2.2's ratio."""

    def luminance(colour: str) -> float:
        parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    dark, light = sorted((luminance(first), luminance(second)))
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_words_stand_out_from_the_paper(scheme: str) -> None:
    parts = pages.read_resource("page.css").split("(prefers-color-scheme: dark)")
    found = colours(parts[("light", "dark").index(scheme)])
    for name in ("ink", "muted", "link", "best", "baseline", "good", "watch", "sick"):
        for ground in ("paper", "sunk"):
            assert contrast(found[name], found[ground]) >= 4.5, (name, ground)
    assert contrast(found["other"], found["paper"]) >= 3


# comparison


def test_two_studies_stand_side_by_side() -> None:
    found = page(COMPARED)
    assert ("h1", "Comparison: ivr_ru_first, second") in found.texts
    assert [text for tag, text in found.texts if tag == "h3"] == ["ivr_ru_first", "second"] * 9
    assert {"run-0-11", "run-1-4"} < set(found.values("id"))


def test_the_table_says_what_differs_but_for_what_always_does() -> None:
    seeds = Line(label=Message("Seeds"), text="1-5", always_differs=True)
    second = views.view(title="second", rows=views.rows(5), reproduction=(*views.view().reproduction[:1], seeds))
    found = list_differences([views.view(), second], ENGLISH)
    assert [name for name, _, _ in found] == [
        *("Objective", "Runs", "Status", "Best", "Gain", "Corpus", "Budget", "Settings", "Search space")
    ]
    assert ("Runs", ["12", "5"], True) in found
    assert ("Objective", ["validation.loss"] * 2, False) in found
    assert ("Budget", ["300000utt", MISSING], True) in found
    assert ("Settings", ["keys: 2", "keys: 2"], False) in found
    assert list_differences([views.view()], ENGLISH) == []


def test_settings_are_compared_by_key_and_spaces_by_parameter() -> None:
    settings = "hparams: {learning_rate: 0.0004, batch_size: 32, deep: {known: true}}"
    space = "parameters: {hparams.learning_rate: {type: float, low: %s, high: 0.002, log: true, choices: [], when: {}}}"
    found = list_differences(
        [views.view(space=space % "0.0"), views.view(space=space % "1.0e-4", settings=settings)], ENGLISH
    )
    ranges = ["type float, low 0.0, high 0.002, log true", "type float, low 0.0001, high 0.002, log true"]
    assert found[-5:] == [
        ("Settings", ["keys: 2", "keys: 3"], True),
        ("hparams.batch_size", ["16", "32"], True),
        ("hparams.deep.known", [MISSING, "true"], True),
        ("Search space", ["keys: 1", "keys: 1"], True),
        ("parameters.hparams.learning_rate", ranges, True),
    ]


def test_what_is_unknown_is_not_compared_key_by_key() -> None:
    found = list_differences([views.view(), views.view(settings="", space="no mapping")], ENGLISH)
    assert found[-2:] == [("Settings", ["keys: 2", MISSING], True), ("Search space", ["keys: 4", MISSING], True)]


# Markdown and JSON


def test_markdown_has_the_same_parts_in_the_same_order() -> None:
    lines = pages.write_markdown(views.view(), ENGLISH).splitlines()
    assert lines[0] == "# ivr_ru_first"
    assert [line[3:] for line in lines if line.startswith("## ")] == [*map(ENGLISH, pages.SECTIONS.values())]
    assert "- **Next**: Train trial-0000 at full length and listen to it." in lines
    assert "1. **Widen the range upwards.** The best is at its end." in lines


def test_markdown_tables_are_whole() -> None:
    for view in EVERY.values():
        written = re.sub(
            r"^( *)(`{3,}).*?^\1\2$", "", pages.write_markdown(view, ENGLISH), flags=re.DOTALL | re.MULTILINE
        )
        tables = re.findall(r"(?:^\|.*\n)+", written, flags=re.MULTILINE)
        assert bool(tables) == bool(view.rows)
        for table in tables:
            rows = table.splitlines()
            assert set(rows[1]) == {"|", "-"}
            assert len({len(re.findall(r"(?<!\\)\|", row)) for row in rows}) == 1


def test_markdown_shows_what_was_logged_as_it_is() -> None:
    told = r"\<script>alert('x')\</script> | \"quoted\" & \`code\` \*bold\* \[link\](http://evil.example) second line"
    assert pages.escape_inline(NASTY) == told.replace('\\"', '"')
    assert pages.escape_cell(pages.escape_inline("a | b\nc")) == r"a \| b c"
    assert pages.escape_inline("validation.alignment_score > 0.5, < 0.3 [0.1, 0.2] _x_ &lt;") == (
        r"validation.alignment_score > 0.5, < 0.3 [0.1, 0.2] \_x\_ &amp;lt;"
    )
    assert pages.fence_code("a\n````\nb") == "`````\na\n````\nb\n`````"


def test_markdown_of_a_large_study_fits_into_a_comment_on_github() -> None:
    written = pages.write_markdown(views.view(rows=views.rows(1000), settings="x: 1\n" * 2_000), ENGLISH)
    assert len(written) <= 65_536
    assert written.count("Not shown here: 960. They are in the HTML page.") == 1


def test_markdown_holds_no_picture_and_no_unsafe_link() -> None:
    written = pages.write_markdown(views.nasty(), ENGLISH)
    assert "data:" not in written
    assert "javascript:" not in written


def test_json_holds_the_sentences_and_the_numbers_but_no_drawing() -> None:
    text = pages.write_json(views.view(rows=(views.row(0, minutes=float("nan")),)), ENGLISH)
    told = loads(text)
    assert (told["answer"][4]["label"], told["answer"][4]["text"][:16]) == ("Next", "Train trial-0000")
    assert (told["rows"][0]["metrics"]["validation.loss"], told["rows"][0]["minutes"]) == (0.41, None)
    assert told["curves"][0]["rows"][0] == ["trial-0000", "1.9213", "0.4100"]
    assert not re.search("data:|<svg", text)


@pytest.mark.parametrize(("value", "shown"), [(14.26, "14.3"), (250.4, "250"), (None, "–"), (float("inf"), "–")])
def test_minutes_are_rounded(value: float | None, shown: str) -> None:
    assert pages.format_minutes(value) == shown

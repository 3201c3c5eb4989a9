"""A report's view as one HTML page, as Markdown and as JSON, and in what studies side by side differ.

Only this file imports jinja2.
"""

import dataclasses
import json
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.resources import files
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined

from smart_tuner.report.catalogue import Catalogue
from smart_tuner.report.message import MISSING, Message, format_metric
from smart_tuner.report.view import Grade, GuideVerdict, TrialRow, View
from smart_tuner.settings import yaml_file

SYMBOLS: dict[Grade, str] = {"good": "✓", "watch": "▲", "sick": "✕"}
"""By severity; each stands beside its word, so that no colour is needed to tell them apart."""
GRADES: dict[Grade, Message] = {"good": Message("good"), "watch": Message("watch"), "sick": Message("sick")}
SECTIONS = {
    "answer": Message("The answer"),
    "leaderboard": Message("Leaderboard"),
    "verdicts": Message("Verdicts by the guide"),
    "stops": Message("Why trials were stopped"),
    "matters": Message("What mattered"),
    "curves": Message("Curves"),
    "plots": Message("Plots and listening"),
    "advice": Message("What to try next"),
    "reproduction": Message("Reproduction"),
}
"""In the order in which a person asks."""
NOT_IN_JSON = {"svg", "uri"}
"""Fields of a view that the page alone shows: drawings, pictures, recordings."""
SHOWN, JUDGED = 100, 25
"""Rows of the leaderboard and of the verdicts that the page shows before one opens the rest."""
MARKDOWN_ROWS = 40
"""Of each table: about 30,000 characters with the rest; GitHub takes 65,536 in a comment."""
ANSWERED = 2
"""Lines of the answer that are compared: the best, and the gain with the winner."""
Difference = tuple[str, list[str], bool]
"""What it is, its value in each study, whether they differ."""
TRIAL = re.compile(r"(\btrial-\d{4,}\b)")


@dataclass(frozen=True, kw_only=True)
class VerdictColumn:
    """A metric in the table of verdicts."""

    metric: str
    counts: Mapping[Grade, int]
    """Of runs that ended: early in its training every run looks sick."""
    rule: str
    """The threshold, when it is the same for all runs; otherwise it stands beside each verdict that is not good."""


@dataclass(frozen=True)
class StudyOnPage:
    """A view, and what its part of a page needs beside it."""

    view: View
    catalogue: Catalogue
    place: int
    """0 for the report itself, from 1 what it is compared with."""

    @cached_property
    def rows(self) -> list[tuple[str, TrialRow]]:
        """The leaderboard, each row with its place in the page; runs logged by hand may share a name."""
        return [(f"run-{self.place}-{number}", row) for number, row in enumerate(self.view.rows)]

    @cached_property
    def anchors(self) -> dict[str, str]:
        """By a trial's name: where its row of the leaderboard is in the page."""
        return {row.name: anchor for anchor, row in reversed(self.rows)}

    @cached_property
    def verdict_columns(self) -> list[VerdictColumn]:
        by_metric: dict[str, list[tuple[TrialRow, GuideVerdict]]] = {}
        for row in self.view.rows:
            for verdict in row.verdicts:
                by_metric.setdefault(verdict.metric, []).append((row, verdict))
        columns = []
        for metric, judged in by_metric.items():
            rules = {self.catalogue(verdict.rule) for _, verdict in judged}
            counts = Counter(verdict.grade for row, verdict in judged if not row.is_open)
            columns.append(VerdictColumn(metric=metric, counts=counts, rule=rules.pop() if len(rules) == 1 else ""))
        return columns

    @cached_property
    def judged(self) -> list[tuple[str, TrialRow, dict[str, GuideVerdict]]]:
        """The rows of the table of verdicts, with their places in the leaderboard and their verdicts by metric."""
        return [
            (anchor, row, {verdict.metric: verdict for verdict in row.verdicts})
            for anchor, row in self.rows
            if row.verdicts
        ]

    def split_names(self, text: Message | str) -> list[tuple[str, str]]:
        """A sentence in parts; where a part is a trial of the leaderboard, with the place of its row."""
        return [(part, self.anchors.get(part, "")) for part in TRIAL.split(self.catalogue(text)) if part]


def write_html(view: View, catalogue: Catalogue) -> str:
    style = read_resource("page.css")
    return make_environment().get_template("page.html").render(**make_context(view, catalogue), style=style).lstrip()


def write_markdown(view: View, catalogue: Catalogue) -> str:
    """The same without pictures, for a pull request or a mail."""
    text = make_environment().get_template("page.md").render(**make_context(view, catalogue))
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


def write_json(view: View, catalogue: Catalogue) -> str:
    """The view as data, its sentences in the catalogue's language; without drawings, pictures and recordings."""
    return json.dumps(to_plain(view, catalogue), ensure_ascii=False, indent=1, allow_nan=False) + "\n"


def make_context(view: View, catalogue: Catalogue) -> dict[str, Any]:
    names = [view.title, *(other.title for other in view.others)]
    return {
        "lang": catalogue.language,
        "title": catalogue(Message("Comparison: {names}", names=names)) if view.others else view.title,
        "sections": {name: catalogue(title) for name, title in SECTIONS.items()},
        "studies": [StudyOnPage(study, catalogue, place) for place, study in enumerate((view, *view.others))],
        "compared": bool(view.others),
        "differences": list_differences([view, *view.others], catalogue),
        "say": lambda sentence, **facts: catalogue(Message(sentence, **facts)),
        "text": catalogue,
    }


@cache
def make_environment() -> Environment:
    """The templates; what goes into HTML is escaped."""
    environment = Environment(
        loader=FunctionLoader(read_resource),
        autoescape=lambda name: name is not None and name.endswith(".html"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(number=format_metric, minutes=format_minutes)
    environment.filters.update(web=allow_web, data=allow_data, broken=break_name)
    environment.filters.update(inline=escape_inline, cell=escape_cell, fence=fence_code)
    environment.globals.update(symbols=SYMBOLS, grades=GRADES, missing=MISSING)
    environment.globals.update(most_shown=SHOWN, most_judged=JUDGED, most=MARKDOWN_ROWS)
    return environment


def read_resource(name: str) -> str:
    return files("smart_tuner.report").joinpath(name).read_text(encoding="utf-8")


# filters of both templates


def allow_web(link: str) -> str:
    """A link that a page may hold: to a web page; empty for any other, such as a script."""
    return link if link.startswith(("http://", "https://")) else ""


def allow_data(uri: str) -> str:
    """A picture or recording that is in the page itself; empty for one that would have to be loaded."""
    return uri if uri.startswith(("data:image/", "data:audio/")) else ""


def break_name(name: str) -> list[str]:
    """A long name in parts between which a line may end: validation. alignment_ score."""
    return re.findall(r"[^._/=,]+[._/=,]*|[._/=,]+", name)


def format_minutes(value: float | None) -> str:
    if value is None or not math.isfinite(value):
        return MISSING
    return f"{value:.1f}" if value < 100 else f"{value:,.0f}"


def escape_inline(text: str) -> str:
    """A text as it is in a line of Markdown: no HTML, no emphasis, no link."""
    escaped = re.sub(
        r"[\\`*~]|<(?=[\w/!?])|\[(?=[^\]]*\]\()|\](?=\()|(?<!\w)_|_(?!\w)", r"\\\g<0>", " ".join(text.split())
    )
    return escaped.replace("&", "&amp;") if re.search(r"&#?\w+;", escaped) else escaped


def escape_cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def fence_code(text: str, language: str = "") -> str:
    """A block of code whose fence is longer than any in it."""
    longest = max(map(len, re.findall(r"`{3,}", text)), default=2)
    return f"{'`' * (longest + 1)}{language}\n{text.strip()}\n{'`' * (longest + 1)}"


def to_plain(value: Any, catalogue: Catalogue) -> Any:
    """A value as JSON has it; a number that is none is null."""
    if isinstance(value, Message):
        return catalogue(value)
    if dataclasses.is_dataclass(value):
        names = [field.name for field in dataclasses.fields(value) if field.name not in NOT_IN_JSON]
        return {name: to_plain(getattr(value, name), catalogue) for name in names}
    if isinstance(value, Mapping):
        return {str(key): to_plain(item, catalogue) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_plain(item, catalogue) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


# in what studies differ


def list_differences(views: Sequence[View], catalogue: Catalogue) -> list[Difference]:
    """What studies are compared by; none without a second one."""
    if len(views) < 2:
        return []
    aspects = align([list_aspects(view, catalogue) for view in views])
    return [
        *((name, values, len(set(values)) > 1) for name, values in aspects.items()),
        *compare_contents([view.settings for view in views], Message("Settings"), catalogue),
        *compare_contents([view.space for view in views], Message("Search space"), catalogue),
    ]


def list_aspects(view: View, catalogue: Catalogue) -> dict[str, str]:
    """What a study came to, and how it was made."""
    lines = [*view.answer[:ANSWERED], *(line for line in view.reproduction if not line.always_differs)]
    return {
        catalogue(Message("Objective")): view.columns[0] if view.columns else MISSING,
        catalogue(Message("Runs")): str(len(view.rows)),
        catalogue(Message("Status")): catalogue(view.status),
        **{catalogue(line.label): catalogue(line.text) for line in lines},
    }


def align(studies: Sequence[Mapping[str, str]]) -> dict[str, list[str]]:
    """By name, in order: each study's value."""
    names = dict.fromkeys(name for study in studies for name in study)
    return {name: [study.get(name, MISSING) for study in studies] for name in names}


def compare_contents(texts: Sequence[str], label: Message, catalogue: Catalogue) -> list[Difference]:
    """How many keys each study's YAML has, then those that differ; none where one's are unknown."""
    studies = [flatten(yaml_file.parse_value(text)) for text in texts]
    if not any(studies):
        return []
    differing = [(name, values, True) for name, values in align(studies).items() if len(set(values)) > 1]
    counts = [catalogue(Message("keys: {count}", count=len(study))) if study else MISSING for study in studies]
    return [(catalogue(label), counts, bool(differing)), *(differing if all(studies) else [])]


def flatten(content: Any, above: str = "") -> dict[str, str]:
    """What a YAML document holds, by dotted name; none of a text that is no mapping."""
    is_parameter = isinstance(content, Mapping) and "when" in content  # of a search space: a line with its range
    if not isinstance(content, Mapping) or is_parameter:
        return {above: write_value(content)} if above else {}
    flat: dict[str, str] = {}
    for key, value in content.items():
        flat |= flatten(value, f"{above}.{key}" if above else str(key))
    return flat


def write_value(content: Any) -> str:
    """A value in a line, with all its digits; of a mapping what is set, and 0 is."""
    if isinstance(content, Mapping):
        known = {key: value for key, value in content.items() if value not in (None, [], {}) and value is not False}
        return ", ".join(f"{key} {write_value(value)}" for key, value in known.items())
    if isinstance(content, list):
        return ", ".join(map(write_value, content)) or MISSING
    return str(content).lower() if isinstance(content, bool) else "null" if content is None else str(content)

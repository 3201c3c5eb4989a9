"""A report's view as one HTML page, as Markdown, as JSON and on the terminal. Only this imports jinja2."""

import dataclasses
import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from importlib.resources import files
from json import dumps
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined

from smart_tuner.console import Console
from smart_tuner.report.catalogue import MISSING, Catalogue, Said, said
from smart_tuner.report.phrases import figure
from smart_tuner.report.view import Level, Line, Row, View
from smart_tuner.report.writing.differences import differences
from smart_tuner.report.writing.shown import Shown, still_open

SYMBOLS: dict[Level, str] = {"good": "✓", "watch": "▲", "sick": "✕"}
"""By severity; each stands beside its word, so that no colour is needed to tell them apart."""
WORDS: dict[Level, Said] = {"good": said("page.good"), "watch": said("page.watch"), "sick": said("page.sick")}
DRAWN = {"svg", "uri"}
"""Fields of a view that the page alone shows: drawings, pictures, recordings."""
SHOWN, JUDGED = 100, 25
"""Rows of the leaderboard and of the verdicts that the page shows before one opens the rest."""
SCREEN, NAMED = 7, 3
"""Trials in the terminal; metrics of a level that it names."""
PULL_REQUEST = 60_000
"""Characters of Markdown that GitHub takes in a comment, with some room; it refuses more than 65,536."""


# HTML


def html(view: View, catalogue: Catalogue) -> str:
    """The page: one file that loads nothing."""
    style = resource("page.css")
    return environment().get_template("page.html").render(**context(view, catalogue), style=style).lstrip()


def context(view: View, catalogue: Catalogue) -> dict[str, Any]:
    """What both templates see."""
    views = [Shown(one, catalogue, place) for place, one in enumerate((view, *view.others))]
    return {
        "lang": catalogue.language,
        "title": title(view, catalogue),
        "views": views,
        "compared": bool(view.others),
        "differences": differences([view, *view.others], catalogue),
        "say": lambda key, **facts: catalogue(said(key, **facts)),
        "text": catalogue,
    }


def title(view: View, catalogue: Catalogue) -> str:
    """The study's name, or the names of those that are compared."""
    names = [view.title, *(other.title for other in view.others)]
    return catalogue(said("page.comparison", names=names)) if view.others else view.title


@cache
def environment() -> Environment:
    """The templates; what goes into HTML is escaped."""
    made = Environment(
        loader=FunctionLoader(resource),
        autoescape=lambda name: name is not None and name.endswith(".html"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    made.filters.update(number=figure, short=short, minutes=minutes, web=web, data=data, broken=broken)
    made.filters.update(inline=inline, cell=cell, fence=fence, still_open=still_open)
    made.globals.update(symbols=SYMBOLS, words=WORDS, missing=MISSING, most_shown=SHOWN, most_judged=JUDGED)
    return made


def resource(name: str) -> str:
    """A file of this package."""
    return files("smart_tuner.report.writing").joinpath(name).read_text(encoding="utf-8")


def web(link: str) -> str:
    """A link that a page may hold: to a web page; empty for any other, such as a script."""
    return link if link.startswith(("http://", "https://")) else ""


def data(uri: str) -> str:
    """A picture or recording that is in the page itself; empty for one that would have to be loaded."""
    return uri if uri.startswith(("data:image/", "data:audio/")) else ""


def broken(name: str) -> list[str]:
    """A long name in parts between which a line may end: validation. alignment_ score."""
    return re.findall(r"[^._/=,]+[._/=,]*|[._/=,]+", name)


def short(value: float) -> str:
    """A judged value in about three digits."""
    size = abs(value)
    if 0 < size < 0.001:
        return f"{value:.1e}"
    digits = 3 if size < 1 else 2 if size < 10 else 1 if size < 100 else 0
    return f"{value:,.{digits}f}"


def minutes(value: float | None) -> str:
    """A training time."""
    if value is None or not math.isfinite(value):
        return MISSING
    return f"{value:.1f}" if value < 100 else f"{value:,.0f}"


# Markdown


def markdown(view: View, catalogue: Catalogue) -> str:
    """The same in Markdown, with as many trials as a pull request takes, and without settings if it must be."""
    for most, whole in ((40, True), (40, False), (15, False), (5, False), (2, False)):
        written = _markdown(view, catalogue, most, whole)
        if len(written) <= PULL_REQUEST:
            break
    return written


def _markdown(view: View, catalogue: Catalogue, most: int, whole: bool) -> str:
    boards = [board(one, catalogue, most) for one in (view, *view.others)]
    parts = context(view, catalogue) | {"boards": boards, "most": most, "whole": whole}
    text = environment().get_template("page.md").render(parts)
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


def board(view: View, catalogue: Catalogue, most: int) -> list[list[str]]:
    """The leaderboard's head and first rows."""
    keys = ("page.trial", "page.state", "page.minutes", "page.why", "page.changed")
    name, state, took, why, changed = (catalogue(said(key)) for key in keys)
    rows = [
        [
            f"[{inline(row.name)}]({web(row.link)})" if web(row.link) else inline(row.name),
            inline(state_of(row, catalogue)),
            *(figure(row.metrics.get(column)) for column in view.columns),
            minutes(row.minutes),
            inline(catalogue(row.why)),
            inline(row.changed),
        ]
        for row in view.rows[:most]
    ]
    return [[name, state, *view.columns, took, why, changed], *rows]


def state_of(row: Row, catalogue: Catalogue) -> str:
    """How a trial ended, and what it is."""
    return ", ".join([catalogue(row.state), *map(catalogue, row.marks)])


def inline(text: str) -> str:
    """A text as it is in a line of Markdown: no HTML, no emphasis, no link."""
    escaped = re.sub(
        r"[\\`*~]|<(?=[\w/!?])|\[(?=[^\]]*\]\()|\](?=\()|(?<!\w)_|_(?!\w)", r"\\\g<0>", " ".join(text.split())
    )
    return escaped.replace("&", "&amp;") if re.search(r"&#?\w+;", escaped) else escaped


def cell(text: str) -> str:
    """Markdown in a table's cell."""
    return text.replace("|", "\\|").replace("\n", " ")


def fence(text: str, language: str = "") -> str:
    """A block of code whose fence is longer than any in it."""
    longest = max(map(len, re.findall(r"`{3,}", text)), default=2)
    return f"{'`' * (longest + 1)}{language}\n{text.strip()}\n{'`' * (longest + 1)}"


# JSON


def json(view: View, catalogue: Catalogue) -> str:
    """The view as data, its sentences in the catalogue's language; without drawings, pictures and recordings."""
    return dumps(plain(view, catalogue), ensure_ascii=False, indent=1, allow_nan=False) + "\n"


def plain(value: Any, catalogue: Catalogue) -> Any:
    """A value as JSON has it; a number that is none is null."""
    if isinstance(value, Said):
        return catalogue(value)
    if dataclasses.is_dataclass(value):
        names = [field.name for field in dataclasses.fields(value) if field.name not in DRAWN]
        return {name: plain(getattr(value, name), catalogue) for name in names}
    if isinstance(value, Mapping):
        return {str(key): plain(one, catalogue) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one, catalogue) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


# terminal


def terminal(view: View, catalogue: Catalogue, console: Console) -> None:
    """The answer, the leaderboard's head, the verdicts and the stops: what fits on a screen."""
    for one in (view, *view.others):
        notices = [Line(label=said("page.note"), text=notice) for notice in one.notices]
        console.say(one.title, f"{catalogue(one.kind)} · {catalogue(one.status)}")
        console.facts(told([*one.answer, *notices], catalogue))
        console.say("")
        console.table(*screen(one, catalogue))
        console.say("")
        console.facts(told([*verdict_lines(one, catalogue), *stop_lines(one, catalogue)], catalogue))
        console.say("")
        for typed in one.commands:
            console.say(f"{catalogue(typed.label)}:")
            console.say(typed.command)


def told(lines: Iterable[Line], catalogue: Catalogue) -> list[tuple[str, str]]:
    """Labels and sentences."""
    return [(catalogue(line.label), catalogue(line.text)) for line in lines]


def screen(view: View, catalogue: Catalogue) -> tuple[list[str], list[list[str]]]:
    """Head and rows of the leaderboard: the first, then one that alone has its mark, such as the baseline."""
    keys = ("page.trial", "page.state", "page.minutes", "page.changed_short")
    name, state, took, changed = (catalogue(said(key)) for key in keys)
    marks = Counter(catalogue(mark) for row in view.rows for mark in row.marks)
    marked = [row for row in view.rows[SCREEN:] if any(marks[catalogue(mark)] == 1 for mark in row.marks)][:2]
    columns = [column.rsplit(".", 1)[-1].replace("_", "\n") for column in view.columns]
    rows = [
        [
            row.name,
            ", ".join(map(catalogue, row.marks)) or catalogue(row.state),
            *(figure(row.metrics.get(column)) for column in view.columns),
            minutes(row.minutes),
            catalogue(row.why) or row.changed,
        ]
        for row in [*view.rows[: SCREEN - len(marked)], *marked]
    ]
    return [name, state, *columns, took, changed], rows


def verdict_lines(view: View, catalogue: Catalogue) -> list[Line]:
    """What the guide says of the best run, and of all that ended; the answer holds the thresholds."""
    judged = [row for row in view.rows if row.verdicts]
    if not judged:
        return [Line(label=said("page.verdicts_short"), text=said("page.no_verdicts"))]
    first = next((row for row in judged if any(mark.key == "findings.mark_best" for mark in row.marks)), judged[0])
    own = [(one.level, f"{one.metric} {short(one.value)}") for one in first.verdicts]
    lines = [Line(label=said("page.verdicts_short"), text=f"{first.name}: {by_level(own, catalogue)}")]
    ended = [row for row in judged if not still_open(row)]
    if len(ended) > 1:
        lines.append(Line(label=said("page.all_runs"), text=counted(ended, catalogue)))
    return lines


def counted(rows: Sequence[Row], catalogue: Catalogue) -> str:
    """How often each metric of some runs is not good."""
    counts = Counter((one.level, one.metric) for row in rows for one in row.verdicts)
    every = [(level, f"{metric} {count}") for (level, metric), count in counts.most_common()]
    return by_level(every, catalogue, sum(count for (level, _), count in counts.items() if level == "good"))


def by_level(found: Sequence[tuple[Level, str]], catalogue: Catalogue, good: int | None = None) -> str:
    """How many verdicts are good, and the first few of the others; good: their number where it is not that of found."""
    parts = [f"{SYMBOLS['good']} {catalogue(WORDS['good'])} {[level for level, _ in found].count('good')}"]
    if good is not None:
        parts = [f"{SYMBOLS['good']} {catalogue(WORDS['good'])} {good}"]
    for level in ("sick", "watch"):
        members = [member for which, member in found if which == level]
        more = ", …" if len(members) > NAMED else ""
        if members:
            parts.append(f"{SYMBOLS[level]} {catalogue(WORDS[level])}: {', '.join(members[:NAMED])}{more}")
    return " · ".join(parts)


def stop_lines(view: View, catalogue: Catalogue) -> list[Line]:
    """How many trials were stopped, by which rules, and whether that was right."""
    rules = " · ".join(f"{stop.rule} ({stop.kind}) {len(stop.names)}" for stop in view.stops)
    return list(view.audit[:2]) or [Line(label=said("page.stops_short"), text=rules or said("page.no_stops"))]

"""What a report shows, as plain data: findings fill it, pages.py writes it as HTML, Markdown or JSON."""

from dataclasses import dataclass, field
from typing import Literal

from smart_tuner.report.catalogue import Said

Level = Literal["good", "watch", "sick"]


@dataclass(frozen=True, kw_only=True)
class Line:
    """A label and its sentence."""

    label: Said
    text: Said | str
    link: str = ""


@dataclass(frozen=True, kw_only=True)
class Command:
    """What to type next."""

    label: Said
    command: str


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What the metrics guide says of a value."""

    metric: str
    value: float
    level: Level
    rule: Said
    """The threshold it was held against."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """A trial's line in the leaderboard and in the table of verdicts."""

    name: str
    link: str
    """Empty when MLflow has no run of it."""
    origin: Said | str
    state: Said
    marks: tuple[Said, ...]
    """What it is: best, winner, baseline, rerun of the best ..."""
    metrics: dict[str, float | None]
    """By column of the leaderboard; None: not measured."""
    minutes: float | None
    """Training time; None when unknown."""
    changed: str
    """Values that differ from the baseline's, as --set takes them."""
    why: Said | str
    """Why it is no candidate: stopped by which rule, outside the constraints; empty for a candidate."""
    verdicts: tuple[Verdict, ...]


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A picture in the page."""

    title: Said | str
    uri: str
    """data:image/png;base64,..."""
    alt: Said | str


@dataclass(frozen=True, kw_only=True)
class Chart:
    """A drawing and its equivalent in words and numbers."""

    title: Said
    svg: str
    """An <svg> element; its colours are the page's CSS variables."""
    summary: Said
    """What it shows, in words."""
    head: tuple[Said | str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    """A table of its main numbers; empty when the summary says all."""
    note: Said | None = None
    """What is left out, or smoothed."""


@dataclass(frozen=True, kw_only=True)
class Stop:
    """Trials that one rule stopped."""

    rule: str
    kind: str
    """health or pruner."""
    names: tuple[str, ...]
    meaning: Said
    example: Line
    """A trial of them, linked, with its recorded sentence (always English)."""
    picture: Picture | None


@dataclass(frozen=True, kw_only=True)
class Clip:
    """One voice saying the sentence."""

    letter: str
    uri: str
    """data:audio/...;base64,..."""
    who: str
    """trial-0007, hidden until asked."""
    link: str


@dataclass(frozen=True, kw_only=True)
class Sentence:
    """A held-out sentence, said by the finalists in hidden order."""

    title: str
    clips: tuple[Clip, ...]
    target: Clip | None
    """The recording through the same vocoder; not hidden."""


@dataclass(frozen=True, kw_only=True)
class Advice:
    """What to try next, and the numbers behind it."""

    what: Said
    because: Said
    command: str = ""


@dataclass(frozen=True, kw_only=True)
class View:
    """The report."""

    title: str
    """The study's name."""
    kind: Said
    status: Said
    """Finished, running, interrupted, nothing finished yet."""
    notices: tuple[Said, ...]
    """What is missing: runs that are gone, numbers that could not be read."""
    answer: tuple[Line, ...]
    """(a) Five lines."""
    commands: tuple[Command, ...]
    columns: tuple[str, ...]
    """Metrics of the leaderboard."""
    rows: tuple[Row, ...]
    """(b) and (c): trials, the best first."""
    stops: tuple[Stop, ...]
    """(d)"""
    audit: tuple[Line, ...]
    importance: tuple[Line, ...]
    """(e) A line for each parameter, or why it cannot be said."""
    matters: tuple[Chart, ...]
    """(e) Importance, slices, interaction, parallel coordinates."""
    curves: tuple[Chart, ...]
    """(f)"""
    pictures: tuple[Picture, ...]
    """(g)"""
    listening: tuple[Sentence, ...]
    advice: tuple[Advice, ...]
    """(h)"""
    reproduction: tuple[Line, ...]
    """(i)"""
    settings: str
    """YAML."""
    space: str
    """YAML."""
    others: tuple["View", ...] = field(default=())
    """What it is compared with."""

"""What a report shows, as plain data: summary.py and build.py fill it, pages.py writes it as HTML, Markdown or JSON."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from smart_tuner.report.message import Message

Grade = Literal["good", "watch", "sick"]


@dataclass(frozen=True, kw_only=True)
class Line:
    """A label and its sentence."""

    label: Message
    text: Message | str
    link: str = ""
    always_differs: bool = False
    """It is another one in any two studies, so that a comparison leaves it out: when they began, their seeds."""


@dataclass(frozen=True, kw_only=True)
class Command:
    """What to type next."""

    label: Message
    command: str


@dataclass(frozen=True, kw_only=True)
class GuideVerdict:
    """What the metrics guide says of a value."""

    metric: str
    value: float
    grade: Grade
    rule: Message
    """The threshold it was held against."""


Verdicts = Mapping[str, tuple[GuideVerdict, ...]]
"""By the run's name."""


@dataclass(frozen=True, kw_only=True)
class TrialRow:
    """A trial's line in the leaderboard and in the table of verdicts."""

    name: str
    link: str
    """Empty when MLflow has no run of it."""
    origin: Message | str
    state: Message
    is_open: bool = False
    """It is still in training, or goes on with the next session."""
    is_best: bool = False
    is_baseline: bool = False
    marks: tuple[Message, ...]
    """What it is, in words: best, winner, baseline, rerun of the best ..."""
    metrics: dict[str, float | None]
    """By column of the leaderboard; None: not measured."""
    minutes: float | None
    """Training time; None when unknown."""
    changed: str
    """Values that differ from the baseline's, as --set takes them."""
    why: Message | str
    """Why it is no candidate: stopped by which rule, outside the constraints; empty for a candidate."""
    verdicts: tuple[GuideVerdict, ...]


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A picture in the page."""

    title: Message
    uri: str
    """data:image/png;base64,..."""
    alt: Message


@dataclass(frozen=True, kw_only=True)
class Chart:
    """A drawing and its equivalent in words and numbers."""

    title: Message
    svg: str
    """An <svg> element; its colours are the page's CSS variables."""
    summary: Message
    """What it shows, in words."""
    head: tuple[Message | str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    """A table of its main numbers; empty when the summary says all."""
    note: Message | None = None
    """What is left out, or smoothed."""


@dataclass(frozen=True, kw_only=True)
class Stop:
    """Trials that one rule stopped."""

    rule: str
    kind: str
    """health or pruner."""
    names: tuple[str, ...]
    meaning: Message
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


@dataclass(frozen=True)
class Advice:
    """What to try next, and the numbers behind it."""

    what: Message
    because: Message
    command: str = ""


@dataclass(frozen=True, kw_only=True)
class View:
    """The report. What stands first is its summary; the rest is empty where only that is wanted."""

    title: str
    """The study's name."""
    kind: Message
    status: Message
    """Finished, running, interrupted, nothing finished yet."""
    notices: tuple[Message, ...]
    """What is missing: runs that are gone, numbers that could not be read."""
    answer: tuple[Line, ...]
    """Five lines."""
    commands: tuple[Command, ...]
    columns: tuple[str, ...]
    """Metrics of the leaderboard."""
    rows: tuple[TrialRow, ...]
    """All trials, the best first."""
    audit: tuple[Line, ...]
    trials: Chart | None = None
    """The objective of every trial over the data that the search had seen; None where that cannot be drawn."""
    stops: tuple[Stop, ...] = ()
    no_importance: Message | None = None
    """Why the parameters are not weighed; None when the first chart of matters shows it."""
    matters: tuple[Chart, ...] = ()
    curves: tuple[Chart, ...] = ()
    pictures: tuple[Picture, ...] = ()
    listening: tuple[Sentence, ...] = ()
    advice: tuple[Advice, ...] = ()
    reproduction: tuple[Line, ...] = ()
    settings: str = ""
    space: str = ""
    """Both as YAML."""
    others: tuple["View", ...] = ()
    """What it is compared with."""

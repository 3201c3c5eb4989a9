"""What a page shows beside a view: where the row of each trial is, and the table of verdicts with its thresholds."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from smart_tuner.report.catalogue import Catalogue, Said
from smart_tuner.report.view import Level, Row, Verdict, View

TRIAL = re.compile(r"(\btrial-\d{4,}\b)")
LETTERS, OPEN = "abcde", "…"
"""Of thresholds in the head of a column, more than five stand beside each verdict; a number that is left open."""
OPEN_STATES = ("findings.state_running", "findings.state_interrupted")
NUMERAL = re.compile(r"\d+(?:[.,]\d+)*(?:e[-+]?\d+)?")


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """A metric in the table of verdicts."""

    metric: str
    counts: Mapping[Level, int]
    """Of runs that ended."""
    head: Sequence[str]
    """The thresholds, with letters when they are several; a number in which runs differ is left open there."""
    own: Mapping[str, str]
    """By a verdict's threshold: its letter, and the numbers that are left open in the head."""


@dataclass(frozen=True)
class Shown:
    """A view, and what its part of a page needs beside it."""

    view: View
    catalogue: Catalogue
    place: int
    """0 for the report itself, from 1 what it is compared with."""

    @cached_property
    def rows(self) -> list[tuple[str, Row]]:
        """The leaderboard, each row with its place in the page; runs logged by hand may share a name."""
        return [(f"run-{self.place}-{number}", row) for number, row in enumerate(self.view.rows)]

    @cached_property
    def anchors(self) -> dict[str, str]:
        """By a trial's name: where its row of the leaderboard is in the page."""
        return {row.name: anchor for anchor, row in reversed(self.rows)}

    @cached_property
    def judgements(self) -> list[Judgement]:
        """The columns of the table of verdicts."""
        found: dict[str, list[Verdict]] = {}
        for verdict in (one for row in self.view.rows for one in row.verdicts):
            found.setdefault(verdict.metric, []).append(verdict)
        return [self._judgement(metric, verdicts) for metric, verdicts in found.items()]

    @cached_property
    def counts(self) -> Counter[tuple[str, Level]]:
        """How many runs that ended have each verdict, by metric: early in its training every run looks sick."""
        ended = [row for row in self.view.rows if not still_open(row)]
        return Counter((one.metric, one.level) for row in ended for one in row.verdicts)

    @cached_property
    def judged(self) -> list[tuple[str, Row, dict[str, Verdict]]]:
        """The rows of the table of verdicts, with their places in the leaderboard and their verdicts by metric."""
        return [(anchor, row, {one.metric: one for one in row.verdicts}) for anchor, row in self.rows if row.verdicts]

    def _judgement(self, metric: str, verdicts: Sequence[Verdict]) -> Judgement:
        head, own = thresholds([self.catalogue(verdict.rule) for verdict in verdicts])
        counts = {level: count for (counted, level), count in self.counts.items() if counted == metric}
        return Judgement(metric=metric, counts=counts, head=head, own=own)

    def pieces(self, text: Said | str) -> list[tuple[str, str]]:
        """A sentence in parts; where a part is a trial of the leaderboard, with the place of its row."""
        return [(part, self.anchors.get(part, "")) for part in TRIAL.split(self.catalogue(text)) if part]


def still_open(row: Row) -> bool:
    """Whether a run is still in training, or goes on with the next session."""
    return row.state.key in OPEN_STATES


def thresholds(rules: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """What the head of a column says of its thresholds, and what is left to say beside each verdict."""
    groups: dict[str, list[str]] = {}
    for rule in dict.fromkeys(rules):
        groups.setdefault(NUMERAL.sub(OPEN, rule), []).append(rule)
    if len(groups) > len(LETTERS):
        return [], {rule: rule for rule in rules}
    letters = LETTERS if len(groups) > 1 else " "
    head, own = [], {}
    for letter, members in zip(letters, groups.values(), strict=False):
        differs = [len(set(numbers)) > 1 for numbers in zip(*map(NUMERAL.findall, members), strict=True)]
        text = opened(members[0], differs)
        head.append(f"{letter}: {text}" if letter.strip() else text)
        for rule in members:
            numbers = [number for number, differ in zip(NUMERAL.findall(rule), differs, strict=True) if differ]
            own[rule] = " ".join([letter, *([f"{OPEN} {', '.join(numbers)}"] if numbers else [])]).strip()
    return head, own


def opened(rule: str, differs: Sequence[bool]) -> str:
    """A threshold without the numbers that differ."""
    numbers = [OPEN if differ else number for number, differ in zip(NUMERAL.findall(rule), differs, strict=True)]
    return "".join(text + number for text, number in zip(NUMERAL.split(rule), [*numbers, ""], strict=True))

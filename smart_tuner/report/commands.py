"""Command lines to type next, made from the one that the study was started with."""

import itertools
import shlex
from collections.abc import Mapping
from typing import Any

from smart_tuner.report.evidence import Evidence

NOT_TRAINED = ("space", "warm-start", "workers", "per-gpu", "timeout", "preset", "settings", "set", "budget")
"""Options of a search that the command which trains its winner leaves out."""
NOT_CHECKED = ("space", "warm-start", "workers", "per-gpu", "timeout", "study", "trials", "from-study", "checkpoint")
STORES = ("storage", "tracking-uri", "output")


class Commands:
    """Command lines for one study; each is empty when the study does not know how it was started."""

    def __init__(self, evidence: Evidence) -> None:
        self.evidence = evidence

    def further(self, trials: int) -> str:
        """Continue the study until it holds so many finished trials."""
        return self._reword(trials=str(trials), study=self.evidence.name)

    def train(self, *, trials: int = 1) -> str:
        """Train what a search found at full length, or a train study's settings with further seeds."""
        if self.evidence.mode != "tune":
            return self.further(trials)
        fresh = {"from-study": self.evidence.name}
        return self._reword((*NOT_TRAINED, "study"), mode="train", trials=str(trials), **fresh)

    def another(self, study: str, **changed: str) -> str:
        """Begin another study like this one, with other values for some options, such as space="my.yaml"."""
        return self._reword(study=study, **changed)

    def with_settings(self, study: str, assignments: list[str]) -> str:
        """Begin another study like this one with more settings, as hparams.grad_clip_thresh=0.25."""
        return set_more(self.another(study), assignments)

    def check(self) -> str:
        return self._reword(NOT_CHECKED, mode="check")

    def report(self) -> str:
        return self._of_study("report", STORES)

    def hear(self, text: str) -> str:
        spoken = self._of_study("synth", STORES[:1])
        return f"{spoken} --text {shlex.quote(text)}" if spoken else ""

    def _of_study(self, mode: str, stores: tuple[str, ...]) -> str:
        """Another mode, for this study, with these options as they were given."""
        words = split_words(self.evidence.command)
        program = list(itertools.takewhile(lambda word: not word.startswith("--"), words))
        given = parse_options(self.evidence.command)
        kept = [text for option in stores if option in given for text in (f"--{option}", given[option])]
        return shlex.join([*program, "--mode", mode, "--study", self.evidence.name, *kept]) if program else ""

    def _reword(self, without: tuple[str, ...] = (), /, **changed: str) -> str:
        return reword(self.evidence.command, without=without, **changed) if self.evidence.command else ""


def parse_options(command: str) -> dict[str, str]:
    """Options of a command line with their values, without dashes; the last of one that is repeated, "" of a flag.

    A command line that no shell would take has none.
    """
    words = split_words(command)
    options: dict[str, str] = {}
    # a last word is followed by nothing, which "--" stands for
    for word, following in itertools.pairwise([*words, "--"]):
        if word.startswith("--"):
            name, equals, value = word.removeprefix("--").partition("=")
            options[name] = value if equals or following.startswith("--") else following
    return options


def split_words(command: str) -> list[str]:
    try:
        return shlex.split(command)
    except ValueError:  # a quote without its twin
        return []


def set_more(command: str, assignments: list[str]) -> str:
    """A command line with more settings; empty when it is not known."""
    return " ".join([command, *(f"--set {assignment}" for assignment in assignments)]) if command else ""


def reword(command: str, *, without: tuple[str, ...] = (), **changed: str) -> str:
    """A command line with other values for the options named, and without some; each of them takes a value."""
    options = {f"--{name}" for name in (*changed, *without)}
    kept, words = [], iter(shlex.split(command))
    for word in words:
        if word in options:
            next(words, None)  # its value
        elif word.partition("=")[0] not in options:
            kept.append(word)
    added = [text for name, value in changed.items() for text in (f"--{name}", value)]
    return shlex.join([*kept, *added])


def list_assignments(changes: Mapping[str, Any]) -> list[str]:
    return [f"{name}={format_setting(value)}" for name, value in changes.items()]


def format_setting(value: Any) -> str:
    """A value as a person writes it in YAML."""
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.6g}" if isinstance(value, float) else str(value)

"""What the rules of advice look at: the evidence, what was made of it, and what several of them ask."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from smart_tuner import documents
from smart_tuner import settings as settings_module
from smart_tuner.budget import Budget
from smart_tuner.errors import SettingsError
from smart_tuner.report.catalogue import Said, said
from smart_tuner.report.commands import Commands
from smart_tuner.report.evidence import Evidence, Points, Run
from smart_tuner.report.finalists import Finalists
from smart_tuner.report.view import Verdict
from smart_tuner.settings import Settings, changed
from smart_tuner.space.linter import TRIALS_PER_DIMENSION
from smart_tuner.space.space import Parameter
from smart_tuner.study.conclusions import searched
from smart_tuner.study.importance import Importance, parameters
from smart_tuner.study.results import Result

BATCH = "hparams.batch_size"
LONGEST_NAME = 100
"""Characters of a study's name."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """A study to give advice on."""

    evidence: Evidence
    finalists: Finalists
    importance: Importance
    commands: Commands
    verdicts: Mapping[str, tuple[Verdict, ...]] = field(default_factory=dict)
    """By the run's name."""
    utterances: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)
    """What each validation utterance came to, by the run's name."""
    losses: Mapping[str, Points] = field(default_factory=dict)
    """validation.loss over the iterations, by the run's name; the best's at least."""

    @cached_property
    def trials(self) -> list[Result]:
        """The trials of the search that ended, by number."""
        return searched(self.evidence.results)

    @property
    def direction(self) -> str:
        """Of the first objective."""
        return self.evidence.objectives[0].direction

    @property
    def best(self) -> Result | None:
        """The best trial; None without one, and for runs without a study."""
        return None if self.finalists.best is None else self.finalists.best.result

    @property
    def failed(self) -> list[Run]:
        """The trials that broke."""
        return [run for run in self.evidence.runs if run.state == "failed"]

    @cached_property
    def parameters(self) -> dict[str, Parameter]:
        """What is searched over, by name."""
        return parameters(self.evidence.space or {})

    @property
    def wanted(self) -> int:
        """Trials that the space takes, at least those there are."""
        return max(TRIALS_PER_DIMENSION * len(self.parameters), len(self.trials))

    @property
    def asked(self) -> int:
        """Trials that the study's own command line asks for; 0 when it is unknown."""
        given = re.findall(r"(?<!\S)--trials[=\s]+(\d+)", self.evidence.command)
        return int(given[-1]) if given else 0

    @property
    def aim(self) -> int:
        """Trials to ask for: what the space takes, and no fewer than were asked for before."""
        return max(self.wanted, self.asked)

    @cached_property
    def settings(self) -> Settings | None:
        """The study's settings; None when they are unknown, or another version's."""
        found = documents.value(self.evidence.settings)
        if not isinstance(found, dict):
            return None
        try:
            return settings_module.load("tacotron2", None, [], found)
        except SettingsError:
            return None

    def settings_of(self, values: Mapping[str, Any]) -> Settings | None:
        """A trial's settings."""
        return None if self.settings is None else changed(self.settings, values)

    def sibling(self, suffix: str) -> str:
        """A name for a study that follows this one."""
        return self.evidence.name[: LONGEST_NAME - len(suffix)] + suffix

    @property
    def twice(self) -> str:
        """Twice a trial's budget; empty when it is unknown."""
        return doubled(self.evidence.budget) if self.evidence.budget else ""


def doubled(budget: str) -> str:
    """Twice an amount of data or time."""
    parsed = Budget.parse(budget)
    amount = 2 * parsed.amount
    return f"{int(amount) if amount.is_integer() else amount}{parsed.unit}"


def assigned(changes: Mapping[str, Any]) -> list[str]:
    """Settings as --set takes them."""
    return [f"{name}={plain(value)}" for name, value in changes.items()]


def plain(value: Any) -> str:
    """A value as a person writes it in YAML."""
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def counted(counts: Mapping[str, int]) -> list[Said]:
    """How often each was seen."""
    return [said("advice.count", name=name, count=count) for name, count in counts.items()]

"""What a search trains next, told from the trials that its study holds."""

import dataclasses
import statistics
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from smart_tuner.errors import SettingsError
from smart_tuner.settings import Settings
from smart_tuner.space.space import Category, Space
from smart_tuner.study.conclusions import best_trial
from smart_tuner.study.record import FINISHED, READY, is_ready, result_of, retried
from smart_tuner.study.results import Result
from smart_tuner.study.samplers import derived, grid

TAKEN_OVER = "warm-start"
"""The origin of another study's trials."""
CONFIRMING_SEEDS = 1_000_000
"""How far the seeds of confirming trials are from those of the search."""
Attributes = dict[str, Any]
"""Of a trial that is to be made."""


class Agenda:
    """Chooses the next trial of a search: one to train again, a baseline, a point of a grid, a confirmation."""

    def __init__(
        self, space: Space, settings: Settings, train_size: int, trials: int, slots: int, deadline: float | None
    ) -> None:
        self.space, self.settings, self.train_size, self.trials = space, settings, train_size, trials
        self.slots, self.deadline = slots, deadline
        self.seed = settings.hparams.seed
        self.own = space.own(settings)
        planned = planned_utterances(settings, train_size)
        self.rungs = space.rungs(planned, train_size) if planned and len(space.objectives) == 1 else ()
        self.grid = grid(space, self.seed) if space.sampler.name == "grid" else None
        self.over = ""
        """Why the search ended before it had all its trials; empty when it has them, or goes on."""

    def again(self, trials: Sequence[FrozenTrial]) -> Attributes | None:
        """A trial that failed and is worth another try, with the same seed."""
        done = retried(trials)
        for failed in trials:
            known = failed.user_attrs
            if failed.state is TrialState.FAIL and known.get("retry") and failed.number not in done:
                names = ("seed", "values", "protected", "audited", "baseline", "confirms", "confirms.number")
                return {name: known[name] for name in names if name in known} | {
                    "trial.origin": "retried",
                    "retry.of": failed.number,
                    "retry.depth": known.get("retry.depth", 0) + 1,
                    "note": f"Tries trial-{failed.number:04d} again, which failed: {known['error']}",
                }
        return None

    def searching(self, trials: Iterable[FrozenTrial]) -> bool:
        """Whether the search has a trial to start: some are missing, and the time for them is there."""
        mine = searched(trials)
        return len(mine) < self.trials and not self._out_of_time(mine)

    def listed(self, trials: Sequence[FrozenTrial]) -> Attributes | None:
        """The next baseline, else the next point of the grid."""
        return self._baseline(trials) or self._grid_point(trials)

    def results(self, trials: Iterable[FrozenTrial]) -> list[Result]:
        """The finished trials of this study; those that confirm what was the best once are called so."""
        return own_results(trials, self.space.objectives[0].direction, FINISHED)

    def confirming(self, trials: Sequence[FrozenTrial]) -> Attributes | None:
        """The next trial that the confirmation lacks, the best one's and the baseline's in turn."""
        if not self.space.confirm or len(self.space.objectives) > 1:
            return None
        best = best_trial(self.results(trials), self.space.objectives[0].direction)
        if best is None or best.values == self.own:
            return None  # nothing to compare the baseline with
        pairs = [("best", best.number, best.values)]
        pairs += [
            ("baseline", trial.number, trial.user_attrs["values"])
            for trial in searched(trials)
            if trial.user_attrs.get("baseline") == 0 and trial.state is TrialState.COMPLETE
        ]
        known = [trial.user_attrs for trial in trials if is_own(trial)]
        done = {(one.get("confirms"), one.get("confirms.number"), one[READY]) for one in known}
        first = self.seed + CONFIRMING_SEEDS
        for seed in range(first, first + self.space.confirm):
            for which, number, values in pairs:
                if (which, number, seed) not in done:
                    return {
                        "trial.origin": "replicate",
                        "values": values,
                        "seed": seed,
                        "protected": True,
                        "confirms": which,
                        "confirms.number": number,
                        "note": f"Confirms the {which} trial, trial-{number:04d}, with another seed.",
                    }
        return None

    def suggested(self, number: int, values: Mapping[str, Category], trials: Iterable[FrozenTrial]) -> Attributes:
        """The attributes of a suggestion; one that was there before is trained with its own seed, as a replicate."""
        same = next((one for one in searched(trials) if one.user_attrs["values"] == values), None)
        if same is None:
            return self.described(number, {"trial.origin": "sampled", "values": dict(values)})
        attributes = {
            "trial.origin": "replicate",
            "values": dict(values),
            "replicates": same.number,
            "protected": True,
            "note": f"Has the same values as trial-{same.number:04d}, so it shows what another seed does.",
        }
        return self.described(number, attributes)

    def described(self, number: int, attributes: Attributes) -> Attributes:
        """All attributes of a trial, with what its number and its values decide."""
        sampled = attributes["trial.origin"] == "sampled"
        drawn: Attributes = {
            "audited": sampled and derived(self.seed, "audit", number) < self.space.audit * 2**32,
            "rungs": list(self.rungs),
            "planned": self._planned(attributes["values"]),
            "seed": self.seed + number,
        }
        return drawn | attributes

    def _planned(self, values: Mapping[str, Category]) -> int:
        try:
            return planned_utterances(self.space.apply(self.settings, values), self.train_size)
        except SettingsError:
            return 0  # the study refuses the trial before it starts

    def _baseline(self, trials: Iterable[FrozenTrial]) -> Attributes | None:
        points = [self.own, *(point for point in self.space.baseline if point != self.own)]
        tried = {trial.user_attrs.get("baseline") for trial in trials if is_ready(trial)}
        for number, point in enumerate(points):
            if number not in tried:
                note = "A baseline of the search space." if number else "The settings' own values."
                baseline = {"trial.origin": "baseline", "baseline": number, "protected": True}
                return baseline | {"values": point, "note": note}
        return None

    def _grid_point(self, trials: Iterable[FrozenTrial]) -> Attributes | None:
        if self.grid is None:
            return None
        tried = [trial.user_attrs["values"] for trial in trials if is_own(trial)]
        point = next((point for point in self.grid if point not in tried), None)
        if point is None:
            self.over = f"The grid is done: all {len(self.grid)} combinations have been tried."
            return None
        return {"trial.origin": "sampled", "values": point}

    def _out_of_time(self, mine: Iterable[FrozenTrial]) -> bool:
        """Whether the time left before the deadline is needed to confirm the best."""
        if self.over or self.deadline is None:
            return bool(self.over)
        seconds = [one.user_attrs["spent"]["seconds"] for one in mine if one.state is TrialState.COMPLETE]
        runs = 2 * self.space.confirm if len(self.space.objectives) == 1 else 0
        needed = (runs / self.slots + 1) * statistics.mean(seconds) if seconds else 0.0  # 1: the trial it would start
        if self.deadline - time.monotonic() > needed:
            return False
        self.over = "The time is up" + (", but for what the confirmation needs." if needed else ".")
        return True


def own_results(trials: Iterable[FrozenTrial], direction: str, states: Sequence[TrialState]) -> list[Result]:
    """A study's own trials in some states, by number; those that confirm what was the best once are called so."""
    chosen = [trial for trial in trials if trial.state in states and is_own(trial)]
    results = [result_of(trial) for trial in chosen]
    best = best_trial(results, direction)
    confirmed = {trial.number: trial.user_attrs.get("confirms.number") for trial in chosen}
    return [
        dataclasses.replace(result, confirms="earlier")
        if result.confirms == "best" and (best is None or confirmed[result.number] != best.number)
        else result
        for result in results
    ]


def is_own(trial: FrozenTrial) -> bool:
    """Whether a trial was handed out by this study, not taken over from another."""
    return is_ready(trial) and trial.user_attrs["trial.origin"] != TAKEN_OVER


def searched(trials: Iterable[FrozenTrial]) -> list[FrozenTrial]:
    """The search's own trials, finished or begun: no confirmations, and none that failed."""
    return [
        trial
        for trial in trials
        if is_own(trial) and "confirms" not in trial.user_attrs and trial.state is not TrialState.FAIL
    ]


def planned_utterances(settings: Settings, train_size: int) -> int:
    """Utterances that the budget holds; 0 for a budget of wall time."""
    batch_size = settings.hparams.batch_size
    iterations = settings.budget.iterations(batch_size, max(1, train_size // batch_size))
    return 0 if iterations is None else iterations * batch_size

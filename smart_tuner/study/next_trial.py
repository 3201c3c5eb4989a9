"""What a search trains next, told from the trials that its study holds."""

import dataclasses
import statistics
import time
from collections.abc import Iterable, Mapping, Sequence

from optuna.trial import TrialState

from smart_tuner.analysis.conclusions import best_trial
from smart_tuner.errors import SettingsError
from smart_tuner.paths import trial_name
from smart_tuner.settings.settings import Settings
from smart_tuner.space.parameter import Category
from smart_tuner.space.space import Space
from smart_tuner.study.samplers import derive_seed, list_grid
from smart_tuner.study.trials import FINISHED, StudyTrial, TrialPlan, find_retried, list_own_results

CONFIRMING_SEEDS = 1_000_000
"""How far the seeds of confirming trials are from those of the search."""


class Agenda:
    """Chooses the next trial of a search: one to train again, a baseline, a point of a grid, a confirmation.

    Each answer is a plan as far as it says why the trial exists; complete() adds what number and values decide.
    """

    def __init__(
        self, space: Space, settings: Settings, train_size: int, trials: int, slots: int, deadline: float | None
    ) -> None:
        self.space, self.settings, self.train_size, self.trials = space, settings, train_size, trials
        self.slots, self.deadline = slots, deadline
        self.seed = settings.hparams.seed
        self.own = space.own(settings)
        planned = planned_utterances(settings, train_size)
        self.rungs = space.rungs(planned, train_size) if planned and len(space.objectives) == 1 else ()
        self.grid = list_grid(space, self.seed) if space.sampler.kind.is_list else None
        self.over = ""
        """Why the search ended before it had all its trials; empty when it has them, or goes on."""

    def retry(self, trials: Sequence[StudyTrial]) -> TrialPlan | None:
        """A trial that failed and is worth another try, with the same seed."""
        done = find_retried(trials)
        for failed in trials:
            if failed.state is TrialState.FAIL and failed.record.retry and failed.number not in done:
                return dataclasses.replace(
                    failed.plan,
                    origin="retried",
                    note=f"Tries {trial_name(failed.number)} again, which failed: {failed.record.error}",
                    retry_of=failed.number,
                    retry_depth=failed.plan.retry_depth + 1,
                )
        return None

    def is_searching(self, trials: Iterable[StudyTrial]) -> bool:
        """Whether the search has a trial to start: some are missing, and the time for them is there."""
        mine = search_trials(trials)
        return len(mine) < self.trials and not self._is_out_of_time(mine)

    def listed(self, trials: Sequence[StudyTrial]) -> TrialPlan | None:
        """The next baseline, else the next point of the grid."""
        return self._baseline(trials) or self._grid_point(trials)

    def confirmation(self, trials: Sequence[StudyTrial]) -> TrialPlan | None:
        """The next trial that the confirmation lacks, the best one's and the baseline's in turn."""
        if not self.space.confirm or len(self.space.objectives) > 1:
            return None
        direction = self.space.objectives[0].direction
        best = best_trial(list_own_results(trials, direction, FINISHED), direction)
        if best is None or best.values == self.own:
            return None  # nothing to compare the baseline with
        baseline = next(
            (
                trial
                for trial in search_trials(trials)
                if trial.plan.baseline == 0 and trial.state is TrialState.COMPLETE
            ),
            None,
        )
        done = {(plan.confirms, plan.confirms_number, plan.seed) for plan in (trial.plan for trial in trials)}
        first = self.seed + CONFIRMING_SEEDS
        # the two in turn: when the time is up in the middle, each has been trained with the same seeds
        for seed in range(first, first + self.space.confirm):
            if ("best", best.number, seed) not in done:
                return self._confirms(best.number, best.values, seed, baseline=False)
            if baseline is not None and ("baseline", baseline.number, seed) not in done:
                return self._confirms(baseline.number, baseline.plan.values, seed, baseline=True)
        return None

    def suggestion(self, values: Mapping[str, Category], trials: Iterable[StudyTrial]) -> TrialPlan:
        """A suggestion of the sampler's; one that was there before is trained with its own seed, as a replicate."""
        # a discrete space runs out of new points; the pruner does not stop a replicate, whose loss measures the noise
        same = next((trial for trial in search_trials(trials) if trial.plan.values == values), None)
        if same is None:
            return TrialPlan(origin="sampled", seed=self.seed, values=dict(values))
        return TrialPlan(
            origin="replicate",
            seed=self.seed,
            values=dict(values),
            protected=True,
            note=f"Has the same values as {trial_name(same.number)}, so it shows what another seed does.",
        )

    def complete(self, plan: TrialPlan, number: int) -> TrialPlan:
        """A plan with all that the trial's number and values decide; a rerun keeps the seed that it was given."""
        rerun = plan.confirms or plan.retry_of is not None
        # drawn from the number: a kill and a resumption draw the same audits again
        drawn = plan.origin == "sampled" and derive_seed(self.seed, "audit", number) < self.space.audit * 2**32
        return dataclasses.replace(
            plan,
            seed=plan.seed if rerun else self.seed + number,
            audited=plan.audited or drawn,
            rungs=self.rungs,
            planned=self._planned(plan.values),
        )

    def _confirms(self, number: int, values: Mapping[str, Category], seed: int, *, baseline: bool) -> TrialPlan:
        which = "baseline" if baseline else "best"
        return TrialPlan(
            origin="replicate",
            seed=seed,
            values=dict(values),
            protected=True,
            confirms="baseline" if baseline else "best",
            confirms_number=number,
            note=f"Confirms the {which} trial, {trial_name(number)}, with another seed.",
        )

    def _planned(self, values: Mapping[str, Category]) -> int:
        try:
            return planned_utterances(self.space.apply(self.settings, values), self.train_size)
        except SettingsError:
            return 0  # the study refuses the trial before it starts

    def _baseline(self, trials: Iterable[StudyTrial]) -> TrialPlan | None:
        points = [self.own, *(point for point in self.space.baseline if point != self.own)]
        tried = {trial.plan.baseline for trial in trials}
        for number, point in enumerate(points):
            if number not in tried:
                note = "A baseline of the search space." if number else "The settings' own values."
                return TrialPlan(
                    origin="baseline", seed=self.seed, values=point, baseline=number, protected=True, note=note
                )
        return None

    def _grid_point(self, trials: Iterable[StudyTrial]) -> TrialPlan | None:
        if self.grid is None:
            return None
        tried = [trial.plan.values for trial in trials if trial.is_own]
        point = next((point for point in self.grid if point not in tried), None)
        if point is None:
            self.over = f"The grid is done: all {len(self.grid)} combinations have been tried."
            return None
        return TrialPlan(origin="sampled", seed=self.seed, values=point)

    def _is_out_of_time(self, mine: Iterable[StudyTrial]) -> bool:
        """Whether the time left before the deadline is needed to confirm the best."""
        if self.over or self.deadline is None:
            return bool(self.over)
        seconds = [trial.record.spent.seconds for trial in mine if trial.state is TrialState.COMPLETE]
        reruns = 2 * self.space.confirm if len(self.space.objectives) == 1 else 0
        needed = (reruns / self.slots + 1) * statistics.mean(seconds) if seconds else 0.0  # 1: the trial it would start
        if self.deadline - time.monotonic() > needed:
            return False
        self.over = "The time is up" + (", but for what the confirmation needs." if needed else ".")
        return True


def search_trials(trials: Iterable[StudyTrial]) -> list[StudyTrial]:
    """The search's own trials, finished or begun: no confirmations, and none that failed."""
    return [
        trial for trial in trials if trial.is_own and not trial.plan.confirms and trial.state is not TrialState.FAIL
    ]


def planned_utterances(settings: Settings, train_size: int) -> int:
    """Utterances that the budget holds; 0 for a budget of wall time."""
    batch_size = settings.hparams.batch_size
    iterations = settings.budget.iterations(batch_size, max(1, train_size // batch_size))
    return 0 if iterations is None else iterations * batch_size

"""A study of known hyperparameters: the given ones, then replicates, or repairs of what was stopped."""

import dataclasses
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

from optuna.trial import TrialState

from smart_tuner.analysis.results import Result
from smart_tuner.errors import TrialStopped, Verdict
from smart_tuner.health.rule import Repair
from smart_tuner.paths import StudyFolder, trial_name
from smart_tuner.progress import Progress
from smart_tuner.settings.hparams import Hparams
from smart_tuner.settings.settings import Settings, settings_differences, with_values
from smart_tuner.study.store import Identity, open_study, remember_session, translating_failures
from smart_tuner.study.trials import (
    FINISHED,
    STAYS_OPEN,
    LiveTrial,
    StudyTrial,
    TrialPlan,
    find_retried,
    list_handed_out,
    run_statuses,
)
from smart_tuner.trial import FROM_SCRATCH, InitialWeights, Trial

OBJECTIVE = "validation.loss"
FindRepair = Callable[[str, Hparams, int], Repair | None]
"""What to change after a stop by a rule, given the stopped hyperparameters and how many trials it stopped so far."""


class TrainStudy:
    """A Plan: the given settings, then replicates with the next seeds; after a stop by health, a repaired attempt."""

    def __init__(
        self,
        name: str,
        storage: str,
        settings: Settings,
        corpus_digest: str,
        trials: int,
        *,
        repair: FindRepair | None = None,
        folder: StudyFolder | None = None,
        start: InitialWeights = FROM_SCRATCH,
    ) -> None:
        """Open or create the study. Without repair, a replicate follows a stop too; folder holds the trials' folders.

        Raises StorageError for a store that fails and a study made with other settings.
        """
        identity = Identity(
            mode="train",
            objectives=((OBJECTIVE, "minimize"),),
            settings=settings,
            corpus=corpus_digest,
            checkpoint=start.digest,
        )
        self.study = open_study(name, storage, identity)
        self.settings, self.trials, self.repair, self.folder, self.start = settings, trials, repair, folder, start
        self._flying: dict[int, LiveTrial] = {}
        self._tries = Counter[int]()
        """By seed, how often this session has tried it again."""

    def results(self) -> list[Result]:
        """The finished trials, in order."""
        return [trial.result() for trial in self._finished()]

    def next_repair(self) -> Repair | None:
        """What the next attempt changes, when the last trial was stopped and a change is left to try."""
        finished = self._finished()
        if self.repair is None or not finished or finished[-1].state is TrialState.COMPLETE:
            return None
        return self._find_repair(finished)

    def remember(self, facts: Mapping[str, str]) -> None:
        """Keep how and where this session works on the study."""
        remember_session(self.study, facts)

    def statuses(self) -> dict[int, str]:
        """How each ended trial's run has to end in MLflow, by number."""
        with translating_failures():
            return run_statuses(self.study)

    @translating_failures()
    def next_trial(self, running: int) -> Trial | None:
        """An open trial, one that failed, or the next attempt, until the study holds the trials asked for."""
        trials = self._trials()
        if sum(trial.finished for trial in trials) + running >= self.trials:
            return None
        begun = [trial for trial in trials if trial.state is TrialState.RUNNING and trial.number not in self._flying]
        trial = begun[0] if begun else self._ask(trials)
        if trial is None:
            return None
        self._flying[trial.number] = LiveTrial(self.study, trial)
        return Trial(
            number=trial.number,
            origin=trial.plan.origin,
            settings=self._settings(trial).replace(seed=trial.plan.seed),
            start_from=self._best_of(trial.plan.roll_back_to) or self.start.file,
            note=trial.plan.note,
        )

    def is_replay(self, trial: Trial, event: Progress | Verdict) -> bool:
        """Whether an earlier session told this already."""
        return self._flying[trial.number].is_replay(event)

    @translating_failures()
    def on_progress(self, trial: Trial, progress: Progress) -> TrialStopped | None:
        """Keep the progress; the study itself stops no trial."""
        live = self._flying[trial.number]
        if progress.kind == "training":
            live.add_iteration(progress)
        elif not live.has_reported(progress.utterances):
            loss = progress.metrics[OBJECTIVE]
            live.improve(progress, loss, loss)
            live.report(loss, progress.utterances)
            # last, as a kill before it has the validation told and kept again
            live.end_validation(progress)
        return None

    def on_verdict(self, trial: Trial, verdict: Verdict) -> None:
        """Verdicts that stop a trial come again as its outcome; the others are for the run alone."""

    @translating_failures()
    def on_end(self, trial: Trial, outcome: Exception | None) -> Result | None:
        """Close a trial. Raises its fault when that is not worth another try, and bugs always."""
        live = self._flying.pop(trial.number)
        live.save()
        if isinstance(outcome, STAYS_OPEN):
            return None
        if isinstance(outcome, TrialStopped):
            live.update(stop=outcome.verdict)
            self.study.tell(trial.number, state=TrialState.PRUNED)
        elif outcome is not None:
            live.fail(outcome)
            self.study.tell(trial.number, state=TrialState.FAIL)
            self._count_try(trial, outcome)
        else:
            assert live.record.best is not None  # a training validates at its end
            self.study.tell(trial.number, live.record.best.value)
        return next(ended.result() for ended in self._trials() if ended.number == trial.number)

    def _trials(self) -> list[StudyTrial]:
        return list_handed_out(self.study.get_trials(deepcopy=False))

    def _finished(self) -> list[StudyTrial]:
        return list_handed_out(self.study.get_trials(deepcopy=False, states=FINISHED))

    def _count_try(self, trial: Trial, failure: Exception) -> None:
        seed = trial.settings.hparams.seed
        if self._tries[seed] >= getattr(failure, "retries", 0):
            raise failure
        self._tries[seed] += 1

    def _ask(self, trials: list[StudyTrial]) -> StudyTrial | None:
        if not any(trial.state is TrialState.WAITING for trial in trials):  # or a kill left one waiting
            plan = self._plan(trials)
            if plan is None:
                return None
            self.study.enqueue_trial({}, user_attrs=plan.to_attributes())  # so that a trial never exists without it
        number = self.study.ask().number
        return next(trial for trial in self._trials() if trial.number == number)

    def _plan(self, trials: list[StudyTrial]) -> TrialPlan | None:
        """What the next trial is; None: that hangs on a trial which still runs, or there is nothing left to try."""
        again = find_retried(trials)
        for failed in trials:
            if failed.state is TrialState.FAIL and failed.number not in again:
                note = f"Tries {trial_name(failed.number)} again, which failed: {failed.record.error or 'unknown'}"
                return dataclasses.replace(failed.plan, origin="retried", retry_of=failed.number, note=note)
        finished = [trial for trial in trials if trial.finished]
        seed = self.settings.hparams.seed + len(finished) + len(self._flying)
        if not finished:
            return None if self._flying else TrialPlan(origin="baseline", seed=seed)
        last = finished[-1]
        if last.state is TrialState.COMPLETE or self.repair is None:
            plan = last.plan
            return TrialPlan(origin="replicate", seed=seed, values=plan.values, roll_back_to=plan.roll_back_to)
        return None if self._flying else self._repaired(finished, seed)

    def _repaired(self, finished: list[StudyTrial], seed: int) -> TrialPlan | None:
        last = finished[-1]
        repair = self._find_repair(finished)
        if repair is None:
            return None
        return TrialPlan(
            origin="repaired",
            seed=seed,
            values=settings_differences(self.settings, self._settings(last).replace(**repair.changes)),
            note=repair.change,
            roll_back_to=last.number if repair.roll_back else None,
        )

    def _find_repair(self, finished: list[StudyTrial]) -> Repair | None:
        assert self.repair is not None  # asked by the caller
        last = finished[-1]
        rule, settings = last.result().rule, self._settings(last)
        attempt = sum(trial.result().rule == rule for trial in finished)
        repair = self.repair(rule, settings.hparams, attempt)
        while repair is not None and not self._fits_start(settings.replace(**repair.changes)):
            attempt += 1
            repair = self.repair(rule, settings.hparams, attempt)
        return repair

    def _fits_start(self, settings: Settings) -> bool:
        """Whether the checkpoint that the study starts from has the layers that these settings ask for."""
        return self.start.file is None or settings.hparams.reduction_factor == self.settings.hparams.reduction_factor

    def _settings(self, trial: StudyTrial) -> Settings:
        return with_values(self.settings, trial.plan.values)

    def _best_of(self, number: int | None) -> Path | None:
        if number is None or self.folder is None:
            return None
        best = self.folder.trial(number).best
        return best if best.exists() else None

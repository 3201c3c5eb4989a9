"""A study of known hyperparameters: the given ones, then replicates, or repairs of what was stopped."""

from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from smart_tuner.errors import TrialStopped
from smart_tuner.health.repairs import Repair
from smart_tuner.health.watch import Finding
from smart_tuner.progress import Progress
from smart_tuner.settings import Settings, changed, differences
from smart_tuner.study.record import (
    FINISHED,
    STAYS_OPEN,
    Record,
    result_of,
    retried,
    sentence_of,
    statuses,
)
from smart_tuner.study.results import Result
from smart_tuner.study.store import Identity, open_study, remember, translated
from smart_tuner.training import FROM_SCRATCH, Start, Trial

OBJECTIVE = "validation.loss"
Mend = Callable[[str, Settings, int], Repair | None]
"""What to change after a stop by a rule, given the stopped settings and how many trials it has stopped so far."""


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
        repair: Mend | None = None,
        folder: Path | None = None,
        start: Start = FROM_SCRATCH,
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
        self._flying: dict[int, Record] = {}
        self._tries = Counter[int]()
        """By seed, how often this session has tried it again."""

    def results(self) -> list[Result]:
        """The finished trials, in order."""
        return [result_of(trial) for trial in self.study.get_trials(deepcopy=False, states=FINISHED)]

    def remember(self, facts: Mapping[str, str]) -> None:
        """Keep how and where this session works on the study."""
        remember(self.study, facts)

    def statuses(self) -> dict[int, str]:
        """How each ended trial's run has to end in MLflow, by number."""
        return statuses(self.study)

    def mended(self) -> Repair | None:
        """What the next attempt would change, when the last trial was stopped and a change is left to try."""
        finished = self.study.get_trials(deepcopy=False, states=FINISHED)
        if self.repair is None or not finished or finished[-1].state is TrialState.COMPLETE:
            return None
        return self._repair(self.repair, finished)

    @translated()
    def next(self, running: int) -> Trial | None:
        """An open trial, one that failed, or the next attempt, until the study holds the trials asked for."""
        trials = self.study.get_trials(deepcopy=False)
        if sum(trial.state in FINISHED for trial in trials) + running >= self.trials:
            return None
        opened = [one for one in trials if one.state is TrialState.RUNNING and one.number not in self._flying]
        frozen = opened[0] if opened else self._ask(trials)
        if frozen is None:
            return None
        self._flying[frozen.number] = Record(self.study, frozen)
        known = frozen.user_attrs
        return Trial(
            number=frozen.number,
            origin=known["trial.origin"],
            settings=self._settings(frozen).replace(seed=known["seed"]),
            start_from=self._best_of(known.get("roll_back.to")) or self.start.file,
            note=known.get("note", ""),
        )

    def known(self, trial: Trial, event: Progress | Finding) -> bool:
        """Whether an earlier session told this already."""
        return self._flying[trial.number].known(event)

    @translated()
    def heard(self, trial: Trial, progress: Progress) -> TrialStopped | None:
        """Keep the progress; the study itself stops no trial."""
        record = self._flying[trial.number]
        if progress.kind == "training":
            record.trained(progress)
        elif progress.utterances not in record.reported:
            loss = progress.metrics[OBJECTIVE]
            record.improve(progress, loss, loss)
            record.report(loss, progress.utterances)
            record.validated(progress)
        return None

    def note_finding(self, trial: Trial, finding: Finding) -> None:
        """Findings that stop a trial come again as its outcome; the others are for the run alone."""

    @translated()
    def ended(self, trial: Trial, outcome: Exception | None) -> Result | None:
        """Close a trial. Raises its fault when that is not worth another try, and bugs always."""
        record = self._flying.pop(trial.number)
        record.save()
        if isinstance(outcome, STAYS_OPEN):
            return None
        if isinstance(outcome, TrialStopped):
            record.write_verdict("stop", outcome)
            self.study.tell(trial.number, state=TrialState.PRUNED)
        elif outcome is not None:
            record.write(error=sentence_of(outcome))
            self.study.tell(trial.number, state=TrialState.FAIL)
            self._count_try(trial, outcome)
        else:
            assert record.best is not None  # a training validates at its end
            self.study.tell(trial.number, record.best.value)
        return result_of(self.study.get_trials(deepcopy=False)[trial.number])

    def _count_try(self, trial: Trial, failure: Exception) -> None:
        seed = trial.settings.hparams.seed
        if self._tries[seed] >= getattr(failure, "retries", 0):
            raise failure
        self._tries[seed] += 1

    def _ask(self, trials: list[FrozenTrial]) -> FrozenTrial | None:
        if not any(trial.state is TrialState.WAITING for trial in trials):  # or a kill left one waiting
            attributes = self._attributes(trials)
            if attributes is None:
                return None
            self.study.enqueue_trial({}, user_attrs=attributes)  # so that a trial never exists without them
        number = self.study.ask().number
        return self.study.get_trials(deepcopy=False)[number]

    def _attributes(self, trials: list[FrozenTrial]) -> dict[str, Any] | None:
        """What the next trial is; None: that hangs on a trial which still runs, or there is nothing left to try."""
        again = retried(trials)
        for failed in trials:
            if failed.state is TrialState.FAIL and failed.number not in again:
                note = (
                    f"Tries trial-{failed.number:04d} again, which failed: {failed.user_attrs.get('error', 'unknown')}"
                )
                return plan_of(failed) | {"trial.origin": "retried", "retry.of": failed.number, "note": note}
        finished = [trial for trial in trials if trial.state in FINISHED]
        seed = self.settings.hparams.seed + len(finished) + len(self._flying)
        if not finished:
            return None if self._flying else {"trial.origin": "baseline", "seed": seed}
        last = finished[-1]
        if last.state is TrialState.COMPLETE or self.repair is None:
            return {"trial.origin": "replicate", "seed": seed, "values": last.user_attrs.get("values", {})} | (
                {"roll_back.to": last.user_attrs["roll_back.to"]} if "roll_back.to" in last.user_attrs else {}
            )
        return None if self._flying else self._repaired(finished, seed)

    def _repaired(self, finished: list[FrozenTrial], seed: int) -> dict[str, Any] | None:
        assert self.repair is not None  # asked by the caller
        repair = self._repair(self.repair, finished)
        if repair is None:
            return None
        attributes = {
            "trial.origin": "repaired",
            "seed": seed,
            "values": differences(self.settings, repair.settings),
            "note": repair.change,
        }
        return attributes | ({"roll_back.to": finished[-1].number} if repair.roll_back else {})

    def _repair(self, repair: Mend, finished: list[FrozenTrial]) -> Repair | None:
        last = finished[-1]
        rule = last.user_attrs["stop.rule"]
        attempt = sum(trial.user_attrs.get("stop.rule") == rule for trial in finished)
        found = repair(rule, self._settings(last), attempt)
        while found is not None and not self._fits_start(found.settings):
            attempt += 1
            found = repair(rule, self._settings(last), attempt)
        return found

    def _fits_start(self, settings: Settings) -> bool:
        """Whether the checkpoint that the study starts from has the layers that these settings ask for."""
        return self.start.file is None or settings.hparams.reduction_factor == self.settings.hparams.reduction_factor

    def _settings(self, trial: FrozenTrial) -> Settings:
        return changed(self.settings, trial.user_attrs.get("values", {}))

    def _best_of(self, number: int | None) -> Path | None:
        if number is None or self.folder is None:
            return None
        best = self.folder / f"trial-{number:04d}" / "best.pt"
        return best if best.exists() else None


def plan_of(trial: FrozenTrial) -> dict[str, Any]:
    """The attributes that a trial was made with, without what came of it."""
    names = ("trial.origin", "seed", "values", "roll_back.to")
    return {name: trial.user_attrs[name] for name in names if name in trial.user_attrs}

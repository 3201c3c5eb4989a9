"""A study that searches: the settings' own values first, then what the sampler suggests, then the confirmation."""

import json
from collections.abc import Mapping
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from smart_tuner.analysis.results import Result
from smart_tuner.errors import Fault, OutOfMemoryError, SettingsError, TrialStopped, Verdict
from smart_tuner.progress import Progress
from smart_tuner.settings.settings import Settings
from smart_tuner.space.space import Space
from smart_tuner.study import warm_start
from smart_tuner.study.next_trial import Agenda, search_trials
from smart_tuner.study.pruners import explain_hopeless, make_pruner
from smart_tuner.study.samplers import MOST_INVALID, make_sampler, no_valid_settings, quiet_optuna, require_package
from smart_tuner.study.store import (
    Identity,
    load_existing,
    open_study,
    remember_session,
    translating_failures,
)
from smart_tuner.study.trials import (
    FINISHED,
    STAYS_OPEN,
    LiveTrial,
    StudyTrial,
    list_handed_out,
    list_own_results,
    run_statuses,
)
from smart_tuner.trial import FROM_SCRATCH, InitialWeights, Trial

MOST_FAILURES = 3
"""Different configurations that fail in a row before the study gives up: then it is not the configurations."""
MOST_TOO_LARGE = 10
"""The same when all were out of memory: some spaces hold batches that this machine does not."""


class TuneStudy:
    """A Plan that searches a space until the study holds so many finished trials, and then confirms the best."""

    def __init__(
        self,
        name: str,
        storage: str,
        space: Space,
        settings: Settings,
        corpus_digest: str,
        train_size: int,
        trials: int,
        *,
        slots: int = 1,
        deadline: float | None = None,
        start: InitialWeights = FROM_SCRATCH,
    ) -> None:
        """Open or create the study; settings already have the space's budget, train_size is in utterances.

        Before the deadline (time.monotonic()) the time to confirm the best, on so many slots, is kept. Raises
        StorageError for a store that fails and a study made for something else, SettingsError for a sampler that
        cannot be used and a warm-up that leaves nothing to compare.
        """
        require_package(space.sampler.kind)  # before the study is made
        self.space, self.settings, self.start = space, settings, start
        self.agenda = Agenda(space, settings, train_size, trials, slots, deadline)
        self.rungs = self.agenda.rungs
        self.study = open_study(name, storage, search_identity(space, settings, corpus_digest, self.rungs, start))
        if "space" not in self.study.user_attrs:
            self.study.set_user_attr("space", space.to_plain())
        self.study.sampler = make_sampler(space, settings.hparams.seed, len(self._frozen()))
        self.study.pruner = make_pruner(space, self.rungs)
        self._flying: dict[int, LiveTrial] = {}
        self._failures: dict[str, Exception] = {}
        """By configuration, what failed for good since the last trial that did not."""

    @property
    def over(self) -> str:
        """Why the search ended before it had all its trials; empty when it has them, or goes on."""
        return self.agenda.over

    @property
    def began_with(self) -> dict[str, Any]:
        """The space's to_plain() when the study began."""
        plain: dict[str, Any] = self.study.user_attrs["space"]
        return plain

    def results(self) -> list[Result]:
        """The finished trials of this study, in order; what a warm start took over is not among them."""
        return list_own_results(self._trials(), self.space.objectives[0].direction, FINISHED)

    def remember(self, facts: Mapping[str, str]) -> None:
        """Keep how and where this session works on the study."""
        remember_session(self.study, facts)

    def statuses(self) -> dict[int, str]:
        """How each ended trial's run has to end in MLflow, by number."""
        with translating_failures():
            return run_statuses(self.study)

    @translating_failures()
    def next_trial(self, running: int) -> Trial | None:
        """A trial that a kill left open, one to try again, a baseline, a suggestion or a confirming one, in this order.

        None while the confirmation waits for the last trials of the search, and when all is done. Raises
        SettingsError when the space holds hardly any valid settings.
        """
        problem = None
        for _ in range(MOST_INVALID):
            trial = self._begun() or self._new()
            if trial is None:
                return None
            try:
                settings = self.space.apply(self.settings, trial.plan.values)
            except SettingsError as invalid:
                problem = invalid
                # it counts as failed; the search lasts as long as some suggestions are valid
                LiveTrial(self.study, trial).fail(invalid)
                self.study.tell(trial.number, state=TrialState.FAIL)
                continue
            return self._launch(trial, settings.replace(seed=trial.plan.seed))
        assert problem is not None  # or the loop had returned
        raise no_valid_settings(problem) from problem

    def is_replay(self, trial: Trial, event: Progress | Verdict) -> bool:
        """Whether an earlier session told this already."""
        return self._flying[trial.number].is_replay(event)

    @translating_failures()
    def on_progress(self, trial: Trial, progress: Progress) -> TrialStopped | None:
        """Keep the progress; the pruner's verdict after a validation at a rung.

        Raises SettingsError for an objective or a constraint that was not logged.
        """
        live = self._flying[trial.number]
        if progress.kind == "training":
            live.add_iteration(progress)
            return None
        if progress.step <= live.spent.validated:
            return live.stopped()  # a kill came before the trial had heard of it
        metrics = live.metrics(progress)
        # the pruner and the best validation go by the first objective; the others count when the trial is complete
        value = self._objectives(metrics)[0]
        cost = value if self.space.objectives[0].direction == "minimize" else -value
        violations = {str(constraint): constraint.violation(metrics) for constraint in self.space.constraints}
        live.improve(progress, value, cost, violations)
        stopped = self._compare(live, progress, value)
        if stopped is not None:
            live.update(**{"audit" if trial.audited else "stop": stopped.verdict})
        live.end_validation(progress)
        return None if trial.audited else stopped

    @translating_failures()
    def on_verdict(self, trial: Trial, verdict: Verdict) -> None:
        """Keep what would have stopped an audited trial, the first time."""
        live = self._flying[trial.number]
        if verdict.level == "stop" and trial.audited and live.record.audit is None:
            live.update(audit=verdict)

    @translating_failures()
    def on_end(self, trial: Trial, outcome: Exception | None) -> Result | None:
        """Close a trial. Raises its fault when one configuration fails after the other, and bugs always."""
        live = self._flying.pop(trial.number)
        live.save()
        if isinstance(outcome, STAYS_OPEN):
            return None
        if outcome is None:
            self._complete(live)
        elif isinstance(outcome, TrialStopped):
            self._failures.clear()
            live.update(stop=outcome.verdict)
            self.study.tell(trial.number, state=TrialState.PRUNED)
        else:
            self._fail(live, outcome)
        return self._trial(trial.number).result()

    def warm_start(self, other: str, storage: str) -> warm_start.TakenOver:
        """Take the finished trials of another study over, once; they teach the sampler and count for nothing else.

        Raises StorageError for a study that is not there, or has another objective, corpus or budget.
        """
        with translating_failures():
            return warm_start.take_over(self.study, load_existing(storage, other, "tune"), self.space)

    def conclude(self, winner: Mapping[str, Any]) -> None:
        """Keep what --from-study gives."""
        with translating_failures():
            self.study.set_user_attr("winner", dict(winner))

    def _frozen(self) -> list[FrozenTrial]:
        return self.study.get_trials(deepcopy=False)

    def _trials(self) -> list[StudyTrial]:
        return list_handed_out(self._frozen())

    def _trial(self, number: int) -> StudyTrial:
        (trial,) = list_handed_out([self._frozen()[number]])
        return trial

    def _begun(self) -> StudyTrial | None:
        """A trial that an earlier session left open; one that was never handed out fails."""
        for frozen in self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            if frozen.number in self._flying:
                continue
            for trial in list_handed_out([frozen]):
                return trial
            self.study.tell(frozen.number, state=TrialState.FAIL)
        return None

    def _new(self) -> StudyTrial | None:
        # A trial goes through the storage's queue with its whole plan (enqueue, then ask), so that it never exists
        # without one: after a kill between the two it waits in the queue, and is the next. Only what the sampler
        # suggests cannot, for it is asked first; a kill before its plan is written leaves a trial that _begun fails.
        frozen, trials, agenda = self._frozen(), self._trials(), self.agenda
        if any(trial.state is TrialState.WAITING for trial in frozen):
            return self._pop()
        plan = agenda.retry(trials)
        # a failed trial first, while what failed may have passed, then the search
        if plan is None and agenda.is_searching(trials):
            plan = agenda.listed(trials)
            if plan is None and agenda.grid is None:
                return self._suggest(trials)
        # the confirmation waits for the whole search: the best could still change
        if plan is None and not any(trial.state is TrialState.RUNNING for trial in search_trials(trials)):
            plan = agenda.confirmation(trials)
        if plan is None:
            return None
        plan = agenda.complete(plan, len(frozen))
        self.study.enqueue_trial(plan.values, user_attrs=plan.to_attributes())
        return self._pop()

    def _pop(self) -> StudyTrial:
        with quiet_optuna():
            return self._trial(self.study.ask().number)

    def _suggest(self, trials: list[StudyTrial]) -> StudyTrial:
        with quiet_optuna():
            live = self.study.ask()
            values = self.space.suggest(live)
        plan = self.agenda.complete(self.agenda.suggestion(values, trials), live.number)
        for name, value in plan.to_attributes().items():
            live.set_user_attr(name, value)
        return self._trial(live.number)

    def _launch(self, trial: StudyTrial, settings: Settings) -> Trial:
        live = self._flying[trial.number] = LiveTrial(self.study, trial)
        plan = trial.plan
        if len(trial.frozen.params) < len(plan.values):  # it was enqueued: the sampler learns from what is suggested
            with quiet_optuna():
                self.space.suggest(live.optuna)
        return Trial(
            number=trial.number,
            origin=plan.origin,
            settings=settings,
            audited=plan.audited,
            rungs=self.rungs,
            start_from=self.start.file,
            note=plan.note,
        )

    def _objectives(self, metrics: Mapping[str, float]) -> list[float]:
        names = [objective.metric for objective in self.space.objectives]
        for name in names:
            if name not in metrics:
                raise SettingsError(
                    f"The objective {name} was not logged by this trial; it logged {', '.join(sorted(metrics))}."
                )
        return [metrics[name] for name in names]

    def _compare(self, live: LiveTrial, progress: Progress, value: float) -> TrialStopped | None:
        """Report a validation at each rung that it has reached, and ask the pruner about the last of them."""
        reached = [rung for rung in self.rungs if live.spent.compared < rung <= progress.utterances]
        for rung in reached:
            live.report(value, rung)
        if not reached or live.record.audit is not None:  # a doomed one is out of the competition
            return None
        # The pruner is asked for every trial, the protected too, for its answer is how others come to be compared with
        # them; and each time once, as it does not say the same twice: after a kill the answer is the one that was kept.
        stop = live.record.doomed_at == reached[-1] or live.optuna.should_prune()
        if stop:
            live.update(doomed_at=reached[-1])
        if not stop or live.plan.protected or progress.fraction >= 1:
            return None
        return explain_hopeless(self.space, self._frozen(), live.number, reached[-1], progress, value)

    def _complete(self, live: LiveTrial) -> None:
        best = live.record.best
        assert best is not None  # a training validates at its end
        self._failures.clear()
        # an audited trial has run to its end only to judge the stop: as a result of the search it was stopped
        if live.record.audit is not None:
            live.update(audit_final=best.value)
            self.study.tell(live.number, state=TrialState.PRUNED)
            return
        for name, violation in best.violations.items():
            if name not in live.optuna.constraints:  # a kill may have come before the trial was closed
                live.optuna.set_constraint(name, violation)
        self.study.tell(live.number, self._objectives(best.metrics))

    def _fail(self, live: LiveTrial, failure: Exception) -> None:
        again = live.plan.retry_depth < getattr(failure, "retries", 0)
        live.fail(failure, retry=again)
        self.study.tell(live.number, state=TrialState.FAIL)
        if not isinstance(failure, Fault | SettingsError):
            raise failure
        if not again:
            self._failures[json.dumps(live.plan.values, sort_keys=True)] = failure
        # one configuration that fails says something of itself, several in a row of the machine or the space
        full = all(isinstance(fault, OutOfMemoryError) for fault in self._failures.values())
        if len(self._failures) >= (MOST_TOO_LARGE if full else MOST_FAILURES):
            raise failure


def search_identity(
    space: Space, settings: Settings, corpus: str, rungs: tuple[int, ...] = (), start: InitialWeights = FROM_SCRATCH
) -> Identity:
    """What a search must keep to when it goes on. Ranges, the sampler and more may change."""
    return Identity(
        mode="tune",
        objectives=tuple((objective.metric, objective.direction) for objective in space.objectives),
        settings=settings,
        corpus=corpus,
        constraints=tuple(str(constraint) for constraint in space.constraints),
        parameters={
            parameter.name: {"type": parameter.type, "log": parameter.log, "choices": list(parameter.choices)}
            for parameter in space.parameters
        },
        halving=rungs if space.pruner.kind.is_halving else (),
        checkpoint=start.digest,
    )

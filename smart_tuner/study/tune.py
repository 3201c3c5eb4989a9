"""A study that searches: the settings' own values first, then what the sampler suggests, then the confirmation."""

import json
from collections.abc import Mapping
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from smart_tuner.errors import Fault, OutOfMemoryError, SettingsError, StorageError, TrialStopped
from smart_tuner.health.watch import Finding
from smart_tuner.progress import Progress
from smart_tuner.settings import Settings
from smart_tuner.space.space import Space
from smart_tuner.study import warm
from smart_tuner.study.agenda import Agenda, Attributes, searched
from smart_tuner.study.comparison import hopeless
from smart_tuner.study.record import READY, STAYS_OPEN, Record, is_ready, result_of, sentence_of, statuses
from smart_tuner.study.results import Result
from smart_tuner.study.samplers import MOST_INVALID, make_pruner, make_sampler, nothing_valid, quiet
from smart_tuner.study.store import Identity, all_attributes, existing, open_study, remember, translated
from smart_tuner.training import FROM_SCRATCH, Start, Trial

MOST_TOO_LARGE = 10
"""The same when all were out of memory: some spaces hold batches that this machine does not."""
DOOMED = "doomed_at"
"""Attribute: the rung at which the pruner said stop, whatever came of that."""
MOST_FAILURES = 3
"""Different configurations that fail in a row before the study gives up: then it is not the configurations."""


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
        start: Start = FROM_SCRATCH,
    ) -> None:
        """Open or create the study; settings already have the space's budget, train_size is in utterances.

        Before the deadline (time.monotonic()) the time to confirm the best, on so many slots, is kept. Raises
        StorageError for a store that fails and a study made for something else, SettingsError for a sampler that
        cannot be used and a warm-up that leaves nothing to compare.
        """
        self.space, self.settings, self.start = space, settings, start
        self.agenda = Agenda(space, settings, train_size, trials, slots, deadline)
        self.rungs = self.agenda.rungs
        self.study = open_study(name, storage, identity(space, settings, corpus_digest, self.rungs, start))
        if "space" not in self.study.user_attrs:
            self.study.set_user_attr("space", space.to_plain())
        self.study.sampler = make_sampler(space, settings.hparams.seed, len(self._trials()))
        self.study.pruner = make_pruner(space, self.rungs)
        self._flying: dict[int, Record] = {}
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
        return self.agenda.results(self._trials())

    def remember(self, facts: Mapping[str, str]) -> None:
        """Keep how and where this session works on the study."""
        remember(self.study, facts)

    def statuses(self) -> dict[int, str]:
        """How each ended trial's run has to end in MLflow, by number."""
        return statuses(self.study)

    @translated()
    def next(self, running: int) -> Trial | None:
        """A trial that a kill left open, one to try again, a baseline, a suggestion or a confirming one, in this order.

        None while the confirmation waits for the last trials of the search, and when all is done. Raises
        SettingsError when the space holds hardly any valid settings.
        """
        problem = None
        for _ in range(MOST_INVALID):
            frozen = self._begun() or self._new()
            if frozen is None:
                return None
            try:
                settings = self.space.apply(self.settings, frozen.user_attrs["values"])
            except SettingsError as invalid:
                problem = invalid
                Record(self.study, frozen).write(error=str(invalid))
                self.study.tell(frozen.number, state=TrialState.FAIL)
                continue
            return self._launched(frozen, settings.replace(seed=frozen.user_attrs[READY]))
        assert problem is not None  # or the loop had returned
        raise nothing_valid(problem) from problem

    def known(self, trial: Trial, event: Progress | Finding) -> bool:
        """Whether an earlier session told this already."""
        return self._flying[trial.number].known(event)

    @translated()
    def heard(self, trial: Trial, progress: Progress) -> TrialStopped | None:
        """Keep the progress; the pruner's verdict after a validation at a rung.

        Raises SettingsError for an objective or a constraint that was not logged.
        """
        record = self._flying[trial.number]
        if progress.kind == "training":
            record.trained(progress)
            return None
        if progress.step <= record.spent.validated:
            return record.verdict("stop")  # a kill came before the trial had heard of it
        metrics = record.metrics(progress)
        value = self._objectives(metrics)[0]
        cost = value if self.space.objectives[0].direction == "minimize" else -value
        violations = {str(constraint): constraint.violation(metrics) for constraint in self.space.constraints}
        record.improve(progress, value, cost, violations)
        verdict = self._compared(record, progress, value)
        if verdict is not None:
            record.write_verdict("audit" if trial.audited else "stop", verdict)
        record.validated(progress)
        return None if trial.audited else verdict

    @translated()
    def note_finding(self, trial: Trial, finding: Finding) -> None:
        """Keep what would have stopped an audited trial, the first time."""
        record = self._flying[trial.number]
        if finding.level == "stop" and trial.audited and record.verdict("audit") is None:
            record.write_verdict("audit", finding.verdict())

    @translated()
    def ended(self, trial: Trial, outcome: Exception | None) -> Result | None:
        """Close a trial. Raises its fault when one configuration fails after the other, and bugs always."""
        record = self._flying.pop(trial.number)
        record.save()
        if isinstance(outcome, STAYS_OPEN):
            return None
        if outcome is None:
            self._complete(record)
        elif isinstance(outcome, TrialStopped):
            self._failures.clear()
            record.write_verdict("stop", outcome)
            self.study.tell(trial.number, state=TrialState.PRUNED)
        else:
            self._fail(record, outcome)
        return result_of(self._trials()[trial.number])

    def warm_start(self, other: str, storage: str) -> warm.Taken:
        """Take the finished trials of another study over, once; they teach the sampler and count for nothing else.

        Raises StorageError for a study that is not there, or has another objective, corpus or budget.
        """
        with translated():
            return warm.take_over(self.study, existing(storage, other, "tune"), self.space)

    def conclude(self, winner: Mapping[str, Any]) -> None:
        """Keep what --from-study gives."""
        with translated():
            self.study.set_user_attr("winner", dict(winner))

    def _trials(self) -> list[FrozenTrial]:
        return self.study.get_trials(deepcopy=False)

    def _begun(self) -> FrozenTrial | None:
        """A trial that an earlier session left open; one that was never handed out fails."""
        for trial in self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            if trial.number in self._flying:
                continue
            if is_ready(trial):
                return trial
            self.study.tell(trial.number, state=TrialState.FAIL)
        return None

    def _new(self) -> FrozenTrial | None:
        trials, agenda = self._trials(), self.agenda
        if any(trial.state is TrialState.WAITING for trial in trials):  # a kill came right after it was enqueued
            return self._popped()
        attributes = agenda.again(trials)
        if attributes is None and agenda.searching(trials):
            attributes = agenda.listed(trials)
            if attributes is None and agenda.grid is None:
                return self._suggested(trials)
        if attributes is None and not any(trial.state is TrialState.RUNNING for trial in searched(trials)):
            attributes = agenda.confirming(trials)
        if attributes is None:
            return None
        described = agenda.described(len(trials), attributes)
        self.study.enqueue_trial(described["values"], user_attrs=described)  # it never exists without them
        return self._popped()

    def _popped(self) -> FrozenTrial:
        with quiet():
            return self._trials()[self.study.ask().number]

    def _suggested(self, trials: list[FrozenTrial]) -> FrozenTrial:
        with quiet():
            live = self.study.ask()
            values = self.space.suggest(live)
        attributes: Attributes = self.agenda.suggested(live.number, values, trials)
        seed = attributes.pop(READY)
        for key, value in {**attributes, READY: seed}.items():  # a trial with the last of them has all
            live.set_user_attr(key, value)
        return self._trials()[live.number]

    def _launched(self, frozen: FrozenTrial, settings: Settings) -> Trial:
        record = self._flying[frozen.number] = Record(self.study, frozen)
        known = frozen.user_attrs
        if len(frozen.params) < len(known["values"]):  # it was enqueued: the sampler learns from what is suggested
            with quiet():
                self.space.suggest(record.live)
        return Trial(
            number=frozen.number,
            origin=known["trial.origin"],
            settings=settings,
            audited=known["audited"],
            marks=self.rungs,
            start_from=self.start.file,
            note=known.get("note", ""),
        )

    def _objectives(self, metrics: Mapping[str, float]) -> list[float]:
        names = [objective.metric for objective in self.space.objectives]
        for name in names:
            if name not in metrics:
                raise SettingsError(
                    f"The objective {name} was not logged by this trial; it logged {', '.join(sorted(metrics))}."
                )
        return [metrics[name] for name in names]

    def _compared(self, record: Record, progress: Progress, value: float) -> TrialStopped | None:
        """Report a validation at each rung that it has reached, and ask the pruner about the last of them."""
        reached = [rung for rung in self.rungs if record.spent.compared < rung <= progress.utterances]
        for rung in reached:
            record.report(value, rung)
        if not reached or record.verdict("audit") is not None:  # a doomed one is out of the competition
            return None
        stop = record.attributes.get(DOOMED) == reached[-1] or record.live.should_prune()  # asked for all trials: this
        if stop:  # is how others come to be compared with them; and each once, as it does not say the same twice
            record.write(**{DOOMED: reached[-1]})
        if not stop or record.attributes.get("protected") or progress.fraction >= 1:
            return None
        return hopeless(self.space, self._trials(), record.number, reached[-1], progress, value)

    def _complete(self, record: Record) -> None:
        best = record.best
        assert best is not None  # a training validates at its end
        self._failures.clear()
        if record.verdict("audit") is not None:
            record.write(**{"audit.final": best.value})
            self.study.tell(record.number, state=TrialState.PRUNED)
            return
        for name, violation in best.violations.items():
            if name not in record.live.constraints:  # a kill may have come before the trial was closed
                record.live.set_constraint(name, violation)
        self.study.tell(record.number, self._objectives(best.metrics))

    def _fail(self, record: Record, failure: Exception) -> None:
        again = record.attributes.get("retry.depth", 0) < getattr(failure, "retries", 0)
        record.write(error=sentence_of(failure), retry=again)
        self.study.tell(record.number, state=TrialState.FAIL)
        if not isinstance(failure, Fault | SettingsError):
            raise failure
        if not again:
            self._failures[json.dumps(record.attributes["values"], sort_keys=True)] = failure
        full = all(isinstance(one, OutOfMemoryError) for one in self._failures.values())
        if len(self._failures) >= (MOST_TOO_LARGE if full else MOST_FAILURES):
            raise failure


def identity(
    space: Space, settings: Settings, corpus: str, rungs: tuple[int, ...] = (), start: Start = FROM_SCRATCH
) -> Identity:
    """What a search must keep to when it goes on. Ranges, the sampler and more may change."""
    return Identity(
        mode="tune",
        objectives=tuple((objective.metric, objective.direction) for objective in space.objectives),
        settings=settings,
        corpus=corpus,
        constraints=tuple(str(constraint) for constraint in space.constraints),
        parameters={
            one.name: {"type": one.type, "log": one.log, "choices": list(one.choices)} for one in space.parameters
        },
        halving=rungs if space.pruner.name in ("asha", "hyperband") else (),
        checkpoint=start.digest,
    )


def load_winner(storage: str, name: str) -> dict[str, Any]:
    """What a search concluded. Raises StorageError, which names the searches that have, when it has not."""
    winners = {
        study: attributes["winner"] for study, attributes in all_attributes(storage).items() if "winner" in attributes
    }
    if name not in winners:
        known = ", ".join(sorted(winners)) or "none yet"
        raise StorageError(f"No search {name!r} with a winner is in {storage}; those with one: {known}.")
    winner: dict[str, Any] = winners[name]
    return winner

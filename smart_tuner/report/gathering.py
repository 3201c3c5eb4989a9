"""Joins what the study's storage and MLflow know of the same trials."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, cast, get_args

from smart_tuner.analysis.results import Result
from smart_tuner.errors import StorageError
from smart_tuner.paths import trial_name
from smart_tuner.report.evidence import Evidence, Run, RunState
from smart_tuner.space.objective import Objective
from smart_tuner.study.facts import Facts, latest_study, read_facts
from smart_tuner.tracking.reader import LoggedRun, Reader

STATE_OF_STATUS: dict[str, RunState] = {
    "RUNNING": "running",
    "SCHEDULED": "running",
    "FINISHED": "complete",
    "FAILED": "failed",
    "KILLED": "interrupted",
}
"""What a run's status in MLflow means when nothing else tells."""


def gather(storage: str, uri: str | None, name: str | None) -> tuple[Evidence, Reader]:
    """A study, the latest when none is named. Raises StorageError and TrackingError."""
    facts = read_facts(storage, latest_study(storage) if name is None else name)
    reader = Reader(uri)
    parent = reader.study(facts.name)
    runs = join_runs(facts, find_logged_runs(reader, facts, parent))
    evidence = Evidence(
        name=facts.name,
        mode=facts.mode,
        objectives=tuple(Objective(metric=metric, direction=cast(Any, way)) for metric, way in facts.objectives),
        runs=runs,
        constraints=facts.constraints,
        space=facts.space,
        settings=facts.settings,
        budget=facts.budget,
        corpus=facts.corpus,
        winner=facts.winner,
        command=facts.command,
        folder=facts.folder,
        began=facts.began,
        ended=facts.ended,
        running=len(facts.open),
        parent_id=parent.run_id if parent is not None else None,
        parent_status=parent.status if parent is not None else "",
        parent_link=parent.link if parent is not None else "",
        gone=tuple(run.name for run in runs if run.run_id is None and not (reader.there and was_refused(run))),
    )
    return evidence, reader


def gather_runs(uri: str | None, condition: str) -> tuple[Evidence, Reader]:
    """Runs that a filter finds in MLflow, the oldest first; the runs of studies themselves are none.

    Raises StorageError when there is no store or no such run, SettingsError for a filter that MLflow does not take.
    """
    reader = Reader(uri)
    if not reader.there:
        raise StorageError(f"There is no tracking store {reader.shown}: nothing was logged there.")
    logged = [run for run in reader.search(condition) if run.tags.get("study.role") != "parent"]
    if not logged:
        raise StorageError(f"No run in {reader.shown} fits the filter {condition!r}.")
    runs = tell_names_apart([make_run(run) for run in logged])
    began = [run.began for run in logged if run.began is not None]
    ended = [run.ended for run in logged if run.ended is not None]
    evidence = Evidence(
        name=condition,
        mode="runs",
        objectives=(Objective(),),
        runs=runs,
        budget=find_common(run.params.get("hparams.budget", "") for run in logged),
        corpus=find_common(run.tags.get("dataset.digest", "") for run in logged),
        began=min(began, default=None),
        ended=max(ended, default=None),
        running=sum(run.state == "running" for run in runs),
    )
    return evidence, reader


def was_refused(run: Run) -> bool:
    """Whether a trial was refused before it had a run: its values were no valid settings."""
    return run.result is not None and run.result.state == "failed" and run.result.utterances == 0


def find_logged_runs(reader: Reader, facts: Facts, parent: LoggedRun | None) -> list[LoggedRun]:
    """The runs nested in the study's; before them, when trials have none there, what else names the study.

    Those are below a parent that was deleted, or in the experiment of an earlier session.
    """
    nested = reader.trials(parent.run_id) if parent is not None else []
    known = {result.number for result in facts.results} | facts.open.keys()
    if known <= {read_number(run) for run in nested}:
        return nested
    seen = {run.run_id for run in nested}
    others = [run for run in reader.named(facts.name) if run.tags.get("study.role") != "parent"]
    return [run for run in others if run.run_id not in seen] + nested


def join_runs(facts: Facts, logged: Sequence[LoggedRun]) -> tuple[Run, ...]:
    """Trials by number, then runs logged by hand."""
    # runs nested in the study's come last, so that they win over those of an earlier parent
    numbered = {number: run for run in logged if (number := read_number(run)) is not None}
    results = {result.number: result for result in facts.results}
    trials = [
        join_trial(number, results.get(number), numbered.get(number), is_open=number in facts.open)
        for number in sorted({*results, *facts.open, *numbered})
    ]
    return tell_names_apart([*trials, *(make_run(run) for run in logged if read_number(run) is None)])


def join_trial(number: int, result: Result | None, logged: LoggedRun | None, *, is_open: bool) -> Run:
    """A trial that at least one of the stores knows."""
    run = make_run(logged) if logged is not None else Run(name="", state="running" if is_open else "unknown")
    if result is not None:
        state: RunState = result.state
    elif is_open:
        state = "running" if run.state in ("running", "unknown") else "interrupted"
    else:
        state = run.state
    return replace(run, name=trial_name(number), number=number, result=result, state=state)


def make_run(logged: LoggedRun) -> Run:
    """A run by what MLflow alone says of it."""
    told = logged.tags.get("trial.state", "")
    return Run(
        name=logged.name,
        state=cast(RunState, told) if told in get_args(RunState) else STATE_OF_STATUS.get(logged.status, "unknown"),
        run_id=logged.run_id,
        link=logged.link,
        metrics=logged.metrics,
        params=logged.params,
        tags=logged.tags,
    )


def read_number(logged: LoggedRun) -> int | None:
    """The trial's number; None for a run that was logged by hand."""
    number = logged.tags.get("trial.number", "")
    return int(number) if number.isdecimal() else None


def tell_names_apart(runs: Sequence[Run]) -> tuple[Run, ...]:
    """The runs with names of their own: of several with one name, those without a number get their id's beginning."""
    count = Counter(run.name for run in runs)
    return tuple(
        replace(run, name=f"{run.name} ({run.run_id[:8]})")
        if count[run.name] > 1 and run.number is None and run.run_id is not None
        else run
        for run in runs
    )


def find_common(values: Iterable[str]) -> str:
    """What all say; empty when they differ."""
    found = set(values)
    return found.pop() if len(found) == 1 else ""

"""The leaderboard: each trial's numbers, what it is, and why it is no candidate."""

import math
import operator

from smart_tuner.analysis.conclusions import cost
from smart_tuner.analysis.ranking import format_assignments, format_changes, pareto_front, rank_of
from smart_tuner.analysis.results import Result
from smart_tuner.progress import FOCUS, GATE_MEAN, SCORE
from smart_tuner.report.evidence import Evidence, Run, RunState
from smart_tuner.report.finalists import Finalists
from smart_tuner.report.message import MISSING, Message, format_metric
from smart_tuner.report.view import TrialRow, Verdicts

SHOWN = (SCORE, FOCUS, GATE_MEAN, "validation.freerun.failure_rate", "validation.freerun.cer")
STATES = (Message("complete"), Message("stopped"), Message("audited"), Message("failed"), Message("running"))
ORIGINS = (Message("baseline"), Message("sampled"), Message("replicate"), Message("repaired"), Message("retried"))
MORE_WORDS = (Message("interrupted"), Message("unknown"), Message("warm-start"))
WORDS = {message.text: message for message in (*STATES, *ORIGINS, *MORE_WORDS)}
"""States and origins are stored as the words that they are shown by."""
RERUNS = {
    "best": Message("rerun of the best"),
    "baseline": Message("rerun of the baseline"),
    "earlier": Message("rerun of an earlier best"),
}
HOLDS = {"<=": operator.le, ">=": operator.ge}
GROUPS: dict[RunState, int] = {"running": 1, "interrupted": 1, "failed": 2}
LAST_GROUP = 3
"""Of runs that cannot be placed among the trials."""


def list_columns(evidence: Evidence) -> tuple[str, ...]:
    """The objectives, then what was measured of the metrics that say whether a voice speaks."""
    objectives = [objective.metric for objective in evidence.objectives]
    known = {name for run in evidence.runs for name in run.metrics_at_best()}
    return tuple(dict.fromkeys([*objectives, *(name for name in SHOWN if name in known)]))


def list_rows(evidence: Evidence, finalists: Finalists, verdicts: Verdicts) -> tuple[TrialRow, ...]:
    """All runs, the best first: ended trials, then those that run, those that failed, those logged by hand."""
    columns, marks = list_columns(evidence), find_marks(evidence, finalists)
    own = finalists.baseline.result if finalists.baseline is not None else None
    # of a front no trial is the best, though finalists has the first by the first objective
    best = None if len(evidence.objectives) > 1 else finalists.best
    return tuple(
        TrialRow(
            name=run.name,
            link=run.link,
            origin=describe_origin(run),
            state=WORDS[run.state],
            is_open=run.state in ("running", "interrupted"),
            is_best=best is not None and run.name == best.name,
            is_baseline=finalists.baseline is not None and run.name == finalists.baseline.name,
            marks=tuple(marks.get(run.name, ())),
            metrics={metric: run.measure(metric, evidence.objective) for metric in columns},
            minutes=run.result.seconds / 60 if run.result is not None and run.result.seconds > 0 else None,
            changed=list_changes(run.result, own),
            why=explain_run(run, evidence),
            verdicts=verdicts.get(run.name, ()),
        )
        for run in order_runs(evidence)
    )


def order_runs(evidence: Evidence) -> list[Run]:
    places = {run.name: place_run(run, index, evidence) for index, run in enumerate(evidence.runs)}
    return sorted(evidence.runs, key=lambda run: places[run.name])


def place_run(run: Run, index: int, evidence: Evidence) -> tuple[int, tuple[tuple[bool, ...], float, int]]:
    """What runs are sorted by: their group, then as ranking.rank_of has it for trials."""
    direction = evidence.objective.direction
    if run.result is not None and run.state != "failed":
        return 0, rank_of(run.result, direction)
    value = run.measure(evidence.objective.metric, evidence.objective)
    by_value = ((run.state == "stopped",), math.inf if value is None else cost(value, direction), index)
    if evidence.mode == "runs":
        return (2 if run.state == "failed" else 0), by_value
    return GROUPS.get(run.state, LAST_GROUP), by_value


def find_marks(evidence: Evidence, finalists: Finalists) -> dict[str, list[Message]]:
    is_front = len(evidence.objectives) > 1
    known = [
        (None if is_front else finalists.best, Message("best")),
        (finalists.winner, Message("winner")),
        (finalists.baseline, Message("baseline")),
    ]
    marks: dict[str, list[Message]] = {}
    for run, mark in known:
        if run is not None:
            marks.setdefault(run.name, []).append(mark)
    for result in pareto_front(evidence.results, evidence.objectives) if is_front else ():
        marks.setdefault(evidence.run_of(result.number).name, []).append(Message("in the front"))
    for run in evidence.runs:
        if run.result is not None and run.result.confirms:
            marks.setdefault(run.name, []).append(RERUNS[run.result.confirms])
    return marks


def describe_origin(run: Run) -> Message | str:
    origin = run.result.origin if run.result is not None else run.tags.get("trial.origin", "")
    if not origin:
        return Message("unknown" if run.number is not None else "logged by hand")
    return WORDS.get(origin, origin)


def list_changes(result: Result | None, baseline: Result | None) -> str:
    """Values that differ from the baseline's, all without one."""
    if result is None:
        return ""
    return format_changes(result, baseline) if baseline is not None else format_assignments(result.values)


def explain_run(run: Run, evidence: Evidence) -> Message | str:
    """Why a run is no candidate; empty for one that is."""
    result = run.result
    if run.state == "failed":
        return Message("failed: {fault}", fault=run.fault or MISSING)
    if result is None:
        return explain_unknown_run(run, evidence)
    if result.state == "complete":
        return "" if result.feasible else explain_infeasible(result, evidence.constraints)
    rule = f"{result.kind}: {result.rule}"
    if result.state == "audited":
        return Message("doomed by {rule}, ran on for the audit", rule=rule)
    if result.planned <= 0:
        return rule
    return Message(
        "{rule} at {percent:.0f} % of the budget", rule=rule, percent=100 * result.utterances / result.planned
    )


def explain_unknown_run(run: Run, evidence: Evidence) -> Message | str:
    """The same of a run that the study's storage does not know as ended."""
    if run.state == "stopped" and "stop.rule" in run.tags:
        return f"{run.tags.get('stop.kind', '')}: {run.tags['stop.rule']}"
    if run.state in ("running", "interrupted"):
        return Message("not finished")
    if evidence.mode == "runs":
        return ""
    return Message("logged by hand, not a trial" if run.number is None else "the study's storage does not know it")


def explain_infeasible(result: Result, constraints: tuple[str, ...]) -> Message:
    broken = []
    for constraint in constraints:
        metric, operation, limit = constraint.split()
        value = result.metrics.get(metric)
        if value is not None and not HOLDS[operation](value, float(limit)):
            broken.append(f"{metric} {format_metric(value)} ({operation} {limit})")
    return Message("outside the constraints: {broken}", broken=broken) if broken else Message("outside the constraints")

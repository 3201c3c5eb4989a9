"""The leaderboard: each trial's numbers, what it is, and why it is no candidate."""

import math
import operator
from collections.abc import Mapping

from smart_tuner.health.history import FOCUS, GATE_MEAN, SCORE
from smart_tuner.report.catalogue import MISSING, Said, said
from smart_tuner.report.evidence import Evidence, Run
from smart_tuner.report.finalists import Finalists
from smart_tuner.report.judging.findings import fault
from smart_tuner.report.judging.guide import at_best
from smart_tuner.report.phrases import figure
from smart_tuner.report.view import Row, Verdict
from smart_tuner.space.space import Objective
from smart_tuner.study.conclusions import cost
from smart_tuner.study.results import Result
from smart_tuner.study.summary import changed, front, listed_values, place

SHOWN = (SCORE, FOCUS, GATE_MEAN, "validation.freerun.failure_rate", "validation.freerun.cer")
ORIGINS = ("baseline", "sampled", "replicate", "repaired", "retried", "warm-start")
HOLDS = {"<=": operator.le, ">=": operator.ge}
LAST = 3
"""The group of runs that cannot be placed among the trials."""

Place = tuple[int, tuple[tuple[bool, ...], float, int]]


def columns(evidence: Evidence) -> tuple[str, ...]:
    """The objectives, then what was measured of the metrics that say whether a voice speaks."""
    objectives = [one.metric for one in evidence.objectives]
    measured = [name for name in SHOWN if any(name in at_best(run) for run in evidence.runs)]
    return tuple(dict.fromkeys([*objectives, *measured]))


def rows(evidence: Evidence, finalists: Finalists, verdicts: Mapping[str, tuple[Verdict, ...]]) -> tuple[Row, ...]:
    """All runs: the trials as summary.py places them, then those that run, those that failed, those logged by hand."""
    shown = columns(evidence)
    marked = marks(evidence, finalists)
    own = finalists.baseline.result if finalists.baseline is not None else None
    return tuple(
        Row(
            name=run.name,
            link=run.link,
            origin=origin(run),
            state=said(f"findings.state_{run.state}"),
            marks=tuple(marked.get(run.name, ())),
            metrics={metric: measured(run, metric, evidence.objectives) for metric in shown},
            minutes=run.result.seconds / 60 if run.result is not None and run.result.seconds > 0 else None,
            changed=differing(run.result, own),
            why=why(run, evidence),
            verdicts=verdicts.get(run.name, ()),
        )
        for run in ordered(evidence)
    )


def ordered(evidence: Evidence) -> list[Run]:
    """The runs, the best first."""
    direction = evidence.objectives[0].direction
    places = {run.name: run_place(run, index, evidence, direction) for index, run in enumerate(evidence.runs)}
    return sorted(evidence.runs, key=lambda run: places[run.name])


def run_place(run: Run, index: int, evidence: Evidence, direction: str) -> Place:
    """Where a run stands."""
    if run.result is not None and run.state != "failed":
        return 0, place(run.result, direction)
    value = measured(run, evidence.objectives[0].metric, evidence.objectives)
    by_value = ((run.state == "stopped",), math.inf if value is None else cost(value, direction), index)
    if evidence.mode == "runs":
        return (2 if run.state == "failed" else 0), by_value
    return {"running": 1, "interrupted": 1, "failed": 2}.get(run.state, LAST), by_value


def measured(run: Run, metric: str, objectives: tuple[Objective, ...]) -> float | None:
    """A metric at the run's best validation; of one without a result the lowest logged, else the last."""
    value = at_best(run).get(metric)
    if run.result is None:
        value = run.metrics.get(f"best.{metric}", value)
    elif metric == objectives[0].metric:
        value = run.result.loss
    return None if value is None or not math.isfinite(value) else value


def marks(evidence: Evidence, finalists: Finalists) -> dict[str, list[Said]]:
    """What runs are, by name."""
    several = len(evidence.objectives) > 1
    found: dict[str, list[Said]] = {}
    known = {"best": None if several else finalists.best, "winner": finalists.winner, "baseline": finalists.baseline}
    for mark, run in known.items():
        if run is not None:
            found.setdefault(run.name, []).append(said(f"findings.mark_{mark}"))
    for result in front(evidence.results, evidence.objectives) if several else ():
        found.setdefault(evidence.run_of(result.number).name, []).append(said("findings.mark_front"))
    for run in evidence.runs:
        if run.result is not None and run.result.confirms:
            found.setdefault(run.name, []).append(said(f"findings.mark_rerun_{run.result.confirms}"))
    return found


def origin(run: Run) -> Said | str:
    """Where its values come from."""
    text = run.result.origin if run.result is not None else run.tags.get("trial.origin", "")
    if not text:
        return said("findings.origin_unknown" if run.number is not None else "findings.origin_by_hand")
    return said(f"findings.origin_{text.replace('-', '_')}") if text in ORIGINS else text


def differing(result: Result | None, baseline: Result | None) -> str:
    """Values that differ from the baseline's, all without one."""
    if result is None:
        return ""
    return changed(result, baseline) if baseline is not None else listed_values(result.values)


def why(run: Run, evidence: Evidence) -> Said | str:
    """Why a run is no candidate; empty for one that is."""
    result = run.result
    if run.state == "failed":
        return said("findings.why_failed", fault=fault(run) or MISSING)
    if result is None:
        return why_without_result(run, evidence)
    if result.state == "complete":
        return "" if result.feasible else infeasible(result, evidence.constraints)
    rule = f"{result.kind}: {result.rule}"
    if result.state == "audited":
        return said("findings.why_audited", rule=rule)
    if result.planned <= 0:
        return said("findings.why_stopped", rule=rule)
    return said("findings.why_stopped_at", rule=rule, percent=100 * result.utterances / result.planned)


def why_without_result(run: Run, evidence: Evidence) -> Said | str:
    """The same of a run that the study's storage does not know as ended."""
    rule = f"{run.tags.get('stop.kind', '')}: {run.tags.get('stop.rule', '')}"
    if run.state == "stopped" and "stop.rule" in run.tags:
        return said("findings.why_stopped", rule=rule)
    if run.state in ("running", "interrupted"):
        return said("findings.why_open")
    if evidence.mode == "runs":
        return ""
    return said("findings.why_by_hand" if run.number is None else "findings.why_unknown")


def infeasible(result: Result, constraints: tuple[str, ...]) -> Said:
    """Which constraints it breaks, with the numbers."""
    broken = []
    for constraint in constraints:
        metric, operation, limit = constraint.split()
        value = result.metrics.get(metric)
        if value is not None and not HOLDS[operation](value, float(limit)):
            broken.append(f"{metric} {figure(value)} ({operation} {limit})")
    return said("findings.why_infeasible_by", broken=broken) if broken else said("findings.why_infeasible")

"""The next step that a study leads to: the sentence and the commands of the answer both follow it."""

from collections.abc import Mapping
from typing import Literal

from smart_tuner.report.catalogue import Said, said
from smart_tuner.report.evidence import Evidence
from smart_tuner.report.finalists import Finalists
from smart_tuner.report.judging.findings import standing
from smart_tuner.report.judging.gain import rerun_facts
from smart_tuner.report.judging.guide import overall
from smart_tuner.report.view import Verdict
from smart_tuner.study.conclusions import Reason, confirmation, winner
from smart_tuner.study.results import Result

Unfinished = Literal["running", "open", "interrupted", "failed", "empty"]
Step = (
    Unfinished
    | Reason
    | Literal["runs", "unknown", "train_none", "none", "front", "sick_both", "unhealthy", "seeds", "listen"]
)
Verdicts = Mapping[str, tuple[Verdict, ...]]

ENOUGH_SEEDS = 3
UNFINISHED: tuple[Unfinished, ...] = ("running", "open", "interrupted", "failed", "empty")
LEFT: tuple[Step, ...] = ("sick", "sick_both", "worse", "no_better")
"""Ends of a search that leave its best for the baseline."""
TO_CONFIRM: tuple[Step, ...] = ("not_rerun", "few", "noise")
"""Those that more reruns would decide."""
TO_TRAIN: tuple[Step, ...] = ("own", "confirmed", "unmeasured", "noise", "sick", "worse", "no_better")
"""Those that leave a trial, the best or the baseline, to train at full length."""


def step(evidence: Evidence, finalists: Finalists, verdicts: Verdicts) -> Step:
    """What to do now."""
    if evidence.mode == "runs":
        return "runs"
    stands = next((one for one in UNFINISHED if one == standing(evidence)), None)
    if stands is not None:
        return stands
    if finalists.best is None:
        return without_best(evidence)
    if len(evidence.objectives) > 1:
        return "front"
    found = of_training(evidence) if evidence.mode == "train" else of_search(evidence)
    return "unhealthy" if found not in LEFT and sick(finalists.best.name, verdicts) else found


def without_best(evidence: Evidence) -> Step:
    """What a study leads to that has ended without a best."""
    if any(unmeasured(result) for result in evidence.results):
        return "unknown"
    return "train_none" if evidence.mode == "train" else "none"


def of_search(evidence: Evidence) -> Step:
    """What a finished search leads to."""
    direction = evidence.objectives[0].direction
    given, found = winner(evidence.results, direction), confirmation(evidence.results, direction)
    if given is None:
        return "none"
    both = given.reason == "sick" and found is not None and found.baseline.sick > 0
    return "sick_both" if both else given.reason


def of_training(evidence: Evidence) -> Step:
    """What a finished train study leads to."""
    complete = sum(result.state == "complete" for result in evidence.results)
    return "seeds" if complete < ENOUGH_SEEDS else "listen"


def sick(name: str, verdicts: Verdicts) -> bool:
    """Whether a run is sick by the guide."""
    return overall(verdicts.get(name, ())) == "sick"


def unmeasured(result: Result) -> bool:
    """Whether a trial ran to its end, and its objective was not kept: earlier versions did not."""
    return result.state == "complete" and result.feasible and result.loss is None


def next_step(evidence: Evidence, finalists: Finalists, verdicts: Verdicts) -> Said:
    """The same in a sentence."""
    found = step(evidence, finalists, verdicts)
    facts = {"name": finalists.best.name} if finalists.best is not None else {}
    reruns = confirmation(evidence.results, evidence.objectives[0].direction) if found == "sick_both" else None
    return said(f"findings.next_{found}", **facts, **(rerun_facts(reruns) if reruns is not None else {}))

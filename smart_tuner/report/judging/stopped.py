"""Why trials were stopped, whether that was right, and what it was worth."""

import base64
import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from smart_tuner.report.catalogue import Said, said
from smart_tuner.report.evidence import Archive, Evidence, Run
from smart_tuner.report.phrases import after, line, listed, span
from smart_tuner.report.view import Line, Picture, Stop
from smart_tuner.study.audit import Audit, audit
from smart_tuner.study.conclusions import most_wrong, name

PLOT = "plots/stop.png"
MOST_PICTURES = 8
RULES = (
    "non_finite",
    "exploding_gradients",
    "loss_jump",
    "validation_rising",
    "attention_late",
    "attention_stuck",
    "attention_off_diagonal",
    "attention_collapsed",
    "guide_not_falling",
    "gate_never",
    "gate_always",
    "gate_flat",
    "asha",
    "hyperband",
    "median",
    "percentile",
    "patient",
)
"""Those that stop a trial, each with its sentence."""

Rule = tuple[str, str]
"""Its kind and name."""


def stops(evidence: Evidence, archive: Archive) -> tuple[Stop, ...]:
    """The stopped trials by rule, reruns too, the most frequent rule first; pictures for the first eight rules."""
    runs: dict[Rule, list[Run]] = {}
    for run in evidence.runs:
        rule = rule_of(run)
        if rule is not None:
            runs.setdefault(rule, []).append(run)
    counted = Counter({rule: len(found) for rule, found in runs.items()}).most_common()
    return tuple(
        stop(rule, runs[rule], archive if place < MOST_PICTURES else None) for place, (rule, _) in enumerate(counted)
    )


def rule_of(run: Run) -> Rule | None:
    """What stopped a run; None when nothing did."""
    if run.result is not None:
        return (run.result.kind, run.result.rule) if run.result.state == "stopped" else None
    if run.state != "stopped" or "stop.rule" not in run.tags:
        return None
    return run.tags.get("stop.kind", ""), run.tags["stop.rule"]


def stop(rule: Rule, runs: Sequence[Run], archive: Archive | None) -> Stop:
    """A rule's trials; its example is the one with a deciding plot that was trained longest: its curve shows most."""
    longest = sorted(runs, key=lambda run: -run.metrics.get("iteration", 0.0))
    drawn = next(((run, uri) for run in longest if (uri := plot(run, archive))), None)
    example = drawn[0] if drawn is not None else runs[0]
    told = example.result.reason if example.result is not None else example.tags.get("stop.reason", "")
    title = said("findings.stop_plot", name=example.name, rule=rule[1])
    return Stop(
        rule=rule[1],
        kind=rule[0],
        names=tuple(run.name for run in runs),
        meaning=said(f"findings.rule_{rule[1]}" if rule[1] in RULES else "findings.rule_other"),
        example=Line(label=said("findings.example", name=example.name), text=told, link=example.link),
        picture=Picture(title=title, uri=drawn[1], alt=said("findings.stop_alt", reason=told)) if drawn else None,
    )


def plot(run: Run, archive: Archive | None) -> str:
    """The plot that decided, as a data URI; empty when it is not there."""
    if archive is None or run.run_id is None:
        return ""
    path = archive.artefact(run.run_id, PLOT)
    return png(path) if path is not None else ""


def png(path: Path) -> str:
    """A picture as a data URI."""
    return f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode('ascii')}"


# were the stops right


def audit_lines(evidence: Evidence) -> tuple[Line, ...]:
    """What was stopped, whether that was right as far as it was looked into, and the threshold that would have been."""
    if evidence.mode == "runs":
        return ()
    found = audit(evidence.results, evidence.objectives[0].direction)
    reruns = sum(one.state == "stopped" and bool(one.confirms) for one in evidence.results)
    also = said("findings.stopped_reruns", count=reruns) if reruns else None
    lines = [line("stopped", after(stopped(found), also))]
    if found.audited or any(rule.startswith("pruner") for rule in found.stopped):
        lines += [line("audit", audited(found)), line("rungs", rungs(found))]
    return tuple(lines)


def stopped(found: Audit) -> Said:
    """How many trials were stopped, by which rules, and what that saved."""
    count = sum(found.stopped.values())
    if not count:
        return said("findings.stopped_none", trials=found.trials)
    rules = [f"{rule} {number}" for rule, number in found.stopped.items()]
    return said("findings.stopped", count=count, trials=found.trials, rules=rules, saved=saved(found))


def saved(found: Audit) -> Said:
    """The training time that the stops saved."""
    if found.unknown == sum(found.stopped.values()):
        return said("findings.saved_unknown" if found.unknown else "findings.saved_none")
    worth = {"span": span(found.saved), "percent": 100 * found.share}
    if found.unknown:
        return said("findings.saved_partly", unknown=found.unknown, **worth)
    return said("findings.saved", **worth)


def audited(found: Audit) -> Said:
    """Whether the stops were right."""
    if not found.audited:
        return said("findings.audit_none")
    wrong = len(found.beaten)
    numbers = {
        "count": found.audited,
        "span": span(found.spent),
        "wrong": wrong,
        "percent": math.ceil(100 * most_wrong(wrong, found.audited)),
    }
    if wrong:
        return said("findings.audit_wrong", names=listed([name(one) for one in found.beaten]), **numbers)
    return said("findings.audit", **numbers)


def rungs(found: Audit) -> Said:
    """The share that a pruner had to keep to keep the best."""
    if found.keep is None:
        return said("findings.rungs_few")
    stood = [
        said("findings.stood", rank=one.rank, number=one.number, utterances=one.utterances) for one in found.standings
    ]
    return said("findings.rungs", stood=stood, percent=math.ceil(100 * found.keep - 1e-9))

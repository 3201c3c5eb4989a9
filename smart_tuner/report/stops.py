"""Why trials were stopped: by rule, with what it means and the plot that decided."""

import base64
from collections.abc import Sequence
from pathlib import Path

from smart_tuner.health.rules import RULES
from smart_tuner.report.evidence import Archive, Evidence, Run
from smart_tuner.report.message import Message
from smart_tuner.report.view import Line, Picture, Stop
from smart_tuner.space.methods import PRUNERS

PLOT = "plots/stop.png"
MOST_PICTURES = 8


def list_stops(evidence: Evidence, archive: Archive) -> tuple[Stop, ...]:
    """The stopped trials by rule, reruns too, the most frequent rule first; pictures for the first eight rules."""
    stopped: dict[tuple[str, str], list[Run]] = {}
    for run in evidence.runs:
        rule = find_rule(run)
        if rule is not None:
            stopped.setdefault(rule, []).append(run)
    most_first = sorted(stopped.items(), key=lambda item: -len(item[1]))
    return tuple(
        make_stop(kind, rule, runs, archive if place < MOST_PICTURES else None)
        for place, ((kind, rule), runs) in enumerate(most_first)
    )


def find_rule(run: Run) -> tuple[str, str] | None:
    """Kind and name of what stopped a run; None when nothing did."""
    if run.result is not None:
        return (run.result.kind, run.result.rule) if run.result.state == "stopped" else None
    if run.state != "stopped" or "stop.rule" not in run.tags:
        return None
    return run.tags.get("stop.kind", ""), run.tags["stop.rule"]


def make_stop(kind: str, rule: str, runs: Sequence[Run], archive: Archive | None) -> Stop:
    """A rule's trials; its example is the one with a deciding plot that was trained longest: its curve shows most."""
    longest = sorted(runs, key=lambda run: -run.metrics.get("iteration", 0.0))
    drawn = next(((run, uri) for run in longest if (uri := read_plot(run, archive))), None)
    example = drawn[0] if drawn is not None else runs[0]
    reason = example.result.reason if example.result is not None else example.tags.get("stop.reason", "")
    picture = None
    if drawn is not None:
        picture = Picture(
            title=Message("{name}, stopped by {rule}", name=example.name, rule=rule),
            uri=drawn[1],
            alt=Message("The metrics that decided, over the iterations. {reason}", reason=reason),
        )
    return Stop(
        rule=rule,
        kind=kind,
        names=tuple(run.name for run in runs),
        meaning=explain_rule(rule),
        example=Line(label=Message("Example: {name}", name=example.name), text=reason, link=example.link),
        picture=picture,
    )


def explain_rule(rule: str) -> Message:
    """What a stop by it means. A run that was logged elsewhere may name a rule that is not here."""
    known = RULES.get(rule) or PRUNERS.get(rule)
    if known is None or not known.meaning:
        return Message("This rule is not known here; its own sentence says what it saw.")
    return Message(known.meaning)


def read_plot(run: Run, archive: Archive | None) -> str:
    """The plot that decided, as a data URI; empty when it is not there."""
    path = archive.artefact(run.run_id, PLOT) if archive is not None and run.run_id is not None else None
    return encode_picture(path) if path is not None else ""


def encode_picture(path: Path) -> str:
    return f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode('ascii')}"

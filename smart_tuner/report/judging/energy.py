"""What the GPU drew, where it told: its mean power times the training time, and of how many trials that is known."""

import re
import statistics
from collections.abc import Iterator
from dataclasses import dataclass

from smart_tuner.report.evidence import Archive, Evidence, Run

POWER = re.compile(r"system/(?:.+/)?gpu_\d+_power_usage_watts")
"""MLflow's name (mlflow/system_metrics/metrics/gpu_monitor.py), with the node's before the GPU's when it has one."""
SHARED = re.compile(r"--per-gpu[ =](?!1\b)\d+")
MOST_READ = 200
"""Histories that are read: one takes some milliseconds."""
JOULES_IN_KWH = 3.6e6


@dataclass(frozen=True, kw_only=True)
class Energy:
    """What is known of it."""

    kwh: float
    trials: int
    """Those it is the sum of."""


def energy(evidence: Evidence, archive: Archive) -> Energy | None:
    """The energy of the trials whose GPU is known; None when no GPU told, or several trials shared one.

    MLflow samples the power of every GPU of the machine at even distances, without saying which one a trial computes
    on: a trial counts when it trained on a GPU and its run names exactly one.
    """
    if SHARED.search(evidence.command):
        return None
    drawn = []
    for run, metric in list(powered(evidence))[:MOST_READ]:
        watts = [value for _, value in archive.history(run.run_id or "", metric)]
        if watts and run.result is not None:
            drawn.append(statistics.fmean(watts) * run.result.seconds / JOULES_IN_KWH)
    return Energy(kwh=sum(drawn), trials=len(drawn)) if drawn else None


def powered(evidence: Evidence) -> Iterator[tuple[Run, str]]:
    """The finished trials that trained on the only GPU their run names, with the metric of its power."""
    for run in evidence.runs:
        metrics = [name for name in run.metrics if POWER.fullmatch(name)]
        finished = run.result is not None and run.result.state != "failed" and run.result.seconds > 0
        if finished and len(metrics) == 1 and run.tags.get("device", "").startswith("cuda"):
            yield run, metrics[0]

"""What a report rests on: a study as both stores know it, joined by trial. Nothing here is computed or judged."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, Protocol

from smart_tuner.analysis.results import Result
from smart_tuner.space.objective import Objective

Points = Sequence[tuple[int, float]]
"""A metric's (iteration, value), sorted by iteration, each iteration once."""
RunState = Literal["complete", "stopped", "audited", "failed", "running", "interrupted", "unknown"]
BATCH = "hparams.batch_size"


@dataclass(frozen=True, kw_only=True)
class Run:
    """A trial as both stores know it, or a run that was logged by hand."""

    name: str
    """trial-0007; a run logged by hand has its own name."""
    number: int | None = None
    """The trial's number; None for a run logged by hand."""
    state: RunState = "unknown"
    result: Result | None = None
    """What the study knows of a trial that has ended, failed ones too; None for runs that it does not know."""
    run_id: str | None = None
    """None: MLflow has no such run (any more)."""
    link: str = ""
    """Where it is in MLflow's interface; empty without a run."""
    metrics: Mapping[str, float] = field(default_factory=dict)
    """Last value of each finite metric in MLflow, best.validation.loss and system/... among them."""
    params: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def batch(self) -> float | None:
        """Utterances an iteration sees; None when neither store says."""
        searched = self.result.values.get(BATCH) if self.result is not None else None
        try:
            return float(self.params.get(BATCH, searched))  # type: ignore[arg-type]  # None is a TypeError, and expected
        except (TypeError, ValueError):
            return None

    @property
    def fault(self) -> str:
        """What it failed by, in one line; empty when that is not known, or it did not fail."""
        known = self.result.reason if self.result is not None and self.result.state == "failed" else ""
        return next(iter((known or self.tags.get("error", "")).splitlines()), "")

    @property
    def fault_kind(self) -> str:
        """The class of that error: OutOfMemoryError; empty when it is not known."""
        return (self.result.fault if self.result is not None else "") or self.tags.get("error.kind", "")

    def metrics_at_best(self) -> dict[str, float]:
        """Finite metrics at the best validation; the last ones logged where the study does not know them."""
        known = {**self.metrics, **(self.result.metrics if self.result is not None else {})}
        return {name: value for name, value in known.items() if math.isfinite(value)}

    def measure(self, metric: str, objective: Objective) -> float | None:
        """A metric at the best validation; of a run without a result the lowest logged, else the last."""
        value = self.metrics_at_best().get(metric)
        if self.result is None:
            value = self.metrics.get(f"best.{metric}", value)
        elif metric == objective.metric:
            value = self.result.value
        return None if value is None or not math.isfinite(value) else value


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """A study, or a set of runs."""

    name: str
    mode: Literal["train", "tune", "runs"]
    """runs: chosen in MLflow by a filter, without a study."""
    objectives: tuple[Objective, ...]
    """Of a train study and of a set of runs: validation.loss, minimised."""
    runs: tuple[Run, ...]
    """Trials by number (all that exist in either store), then runs logged by hand."""
    constraints: tuple[str, ...] = ()
    """As written: "validation.alignment_score >= 0.5"."""
    space: Mapping[str, Any] | None = None
    """Space.to_plain() when the study began; None without a search."""
    settings: str = ""
    """The study's settings as YAML; empty when unknown."""
    budget: str = ""
    """hparams.budget of a trial; empty when unknown."""
    corpus: str = ""
    """The corpus's digest; empty when unknown."""
    winner: int | None = None
    """The trial whose values --from-study gives; None before the search has concluded."""
    command: str = ""
    """The command line that started or continued the study last; empty when unknown."""
    folder: str = ""
    """The study's folder with checkpoints and audio, as the last session saw it; empty when unknown."""
    began: datetime | None = None
    ended: datetime | None = None
    """When its last trial ended; None when none has."""
    running: int = 0
    """Trials that are open in the study: they run now, or go on with the next session."""
    parent_id: str | None = None
    """The study's own run in MLflow; None when there is none."""
    parent_status: str = ""
    """MLflow's status of that run: RUNNING, FINISHED, KILLED, FAILED; empty without one."""
    parent_link: str = ""
    gone: tuple[str, ...] = ()
    """Names of the trials that MLflow has no run of."""

    @property
    def results(self) -> list[Result]:
        """The finished trials, in order (complete, stopped, audited): what conclusions.py and audit.py take."""
        return [run.result for run in self.runs if run.result is not None and run.result.state != "failed"]

    @property
    def objective(self) -> Objective:
        """The first one: what trials are ranked by."""
        return self.objectives[0]

    def run_of(self, number: int) -> Run:
        return next(run for run in self.runs if run.number == number)


class Archive(Protocol):
    """Reads what runs logged over time, and their artefacts."""

    def history(self, run_id: str, metric: str) -> Points:
        """A metric's finite points; none when it was never logged or the run is gone."""

    def artefact(self, run_id: str, path: str) -> Path | None:
        """A file to read, such as plots/stop.png; None when it is gone."""

    def artefacts(self, run_id: str, folder: str) -> list[str]:
        """Paths of the files in a folder of a run's artefacts, sorted; none when it is gone."""

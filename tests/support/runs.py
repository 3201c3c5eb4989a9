"""Runs of MLflow written by hand: they note what they are given, and fail where they are told to."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smart_tuner.errors import TrackingError
from smart_tuner.progress import Entry, Progress
from smart_tuner.tracking.machine import Extras

AWAY = TrackingError("The store is away.")


class Run:
    """A trial's run; its store is away from a call or an iteration on."""

    def __init__(self, extras: Extras, away_at: str | int | None = None) -> None:
        self.extras, self.away_at = extras, away_at
        self.logged: list[Progress] = []
        self.noted_params: dict[str, Any] = {}
        self.noted_tags: dict[str, str] = {}
        self.data_sets: list[object] = []
        self.artefacts: dict[str, Any] = {}
        self.status, self.best = "RUNNING", dict[str, float]()

    def fail(self, at: str | int) -> None:
        if self.away_at == at:
            raise AWAY

    def log(self, entry: Entry) -> None:
        self.fail(entry.progress.step)
        self.logged.append(entry.progress)

    def later(self, job: Callable[[], None]) -> None:
        job()

    def params(self, values: Mapping[str, Any]) -> None:
        self.fail("params")
        self.noted_params.update(values)

    def tags(self, values: Mapping[str, str]) -> None:
        self.noted_tags.update(values)

    def dataset(self, dataset: object) -> None:
        self.data_sets.append(dataset)

    def text(self, content: str, name: str) -> None:
        self.artefacts[name] = content

    def image(self, picture: NDArray[np.uint8], key: str, step: int) -> None:
        self.artefacts[f"{key} {step}"] = picture.shape

    def file(self, path: Path, folder: str | None = None) -> None:
        self.artefacts[f"{folder}/{path.name}"] = path.read_bytes()

    def close(self, status: str, tags: Mapping[str, str], best: Mapping[str, float] | None = None) -> None:
        self.fail("close")
        self.status, self.best = status, dict(best or {})
        self.tags(tags)


class StudyRun:
    """A study's run that opens such runs."""

    def __init__(self, away_at: str | int | None = None) -> None:
        self.away_at = away_at
        self.runs: dict[int, Run] = {}

    def open_trial(self, number: int, tags: Mapping[str, str], extras: Extras) -> Run:
        run = self.runs[number] = Run(extras, self.away_at)
        run.fail("open")
        run.tags(tags)
        return run

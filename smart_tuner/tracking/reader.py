"""Reads what was logged to MLflow, and adds a report to a study's run; makes no store, no experiment and no run."""

import gc
import math
import os
import posixpath
import shutil
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from mlflow.entities import Run
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.artifact_repo import ArtifactRepository
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from mlflow.store.artifact.local_artifact_repo import LocalArtifactRepository
from mlflow.store.entities import PagedList
from mlflow.store.tracking.dbmodels.models import SqlMetric
from mlflow.tracking import MlflowClient
from sqlalchemy import Engine, Select, create_engine, select
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from smart_tuner.errors import SettingsError, StorageError, TrackingError
from smart_tuner.tracking.machine import without_password
from smart_tuner.tracking.stores import DATABASES, answer_in_time, describe_trouble, first_line
from smart_tuner.tracking.tracker import (
    NOTE_CHARACTERS,
    STORE_FAILURES,
    UI_ADDRESS,
    default_store,
    find_artefacts,
    open_client,
    opening_store,
    refuse_leftovers,
)

os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")

PAGE = 1000
STEPS = (-(2**63), 2**63 - 1)
"""Every step that a database can hold; one may be negative."""
ARTEFACT_FOLDER = "report"
LARGEST = 1.7e308
"""MLflow's databases keep an infinite value as the largest float."""


@dataclass(frozen=True, kw_only=True)
class LoggedRun:
    """A run as MLflow has it."""

    run_id: str
    name: str
    status: str
    """RUNNING, SCHEDULED, FINISHED, FAILED or KILLED."""
    parent_id: str | None
    metrics: Mapping[str, float]
    """Last value of each; finite ones."""
    params: Mapping[str, str]
    tags: Mapping[str, str]
    link: str
    began: datetime | None
    ended: datetime | None


class Reader:
    """The tracking store of a report."""

    def __init__(self, uri: str | None) -> None:
        """Open the store if there is one; None means MLflow's own default. Raises StorageError for a broken one."""
        refuse_leftovers(uri)
        with opening_store(uri):
            self.uri: str = uri or default_store()
            self._client = open_client(self.uri)
            self._database = find_database(self.uri)
            self._experiments = answer_in_time(self._list_experiments)
        self._places: dict[str, str] = {}
        """Where each run's artefacts are, by run id."""
        self._downloads: Path | None = None
        """Files that were elsewhere; gone with the reader."""
        self.unread: list[str] = []
        """Why artefacts could not be read that may be there, each reason once."""

    @property
    def there(self) -> bool:
        """Whether there is a store; without one nothing is found in it."""
        return self._client is not None

    @property
    def shown(self) -> str:
        """The store's address, without a password."""
        return without_password(self.uri)

    # runs

    def study(self, name: str) -> LoggedRun | None:
        """The newest parent run of a study; None when there is none."""
        parents = self.search("tags.`study.role` = 'parent'")
        return next((run for run in reversed(parents) if run.tags.get("study.name") == name), None)

    def trials(self, parent_id: str) -> list[LoggedRun]:
        """All runs nested in a run, in the order of their beginning."""
        return self.search(f"tags.`mlflow.parentRunId` = '{parent_id}'")

    def named(self, study: str) -> list[LoggedRun]:
        """All runs that say they belong to a study, in whatever experiment and below whatever run."""
        pattern = study.replace("'", "_")  # stands for any letter, as a quote cannot be written in a filter
        return [run for run in self.search(f"tags.`study.name` LIKE '{pattern}'") if run.tags["study.name"] == study]

    def search(self, condition: str) -> list[LoggedRun]:
        """Runs of any experiment, the oldest first. Raises SettingsError for a filter that MLflow does not take."""
        runs, token = list[LoggedRun](), None
        while self._client is not None and self._experiments:
            with _collected_later():
                page = self._page(self._client, condition, token)
            runs += [self._logged(run) for run in page]
            token = page.token
            if not token:
                break
        return runs

    # what runs logged

    def history(self, run_id: str, metric: str) -> Sequence[tuple[int, float]]:
        """A metric's finite points by iteration, the last one logged of each; none when it or the run is not there."""
        if self._client is None:
            return ()
        try:
            points = self._points(self._client, run_id, metric)
        except STORE_FAILURES as problem:
            if is_gone(problem):
                return ()
            raise _failed(problem) from problem
        return sorted({step: value for step, value in points if is_finite(value)}.items())

    def artefact(self, run_id: str, path: str) -> Path | None:
        """A file to read, in its place or downloaded; None when it is gone or cannot be had."""
        try:
            files = self._files(run_id)
            if isinstance(files, LocalArtifactRepository):
                found = Path(files.download_artifacts(path))  # stays where it is
            elif files is None or path not in self.artefacts(run_id, posixpath.dirname(path)):
                return None  # asked first: a server tells what is gone and what it cannot read in the same words
            else:
                found = Path(files.download_artifacts(path, str(self._download_folder(run_id))))
        except STORE_FAILURES as problem:
            self._note(problem)
            return None
        return found if found.is_file() else None

    def artefacts(self, run_id: str, folder: str) -> list[str]:
        """Paths of the files in a folder of a run's artefacts, sorted; none when it is gone or cannot be had."""
        try:
            files = self._files(run_id)
            listed = [] if files is None else files.list_artifacts(folder or None)
        except STORE_FAILURES as problem:
            self._note(problem)
            return []
        return sorted(file.path for file in listed if not file.is_dir)

    # the report

    def publish(self, run_id: str, note: str, files: Sequence[Path]) -> None:
        """Store files as a run's artefacts and make a text its description. Raises StorageError and TrackingError."""
        if self._client is None:
            raise StorageError(f"There is no tracking store {self.shown}, so the report cannot be stored there.")
        with _translated():
            place = self._files(run_id)
            assert place is not None  # there is a client
            for file in files:
                place.log_artifact(str(file), ARTEFACT_FOLDER)  # not by the client: the folder may have moved
            self._client.set_tag(run_id, "mlflow.note.content", fit_text(note, NOTE_CHARACTERS))

    def _list_experiments(self) -> list[str]:
        ids, token = list[str](), None
        while self._client is not None:
            page = self._client.search_experiments(max_results=PAGE, page_token=token)
            ids += [str(experiment.experiment_id) for experiment in page]
            token = page.token
            if not token:
                break
        return ids

    def _points(self, client: MlflowClient, run_id: str, metric: str) -> list[tuple[int, float]]:
        """In the order they were logged. MLflow's client takes far longer than the database: 8 and more times.

        The condition on the step is true of every point. It makes sqlite look the run's points up by their index,
        where it would go through those of all runs: 65 ms for each history in a store of ten million points.
        """
        if self._database is None:
            return [(point.step, point.value) for point in client.get_metric_history(run_id, metric)]
        asked: Select[Any, Any] = (
            select(SqlMetric.step, SqlMetric.value)
            .where(SqlMetric.run_uuid == run_id, SqlMetric.key == metric, SqlMetric.step.between(*STEPS))
            .where(SqlMetric.is_nan.is_(False))
            .order_by(SqlMetric.timestamp, SqlMetric.step, SqlMetric.value)
        )
        with self._database.connect() as connection:
            return [(step, value) for step, value in connection.execute(asked)]

    def _files(self, run_id: str) -> ArtifactRepository | None:
        """Where a run's artefacts are. MLflow's client asks the store for the run, and for models, at every file."""
        if self._client is None:
            return None
        if run_id not in self._places:
            self._places[run_id] = find_artefacts(self.uri, self._client.get_run(run_id).info.artifact_uri)
        return get_artifact_repository(self._places[run_id], tracking_uri=self.uri)

    def _download_folder(self, run_id: str) -> Path:
        if self._downloads is None:
            self._downloads = Path(mkdtemp(prefix="smart-tuner-report-"))
            weakref.finalize(self, shutil.rmtree, self._downloads, ignore_errors=True)
        folder = self._downloads / run_id
        folder.mkdir(exist_ok=True)
        return folder

    def _page(self, client: MlflowClient, condition: str, token: str | None) -> PagedList[Run]:
        order = ["attributes.start_time ASC"]
        try:
            return client.search_runs(self._experiments, condition, max_results=PAGE, order_by=order, page_token=token)
        except STORE_FAILURES as problem:
            if getattr(problem, "error_code", "") == "INVALID_PARAMETER_VALUE":
                raise SettingsError(f"MLflow does not take the filter {condition!r}: {first_line(problem)}") from None
            raise _failed(problem) from problem

    def _logged(self, run: Run) -> LoggedRun:
        info, data = run.info, run.data
        self._places[info.run_id] = find_artefacts(self.uri, info.artifact_uri)
        return LoggedRun(
            run_id=info.run_id,
            name=info.run_name or info.run_id[:8],
            status=info.status,
            parent_id=data.tags.get("mlflow.parentRunId"),
            metrics={name: value for name, value in data.metrics.items() if is_finite(value)},
            params=data.params,
            tags=data.tags,
            link=link(self.uri, info.experiment_id, info.run_id),
            began=to_datetime(info.start_time),
            ended=to_datetime(info.end_time),
        )

    def _note(self, problem: Exception) -> None:
        reason = first_line(problem)
        if not is_gone(problem) and reason not in self.unread:
            self.unread.append(reason)


def find_database(uri: str) -> Engine | None:
    """The database that a store is kept in, not connected yet; None for a server."""
    try:
        url = make_url(uri)
    except ArgumentError:
        return None  # no URL: opening the store says what is wrong
    return create_engine(url) if url.get_backend_name() in DATABASES else None


def link(uri: str, experiment_id: str, run_id: str) -> str:
    """Where a run is in MLflow's interface: on the store's own server, or the one that `mlflow ui` starts."""
    address = uri.rstrip("/") if uri.startswith("http") else UI_ADDRESS
    return f"{address}/#/experiments/{experiment_id}/runs/{run_id}?workflowType=machine_learning"


def is_finite(value: float) -> bool:
    """Whether a value was finite when it was logged."""
    return math.isfinite(value) and abs(value) < LARGEST


def is_gone(problem: Exception) -> bool:
    """Whether a failure says that a run or a file is not there, rather than that it cannot be read."""
    if isinstance(problem, MlflowException):
        return str(problem.error_code) == "RESOURCE_DOES_NOT_EXIST"
    response = getattr(problem, "response", None)
    return isinstance(problem, FileNotFoundError) or getattr(response, "status_code", None) == 404


def to_datetime(milliseconds: int | None) -> datetime | None:
    """A time of MLflow's with the local time zone."""
    return None if milliseconds is None else datetime.fromtimestamp(milliseconds / 1000).astimezone()


def fit_text(text: str, characters: int) -> str:
    """The first lines of a text that fit into so many characters."""
    return text if len(text) <= characters else text[: characters + 1].rpartition("\n")[0] or text[:characters]


@contextmanager
def _collected_later() -> Iterator[None]:
    """Pause Python's search for cycles: a page of runs is 100,000 objects, and it would take two thirds of the time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except STORE_FAILURES as problem:
        raise _failed(problem) from problem


def _failed(problem: BaseException) -> TrackingError:
    return TrackingError(f"The tracking store failed: {describe_trouble(problem).text}.")

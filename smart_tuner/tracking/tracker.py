"""MLflow: a parent run per study, a nested run per trial, metrics written in batches by a thread of their own.

reader.py reads what is written here. Runs are made and closed with a client and explicit ids; nothing depends on an
active run of the fluent interface.
"""

import json
import logging
import os
import queue
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
logging.getLogger("alembic").setLevel(logging.WARNING)
logging.getLogger("mlflow.system_metrics").setLevel(logging.CRITICAL)  # Patience says what a lost server means

import mlflow
import numpy as np
from alembic.util import CommandError
from mlflow.entities import Dataset as MlflowDataset
from mlflow.entities import DatasetInput, InputTag, LifecycleStage, Metric, Param, Run, RunTag
from mlflow.exceptions import MlflowException
from mlflow.store.tracking.dbmodels.models import SqlRun
from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor
from mlflow.tracking import MlflowClient
from mlflow.utils.file_utils import local_file_uri_to_path
from mlflow.utils.uri import is_local_uri
from numpy.typing import NDArray
from sqlalchemy import Engine, inspect
from sqlalchemy.exc import SQLAlchemyError

from smart_tuner.errors import StorageError, TrackingError
from smart_tuner.paths import find_moved, trial_name
from smart_tuner.progress import Entry
from smart_tuner.tracking import machine
from smart_tuner.tracking.machine import Extras, without_password
from smart_tuner.tracking.stores import (
    DATABASES,
    RUNS,
    Patience,
    Trouble,
    answer_in_time,
    connect_to,
    database_file,
    describe_trouble,
    first_line,
    refusing,
    require_database,
)

SECONDS_PER_WRITE = 3.0
POINTS_PER_WRITE = 900
"""MLflow takes 1,000 metrics in one transaction; an iteration's are never split over two."""
STORE_FAILURES = (MlflowException, SQLAlchemyError, OSError)
NOTE_CHARACTERS = 7500
"""MLflow cuts a tag at 8,000."""
UI_ADDRESS = "http://127.0.0.1:5000"

Image = NDArray[np.uint8]


@contextmanager
def translating_store_failures() -> Iterator[None]:
    """Turn the store's failures into TrackingError; anything else is a bug and stays what it is."""
    try:
        yield
    except STORE_FAILURES as problem:
        kept = "the trial's metrics.jsonl keeps every metric, and the same command goes on and logs what is missing"
        raise TrackingError(f"The tracking store failed: {first_line(problem)} ({kept}).") from problem


def refuse_leftovers(uri: str | None) -> None:
    """Raise StorageError for files that break MLflow's default store."""
    leftover = next(Path("mlruns").glob("*/meta.yaml"), None) if uri is None else None
    if leftover is not None:
        raise StorageError(
            f"{leftover} is left over from MLflow's old file store and breaks MLflow 3; move the folder mlruns away "
            "(or name another store with --tracking-uri)."
        )


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """What a run says of the corpus it trains on."""

    name: str
    digest: str
    source: str
    """Its path, or what it is."""
    facts: dict[str, float]


def opening_store(uri: str | None) -> AbstractContextManager[None]:
    """Turns a failure to open the store into StorageError."""
    return refusing(uri or "mlflow.db", *RUNS, MlflowException, CommandError)  # CommandError: another program's tables


def require_store_of_runs(uri: str | None, experiment: str) -> None:
    """Raise StorageError for a tracking store that cannot be written to, and for an experiment that was deleted.

    It is asked before anything runs, and nothing is made: a store in a file may not be there yet.
    """
    refuse_leftovers(uri)
    with opening_store(uri):
        address = uri or default_store()
        client = open_client(address, write=True)
        known = answer_in_time(lambda: client.get_experiment_by_name(experiment)) if client is not None else None
    if known is not None and known.lifecycle_stage == LifecycleStage.DELETED:
        raise StorageError(
            f"{describe_deleted(uri, experiment, known.experiment_id)}, or name another experiment with --experiment."
        )


def default_store() -> str:
    """Where MLflow keeps runs when nobody says where."""
    return str(mlflow.get_tracking_uri())


def open_client(address: str, *, write: bool = False) -> MlflowClient | None:
    """A client of a store that answers; None for a database in a file that is not there, or has no runs yet.

    Raises StorageError for tables of another version, STORE_FAILURES for a store that cannot be used.
    """
    if address.partition(":")[0].partition("+")[0] not in DATABASES:
        return MlflowClient(address)
    require_database(address, write=write)
    file = database_file(address)
    return MlflowClient(address) if (file is None or file.exists()) and has_runs(connect_to(address)) else None


def has_runs(store: Engine) -> bool:
    """Whether a database has MLflow's tables. Raises StorageError for those of another version."""
    tables = set(inspect(store).get_table_names())
    store.dispose()
    if "runs" in tables and not tables.issuperset(SqlRun.metadata.tables):  # MLflow would change it without a word
        address = store.url.render_as_string(hide_password=True)
        raise StorageError(
            f"The tracking store {address} was made by another version of MLflow; keep a copy of it, then bring it up "
            f"to date: mlflow db upgrade {address}"
        )
    return "runs" in tables


def describe_deleted(uri: str | None, experiment: str, experiment_id: str) -> str:
    """That an experiment was deleted, and the command that brings it back."""
    where = f"MLFLOW_TRACKING_URI={without_password(uri)} " if uri is not None else ""
    command = f"{where}{machine.find_command('mlflow')} experiments restore --experiment-id {experiment_id}"
    return f"MLflow's experiment {experiment!r} was deleted; bring it back: {command}"


def find_artefacts(address: str, kept: str) -> str:
    """Where a run's artefacts are now: MLflow keeps full paths, and a database in a file may have moved with them."""
    file = database_file(address)
    if file is None or not is_local_uri(kept):
        return kept
    path = Path(local_file_uri_to_path(kept))
    experiment = path.parents[1]  # <where>/<run id>/artifacts: a run that has none yet has no folder
    moved = find_moved(experiment, file.absolute().parent) / path.relative_to(experiment)
    return str(path if path.is_dir() and not moved.is_dir() else moved)


def is_moved(address: str, location: str) -> bool:
    """Whether an experiment's artefacts lie beside the database, and not where MLflow keeps that they are."""
    file = database_file(address)
    if file is None or not is_local_uri(location):
        return False
    kept = Path(local_file_uri_to_path(location))
    return find_moved(kept, file.absolute().parent).resolve() != kept.resolve()


class Tracker:
    """The tracking store of a study."""

    def __init__(self, uri: str | None, experiment: str, say: Callable[[str], None] = lambda text: None) -> None:
        """Open or create the store and the experiment; say is told when the store is waited for.

        Raises StorageError when the store cannot be used.
        """
        require_store_of_runs(uri, experiment)
        if uri is not None:
            mlflow.set_tracking_uri(uri)
        with opening_store(uri):
            client = MlflowClient(uri)
            known = client.get_experiment_by_name(experiment)
            self.experiment_id = known.experiment_id if known else client.create_experiment(experiment)
        kept = known.artifact_location if known else ""
        self.left_behind = kept if kept and is_moved(uri or default_store(), kept) else ""
        """Where MLflow goes on writing artefacts though the working folder was moved; else empty."""
        self.uri, self.experiment = uri, experiment
        self.patience = Patience(uri or "mlflow.db", say, STORE_FAILURES, self._explain)
        self._plain_client = client
        self.client = cast(MlflowClient, PatientClient(client, self.patience))

    def _explain(self, problem: Exception) -> Trouble:
        """What is wrong; MLflow's words for what was deleted in the UI say neither what that was nor what to do."""
        trouble = describe_trouble(problem)
        if "active' state" not in trouble.text:
            return trouble
        known = self._plain_client.get_experiment(self.experiment_id)
        if known.lifecycle_stage == LifecycleStage.DELETED:
            return Trouble("refusal", describe_deleted(self.uri, self.experiment, self.experiment_id))
        return Trouble("refusal", f"{trouble.text}; it was deleted, `mlflow runs restore --run-id` brings it back")

    @translating_store_failures()
    def open_study(self, name: str, tags: Mapping[str, str]) -> "StudyRun":
        """The parent run of a study, made or found."""
        # a run is found by its tags, not its name: names in MLflow are not unique, and people change them
        own = {"study.name": name, "study.role": "parent", **tags}
        return StudyRun(self, self._open_run(name, own, ["study.name", "study.role"]), name)

    def _open_run(self, name: str, tags: Mapping[str, str], identity: list[str]) -> str:
        """Id of the run with the identifying tags, open again if it was closed, made if it is not there."""
        condition = " and ".join(f"tags.`{key}` = '{tags[key]}'" for key in identity)
        found = self.client.search_runs([self.experiment_id], condition, max_results=1)
        return self.reopen(found[0], tags) if found else self.make(name, tags)

    def reopen(self, run: Run, tags: Mapping[str, str]) -> str:
        """Id of a run that was closed and goes on."""
        run_id = str(run.info.run_id)
        for key in run.data.tags:
            if key in ("error", "error.kind") or key.startswith("stop."):  # why it was left: it goes on now
                self.client.delete_tag(run_id, key)
        self.client.log_batch(run_id, tags=[RunTag(key, value) for key, value in tags.items()])
        self.client.update_run(run_id, status="RUNNING")
        return run_id

    def make(self, name: str, tags: Mapping[str, str]) -> str:
        """Id of a new run."""
        run = self.client.create_run(self.experiment_id, run_name=name, tags={**machine.describe_process(), **tags})
        return str(run.info.run_id)

    def ui_command(self) -> str | None:
        """What to type to see the runs; None when a server already shows them."""
        if self.uri is None:
            return f"{machine.find_command('mlflow')} ui"
        return (
            None
            if self.uri.startswith("http")
            else f"{machine.find_command('mlflow')} ui --backend-store-uri {self.uri}"
        )

    def link(self, path: str) -> str:
        """Where a page of this experiment is in the UI."""
        address = self.uri.rstrip("/") if self.uri and self.uri.startswith("http") else UI_ADDRESS
        return f"{address}/#/experiments/{self.experiment_id}/{path}?workflowType=machine_learning"


class PatientClient:
    """MLflow's client, each of whose calls is repeated while the store may come back."""

    def __init__(self, client: MlflowClient, patience: Patience) -> None:
        self._client, self._patience = client, patience

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._client, name)
        return lambda *given, **named: self._patience(lambda: call(*given, **named))


class StudyRun:
    """The parent run of a study."""

    def __init__(self, tracker: Tracker, run_id: str, name: str) -> None:
        self.tracker, self.run_id, self.name = tracker, run_id, name
        self.link = tracker.link("runs")
        self._trials: dict[int, str] | None = None
        """Run id by trial number, asked for once: only this process makes more, and a search of many takes long."""

    @translating_store_failures()
    def open_trial(self, number: int, tags: Mapping[str, str], extras: Extras) -> "TrialRun":
        """The nested run of a trial, made or, after an interruption, found and gone on with."""
        own = {"mlflow.parentRunId": self.run_id, "study.name": self.name, "trial.number": str(number), **tags}
        if self._trials is None:
            self._trials = self._run_ids()
        if number in self._trials:
            run_id = self.tracker.reopen(self.tracker.client.get_run(self._trials[number]), own)
        else:
            run_id = self._trials[number] = self.tracker.make(trial_name(number), own)
        return TrialRun(self.tracker, run_id, extras)

    @translating_store_failures()
    def describe(self, text: str) -> None:
        """Make a Markdown text the study's description, at most NOTE_CHARACTERS long."""
        self.tracker.client.set_tag(self.run_id, "mlflow.note.content", text)

    def _run_ids(self) -> dict[int, str]:
        condition, found, token = f"tags.`mlflow.parentRunId` = '{self.run_id}'", dict[int, str](), None
        while True:
            page = self.tracker.client.search_runs(
                [self.tracker.experiment_id], condition, max_results=1000, page_token=token
            )
            ours = [run for run in page if "trial.number" in run.data.tags]  # anybody may nest a run of their own
            found |= {int(run.data.tags["trial.number"]): str(run.info.run_id) for run in ours}
            token = page.token
            if not token:
                return found

    @translating_store_failures()
    def reconcile(self, ended: Mapping[int, str]) -> int:
        """End the runs that a kill left open though their trial has ended: statuses by trial number. How many."""
        condition = f"tags.`mlflow.parentRunId` = '{self.run_id}' and attributes.status = 'RUNNING'"
        open_runs = self.tracker.client.search_runs([self.tracker.experiment_id], condition, max_results=1000)
        left = [run for run in open_runs if int(run.data.tags["trial.number"]) in ended]
        for run in left:
            self.tracker.client.set_terminated(run.info.run_id, ended[int(run.data.tags["trial.number"])])
        return len(left)

    @translating_store_failures()
    def close(self, status: str) -> None:
        """End the parent run as FINISHED, FAILED or KILLED."""
        self.tracker.client.set_terminated(self.run_id, status)


class TrialRun:
    """The run of a trial. Logging hands over to a thread and returns at once; close waits until all is written."""

    def __init__(self, tracker: Tracker, run_id: str, extras: Extras) -> None:
        self.client, self.run_id, self.extras = tracker.client, run_id, extras
        self.link = tracker.link(f"runs/{run_id}")
        written = self.client.get_run(run_id).data.metrics
        self._written = {"training": written.get("iteration", 0.0), "validation": written.get("validation.step", 0.0)}
        self._has_best = "best.step" in written
        self._queue: queue.Queue[Entry | Callable[[], None] | None] = queue.Queue()
        self._monitor = self._watch_system(bool(written), tracker.uri) if extras.system_metrics else None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="tracker")
        self._writing: Future[None] = self._thread.submit(self._write_all)

    def log(self, entry: Entry) -> None:
        """Log a Progress's metrics, unless the run has them. Raises TrackingError when an earlier write failed."""
        self._raise_failure()
        progress = entry.progress
        number = progress.step if progress.kind == "training" else progress.metrics["validation.step"]
        # a training that goes on tells its journal again; the store holds a part of that already
        if number > self._written[progress.kind]:
            self._queue.put(entry)

    def later(self, job: Callable[[], None]) -> None:
        """Run a job that writes artefacts, in the tracker's thread, after what was logged so far."""
        self._queue.put(job)

    @translating_store_failures()
    def params(self, values: Mapping[str, Any]) -> None:
        """Log params; the same values may be logged again."""
        params = [Param(key, format_param(value)) for key, value in values.items()]
        self.client.log_batch(self.run_id, params=params)

    @translating_store_failures()
    def tags(self, values: Mapping[str, str]) -> None:
        """Set tags."""
        self.client.log_batch(self.run_id, tags=[RunTag(key, value) for key, value in values.items()])

    @translating_store_failures()
    def dataset(self, dataset: "Dataset") -> None:
        """Record the corpus that the run trains on."""
        source, profile = json.dumps({"uri": dataset.source}), json.dumps(dataset.facts)
        entity = MlflowDataset(dataset.name, dataset.digest, "local", source, profile=profile)
        inputs = [DatasetInput(entity, [InputTag("mlflow.data.context", "training")])]
        self.client.log_inputs(self.run_id, datasets=inputs)

    @translating_store_failures()
    def text(self, content: str, name: str) -> None:
        """Store a text as an artefact."""
        self.client.log_text(self.run_id, content, name)

    def image(self, picture: Image, key: str, step: int) -> None:
        """Store a picture (height, width, 3) under a key; the UI shows the steps of a key with a slider.

        The latest is also a file under plots/, which the UI shows at a click.
        """
        self.client.log_image(self.run_id, picture, key=key, step=step, synchronous=True)
        self.client.log_image(self.run_id, picture, f"plots/{key}.png")

    def file(self, path: Path, folder: str | None = None) -> None:
        """Store a file as an artefact."""
        self.client.log_artifact(self.run_id, str(path), folder)

    def close(self, status: str, tags: Mapping[str, str], best: Mapping[str, float] | None = None) -> None:
        """Write what is left and end the run. Raises TrackingError when something could not be written."""
        # the thread writes what is queued before it reads the None; a thread that has failed reads nothing more
        self._queue.put(None)
        self._thread.shutdown()
        if self._monitor is not None:
            self._monitor.finish()
        failure = self._writing.exception()
        if failure is not None:
            status, tags = "FAILED", {"trial.state": "failed", "error": f"{type(failure).__name__}: {failure}"}
        with translating_store_failures():
            if best and not self._has_best:  # at step 0, which the charts compare as bars
                self.client.log_batch(
                    self.run_id, [Metric(key, value, now_in_milliseconds(), 0) for key, value in best.items()]
                )
            self.tags(tags)
            self.client.set_terminated(self.run_id, status)
        self._raise_failure()

    def _watch_system(self, again: bool, uri: str | None) -> SystemMetricsMonitor:
        monitor = SystemMetricsMonitor(self.run_id, resume_logging=again, tracking_uri=uri)
        monitor.start()
        return monitor

    def _write_all(self) -> None:
        """The thread: collect points for some seconds or until a write is full, then write them in one transaction."""
        points: list[Metric] = []
        while True:
            try:
                # with nothing collected it may wait for ever: close() always puts a None
                item = self._queue.get(timeout=SECONDS_PER_WRITE if points else None)
            except queue.Empty:
                points = self._write(points)
                continue
            if isinstance(item, Entry):
                points += self._points(item)
                due = points[-1].timestamp - points[0].timestamp >= SECONDS_PER_WRITE * 1000
                if due or len(points) + len(item.progress.metrics) > POINTS_PER_WRITE:
                    points = self._write(points)
                continue
            # a job, or the end: what was logged before it is written before it
            points = self._write(points)
            if item is None:
                return
            item()

    def _points(self, entry: Entry) -> list[Metric]:
        progress = entry.progress
        chosen = progress.metrics if self.extras.on else progress.fixed()
        return [Metric(key, value, entry.milliseconds, progress.step) for key, value in chosen.items()]

    def _write(self, points: list[Metric]) -> list[Metric]:
        if points:
            self.client.log_batch(self.run_id, metrics=points)
        return []

    def _raise_failure(self) -> None:
        """Raise what the thread failed with, if it did."""
        if self._writing.done():
            with translating_store_failures():
                self._writing.result()


def format_param(value: Any) -> str:
    """A param's text, the same each time: MLflow refuses a param that changes."""
    return f"{value:.10g}" if isinstance(value, float) else str(value)


def now_in_milliseconds() -> int:
    """Unix time in milliseconds, as MLflow wants it."""
    return time.time_ns() // 1_000_000

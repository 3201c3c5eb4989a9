"""The tracker against a real store: names, nesting, statuses, and every point once, through kills and outages."""

import itertools
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import optuna
import pytest
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from smart_tuner.errors import StorageError, TrackingError
from smart_tuner.progress import TRAINING_METRICS, VALIDATION_METRICS, Entry, Progress
from smart_tuner.tracking import machine
from smart_tuner.tracking.machine import Extras
from smart_tuner.tracking.tracker import Dataset, Tracker, TrialRun, format_param
from tests.support import small

pytestmark = pytest.mark.slow  # each has a database of its own

PLAIN = Extras(on=False, system_metrics=False, plots=False, found="nothing")
RICH = Extras(on=True, system_metrics=False, plots=False, found="extra metrics")
ORIGIN = {"trial.origin": "baseline", "trial.state": "running"}
BROKEN = {"error": "y", "error.kind": "Z"}


MILLISECONDS = itertools.count()


def training(step: int) -> Progress:
    metrics = {name: step + index / 100 for index, name in enumerate(TRAINING_METRICS)}
    extra = {"iteration": float(step), "training.frames_per_second": 9.0}
    return Progress(kind="training", step=step, utterances=4 * step, fraction=step / 100, metrics={**metrics, **extra})


def validation(number: int, step: int) -> Progress:
    metrics = {name: step + index / 100 for index, name in enumerate(VALIDATION_METRICS)}
    extra = {"validation.step": float(number), "validation.attention_coverage": 0.5}
    return Progress(
        kind="validation", step=step, utterances=4 * step, fraction=step / 100, metrics={**metrics, **extra}
    )


def run_of(first: int, last: int, every: int = 3) -> list[Progress]:
    """Iterations first to last, with a validation after every few."""
    return [
        one
        for step in range(first, last + 1)
        for one in ([training(step)] if step % every else [training(step), validation(step // every, step)])
    ]


def logged(progress: list[Progress], fixed: bool = True) -> dict[str, list[tuple[int, float]]]:
    """What the store shall hold of them."""
    expected: dict[str, list[tuple[int, float]]] = {}
    for one in progress:
        for name, value in (one.fixed() if fixed else one.metrics).items():
            expected.setdefault(name, []).append((one.step, value))
    return expected


@pytest.fixture(autouse=True)
def tracking_uri_of_one_test() -> Iterator[None]:
    """MLflow's URI is one for the process."""
    yield
    mlflow.set_tracking_uri(None)  # type: ignore[arg-type]


@pytest.fixture
def tracker(tmp_path: Path) -> Tracker:
    return Tracker(small.tracking_store(tmp_path), "Default")


Open = Callable[..., TrialRun]


@pytest.fixture
def open_trial(tracker: Tracker) -> Iterator[Open]:
    """Opens a trial of study `s`, the seventh unless told otherwise."""
    opened: list[TrialRun] = []

    def open_it(extras: Extras = PLAIN, number: int = 7) -> TrialRun:
        opened.append(tracker.open_study("s", {"study.mode": "train"}).open_trial(number, ORIGIN, extras))
        return opened[-1]

    yield open_it
    for run in opened:
        run._queue.put(None)
        run._thread.shutdown()


def entry(progress: Progress) -> Entry:
    """A journal's entry, made at a millisecond of its own: the store takes the same point at the same time once."""
    return Entry(progress, 1_600_000_000_000 + next(MILLISECONDS))


def log(run: TrialRun, progress: list[Progress]) -> None:
    for one in progress:
        run.log(entry(one))


def log_and_close(run: TrialRun, progress: list[Progress], status: str = "FINISHED") -> None:
    log(run, progress)
    run.close(status, {"trial.state": "complete"})


# runs, tags, statuses


def test_the_run_of_a_trial_is_nested_in_that_of_its_study(tracker: Tracker, open_trial: Open) -> None:
    parent, trial = (
        tracker.client.get_run(run_id) for run_id in (tracker.open_study("s", {}).run_id, open_trial().run_id)
    )
    assert (parent.info.run_name, trial.info.run_name) == ("s", "trial-0007")
    assert parent.info.status == trial.info.status == "RUNNING"
    assert parent.data.tags.items() >= {"study.name": "s", "study.role": "parent", "study.mode": "train"}.items()
    assert trial.data.tags["mlflow.parentRunId"] == parent.info.run_id
    assert trial.data.tags.items() >= {"study.name": "s", "trial.number": "7", **ORIGIN}.items()


def test_a_run_names_what_it_ran_on(tracker: Tracker, open_trial: Open) -> None:
    tags = tracker.client.get_run(open_trial().run_id).data.tags
    assert {"host", "pid", "mlflow.user", "version.python", "version.torch", "version.mlflow"} <= set(tags)
    assert tags["version.optuna"] == optuna.__version__


def test_the_same_study_and_trial_are_the_same_runs(tracker: Tracker, open_trial: Open) -> None:
    first, again = open_trial(), open_trial()
    assert first.run_id == again.run_id
    assert len(tracker.client.search_runs([tracker.experiment_id])) == 2


@pytest.mark.parametrize("status", ["FINISHED", "KILLED", "FAILED"])
def test_a_closed_run_has_its_status_and_tags(tracker: Tracker, open_trial: Open, status: str) -> None:
    run = open_trial()
    run.close(status, {"trial.state": "ended", "stop.kind": "user"})
    closed = tracker.client.get_run(run.run_id)
    assert closed.info.status == status
    assert closed.info.end_time >= closed.info.start_time
    assert closed.data.tags.items() >= {"trial.state": "ended", "stop.kind": "user"}.items()


def test_a_run_that_goes_on_forgets_why_it_stopped(tracker: Tracker, open_trial: Open) -> None:
    open_trial().close("KILLED", {"trial.state": "interrupted", "stop.kind": "user", "stop.reason": "x", **BROKEN})
    run = tracker.client.get_run(open_trial().run_id)
    assert run.info.status == "RUNNING"
    assert run.data.tags["trial.state"] == "running"
    assert not [name for name in run.data.tags if name.startswith("stop.") or name in BROKEN]


def test_a_studys_run_has_a_description_and_closes_with_its_status(tracker: Tracker) -> None:
    parent = tracker.open_study("s", {})
    parent.describe("Two **trials**.")
    parent.close("KILLED")
    run = tracker.client.get_run(parent.run_id)
    assert (run.info.status, run.data.tags["mlflow.note.content"]) == ("KILLED", "Two **trials**.")


def status(tracker: Tracker, run: TrialRun) -> str:
    found: str = tracker.client.get_run(run.run_id).info.status
    return found


def test_runs_that_a_kill_left_open_are_ended_as_their_trials_were(tracker: Tracker, open_trial: Open) -> None:
    runs = {number: open_trial(number=number) for number in (1, 2, 3, 4)}
    runs[4].close("FINISHED", {})
    parent = tracker.open_study("s", {})
    assert parent.reconcile({1: "FINISHED", 2: "KILLED", 4: "FAILED", 9: "FAILED"}) == 2
    assert [status(tracker, run) for run in runs.values()] == ["FINISHED", "KILLED", "RUNNING", "FINISHED"]
    assert parent.reconcile({1: "FINISHED", 2: "KILLED"}) == 0


def test_the_runs_of_another_study_stay_as_they_are(tracker: Tracker, open_trial: Open) -> None:
    run = open_trial(number=1)
    assert tracker.open_study("other", {}).reconcile({1: "FINISHED"}) == 0
    assert status(tracker, run) == "RUNNING"


def test_links_lead_to_the_experiments_pages(tracker: Tracker, open_trial: Open) -> None:
    run, parent = open_trial(), tracker.open_study("s", {})
    page = "http://127.0.0.1:5000/#/experiments/0/runs"
    assert parent.link == f"{page}?workflowType=machine_learning"
    assert run.link == f"{page}/{run.run_id}?workflowType=machine_learning"
    assert tracker.ui_command() == f"{machine.find_command('mlflow')} ui --backend-store-uri {tracker.uri}"
    tracker.uri = "https://host:1/"
    assert tracker.link("x") == "https://host:1/#/experiments/0/x?workflowType=machine_learning"
    assert tracker.ui_command() is None


def test_an_experiment_is_made_once(tracker: Tracker) -> None:
    first, again = (Tracker(tracker.uri, "Voices").experiment_id for _ in range(2))
    assert first == again != tracker.experiment_id


# metrics


def test_every_metric_of_every_step_is_logged_once(tracker: Tracker, open_trial: Open) -> None:
    run, progress = open_trial(), run_of(1, 150)  # more points than MLflow takes at once
    log_and_close(run, progress)
    assert small.points(tracker.client, run.run_id) == logged(progress)


def test_points_have_the_time_they_were_made_at(tracker: Tracker, open_trial: Open) -> None:
    run = open_trial()
    for step in (1, 2, 3):
        run.log(Entry(training(step), 1_600_000_000_000 + step))
    run.close("FINISHED", {})
    made = [point.timestamp - 1_600_000_000_000 for point in tracker.client.get_metric_history(run.run_id, "duration")]
    assert sorted(made) == [1, 2, 3]


def test_extra_metrics_are_logged_when_extras_are_on(tracker: Tracker, open_trial: Open) -> None:
    run, progress = open_trial(extras=RICH), run_of(1, 3)
    log_and_close(run, progress)
    held = small.points(tracker.client, run.run_id)
    assert held == logged(progress, fixed=False)
    assert {"training.frames_per_second", "validation.attention_coverage"} <= set(held)


@pytest.mark.parametrize("kept", [4, 7], ids=["killed", "interrupted"])
def test_a_run_that_goes_on_logs_each_step_once(tracker: Tracker, open_trial: Open, kept: int) -> None:
    log_and_close(open_trial(), run_of(1, 7), "KILLED")
    run = open_trial()  # its checkpoint tells what was kept, and trains the rest again
    log_and_close(run, [*run_of(1, kept), *run_of(kept + 1, 10)])
    assert small.points(tracker.client, run.run_id) == logged(run_of(1, 10))


def test_points_that_a_kill_kept_from_the_store_come_from_the_journal(tracker: Tracker, open_trial: Open) -> None:
    run, outage = open_trial(), Outage(tracker.client)
    log(run, run_of(1, 4))
    flush(run)
    run.client = outage  # type: ignore[assignment]  # what follows reaches the journal alone, as before a kill
    log(run, run_of(5, 8))
    again = open_trial()
    assert set(small.points(tracker.client, run.run_id)["iteration"]) < set(logged(run_of(1, 8))["iteration"])
    log_and_close(again, run_of(1, 9))
    assert small.points(tracker.client, run.run_id) == logged(run_of(1, 9))


def test_best_values_are_logged_once(tracker: Tracker, open_trial: Open) -> None:
    best = {"best.validation.loss": 0.25, "best.step": 6.0}
    for _ in range(2):
        open_trial().close("FINISHED", {}, best)
    run_id = open_trial().run_id
    assert small.points(tracker.client, run_id) == {"best.validation.loss": [(0, 0.25)], "best.step": [(0, 6.0)]}


def test_system_metrics_come_along_when_asked_for(
    tracker: Tracker, open_trial: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", "0.05")
    monkeypatch.setenv("MLFLOW_SYSTEM_METRICS_SAMPLES_BEFORE_LOGGING", "1")
    name = "system/cpu_utilization_percentage"
    for _ in range(2):
        run = open_trial(extras=Extras(on=True, system_metrics=True, plots=False, found=""))
        monitor = run._monitor
        assert monitor is not None
        enough = monitor._logging_step + 2
        small.wait_until(lambda monitor=monitor, enough=enough: monitor._logging_step >= enough)  # type: ignore[misc]
        run.close("KILLED", {})
    steps = [point.step for point in tracker.client.get_metric_history(run.run_id, name)]
    assert len(steps) == len(set(steps)) >= 4


# an outage, a slow store


class Outage:
    """A client whose store takes no points any more."""

    def __init__(self, client: MlflowClient) -> None:
        self.client = client

    def __getattr__(self, name: str) -> Any:
        return getattr(self.client, name)

    def log_batch(self, run_id: str, **_: object) -> None:
        raise MlflowException(f"no room for {run_id}\nand so on")


class Slow(Outage):
    """A client whose store takes points only when it is told to."""

    def __init__(self, client: MlflowClient) -> None:
        super().__init__(client)
        self.may_go_on, self.calls = threading.Event(), 0

    def log_batch(self, run_id: str, **given: Any) -> None:
        self.calls += 1
        assert self.may_go_on.wait(60)
        self.client.log_batch(run_id, **given)


def flush(run: TrialRun) -> None:
    """Wait until the thread has tried to write what was logged."""
    written = threading.Event()
    run.later(written.set)
    small.wait_until(lambda: written.is_set() or run._writing.done())


def test_logging_does_not_wait_for_a_slow_store(tracker: Tracker, open_trial: Open) -> None:
    run, slow = open_trial(), Slow(tracker.client)
    run.client = slow  # type: ignore[assignment]
    run.later(lambda: None)
    log(run, run_of(1, 200))
    small.wait_until(lambda: slow.calls == 1)
    assert not small.points(tracker.client, run.run_id)
    slow.may_go_on.set()
    run.close("FINISHED", {})
    assert small.points(tracker.client, run.run_id) == logged(run_of(1, 200))
    assert slow.calls < 10


@pytest.mark.parametrize("close", [False, True], ids=["at a later log", "at close"])
def test_an_outage_is_a_tracking_error_that_names_the_journal(tracker: Tracker, open_trial: Open, close: bool) -> None:
    run = open_trial()
    run.client = Outage(tracker.client)  # type: ignore[assignment]
    log(run, [training(1)])
    flush(run)
    with pytest.raises(TrackingError, match=rf"no room for {run.run_id} \(.*metrics\.jsonl") as failed:
        run.close("FINISHED", {}) if close else log(run, [training(2)])
    assert "\n" not in str(failed.value)
    assert isinstance(failed.value.__cause__, MlflowException)


def test_after_an_outage_the_journal_brings_everything(tracker: Tracker, open_trial: Open) -> None:
    run = open_trial()
    run.client = Outage(tracker.client)  # type: ignore[assignment]
    log(run, run_of(1, 6))
    with pytest.raises(TrackingError):
        run.close("FINISHED", {})
    log_and_close(open_trial(), run_of(1, 6))
    assert small.points(tracker.client, run.run_id) == logged(run_of(1, 6))


def test_a_bug_in_a_job_stays_a_bug(open_trial: Open) -> None:
    run = open_trial()
    run.later(lambda: dict[str, None]()["missing"])
    with pytest.raises(KeyError, match="missing"):
        run.close("FINISHED", {})


@pytest.mark.parametrize("write", [TrialRun.params, TrialRun.tags])
def test_an_outage_at_params_or_tags_is_a_tracking_error(
    tracker: Tracker, open_trial: Open, write: Callable[[TrialRun, Mapping[str, Any]], None]
) -> None:
    run = open_trial()
    run.client = Outage(tracker.client)  # type: ignore[assignment]
    with pytest.raises(TrackingError, match="no room"):
        write(run, {"device": "cpu"})


# params, artefacts, data set


@pytest.mark.parametrize(
    ("value", "text"), [(1e-3, "0.001"), (0.1 + 0.2, "0.3"), (4.0, "4"), (True, "True"), (7, "7"), ("cosine", "cosine")]
)
def test_a_param_has_one_text(value: object, text: str) -> None:
    assert format_param(value) == text


def test_params_may_be_logged_again(tracker: Tracker, open_trial: Open) -> None:
    params: Mapping[str, Any] = {f"hparams.{index}": index / 3 for index in range(120)}
    run = open_trial()
    for _ in range(2):
        run.params(params)
    assert tracker.client.get_run(run.run_id).data.params == {name: f"{value:.10g}" for name, value in params.items()}


def test_a_job_finds_all_that_was_logged_before_it(tracker: Tracker, open_trial: Open) -> None:
    run, found = open_trial(), {}
    log(run, [training(1)])
    run.later(lambda: found.update(small.points(tracker.client, run.run_id)))
    log(run, [training(2)])
    run.close("FINISHED", {})
    assert found == logged([training(1)])


def test_artefacts_are_stored_with_the_run(tracker: Tracker, open_trial: Open, tmp_path: Path) -> None:
    run, file = open_trial(), tmp_path / "speech.wav"
    file.write_bytes(b"RIFF")
    run.later(lambda: run.file(file, "audio"))
    run.later(lambda: run.image(np.zeros((8, 8, 3), dtype=np.uint8), "alignment", 50))
    run.text("a: 1\n", "settings.yaml")
    run.close("FINISHED", {})
    paths = [
        item.path for folder in (None, "audio", "images") for item in tracker.client.list_artifacts(run.run_id, folder)
    ]
    assert {"settings.yaml", "audio/speech.wav"} <= set(paths)
    assert [path for path in paths if path.startswith("images/alignment") and "50" in path]


def test_the_corpus_is_recorded_once_with_its_digest(tracker: Tracker, open_trial: Open) -> None:
    for _ in range(2):
        run = open_trial()
        run.dataset(Dataset(name="voice", digest="d1ge57", source="/data/voice", facts={"hours": 1.5}))
        run.close("KILLED", {})
    inputs = tracker.client.get_run(run.run_id).inputs
    assert inputs is not None
    (recorded,) = inputs.dataset_inputs
    assert (recorded.dataset.name, recorded.dataset.digest) == ("voice", "d1ge57")
    assert "/data/voice" in recorded.dataset.source
    assert recorded.dataset.profile == '{"hours": 1.5}'


# stores that cannot be used


def test_a_leftover_of_the_file_store_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mlruns" / "0").mkdir(parents=True)
    (tmp_path / "mlruns" / "0" / "meta.yaml").touch()
    with pytest.raises(StorageError, match=r"mlruns/0/meta\.yaml is left over from MLflow's old file store"):
        Tracker(None, "Default")
    assert not (tmp_path / "mlflow.db").exists()


def text_file(folder: Path) -> str:
    (folder / "mlflow.db").write_text("no database, " * 100)
    return f"sqlite:///{folder}/mlflow.db"


def optuna_database(folder: Path) -> str:
    optuna.create_study(storage=f"sqlite:///{folder}/smart_tuner.db")
    return f"sqlite:///{folder}/smart_tuner.db"


@pytest.mark.parametrize("make", [text_file, optuna_database, "nonsense://{}".format])
def test_what_is_no_tracking_store_is_refused(tmp_path: Path, make: Callable[[Path], str]) -> None:
    uri = make(tmp_path)
    with pytest.raises(StorageError, match=f"The tracking store {uri} cannot be used"):
        Tracker(uri, "Default")

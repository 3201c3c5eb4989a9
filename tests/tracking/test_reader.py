"""What a report reads from MLflow, from a real store, and what it leaves there."""

import math
import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing
from datetime import datetime
from pathlib import Path

import mlflow
import pytest
from mlflow.entities import FileInfo, Metric
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient
from sqlalchemy import event

from smart_tuner.errors import SettingsError, StorageError, TrackingError
from smart_tuner.tracking import reader
from smart_tuner.tracking.reader import Reader, fit_text
from smart_tuner.tracking.tracker import Tracker
from tests.support import small

pytestmark = pytest.mark.slow  # each has a database of its own

Log = Callable[..., str]


@pytest.fixture
def uri(tmp_path: Path) -> str:
    return small.tracking_store(tmp_path)


@pytest.fixture
def client(uri: str) -> MlflowClient:
    return MlflowClient(uri)


@pytest.fixture
def log(client: MlflowClient) -> Log:
    """Logs a run, each a second later than the one before it; its id."""
    seconds = iter(range(1_600_000_000, 1_700_000_000))

    def log_it(name: str = "run", experiment: str = "0", **tags: str) -> str:
        known = {key.replace("__", "."): value for key, value in tags.items()}
        run = client.create_run(experiment, 1000 * next(seconds), known, run_name=name)
        return str(run.info.run_id)

    return log_it


def points(client: MlflowClient, run_id: str, name: str, values: Mapping[int, float], at: int = 0) -> None:
    client.log_batch(run_id, [Metric(name, value, at, step) for step, value in values.items()])


# a store that is not there, or not ours


def test_a_store_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    found = Reader(f"sqlite:///{tmp_path}/mlflow.db")
    assert not found.there
    assert (found.study("s"), found.trials("0"), found.named("s"), found.search("")) == (None, [], [], [])
    assert (found.history("0", "x"), found.artefact("0", "x"), found.artefacts("0", "x")) == ((), None, [])
    with pytest.raises(StorageError, match="There is no tracking store"):
        found.publish("0", "text", [])
    assert not list(tmp_path.iterdir())


def test_the_database_of_another_program_stays_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "other.db"
    with closing(sqlite3.connect(file)) as database, database:
        database.execute("CREATE TABLE mine (x INTEGER)")
    before = file.read_bytes()
    assert not Reader(f"sqlite:///{file}").there
    assert file.read_bytes() == before


def test_a_store_of_another_version_is_not_changed_without_a_word(uri: str, tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "mlflow.db")) as database, database:
        database.execute("DROP TABLE assessments")  # as before MLflow 3
    before = (tmp_path / "mlflow.db").read_bytes()
    with pytest.raises(StorageError, match=rf"made by another version of MLflow; .*mlflow db upgrade {uri}"):
        Reader(uri)
    assert (tmp_path / "mlflow.db").read_bytes() == before


def test_a_password_is_not_shown(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"postgresql://me:\*\*\*@127\.0\.0\.1:1/x cannot be used") as refused:
        Reader("postgresql://me:secret@127.0.0.1:1/x")
    assert "secret" not in str(refused.value)


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_text("no database at all, but long enough to be looked at" * 40)
    with pytest.raises(StorageError, match=r"The tracking store sqlite:.* cannot be used"):
        Reader(f"sqlite:///{tmp_path}/mlflow.db")


def test_without_an_address_mlflows_own_default_is_read(
    uri: str, log: Log, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log("here")
    mlflow.set_tracking_uri(None)  # type: ignore[arg-type]
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    found = Reader(None)
    assert [run.name for run in found.search("")] == ["here"]
    monkeypatch.chdir(tmp_path / "..")
    assert not Reader(None).there


def test_a_failure_of_the_store_is_not_an_empty_history(uri: str, log: Log, tmp_path: Path) -> None:
    run_id, found = log(), Reader(uri)
    with closing(sqlite3.connect(tmp_path / "mlflow.db")) as database, database:
        database.execute("DROP TABLE metrics")
    with pytest.raises(TrackingError, match=r"The tracking store failed: .*no such table: metrics"):
        found.history(run_id, "x")


# runs


def test_a_run_is_read_with_all_that_it_says(uri: str, client: MlflowClient, log: Log) -> None:
    run_id = log("trial-0007", study__name="s", mlflow__parentRunId="abc")
    client.log_param(run_id, "hparams.batch_size", 16)
    points(client, run_id, "validation.loss", {1: 0.5, 3: 0.3, 2: 0.4})
    client.set_terminated(run_id, "KILLED", 1_600_000_060_000)
    (run,) = Reader(uri).search("")
    assert (run.run_id, run.name, run.status, run.parent_id) == (run_id, "trial-0007", "KILLED", "abc")
    assert (run.metrics, run.params, run.tags["study.name"]) == (
        {"validation.loss": 0.3},
        {"hparams.batch_size": "16"},
        "s",
    )
    assert (run.began, run.ended) == tuple(
        datetime.fromtimestamp(1_600_000_000 + seconds).astimezone() for seconds in (0, 60)
    )
    assert run.link == f"http://127.0.0.1:5000/#/experiments/0/runs/{run_id}?workflowType=machine_learning"


def test_links_lead_to_the_stores_own_server() -> None:
    assert reader.link("https://host:1/", "7", "ab") == (
        "https://host:1/#/experiments/7/runs/ab?workflowType=machine_learning"
    )


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_values_that_are_not_finite_are_no_values(uri: str, client: MlflowClient, log: Log, value: float) -> None:
    run_id = log()
    points(client, run_id, "x", {1: 1.0, 2: value})
    points(client, run_id, "y", {1: 2.0})
    assert Reader(uri).search("")[0].metrics == {"y": 2.0}


def test_the_newest_run_of_a_study_counts_in_whatever_experiment(uri: str, client: MlflowClient, log: Log) -> None:
    name = "Ann's study"
    log("old", study__name=name, study__role="parent")
    other = client.create_experiment("other")
    newest = log("new", other, study__name=name, study__role="parent")
    log("trial-0000", study__name=name)
    log("third", study__name="Ann", study__role="parent")
    found = Reader(uri).study(name)
    assert found is not None
    assert found.run_id == newest
    assert found.link.startswith(f"http://127.0.0.1:5000/#/experiments/{other}/runs/{newest}")
    assert Reader(uri).study("Ann's") is None


def test_the_runs_nested_in_a_run_are_found_page_by_page(uri: str, log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "PAGE", 2)
    names = [f"trial-{number:04d}" for number in range(5)]
    for name in names:
        log(name, mlflow__parentRunId="abc")
    log("trial-0009", mlflow__parentRunId="other")
    assert [run.name for run in Reader(uri).trials("abc")] == names


def test_runs_that_name_their_study_are_found_whatever_its_name(uri: str, log: Log) -> None:
    for name in ("Ann's", "Ann_s", "Ann", "100%"):
        log(name, study__name=name)
    found = Reader(uri)
    assert [[run.name for run in found.named(name)] for name in ("Ann's", "Ann_s", "100%", "Bob")] == [
        ["Ann's"],
        ["Ann_s"],
        ["100%"],
        [],
    ]


def test_a_deleted_run_is_not_found(uri: str, client: MlflowClient, log: Log) -> None:
    run_id = log(study__name="s", study__role="parent")
    client.delete_run(run_id)
    assert Reader(uri).study("s") is None


def test_a_filter_of_mlflow_finds_runs(uri: str, client: MlflowClient, log: Log) -> None:
    for loss in (0.3, 0.6):
        points(client, log(str(loss)), "loss", {1: loss})
    assert [run.name for run in Reader(uri).search("metrics.loss < 0.5")] == ["0.3"]


def test_a_filter_that_is_none_is_refused_in_mlflows_words(uri: str) -> None:
    with pytest.raises(SettingsError, match="does not take the filter 'lower than 3': Invalid clause"):
        Reader(uri).search("lower than 3")


# histories


@pytest.fixture(params=["database", "server"])
def found(request: pytest.FixtureRequest, uri: str) -> Reader:
    """Reads from the database itself, or through MLflow's client, as from a server."""
    opened = Reader(uri)
    if request.param == "server":
        opened._database = None
    return opened


def test_a_history_has_each_iteration_once_as_it_was_logged_last(found: Reader, client: MlflowClient, log: Log) -> None:
    run_id, other = log(), log()
    points(client, run_id, "x", {4: 4.5, 2: 2.5}, at=2)  # after a resume
    points(client, run_id, "x", {1: 1.0, 2: 2.9, 3: 3.0}, at=1)
    points(client, run_id, "y", {5: 5.0})
    points(client, other, "x", {6: 6.0})
    assert found.history(run_id, "x") == [(1, 1.0), (2, 2.5), (3, 3.0), (4, 4.5)]


def test_a_history_is_looked_up_by_its_run(uri: str, client: MlflowClient, log: Log, tmp_path: Path) -> None:
    """Else it takes the longer, the more other runs there are."""
    run_id, asked = log(), list[str]()
    points(client, run_id, "x", {-1: 1.0, 1: 2.0})
    found = Reader(uri)
    assert found._database is not None
    event.listen(found._database, "before_cursor_execute", lambda *given: asked.append(given[2]))
    assert found.history(run_id, "x") == [(-1, 1.0), (1, 2.0)]
    with closing(sqlite3.connect(tmp_path / "mlflow.db")) as database:
        plan = database.execute(f"EXPLAIN QUERY PLAN {asked[-1]}", (run_id, "x", *reader.STEPS)).fetchall()
    assert "index_metrics_run_uuid_key_step (run_uuid=? AND key=?" in plan[0][3]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_history_has_finite_values_only(found: Reader, client: MlflowClient, log: Log, value: float) -> None:
    run_id = log()
    points(client, run_id, "x", {1: 1.0, 2: value, 3: -3.0})
    assert found.history(run_id, "x") == [(1, 1.0), (3, -3.0)]


def test_what_was_never_logged_has_no_history(found: Reader, log: Log) -> None:
    assert list(found.history(log(), "x")) == []
    assert list(found.history("0" * 32, "x")) == []


# artefacts


@pytest.fixture
def pictured(client: MlflowClient, log: Log) -> str:
    """A run with two plots and a folder among them."""
    run_id = log()
    for name in ("stop.png", "gate.png", "more/deep.png"):
        client.log_text(run_id, name, f"plots/{name}")
    return run_id


def test_an_artefact_is_read_in_its_place(uri: str, pictured: str, tmp_path: Path) -> None:
    found = Reader(uri).artefact(pictured, "plots/stop.png")
    assert found is not None
    assert found.read_text() == "stop.png"
    assert found.is_relative_to(tmp_path / "mlruns")


def test_artefacts_of_a_folder_that_was_renamed_are_found_and_added_there(
    uri: str, pictured: str, log: Log, tmp_path: Path
) -> None:
    parent, before = log("parent"), {path.name for path in tmp_path.parent.iterdir()}
    moved = tmp_path.rename(tmp_path.with_name("renamed"))
    (moved / "report.html").write_text("page")
    found = Reader(f"sqlite:///{moved}/mlflow.db")
    assert found.artefact(pictured, "plots/stop.png") == moved / f"mlruns/0/{pictured}/artifacts/plots/stop.png"
    assert found.artefacts(pictured, "plots") == ["plots/gate.png", "plots/stop.png"]
    found.publish(parent, "note", [moved / "report.html"])
    assert found.artefact(parent, "report/report.html") == moved / f"mlruns/0/{parent}/artifacts/report/report.html"
    assert {path.name for path in moved.parent.iterdir()} == before - {tmp_path.name} | {"renamed"}


def test_a_study_that_goes_on_in_a_renamed_folder_is_told_where_mlflow_writes(uri: str, tmp_path: Path) -> None:
    (tmp_path / "mlruns/0").mkdir(parents=True)
    assert Tracker(uri, "Default").left_behind == ""
    moved = tmp_path.rename(tmp_path.with_name("elsewhere"))
    assert Tracker(f"sqlite:///{moved}/mlflow.db", "Default").left_behind == f"{tmp_path}/mlruns/0"


def test_artefacts_of_a_folder_are_listed_in_order(uri: str, pictured: str) -> None:
    assert Reader(uri).artefacts(pictured, "plots") == ["plots/gate.png", "plots/stop.png"]


def test_artefacts_outside_of_folders_are_found(uri: str, client: MlflowClient, log: Log) -> None:
    run_id = log()
    client.log_text(run_id, "hparams: {}", "settings.yaml")
    found = Reader(uri)
    assert found.artefacts(run_id, "") == ["settings.yaml"]
    assert found.artefact(run_id, "settings.yaml") is not None


def test_artefacts_that_are_gone_are_none(uri: str, pictured: str) -> None:
    found = Reader(uri)
    assert [found.artefact(pictured, path) for path in ("plots/mel.png", "plots", "plots/more")] == [None] * 3
    assert (found.artefacts(pictured, "audio"), found.artefacts(pictured, "plots/stop.png")) == ([], [])
    assert (found.artefact("0" * 32, "plots/stop.png"), found.artefacts("0" * 32, "plots")) == (None, [])
    assert not found.unread


class Elsewhere:
    """The artefacts of a run on another machine."""

    def download_artifacts(self, path: str, folder: str) -> str:
        if path == "plots/locked.png":
            raise MlflowException(f"no right to read {path}\nand so on")
        file = Path(folder) / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(path)
        return str(file)

    def list_artifacts(self, folder: str) -> list[FileInfo]:
        if folder != "plots":
            raise OSError(f"no way to {folder}")
        return [FileInfo(f"plots/{name}", name == "more", 1) for name in ("stop.png", "locked.png", "more")]


@pytest.fixture
def away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "get_artifact_repository", lambda *_, **__: Elsewhere())


@pytest.mark.usefixtures("away")
def test_an_artefact_elsewhere_is_fetched_and_goes_with_the_reader(uri: str, log: Log) -> None:
    found, runs = Reader(uri), [log(), log()]
    files = [found.artefact(run_id, "plots/stop.png") for run_id in runs]
    assert [file and file.read_text() for file in files] == ["plots/stop.png"] * 2
    assert files[0] != files[1]
    del found
    assert not any(file and file.exists() for file in files)


@pytest.mark.usefixtures("away")
def test_artefacts_that_cannot_be_had_are_none_and_the_reason_is_kept(uri: str, log: Log) -> None:
    found, run_id = Reader(uri), log()
    for _ in range(2):
        assert found.artefact(run_id, "plots/locked.png") is None
        assert found.artefacts(run_id, "audio") == []
        assert found.artefact(run_id, "plots/none.png") is None  # it is gone, which is no failure
    assert found.unread == ["no right to read plots/locked.png", "no way to audio"]


# the report


def test_a_report_becomes_the_description_of_its_run(uri: str, client: MlflowClient, log: Log, tmp_path: Path) -> None:
    run_id = log(study__role="parent")
    client.set_terminated(run_id, "KILLED")
    file = tmp_path / "report.html"
    for text in ("one", "two"):
        file.write_text(text)
        Reader(uri).publish(run_id, f"Note {text}.", [file])
    run = client.get_run(run_id)
    assert (run.info.status, run.data.tags["mlflow.note.content"]) == ("KILLED", "Note two.")
    stored = Reader(uri).artefact(run_id, "report/report.html")
    assert stored is not None
    assert stored.read_text() == "two"


def test_a_report_of_a_deleted_run_is_a_tracking_error(uri: str, client: MlflowClient, log: Log) -> None:
    run_id = log()
    client.delete_run(run_id)
    with pytest.raises(TrackingError, match=r"The tracking store failed: .*active"):
        Reader(uri).publish(run_id, "text", [])


def test_a_text_that_is_too_long_ends_with_a_whole_line() -> None:
    assert fit_text("one\ntwo\nthree", 13) == "one\ntwo\nthree"
    assert fit_text("one\ntwo\nthree", 12) == "one\ntwo"
    assert fit_text("one\ntwo\nthree", 7) == "one\ntwo"
    assert fit_text("one\ntwo\nthree", 6) == "one"
    assert fit_text("onetwo", 3) == "one"

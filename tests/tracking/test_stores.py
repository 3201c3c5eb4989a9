"""A store that fails is told in plain words, in time; what may pass is waited for aloud, what stays is not."""

import http.server
import socket
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import UNAUTHENTICATED
from mlflow.tracking import MlflowClient

from smart_tuner.errors import StorageError, TrackingError, TrackingRefusal
from smart_tuner.study import store
from smart_tuner.tracking import stores
from smart_tuner.tracking.reader import Reader
from smart_tuner.tracking.stores import Patience, answer_in_time, refuse_unusable_runs, refuse_unusable_studies
from smart_tuner.tracking.tracker import STORE_FAILURES, Tracker, require_store_of_runs
from tests.support import small


@contextmanager
def server(code: int, body: bytes) -> Iterator[str]:
    """The address of a server that answers everything alike."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(code)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET

        def log_message(self, *_: object) -> None:
            """Nothing in the tests' output."""

    running = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=running.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{running.server_port}"
    finally:
        running.shutdown()
        running.server_close()


@contextmanager
def silent_server() -> Iterator[str]:
    """The address of a server that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


def refusal(act: Callable[[], object]) -> str:
    with pytest.raises(StorageError) as refused:
        act()
    assert "\n" not in str(refused.value)
    return str(refused.value)


# before anything runs


@pytest.mark.parametrize("act", [lambda uri: refuse_unusable_runs(uri, write=True), Reader])
@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("http://127.0.0.1:9", "nothing answers there (connection refused); start it, or name another with --tracking"),
        ("https://user:secret@127.0.0.1:9", "nothing answers there (connection refused)"),
        ("http://no-such-host.invalid:5000", "the name of its host is not known"),
        ("postgresql://user:secret@127.0.0.1:9/x", "its driver is missing: install the Python package psycopg"),
    ],
)
def test_a_tracking_store_that_is_not_there_is_named(act: Callable[[str], object], uri: str, said: str) -> None:
    sentence = refusal(lambda: act(uri))
    assert sentence.startswith(f"The tracking store {uri.replace('secret', '***')} cannot be used: {said}")


def test_a_server_that_never_answers_is_refused_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stores, "ANSWER_SECONDS", 0.2)
    with silent_server() as uri:
        assert "it does not answer" in refusal(lambda: refuse_unusable_runs(uri, write=True))
        assert "it does not answer" in refusal(lambda: Reader(uri))
        assert "it does not answer" in refusal(lambda: require_store_of_runs(uri, "Default"))


def test_the_users_own_limits_win(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stores, "ANSWER_SECONDS", 0.01)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "3")
    assert answer_in_time(lambda: time.sleep(0.1) or "late") == "late"
    monkeypatch.delenv("MLFLOW_HTTP_REQUEST_TIMEOUT")
    with pytest.raises(TimeoutError):
        answer_in_time(lambda: time.sleep(0.1))


@pytest.mark.parametrize(
    ("code", "body", "said"),
    [
        (401, b"who are you", "it wants a user and a password, or others than were given (MLFLOW_TRACKING_USERNAME"),
        (403, b'{"error_code": "PERMISSION_DENIED", "message": "no"}', "this user may not do that there"),
        (404, b"nothing here", "what answers there is no MLflow server (HTTP 404)"),
        (200, b"<html>", "what answers there is no MLflow server"),
        (503, b"down", "it answers with an error (HTTP 503); start it, or name another with --tracking-uri"),
    ],
)
def test_a_server_that_answers_otherwise_is_told_in_words(code: int, body: bytes, said: str) -> None:
    with server(code, body) as uri:
        refuse_unusable_runs(uri, write=True)
        for act in (lambda: require_store_of_runs(uri, "Default"), lambda: Reader(uri)):
            assert f"{uri} cannot be used: {said}" in refusal(act)


def execute(file: Path, command: str) -> Path:
    with closing(sqlite3.connect(file)) as database, database:
        database.execute(command)
    return file


def garbage(folder: Path) -> str:
    (folder / "x.db").write_bytes(b"x" * 5000)
    return f"sqlite:///{folder}/x.db"


def read_only(folder: Path) -> str:
    execute(folder / "x.db", "CREATE TABLE t (x)")
    return f"sqlite:///file:{folder}/x.db?mode=ro&uri=true"


def no_folder(folder: Path) -> str:
    return f"sqlite:///{folder}/none/x.db"


def a_folder(folder: Path) -> str:
    return f"sqlite:///{folder}"


UNUSABLE = {
    garbage: "that file is no database",
    read_only: "it is read-only",
    no_folder: "its file cannot be opened, or its folder is not there",
    a_folder: "its file cannot be opened, or its folder is not there",
}


@pytest.mark.parametrize("make", UNUSABLE)
def test_a_database_that_cannot_be_written_is_refused_for_both_stores(
    tmp_path: Path, make: Callable[[Path], str]
) -> None:
    address, said = make(tmp_path), UNUSABLE[make]
    assert f"The tracking store {address} cannot be used: {said}" in refusal(
        lambda: refuse_unusable_runs(address, write=True)
    )
    assert f"The study storage {address} cannot be used: {said}" in refusal(
        lambda: refuse_unusable_studies(address, write=True)
    )


def test_a_locked_database_is_told_and_an_unlocked_one_taken(tmp_path: Path) -> None:
    file = execute(tmp_path / "x.db", "CREATE TABLE t (x)")
    with closing(sqlite3.connect(file, isolation_level=None)) as holder:
        holder.execute("BEGIN IMMEDIATE")
        address = f"sqlite:///{file}?timeout=0.1"
        assert "another program has locked it" in refusal(lambda: refuse_unusable_studies(address, write=True))
        holder.execute("COMMIT")
    before = file.read_bytes()
    refuse_unusable_studies(address, write=True)
    assert ([path.name for path in tmp_path.iterdir()], file.read_bytes()) == (["x.db"], before)


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("rubbish", "that is no address of a database"),
        ("http://here/x", "there are no databases of that kind"),
        ("mysql://here/x", "its driver is missing: install the Python package MySQLdb"),
    ],
)
def test_a_storage_that_is_none_is_refused(address: str, said: str) -> None:
    assert said in refusal(lambda: refuse_unusable_studies(address, write=True))


def test_tables_of_another_version_or_program_are_refused(tmp_path: Path) -> None:
    runs = small.tracking_store(tmp_path)
    assert "holds the tables of another program" in refusal(lambda: store.require_usable(runs))
    execute(tmp_path / "mlflow.db", "UPDATE alembic_version SET version_num = 'abc'")
    assert "mlflow db upgrade" in refusal(lambda: require_store_of_runs(runs, "Default"))
    execute(tmp_path / "mlflow.db", "DROP TABLE spans")
    for act in (lambda: require_store_of_runs(runs, "Default"), lambda: Reader(runs)):
        assert "was made by another version of MLflow" in refusal(act)
    studies = f"sqlite:///{tmp_path}/studies.db"
    store.optuna.create_study(storage=studies)
    store.require_usable(studies)
    execute(tmp_path / "studies.db", "UPDATE alembic_version SET version_num = 'v0.9.0.a'")
    assert "storage upgrade" in refusal(lambda: store.require_usable(studies))


# a deleted experiment


def test_a_deleted_experiment_is_refused_with_the_way_back(tmp_path: Path) -> None:
    uri = small.tracking_store(tmp_path)
    tracker = Tracker(uri, "voices")
    MlflowClient(uri).delete_experiment(tracker.experiment_id)
    for act in (lambda: require_store_of_runs(uri, "voices"), lambda: Tracker(uri, "voices")):
        said = refusal(act)
        assert said.startswith("MLflow's experiment 'voices' was deleted; bring it back: ")
        assert f"experiments restore --experiment-id {tracker.experiment_id}" in said
        assert said.endswith("or name another experiment with --experiment.")
    require_store_of_runs(uri, "others")


def test_what_is_deleted_in_the_middle_is_a_refusal(tmp_path: Path) -> None:
    uri = small.tracking_store(tmp_path)
    tracker = Tracker(uri, "voices")
    parent = tracker.open_study("s", {})
    MlflowClient(uri).delete_run(parent.run_id)
    with pytest.raises(TrackingRefusal, match="mlflow runs restore --run-id"):
        parent.describe("text")
    MlflowClient(uri).delete_experiment(tracker.experiment_id)
    with pytest.raises(TrackingRefusal, match="experiments restore --experiment-id"):
        parent.describe("text")
    with pytest.raises(TrackingRefusal, match="experiments restore --experiment-id"):
        tracker.open_study("t", {})


# while a study runs


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is said, with pauses of a moment."""
    monkeypatch.setattr(stores, "PAUSE_SECONDS", 0.01)
    return []


def broken(times: int, failure: Exception) -> Callable[[], str]:
    """A call that fails so often before it works."""
    left = iter([failure] * times)

    def call() -> str:
        for problem in left:
            raise problem
        return "written"

    return call


OUTAGES = [
    ConnectionRefusedError(),
    TimeoutError(),
    ConnectionResetError(),
    MlflowException("API request failed with error code 503 != 200."),
    MlflowException("(sqlite3.OperationalError) database is locked"),
]


@pytest.mark.parametrize("failure", OUTAGES, ids=repr)
def test_what_passes_is_waited_for_and_said_once(failure: Exception, said: list[str]) -> None:
    patience = Patience("http://user:secret@host", said.append, STORE_FAILURES)
    assert patience(broken(3, failure)) == "written"
    assert len(said) == 2
    assert said[0].startswith("http://user:***@host: ")
    assert "trying again for 5 minutes, until " in said[0]
    assert said[1].startswith("http://user:***@host answers again, after ")
    patience(broken(1, failure))
    assert len(said) == 4


@pytest.mark.parametrize(
    "failure",
    [
        MlflowException("API request failed with error code 401 != 200.", error_code=UNAUTHENTICATED),
        MlflowException("attempt to write a readonly database"),
        MlflowException("Detected out-of-date database schema"),
    ],
    ids=str,
)
def test_what_stays_is_not_waited_for(failure: Exception, said: list[str]) -> None:
    with pytest.raises(TrackingRefusal, match="Waiting does not help"):
        Patience("x", said.append, STORE_FAILURES)(broken(1, failure))
    assert not said


def test_a_full_disk_is_neither_waited_for_nor_refused(said: list[str]) -> None:
    with pytest.raises(TrackingError, match="the disk is full") as failed:
        Patience("x", said.append, STORE_FAILURES)(broken(1, OSError(28, "No space left on device")))
    assert not isinstance(failed.value, TrackingRefusal)
    assert not said


def test_a_bug_stays_what_it_is(said: list[str]) -> None:
    with pytest.raises(KeyError):
        Patience("x", said.append, STORE_FAILURES)(broken(1, KeyError("bug")))


def test_patience_ends_and_nothing_is_tried_after_it(said: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stores, "PATIENCE_SECONDS", 0.05)
    patience = Patience("x", said.append, STORE_FAILURES)
    with pytest.raises(TrackingError, match="x failed: nothing answers there") as first:
        patience(broken(10_000, ConnectionRefusedError()))
    tried: list[int] = []
    with pytest.raises(TrackingError) as second:
        patience(lambda: tried.append(1))
    assert second.value is first.value
    assert (len(said), tried) == (1, [])


def test_who_wants_to_leave_waits_no_more(said: list[str]) -> None:
    patience = Patience("x", said.append, STORE_FAILURES)
    patience.stop = lambda: True
    with pytest.raises(TrackingError):
        patience(broken(10_000, ConnectionRefusedError()))


def test_who_says_how_often_mlflow_tries_is_not_made_to_wait(said: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(TrackingError):
        Patience("x", said.append, STORE_FAILURES)(broken(2, ConnectionRefusedError()))
    assert not said


def test_a_server_that_hangs_is_told_of(said: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stores, "SILENT_SECONDS", 0.01)
    Patience("x", said.append, STORE_FAILURES)(lambda: small.wait_until(lambda: bool(said), 20))
    assert said == ["x has not answered for 0 s; still waiting."]


def test_a_tracker_waits_for_its_store(tmp_path: Path, said: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    uri = small.tracking_store(tmp_path)
    parent = Tracker(uri, "Default", said.append).open_study("s", {})
    call, failures = MlflowClient.set_tag, iter([ConnectionRefusedError(), ConnectionRefusedError()])

    def set_tag(client: MlflowClient, *given: str) -> None:
        for failure in failures:
            raise failure
        call(client, *given)

    monkeypatch.setattr(MlflowClient, "set_tag", set_tag)
    parent.describe("told")
    assert MlflowClient(uri).get_run(parent.run_id).data.tags["mlflow.note.content"] == "told"
    assert [text.partition(uri)[2][:10] for text in said] == [": nothing ", " answers a"]

"""The stores at an address, MLflow's and Optuna's: whether they answer in time, and what is wrong in plain words."""

import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import TimeoutError as NoAnswer
from multiprocessing.pool import ThreadPool
from pathlib import Path
from typing import Any, Literal, TypeVar

from sqlalchemy import Engine, create_engine, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

from smart_tuner.errors import StorageError, TrackingError, TrackingRefusal
from smart_tuner.tracking.machine import without_password

OWN_RETRIES = "1"
"""Of MLflow, at once, as a connection that was idle for long is often closed; Patience waits longer, and says so."""
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", OWN_RETRIES)

ANSWER_SECONDS = 6.0
"""How long a store may take to answer before anything runs."""
SILENT_SECONDS = 20.0
"""A running study says so when a store takes longer to answer."""
PATIENCE_SECONDS = 300.0
"""How long a running study tries again before it ends."""
PAUSE_SECONDS = 5.0
RUNS = ("tracking store", "--tracking-uri")
STUDIES = ("study storage", "--storage")
DATABASES = ("sqlite", "postgresql", "mysql", "mssql")
CREDENTIALS = "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN"
NO_SERVER = "what answers there is no MLflow server"

Kind = Literal["outage", "refusal", "other"]
"""outage: it may pass, and waiting helps; refusal: it stays until somebody changes something there."""
T = TypeVar("T")


@dataclass(frozen=True)
class Trouble:
    """Why a store does not do what it is asked for."""

    kind: Kind
    text: str
    """What a sentence about the store ends with, without its stop."""


# what failures are called: the exceptions in the chain by name, as requests, urllib3 and each driver have their own
NAMES: tuple[tuple[str, Kind, str], ...] = (
    (r"SSLError|CertificateError", "refusal", "its certificate or encryption is not accepted"),
    (r"InvalidURL|InvalidUrlException|LocationParseError|InvalidSchema", "refusal", "that is no address"),
    (r"NameResolutionError|gaierror", "outage", "the name of its host is not known"),
    (r"ConnectionRefusedError", "outage", "nothing answers there (connection refused)"),
    (r"ConnectTimeout\w*|ReadTimeout\w*|Timeout|TimeoutError", "outage", "it does not answer"),
    (r"NewConnectionError", "outage", "there is no way to it"),
    (r"ConnectionError|ProtocolError|RemoteDisconnected|ConnectionResetError|BrokenPipeError|ChunkedEncodingError"
     r"|IncompleteRead", "outage", "the connection broke"),
)  # fmt: skip
CODES: dict[str, tuple[Kind, str]] = {
    "UNAUTHENTICATED": ("refusal", f"it wants a user and a password, or others than were given ({CREDENTIALS})"),
    "CUSTOMER_UNAUTHORIZED": ("refusal", f"it wants a user and a password, or others than were given ({CREDENTIALS})"),
    "PERMISSION_DENIED": ("refusal", f"this user may not do that there ({CREDENTIALS})"),
    "ENDPOINT_NOT_FOUND": ("refusal", f"{NO_SERVER} (HTTP 404)"),
    "REQUEST_LIMIT_EXCEEDED": ("outage", "it takes no more requests for the moment (HTTP 429)"),
}
TEXTS: tuple[tuple[str, Kind, str], ...] = (
    (r"too many (\d+) error responses|failed with error code (5\d\d)", "outage", "it answers with an error (HTTP {})"),
    (r"not in a valid JSON format", "refusal", NO_SERVER),
    (r"failed with error code (4\d\d)", "refusal", "it refuses the request (HTTP {})"),
    (r"database is locked|database table is locked", "outage", "another program has locked it"),
    (r"readonly database|read-only (?:transaction|file system|mode)|SuperuserReadOnly", "refusal", "it is read-only"),
    (r"database or disk is full|No space left|could not extend file|table is full", "other", "the disk is full"),
    (r"unable to open database file", "refusal", "its file cannot be opened, or its folder is not there"),
    (r"file is not a database|file is encrypted", "refusal", "that file is no database"),
    (r"database disk image is malformed", "refusal", "its file is damaged"),
    (r"password authentication failed|no password supplied|Access denied|authentication failed|role .* does not exist",
     "refusal", "the user or the password is wrong"),
    (r"permission denied|Permission denied|command denied", "refusal", "this user may not do that there"),
    (r"database .* does not exist|Unknown database", "refusal", "that server has no database of this name"),
    (r"could not translate host name|Name or service not known|nodename nor servname|getaddrinfo",
     "outage", "the name of its host is not known"),
    (r"[Cc]onnection refused|Can't connect to", "outage", "nothing answers there (connection refused)"),
    (r"timeout expired|timed out|Timeout", "outage", "it does not answer"),
    (r"server closed the connection|gone away|Lost connection|terminating connection|starting up|shutting down"
     r"|too many (?:clients|connections)|connection (?:was|is|has been)? ?(?:closed|reset|lost)|could not connect",
     "outage", "the connection broke"),
    (r"maintenance mode", "refusal",
     "MLflow keeps no runs in a folder any more; name a database, such as sqlite:///mlflow.db, or a server"),
    (r"got unsupported URI", "refusal", "addresses begin with http, https, sqlite, postgresql, mysql or mssql"),
    (r"out-of-date database schema|Can't locate revision|made by another version", "refusal",
     "its tables are of another version of MLflow; keep a copy, then bring it up to date: mlflow db upgrade <address>"),
)  # fmt: skip


def describe_trouble(problem: BaseException) -> Trouble:
    """A failure of a store in plain words."""
    chain = list(_causes(problem))
    known = " ".join(map(str, chain))
    if isinstance(problem, ImportError):
        return Trouble("refusal", f"its driver is missing: install the Python package {problem.name or problem}")
    if isinstance(problem, NoSuchModuleError):
        return Trouble("refusal", "there are no databases of that kind; sqlite:///file.db or postgresql://host/name do")
    if isinstance(problem, ArgumentError):
        return Trouble("refusal", "that is no address of a database, such as sqlite:///file.db")
    for pattern, kind, said in TEXTS[:3]:  # a server that answers, whatever carried its answer
        if found := re.search(pattern, known):
            code = next((group for group in found.groups() if group), "")
            if (wanted := CODES.get(str(getattr(problem, "error_code", "")))) is not None:
                return Trouble(*wanted)
            return Trouble(kind, said.format(code))
    if (wanted := CODES.get(str(getattr(problem, "error_code", "")))) is not None:
        return Trouble(*wanted)
    names = {type(cause).__name__ for cause in chain}
    for pattern, kind, said in NAMES:
        if any(re.fullmatch(pattern, name) for name in names):
            return Trouble(kind, said)
    for pattern, kind, said in TEXTS[3:]:
        if re.search(pattern, known):
            return Trouble(kind, said)
    return Trouble("other", first_line(problem).rstrip("."))


def first_line(problem: BaseException) -> str:
    """The first line of what an exception says, else its name."""
    return (str(problem).splitlines() or [type(problem).__name__])[0]


def root_cause(problem: BaseException) -> BaseException:
    """What a failure came from in the first place."""
    return list(_causes(problem))[-1]


def _causes(problem: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while problem is not None and id(problem) not in seen:
        seen.add(id(problem))
        yield problem
        problem = problem.__cause__ or problem.__context__


# before anything runs


@contextmanager
def refusing(address: str, what: str, option: str, *others: type[Exception]) -> Iterator[None]:
    """Turn a failure to use a store into StorageError; what and option say which store it is, others which failures."""
    failures: tuple[type[Exception], ...] = (SQLAlchemyError, OSError, ImportError, *others)
    try:
        yield
    except failures as problem:
        trouble = describe_trouble(problem)
        remedy = f"; start it, or name another with {option}" if trouble.kind == "outage" else ""
        sentence = f"The {what} {without_password(address)} cannot be used: {trouble.text}{remedy}."
        raise StorageError(sentence) from problem


def refuse_unusable_runs(address: str, *, write: bool) -> None:
    """Raise StorageError for a tracking store that does not answer; what its answer says is MLflow's to judge."""
    with refusing(address, *RUNS):
        if address.startswith(("http://", "https://")):
            answer_in_time(lambda: _knock(address))
        elif address.partition(":")[0].partition("+")[0] in DATABASES:
            require_database(address, write=write)


def refuse_unusable_studies(address: str, *, write: bool) -> None:
    """Raise StorageError for a study storage that does not answer; to be written, it is made later in a file."""
    if not write:
        refuse_missing_studies(address)
    with refusing(address, *STUDIES):
        require_database(address, write=write)


def refuse_missing_studies(address: str) -> None:
    """Raise StorageError when a study storage is a file that is not there: opening would make it."""
    if is_missing(address):
        raise StorageError(f"The study storage {address} does not exist yet: no study was made there.")


def _knock(address: str) -> None:
    """Ask a server for anything at all. Raises OSError when nothing comes back."""
    import requests  # a fifth of a second, for those with a server

    limit = os.environ.get("MLFLOW_HTTP_REQUEST_TIMEOUT")
    try:
        requests.get(f"{address.rstrip('/')}/health", timeout=float(limit or ANSWER_SECONDS), stream=True).close()
    except requests.exceptions.SSLError:
        return  # there it is; MLflow knows which certificates it is told to take


def answer_in_time(ask: Callable[[], T]) -> T:
    """What a store answers. Raises TimeoutError when it takes too long, unless the user's environment says how long.

    Asked in a thread of its own, which nobody waits for then: a name that is looked up, a connection that hangs and a
    server that is silent all have other limits, some of minutes, and some have none.
    """
    pool = ThreadPool(1)  # unlike an executor's, its thread does not keep the program from ending
    answer = pool.apply_async(ask)
    pool.close()
    try:
        return answer.get(None if users_own_limits() else ANSWER_SECONDS)
    except NoAnswer:
        raise TimeoutError(f"no answer within {ANSWER_SECONDS:g} s") from None


def users_own_limits() -> bool:
    """Whether the environment says how long MLflow tries."""
    retries = os.environ.get("MLFLOW_HTTP_REQUEST_MAX_RETRIES", OWN_RETRIES)
    return retries != OWN_RETRIES or "MLFLOW_HTTP_REQUEST_TIMEOUT" in os.environ


def require_database(address: str, *, write: bool) -> None:
    """Try a database, if it is there; one in a file is made later. Raises SQLAlchemyError, OSError, ImportError.

    To write, a transaction is begun and rolled back: it shows a lock and a file that may only be read.
    """
    file = database_file(address)
    if file is not None and not file.exists():
        if write and not file.absolute().parent.is_dir():
            raise FileNotFoundError(f"unable to open database file {file}")
        return
    answer_in_time(lambda: _try_database(address, write))


def _try_database(address: str, write: bool) -> None:
    engine = connect_to(address)
    try:
        with engine.connect() as connection:
            if engine.dialect.name == "sqlite":
                connection.execute(text("SELECT count(*) FROM sqlite_master"))
                if write:
                    connection.rollback()
                    connection.exec_driver_sql("BEGIN IMMEDIATE")
                    connection.exec_driver_sql("CREATE TABLE write_test (x)")
                    connection.rollback()
    finally:
        engine.dispose()


def connect_to(address: str) -> Engine:
    """An engine that gives a server some seconds to take a connection."""
    url = make_url(address)
    arguments: dict[str, Any] = {}
    if url.get_backend_name() in ("postgresql", "mysql", "mariadb") and "connect_timeout" not in url.query:
        arguments = {"connect_timeout": int(ANSWER_SECONDS)}
    return create_engine(url, connect_args=arguments)


def database_file(address: str) -> Path | None:
    """The file of an sqlite database; None for one in memory, on a server, or at what is no address."""
    try:
        url = make_url(address)
    except ArgumentError:
        return None  # opening it says what is wrong
    if url.get_backend_name() != "sqlite" or not url.database or url.database == ":memory:":
        return None
    return Path(url.database.removeprefix("file:") if url.query.get("uri") else url.database)


def is_missing(address: str) -> bool:
    """Whether a database is a file that is not there."""
    file = database_file(address)
    return file is not None and not file.exists()


# while a study runs


class Patience:
    """Repeats what a store did not take, for some minutes, when that may pass; says that it waits, and until when.

    Once it has given up, nothing is tried any more: a study's end would else wait anew at each of its last words.
    """

    def __init__(
        self,
        address: str,
        say: Callable[[str], None],
        failures: tuple[type[Exception], ...],
        explain: Callable[[Exception], Trouble] = describe_trouble,
    ) -> None:
        """Failures are what the store's client raises; say is told that it waits, explain puts them into words."""
        self.address, self.say = without_password(address), say
        self.failures, self.explain = failures, explain
        self.stop: Callable[[], bool] = lambda: False
        """Whether the user wants to leave: then nothing is waited for."""
        self.failure: TrackingError | None = None
        """Why it gave up."""
        self._began: float | None = None
        self._noticed = -SILENT_SECONDS
        self._lock = threading.Lock()

    def __call__(self, call: Callable[[], T]) -> T:
        """What the call returns. Raises TrackingError, and TrackingRefusal for what stays as it is."""
        while True:
            if self.failure is not None:
                raise self.failure
            try:
                with self._watching():
                    result = call()
            except self.failures as problem:
                self._wait(problem)
            else:
                self._greet()
                return result

    def _wait(self, problem: Exception) -> None:
        """Wait a moment. Raises TrackingError when that is of no use, or no more."""
        trouble = self.explain(problem)
        if trouble.kind != "outage":
            raise self._failure(trouble) from problem
        with self._lock:
            now = time.monotonic()
            patience = 0.0 if users_own_limits() else PATIENCE_SECONDS
            if self._began is None:
                self._began = now
                if patience:
                    until = time.strftime("%H:%M:%S", time.localtime(time.time() + patience))
                    self.say(
                        f"{self.address}: {trouble.text}; trying again for {patience / 60:.0f} minutes, until {until}. "
                        "No metric of the training is lost meanwhile."
                    )
            over = now - self._began >= patience
        end = now + PAUSE_SECONDS
        while not over and time.monotonic() < end:
            over = self.stop()
            time.sleep(min(0.1, PAUSE_SECONDS))
        if over:
            self.failure = self.failure or self._failure(trouble)
            raise self.failure from problem

    def _failure(self, trouble: Trouble) -> TrackingError:
        kept = "the same command goes on and logs what is missing, for the trial's metrics.jsonl keeps every metric"
        if trouble.kind == "refusal":
            return TrackingRefusal(
                f"The tracking store {self.address} failed: {trouble.text}. Waiting does not help; once that "
                f"is put right, {kept}."
            )
        return TrackingError(f"The tracking store {self.address} failed: {trouble.text} ({kept}).")

    def _greet(self) -> None:
        with self._lock:
            if self._began is not None:
                self.say(f"{self.address} answers again, after {time.monotonic() - self._began:.0f} s.")
                self._began = None

    def _notice(self) -> None:
        with self._lock:
            now = time.monotonic()
            if now - self._noticed >= SILENT_SECONDS:  # several threads may wait for one server
                self._noticed = now
                self.say(f"{self.address} has not answered for {SILENT_SECONDS:.0f} s; still waiting.")

    @contextmanager
    def _watching(self) -> Iterator[None]:
        """Say when the answer is long in coming: a server that hangs neither refuses nor fails for minutes."""
        timer = threading.Timer(SILENT_SECONDS, self._notice)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

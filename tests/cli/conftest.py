"""What tests of the command line share."""

from collections.abc import Iterator

import mlflow
import pytest

from tests.support.search import Search, search_six


@pytest.fixture(autouse=True)
def own_stores(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The stores of the working folder, whatever the machine's environment says."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    yield
    mlflow.set_tracking_uri(None)  # type: ignore[arg-type]  # it is one for the process


@pytest.fixture(scope="session")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Search:
    """A search that has ended; who uses it belongs to the xdist group search, so that one worker makes it once."""
    made = search_six(tmp_path_factory.mktemp("searched") / "work")
    mlflow.set_tracking_uri(None)  # type: ignore[arg-type]
    return made

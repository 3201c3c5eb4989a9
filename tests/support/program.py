"""The program as a person runs it, in this process; and what it left behind."""

from collections.abc import Callable
from pathlib import Path

import pytest
from mlflow.entities import Run
from mlflow.tracking import MlflowClient
from typer.testing import CliRunner, Result

from smart_tuner_main import app
from tests.support import small

Test = Callable[..., None]
PROGRAM = Path(__file__).parents[2] / "smart_tuner_main.py"


def sharing(group: str) -> Callable[[Test], Test]:
    """Marks slow tests that look at the same training or search: one worker makes it for all of them."""
    return lambda test: pytest.mark.slow(pytest.mark.xdist_group(group)(test))


def working_folder(folder: Path) -> Path:
    """A folder with a corpus of beeps and settings to train on it within a second."""
    small.beeps(folder / "beeps")
    (folder / "small.yaml").write_text(small.beep_settings().to_yaml())
    return folder


def invoke(*words: str) -> Result:
    return CliRunner().invoke(app, words)


def sentence(result: Result) -> str:
    """The one sentence on standard error, without its label."""
    assert result.stderr.startswith("Error: ")
    assert result.stderr.count("\n") == 1
    return result.stderr.removeprefix("Error: ").strip()


def content(folder: Path) -> dict[str, bytes]:
    """Every file and folder below."""
    return {str(path): path.read_bytes() if path.is_file() else b"" for path in folder.rglob("*")}


def check_refusal(said: str, *words: str, exit_code: int = 2) -> None:
    """The program answers with one sentence, which begins so, and leaves the working folder as it was."""
    before = content(Path.cwd())
    refused = invoke(*words)
    assert sentence(refused).startswith(said)
    assert (refused.exit_code, content(Path.cwd())) == (exit_code, before)


def runs(folder: Path) -> tuple[MlflowClient, Run, list[Run]]:
    """The parent run in the working folder's own store, and its trials by number."""
    client = MlflowClient(f"sqlite:///{folder}/mlflow.db")
    found = client.search_runs(["0"])
    (parent,) = [run for run in found if "mlflow.parentRunId" not in run.data.tags]
    nested = [run for run in found if run.data.tags.get("mlflow.parentRunId") == parent.info.run_id]
    assert len(nested) == len(found) - 1
    return client, parent, sorted(nested, key=lambda run: int(run.data.tags["trial.number"]))

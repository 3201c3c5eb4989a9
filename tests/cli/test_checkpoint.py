"""--checkpoint as a person uses it: a training that starts from another's weights, and files that do not fit."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient

from smart_tuner.paths import DEFAULT_OUTPUT, OutputFolder
from tests.support import small
from tests.support.program import check_refusal, invoke, sentence, working_folder

TRAIN = ("--mode", "train", "--data", "beeps", "--settings", "small.yaml", "--device", "cpu", "--budget", "3it")
VOICE = str(OutputFolder(DEFAULT_OUTPUT).study("first").trial(0).best)


pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("checkpoint")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A working folder in which a voice was trained."""
    working = working_folder(tmp_path_factory.mktemp("warm"))
    small.tracking_store(working)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(working)
        assert invoke(*TRAIN, "--study", "first").exit_code == 0
        yield working


def first_loss(folder: Path, study: str) -> float:
    """training.taco_loss of a study's first iteration."""
    client = MlflowClient(f"sqlite:///{folder}/mlflow.db")
    (run,) = [one for one in client.search_runs(["0"]) if study_of(client, one.data.tags) == study]
    return float(client.get_metric_history(run.info.run_id, "training.taco_loss")[0].value)


def study_of(client: MlflowClient, tags: dict[str, str]) -> str:
    parent = tags.get("mlflow.parentRunId")
    return client.get_run(parent).info.run_name if parent else ""


def test_a_training_starts_from_the_weights_of_a_checkpoint_and_says_so(folder: Path) -> None:
    began = invoke(*TRAIN, "--study", "second", "--checkpoint", VOICE)
    assert began.exit_code == 0, began.output
    assert "tensors loaded" in began.output
    assert first_loss(folder, "second") < first_loss(folder, "first")


def test_a_study_keeps_to_its_checkpoint(folder: Path) -> None:
    said = "Study 'first' was made with another --checkpoint, or none, "
    check_refusal(said, *TRAIN, "--study", "first", "--trials", "2", "--checkpoint", VOICE)


def test_a_study_without_a_name_is_another_one_with_a_checkpoint(folder: Path) -> None:
    said = [invoke(*TRAIN, *words).output for words in ((), ("--checkpoint", VOICE))]
    names = [line.split(":")[0] for text in said for line in text.splitlines() if line.startswith("Study ")]
    assert len(set(names)) == 2


def test_a_checkpoint_that_cannot_be_read_is_one_sentence(folder: Path) -> None:
    (folder / "other.pt").write_bytes(b"no weights")
    said = "--checkpoint: The checkpoint other.pt cannot be read"
    check_refusal(said, *TRAIN, "--study", "third", "--checkpoint", "other.pt")


def test_a_checkpoint_made_for_other_mels_is_refused(folder: Path) -> None:
    refused = invoke(*TRAIN, "--study", "third", "--checkpoint", VOICE, "--set", "speech.mel_fmax=3000")
    assert "mel_fmax" in sentence(refused)
    assert refused.exit_code == 2

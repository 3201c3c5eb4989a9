"""--mode report as a person uses it: after a search, without one, side by side, with bad input."""

import dataclasses
import json
import re
import shutil
from pathlib import Path

import optuna
import pytest
from mlflow.tracking import MlflowClient

from smart_tuner.cli import report
from smart_tuner.errors import TrackingError
from tests.support import small
from tests.support.program import check_refusal, content, invoke, runs, sentence
from tests.support.search import HERE, Search

REPORT = ("--mode", "report")
DATABASE = "sqlite:///smart_tuner.db"
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("search")]  # one worker makes the search that all look at


@pytest.fixture
def folder(searched: Search, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it to report on; its artefacts stay where they were."""
    copied = shutil.copytree(
        searched.folder, tmp_path / "work", ignore=shutil.ignore_patterns("mlruns", "smart_tuner_files")
    )
    monkeypatch.chdir(copied)
    return Path(copied)


def test_a_search_becomes_a_page_a_text_and_the_description_of_its_run(folder: Path) -> None:
    found = invoke(*REPORT, "--format", "html,md,json")
    assert found.exit_code == 0, found.output
    files = sorted((folder / "smart_tuner_files" / "reports" / "beeps").iterdir())
    assert [file.name for file in files] == ["report.html", "report.json", "report.md"]
    client, parent, nested = runs(folder)
    page, text = files[0].read_text(), files[2].read_text()
    for run in nested:
        assert run.data.tags["mlflow.runName"] in page
        assert run.info.run_id in page
        assert run.info.run_id in text
    stored = [file.path for file in client.list_artifacts(parent.info.run_id, "report")]
    assert stored == ["report/report.html", "report/report.json", "report/report.md"]
    note = parent.data.tags["mlflow.note.content"]
    assert all(run.info.run_id in note for run in nested)
    assert parent.info.status == "FINISHED"
    assert json.loads(files[1].read_text())["title"] == "beeps"


def test_its_numbers_are_the_studys(folder: Path) -> None:
    assert invoke(*REPORT, "--format", "json").exit_code == 0
    told = json.loads((folder / "smart_tuner_files/reports/beeps/report.json").read_text())
    study = optuna.load_study(study_name="beeps", storage=DATABASE)
    best = min(
        trial.value
        for trial in study.trials
        if trial.state is optuna.trial.TrialState.COMPLETE and "confirms" not in trial.user_attrs["plan"]
    )
    assert told["rows"][0]["metrics"]["validation.loss"] == best
    assert f"{best:.4f}" in told["answer"][0]["text"]
    stopped = [trial for trial in study.trials if "stop" in trial.user_attrs]
    assert stopped
    assert sum(len(stop["names"]) for stop in told["stops"]) == len(stopped)
    assert {stop["rule"] for stop in told["stops"]} == {trial.user_attrs["stop"]["rule"] for trial in stopped}


def test_it_speaks_russian(folder: Path) -> None:
    found = invoke(*REPORT, "--lang", "ru", "--format", "md")
    assert found.exit_code == 0, found.output
    text = (folder / "smart_tuner_files/reports/beeps/report.md").read_text()
    assert len(re.findall("[а-яё]", text)) > 1000
    assert "Отчёт" in found.output


def test_two_searches_side_by_side_change_nothing(folder: Path) -> None:
    client, parent, _ = runs(folder)
    before = [(file.path, file.file_size) for file in client.list_artifacts(parent.info.run_id, "report")]
    found = invoke(*REPORT, "--compare", "beeps", "params.`hparams.use_guided_attn` = 'True'")
    assert found.exit_code == 0, found.output
    (made,) = (folder / "smart_tuner_files" / "reports").iterdir()
    assert made.name.startswith("beeps-vs-params")
    assert [(file.path, file.file_size) for file in client.list_artifacts(parent.info.run_id, "report")] == before
    assert client.get_run(parent.info.run_id).data.tags == parent.data.tags


def test_reporting_twice_gives_the_same_page(folder: Path) -> None:
    file = folder / "smart_tuner_files/reports/beeps/report.html"
    pages = [invoke(*REPORT).exit_code == 0 and file.read_text() for _ in range(2)]
    assert pages[0]
    assert pages[0] == pages[1]


def test_a_study_whose_runs_are_gone_is_told_from_what_is_left(folder: Path) -> None:
    _, parent, nested = runs(folder)
    client = MlflowClient(f"sqlite:///{folder}/mlflow.db")
    for run in (parent, *nested[:2]):
        client.delete_run(run.info.run_id)
    found = invoke(*REPORT, "--format", "html,md")
    assert found.exit_code == 0, found.output
    text = (folder / "smart_tuner_files/reports/beeps/report.md").read_text()
    assert nested[0].info.run_id not in text
    assert nested[2].info.run_id in text
    assert "trial-0000" in text


def test_without_mlflows_store_nothing_is_made(folder: Path) -> None:
    (folder / "mlflow.db").unlink()
    found = invoke(*REPORT)
    assert found.exit_code == 0, found.output
    assert not (folder / "mlflow.db").exists()


def test_a_report_that_mlflow_does_not_take_is_there_all_the_same(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object) -> None:
        raise TrackingError("The tracking store failed: gone.")

    monkeypatch.setattr(report.Reader, "publish", away)
    found = invoke(*REPORT, "--format", "md")
    assert found.exit_code == 0, found.output
    assert (folder / "smart_tuner_files/reports/beeps/report.md").exists()
    assert "report.md" in found.stdout
    assert "The tracking store failed: gone." in found.stdout


def test_a_file_that_cannot_be_written_is_one_sentence_and_leaves_no_half(folder: Path) -> None:
    file = folder / "smart_tuner_files/reports/beeps/report.html"
    file.mkdir(parents=True)
    found = invoke(*REPORT)
    assert found.exit_code == 2
    assert "report.html cannot be written" in sentence(found)
    assert [entry.name for entry in file.parent.iterdir()] == ["report.html"]


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (("--study", "day"), r"[Ss]tudy 'day' is not there.*beeps"),
        (("--study", ""), r"[Ss]tudy '' is not there.*beeps"),
        (("--compare", "beeps", "day"), r"[Ss]tudy 'day' is not there.*beeps"),
        (("--compare", "beeps", "params.x ~ 3"), r"params\.x ~ 3|filter"),
        (("--format", "pdf"), r"--format takes html, md, json.*'pdf'"),
        (("--study", "beeps", "--compare", "beeps", "day"), r"--study and --compare"),
        (("--compare", "beeps", "beeps"), r"--compare takes two different studies; received beeps twice"),
        (("--data", "beeps"), r"--data is for train, tune and check.*--mode report"),
        (("--trials", "5"), r"--trials is for train, tune and check.*--mode report"),
        (("--storage", "sqlite:///none.db"), r"none\.db.*does not exist"),
        (("--output", "small.yaml"), r"small\.yaml.*cannot be written"),
    ],
)
def test_bad_input_is_one_sentence(folder: Path, words: tuple[str, ...], wanted: str) -> None:
    before = content(folder)
    found = invoke(*REPORT, *words)
    assert found.exit_code == 2, found.output
    assert re.search(wanted, sentence(found)), sentence(found)
    assert content(folder) == before


@pytest.mark.parametrize("words", [("--lang", "ru"), ("--format", "md"), ("--compare", "a", "b")])
def test_what_is_for_reports_is_refused_elsewhere(folder: Path, words: tuple[str, ...]) -> None:
    check_refusal(f"{words[0]} is for --mode report; received it with --mode tune.", *HERE, *words)


def test_a_train_study_is_reported_on_and_is_the_latest(folder: Path) -> None:
    settings = dataclasses.replace(small.beep_settings(budget="4it", validation_freq=2))
    (folder / "train.yaml").write_text(settings.to_yaml())
    train = ("--mode", "train", "--data", "beeps", "--settings", "train.yaml", "--device", "cpu")
    assert invoke(*train, "--trials", "2", "--study", "day").exit_code == 0
    found = invoke(*REPORT, "--format", "json")
    assert found.exit_code == 0, found.output
    told = json.loads((folder / "smart_tuner_files/reports/day/report.json").read_text())
    losses = [trial.value for trial in optuna.load_study(study_name="day", storage=DATABASE).trials]
    assert [row["metrics"]["validation.loss"] for row in told["rows"]] == sorted(losses)
    assert len(losses) == 2

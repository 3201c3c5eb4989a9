"""The command line as a person uses it: bad input, dry runs, a study from start to end, signals and kills."""

import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from filelock import FileLock
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import UNAUTHENTICATED
from mlflow.tracking import MlflowClient
from optuna.exceptions import StorageInternalError
from typer.testing import Result

from smart_tuner.progress import TRAINING_METRICS, VALIDATION_METRICS
from smart_tuner.tracking import stores
from tests.support import small
from tests.support.program import PROGRAM, check_refusal, content, invoke, runs, sentence, sharing, working_folder

CORPUS = os.environ.get("SMART_TUNER_TEST_CORPUS")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder: a corpus of beeps and settings to train on it within a second."""
    working = working_folder(tmp_path / "work")
    monkeypatch.chdir(working)
    return working


TRAIN = ("--mode", "train", "--data", "beeps", "--settings", "small.yaml", "--device", "cpu")


# bad input


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--trials", "0"], "--trials must be at least 1; received 0."),
        (["--trials", "-2"], "--trials must be at least 1; received -2."),
        (["--set", "hparams.rate=1"], "Unknown key hparams.rate in --set; valid keys: learning_rate, "),
        (["--budget", "many"], "A budget is 20ep, 5000it, 300000utt or 45m (also s, h), above 0; received 'many'."),
        (["--seed", "-1"], "hparams.seed must be at least 0; received -1."),
        (["--seed", "99999999999999999999"], "hparams.seed must be at most "),
        (["--device", "gpu"], "--device is auto, cpu, cuda or cuda:N; received 'gpu'."),
        (["--study", "a b"], "--study takes 1 to 100 letters, digits, dots, dashes or underscores, not dots alone; "),
        (["--study", ".."], "--study takes 1 to 100 letters, digits, dots, dashes or underscores, not dots alone; "),
        (["--settings", "missing.yaml"], "The settings file missing.yaml cannot be read: "),
        (["--settings", "broken.yaml"], "The settings file broken.yaml is not valid YAML, line 2: "),
        (["--data", "nowhere"], "No such file or folder: nowhere."),
        (["--data", "empty"], "empty holds no metadata.csv "),
        (["--data", "badrow"], "badrow/metadata.csv, line 2: rows here have 2 columns "),
        (["--storage", "sqlite:///x.db", "--tracking-uri", "sqlite:///x.db"], "MLflow and Optuna cannot share one "),
        (["--storage", "sqlite:///mlflow.db"], "MLflow and Optuna cannot share one database"),
    ],
)  # fmt: skip
def test_bad_input_is_one_sentence_and_nothing_written(folder: Path, words: list[str], said: str) -> None:
    (folder / "broken.yaml").write_text("hparams:\n  seed: [1}\n")
    (folder / "empty").mkdir()
    small.beeps(folder / "badrow")
    rows = (folder / "badrow" / "metadata.csv").read_text().splitlines()
    (folder / "badrow" / "metadata.csv").write_text("\n".join([rows[0], "beep-01|a|b|c", *rows[2:]]))
    given = [word for word in TRAIN if word not in ("--data", "beeps") or "--data" not in words]
    check_refusal(said, *given, *words)


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_a_missing_gpu_is_said_before_anything_is_written(folder: Path) -> None:
    check_refusal("--device cuda: torch sees 0 CUDA device(s) here", *TRAIN[:-1], "cuda")


@pytest.mark.parametrize("wrong", [["--mode", "sing"], ["--trials", "one"], ["--preset", "huge"], ["--trial", "1"]])
def test_a_wrong_option_is_a_usage_error(wrong: list[str]) -> None:
    assert invoke("--mode", "train", *wrong).exit_code == 2


@pytest.mark.slow
def test_a_recogniser_that_cannot_be_kept_ends_the_training_beside_it(folder: Path) -> None:
    (folder / "smart_tuner_files").mkdir()
    (folder / "smart_tuner_files" / "recognisers").touch()
    small.tracking_store(folder)
    words = ("--data", "beeps", "--settings", "small.yaml", "--set", "tracking.recogniser_steps=5")
    refused = invoke("--mode", "train", *words, "--device", "cpu", "--budget", "100000it")
    assert refused.exit_code == 2
    assert sentence(refused).startswith("The recogniser smart_tuner_files/recognisers/")
    assert "cannot be written" in sentence(refused)
    (trial,) = runs(folder)[2]
    assert trial.info.status == "KILLED"


@pytest.mark.slow
def test_a_clip_that_cannot_be_used_stops_before_any_run(folder: Path) -> None:
    (folder / "beeps" / "wavs" / "beep-03.wav").unlink()
    result = invoke(*TRAIN)
    assert sentence(result).startswith(
        "This corpus cannot be trained on. files: 1 missing, empty or unreadable (beeps/wavs/beep-03.wav: "
    )
    assert result.exit_code == 2
    assert not list(folder.glob("*.db"))
    assert not (folder / "smart_tuner_files" / "studies").exists()


def test_check_of_a_bad_corpus_says_what_is_bad_with_exit_code_1(folder: Path) -> None:
    (folder / "beeps" / "wavs" / "beep-03.wav").write_bytes(b"")
    result = invoke("--mode", "check", *TRAIN[2:])
    assert result.exit_code == 1
    assert "1 missing, empty or unreadable" in result.stdout
    assert "beeps/wavs/beep-03.wav: " in result.stdout
    assert "makes no sense yet" in result.stdout


def test_check_of_a_corpus_that_is_not_there_is_one_sentence_with_exit_code_1(folder: Path) -> None:
    check_refusal("No such file or folder: nowhere.", "--mode", "check", "--data", "nowhere", exit_code=1)


def test_check_of_a_good_corpus_gives_the_command_that_trains_on_it(folder: Path) -> None:
    result = invoke("--mode", "check", *TRAIN[2:])
    assert result.exit_code == 0
    assert "15 utterances" in result.stdout
    assert "fit for training" in result.stdout
    assert not list(folder.glob("*.db"))


def test_a_file_store_left_over_is_refused(folder: Path) -> None:
    (folder / "mlruns" / "0").mkdir(parents=True)
    (folder / "mlruns" / "0" / "meta.yaml").touch()
    result = invoke(*TRAIN)
    assert sentence(result).startswith("mlruns/0/meta.yaml is left over from MLflow's old file store")
    assert result.exit_code == 2


# dry runs and help


def test_a_dry_run_prints_the_plan_and_writes_nothing(folder: Path) -> None:
    before = content(folder)
    result = invoke(*TRAIN, "--dry-run", "--trials", "3", "--budget", "2ep", "--set", "hparams.seed=42")
    assert result.exit_code == 0
    assert "3 trial(s), each 6 iterations of 4 utterances" in result.stdout
    assert "15 utterances" in result.stdout
    assert "  seed: 42\n" in result.stdout
    assert content(folder) == before


def test_a_dry_run_without_a_corpus_is_about_the_demo(folder: Path) -> None:
    before = content(folder)
    result = invoke("--mode", "train", "--dry-run")
    assert result.exit_code == 0
    assert "preset demo" in result.stdout
    assert "demo corpus" in result.stdout
    assert "iterations of 16 utterances" in result.stdout
    assert content(folder) == before


@pytest.mark.parametrize("words", [["--budget", "0it"], ["--data", "nowhere"], ["--set", "hparams.batch_size=13"]])
def test_a_dry_run_finds_bad_input(folder: Path, words: list[str]) -> None:
    result = invoke("--mode", "train", "--data", "beeps", "--settings", "small.yaml", "--dry-run", *words)
    assert result.exit_code == 2
    assert sentence(result)


@pytest.mark.parametrize(
    ("words", "offered"),
    [("--space f", ["first_study", "full"]), ("--mode t", ["train", "tune"]), ("--lang ", ["en", "ru"])],
)
def test_the_shell_completes_modes_and_shipped_spaces(words: str, offered: list[str]) -> None:
    asked = {
        "_SMART_TUNER_COMPLETE": "complete_bash",
        "COMP_WORDS": f"smart-tuner {words}",
        "COMP_CWORD": "2",
        **os.environ,
    }
    code = "from smart_tuner_main import app; app(prog_name='smart-tuner')"
    shell = subprocess.run(
        [sys.executable, "-c", code], env=asked, cwd=PROGRAM.parent, capture_output=True, text=True, check=True
    )
    assert shell.stdout.split() == offered


# a study


Study = tuple[Path, Result]
shares_the_study = sharing("trained")


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Study]:
    """A folder in which two trials of 6 iterations were trained, and what was said."""
    working = working_folder(tmp_path_factory.mktemp("study"))
    small.tracking_store(working)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(working)
        yield working, invoke(*TRAIN, "--trials", "2", "--study", "beeps", "--budget", "6it")


@shares_the_study
def test_a_study_ends_well_and_says_what_came_out(study: Study) -> None:
    folder, result = study
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    for about in ("Best", "Noise", "Health", "Cost", "Next", "See", "Report", "Files"):
        assert [line for line in lines if line.startswith(f"{about:<10} ")], about
    assert "mlflow ui, then open http" in result.stdout
    assert "--mode report --study beeps" in result.stdout
    for number in range(2):
        files = {path.name for path in (folder / f"smart_tuner_files/studies/beeps/trial-{number:04d}").iterdir()}
        assert files == {"best.pt", "last.pt", "metrics.jsonl", "audio", ".lock"}


@shares_the_study
def test_a_studys_runs_are_nested_finished_and_named(study: Study) -> None:
    _, parent, trials = runs(study[0])
    assert [parent.info.run_name, *(run.info.run_name for run in trials)] == ["beeps", "trial-0000", "trial-0001"]
    assert {run.info.status for run in (parent, *trials)} == {"FINISHED"}
    assert [run.data.tags["trial.origin"] for run in trials] == ["baseline", "replicate"]
    assert [run.data.tags["seed"] for run in trials] == ["1234", "1235"]
    assert {run.data.tags["trial.state"] for run in trials} == {"complete"}
    note = parent.data.tags["mlflow.note.content"]
    assert all(f"[{run.info.run_name}](" in note and run.info.run_id in note for run in trials)


@shares_the_study
def test_a_trials_run_holds_every_metric_at_every_step_and_its_best(study: Study) -> None:
    client, _, trials = runs(study[0])
    for run in trials:
        points = small.points(client, run.info.run_id)
        steps = {name: [step for step, _ in series] for name, series in points.items()}
        assert all(steps[name] == [1, 2, 3, 4, 5, 6] for name in TRAINING_METRICS)
        assert all(steps[name] == [3, 6] for name in VALIDATION_METRICS)
        lowest = min((loss, step) for step, loss in points["validation.loss"])
        assert [value for _, value in points["best.validation.loss"]] == [lowest[0]]
        assert [value for _, value in points["best.step"]] == [lowest[1]]
        assert {"training.frames_per_second", "validation.attention_coverage"} <= set(points)


@shares_the_study
def test_a_trials_run_holds_every_param_of_the_contract(study: Study) -> None:
    params = runs(study[0])[2][0].data.params
    assert (
        params.items()
        >= {
            "hparams.batch_size": "4",
            "hparams.learning_rate": "0.01",
            "hparams.epochs": "2",
            "hparams.grad_clip_thresh": "1",
            "hparams.fp16_run": "False",
            "hparams.use_mmi": "False",
            "hparams.use_guided_attn": "True",
            "dataset.train_size": "12",
            "dataset.val_size": "3",
        }.items()
    )
    assert int(params["model.total_params"]) == int(params["model.trainable_params"]) > 1000


@shares_the_study
def test_a_trials_run_holds_settings_plots_sound_and_the_best_checkpoint(study: Study) -> None:
    client, _, trials = runs(study[0])
    for run in trials:
        names = [
            item.path
            for part in (None, "images", "audio", "checkpoint")
            for item in client.list_artifacts(run.info.run_id, part)
        ]
        assert {"settings.yaml", "checkpoint/best.pt"} <= set(names)
        for kind in ("alignment", "mel", "gate"):
            assert [name for name in names if name.startswith(f"images/{kind}") and name.endswith(".png")]
        for kind in ("target", "teacher-forced", "free-running"):
            assert [name for name in names if name.startswith(f"audio/000006-{kind}-") and name.endswith(".wav")]
        assert run.inputs is not None
        assert [recorded.dataset.name for recorded in run.inputs.dataset_inputs] == ["beeps"]


@shares_the_study
def test_running_a_finished_study_again_adds_nothing(study: Study) -> None:
    folder, _ = study
    kept = content(folder / "smart_tuner_files")
    before = [run.to_dictionary() for run in runs(folder)[2]]
    again = invoke(*TRAIN, "--trials", "2", "--study", "beeps", "--budget", "6it")
    assert again.exit_code == 0
    assert "2 of 2 trial(s) finished" in again.stdout
    assert "Best       trial-000" in again.stdout
    assert [run.to_dictionary() for run in runs(folder)[2]] == before
    assert runs(folder)[1].info.status == "FINISHED"
    assert content(folder / "smart_tuner_files") == kept


@shares_the_study
def test_a_study_of_the_same_name_with_other_settings_is_refused(study: Study) -> None:
    said = "Study 'beeps' was made with other settings (hparams.learning_rate: 0.01, now 0.02); "
    check_refusal(said, *TRAIN, "--study", "beeps", "--budget", "6it", "--set", "hparams.learning_rate=0.02")


@shares_the_study
def test_a_study_of_the_same_name_on_another_corpus_is_refused(study: Study) -> None:
    small.beeps(Path("other"))
    rows = Path("other/metadata.csv")
    rows.write_text(rows.read_text().replace("|", "|a", 1))
    words = [word.replace("beeps", "other") for word in TRAIN]
    refused = invoke(*words, "--study", "beeps", "--budget", "6it")
    assert sentence(refused).startswith("Study 'beeps' was made on another corpus (digest ")
    assert refused.exit_code == 2


# signals and kills

LONG = (*TRAIN, "--set", "hparams.validation_freq=10", "--set", "tracking.enhanced=false", "--budget", "120it")
ITERATIONS = 120


def iterations(folder: Path) -> int:
    """How many the journal of the folder's one trial holds."""
    journals = folder.glob("smart_tuner_files/studies/*/trial-0000/metrics.jsonl")
    return sum(journal.read_bytes().count(b'"training"') for journal in journals)


@pytest.mark.slow
@pytest.mark.parametrize(("number", "exit_code"), [(signal.SIGTERM, 143), (signal.SIGKILL, -9)])
def test_an_ended_training_goes_on_with_the_same_command(folder: Path, number: signal.Signals, exit_code: int) -> None:
    small.tracking_store(folder)
    with subprocess.Popen([sys.executable, PROGRAM, *LONG], stdout=subprocess.PIPE, text=True) as program:
        small.wait_until(lambda: iterations(folder) >= 25)
        program.send_signal(number)
        said = program.communicate(timeout=300)[0].splitlines()
    assert program.returncode == exit_code
    trial = runs(folder)[2][0]
    again = invoke(*(continuation(folder, said) if number == signal.SIGTERM else LONG))
    assert again.exit_code == 0, again.output
    assert "trial-0000 iteration 1 " not in again.stdout  # it went on from a checkpoint
    check_that_all_is_there_once(folder, trial.info.run_id)


def continuation(folder: Path, said: list[str]) -> list[str]:
    """The words after the program in the last line of a training that was ended in order."""
    _, parent, (trial,) = runs(folder)
    assert (parent.info.status, trial.info.status) == ("KILLED", "KILLED")
    assert trial.data.tags.items() >= {"trial.state": "interrupted", "stop.kind": "user"}.items()
    about, program, file, *words = shlex.split(said[-1])
    assert (about, Path(program).name, file) == ("Continue", "python3", str(PROGRAM))
    assert words == [*LONG, "--study", parent.data.tags["study.name"]]
    return words


def check_that_all_is_there_once(folder: Path, run_id: str) -> None:
    client, parent, (trial,) = runs(folder)
    assert (trial.info.run_id, trial.info.status, parent.info.status) == (run_id, "FINISHED", "FINISHED")
    assert not [name for name in trial.data.tags if name.startswith("stop.") and name != "stop.reason"]
    points = small.points(client, run_id)
    steps = {name: [step for step, _ in series] for name, series in points.items()}
    assert all(steps[name] == list(range(1, ITERATIONS + 1)) for name in TRAINING_METRICS)
    assert all(steps[name] == list(range(10, ITERATIONS + 1, 10)) for name in VALIDATION_METRICS)


def test_a_study_is_trained_by_one_process_at_a_time(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("smart_tuner.cli.session.LOCK_SECONDS", 0.1)
    (folder / "smart_tuner_files/studies/long").mkdir(parents=True)
    with FileLock("smart_tuner_files/studies/long/.lock"):
        refused = invoke(*LONG, "--study", "long")
    assert sentence(refused).startswith("Study 'long' is being trained by another process")
    assert refused.exit_code == 2
    assert not list(folder.glob("*.db"))


# stores that fail in the middle


BRIEF = (*TRAIN, "--budget", "6it", "--study", "lost", "--set", "tracking.enhanced=false")


@pytest.mark.slow
def test_a_store_that_is_lost_is_waited_for_aloud_and_named_in_the_end(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small.tracking_store(folder)
    monkeypatch.setattr(stores, "PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(stores, "PATIENCE_SECONDS", 0.2)
    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, "log_inputs", gone(ConnectionRefusedError()))
        lost = invoke(*BRIEF)
    assert "Waiting    mlflow.db: nothing answers there (connection refused); trying again" in lost.stdout
    assert sentence(lost).startswith("The tracking store mlflow.db failed: nothing answers there (connection refused)")
    assert lost.exit_code == 1
    again = invoke(*BRIEF)
    assert again.exit_code == 0, again.output
    assert len(runs(folder)[2]) == 1
    said = next(line for line in again.stdout.splitlines() if line.startswith("Files"))
    assert said.endswith("trial-0000/: best.pt, last.pt, metrics.jsonl"), "without extras there is no audio"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("failure", "said"),
    [
        (MlflowException("The experiment 0 must be in the 'active' state."), "`mlflow runs restore --run-id`"),
        (MlflowException("no", error_code=UNAUTHENTICATED), "it wants a user and a password"),
        (MlflowException("attempt to write a readonly database"), "it is read-only"),
    ],
)
def test_a_store_that_refuses_ends_the_study_at_once_with_exit_code_2(
    folder: Path, monkeypatch: pytest.MonkeyPatch, failure: Exception, said: str
) -> None:
    small.tracking_store(folder)
    monkeypatch.setattr(MlflowClient, "log_inputs", gone(failure))
    refused = invoke(*BRIEF)
    assert "Waiting" not in refused.stdout
    assert said in sentence(refused)
    assert refused.exit_code == 2


def gone(failure: Exception) -> Callable[..., None]:
    """A call of MLflow's client that fails."""

    def fail(*_: object, **__: object) -> None:
        raise failure

    return fail


@pytest.mark.slow
@pytest.mark.parametrize("failure", ["attempt to write a readonly database", "server closed the connection"])
def test_a_study_storage_that_fails_is_told_and_not_what_follows(
    folder: Path, monkeypatch: pytest.MonkeyPatch, failure: str
) -> None:
    small.tracking_store(folder)
    problem = StorageInternalError("An exception is raised during the commit.")
    problem.__cause__ = OSError(failure)
    monkeypatch.setattr("optuna.storages.RDBStorage.set_trial_intermediate_value", gone(problem))
    lost = invoke(*BRIEF)
    known = {"attempt": ("it is read-only", 2), "server": ("the connection broke", 1)}[failure.partition(" ")[0]]
    assert sentence(lost).startswith(f"The study storage failed: {known[0]} (")
    assert lost.exit_code == known[1]


# repairs


def sick(**health: float) -> tuple[str, ...]:
    """A training whose health is judged from its first validation on, without plots."""
    judged = {"training_window": 1, "missing_score": 1.0, "formed_score": 1.0, "attention_extension": 0.0, **health}
    words = [word for name, value in judged.items() for word in ("--set", f"health.{name}={value}")]
    return (*TRAIN, *words, "--set", "tracking.enhanced=false", "--budget", "6it", "--study", "sick")


@pytest.mark.slow
def test_a_sick_training_is_followed_by_a_repaired_one(folder: Path) -> None:
    small.tracking_store(folder)
    unaided = ("--set", "hparams.use_guided_attn=false", "--set", "hparams.reduction_factor=1")
    result = invoke(*sick(attention_deadline_unaided=1), *unaided, "--trials", "2")
    assert result.exit_code == 0, result.output
    _, parent, (stopped, repaired) = runs(folder)
    assert [run.info.status for run in (parent, stopped, repaired)] == ["FINISHED", "KILLED", "FINISHED"]
    assert stopped.data.tags.items() >= {"stop.kind": "health", "stop.rule": "attention_late"}.items()
    assert repaired.data.tags["trial.origin"] == "repaired"
    assert repaired.data.tags["trial.note"] == "hparams.use_guided_attn from false to true"
    before, after = stopped.data.params, repaired.data.params
    changed = {name: after[name] for name in after if after[name] != before[name]}
    assert changed == {"hparams.use_guided_attn": "True", "hparams.seed": "1235"}
    assert "trial-0001 repaired: hparams.use_guided_attn from false to true, seed 1235" in result.stdout


@pytest.mark.slow
def test_a_sick_training_says_which_repair_comes_next_and_why_none_is_left(folder: Path) -> None:
    small.tracking_store(folder)
    hopeless = sick(guide_deadline=1, guide_fall=1.0)
    first = invoke(*hopeless, "--trials", "1")
    assert first.exit_code == 1
    assert "(now hparams.learning_rate from 0.01 to 0.003): " in first.stdout
    result = invoke(*hopeless, "--trials", "9")
    assert result.exit_code == 1
    assert "Best       None: no trial has ended healthy" in result.stdout
    assert "No change of a setting is known that would help after guide_not_falling: what usually" in result.stdout
    _, parent, attempts = runs(folder)
    assert parent.info.status == "FINISHED"
    notes = [run.data.tags.get("trial.note") for run in attempts]
    assert notes == [None, "hparams.learning_rate from 0.01 to 0.003", "hparams.guide_weight from 1 to 3"]
    assert {run.data.tags["stop.rule"] for run in attempts} == {"guide_not_falling"}


# real speech


@pytest.mark.slow
@pytest.mark.skipif(CORPUS is None, reason="set SMART_TUNER_TEST_CORPUS to an LJSpeech folder of real speech")
def test_real_speech_is_fit_for_training_and_trains(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    small.tracking_store(tmp_path)
    data = ("--data", str(CORPUS), "--preset", "demo", "--device", "cpu")
    checked = invoke("--mode", "check", *data)
    assert checked.exit_code == 0, checked.output
    widths = [word for name, width in small.WIDTHS.items() for word in ("--set", f"model.{name}={width}")]
    trained = invoke("--mode", "train", *data, *widths, "--budget", "3it", "--set", "tracking.enhanced=false")
    assert trained.exit_code == 0, trained.output
    client, _, (trial,) = runs(tmp_path)
    assert [step for step, _ in small.points(client, trial.info.run_id)["training.loss"]] == [1, 2, 3]

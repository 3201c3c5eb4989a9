"""--mode tune as a person uses it: a whole search, its two ledgers, bad input, time limits, Ctrl-C, what follows."""

import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import optuna
import pytest
import torch
from mlflow.entities import Run
from optuna.trial import FrozenTrial, TrialState

from smart_tuner.analysis.results import Result
from smart_tuner.study.tune import TuneStudy
from smart_tuner.trial import Trial
from tests.support import small, spaces
from tests.support.program import PROGRAM, check_refusal, content, invoke, runs, sentence, sharing
from tests.support.search import HERE, PLAIN, RATE, REST, TUNE, Search, prepare_search


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    working = prepare_search(tmp_path / "work")
    monkeypatch.chdir(working)
    return working


@pytest.fixture
def stores(folder: Path) -> Path:
    """The working folder with both databases, empty: making their tables takes seconds."""
    small.tracking_store(folder)
    return folder


def trials(folder: Path, study: str = "beeps") -> list[FrozenTrial]:
    return optuna.load_study(study_name=study, storage=f"sqlite:///{folder}/smart_tuner.db").get_trials()


def studies(folder: Path) -> list[str]:
    file = folder / "smart_tuner.db"
    return optuna.get_all_study_names(f"sqlite:///{file}") if file.exists() else []


def searched(folder: Path, study: str = "beeps") -> list[FrozenTrial]:
    return [trial for trial in trials(folder, study) if "confirms" not in trial.user_attrs["plan"]]


def check_ledgers_agree(folder: Path, number: int) -> list[Run]:
    """Exactly so many finished trials of the search, nothing open in either store; the trials' runs."""
    found = trials(folder)
    assert {trial.state for trial in found} <= {TrialState.COMPLETE, TrialState.PRUNED}
    assert len(searched(folder)) == number
    _, parent, nested = runs(folder)
    assert parent.info.status == "FINISHED"
    assert [run.data.tags["trial.number"] for run in nested] == [str(trial.number) for trial in found]
    ended = {TrialState.COMPLETE: "FINISHED", TrialState.PRUNED: "KILLED"}
    assert [run.info.status for run in nested] == [ended[trial.state] for trial in found]
    return nested


# a whole search


shares_the_search = sharing("search")


@pytest.fixture
def search(searched: Search, monkeypatch: pytest.MonkeyPatch) -> Search:
    """The search that all share, as the working folder."""
    monkeypatch.chdir(searched.folder)
    return searched


def kind(run: Run) -> str:
    return run.data.tags.get("stop.kind", run.data.tags["trial.state"])


@shares_the_search
def test_a_search_ends_well_and_says_what_it_found(search: Search) -> None:
    result = search.result
    assert result.exit_code == 0, result.output
    labels = [line.split()[0] for line in result.stdout.splitlines()]
    said = ["Best", "Gain", "Health", "Cost", "Next", "Stopped", "Audit", "See", "Report", "Train"]
    assert [label for label in labels[labels.index("Best") :] if label in said] == said
    assert "health: guide_not_falling 3" in result.stdout
    (train,) = [line for line in result.stdout.splitlines() if line.startswith("Train ")]
    assert "--mode train --trials 1 --from-study beeps" in train
    assert result.stdout.count("--from-study beeps") == 1


@shares_the_search
def test_a_search_leaves_the_trials_asked_for_in_both_ledgers(search: Search) -> None:
    nested = check_ledgers_agree(search.folder, 6)
    assert Counter(map(kind, nested[:6])) == {"complete": 2, "health": 3, "pruner": 1}
    assert [run.data.tags["trial.origin"] for run in nested] == ["baseline", *5 * ["sampled"], *2 * ["replicate"]]
    assert {kind(run) for run in nested[6:]} == {"complete"}


@shares_the_search
def test_a_stopped_trials_run_says_why_with_the_numbers_that_decided(search: Search) -> None:
    client, _, nested = runs(search.folder)
    stopped = [run for run in nested if run.data.tags["trial.state"] == "stopped"]
    for run in stopped:
        tags, by_health = run.data.tags, kind(run) == "health"
        assert tags["stop.rule"] == ("guide_not_falling" if by_health else "asha")
        observed = "training.guide_loss" if by_health else "validation.loss"
        assert float(tags[f"stop.observed.{observed}"]) >= 0
        assert int(tags["stop.step"]) >= 6
        assert int(tags["stop.utterances"]) >= 24
        assert tags["stop.reason"] == tags["mlflow.note.content"]
        assert tags["stop.reason"].startswith("Stopped ")
        assert tags["stop.threshold"]
        assert tags["stop.window"]
        assert Path(tags["checkpoint"]).name == "best.pt"
        assert [item.path for item in client.list_artifacts(run.info.run_id, "plots") if "stop" in item.path]
    assert not [run for run in nested if run not in stopped and set(run.data.tags) & {"stop.rule", "stop.kind"}]


@shares_the_search
def test_a_search_notes_a_table_of_its_trials(search: Search) -> None:
    _, parent, nested = runs(search.folder)
    note = parent.data.tags["mlflow.note.content"].splitlines()
    assert note[0].startswith("- **Best**: trial-000")
    table = [line for line in note if line.startswith("|")]
    assert len(table) == 2 + len(nested)
    for run in nested:
        (line,) = [line for line in table if f"[{run.info.run_name}](" in line]
        assert run.info.run_id in line
        assert f"| {run.data.tags['trial.state']} |" in line
    assert parent.data.tags["study.mode"] == "tune"


@shares_the_search
def test_the_same_search_again_trains_nothing_more(search: Search) -> None:
    folder, first = search
    kept, before = content(folder / "smart_tuner_files"), [run.to_dictionary() for run in runs(folder)[2]]
    again = invoke(*HERE, "--trials", "6", "--study", "beeps")
    assert again.exit_code == 0, again.output
    assert "6 of 6 trial(s) finished" in again.stdout
    conclusion = [line for line in first.stdout.splitlines() if line.startswith(("Best ", "Gain ", "Cost "))]
    assert len(conclusion) == 3
    assert set(conclusion) <= set(again.stdout.splitlines())
    assert [run.to_dictionary() for run in runs(folder)[2]] == before
    assert content(folder / "smart_tuner_files") == kept
    assert runs(folder)[1].info.status == "FINISHED"


@shares_the_search
def test_a_winner_is_trained_with_its_values_for_the_budget_of_the_settings(search: Search) -> None:
    folder, result = search
    (line,) = [line for line in result.stdout.splitlines() if line.startswith("Train ")]
    number = int(line.split()[1].partition("'")[0].removeprefix("trial-"))
    winner = trials(folder)[number].user_attrs["plan"]["values"]
    words = ("--mode", "train", "--data", "beeps", "--device", "cpu", "--from-study", "beeps", *PLAIN)
    uri = ("--tracking-uri", small.tracking_store(folder / "smart_tuner_files"))
    trained = invoke(*words, *uri, "--trials", "1", "--study", "final")
    assert trained.exit_code == 0, trained.output
    (run,) = runs(folder / "smart_tuner_files")[2]
    assert run.data.params["hparams.budget"] == "6it"
    assert {name: run.data.params[name] for name in winner} == {name: str(value) for name, value in winner.items()}


@shares_the_search
def test_a_search_that_was_made_for_something_else_is_refused(search: Search) -> None:
    changed = REST + 'constraints: {validation.alignment_score: ">= 0.5"}\n'
    spaces.write(search.folder, (RATE, spaces.GUIDED), changed)
    said = "Study 'beeps' was made with other constraints (none; now validation.alignment_score >= 0.5): use those"
    check_refusal(said, *HERE, "--trials", "6", "--study", "beeps")


@shares_the_search
def test_an_unknown_study_names_those_that_have_a_winner(search: Search) -> None:
    said = "No search 'peeps' with a winner is in sqlite:///smart_tuner.db; those with one: beeps."
    check_refusal(said, "--mode", "train", "--data", "beeps", "--from-study", "peeps")


@shares_the_search
def test_a_warm_start_from_an_unknown_study_names_those_there_are_and_makes_none(search: Search) -> None:
    folder = search.folder
    spaces.write(folder, (RATE, spaces.GUIDED), REST)
    refused = invoke(*HERE, "--study", "new", "--warm-start", "peeps")
    assert sentence(refused) == "There is no tune study 'peeps' in sqlite:///smart_tuner.db; there are: beeps."
    assert refused.exit_code == 2
    assert "new" not in studies(folder)


@shares_the_search
def test_a_warm_start_takes_the_other_studys_trials_over(search: Search) -> None:
    folder = search.folder
    spaces.write(folder, (RATE, spaces.GUIDED), REST.replace("confirm: 1", "confirm: 0"))
    uri = ("--tracking-uri", small.tracking_store(folder / "smart_tuner_files"))
    warm = invoke(*HERE, *PLAIN, *uri, "--study", "warm", "--warm-start", "beeps")
    assert warm.exit_code == 0, warm.output
    assert "Warm start 8 trial(s) taken over" in warm.stdout
    assert len([trial for trial in trials(folder, "warm") if "taken_from" not in trial.user_attrs["plan"]]) == 1


@shares_the_search
def test_a_warm_start_from_trials_that_do_not_compare_makes_no_study(search: Search) -> None:
    folder = search.folder
    spaces.write(folder, (RATE, spaces.GUIDED), REST)
    refused = invoke(*HERE, "--study", "longer", "--warm-start", "beeps", "--budget", "192utt")
    assert sentence(refused).startswith("Study 'beeps' has another budget (96utt; here 192utt), so its trials cannot")
    assert refused.exit_code == 2
    itself = invoke(*HERE, "--study", "beeps", "--warm-start", "beeps")
    assert sentence(itself) == "--warm-start takes another study than the one that goes on; received beeps."
    assert itself.exit_code == 2
    assert "longer" not in studies(folder)


@pytest.mark.slow
def test_a_search_in_which_no_trial_is_good_enough_has_exit_code_1(stores: Path) -> None:
    spaces.write(stores, (RATE,), REST + 'constraints: {validation.alignment_score: ">= 0.99"}\n')
    result = invoke(*HERE, *PLAIN, "--trials", "1", "--study", "beeps")
    assert result.exit_code == 1, result.output
    assert "no trial has ended healthy within the constraints (ended 1: complete 1, stopped 0" in result.stdout
    assert "Train " not in result.stdout
    check_ledgers_agree(stores, 1)


@pytest.mark.slow
def test_a_search_with_two_objectives_ends_in_a_front(stores: Path) -> None:
    objectives = "".join(
        f"  - {{metric: {metric}, direction: {direction}}}\n"
        for metric, direction in {"validation.loss": "minimize", "validation.alignment_score": "maximize"}.items()
    )
    spaces.write(stores, (RATE,), f"budget: 96utt\nsampler: random\nobjective:\n{objectives}")
    result = invoke(*HERE, *PLAIN, "--trials", "2", "--study", "beeps")
    assert result.exit_code == 0, result.output
    assert [line for line in result.stdout.splitlines() if line.startswith("Front ")]
    assert len(check_ledgers_agree(stores, 2)) == 2
    note = runs(stores)[1].data.tags["mlflow.note.content"].splitlines()
    assert len([line for line in note if line.startswith("| [trial-")]) == 2


@pytest.mark.slow
def test_a_search_with_more_trials_goes_on(stores: Path) -> None:
    assert invoke(*HERE, *PLAIN, "--trials", "2", "--study", "beeps").exit_code == 0
    first = check_ledgers_agree(stores, 2)
    more = invoke(*HERE, *PLAIN, "--trials", "4", "--study", "beeps")
    assert more.exit_code == 0, more.output
    assert "2 of 4 trial(s) finished" in more.stdout
    assert [run.info.run_id for run in check_ledgers_agree(stores, 4)][: len(first)] == [
        run.info.run_id for run in first
    ]


# processes


def start(folder: Path, *words: str) -> "subprocess.Popen[str]":
    """The program in a process group of its own, as a terminal starts it."""
    command = [sys.executable, str(PROGRAM), *words]
    return subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


@pytest.mark.slow
def test_two_workers_search_beside_each_other(stores: Path) -> None:
    found = invoke(*TUNE, *PLAIN, "--workers", "2", "--trials", "6", "--study", "beeps")
    assert (found.exit_code, found.stderr) == (0, "")
    assert "2 worker(s) on cpu" in found.stdout
    assert Counter(map(kind, check_ledgers_agree(stores, 6)))["health"] == 3


@pytest.mark.slow
@pytest.mark.parametrize("workers", ["0", "2"])
def test_a_search_goes_on_after_ctrl_c(stores: Path, workers: str) -> None:
    spaces.write(stores, (RATE,), "budget: 240utt\nsampler: grid\npruner: none\nconfirm: 0\n")
    command = (*TUNE, *PLAIN, "--workers", workers, "--trials", "3", "--study", "beeps")
    journals = stores / "smart_tuner_files/studies/beeps"
    with start(stores, *command) as program:
        small.wait_until(lambda: any(journal.stat().st_size > 2000 for journal in journals.glob("*/metrics.jsonl")))
        os.killpg(program.pid, signal.SIGINT)
        said, errors = program.communicate(timeout=300)
    assert program.returncode == 130, errors
    assert "Traceback" not in errors
    assert said.splitlines()[-1].startswith("Continue ")
    _, parent, nested = runs(stores)
    assert {parent.info.status, *(run.info.status for run in nested)} == {"KILLED"}
    assert {run.data.tags["trial.state"] for run in nested} == {"interrupted"}
    again = invoke(*command)
    assert (again.exit_code, again.stderr) == (0, "")
    went_on = check_ledgers_agree(stores, 3)
    assert [run.info.run_id for run in went_on[: len(nested)]] == [run.info.run_id for run in nested]


@pytest.mark.slow
def test_ctrl_c_between_a_search_and_its_reruns_leaves_them_to_the_same_command(
    stores: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spaces.write(stores, (RATE,), "budget: 96utt\nsampler: random\npruner: none\nconfirm: 1\n")
    command = (*HERE, *PLAIN, "--trials", "2", "--study", "beeps")

    def end(study: TuneStudy, trial: Trial, outcome: Exception | None) -> Result | None:
        if trial.number == 1:
            os.kill(os.getpid(), signal.SIGINT)
        return on_end(study, trial, outcome)

    on_end = TuneStudy.on_end
    with monkeypatch.context() as patched:
        patched.setattr(TuneStudy, "on_end", end)
        cut = invoke(*command)
    assert (cut.exit_code, runs(stores)[1].info.status) == (130, "KILLED")
    assert cut.stdout.splitlines()[-1].startswith("Continue ")
    assert invoke(*command).exit_code == 0
    check_ledgers_agree(stores, 2)


@pytest.mark.slow
def test_a_search_without_time_for_a_trial_says_so(stores: Path) -> None:
    cut = invoke(*HERE, *PLAIN, "--trials", "3", "--study", "beeps", "--timeout", "0.001s")
    assert cut.exit_code == 1, cut.output
    assert "The time is up: 0 of 3 trial(s) finished; the same command goes on." in cut.stdout
    assert runs(stores)[1].info.status == "KILLED"


@pytest.mark.slow
def test_a_search_whose_time_is_up_ends_with_what_there_is_and_goes_on(stores: Path) -> None:
    command = (*HERE, *PLAIN, "--trials", "3", "--study", "beeps", "--budget", "300utt")  # takes seconds anywhere
    cut = invoke(*command, "--timeout", "1s")
    assert cut.exit_code in (0, 1), cut.output
    assert cut.stderr == ""
    assert "Continue" in cut.output
    assert runs(stores)[1].info.status == "KILLED"
    assert "RUNNING" not in {run.info.status for run in runs(stores)[2]}
    again = invoke(*command)
    assert again.exit_code == 0, again.output
    check_ledgers_agree(stores, 3)
    assert runs(stores)[1].info.status == "FINISHED"


@pytest.mark.slow
def test_trials_of_a_study_that_is_gone_are_not_gone_on_with(stores: Path) -> None:
    command = (*HERE, *PLAIN, "--trials", "1", "--study", "beeps")
    assert invoke(*command).exit_code == 0
    (stores / "smart_tuner.db").unlink()
    check_refusal("smart_tuner_files/studies/beeps holds trials of an earlier study 'beeps'", *command)


# a dry run


@pytest.mark.slow
def test_a_dry_run_prints_space_samples_and_a_forecast_and_writes_nothing(folder: Path) -> None:
    before = content(folder)
    result = invoke(*HERE, "--dry-run", "--trials", "6")
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert [line for line in lines if line.startswith("Space ") and "hparams.learning_rate" in line]
    assert len([line for line in lines if line.startswith("Sample ")]) == 5
    (forecast,) = [line for line in lines if line.startswith("Forecast ")]
    assert "6 trial(s) and 2 confirming one(s) on 1 worker(s)" in forecast
    assert lines[-1] == "Dry run    nothing was written"
    assert content(folder) == before


# bad input

TPE = REST.replace("grid", "tpe")


def test_a_mistake_in_a_space_names_file_line_and_choices(folder: Path) -> None:
    spaces.write(folder, ("hparams.rate: {type: float, low: 1, high: 2}",), TPE)
    check_refusal("mine.yaml, line 2: unknown setting hparams.rate; valid keys: ", *HERE)


NOT_THERE = "sqlite:///nowhere/smart_tuner.db"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--space", "none.yaml"], "--space takes a YAML file or the name of a shipped space (demo, "),
        (["--space", "beeps"], "--space takes a YAML file or the name of a shipped space (demo, "),
        (["--space", "broken.yaml"], "The search space broken.yaml is not valid YAML, line 2: "),
        (["--timeout", "rubbish"], "--timeout is a time such as 90s, 45m or 8h; received 'rubbish'."),
        (["--timeout", "20ep"], "--timeout is a time such as 90s, 45m or 8h; received '20ep'."),
        (["--timeout", "0s"], "--timeout is a time such as 90s, 45m or 8h; received '0s'."),
        (["--workers", "-1"], "--workers must be at least 0 (0: in this process); received -1."),
        (["--workers", "1000"], "--workers is at most the slots of this machine, "),
        (["--per-gpu", "0"], "--per-gpu must be at least 1; received 0."),
        (["--mode", "train"], "--space is for tune and check; received it with --mode train."),
        (["--from-study", "peeps"], "The study storage sqlite:///smart_tuner.db does not exist yet: "),
        (["--budget", "12it"], "mine.yaml, line "),
    ],
)
def test_bad_options_are_one_sentence_and_nothing_written(folder: Path, words: list[str], said: str) -> None:
    (folder / "broken.yaml").write_text("parameters:\n  a: [1}\n")
    check_refusal(said, *HERE, *words)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--storage", NOT_THERE], f"The study storage {NOT_THERE} cannot be used: "),
        (["--storage", "postgresql://here/x"], "The study storage postgresql://here/x cannot be used: "),
        (["--warm-start", "peeps"], "The study storage sqlite:///smart_tuner.db does not exist yet: "),
    ],
)
def test_a_search_that_cannot_begin_leaves_no_study(folder: Path, words: list[str], said: str) -> None:
    refused = invoke(*HERE, *words)
    assert sentence(refused).startswith(said)
    assert refused.exit_code == 2
    assert not list(folder.glob("*.db"))


def test_a_search_needs_a_space(folder: Path) -> None:
    check_refusal("--mode tune needs --space: a YAML file, or a shipped space's name (demo, ", *TUNE[:-2])


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
@pytest.mark.parametrize("device", ["auto", "cpu"])
def test_a_limit_of_gpu_memory_needs_a_gpu(folder: Path, device: str) -> None:
    spaces.write(folder, (RATE,), REST + 'constraints: {gpu.peak_memory: "<= 20"}\n')
    said = "mine.yaml: gpu.peak_memory is measured on a GPU alone; the device here is cpu."
    check_refusal(said, *HERE, "--device", device)


def test_the_largest_batch_of_a_space_must_be_there(folder: Path) -> None:
    spaces.write(folder, ("hparams.batch_size: {type: int, low: 4, high: 64, log: true}",), TPE)
    refused = invoke(*HERE)
    assert "64" in sentence(refused)
    assert (refused.exit_code, list(folder.glob("*.db"))) == (2, [])

"""A study as both stores know it: real storages, runs made and deleted as users do."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
import pytest
from mlflow.tracking import MlflowClient
from optuna.trial import TrialState, create_trial

from smart_tuner.errors import SettingsError, StorageError
from smart_tuner.report.evidence import Archive, Evidence
from smart_tuner.report.gathering import gather, gather_runs
from smart_tuner.space.objective import Objective
from smart_tuner.study.store import Identity, open_study
from tests.support import small, studies

pytestmark = pytest.mark.slow  # each makes both databases
DOOMED = {"rule": "asha", "kind": "pruner", "sentence": "Stopped by asha.", "step": 4, "utterances": 16}
STATUS = {"complete": "FINISHED", "stopped": "KILLED", "interrupted": "KILLED", "failed": "FAILED", "running": ""}


@dataclass
class Stores:
    """Both stores of study `s`, and what fills them."""

    folder: Path
    uri: str
    client: MlflowClient
    study: optuna.Study
    parent: str
    logged: int = 0

    @property
    def storage(self) -> str:
        return f"sqlite:///{self.folder}/studies.db"

    def trial(self, state: TrialState = TrialState.COMPLETE, logged: str = "", **known: Any) -> str:
        """A trial; logged as a run of that state unless that is empty. The run's id."""
        number = len(self.study.trials)
        best = {"step": 1, "value": 0.5, "cost": 0.5, "feasible": True, "metrics": {}, "violations": {}}
        attributes = {"plan": {"origin": "sampled", "seed": number}, "best": best, **known}
        loss = 0.5 if state is TrialState.COMPLETE else None
        self.study.add_trial(create_trial(state=state, value=loss, user_attrs=attributes))
        return self.run(f"trial-{number:04d}", logged, **{"trial.number": str(number)}) if logged else ""

    def run(self, name: str, state: str = "complete", parent: str | None = None, **tags: str) -> str:
        """A run nested in the study's, a second after the one before; its id. A trial's run names its study."""
        own = {"study.name": "s", "trial.state": state} if "trial.number" in tags else {}
        own |= {"mlflow.parentRunId": self.parent if parent is None else parent}
        self.logged += 1
        began = 1_600_000_000_000 + 1000 * self.logged
        run = self.client.create_run("0", began, own | tags, run_name=name)
        if STATUS[state]:
            self.client.set_terminated(run.info.run_id, STATUS[state], began + 500)
        return str(run.info.run_id)

    def gather(self) -> tuple[Evidence, Archive]:
        return gather(self.storage, self.uri, "s")

    def states(self) -> dict[str, str]:
        return {run.name: run.state for run in self.gather()[0].runs}


def make(folder: Path, mode: Any = "tune") -> Stores:
    uri = small.tracking_store(folder)
    client = MlflowClient(uri)
    objectives = (("validation.alignment_score", "maximize"),)
    identity = Identity(mode=mode, objectives=objectives, settings=small.settings(), corpus="d1ge57")
    study = open_study("s", studies.storage(folder), identity)
    tags = {"study.name": "s", "study.role": "parent"}
    parent = client.create_run("0", 1_600_000_000_000, tags, run_name="s").info.run_id
    return Stores(folder, uri, client, study, parent)


@pytest.fixture
def stores(tmp_path: Path) -> Stores:
    return make(tmp_path)


# joined


def test_trials_are_joined_by_their_number(stores: Stores) -> None:
    first = stores.trial(logged="complete")
    stopped = stores.trial(TrialState.PRUNED, "stopped", stop=DOOMED)
    stores.client.log_param(first, "hparams.batch_size", 16)
    stores.client.log_metric(first, "validation.loss", 0.25)
    evidence, _ = stores.gather()
    assert [(run.name, run.number, run.state, run.run_id) for run in evidence.runs] == [
        ("trial-0000", 0, "complete", first),
        ("trial-0001", 1, "stopped", stopped),
    ]
    run = evidence.run_of(0)
    assert (run.batch, run.metrics, run.tags["trial.number"]) == (16.0, {"validation.loss": 0.25}, "0")
    assert run.result is not None
    assert run.link.endswith(f"/#/experiments/0/runs/{first}?workflowType=machine_learning")
    assert [result.number for result in evidence.results] == [0, 1]
    assert evidence.gone == ()


@pytest.mark.parametrize("mode", ["train", "tune"])
def test_a_study_is_told_with_its_run(tmp_path: Path, mode: str) -> None:
    stores = make(tmp_path, mode)
    stores.study.set_user_attr("winner", {"trial": 4})
    stores.study.set_user_attr("command", "smart-tuner --mode tune")
    stores.client.set_terminated(stores.parent, "KILLED")
    evidence, _ = stores.gather()
    assert (evidence.name, evidence.mode, evidence.winner) == ("s", mode, 4)
    assert evidence.objectives == (Objective(metric="validation.alignment_score", direction="maximize"),)
    assert (evidence.corpus, evidence.budget, evidence.settings) == ("d1ge57", "6it", small.settings().to_yaml())
    assert (evidence.command, evidence.running, evidence.runs) == ("smart-tuner --mode tune", 0, ())
    assert (evidence.parent_id, evidence.parent_status) == (stores.parent, "KILLED")
    assert f"/runs/{stores.parent}?" in evidence.parent_link


def test_an_open_trial_runs_unless_its_run_has_ended(stores: Stores) -> None:
    stores.trial(TrialState.RUNNING, "running")
    stores.trial(TrialState.RUNNING, "interrupted")
    stores.trial(TrialState.RUNNING)
    stores.trial(TrialState.FAIL, "failed", error="no memory")
    assert stores.states() == {
        "trial-0000": "running",
        "trial-0001": "interrupted",
        "trial-0002": "running",
        "trial-0003": "failed",
    }
    assert stores.gather()[0].running == 3


def test_what_the_study_says_goes_before_what_its_run_says(stores: Stores) -> None:
    stores.trial(logged="running")  # a kill came before the run was closed
    stores.trial(TrialState.PRUNED, "complete", audit=DOOMED, audit_final=0.4)
    assert stores.states() == {"trial-0000": "complete", "trial-0001": "audited"}


# missing on one side


def test_without_a_tracking_store_every_trial_is_gone(stores: Stores, tmp_path: Path) -> None:
    stores.trial(logged="complete")
    stores.trial(TrialState.RUNNING)
    evidence, archive = gather(stores.storage, f"sqlite:///{tmp_path}/none.db", "s")
    assert evidence.gone == ("trial-0000", "trial-0001")
    assert [(run.state, run.run_id, run.link) for run in evidence.runs] == [
        (state, None, "") for state in ("complete", "running")
    ]
    assert (evidence.parent_id, evidence.parent_status, evidence.parent_link) == (None, "", "")
    assert archive.history("0", "validation.loss") == ()
    assert not (tmp_path / "none.db").exists()


def test_a_deleted_run_is_gone_and_its_trial_stays(stores: Stores) -> None:
    stores.client.delete_run(stores.trial(logged="complete"))
    stores.trial(logged="complete")
    evidence, _ = stores.gather()
    assert (evidence.gone, len(evidence.results)) == (("trial-0000",), 2)


def test_a_trial_that_failed_before_it_had_a_run_is_not_gone(stores: Stores, tmp_path: Path) -> None:
    stores.trial(TrialState.FAIL, error="no valid settings")
    stores.trial(TrialState.FAIL, error="no memory", spent={"utterances": 4})
    assert stores.gather()[0].gone == ("trial-0001",)
    assert gather(stores.storage, f"sqlite:///{tmp_path}/none.db", "s")[0].gone == ("trial-0000", "trial-0001")


def test_runs_whose_parent_was_deleted_are_found(stores: Stores) -> None:
    run_id = stores.trial(logged="complete")
    stores.client.delete_run(stores.parent)
    evidence, _ = stores.gather()
    assert (evidence.parent_id, evidence.gone, evidence.run_of(0).run_id) == (None, (), run_id)


def test_runs_below_an_earlier_parent_are_found_and_the_newer_of_two_counts(stores: Stores) -> None:
    for _ in range(2):
        stores.trial()
    tags = {f"trial.{number}": {"trial.number": str(number)} for number in (0, 1)}
    stores.run("trial-0001", "interrupted", parent="earlier", **tags["trial.1"])
    old = stores.run("trial-0000", parent="earlier", **tags["trial.0"])
    new = stores.run("trial-0001", **tags["trial.1"])
    evidence, _ = stores.gather()
    assert [run.run_id for run in evidence.runs] == [old, new]


def test_a_trial_that_only_mlflow_knows_has_a_state_and_no_result(stores: Stores) -> None:
    stores.trial(logged="complete")
    stores.run("trial-0007", "stopped", **{"trial.number": "7"})
    run = stores.gather()[0].run_of(7)
    assert (run.name, run.state, run.result) == ("trial-0007", "stopped", None)


def test_runs_logged_by_hand_come_last_with_names_of_their_own(stores: Stores) -> None:
    twins = [stores.run("mine"), stores.run("mine", "failed")]
    stores.run("trial-0000", "running")
    stores.trial(logged="complete")
    assert stores.states() == {
        "trial-0000": "complete",
        f"mine ({twins[0][:8]})": "complete",
        f"mine ({twins[1][:8]})": "failed",
        next(name for name in stores.states() if name.startswith("trial-0000 (")): "running",
    }
    assert stores.gather()[0].runs[0].number == 0
    assert {run.number for run in stores.gather()[0].runs[1:]} == {None}


def test_the_latest_study_is_told_when_none_is_named_and_an_unknown_one_refused(stores: Stores) -> None:
    stores.trial()
    assert gather(stores.storage, stores.uri, None)[0].name == "s"
    with pytest.raises(StorageError, match=r"Study 't' is not there; .* holds: s\."):
        gather(stores.storage, stores.uri, "t")


# runs without a study


def test_a_filter_gathers_runs_but_not_the_runs_of_studies(stores: Stores) -> None:
    trial = stores.trial(logged="stopped")
    stores.run("by hand", "running", parent="")
    evidence, _ = gather_runs(stores.uri, "attributes.run_name != 'x'")
    assert (evidence.name, evidence.mode) == ("attributes.run_name != 'x'", "runs")
    assert [(run.name, run.number, run.state, run.result) for run in evidence.runs] == [
        ("trial-0000", None, "stopped", None),
        ("by hand", None, "running", None),
    ]
    assert evidence.runs[0].run_id == trial
    assert (evidence.objectives, evidence.running, evidence.parent_id) == ((Objective(),), 1, None)
    times = [time.timestamp() for time in (evidence.began, evidence.ended) if time is not None]
    assert times == [1_600_000_001, 1_600_000_001.5]


def test_what_runs_have_in_common_is_told(stores: Stores) -> None:
    for place, corpus in enumerate(("c1", "c1", "c2")):
        run_id = stores.run(str(place), **{"dataset.digest": corpus})
        stores.client.log_param(run_id, "hparams.budget", "6it")
    every, _ = gather_runs(stores.uri, "params.`hparams.budget` = '6it'")
    same, _ = gather_runs(stores.uri, "tags.`dataset.digest` = 'c1'")
    assert (every.corpus, every.budget, same.corpus) == ("", "6it", "c1")


def test_runs_that_are_not_there_are_refused(stores: Stores, tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"No run in sqlite:.* fits the filter \"params.x = 'y'\""):
        gather_runs(stores.uri, "params.x = 'y'")
    with pytest.raises(StorageError, match="There is no tracking store"):
        gather_runs(f"sqlite:///{tmp_path}/none.db", "params.x = 'y'")
    with pytest.raises(SettingsError, match="does not take the filter"):
        gather_runs(stores.uri, "x >")

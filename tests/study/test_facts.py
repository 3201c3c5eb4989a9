"""Studies read back as plain data, from real storages."""

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState, create_trial

from smart_tuner.errors import StorageError, Verdict
from smart_tuner.study.facts import latest_study, read_facts
from smart_tuner.study.store import Identity, open_study
from smart_tuner.study.trials import BestValidation, TrialPlan, TrialRecord
from smart_tuner.study.tune import TuneStudy
from tests.support import small, spaces, studies

BEGAN = datetime(2026, 1, 1, 12)
RATE = "hparams.learning_rate"


@pytest.fixture
def storage(memory: studies.Memory) -> Any:
    return memory.open()


def study_in(storage: Any, name: str, mode: Any = "tune", direction: str = "minimize") -> optuna.Study:
    objectives = (("validation.loss", direction),)
    identity = Identity(mode=mode, objectives=objectives, settings=small.settings(), corpus="d1ge57")
    return open_study(name, storage, identity)


def add(
    study: optuna.Study,
    minute: int = 0,
    state: TrialState = TrialState.COMPLETE,
    loss: float = 0.5,
    *,
    record: dict[str, Any] | None = None,
    **plan: Any,
) -> None:
    """A trial that began so many minutes after the first and took one; what is given differs from the usual plan."""
    made = TrialPlan(**{"origin": "sampled", "seed": 1, "values": {RATE: 0.001}, **plan})
    metrics = {"validation.loss": loss}
    best = BestValidation(step=1, value=loss, cost=loss, feasible=True, metrics=metrics, violations={})
    came_of_it = TrialRecord(best=best, **record or {})
    trial = create_trial(
        state=state,
        value=loss if state is TrialState.COMPLETE else None,
        user_attrs={**made.to_attributes(), **came_of_it.to_attributes()},
    )
    trial.datetime_start = BEGAN + timedelta(minutes=minute)
    trial.datetime_complete = trial.datetime_start + timedelta(minutes=1) if state.is_finished() else None
    study.add_trial(trial)


def test_a_study_is_read_as_it_was_kept(storage: Any) -> None:
    study = study_in(storage, "s")
    for name, value in {
        "space": {"parameters": {}},
        "winner": {"trial": 1, "sentence": "x"},
        "command": "python3 x.py",
        "folder": "/f",
    }.items():
        study.set_user_attr(name, value)
    add(study, 0, origin="baseline")
    add(study, 10, loss=0.4)
    facts = read_facts(storage, "s")
    assert (facts.name, facts.mode, facts.objectives) == ("s", "tune", (("validation.loss", "minimize"),))
    assert (facts.constraints, facts.space, facts.winner) == ((), {"parameters": {}}, 1)
    assert (facts.settings, facts.budget, facts.corpus) == (small.settings().to_yaml(), "6it", "d1ge57")
    assert (facts.command, facts.folder, facts.open) == ("python3 x.py", "/f", {})
    assert [(one.number, one.origin, one.value) for one in facts.results] == [(0, "baseline", 0.5), (1, "sampled", 0.4)]


def test_a_study_lasts_from_its_first_trial_to_the_end_of_its_last(storage: Any) -> None:
    study = study_in(storage, "s")
    add(study, 30)
    add(study, 5)
    add(study, 60, TrialState.RUNNING)
    facts = read_facts(storage, "s")
    assert facts.began == (BEGAN + timedelta(minutes=5)).astimezone()
    assert facts.ended == (BEGAN + timedelta(minutes=31)).astimezone()


def test_a_study_that_has_only_begun_has_no_end_and_no_winner(storage: Any) -> None:
    study_in(storage, "s", mode="train")
    facts = read_facts(storage, "s")
    assert (facts.mode, facts.space, facts.winner, facts.command, facts.folder) == ("train", None, None, "", "")
    assert (facts.results, facts.open, facts.began, facts.ended) == ((), {}, None, None)


def test_failed_trials_are_told_and_open_ones_apart(storage: Any) -> None:
    study = study_in(storage, "s")
    late = Verdict(kind="pruner", rule="asha", sentence="too slow", step=3, utterances=12)
    add(study, state=TrialState.PRUNED, record={"stop": late})
    add(study, state=TrialState.FAIL, record={"error": "no memory"})
    add(study, state=TrialState.RUNNING, origin="replicate")
    facts = read_facts(storage, "s")
    assert [(one.state, one.reason) for one in facts.results] == [("stopped", "too slow"), ("failed", "no memory")]
    assert facts.open == {2: "replicate"}


def test_trials_of_others_are_no_trials_of_the_study(storage: Any) -> None:
    study = study_in(storage, "s")
    add(study, origin="warm-start")
    for state in (TrialState.FAIL, TrialState.RUNNING, TrialState.WAITING):  # a kill came before they were handed out
        study.add_trial(create_trial(state=state))
    add(study)
    facts = read_facts(storage, "s")
    assert ([one.number for one in facts.results], facts.open) == ([4], {})


@pytest.mark.parametrize(("direction", "best"), [("minimize", 1), ("maximize", 2)])
def test_reruns_of_what_was_best_once_are_called_earlier(storage: Any, direction: str, best: int) -> None:
    study = study_in(storage, "s", direction=direction)
    for loss in (0.5, 0.3, 0.7):
        add(study, loss=loss)
    for number in (1, 2):
        add(study, loss=0.4, confirms="best", confirms_number=number)
    confirms = {one.number: one.confirms for one in read_facts(storage, "s").results}
    assert confirms == {
        0: "",
        1: "",
        2: "",
        3: "best" if best == 1 else "earlier",
        4: "best" if best == 2 else "earlier",
    }


def test_what_is_read_is_what_the_search_itself_concludes_from(storage: Any, tmp_path: Path) -> None:
    space = spaces.space(tmp_path)
    search = TuneStudy("s", storage, space, small.settings(), "d1ge57", 12, 9)
    for place, loss in enumerate((0.5, 0.3, 0.4)):
        add(search.study, loss=loss, **{"confirms": "best", "confirms_number": 0} if place == 2 else {})
    add(search.study, state=TrialState.FAIL)
    read = read_facts(storage, "s").results
    assert [one for one in read if one.state != "failed"] == search.results()
    assert read[2].confirms == "earlier"


def test_an_unknown_study_is_answered_with_the_known_ones(storage: Any) -> None:
    for name in ("b", "a"):
        study_in(storage, name)
    optuna.create_study(storage=storage, study_name="foreign")
    with pytest.raises(StorageError, match=r"Study 'c' is not there; .* holds: a, b\."):
        read_facts(storage, "c")
    with pytest.raises(StorageError, match=r"Study 'foreign' was made by another program; .* holds: a, b\."):
        read_facts(storage, "foreign")


# the latest


def test_the_latest_study_is_the_one_with_the_newest_activity(storage: Any) -> None:
    for name, minute in (("c", 10), ("a", 30), ("b", 20)):
        add(study_in(storage, name), minute)
    assert latest_study(storage) == "a"
    add(reading_target := study_in(storage, "b"), 29, TrialState.RUNNING)
    assert latest_study(storage) == "a"  # which ended at minute 31
    add(reading_target, 32, TrialState.RUNNING)
    assert latest_study(storage) == "b"


def test_a_study_without_trials_and_one_of_another_program_are_not_the_latest(storage: Any) -> None:
    add(study_in(storage, "mine"), 0)
    study_in(storage, "empty")
    foreign = optuna.create_study(storage=storage, study_name="foreign")
    foreign.add_trial(create_trial(value=0.1))
    assert latest_study(storage) == "mine"


def test_the_only_study_is_the_latest_even_without_trials(storage: Any) -> None:
    study_in(storage, "empty")
    assert latest_study(storage) == "empty"


def test_without_a_study_there_is_no_latest(storage: Any) -> None:
    optuna.create_study(storage=storage, study_name="foreign")
    with pytest.raises(StorageError, match=r"There is no study in .* yet\."):
        latest_study(storage)


def test_a_storage_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    storage = f"sqlite:///{tmp_path}/none.db"
    for read in (lambda: latest_study(storage), lambda: read_facts(storage, "s")):
        with pytest.raises(StorageError, match="does not exist yet"):
            read()
    assert not list(tmp_path.iterdir())


def test_reading_changes_nothing(tmp_path: Path) -> None:
    storage = studies.storage(tmp_path)
    add(study_in(storage, "s"))
    before = (tmp_path / "studies.db").read_bytes()
    read_facts(storage, latest_study(storage))
    assert (tmp_path / "studies.db").read_bytes() == before


def test_a_file_that_is_no_storage_is_refused(tmp_path: Path) -> None:
    (tmp_path / "studies.db").write_text("no database at all, but long enough to be looked at" * 40)
    with pytest.raises(StorageError, match="cannot be used"):
        latest_study(f"sqlite:///{tmp_path / 'studies.db'}")

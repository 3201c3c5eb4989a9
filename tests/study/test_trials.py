"""What a study keeps of its trials is read back as it was, and a live trial writes no more than has changed."""

import json
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState, create_trial

from smart_tuner.errors import TrialStopped
from smart_tuner.study.trials import (
    BestValidation,
    LiveTrial,
    Spent,
    StudyTrial,
    TrialPlan,
    TrialRecord,
    list_handed_out,
)
from tests.support.scripted import stop, training, validation
from tests.support.studies import Memory

SHORT = TrialPlan(origin="sampled", seed=0)
WHOLE = TrialPlan(
    origin="retried",
    seed=7,
    values={"hparams.learning_rate": 1e-3, "hparams.use_guided_attn": True},
    note="Why.",
    baseline=0,
    protected=True,
    audited=True,
    rungs=(100, 300),
    planned=1000,
    confirms="best",
    confirms_number=0,
    retry_of=0,
    retry_depth=1,
    roll_back_to=0,
    taken_from="old/3",
)
BEST = BestValidation(step=3, value=0.4, cost=0.4, feasible=False, metrics={"a": 1.0}, violations={"a <= 0": 1.0})
FULL = TrialRecord(
    best=BEST,
    spent=Spent(trained=4, validated=3, utterances=16, seconds=1.5, compared=12),
    stop=stop("loss_jump", "It jumped.", observed={"training.loss": 9.0}, limits={"training.loss": 3.0}).verdict,
    audit=stop("asha", "Too slow.", kind="pruner").verdict,
    audit_final=0.3,
    doomed_at=100,
    error="Full.",
    error_kind="OutOfMemoryError",
    retry=True,
)


def stored(attributes: dict[str, Any]) -> dict[str, Any]:
    """As a storage gives them back."""
    read: dict[str, Any] = json.loads(json.dumps(attributes))
    return read


@pytest.mark.parametrize("plan", [SHORT, WHOLE])
def test_a_plan_is_read_back_as_it_was_made(plan: TrialPlan) -> None:
    assert TrialPlan.from_attributes(stored(plan.to_attributes())) == plan


def test_a_plan_is_one_attribute_without_what_is_as_by_default() -> None:
    assert SHORT.to_attributes() == {"plan": {"origin": "sampled", "seed": 0}}
    assert set(WHOLE.to_attributes()["plan"]) == set(TrialPlan.__dataclass_fields__)


@pytest.mark.parametrize("record", [TrialRecord(), FULL])
def test_a_record_is_read_back_as_it_was_kept(record: TrialRecord) -> None:
    assert TrialRecord.from_attributes(stored(record.to_attributes())) == record


def test_a_record_has_an_attribute_for_each_field_that_is_not_as_by_default() -> None:
    assert TrialRecord().to_attributes() == {}
    assert set(FULL.to_attributes()) == set(TrialRecord.__dataclass_fields__)


def test_a_trial_without_a_plan_was_never_handed_out() -> None:
    bare, planned = create_trial(state=TrialState.RUNNING), create_trial(value=1.0, user_attrs=SHORT.to_attributes())
    assert [trial.plan for trial in list_handed_out([bare, planned])] == [SHORT]


# a live trial


class Counted(Memory):
    """Counts what is written."""

    writes = 0

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        self.writes += len(logs)
        super().append_logs(logs)


@pytest.fixture
def counted() -> Counted:
    return Counted()


def only_trial(memory: Memory) -> tuple[optuna.Study, StudyTrial]:
    """The only trial of the study in a storage, as a program that is started now finds it."""
    study = optuna.create_study(storage=memory.open(), study_name="s", load_if_exists=True)
    if not study.trials:
        study.enqueue_trial({}, user_attrs=SHORT.to_attributes())
        study.ask()
    (trial,) = list_handed_out(study.get_trials(deepcopy=False))
    return study, trial


def live(memory: Memory) -> LiveTrial:
    return LiveTrial(*only_trial(memory))


def test_a_live_trial_keeps_what_becomes_of_it_at_once(memory: Memory) -> None:
    running = live(memory)
    running.update(best=BEST, error="Full.")
    _, found = only_trial(memory)
    assert (running.record, found.record) == (TrialRecord(best=BEST, error="Full."),) * 2


def test_a_live_trial_writes_only_what_has_changed(counted: Counted) -> None:
    running = live(counted)
    running.update(error="Full.", doomed_at=100)
    before = counted.writes
    running.update(error="Full.", doomed_at=300)
    assert counted.writes == before + 1
    again = live(counted)
    before = counted.writes
    again.update(error="Full.", doomed_at=300)
    assert counted.writes == before


def test_iterations_are_counted_at_once_and_written_with_the_next_validation(counted: Counted) -> None:
    running = live(counted)
    before = counted.writes
    for step in (1, 2, 3):
        running.add_iteration(training(step))
    assert (counted.writes, running.spent.trained, running.spent.seconds) == (before, 3, 1.5)
    running.end_validation(validation(3, 0.5))
    spent = Spent(trained=3, validated=3, utterances=12, seconds=1.5, compared=12)
    assert (counted.writes, only_trial(counted)[1].record.spent) == (before + 1, spent)


def test_what_an_earlier_session_told_is_a_replay(memory: Memory) -> None:
    first = live(memory)
    for step in (1, 2, 3, 4):
        first.add_iteration(training(step))
    first.end_validation(validation(3, 0.5))
    again = live(memory)
    told = [training(4), validation(3, 0.5), training(5), validation(6, 0.4), stop("gate_flat", step=3).verdict]
    assert [again.is_replay(one) for one in told] == [True, True, False, False, True]
    assert not any(first.is_replay(one) for one in told)


def test_of_two_validations_the_feasible_one_is_better_then_the_cheaper(memory: Memory) -> None:
    running, kept = live(memory), []
    for step, cost, violation in ((1, 0.1, 1.0), (2, 0.5, 0.0), (3, 0.6, 0.0), (4, 0.4, -1.0), (5, 0.3, 0.1)):
        running.improve(validation(step, cost), cost, cost, {"a <= 0": violation})
        assert running.record.best is not None
        kept.append(running.record.best.step)
    assert kept == [1, 2, 2, 4, 4]


def test_a_value_is_reported_once_for_all_sessions(memory: Memory) -> None:
    live(memory).report(0.5, 100)
    again = live(memory)
    assert again.has_reported(100)
    again.report(0.7, 100)  # Optuna would warn of it
    assert only_trial(memory)[1].frozen.intermediate_values == {100: 0.5}


def test_a_stop_that_was_kept_stops_again(memory: Memory) -> None:
    assert live(memory).stopped() is None
    live(memory).update(stop=FULL.stop)
    stopped = live(memory).stopped()
    assert isinstance(stopped, TrialStopped)
    assert stopped.verdict == FULL.stop

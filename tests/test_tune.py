"""The search against a real Optuna store: what is trained next, what stops, what a kill leaves, what counts as best."""

import dataclasses
import itertools
import json
import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import FrozenTrial, TrialState

from smart_tuner.errors import (
    DataError,
    Interrupted,
    OutOfMemoryError,
    SettingsError,
    StorageError,
    TrialStopped,
)
from smart_tuner.health.watch import Finding
from smart_tuner.progress import Progress
from smart_tuner.space.space import Constraint, Objective, Parameter, Pruner, Sampler, Space
from smart_tuner.study.conclusions import best_trial
from smart_tuner.study.loop import run
from smart_tuner.study.results import Result
from smart_tuner.study.train import TrainStudy
from smart_tuner.study.tune import TuneStudy, load_winner
from smart_tuner.training import Trial
from tests import small
from tests.scripted import Executor, Item, Killed, Script, memory, storage, training, validation

RATE = Parameter(name="hparams.learning_rate", type="float", low=1e-3, high=1e-1, log=True, line=1)
R = Parameter(name="hparams.reduction_factor", type="int", low=1, high=3, line=2)
GUIDED = Parameter(name="hparams.use_guided_attn", type="categorical", choices=(True, False), line=3)
SPACE = Space(
    file=Path("s.yaml"),
    parameters=(RATE, R),
    sampler=Sampler(name="random"),
    pruner=Pruner(name="none"),
    confirm=0,
)
ASHA = dataclasses.replace(SPACE, pruner=Pruner(name="asha", warmup="100utt"))
"""Rungs at 100, 300 and 900 of 1000 utterances."""
OWN = {"hparams.learning_rate": 1e-2, "hparams.reduction_factor": 1}
SICK = TrialStopped("The loss is not finite.", rule="non_finite", step=4, utterances=16, observed={})
FULL = OutOfMemoryError("The GPU has no memory left.")
INTERRUPTED = Interrupted("Interrupted.", step=3)


def loss_of(trial: Trial) -> float:
    """Best at a learning rate of 3e-2; the settings' own is worse than any other. The seed adds a little."""
    hparams = trial.settings.hparams
    distance = 3.0 if hparams.learning_rate == 1e-2 else abs(math.log10(hparams.learning_rate / 3e-2))
    return distance + (hparams.seed % 7) / 1000


def healthy(trial: Trial) -> Script:
    """Validations at utterances 100, 300, 900 and 1000."""
    return [training(25), *fixed(*(loss_of(trial) + above for above in (0.3, 0.2, 0.1, 0.0)))(trial)]


def fixed(*losses: float) -> Callable[[Trial], Script]:
    """A trial with these losses at 100, 300, 900 and 1000 utterances, whatever its values."""
    told = [validation(step, loss) for step, loss in zip((25, 75, 225, 250), losses, strict=False)]
    return lambda _: [dataclasses.replace(one, fraction=one.step / 250) for one in told]


def act(special: dict[int, Callable[[Trial], Script]] | None = None) -> Callable[[Trial], Script]:
    """Healthy trials, but for those whose number says otherwise."""
    return lambda trial: (special or {}).get(trial.number, healthy)(trial)


def ending(*items: Item) -> Callable[[Trial], Script]:
    return lambda _: list(items)


Open = Callable[..., TuneStudy]


@pytest.fixture
def url() -> Iterator[str]:
    with memory() as made:
        yield made


@pytest.fixture
def open_study(url: str) -> Open:
    """Opens the same study, as a program that is started again does."""

    def opened(
        trials: int = 6, space: Space = SPACE, name: str = "s", corpus: str = "c0rpus", **given: Any
    ) -> TuneStudy:
        settings = small.settings(**{"budget": "1000utt", **given.pop("settings", {})})
        return TuneStudy(name, url, space, settings, corpus, 100, trials, **given)

    return opened


def trials(study: TuneStudy) -> list[FrozenTrial]:
    return study.study.get_trials(deepcopy=False)


def states(study: TuneStudy) -> list[str]:
    return [trial.state.name for trial in trials(study)]


def searched(study: TuneStudy) -> list[Result]:
    return [result for result in study.results() if not result.confirms]


def finish(study: TuneStudy, executor: Executor | None = None) -> Executor:
    executor = executor or Executor(act=healthy)
    list(run(study, executor))
    return executor


# what is trained


def test_the_settings_own_values_come_first_then_baselines_then_suggestions(open_study: Open) -> None:
    point = {"hparams.learning_rate": 2e-2, "hparams.reduction_factor": 2}
    study = open_study(4, dataclasses.replace(SPACE, baseline=(point, OWN)))
    executor = finish(study)
    assert [trial.origin for trial in executor.trials] == ["baseline", "baseline", "sampled", "sampled"]
    assert [result.values for result in study.results()][:2] == [OWN, point]
    assert executor.trials[0].settings == small.settings(budget="1000utt")
    assert executor.trials[1].settings.hparams.learning_rate == 2e-2
    assert states(study) == ["COMPLETE"] * 4


def test_the_sampler_learns_from_baselines(open_study: Open) -> None:
    study = open_study(1)
    finish(study)
    assert trials(study)[0].params == OWN


def test_own_values_out_of_the_range_are_trained_without_a_word(open_study: Open) -> None:
    study = open_study(3, settings={"learning_rate": 0.5})
    assert finish(study).trials[0].settings.hparams.learning_rate == 0.5


def test_each_trial_has_its_seed_and_what_it_was_tuned_to(open_study: Open) -> None:
    study = open_study(3)
    executor = finish(study)
    assert [trial.settings.hparams.seed for trial in executor.trials] == [1234, 1235, 1236]
    for result, trial in zip(study.results(), executor.trials, strict=True):
        assert result.values["hparams.learning_rate"] == trial.settings.hparams.learning_rate
        assert (result.seed, result.planned, result.utterances) == (trial.settings.hparams.seed, 1000, 1000)


def test_a_trials_value_is_that_of_its_best_validation(open_study: Open) -> None:
    study = open_study(1)
    script = [training(1, 0.25), training(2, 0.75), validation(3, 0.2), validation(6, 0.4)]
    finish(study, Executor(script))
    (result,) = study.results()
    assert (result.loss, result.metrics["validation.loss"], result.seconds) == (0.2, 0.2, 1.0)
    assert result.metrics["duration"] == 0.5  # the median iteration
    assert trials(study)[0].value == 0.2


def test_what_is_maximised_is_best_where_it_is_highest(open_study: Open) -> None:
    maximised = (Objective(metric="validation.alignment_score", direction="maximize"),)
    study = open_study(1, dataclasses.replace(SPACE, objectives=maximised))
    finish(study, Executor([validation(3, 0.2, alignment=0.4), validation(6, 0.3, alignment=0.9)]))
    assert trials(study)[0].value == 0.9


def test_several_objectives_are_told_together_and_not_pruned(open_study: Open) -> None:
    both = (Objective(), Objective(metric="duration"))
    study = open_study(3, dataclasses.replace(SPACE, objectives=both, confirm=2))
    finish(study, Executor(*[[training(1, 0.25), validation(3, loss)] for loss in (0.4, 0.3, 0.2)]))
    assert [trial.values for trial in trials(study)] == [[0.4, 0.25], [0.3, 0.25], [0.2, 0.25]]


def test_an_objective_that_is_not_logged_is_named(open_study: Open) -> None:
    study = open_study(1, dataclasses.replace(SPACE, objectives=(Objective(metric="gpu.peak_memory"),)))
    with pytest.raises(SettingsError, match=r"The objective gpu\.peak_memory was not logged by this trial; it logged "):
        finish(study)


def test_two_slots_train_two_at_a_time_and_end_with_exactly_so_many(open_study: Open) -> None:
    study = open_study(7, slots=2)
    executor = finish(study, Executor(act=healthy, slots=2))
    assert executor.most_running == 2
    assert states(study) == ["COMPLETE"] * 7


def test_invalid_combinations_fail_with_their_sentence_and_do_not_count(open_study: Open) -> None:
    """learning_rate below final_learning_rate = 1e-5 is invalid."""
    low = dataclasses.replace(RATE, low=1e-7, high=1e-3)
    study = open_study(6, dataclasses.replace(SPACE, parameters=(low,)))
    executor = finish(study)
    failed = [trial for trial in trials(study) if trial.state is TrialState.FAIL]
    assert failed
    assert all("final_learning_rate must be at most" in trial.user_attrs["error"] for trial in failed)
    assert len(executor.trials) == len(study.results()) == 6


def test_a_space_without_valid_settings_ends_the_study(open_study: Open) -> None:
    low = dataclasses.replace(RATE, low=1e-7, high=1e-6)
    with pytest.raises(SettingsError, match="100 suggestions in a row are no valid settings"):
        finish(open_study(6, dataclasses.replace(SPACE, parameters=(low,))))


def test_a_suggestion_that_was_there_before_is_a_replicate_with_another_seed(open_study: Open) -> None:
    study = open_study(8, dataclasses.replace(SPACE, parameters=(GUIDED,)))
    executor = finish(study)
    by_number = {trial.number: trial.user_attrs for trial in trials(study)}
    repeats = [trial for trial in executor.trials if trial.origin == "replicate"]
    assert len(repeats) == 6  # two values, eight trials
    for trial in repeats:
        first = by_number[by_number[trial.number]["replicates"]]
        assert first["values"] == by_number[trial.number]["values"]
        assert first["seed"] != trial.settings.hparams.seed
        assert f"trial-{by_number[trial.number]['replicates']:04d}" in trial.note
    assert len(study.results()) == 8


def test_a_grid_is_trained_point_by_point_and_then_done(open_study: Open) -> None:
    chosen = dataclasses.replace(SPACE, parameters=(GUIDED, R), sampler=Sampler(name="grid"))
    with pytest.raises(Killed):
        finish(open_study(99, chosen), Executor(act=act({3: ending(Killed())})))
    study = open_study(99, chosen)
    finish(study)
    points = [json.dumps(result.values, sort_keys=True) for result in study.results()]
    assert len(points) == len(set(points)) == 6
    assert study.over == "The grid is done: all 6 combinations have been tried."


# best, and what it must satisfy

SPEAKS = (Constraint(metric="validation.alignment_score", operator=">=", limit=0.5),)


def test_best_satisfies_the_constraints_and_optuna_agrees(open_study: Open) -> None:
    study = open_study(3, dataclasses.replace(SPACE, constraints=SPEAKS))
    finish(study, Executor([validation(3, 0.1, 0.2)], [validation(3, 0.5, 0.9)], [validation(3, 0.3, 0.5)]))
    assert [result.feasible for result in study.results()] == [False, True, True]
    best = best_trial(study.results())
    assert best is not None
    assert best.number == study.study.best_trial.number == 2


def test_within_a_trial_a_feasible_validation_is_better(open_study: Open) -> None:
    study = open_study(1, dataclasses.replace(SPACE, constraints=SPEAKS))
    finish(study, Executor([validation(3, 0.1, 0.4), validation(6, 0.4, 0.8), validation(9, 0.5, 0.9)]))
    assert (trials(study)[0].value, study.results()[0].metrics["validation.alignment_score"]) == (0.4, 0.8)
    assert trials(study)[0].constraints == {"validation.alignment_score >= 0.5": pytest.approx(-0.3)}


def test_a_constraint_that_is_not_logged_is_named(open_study: Open) -> None:
    memory_limit = (Constraint(metric="gpu.peak_memory", operator="<=", limit=20.0),)
    with pytest.raises(SettingsError, match=r"gpu\.peak_memory <= 20 names a metric that this trial did not log"):
        finish(open_study(1, dataclasses.replace(SPACE, constraints=memory_limit)))


# stops


def test_the_pruner_compares_at_equal_utterances_and_says_with_what(open_study: Open) -> None:
    study = open_study(2, ASHA)
    executor = finish(study, Executor(act=act({0: fixed(0.5, 0.4, 0.3, 0.2), 1: fixed(0.9, 0.1, 0.1, 0.1)})))
    assert executor.trials[0].marks == (100, 300, 900)
    assert states(study) == ["COMPLETE", "PRUNED"]
    result = study.results()[1]
    assert (result.state, result.kind, result.rule, result.judged_at) == ("stopped", "pruner", "asha", 100)
    assert "validation.loss is 0.9 at the comparison at 100 utterances, and 1 other trial(s) had a best of 0.5" in (
        result.reason
    )
    observed = {"validation.loss": 0.9, "rung": 100.0, "trials": 1.0, "best": 0.5, "median": 0.5}
    assert trials(study)[1].user_attrs["stop.observed"] == observed
    assert trials(study)[1].intermediate_values == result.rungs == {100: 0.9}
    assert [verdict is None for number, verdict in executor.answers if number == 1] == [False]


def test_a_rung_is_reported_once_by_the_first_validation_that_reaches_it(open_study: Open) -> None:
    study = open_study(1, ASHA)
    told = [validation(24, 0.9), validation(30, 0.8), validation(40, 0.7), validation(230, 0.6)]
    finish(study, Executor([dataclasses.replace(one, fraction=0.5) for one in told]))
    assert trials(study)[0].intermediate_values == {100: 0.8, 300: 0.6, 900: 0.6}


def test_baselines_and_replicates_are_never_pruned(open_study: Open) -> None:
    chosen = dataclasses.replace(ASHA, parameters=(GUIDED,))
    study = open_study(4, chosen)
    finish(
        study, Executor(act=act({0: fixed(0.1, 0.1, 0.1, 0.1), **{n: fixed(0.9, 0.9, 0.9, 0.9) for n in (1, 2, 3)}}))
    )
    stopped = {result.origin: result.state for result in study.results()}
    assert stopped["replicate"] == stopped["baseline"] == "complete"


def test_nothing_is_pruned_at_its_end(open_study: Open) -> None:
    study = open_study(2, ASHA)
    end = dataclasses.replace(validation(250, 0.9), fraction=1.0)
    finish(study, Executor(act=act({0: fixed(0.5, 0.4, 0.3, 0.2), 1: ending(end)})))
    assert states(study) == ["COMPLETE", "COMPLETE"]


def test_a_stop_by_health_is_kept_with_its_numbers(open_study: Open) -> None:
    study = open_study(1)
    finish(study, Executor([validation(3, 0.5), SICK]))
    (result,) = study.results()
    assert (result.state, result.kind, result.rule, result.reason) == (
        "stopped",
        "health",
        "non_finite",
        "The loss is not finite.",
    )


# audit

AUDIT = dataclasses.replace(ASHA, audit=1.0)
LATE_ATTENTION = Finding(
    level="stop",
    rule="attention_late",
    sentence="No attention.",
    step=30,
    utterances=120,
    observed={"validation.alignment_score": 0.2},
    limits={},
    threshold="0.3",
    window="3 validations",
)


def test_an_audited_trial_runs_on_and_is_never_best(open_study: Open) -> None:
    study = open_study(2, AUDIT)
    executor = finish(study, Executor(act=act({0: fixed(0.5, 0.5, 0.5, 0.5), 1: fixed(0.9, 0.8, 0.7, 0.1)})))
    assert [trial.audited for trial in executor.trials] == [False, True]  # never a baseline
    assert all(verdict is None for _, verdict in executor.answers)
    result = study.results()[1]
    assert (states(study)[1], result.state, result.rule, result.judged_at) == ("PRUNED", "audited", "asha", 100)
    assert (result.loss, result.rungs) == (0.1, {100: 0.9, 300: 0.8, 900: 0.7})
    assert trials(study)[1].user_attrs["audit.final"] == 0.1
    best = best_trial(study.results())
    assert best is not None
    assert best.number == study.study.best_trial.number == 0


def test_an_audited_trial_that_nobody_doomed_counts_like_any_other(open_study: Open) -> None:
    study = open_study(2, AUDIT)
    finish(study, Executor(act=act({0: fixed(0.5, 0.5, 0.5, 0.5), 1: fixed(0.4, 0.3, 0.2, 0.1)})))
    assert (study.results()[1].state, study.study.best_trial.number) == ("complete", 1)


def test_a_doomed_trial_takes_no_part_in_later_comparisons(open_study: Open) -> None:
    study = open_study(3, AUDIT)
    others = {0: fixed(0.5, 0.5, 0.5, 0.5), 1: fixed(0.9, 0.1, 0.1, 0.1), 2: fixed(0.4, 0.45, 0.4, 0.4)}
    finish(study, Executor(act=act(others)))
    assert [result.state for result in study.results()] == ["complete", "audited", "complete"]


def test_the_first_finding_dooms_an_audited_trial(open_study: Open) -> None:
    study = open_study(2, AUDIT)
    later = dataclasses.replace(LATE_ATTENTION, rule="gate_never", step=60)
    script = [validation(25, 0.1), LATE_ATTENTION, later, validation(250, 0.1)]
    finish(study, Executor(act=act({1: ending(*script)})))
    result = study.results()[1]
    assert (result.state, result.kind, result.rule, result.reason) == (
        "audited",
        "health",
        "attention_late",
        "No attention.",
    )


def test_warnings_doom_nobody(open_study: Open) -> None:
    study = open_study(2, AUDIT)
    script = [validation(25, 0.1), dataclasses.replace(LATE_ATTENTION, level="warn"), validation(250, 0.1)]
    finish(study, Executor(act=act({1: ending(*script)})))
    assert study.results()[1].state == "complete"


def test_an_audited_trial_that_cannot_go_on_is_stopped(open_study: Open) -> None:
    study = open_study(2, AUDIT)
    finish(study, Executor(act=act({0: fixed(0.5, 0.5, 0.5, 0.5), 1: ending(validation(25, 0.9), SICK)})))
    assert (study.results()[1].state, study.results()[1].rule) == ("stopped", "non_finite")


def test_the_audit_draws_its_share(open_study: Open) -> None:
    study = open_study(40, dataclasses.replace(SPACE, audit=0.25))
    executor = finish(study, Executor(act=lambda _: [validation(3, 0.5)]))
    assert 4 <= sum(trial.audited for trial in executor.trials) <= 16


# faults


def test_lack_of_memory_is_tried_once_more_and_then_passed_over(open_study: Open) -> None:
    study = open_study(3)
    executor = finish(study, Executor(act=act({1: ending(FULL), 2: ending(FULL)})))
    assert [(trial.number, trial.origin) for trial in executor.trials] == [
        (0, "baseline"),
        (1, "sampled"),
        (2, "retried"),
        (3, "sampled"),
        (4, "sampled"),
    ]
    first, second = executor.trials[1], executor.trials[2]
    assert first.settings == second.settings  # the seed included
    assert states(study) == ["COMPLETE", "FAIL", "FAIL", "COMPLETE", "COMPLETE"]


def test_a_retry_that_ends_well_counts_once(open_study: Open) -> None:
    study = open_study(3)
    finish(study, Executor(act=act({0: ending(FULL)})))
    assert states(study) == ["FAIL", "COMPLETE", "COMPLETE", "COMPLETE"]
    assert [result.origin for result in study.results()] == ["retried", "sampled", "sampled"]
    assert study.results()[0].values == OWN


def test_bad_data_is_not_tried_again(open_study: Open) -> None:
    study = open_study(3)
    executor = finish(study, Executor(act=act({1: ending(DataError("A mel is broken."))})))
    assert [trial.origin for trial in executor.trials] == ["baseline", "sampled", "sampled", "sampled"]


def test_three_configurations_that_fail_in_a_row_end_the_study(open_study: Open) -> None:
    study = open_study(9)
    broken = ending(DataError("A mel is broken."))
    with pytest.raises(DataError):
        finish(study, Executor(act=act({1: broken, 3: broken, 4: broken, 5: broken})))
    assert states(study) == ["COMPLETE", "FAIL", "COMPLETE", "FAIL", "FAIL", "FAIL"]


@pytest.mark.parametrize("between", [healthy, ending(SICK)])
def test_failures_apart_from_each_other_do_not_end_it(open_study: Open, between: Callable[[Trial], Script]) -> None:
    broken = ending(DataError("A mel is broken."))
    study = open_study(3)
    finish(study, Executor(act=act({0: broken, 1: broken, 2: between, 3: broken})))
    assert states(study).count("FAIL") == 3
    assert len(study.results()) == 3


def test_a_bug_ends_the_study(open_study: Open) -> None:
    with pytest.raises(ZeroDivisionError):
        finish(open_study(), Executor(act=act({1: ending(ZeroDivisionError("a bug"))})))
    assert states(open_study()) == ["COMPLETE", "FAIL"]


def test_a_pending_retry_is_made_by_the_next_session(open_study: Open) -> None:
    study = open_study(2)
    trial = study.next(0)
    assert trial is not None
    study.ended(trial, FULL)
    executor = finish(open_study(2))
    assert [(trial.number, trial.origin) for trial in executor.trials] == [(1, "retried"), (2, "sampled")]


# going on


def test_interrupted_trials_go_on_first_and_exactly_so_many_finish(open_study: Open) -> None:
    stopped = Executor(act=act({2: ending(validation(3, 0.4), INTERRUPTED), 3: ending(INTERRUPTED)}), slots=2)
    with pytest.raises(Interrupted):
        finish(open_study(6, slots=2), stopped)
    again = finish(open_study(6, slots=2), Executor(act=healthy, slots=2))
    assert [trial.number for trial in again.trials[:2]] == [2, 3]
    before = {trial.number: trial for trial in stopped.trials}
    assert again.trials[:2] == [before[2], before[3]]
    assert states(open_study()) == ["COMPLETE"] * 6


def test_a_trial_that_was_never_handed_out_fails_and_does_not_count(open_study: Open) -> None:
    finish(open_study(1))
    half = open_study(3).study.ask()
    half.suggest_float(RATE.name, 1e-3, 1e-1, log=True)
    study = open_study(3)
    assert [trial.number for trial in finish(study).trials] == [2, 3]
    assert states(study) == ["COMPLETE", "FAIL", "COMPLETE", "COMPLETE"]


def test_a_trial_that_waits_since_a_kill_is_the_next(open_study: Open) -> None:
    study = open_study(2)
    attributes = study.agenda.listed([])
    assert attributes is not None
    study.study.enqueue_trial(OWN, user_attrs=study.agenda.described(0, attributes))
    executor = finish(open_study(2))
    assert [(trial.number, trial.origin) for trial in executor.trials] == [(0, "baseline"), (1, "sampled")]
    assert trials(study)[0].params == OWN


class Cut(Exception):
    """The machine dies at a call of the storage."""


def write_calls(cut_at: int) -> Iterator[None]:
    """Every writing call of Optuna's storage passes by here; the one with this number never happens."""
    for number in itertools.count(1):
        if number == cut_at:
            raise Cut
        yield


WRITES = (
    "create_new_trial",
    "set_trial_param",
    "set_trial_state_values",
    "set_trial_intermediate_value",
    "set_trial_user_attr",
    "set_trial_system_attr",
)


def cut_down(study: TuneStudy, cut_at: int) -> None:
    """Make the storage die at a writing call."""
    passed = write_calls(cut_at)
    for name in WRITES:
        real = getattr(study.study._storage, name)

        def call(*given: Any, _real: Callable[..., Any] = real, **named: Any) -> Any:
            next(passed)
            return _real(*given, **named)

        setattr(study.study._storage, name, call)


def test_a_kill_at_any_write_leaves_a_study_that_ends_as_it_should(open_study: Open) -> None:
    chosen = dataclasses.replace(AUDIT, audit=0.5, confirm=1)
    cuts = 0
    for cut_at in itertools.count(1, 13):
        study = open_study(4, chosen, name=f"cut {cut_at}", slots=2)
        cut_down(study, cut_at)
        try:
            finish(study, Executor(act=healthy, slots=2))
            break
        except Cut:
            cuts += 1
        study = open_study(4, chosen, name=f"cut {cut_at}", slots=2)
        finish(study, Executor(act=healthy, slots=2))
        assert len(searched(study)) == 4, cut_at
        assert not {"RUNNING", "WAITING"} & set(states(study)), cut_at
        assert all(result.values and result.loss is not None for result in study.results()), cut_at
        own = [trial for trial in trials(study) if trial.user_attrs.get("baseline") == 0 and trial.state.name != "FAIL"]
        assert len(own) == 1, cut_at
    assert cuts > 5


def test_a_verdict_that_a_kill_cut_off_stops_the_trial_when_it_goes_on(open_study: Open) -> None:
    study = open_study(2, ASHA)
    with pytest.raises(Killed):
        finish(study, Executor(act=act({0: fixed(0.5, 0.4, 0.3, 0.2), 1: ending(Killed())})))
    study = open_study(2, ASHA)
    trial = study.next(0)
    assert trial is not None
    (losing,) = fixed(0.9)(trial)
    assert isinstance(losing, Progress)
    assert study.heard(trial, losing) is not None
    again = open_study(2, ASHA)
    finish(again, Executor(act=act({1: fixed(0.9, 0.1, 0.1, 0.1)})))
    assert states(again) == ["COMPLETE", "PRUNED"]
    assert again.results()[1].judged_at == 100


def test_a_kill_within_a_validation_loses_no_comparison(open_study: Open) -> None:
    """But for one write: the pruner notes that it has compared before it says with what result."""
    lost, cut_at = [], 0
    for cut_at in itertools.count(1):
        name = f"cut {cut_at}"
        finish(open_study(1, ASHA, name=name), Executor(act=fixed(0.5, 0.4, 0.3, 0.2)))
        study = open_study(2, ASHA, name=name)
        trial = study.next(0)
        assert trial is not None
        (losing,) = fixed(0.9)(trial)
        assert isinstance(losing, Progress)
        cut_down(study, cut_at)
        try:
            study.heard(trial, losing)
            break
        except Cut:
            again = open_study(2, ASHA, name=name)
        finish(again, Executor(act=act({1: fixed(0.9, 0.1, 0.1, 0.1)})))
        lost += [] if states(again) == ["COMPLETE", "PRUNED"] else [cut_at]
    assert cut_at > 5
    assert len(lost) <= 1


def test_what_is_told_again_counts_once(open_study: Open) -> None:
    past = [training(1), training(2), validation(3, 0.4)]
    with pytest.raises(Interrupted):
        finish(open_study(1), Executor([*past, INTERRUPTED]))
    study = open_study(1)
    events = [event for _, event in run(study, Executor([*past, training(4), validation(6, 0.5)]))]
    assert [event.step for event in events if isinstance(event, Progress)] == [4, 6]
    assert (study.results()[0].seconds, study.results()[0].loss) == (1.5, 0.4)


def test_suggestions_are_not_replayed(open_study: Open) -> None:
    for count in (2, 4, 6):
        finish(open_study(count))
    rates = [result.values["hparams.learning_rate"] for result in open_study().results()]
    assert len(set(rates)) == 6


def test_a_finished_study_adds_nothing_and_more_trials_add_the_rest(open_study: Open) -> None:
    finish(open_study(3))
    assert finish(open_study(3)).trials == []
    assert [trial.number for trial in finish(open_study(5)).trials] == [3, 4]


def test_ended_trials_have_their_runs_status(open_study: Open) -> None:
    study = open_study(3)
    with pytest.raises(Killed):
        finish(study, Executor(act=act({1: ending(SICK), 2: ending(DataError("No.")), 3: ending(Killed())})))
    assert study.statuses() == {0: "FINISHED", 1: "KILLED", 2: "FAILED"}


# confirmation

CONFIRM = dataclasses.replace(SPACE, confirm=2)


def test_the_best_and_the_baseline_are_trained_again_with_the_same_seeds(open_study: Open) -> None:
    study = open_study(5, CONFIRM)
    executor = finish(study)
    best = best_trial(study.results())
    assert best is not None
    again = executor.trials[5:]
    assert [trial.settings.hparams.seed - 1_001_234 for trial in again] == [0, 0, 1, 1]
    assert [result.confirms for result in study.results()[5:]] == ["best", "baseline"] * 2
    assert [result.values for result in study.results()[5:]] == [best.values, OWN] * 2
    assert all(trial.origin == "replicate" for trial in again)
    assert len(searched(study)) == 5


def test_the_confirmation_waits_for_the_whole_search(open_study: Open) -> None:
    study = open_study(4, CONFIRM, slots=3)
    executor = finish(study, Executor(act=healthy, slots=3))
    assert [trial.number for trial in executor.trials] == list(range(8))
    assert [bool(result.confirms) for result in study.results()] == [False] * 4 + [True] * 4


def test_a_confirmation_goes_on_where_it_was_left(open_study: Open) -> None:
    with pytest.raises(Interrupted):
        finish(open_study(3, CONFIRM), Executor(act=act({5: ending(INTERRUPTED)})))
    study = open_study(3, CONFIRM)
    assert [trial.number for trial in finish(study).trials] == [5, 6]
    assert [result.confirms for result in study.results()[3:]] == ["best", "baseline"] * 2


def test_another_best_is_confirmed_anew_and_the_old_ones_are_called_earlier(open_study: Open) -> None:
    losses = {0: fixed(0.5, 0.5, 0.5, 0.5), 1: fixed(0.4, 0.4, 0.4, 0.4), 6: fixed(0.1, 0.1, 0.1, 0.1)}
    finish(open_study(2, CONFIRM), Executor(act=act(losses)))
    study = open_study(3, CONFIRM)
    finish(study, Executor(act=act(losses)))
    labels = [result.confirms for result in study.results()]
    assert labels == ["", "", "earlier", "baseline", "earlier", "baseline", "", "best", "best"]


@pytest.mark.parametrize("losses", [{0: fixed(0.0, 0.0, 0.0, 0.0)}, {n: ending(SICK) for n in range(3)}])
def test_without_a_better_trial_there_is_nothing_to_confirm(
    open_study: Open, losses: dict[int, Callable[[Trial], Script]]
) -> None:
    assert len(finish(open_study(3, CONFIRM), Executor(act=act(losses))).trials) == 3


def test_a_sick_baseline_is_not_trained_again(open_study: Open) -> None:
    study = open_study(3, CONFIRM)
    finish(study, Executor(act=act({0: ending(SICK)})))
    assert [result.confirms for result in study.results()[3:]] == ["best", "best"]


def test_a_failed_confirmation_is_tried_once_more_and_not_for_ever(open_study: Open) -> None:
    study = open_study(2, CONFIRM)
    executor = finish(study, Executor(act=act({2: ending(FULL), 3: ending(FULL)})))
    assert [trial.origin for trial in executor.trials[2:]] == ["replicate", "retried", *["replicate"] * 3]
    assert len(searched(study)) == 2


# time


def test_the_search_keeps_the_time_for_its_confirmation(open_study: Open) -> None:
    """A complete trial takes 1000 s, so that one more and then 4 on 2 slots need 3000 s."""
    slow = [training(1, 1000.0), validation(3, 0.5)]
    finish(open_study(2, CONFIRM, slots=2), Executor(act=lambda trial: [*slow, validation(6, loss_of(trial))]))
    left = open_study(9, CONFIRM, slots=2, deadline=time.monotonic() + 2900)
    assert left.next(0) is None
    assert left.over == "The time is up, but for what the confirmation needs."
    enough = open_study(9, CONFIRM, slots=2, deadline=time.monotonic() + 3100)
    assert enough.next(0) is not None
    assert enough.over == ""


def test_out_of_time_the_search_ends_and_the_best_is_confirmed(open_study: Open) -> None:
    study = open_study(9, CONFIRM, deadline=time.monotonic() + 3600)
    slow = 3600 / 4 + 1
    executor = Executor(act=lambda trial: [training(1, 1.0 if trial.number < 3 else slow * 4), *healthy(trial)[1:]])
    finish(study, executor)
    assert [bool(result.confirms) for result in study.results()].index(True) == 4
    assert sum(result.confirms == "baseline" for result in study.results()) == 2


# what a study is made for


def test_a_study_made_for_something_else_is_refused_and_what_differs_is_named(open_study: Open) -> None:
    open_study()
    maximised = (Objective(metric="validation.alignment_score", direction="maximize"),)
    fast = (Objective(metric="duration"),)
    others: list[tuple[str, dict[str, Any]]] = [
        (r"to minimize validation\.loss, not to maximize", {"space": dataclasses.replace(SPACE, objectives=maximised)}),
        (r"to minimize validation\.loss, not to minimize dur", {"space": dataclasses.replace(SPACE, objectives=fast)}),
        ("with trials of 1000utt, not 2000utt", {"settings": {"budget": "2000utt"}}),
        (r"with other settings \(batch_size: 4\)", {"settings": {"batch_size": 2}}),
        (r"on another corpus \(digest c0rpus, now 0ther\)", {"corpus": "0ther"}),
        (r"with other constraints \(none; now validation", {"space": dataclasses.replace(SPACE, constraints=SPEAKS)}),
    ]  # fmt: skip
    for sentence, change in others:
        with pytest.raises(StorageError, match=f"'s' was made {sentence}"):
            open_study(6, **change)


def test_other_choices_are_refused_and_other_ranges_are_not(open_study: Open) -> None:
    finish(open_study(2, dataclasses.replace(SPACE, parameters=(RATE, GUIDED))))
    wider = dataclasses.replace(RATE, high=0.5)
    finish(open_study(4, dataclasses.replace(SPACE, parameters=(wider, GUIDED))))
    fewer = dataclasses.replace(GUIDED, choices=(True,))
    with pytest.raises(StorageError, match=r"another hparams\.use_guided_attn .* only ranges may change"):
        open_study(4, dataclasses.replace(SPACE, parameters=(RATE, fewer)))


def test_other_rungs_of_a_halving_pruner_are_refused(open_study: Open) -> None:
    open_study(2, ASHA)
    open_study(2, SPACE)  # another pruner
    with pytest.raises(StorageError, match=r"comparisons at \[100, 300, 900\] utterances, now \[50, 150, 450\]"):
        open_study(2, dataclasses.replace(ASHA, pruner=Pruner(name="asha", warmup="50utt")))


def test_train_and_tune_studies_refuse_each_others_names(open_study: Open, url: str) -> None:
    open_study()
    TrainStudy("t", url, small.settings(budget="1000utt"), "c0rpus", 1)
    with pytest.raises(StorageError, match="'s' was made by --mode tune, not --mode train; name another study"):
        TrainStudy("s", url, small.settings(budget="1000utt"), "c0rpus", 1)
    with pytest.raises(StorageError, match="'t' was made by --mode train, not --mode tune; name another study"):
        open_study(name="t")


def test_a_study_remembers_the_space_that_it_began_with(open_study: Open) -> None:
    open_study()
    later = open_study(6, dataclasses.replace(SPACE, confirm=1))
    assert later.began_with == SPACE.to_plain()


# winner


def test_the_winner_is_found_by_the_studys_name(tmp_path: Path) -> None:
    url = storage(tmp_path)
    for name in ("s", "t"):
        TuneStudy(name, url, SPACE, small.settings(budget="1000utt"), "c", 100, 1).conclude({"trial": 3})
    TuneStudy("u", url, SPACE, small.settings(budget="1000utt"), "c", 100, 1)
    assert load_winner(url, "s") == {"trial": 3}
    for name in ("u", "v"):
        with pytest.raises(StorageError, match=f"No search '{name}' with a winner is in .*; those with one: s, t"):
            load_winner(url, name)


def test_a_winner_is_not_looked_for_in_a_store_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="does not exist yet"):
        load_winner(f"sqlite:///{tmp_path}/none.db", "s")
    assert list(tmp_path.iterdir()) == []


# warm start


@pytest.fixture
def earlier(tmp_path: Path) -> str:
    """A storage with a finished search "old" of four trials, the last one stopped."""
    url = storage(tmp_path)
    settings = small.settings(budget="1000utt")
    study = TuneStudy("old", url, dataclasses.replace(SPACE, constraints=SPEAKS), settings, "c0rpus", 100, 4)
    finish(study, Executor(act=act({3: ending(validation(25, 0.9), SICK)})))
    return url


def warmed(url: str, space: Space = SPACE, corpus: str = "c0rpus", budget: str = "1000utt") -> TuneStudy:
    return TuneStudy("s", url, space, small.settings(budget=budget), corpus, 100, 2)


def test_a_warm_start_teaches_the_sampler_and_counts_for_nothing_else(earlier: str) -> None:
    study = warmed(earlier)
    taken = study.warm_start("old", earlier)
    assert (taken.taken, taken.left, str(taken)) == (4, {}, "4 trial(s) taken over")
    old = optuna.load_study(study_name="old", storage=earlier)
    assert [trial.params for trial in trials(study)] == [trial.params for trial in old.trials]
    assert [trial.value for trial in trials(study)] == [trial.value for trial in old.trials]
    assert study.results() == []
    executor = finish(study)
    assert [trial.number for trial in executor.trials] == [4, 5]
    assert [result.number for result in study.results()] == [4, 5]


def test_a_warm_start_happens_once_also_after_a_kill(earlier: str) -> None:
    study = warmed(earlier)
    study.warm_start("old", earlier)
    assert warmed(earlier).warm_start("old", earlier).taken == 4
    other = TuneStudy("k", earlier, SPACE, small.settings(budget="1000utt"), "c0rpus", 100, 2)
    cut_down(other, 3)
    with pytest.raises(Cut):
        other.warm_start("old", earlier)
    again = TuneStudy("k", earlier, SPACE, small.settings(budget="1000utt"), "c0rpus", 100, 2)
    again.warm_start("old", earlier)
    assert len(trials(again)) == len(trials(study)) == 4


def test_a_warm_start_leaves_out_what_does_not_fit(earlier: str) -> None:
    narrow = dataclasses.replace(RATE, low=9e-3, high=1.1e-2)
    assert (
        "hparams.learning_rate out of range"
        in warmed(earlier, dataclasses.replace(SPACE, parameters=(narrow, R))).warm_start("old", earlier).left
    )
    url = earlier
    more = TuneStudy(
        "m",
        url,
        dataclasses.replace(SPACE, parameters=(RATE, R, GUIDED)),
        small.settings(budget="1000utt"),
        "c0rpus",
        100,
        2,
    )
    assert more.warm_start("old", url).left == {"without hparams.use_guided_attn": 4}
    fewer = TuneStudy(
        "f", url, dataclasses.replace(SPACE, parameters=(RATE,)), small.settings(budget="1000utt"), "c0rpus", 100, 2
    )
    assert fewer.warm_start("old", url).left == {"with hparams.reduction_factor": 4}
    assert trials(fewer) == []


def test_a_warm_start_judges_by_todays_constraints(earlier: str) -> None:
    strict = (Constraint(metric="validation.alignment_score", operator=">=", limit=0.9),)
    study = warmed(earlier, dataclasses.replace(SPACE, constraints=strict))
    study.warm_start("old", earlier)
    assert trials(study)[0].constraints == {"validation.alignment_score >= 0.9": pytest.approx(0.1)}


def test_a_warm_start_needs_the_same_objective_corpus_and_budget(earlier: str) -> None:
    with pytest.raises(StorageError, match="'old' has another corpus"):
        warmed(earlier, corpus="0ther").warm_start("old", earlier)
    other = TuneStudy("b", earlier, SPACE, small.settings(budget="2000utt"), "c0rpus", 100, 2)
    with pytest.raises(StorageError, match="'old' has another budget"):
        other.warm_start("old", earlier)
    with pytest.raises(StorageError, match=r"There is no tune study 'new' in .*; there are: b, old, s"):
        other.warm_start("new", earlier)

"""The search against a real Optuna store: what is trained, what stops, what a kill leaves, what counts as best."""

import dataclasses
import itertools
from collections.abc import Callable

import pytest
from optuna.trial import TrialState

from smart_tuner.analysis.conclusions import best_trial
from smart_tuner.errors import DataError, Interrupted, SettingsError, Verdict
from smart_tuner.progress import Progress
from smart_tuner.space.objective import Objective
from smart_tuner.study.trials import list_handed_out
from smart_tuner.study.tune import TuneStudy
from smart_tuner.trial import Trial
from tests.support import small
from tests.support.scripted import Executor, Killed, Script, training, validation
from tests.support.searches import (
    ASHA,
    FULL,
    GUIDED,
    INTERRUPTED,
    OWN,
    RATE,
    SICK,
    SPACE,
    SPEAKS,
    Cut,
    Open,
    act,
    cut_down,
    ending,
    finish,
    fixed,
    healthy,
    searched,
    states,
    trials,
)

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
    assert (result.value, result.metrics["validation.loss"], result.seconds) == (0.2, 0.2, 1.0)
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
    results = study.results()
    repeats = [trial for trial in executor.trials if trial.origin == "replicate"]
    assert (len(repeats), len(results)) == (6, 8)  # two values
    for trial in repeats:
        first = next(result for result in results if result.values == results[trial.number].values)
        assert first.origin != "replicate"
        assert f"Has the same values as trial-{first.number:04d}" in trial.note
    assert len({result.seed for result in results}) == 8


# best, and what it must satisfy


def number_of_best(study: TuneStudy) -> int | None:
    best = best_trial(study.results())
    return best and best.number


def test_best_satisfies_the_constraints_and_optuna_agrees(open_study: Open) -> None:
    study = open_study(3, dataclasses.replace(SPACE, constraints=SPEAKS))
    finish(study, Executor([validation(3, 0.1, 0.2)], [validation(3, 0.5, 0.9)], [validation(3, 0.3, 0.5)]))
    assert [result.feasible for result in study.results()] == [False, True, True]
    assert number_of_best(study) == study.study.best_trial.number == 2


def test_within_a_trial_a_feasible_validation_is_better(open_study: Open) -> None:
    study = open_study(1, dataclasses.replace(SPACE, constraints=SPEAKS))
    finish(study, Executor([validation(3, 0.1, 0.4), validation(6, 0.4, 0.8), validation(9, 0.5, 0.9)]))
    assert (trials(study)[0].value, study.results()[0].metrics["validation.alignment_score"]) == (0.4, 0.8)
    assert trials(study)[0].constraints == {"validation.alignment_score >= 0.5": pytest.approx(-0.3)}


# stops


def test_the_pruner_compares_at_equal_utterances_and_says_with_what(open_study: Open) -> None:
    study = open_study(2, ASHA)
    executor = finish(study, Executor(act=act({0: fixed(0.5, 0.4, 0.3, 0.2), 1: fixed(0.9, 0.1, 0.1, 0.1)})))
    assert executor.trials[0].rungs == (100, 300, 900)
    assert states(study) == ["COMPLETE", "PRUNED"]
    result = study.results()[1]
    assert (result.state, result.kind, result.rule, result.judged_at) == ("stopped", "pruner", "asha", 100)
    assert "validation.loss is 0.9 at the comparison at 100 utterances, and 1 other trial(s) had a best of 0.5" in (
        result.reason
    )
    observed = {"validation.loss": 0.9, "rung": 100.0, "trials": 1.0, "best": 0.5, "median": 0.5}
    assert trials(study)[1].user_attrs["stop"]["observed"] == observed
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
LATE_ATTENTION = Verdict(rule="attention_late", sentence="No attention.", step=30, utterances=120)


def test_an_audited_trial_runs_on_and_is_never_best(open_study: Open) -> None:
    study = open_study(2, AUDIT)
    executor = finish(study, Executor(act=act({0: fixed(0.5, 0.5, 0.5, 0.5), 1: fixed(0.9, 0.8, 0.7, 0.1)})))
    assert [trial.audited for trial in executor.trials] == [False, True]  # never a baseline
    assert all(verdict is None for _, verdict in executor.answers)
    result = study.results()[1]
    assert (states(study)[1], result.state, result.rule, result.judged_at) == ("PRUNED", "audited", "asha", 100)
    assert (result.value, result.rungs) == (0.1, {100: 0.9, 300: 0.8, 900: 0.7})
    assert trials(study)[1].user_attrs["audit_final"] == 0.1
    assert number_of_best(study) == study.study.best_trial.number == 0


def test_an_audited_trial_that_nobody_doomed_counts_like_any_other(open_study: Open) -> None:
    study = open_study(2, AUDIT)
    finish(study, Executor(act=act({0: fixed(0.5, 0.5, 0.5, 0.5), 1: fixed(0.4, 0.3, 0.2, 0.1)})))
    assert (study.results()[1].state, study.study.best_trial.number) == ("complete", 1)


def test_a_doomed_trial_takes_no_part_in_later_comparisons(open_study: Open) -> None:
    study = open_study(3, AUDIT)
    others = {0: fixed(0.5, 0.5, 0.5, 0.5), 1: fixed(0.9, 0.1, 0.1, 0.1), 2: fixed(0.4, 0.45, 0.4, 0.4)}
    finish(study, Executor(act=act(others)))
    assert [result.state for result in study.results()] == ["complete", "audited", "complete"]


def test_the_first_verdict_dooms_an_audited_trial(open_study: Open) -> None:
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
    trial = study.next_trial(0)
    assert trial is not None
    study.on_end(trial, FULL)
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
    plan = study.agenda.listed([])
    assert plan is not None
    study.study.enqueue_trial(OWN, user_attrs=study.agenda.complete(plan, 0).to_attributes())
    executor = finish(open_study(2))
    assert [(trial.number, trial.origin) for trial in executor.trials] == [(0, "baseline"), (1, "sampled")]
    assert trials(study)[0].params == OWN


def begin_losing(study: TuneStudy) -> tuple[Trial, Progress]:
    """A trial that has begun, and a validation that the pruner stops it at."""
    trial = study.next_trial(0)
    assert trial is not None
    return trial, dataclasses.replace(validation(25, 0.9), fraction=0.1)


@pytest.mark.slow
def test_a_kill_at_any_write_leaves_a_study_that_ends_as_it_should(open_study: Open) -> None:
    chosen = dataclasses.replace(AUDIT, audit=0.5, confirm=1)
    cuts = 0
    for cut_at in itertools.count(1, 5):
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
        assert all(result.values and result.value is not None for result in study.results()), cut_at
        known = list_handed_out(trials(study))
        own = [trial for trial in known if trial.plan.baseline == 0 and trial.state is not TrialState.FAIL]
        assert len(own) == 1, cut_at
    assert cuts > 5


def test_a_verdict_that_a_kill_cut_off_stops_the_trial_when_it_goes_on(open_study: Open) -> None:
    study = open_study(2, ASHA)
    with pytest.raises(Killed):
        finish(study, Executor(act=act({0: fixed(0.5, 0.4, 0.3, 0.2), 1: ending(Killed())})))
    study = open_study(2, ASHA)
    trial, losing = begin_losing(study)
    assert study.on_progress(trial, losing) is not None
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
        trial, losing = begin_losing(study)
        cut_down(study, cut_at)
        try:
            study.on_progress(trial, losing)
            break
        except Cut:
            again = open_study(2, ASHA, name=name)
        finish(again, Executor(act=act({1: fixed(0.9, 0.1, 0.1, 0.1)})))
        lost += [] if states(again) == ["COMPLETE", "PRUNED"] else [cut_at]
    assert cut_at > 5
    assert len(lost) <= 1


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

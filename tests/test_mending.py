"""Advice on what went wrong."""

from typing import Any

import pytest
from cases import BATCH, BATCHES, COMMAND, RATE, RATES, case, failed, result, space, stopped

from smart_tuner.report.advising import mending
from smart_tuner.report.catalogue import MISSING, said
from smart_tuner.report.evidence import Run
from smart_tuner.report.view import Advice, Level, Verdict

ALONE = (
    "The GPU has no memory left for a single utterance (hparams.batch_size 32 in as many parts); leave the longest out."
)
FULL = "The GPU has no memory left at hparams.batch_size 32; try half of it. (out of memory)"
SCORE = "validation.alignment_score"


def spoken(advice: Advice | None) -> Advice:
    assert advice is not None
    return advice


def sized(number: int, batch: int) -> Any:
    return result(number, values={BATCH: batch})


# breakage


SIXTEEN = "hparams: {batch_size: 16}"


def test_choices_that_no_trial_got_through_with_are_left_out_of_another_study() -> None:
    space_of = space({BATCH: BATCHES})
    full = case([sized(0, 16)], runs=[failed(1, FULL, 32)], space=space_of, settings=SIXTEEN)
    found = spoken(mending.memory(full))
    assert (found.what.key, found.what.facts) == ("advice.memory_choices", {"choices": "8, 16"})
    assert found.because.facts == {"count": 1, "smallest": 32, "most": "16"}
    assert found.command == f"{COMMAND} --study mine-smaller --warm-start mine"  # as many trials as before


def test_settings_whose_own_batch_is_left_out_get_one_that_is_not() -> None:
    """A space must hold the settings' own choice."""
    large = "hparams: {batch_size: 32}"
    full = case([sized(0, 16)], runs=[failed(1, FULL, 32)], space=space({BATCH: BATCHES}), settings=large)
    assert spoken(mending.memory(full)).command.endswith("--warm-start mine --set hparams.batch_size=16")


def test_no_smaller_batch_is_advised_when_a_single_utterance_does_not_fit() -> None:
    assert mending.memory(case([], runs=[failed(0, ALONE, 32)], settings=SIXTEEN)) is None


@pytest.mark.parametrize(("smallest", "size"), [(16, 8), (8, 4)])
def test_a_single_choice_is_none_to_search_over(smallest: int, size: int) -> None:
    full = case([], runs=[failed(0, FULL, smallest)], space=space({BATCH: BATCHES}), settings=SIXTEEN)
    found = spoken(mending.memory(full))
    assert (found.what.key, found.what.facts) == ("advice.memory_alone", {"size": size})
    assert found.because.facts["most"] == MISSING
    assert found.command == f"{COMMAND} --study mine-smaller --set hparams.batch_size={size}"


def test_the_upper_end_of_a_range_is_lowered_to_the_largest_batch_that_fits() -> None:
    sizes = {**BATCHES, "type": "int", "low": 8, "high": 64, "choices": []}
    trials = [sized(0, 16), sized(1, 24)]
    found = spoken(mending.memory(case(trials, runs=[failed(2, FULL, 40)], space=space({BATCH: sizes}))))
    assert found.what.facts == {"range": "low: 8, high: 24"}
    assert found.command.endswith("--trials 12 --study mine")  # as many as before, though the space takes five


def test_a_batch_size_that_is_not_searched_over_is_halved() -> None:
    found = spoken(mending.memory(case([], runs=[failed(0, FULL, 32)])))
    assert found.what.facts == {"size": 16}
    assert found.command.endswith("--study mine-smaller --set hparams.batch_size=16")


def test_a_batch_size_that_fitted_later_is_no_reason() -> None:
    assert mending.memory(case([sized(0, 32)], runs=[failed(1, FULL, 32)])) is None
    assert mending.memory(case([sized(0, 32)], runs=[failed(1, "no such file", 64)])) is None


def test_other_faults_are_told_when_there_are_two_or_nothing_else() -> None:
    one, two = failed(1, "no such file", 8), failed(2, "no such file", 8)
    found = spoken(mending.faults(case([result(0)], runs=[one, two])))
    assert found.because.facts == {"failed": 2, "count": 2, "sentence": "no such file"}
    assert mending.faults(case([result(0)], runs=[one])) is None
    assert mending.faults(case([], runs=[one])) is not None
    assert mending.faults(case([], runs=[failed(1, FULL, 8)])) is None


# stops


def exploded(*numbers: int) -> list[Any]:
    return [stopped(number, "exploding_gradients") for number in numbers]


def test_a_rule_that_stopped_half_of_the_trials_brings_its_repair() -> None:
    fixed = space({BATCH: BATCHES})
    found = spoken(mending.stops(case([result(0), result(1), result(2), *exploded(3, 4, 5)], space=fixed)))
    assert found.what.facts["changes"] == ["hparams.learning_rate=0.0003"]
    assert found.because.facts == {"rule": "exploding_gradients", "count": 3, "trials": 6}
    assert found.command.endswith("--study mine-repaired --set hparams.learning_rate=0.0003")


def test_the_range_of_a_setting_that_is_searched_over_is_shifted() -> None:
    found = spoken(mending.stops(case([result(0), *exploded(1, 2, 3)], space=space({RATE: RATES}))))
    [change] = found.what.facts["changes"]
    assert change.facts == {"name": RATE, "range": "low: 3e-05, high: 0.003"}
    assert found.command.endswith("--study mine-repaired")


def test_a_rule_that_stopped_fewer_says_nothing_while_there_is_a_best() -> None:
    assert mending.stops(case([*(result(number) for number in range(4)), *exploded(4, 5, 6)])) is None
    assert mending.stops(case([result(0), *exploded(1, 2)])) is None
    assert mending.stops(case([result(0), *(stopped(number, "asha", "pruner") for number in (1, 2, 3))])) is None


def test_when_all_were_stopped_the_most_frequent_rule_counts() -> None:
    found = spoken(mending.stops(case([stopped(0, "gate_never"), *exploded(1, 2)])))
    assert found.because.facts["rule"] == "exploding_gradients"


@pytest.mark.parametrize("settings", ["", "hparams: {of_another_version: 1}", "- 1"])
def test_unknown_settings_bring_no_invented_repair(settings: str) -> None:
    found = spoken(mending.stops(case(exploded(0, 1, 2), settings=settings)))
    assert found.what.key == "advice.stops_unknown"


def test_no_feasible_trial_says_how_near_the_nearest_came() -> None:
    metrics = [{SCORE: 0.41}, {SCORE: 0.47}]
    trials = [result(number, metrics=one, feasible=False) for number, one in enumerate(metrics)]
    found = spoken(mending.unhealthy(case(trials, constraints=(f"{SCORE} >= 0.5", "duration <= 9"))))
    [nearest] = found.because.facts["nearest"]
    assert nearest.facts == {"constraint": f"{SCORE} >= 0.5", "value": 0.47, "name": "trial-0001"}
    assert found.command.endswith("--study mine-longer --budget 2000utt")
    assert mending.unhealthy(case([*trials, result(2)])) is None
    assert mending.unhealthy(case(exploded(0))) is None


def judged(metric: str, value: float, level: Level = "sick") -> dict[str, tuple[Verdict, ...]]:
    return {"trial-0000": (Verdict(metric=metric, value=value, level=level, rule=said("advice.low")),)}


def test_a_best_that_is_sick_by_the_guide_is_trained_with_the_repair() -> None:
    found = spoken(mending.sick(case([result(0)], verdicts=judged("validation.gate_mean", 0.05))))
    assert found.what.facts["changes"] == ["hparams.gate_positive_weight=10"]
    assert found.command.endswith("--from-study mine --set hparams.gate_positive_weight=10")
    always = spoken(mending.sick(case([result(0)], verdicts=judged("validation.gate_mean", 0.95))))
    assert always.what.facts["changes"] == ["hparams.gate_positive_weight=2.5"]
    assert (
        spoken(mending.sick(case([result(0)], verdicts=judged("validation.loss", 9.0)))).what.key == "advice.sick_look"
    )
    assert mending.sick(case([result(0)], verdicts=judged("validation.gate_mean", 0.2, "watch"))) is None


def test_a_train_study_without_a_healthy_trial_names_the_next_repair_or_that_none_is_left() -> None:
    def tried(*rules: str) -> Any:
        return case([stopped(number, rule, values={}) for number, rule in enumerate(rules)], mode="train", space=None)

    found = spoken(mending.attempts(tried("gate_never")))
    assert found.what.facts["changes"] == ["hparams.gate_positive_weight=10"]
    assert "--trials 2" in found.command
    over = spoken(mending.attempts(tried(*["gate_never"] * 4)))
    assert (over.what.key, over.because.facts["count"]) == ("advice.attempts_over", 4)
    assert "--mode check" in over.command
    assert mending.attempts(case([result(0), *exploded(1)], mode="train", space=None)) is None
    assert mending.attempts(case(exploded(0))) is None


# wrong stops


def audited(loss: float, rule: str = "asha", kind: str = "pruner", **changed: Any) -> Any:
    return result(9, loss, **{"state": "audited", "rule": rule, "kind": kind, "judged_at": 100} | changed)


def test_a_good_trial_among_the_doomed_loosens_the_pruner_as_far_as_the_audit_says() -> None:
    # at 100 utterances trial 9 ranked 2 of 5: 40 % had to be kept, and asha by halves keeps 50 %
    standing = [0.3, 0.5, 0.6, 0.7]
    trials = [result(number, 0.5, rungs={100: value}) for number, value in enumerate(standing)]
    found = spoken(mending.wrong_stops(case([*trials, audited(0.4, rungs={100: 0.4})])))
    assert found.what.facts["pruner"] == "{name: asha, reduction_factor: 2}"
    assert found.because.facts["names"] == ["trial-0009"]
    assert found.because.facts["kept"].facts == {"percent": 40}
    last = [result(number, 0.5, rungs={100: 0.1}) for number in range(4)]
    all_kept = spoken(mending.wrong_stops(case([*last, audited(0.4, rungs={100: 0.4})])))
    assert all_kept.what.facts["pruner"] == "{name: asha, warmup: 200utt}"  # twice the tenth of 1000utt


def test_without_a_comparison_the_pruner_compares_later() -> None:
    late = space(pruner={"name": "median", "warmup": "50ep"})
    found = spoken(mending.wrong_stops(case([result(0), audited(0.4)], space=late)))
    assert found.what.facts["pruner"] == "{name: median, warmup: 100ep}"


@pytest.mark.parametrize(
    ("warmup", "budget", "expected"),
    [("800utt", "2400utt", "1600utt"), ("800utt", "1600utt", ""), (None, "2400utt", "480utt"), ("5ep", "", "")],
)
def test_a_later_comparison_leaves_time_to_the_end(warmup: str | None, budget: str, expected: str) -> None:
    assert mending.later(warmup, budget) == expected


def test_a_health_rule_that_doomed_a_good_trial_gets_more_patience() -> None:
    found = spoken(mending.wrong_stops(case([result(0), audited(0.4, "validation_rising", "health")])))
    assert found.what.facts["changes"] == ["health.rising_validations=16"]
    assert found.command.endswith("--study mine-lenient --set health.rising_validations=16")


def test_right_stops_loosen_nothing() -> None:
    assert mending.wrong_stops(case([result(0), audited(0.6)])) is None
    assert mending.wrong_stops(case([])) is None


def test_a_batch_size_is_known_from_the_study_when_the_run_is_gone() -> None:
    gone = Run(name="trial-0001", state="complete", result=sized(1, 32))
    assert (mending.size_of(gone), mending.size_of(Run(name="mine"))) == (32, 0)


def test_a_fault_that_only_mlflow_knows_is_told() -> None:
    assert mending.fault_of(Run(name="trial-0001", tags={"error": "gone"})) == "gone"

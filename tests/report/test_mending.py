"""Advice on what went wrong."""

from typing import Any

import pytest

from smart_tuner.errors import OutOfMemoryError
from smart_tuner.report import mending
from smart_tuner.report.evidence import BATCH, Run
from smart_tuner.report.message import MISSING
from smart_tuner.report.view import Grade, GuideVerdict
from tests.support.cases import BATCHES, COMMAND, RATE, RATES, case, failed, result, space, spoken, stopped
from tests.support.evidenced import SCORE, verdict

FULL = OutOfMemoryError.__name__


def sized(number: int, batch: int) -> Any:
    return result(number, values={BATCH: batch})


# breakage


@pytest.mark.parametrize("sizes", [BATCHES, {**BATCHES, "type": "int", "low": 8, "high": 64, "choices": []}])
def test_batch_sizes_that_do_not_fit_are_left_out_of_another_study(sizes: dict[str, Any]) -> None:
    trials, broken = [sized(0, 16), sized(1, 8)], [failed(2, FULL, 64), failed(3, FULL, 32)]
    found = spoken(mending.advise_smaller_batch(case(trials, runs=broken, space=space({BATCH: sizes}))))
    assert found.what.facts == {"smallest": 32}
    assert found.because.facts == {"count": 2, "smallest": 32, "most": "16"}
    assert found.command == f"{COMMAND} --study mine-smaller --warm-start mine"  # as many trials as before


def test_a_batch_size_that_is_not_searched_over_is_halved() -> None:
    found = spoken(mending.advise_smaller_batch(case([], runs=[failed(0, FULL, 32)])))
    assert (found.what.facts, found.because.facts["most"]) == ({"size": 16}, MISSING)
    assert found.command.endswith("--study mine-smaller --set hparams.batch_size=16")


@pytest.mark.parametrize(
    ("trials", "broken"),
    [
        ([sized(0, 32)], failed(1, FULL, 32)),  # another trial got through with it
        ([sized(0, 32)], failed(1, "DataError", 64, "The GPU has no memory left, said a file.")),
        ([], failed(1, FULL, 1)),  # no batch is smaller
        ([], failed(1, "", 32, "The GPU has no memory left.")),
    ],
)
def test_a_smaller_batch_is_advised_only_where_it_helps(trials: list[Any], broken: Run) -> None:
    assert mending.advise_smaller_batch(case(trials, runs=[broken])) is None


def test_a_fault_that_only_mlflow_knows_is_told_by_its_tag() -> None:
    full = Run(name="trial-0001", state="failed", tags={"error.kind": FULL}, params={BATCH: "32"})
    assert mending.advise_smaller_batch(case([], runs=[full])) is not None
    lost = Run(name="trial-0001", state="failed", tags={"error": "It is gone.\nTraceback"})
    found = spoken(mending.advise_removing_fault(case([], runs=[lost])))
    assert found.because.facts["sentence"] == "It is gone."


def test_other_faults_are_told_when_there_are_two_or_nothing_else() -> None:
    first, second = (failed(number, "DataError", 8, "no such file") for number in (1, 2))
    found = spoken(mending.advise_removing_fault(case([result(0)], runs=[first, second])))
    assert found.because.facts == {"failed": 2, "count": 2, "sentence": "no such file"}
    assert mending.advise_removing_fault(case([result(0)], runs=[first])) is None
    assert mending.advise_removing_fault(case([], runs=[first])) is not None
    assert mending.advise_removing_fault(case([], runs=[failed(1, FULL, 8)])) is None


# stops


def exploded(*numbers: int) -> list[Any]:
    return [stopped(number, "exploding_gradients") for number in numbers]


def test_a_rule_that_stopped_half_of_the_trials_brings_its_repair() -> None:
    fixed = space({BATCH: BATCHES})
    found = spoken(mending.advise_repair(case([result(0), result(1), result(2), *exploded(3, 4, 5)], space=fixed)))
    assert found.what.facts["changes"] == ["hparams.learning_rate=0.0003"]
    assert found.because.facts == {"rule": "exploding_gradients", "count": 3, "trials": 6}
    assert found.command.endswith("--study mine-repaired --set hparams.learning_rate=0.0003")


def test_the_range_of_a_setting_that_is_searched_over_is_shifted() -> None:
    found = spoken(mending.advise_repair(case([result(0), *exploded(1, 2, 3)], space=space({RATE: RATES}))))
    [change] = found.what.facts["changes"]
    assert change.facts == {"name": RATE, "range": "low: 3e-05, high: 0.003"}
    assert found.command.endswith("--study mine-repaired")


def test_a_rule_that_stopped_fewer_says_nothing_while_there_is_a_best() -> None:
    few, none = [result(0), *exploded(1, 2)], [result(0), *(stopped(number, "asha", "pruner") for number in (1, 2, 3))]
    for trials in ([*(result(number) for number in range(4)), *exploded(4, 5, 6)], few, none):
        assert mending.advise_repair(case(trials)) is None
    found = spoken(mending.advise_repair(case([stopped(0, "gate_never"), *exploded(1, 2)])))
    assert found.because.facts["rule"] == "exploding_gradients", "without a best the most frequent one counts"


@pytest.mark.parametrize("settings", ["", "hparams: {of_another_version: 1}", "- 1"])
def test_unknown_settings_bring_no_invented_repair(settings: str) -> None:
    found = spoken(mending.advise_repair(case(exploded(0, 1, 2), settings=settings)))
    assert found.what.text.startswith("No setting is known to help after {rule} here")


def test_no_feasible_trial_says_how_near_the_nearest_came() -> None:
    metrics = [{SCORE: 0.41}, {SCORE: 0.47}]
    trials = [result(number, metrics=known, feasible=False) for number, known in enumerate(metrics)]
    found = spoken(mending.advise_larger_budget(case(trials, constraints=(f"{SCORE} >= 0.5", "duration <= 9"))))
    [nearest] = found.because.facts["nearest"]
    assert nearest.facts == {"constraint": f"{SCORE} >= 0.5", "value": 0.47, "name": "trial-0001"}
    assert found.command.endswith("--study mine-longer --budget 2000utt")
    assert mending.advise_larger_budget(case([*trials, result(2)])) is None
    assert mending.advise_larger_budget(case(exploded(0))) is None


def judged(metric: str, value: float, grade: Grade = "sick") -> dict[str, tuple[GuideVerdict, ...]]:
    return {"trial-0000": (verdict(metric, value, grade),)}


@pytest.mark.parametrize(
    ("metric", "value", "change"),
    [
        ("validation.gate_mean", 0.05, "hparams.gate_positive_weight=10"),
        ("validation.gate_mean", 0.95, "hparams.gate_positive_weight=2.5"),
        ("grad.norm", 20.0, "hparams.learning_rate=0.0003"),
    ],
)
def test_a_best_that_is_sick_by_the_guide_is_trained_with_the_repair(metric: str, value: float, change: str) -> None:
    found = spoken(mending.advise_mending_best(case([result(0)], verdicts=judged(metric, value))))
    assert found.what.facts["changes"] == [change]
    assert found.command.endswith(f"--from-study mine --set {change}")


def test_a_sign_without_a_repair_is_to_be_looked_at() -> None:
    looked = spoken(mending.advise_mending_best(case([result(0)], verdicts=judged("validation.loss", 9.0))))
    assert looked.what.text.startswith("Look at {name} before using it")
    watched = judged("validation.gate_mean", 0.2, "watch")
    assert mending.advise_mending_best(case([result(0)], verdicts=watched)) is None


def test_a_train_study_without_a_healthy_trial_names_the_next_repair_or_that_none_is_left() -> None:
    def tried(*rules: str) -> Any:
        return case([stopped(number, rule, values={}) for number, rule in enumerate(rules)], mode="train", space=None)

    found = spoken(mending.advise_next_attempt(tried("gate_never")))
    assert found.what.facts["changes"] == ["hparams.gate_positive_weight=10"]
    assert "--trials 2" in found.command
    over = spoken(mending.advise_next_attempt(tried(*["gate_never"] * 4)))
    assert (over.what.text[:18], over.because.facts["count"]) == ("No repair is left ", 4)
    assert "--mode check" in over.command
    assert mending.advise_next_attempt(case([result(0), *exploded(1)], mode="train", space=None)) is None
    assert mending.advise_next_attempt(case(exploded(0))) is None


# wrong stops


def audited(loss: float, rule: str = "asha", kind: str = "pruner", **changed: Any) -> Any:
    return result(9, loss, **{"state": "audited", "rule": rule, "kind": kind, "judged_at": 100} | changed)


def test_a_good_trial_among_the_doomed_loosens_the_pruner_and_a_bad_one_nothing() -> None:
    found = spoken(mending.advise_patience(case([result(0), audited(0.4)])))
    assert found.what.text.startswith("Loosen the pruner in the space file")
    assert found.because.facts == {"names": ["trial-0009"], "wrong": 1, "audited": 1}
    for trials in ([result(0), audited(0.6)], []):
        assert mending.advise_patience(case(trials)) is None


def test_a_health_rule_that_doomed_a_good_trial_gets_more_patience() -> None:
    found = spoken(mending.advise_patience(case([result(0), audited(0.4, "validation_rising", "health")])))
    assert found.what.facts["changes"] == ["health.rising_validations=16"]
    assert found.command.endswith("--study mine-lenient --set health.rising_validations=16")
    endless = spoken(mending.advise_patience(case([result(0), audited(0.4, "non_finite", "health")])))
    assert endless.what.text.startswith("Loosen the rule {rule}")

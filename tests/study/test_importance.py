"""What mattered: PED-ANOVA over results, its band, and when it says nothing."""

import math
import random
import time
from typing import Any

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
from optuna.study import create_study
from optuna.trial import create_trial

from smart_tuner.analysis.importance import FEW
from smart_tuner.analysis.results import Result
from smart_tuner.space.parameter import read_parameters
from smart_tuner.study.importance import weigh_parameters, with_band
from tests.support.evidenced import result

RATE = {"type": "float", "low": 1e-4, "high": 1e-2, "log": True, "step": None, "choices": [], "when": {}}
BATCH = {"type": "categorical", "low": 0.0, "high": 0.0, "log": False, "step": None, "choices": [8, 16, 32], "when": {}}
SPACE = {"parameters": {"hparams.learning_rate": RATE, "hparams.batch_size": BATCH}}


def search(count: int, seed: int = 0) -> list[Result]:
    """The learning rate decides, its best is 1e-3; the batch size does nothing."""
    chance, found = random.Random(seed), []
    for number in range(count):
        rate, batch = 10 ** chance.uniform(-4, -2), chance.choice([8, 16, 32])
        values = {"hparams.learning_rate": rate, "hparams.batch_size": batch}
        found.append(result(number, (math.log10(rate) + 3) ** 2, values=values))
    return found


def test_what_decides_comes_first_and_the_shares_sum_to_one() -> None:
    found = weigh_parameters(search(40), SPACE, "minimize")
    assert (found.enough, found.trials) == (True, 40)
    assert [one.name for one in found.shares] == ["hparams.learning_rate", "hparams.batch_size"]
    assert sum(one.share for one in found.shares) == pytest.approx(1)
    assert found.shares[0].low > found.shares[1].high
    assert all(0 <= one.low <= one.share <= one.high <= 1 for one in found.shares)


def test_the_shares_are_those_of_optuna_for_the_best_quarter() -> None:
    study = create_study()
    ranges = {
        "hparams.learning_rate": FloatDistribution(1e-4, 1e-2, log=True),
        "hparams.batch_size": CategoricalDistribution((8, 16, 32)),
    }
    study.add_trials([create_trial(value=one.value, params=one.values, distributions=ranges) for one in search(30)])
    expected = get_param_importances(study, evaluator=PedAnovaImportanceEvaluator(target_quantile=0.25))
    found = weigh_parameters(search(30), SPACE, "minimize", draws=2)
    assert {one.name: one.share for one in found.shares} == pytest.approx(expected)


def test_the_direction_turns_the_best_quarter_round() -> None:
    opposite = [result(one.number, -(one.value or 0.0), values=one.values) for one in search(40)]
    assert weigh_parameters(opposite, SPACE, "maximize") == weigh_parameters(search(40), SPACE, "minimize")


def test_the_same_seed_gives_the_same_band() -> None:
    first, again = (weigh_parameters(search(24), SPACE, "minimize", seed=3, draws=10) for _ in range(2))
    assert first == again != weigh_parameters(search(24), SPACE, "minimize", seed=4, draws=10)


def test_only_complete_feasible_searched_trials_within_the_ranges_count() -> None:
    values = search(1)[0].values
    outside = {"hparams.learning_rate": 0.5, "hparams.batch_size": 8}
    others = [
        result(90, 0.1, values=values, state="stopped"),
        result(91, 0.1, values=values, state="audited"),
        result(92, 0.1, values=values, feasible=False),
        result(93, 0.1, values=values, confirms="best"),
        result(94, math.nan, values=values),
        result(95, None, values=values),
        result(96, 0.1, values=outside),
    ]
    assert weigh_parameters([*search(24), *others], SPACE, "minimize") == weigh_parameters(
        search(24), SPACE, "minimize"
    )


@pytest.mark.parametrize("results", [[], search(1), search(FEW - 1)])
def test_too_few_trials_are_said_with_the_number_it_takes(results: list[Result]) -> None:
    found = weigh_parameters(results, SPACE, "minimize")
    assert (found.shares, found.enough, found.trials, found.needed) == ((), False, len(results), FEW)


def test_equal_objectives_and_an_empty_space_tell_nothing() -> None:
    equal = [result(one.number, 0.5, values=one.values) for one in search(30)]
    assert not weigh_parameters(equal, SPACE, "minimize").enough
    assert not weigh_parameters(search(30), {}, "minimize").enough


def test_a_parameter_with_a_condition_is_weighed_among_the_trials_that_have_it() -> None:
    guided = {**BATCH, "choices": [True, False]}
    weight = {**RATE, "low": 0.1, "high": 10.0, "when": {"hparams.use_guided_attn": [True]}}
    space = {"parameters": {"hparams.use_guided_attn": guided, "hparams.guide_weight": weight}}
    chance, results = random.Random(1), []
    for number in range(40):
        values: dict[str, Any] = {"hparams.use_guided_attn": number % 2 == 0}
        if number % 2 == 0:
            values["hparams.guide_weight"] = 10 ** chance.uniform(-1, 1)
        results.append(result(number, values.get("hparams.guide_weight", 20.0), values=values))
    found = weigh_parameters(results, space, "minimize", draws=10)
    assert found.of("hparams.guide_weight") is not None
    assert found.shares[0].share < 1
    assert read_parameters(space)["hparams.guide_weight"].when == {"hparams.use_guided_attn": (True,)}


def test_a_band_is_what_five_and_ninety_five_per_cent_of_the_draws_stay_below_and_holds_the_share() -> None:
    # 101 values 0.00 to 1.00 with the share twice more: the percentiles by hand, to a hundredth
    found = with_band("x", 0.5, [number / 100 for number in range(101)])
    assert (found.low, found.high) == (pytest.approx(0.051, abs=0.002), pytest.approx(0.949, abs=0.002))
    assert with_band("x", 0.9, [0.1, 0.2, 0.3] * 20).high == 0.9


@pytest.mark.slow
def test_a_thousand_trials_take_seconds() -> None:
    began = time.process_time()
    weigh_parameters(search(1000), SPACE, "minimize")
    assert time.process_time() - began < 4

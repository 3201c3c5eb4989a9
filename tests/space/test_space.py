"""A space chooses values where they count, makes settings of them, and says where trials are compared."""

import pickle
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pytest

from smart_tuner.errors import SettingsError
from smart_tuner.settings.settings import Settings
from smart_tuner.space.parameter import Parameter
from smart_tuner.space.space import Constraint, Pruner, Space
from tests.support.spaces import ALL, GUIDED, RATE, SETTINGS, WEIGHT, space

OWN = {
    "hparams.learning_rate": 1e-3,
    "hparams.batch_size": 32,
    "hparams.use_guided_attn": True,
    "hparams.guide_weight": 1.0,
}


class Script:
    """A chooser that takes each name's value from a list and notes what it was asked."""

    def __init__(self, **values: Any) -> None:
        self.values, self.asked = values, dict[str, tuple[Any, ...]]()

    def _choose(self, name: str, *asked: Any) -> Any:
        self.asked[name] = asked
        return self.values[name.partition(".")[2]]

    def suggest_float(self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False) -> Any:
        return self._choose(name, low, high, step, log)

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> Any:
        return self._choose(name, low, high, step, log)

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        return self._choose(name, tuple(choices))


def pruned(folder: Path, **pruner: Any) -> Space:
    return replace(space(folder), pruner=Pruner(**pruner))


def test_each_type_of_parameter_is_asked_for_as_it_was_written(tmp_path: Path) -> None:
    script = Script(learning_rate=2e-3, batch_size=16, use_guided_attn=True, guide_weight=2.0)
    assert list(space(tmp_path).suggest(script).values()) == [2e-3, 16, True, 2.0]
    assert script.asked == {
        "hparams.learning_rate": (1e-4, 1e-2, None, True),
        "hparams.batch_size": (8, 64, 8, False),
        "hparams.use_guided_attn": ((True, False),),
        "hparams.guide_weight": (0.1, 10.0, None, True),
    }


def test_a_parameter_whose_condition_does_not_hold_is_not_asked_for(tmp_path: Path) -> None:
    script = Script(learning_rate=2e-3, batch_size=16, use_guided_attn=False)
    assert "hparams.guide_weight" not in space(tmp_path).suggest(script)


def test_a_condition_may_name_several_values_and_all_conditions_must_hold(tmp_path: Path) -> None:
    lines = (
        "hparams.schedule: {type: categorical, choices: [constant, exponential, cosine]}",
        GUIDED,
        "hparams.final_learning_rate: {type: float, low: 1e-6, high: 1e-4, log: true, "
        "when: {hparams.schedule: [exponential, cosine], hparams.use_guided_attn: true}}",
    )
    chosen = space(tmp_path, lines)
    for schedule, guided, counts in (("cosine", True, 3), ("cosine", False, 2), ("constant", True, 2)):
        script = Script(schedule=schedule, use_guided_attn=guided, final_learning_rate=1e-5)
        assert len(chosen.suggest(script)) == counts, (schedule, guided)


def test_what_depends_on_a_parameter_that_does_not_count_does_not_count_either(tmp_path: Path) -> None:
    lines = (
        GUIDED,
        "hparams.reduction_factor: {type: int, low: 1, high: 3, when: {hparams.use_guided_attn: true}}",
        "hparams.guide_sigma: {type: float, low: 0.1, high: 0.4, when: {hparams.reduction_factor: 1}}",
    )
    assert space(tmp_path, lines).suggest(Script(use_guided_attn=False)) == {"hparams.use_guided_attn": False}


def test_an_optuna_trial_is_a_chooser(tmp_path: Path) -> None:
    chosen, study = space(tmp_path), optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    study.enqueue_trial(chosen.own(SETTINGS))
    assert chosen.suggest(study.ask()) == OWN
    for _ in range(20):
        trial = study.ask()
        values = chosen.suggest(trial)
        assert values == trial.params
        chosen.apply(SETTINGS, values)


def test_the_own_values_are_those_that_count_under_the_settings(tmp_path: Path) -> None:
    chosen = space(tmp_path)
    assert chosen.own(SETTINGS) == OWN
    assert "hparams.guide_weight" not in chosen.own(SETTINGS.replace(use_guided_attn=False))


def test_applied_values_change_their_settings_and_the_budget_alone(tmp_path: Path) -> None:
    lines = (RATE, "model.prenet_dim: {type: categorical, choices: [128, 256]}")
    chosen = space(tmp_path, lines, "budget: 2400utt")
    applied = chosen.apply(SETTINGS, {"hparams.learning_rate": 5e-3, "model.prenet_dim": 128})
    expected = SETTINGS.replace(learning_rate=5e-3, budget="2400utt")
    assert applied == replace(expected, model=replace(SETTINGS.model, prenet_dim=128))
    assert space(tmp_path, lines).apply(SETTINGS, {}) == SETTINGS


@pytest.mark.parametrize("values", [{"hparams.learning_rate": 1e-9}, {"model.encoder_kernel_size": 4}])
def test_values_that_give_no_settings_are_refused(tmp_path: Path, values: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match="must be"):
        space(tmp_path).apply(SETTINGS, values)


def test_the_largest_batch_is_the_ranges_or_the_settings_own(tmp_path: Path) -> None:
    assert space(tmp_path).highest("hparams.batch_size", SETTINGS) == 64
    assert space(tmp_path).highest("hparams.batch_size", SETTINGS.replace(batch_size=100)) == 100
    assert space(tmp_path, (RATE,)).highest("hparams.batch_size", SETTINGS) == 32


@pytest.mark.parametrize(
    ("pruner", "rungs"),
    [
        ({"name": "asha"}, (240, 720, 2160)),
        ({"name": "asha", "warmup": "800utt"}, (800,)),
        ({"name": "hyperband", "warmup": "1ep", "reduction_factor": 2}, (570, 1140, 2280)),
        ({"name": "asha", "warmup": "800utt", "reduction_factor": 3}, (800,)),
        ({"name": "median"}, tuple(range(240, 2400, 240))),
        ({"name": "patient", "warmup": "1000utt"}, (1000, 2000)),
        ({"name": "percentile", "warmup": "10utt"}, tuple(range(10, 2400, 120))),
        ({"name": "none"}, ()),
    ],
)
def test_trials_are_compared_from_the_warm_up_on_and_below_the_budget(
    tmp_path: Path, pruner: dict[str, Any], rungs: tuple[int, ...]
) -> None:
    assert pruned(tmp_path, **pruner).rungs(2400, 570) == rungs


def test_a_warm_up_as_long_as_the_budget_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"mine\.yaml: .* at 2,280 utterances; received 4ep, which is 2,280"):
        pruned(tmp_path, name="asha", warmup="4ep").rungs(2280, 570)


def test_a_constraint_says_how_far_beyond_its_limit_a_metric_is() -> None:
    score = Constraint(metric="validation.alignment_score", operator=">=", limit=0.5)
    assert score.violation({"validation.alignment_score": 0.25}) == 0.25
    assert score.violation({"validation.alignment_score": 0.5}) == 0
    assert Constraint(metric="duration", operator="<=", limit=2.0).violation({"duration": 3.0}) == 1.0


def test_a_constraint_on_a_metric_that_was_not_logged_is_refused() -> None:
    with pytest.raises(
        SettingsError, match=r"gpu\.peak_memory <= 20 names a metric that this trial did not log.* it logged duration"
    ):
        Constraint(metric="gpu.peak_memory", operator="<=", limit=20.0).violation({"duration": 1.0})


def test_a_parameter_contains_its_ends_and_its_steps_alone() -> None:
    batch = Parameter(name="hparams.batch_size", type="int", line=1, low=8, high=64, step=8)
    assert [value for value in range(80) if batch.contains(value)] == list(range(8, 65, 8))
    dropout = Parameter(name="hparams.prenet_dropout", type="float", line=1, low=0.1, high=0.5, step=0.1)
    assert dropout.contains(0.3)
    assert not dropout.contains(0.35)
    guided = Parameter(name="hparams.use_guided_attn", type="categorical", line=1, choices=(True, False))
    assert guided.contains(True)
    assert not guided.contains(1)


def test_the_plain_content_changes_with_what_is_said_and_not_with_the_layout(tmp_path: Path) -> None:
    plain = space(tmp_path).to_plain()
    assert space(tmp_path, ALL, "confirm: 3\n# a comment").to_plain() == plain
    assert space(tmp_path, ("", *ALL)).to_plain() == plain, "lines do not count"
    others = [space(tmp_path, ALL, "audit: 0.1"), space(tmp_path, (RATE, GUIDED, WEIGHT)), space(tmp_path, ALL[:3])]
    assert plain not in [other.to_plain() for other in others]


def test_a_space_travels_to_other_processes(tmp_path: Path) -> None:
    chosen = space(tmp_path)
    assert chosen.by_name["hparams.batch_size"].high == 64
    assert pickle.loads(pickle.dumps(chosen)) == chosen


def test_metrics_are_named_once(tmp_path: Path) -> None:
    rest = 'constraints: {validation.alignment_score: [">= 0.5", "<= 0.99"], duration: "<= 2"}'
    metrics = ("validation.loss", "validation.alignment_score", "duration")
    assert space(tmp_path, ALL, rest, Settings().replace(budget="10ep")).metrics == metrics

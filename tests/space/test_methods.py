"""The tables of samplers and pruners say what Optuna's really are and can."""

import importlib
import inspect
from dataclasses import fields
from importlib.util import find_spec
from pathlib import Path

import optuna
import pytest

from smart_tuner.errors import SettingsError
from smart_tuner.space.methods import PRUNERS, SAMPLERS, list_others
from smart_tuner.space.objective import Objective
from smart_tuner.space.parameter import Parameter
from smart_tuner.space.space import Pruner, Sampler, Space
from smart_tuner.study.pruners import MAKERS, make_pruner
from smart_tuner.study.samplers import make_sampler, quiet_optuna, study_directions

RATE = Parameter(name="hparams.learning_rate", type="float", low=1e-4, high=1e-1, log=True, line=1)
GUIDED = Parameter(name="hparams.use_guided_attn", type="categorical", choices=(True, False), line=2)
WEIGHT = Parameter(name="hparams.guide_weight", type="float", low=0.1, high=1.0, when={GUIDED.name: (True,)}, line=3)
TWO = (Objective(), Objective(metric="duration"))
MADE = [name for name, kind in SAMPLERS.items() if not kind.package or find_spec(kind.package)]
"""Those whose package is here."""


def space(*, sampler: str = "tpe", pruner: str = "asha", objectives: tuple[Objective, ...] = (Objective(),)) -> Space:
    return Space(
        file=Path("s.yaml"),
        parameters=(RATE, GUIDED, WEIGHT),
        objectives=objectives,
        sampler=Sampler(name=sampler, startup_trials=2),
        pruner=Pruner(name=pruner),
    )


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_sampler_is_a_class_of_optunas_that_takes_what_it_is_told(name: str) -> None:
    kind = SAMPLERS[name]
    module, _, made_by = kind.made_by.partition(":")
    known = inspect.signature(getattr(importlib.import_module(module), made_by)).parameters
    told = {*kind.arguments, *kind.arguments_with_conditions, kind.startup_argument, "seed"} - {""}
    assert told <= set(known)


@pytest.mark.parametrize("name", [pytest.param(name, marks=[pytest.mark.slow] * (name == "gp")) for name in MADE])
@pytest.mark.parametrize("objectives", [TWO[:1], TWO], ids=["one objective", "two objectives"])
def test_a_sampler_learns_from_what_it_says_it_takes_and_draws_the_rest(
    name: str, objectives: tuple[Objective, ...]
) -> None:
    kind, chosen = SAMPLERS[name], space(sampler=name, objectives=objectives)
    if len(objectives) > 1 and not kind.takes_several_objectives:
        pytest.skip("a space refuses it")
    with quiet_optuna():
        study = optuna.create_study(sampler=make_sampler(chosen, 1, 0), directions=study_directions(chosen))
        for guided in (False, True, True):
            study.enqueue_trial({GUIDED.name: guided})
            trial = study.ask()
            chosen.suggest(trial)
            study.tell(trial, [0.5] * len(objectives))
        learned = set(study.sampler.infer_relative_search_space(study, study.trials[-1]))
    taken = [RATE.name, *[GUIDED.name] * kind.takes_categories, *[WEIGHT.name] * kind.takes_conditions]
    assert learned == (set() if name in ("random", "grid") else set(taken))


@pytest.mark.parametrize("name", MADE)
def test_a_sampler_that_is_told_its_startup_trials_draws_so_many(name: str) -> None:
    made, kind = make_sampler(space(sampler=name), 1, 0), SAMPLERS[name]
    assert kind.options == (("startup_trials",) if kind.startup_argument else ())
    if kind.startup_argument:
        assert getattr(made, f"_{kind.startup_argument}") == 2


def test_an_unknown_sampler_or_pruner_is_answered_with_the_choices() -> None:
    with pytest.raises(SettingsError, match=f"must be one of {', '.join(SAMPLERS)}; received 'bayes'"):
        make_sampler(space(sampler="bayes"), 1, 0)
    with pytest.raises(SettingsError, match=f"must be one of {', '.join(PRUNERS)}; received 'sha'"):
        make_pruner(space(pruner="sha"), (100,))


def test_every_pruner_of_the_table_is_made_and_no_other() -> None:
    assert MAKERS.keys() == PRUNERS.keys()


@pytest.mark.parametrize("name", PRUNERS)
def test_a_pruner_is_made_of_its_options_and_says_who_goes_on(name: str) -> None:
    kind, chosen = PRUNERS[name], Pruner(name=name)
    assert isinstance(make_pruner(space(pruner=name), (100, 300)), optuna.pruners.BasePruner)
    assert set(kind.options) <= {spec.name for spec in fields(Pruner)}
    assert chosen.goes_on
    assert not set("{}") & set(chosen.goes_on)
    assert 0 < kind.share(chosen) <= 1
    assert bool(kind.meaning) == (name != "none")


def test_halving_pruners_are_those_that_optuna_counts_rungs_for() -> None:
    halving = (optuna.pruners.SuccessiveHalvingPruner, optuna.pruners.HyperbandPruner)
    made = {name: make_pruner(space(pruner=name), (100, 300)) for name in PRUNERS}
    assert {name for name, kind in PRUNERS.items() if kind.is_halving} == {
        name for name, pruner in made.items() if isinstance(pruner, halving)
    }


def test_the_others_of_a_table_are_listed_in_its_order() -> None:
    assert list_others(PRUNERS, "none", "asha") == "hyperband, median, percentile, patient"

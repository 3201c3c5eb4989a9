"""Samplers by name, against real Optuna studies."""

import importlib
from pathlib import Path

import optuna
import pytest

from smart_tuner.errors import SettingsError
from smart_tuner.space.objective import Objective
from smart_tuner.space.parameter import Parameter
from smart_tuner.space.space import Sampler, Space
from smart_tuner.study.samplers import derive_seed, draw_samples, list_grid, make_sampler, quiet_optuna
from tests.support import small

RATE = Parameter(name="hparams.learning_rate", type="float", low=1e-4, high=1e-1, log=True, line=1)
BATCH = Parameter(name="hparams.batch_size", type="categorical", choices=(2, 4, 8), line=2)
R = Parameter(name="hparams.reduction_factor", type="int", low=1, high=3, line=3)
GUIDED = Parameter(name="hparams.use_guided_attn", type="categorical", choices=(True, False), line=4)
WEIGHT = Parameter(
    name="hparams.guide_weight",
    type="float",
    low=0.5,
    high=1.5,
    step=0.5,
    when={"hparams.use_guided_attn": (True,)},
    line=5,
)

NAMES = ["tpe", pytest.param("gp", marks=pytest.mark.slow), "random", "qmc"]


def space(*parameters: Parameter, sampler: str = "tpe", **given: object) -> Space:
    return Space(file=Path("s.yaml"), parameters=parameters, sampler=Sampler(name=sampler, startup_trials=3), **given)  # type: ignore[arg-type]


def search(chosen: Space, seed: int, count: int, study: optuna.Study | None = None) -> optuna.Study:
    """So many trials that like a learning rate of 1e-2 and r = 2, by a sampler as of a process started now."""
    study = study or optuna.create_study()
    study.sampler = make_sampler(chosen, seed, len(study.trials))
    for _ in range(count):
        with quiet_optuna():
            trial = study.ask()
            values = chosen.suggest(trial)
        rate, r = float(values["hparams.learning_rate"]), values.get("hparams.reduction_factor", 2)
        study.tell(trial, abs(rate - 1e-2) + abs(float(r) - 2))
    return study


@pytest.mark.parametrize("name", NAMES)
def test_a_sampler_repeats_itself_for_a_seed_and_differs_for_another(name: str) -> None:
    chosen = space(RATE, BATCH, R, sampler=name)
    first, same, other = search(chosen, 1, 6), search(chosen, 1, 6), search(chosen, 2, 6)
    assert [trial.params for trial in first.trials] == [trial.params for trial in same.trials]
    assert [trial.params for trial in first.trials] != [trial.params for trial in other.trials]


@pytest.mark.parametrize("name", NAMES)
def test_a_study_that_goes_on_replays_no_suggestion(name: str) -> None:
    chosen = space(RATE, sampler=name)
    study = search(chosen, 1, 4)
    search(chosen, 1, 4, study)
    rates = [trial.params["hparams.learning_rate"] for trial in study.trials]
    assert len(set(rates)) == 8


def test_a_qmc_sequence_goes_on_where_it_was() -> None:
    chosen = space(RATE, R, sampler="qmc")
    whole, parts = search(chosen, 1, 8), search(chosen, 1, 4, search(chosen, 1, 4))
    assert [trial.params for trial in whole.trials] == [trial.params for trial in parts.trials]


@pytest.mark.parametrize("name", NAMES)
def test_samplers_bear_conditions_and_own_values_out_of_range(name: str) -> None:
    chosen = space(RATE, GUIDED, WEIGHT, sampler=name)
    study = optuna.create_study()
    study.enqueue_trial({RATE.name: 0.5, GUIDED.name: True, WEIGHT.name: 1.25})
    search(chosen, 1, 8, study)
    assert study.trials[0].params == {RATE.name: 0.5, GUIDED.name: True, WEIGHT.name: 1.25}
    assert {len(trial.params) for trial in study.trials} == {2, 3}


def test_conditions_are_searched_in_groups() -> None:
    with_condition, without = make_sampler(space(GUIDED, WEIGHT), 1, 0), make_sampler(space(GUIDED), 1, 0)
    assert isinstance(with_condition, optuna.samplers.TPESampler)
    assert isinstance(without, optuna.samplers.TPESampler)
    assert (with_condition._group, without._group) == (True, False)


def test_cmaes_without_its_package_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(SettingsError, match=r"cmaes needs the package cmaes \(pip install cmaes\)"):
        make_sampler(space(RATE, sampler="cmaes"), 1, 0)


def test_seeds_are_derived_from_every_part() -> None:
    assert derive_seed(1, 2) == derive_seed(1, 2)
    assert len({derive_seed(1, 2), derive_seed(2, 1), derive_seed(1, "audit", 2), derive_seed(12)}) == 4


# grid


def test_a_grid_holds_every_combination_once_and_honours_conditions() -> None:
    points = list_grid(space(GUIDED, WEIGHT, R, sampler="grid"), 7)
    assert len(points) == (3 + 1) * 3
    assert len({str(sorted(point.items())) for point in points}) == 12
    weights = {point[WEIGHT.name] for point in points if point[GUIDED.name]}
    assert weights == {0.5, 1.0, 1.5}
    assert all(WEIGHT.name not in point for point in points if not point[GUIDED.name])


def test_a_grids_order_is_mixed_and_decided_by_its_seed() -> None:
    chosen = space(BATCH, R, GUIDED, sampler="grid")
    assert list_grid(chosen, 1) == list_grid(chosen, 1)
    assert list_grid(chosen, 1) != list_grid(chosen, 2)


@pytest.mark.slow
def test_a_grid_needs_steps_and_an_end() -> None:
    with pytest.raises(SettingsError, match=r"needs a step for every float; hparams\.learning_rate has none"):
        list_grid(space(RATE, sampler="grid"), 1)
    many = Parameter(name="hparams.batch_size", type="int", low=1, high=200_000, line=1)
    with pytest.raises(SettingsError, match="more than 100,000 combinations"):
        list_grid(space(many, sampler="grid"), 1)


# dry run


@pytest.mark.parametrize("name", NAMES)
def test_samples_are_valid_settings(name: str) -> None:
    """learning_rate below final_learning_rate = 1e-5 is not."""
    low = Parameter(name="hparams.learning_rate", type="float", low=1e-7, high=1e-3, log=True, line=1)
    points = draw_samples(space(low, sampler=name), small.settings(), 20, 1)
    assert len(points) == 20
    assert all(float(point["hparams.learning_rate"]) >= 1e-5 for point in points)


def test_drawing_samples_leaves_no_line_of_optunas_in_the_terminal() -> None:
    optuna.logging.set_verbosity(optuna.logging.INFO)
    draw_samples(space(RATE), small.settings(), 1, 1)
    assert optuna.logging.get_verbosity() == optuna.logging.ERROR


def test_a_space_without_valid_settings_is_refused() -> None:
    low = Parameter(name="hparams.learning_rate", type="float", low=1e-7, high=1e-6, log=True, line=1)
    with pytest.raises(SettingsError, match=r"100 suggestions in a row are no valid settings; the last: hparams\."):
        draw_samples(space(low), small.settings(), 1, 1)


def test_samples_of_a_grid_are_its_first_points() -> None:
    chosen = space(BATCH, R, sampler="grid")
    assert draw_samples(chosen, small.settings(), 4, 1) == list_grid(chosen, 1)[:4]


def test_several_objectives_are_sampled_too() -> None:
    two = (Objective(), Objective(metric="duration"))
    assert len(draw_samples(space(RATE, R, objectives=two), small.settings(), 3, 1)) == 3

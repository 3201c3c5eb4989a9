"""Trials of another search are taken over where they fit."""

import dataclasses

import optuna
import pytest

from smart_tuner.errors import StorageError
from smart_tuner.space.space import Constraint
from tests.support.scripted import Executor, validation
from tests.support.searches import (
    GUIDED,
    RATE,
    SICK,
    SPACE,
    SPEAKS,
    Cut,
    R,
    act,
    cut_down,
    ending,
    finish,
    search_in,
    trials,
)
from tests.support.studies import Memory


@pytest.fixture
def earlier(memory: Memory) -> Memory:
    """A storage with a finished search "old" of four trials, the last one stopped."""
    study = search_in(memory.open(), 4, dataclasses.replace(SPACE, constraints=SPEAKS), "old")
    finish(study, Executor(act=act({3: ending(validation(25, 0.9), SICK)})))
    return memory


def test_a_warm_start_teaches_the_sampler_and_counts_for_nothing_else(earlier: Memory) -> None:
    study = search_in(earlier.open(), 2)
    taken = study.warm_start("old", earlier.open())
    assert (taken.taken, taken.left, str(taken)) == (4, {}, "4 trial(s) taken over")
    old = optuna.load_study(study_name="old", storage=earlier.open())
    assert [trial.params for trial in trials(study)] == [trial.params for trial in old.trials]
    assert [trial.value for trial in trials(study)] == [trial.value for trial in old.trials]
    assert study.results() == []
    executor = finish(study)
    assert [trial.number for trial in executor.trials] == [4, 5]
    assert [result.number for result in study.results()] == [4, 5]


def test_a_warm_start_happens_once_also_after_a_kill(earlier: Memory) -> None:
    study = search_in(earlier.open(), 2)
    study.warm_start("old", earlier.open())
    assert search_in(earlier.open(), 2).warm_start("old", earlier.open()).taken == 4
    other = search_in(earlier.open(), name="k")
    cut_down(other, 3)
    with pytest.raises(Cut):
        other.warm_start("old", earlier.open())
    again = search_in(earlier.open(), name="k")
    again.warm_start("old", earlier.open())
    assert len(trials(again)) == len(trials(study)) == 4


def test_a_warm_start_leaves_out_what_does_not_fit(earlier: Memory) -> None:
    narrow = dataclasses.replace(RATE, low=9e-3, high=1.1e-2)
    reasons = {
        "hparams.learning_rate out of range": (narrow, R),
        "without hparams.use_guided_attn": (RATE, R, GUIDED),
        "with hparams.reduction_factor": (RATE,),
    }
    for reason, parameters in reasons.items():
        study = search_in(earlier.open(), space=dataclasses.replace(SPACE, parameters=parameters), name=reason)
        taken = study.warm_start("old", earlier.open())
        assert list(taken.left) == [reason]
        assert len(trials(study)) == taken.taken == 4 - taken.left[reason]


def test_a_warm_start_judges_by_todays_constraints(earlier: Memory) -> None:
    strict = (Constraint(metric="validation.alignment_score", operator=">=", limit=0.9),)
    study = search_in(earlier.open(), space=dataclasses.replace(SPACE, constraints=strict))
    study.warm_start("old", earlier.open())
    assert trials(study)[0].constraints == {"validation.alignment_score >= 0.9": pytest.approx(0.1)}


def test_a_warm_start_needs_the_same_objective_corpus_and_budget(earlier: Memory) -> None:
    with pytest.raises(StorageError, match="'old' has another corpus"):
        search_in(earlier.open(), corpus="0ther").warm_start("old", earlier.open())
    other = search_in(earlier.open(), name="b", settings={"budget": "2000utt"})
    with pytest.raises(StorageError, match="'old' has another budget"):
        other.warm_start("old", earlier.open())
    with pytest.raises(StorageError, match=r"There is no tune study 'new' in .*; there are: b, old, s"):
        other.warm_start("new", earlier.open())

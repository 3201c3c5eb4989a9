"""Errors travel between processes whole, and the tree that is drawn is the one that is there."""

import copy
import dataclasses
import inspect
import pickle

import pytest

from smart_tuner import errors
from smart_tuner.errors import Interrupted, OutOfMemoryError, SmartTunerError, TrialStopped, Verdict

JUMP = Verdict(
    rule="loss_jump",
    sentence="The loss jumped.",
    step=7,
    utterances=28,
    observed={"training.loss": 9.5},
    limits={"training.loss": 4.0},
    threshold="> 4",
    window="20 iterations",
)
KINDS = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, SmartTunerError)]
TOLD = {TrialStopped: TrialStopped(JUMP), Interrupted: Interrupted("Out of time.", step=3, kind="budget")}


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_is_the_same_in_another_process(kind: type[SmartTunerError]) -> None:
    error = TOLD[kind] if kind in TOLD else kind("A sentence.")
    arrived = pickle.loads(pickle.dumps(error))
    assert type(arrived) is kind
    assert (str(arrived), arrived.args, vars(arrived)) == (str(error), error.args, vars(error))


def test_what_is_learned_of_an_error_later_travels_too() -> None:
    error = OutOfMemoryError("The GPU is full.")
    error.add_note("while validating")
    assert copy.copy(error).__notes__ == ["while validating"]


def test_what_decided_is_all_that_a_health_rule_saw_and_the_first_that_a_pruner_did() -> None:
    observed = {"validation.loss": 0.9, "rung": 100.0}
    health, pruner = (dataclasses.replace(JUMP, kind=kind, observed=observed) for kind in ("health", "pruner"))
    assert (health.series, pruner.series) == (("validation.loss", "rung"), ("validation.loss",))


def drawn() -> dict[str, str]:
    """Name and parent of each error in the tree of the module's text."""
    above, parents = [""], {}
    for line in (errors.__doc__ or "").splitlines()[2:]:
        if line.startswith("Anything else"):
            break
        picture, name = line[: len(line) - len(line.lstrip(" │├└─"))], line.lstrip(" │├└─").split()[0]
        level = len(picture) // 4
        above[level + 1 :] = [name]
        parents[name] = above[level]
    return parents


def test_the_tree_in_the_text_is_the_real_one() -> None:
    real = {kind.__name__: kind.__bases__[0].__name__ for kind in KINDS}
    assert drawn() == {**real, "SmartTunerError": ""}

"""What a training decides from its numbers alone: plateaus, free-running evaluations, smaller parts, overflows."""

import math

import pytest

from smart_tuner.errors import TrialStopped, UtteranceTooLargeError
from smart_tuner.training.state import OVERFLOW_SHARE, OVERFLOW_WINDOW, PLATEAU_PATIENCE, TrainState


def plateaus(losses: list[float], *, formed: bool = True) -> list[int]:
    """Plateaus counted after each loss."""
    state, counted = TrainState(), []
    for loss in losses:
        state.add_validation(loss, formed=formed)
        counted.append(state.plateaus)
    return counted


def test_five_validations_without_a_gain_of_a_hundredth_are_a_plateau() -> None:
    assert PLATEAU_PATIENCE == 5
    assert plateaus([1.0, *[0.991] * 5]) == [0, 0, 0, 0, 0, 1]
    assert plateaus([1.0, *[0.989] * 5]) == [0] * 6
    assert plateaus([1.0] * 12) == [0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 2, 2]


def test_a_gain_begins_the_wait_anew() -> None:
    assert plateaus([1.0, 1.0, 1.0, 1.0, 1.0, 0.9, 0.9, 0.9, 0.9, 0.9, 0.9]) == [0] * 10 + [1]


def test_there_is_no_plateau_before_the_attention() -> None:
    assert plateaus([1.0] * 50, formed=False)[-1] == 0


def test_an_attention_that_falls_apart_ends_the_row() -> None:
    state, rows = TrainState(), []
    for formed in (False, True, True, False, True):
        state.add_validation(1.0, formed=formed)
        rows.append(state.formed)
    assert rows == [0, 1, 2, 0, 1]


def evaluated(count: int, formed_from: float) -> list[float]:
    """Shares of the budget at which free-running evaluations are made, with a validation at every twentieth."""
    state = TrainState()
    shares = [step / 20 for step in range(1, 21)]
    return [used for used in shares if state.freerun_is_due(used, count, formed=used >= formed_from)]


@pytest.mark.parametrize(
    ("count", "formed_from", "expected"),
    [
        (3, 0.4, [0.4, 0.7, 1.0]),
        (3, 2.0, [1.0]),
        (1, 0.1, [1.0]),
        (0, 0.1, []),
        (2, 1.0, [1.0]),
        (5, 0.2, [0.2, 0.4, 0.6, 0.8, 1.0]),
    ],
)
def test_free_running_evaluations_are_even_from_a_formed_attention_to_the_end(
    count: int, formed_from: float, expected: list[float]
) -> None:
    assert evaluated(count, formed_from) == pytest.approx(expected)


def test_parts_double_until_they_are_single_utterances() -> None:
    state, taken = TrainState(), []
    for _ in range(3):
        state.take_smaller_parts(6, RuntimeError("CUDA out of memory"))
        taken.append(state.parts)
    assert taken == [2, 4, 6]
    with pytest.raises(UtteranceTooLargeError, match=r"single utterance \(hparams\.batch_size 6"):
        state.take_smaller_parts(6, RuntimeError("CUDA out of memory"))


def test_fp16_is_given_up_when_more_than_a_twentieth_of_two_hundred_steps_overflow() -> None:
    state, allowed = TrainState(), int(OVERFLOW_SHARE * OVERFLOW_WINDOW)
    assert allowed == 10
    for overflow in range(allowed + 1):
        assert not state.overflows()
        state.iteration = overflow * 19  # eleven within two hundred
        state.skip_unless_finite(1.0, math.inf, scaled=True)
    assert state.overflows()


def test_rare_overflows_are_the_search_for_the_loss_scale() -> None:
    state = TrainState()
    for overflow in range(50):
        state.iteration = overflow * 20  # ten within two hundred
        state.skip_unless_finite(1.0, math.nan, scaled=True)
    assert (state.skipped, state.overflows()) == (50, False)


@pytest.mark.parametrize(("loss", "norm", "scaled"), [(math.nan, 1.0, True), (1.0, math.inf, False)])
def test_only_a_scaled_gradient_may_overflow(loss: float, norm: float, scaled: bool) -> None:
    state = TrainState(iteration=4)
    with pytest.raises(TrialStopped, match="iteration 5"):
        state.skip_unless_finite(loss, norm, scaled=scaled)
    assert state.skipped == 1

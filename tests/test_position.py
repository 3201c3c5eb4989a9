"""What a training decides from its numbers alone: plateaus, free-running evaluations, smaller parts, overflows."""

import math

import pytest

from smart_tuner.errors import OutOfMemoryError, TrialStopped
from smart_tuner.position import OVERFLOW_SHARE, OVERFLOW_WINDOW, PLATEAU_PATIENCE, Position


def plateaus(losses: list[float], score: float = 0.6) -> list[int]:
    """Plateaus counted after each loss."""
    position, counted = Position(), []
    for loss in losses:
        position.add_validation(loss, score)
        counted.append(position.plateaus)
    return counted


def test_five_validations_without_a_gain_of_a_hundredth_are_a_plateau() -> None:
    assert PLATEAU_PATIENCE == 5
    assert plateaus([1.0, *[0.991] * 5]) == [0, 0, 0, 0, 0, 1]
    assert plateaus([1.0, *[0.989] * 5]) == [0] * 6
    assert plateaus([1.0] * 12) == [0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 2, 2]


def test_a_gain_begins_the_wait_anew() -> None:
    assert plateaus([1.0, 1.0, 1.0, 1.0, 1.0, 0.9, 0.9, 0.9, 0.9, 0.9, 0.9]) == [0] * 10 + [1]


def test_there_is_no_plateau_before_the_attention() -> None:
    assert plateaus([1.0] * 50, score=0.28)[-1] == 0


def test_an_attention_that_falls_apart_ends_the_row() -> None:
    position, rows = Position(), []
    for score in (0.4, 0.5, 0.7, 0.49, 0.6):
        position.add_validation(1.0, score)
        rows.append(position.formed)
    assert rows == [0, 1, 2, 0, 1]


def evaluated(count: int, formed_from: float) -> list[float]:
    """Shares of the budget at which free-running evaluations are made, with a validation at every twentieth."""
    position = Position()
    shares = [step / 20 for step in range(1, 21)]
    return [used for used in shares if position.freerun_is_due(used, 0.6 if used >= formed_from else 0.3, count)]


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
    position, taken = Position(), []
    for _ in range(3):
        position.take_smaller_parts(6, RuntimeError("CUDA out of memory"))
        taken.append(position.parts)
    assert taken == [2, 4, 6]
    with pytest.raises(OutOfMemoryError, match=r"single utterance \(hparams\.batch_size 6"):
        position.take_smaller_parts(6, RuntimeError("CUDA out of memory"))


def test_fp16_is_given_up_when_more_than_a_twentieth_of_two_hundred_steps_overflow() -> None:
    position, allowed = Position(), int(OVERFLOW_SHARE * OVERFLOW_WINDOW)
    assert allowed == 10
    for overflow in range(allowed + 1):
        assert not position.overflows()
        position.iteration = overflow * 19  # eleven within two hundred
        position.skip_unless_finite(1.0, math.inf, scaled=True)
    assert position.overflows()


def test_rare_overflows_are_the_search_for_the_loss_scale() -> None:
    position = Position()
    for overflow in range(50):
        position.iteration = overflow * 20  # ten within two hundred
        position.skip_unless_finite(1.0, math.nan, scaled=True)
    assert (position.skipped, position.overflows()) == (50, False)


@pytest.mark.parametrize(("loss", "norm", "scaled"), [(math.nan, 1.0, True), (1.0, math.inf, False)])
def test_only_a_scaled_gradient_may_overflow(loss: float, norm: float, scaled: bool) -> None:
    position = Position(iteration=4)
    with pytest.raises(TrialStopped, match="iteration 5"):
        position.skip_unless_finite(loss, norm, scaled=scaled)
    assert position.skipped == 1

"""Plots are pictures of what they are given."""

import io

import numpy as np
import pytest
from matplotlib import image
from numpy.typing import NDArray

from smart_tuner.figures import plots

pytestmark = pytest.mark.slow  # each draws with matplotlib

DIAGONAL = np.kron(np.eye(20, dtype=np.float32), np.ones((3, 1), dtype=np.float32))
"""Attention weights (60 steps, 20 tokens)."""


def bright(picture: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Rows and columns of the pixels in the colour map's yellow, as points (2, P)."""
    red, green, blue = (picture[..., channel].astype(int) for channel in range(3))
    return np.array(np.nonzero((red > 240) & (green > 220) & (blue < 60)), dtype=np.float64)


def is_picture(picture: NDArray[np.uint8]) -> bool:
    return picture.dtype == np.uint8 and picture.ndim == 3 and picture.shape[2] == 3 and len(np.unique(picture)) > 10


def test_a_healthy_alignment_is_a_diagonal_from_below_left_to_above_right() -> None:
    picture = plots.plot_alignment(DIAGONAL, "clip-7", 50)
    assert is_picture(picture)
    rows, columns = bright(picture)
    plot = columns < 0.8 * picture.shape[1]  # without the colour bar
    assert np.corrcoef(rows[plot], columns[plot])[0, 1] < -0.95
    reversed_rows, reversed_columns = bright(plots.plot_alignment(DIAGONAL[::-1], "clip-7", 50))
    plot = reversed_columns < 0.8 * picture.shape[1]
    assert np.corrcoef(reversed_rows[plot], reversed_columns[plot])[0, 1] > 0.95


def test_a_diffuse_attention_can_be_seen() -> None:
    diffuse = plots.plot_alignment(DIAGONAL * 0.05, "clip-7", 50)
    assert (bright(diffuse)[1] < 0.7 * diffuse.shape[1]).any()  # left of the colour bar


def test_what_was_said_is_a_diagonal_over_its_symbols_with_a_title_of_any_signs() -> None:
    letters = [chr(ord("a") + index) for index in range(20)]
    titled = plots.plot_spoken_text(DIAGONAL, letters, 0.035, "costs $5 and $6, x_1\n2.1 s, no fault")
    rows, columns = bright(titled)
    plot = columns < 0.8 * titled.shape[1]
    assert np.corrcoef(rows[plot], columns[plot])[0, 1] < -0.95
    other = plots.plot_spoken_text(DIAGONAL, [*letters[:-1], "x"], 0.035, "costs $5 and $6, x_1\n2.1 s, no fault")
    changed = np.nonzero((titled != other).any(axis=2).any(axis=1))[0]
    assert changed.max() < 0.2 * len(titled), "the last token's name is at the top"


def test_a_text_too_long_for_names_is_drawn_without() -> None:
    attention = np.eye(plots.MOST_LABELS + 1, dtype=np.float32)
    one, other = (plots.plot_spoken_text(attention, [letter] * len(attention), 0.035, "t") for letter in "ab")
    np.testing.assert_array_equal(one, other)


def test_a_png_holds_the_picture() -> None:
    picture = plots.plot_spoken_text(DIAGONAL, list("a" * 20), 0.035, "t")
    read = image.imread(io.BytesIO(plots.encode_png(picture)), format="png")
    np.testing.assert_array_equal((read[..., :3] * 255).round().astype(np.uint8), picture)


def test_target_and_prediction_are_drawn_one_above_the_other_in_the_same_colours() -> None:
    target = np.random.default_rng(0).normal(-5, 2, (80, 120)).astype(np.float32)
    equal = plots.plot_mel(target, target, "clip-7", 50)
    faint = plots.plot_mel(target, np.full_like(target, target.min()), "clip-7", 50)
    assert is_picture(equal)
    assert equal.shape == faint.shape
    changed = np.nonzero((equal != faint).any(axis=(1, 2)))[0]
    assert changed.min() > 0.4 * len(equal), "the upper half, the target, is the same"


def test_a_gate_is_drawn_where_its_probability_is() -> None:
    late, early = np.zeros(50, dtype=np.float32), np.ones(50, dtype=np.float32)
    late[-1] = 1
    pictures = [plots.plot_gate(gate, "clip-7", 50) for gate in (late, early)]
    assert all(map(is_picture, pictures))
    heights = []
    for picture in pictures:
        middle = picture[:, 200:400].astype(int)  # right of the legend's box in some rows, the curve in one
        blue = (middle[..., 2] - middle[..., 0]) > 60
        heights.append(np.nonzero(blue.mean(axis=1) > 0.9)[0].mean())
    assert heights[0] - heights[1] > 0.5 * len(pictures[0]), "0 is far below 1"


def test_the_name_and_the_iteration_are_written_into_the_picture() -> None:
    pictures = [
        plots.plot_gate(np.zeros(9, dtype=np.float32), name, step) for name, step in (("a", 1), ("b", 1), ("a", 2))
    ]
    assert not np.array_equal(pictures[0], pictures[1])
    assert not np.array_equal(pictures[0], pictures[2])


def coloured(picture: NDArray[np.uint8], red: int, green: int, blue: int) -> NDArray[np.bool_]:
    """Pixels near a colour."""
    return (np.abs(picture.astype(int) - (red, green, blue)) < 25).all(axis=2)


RED, ORANGE, BLUE = (214, 39, 40), (255, 127, 14), (31, 119, 180)


def test_a_stop_is_drawn_with_its_iteration_and_the_limit_of_each_metric() -> None:
    points = {"grad.norm": [(step, 2.0 + step) for step in range(1, 61)], "training.loss": [(1, 4.0), (60, 9.0)]}
    picture = plots.plot_series(points, {"grad.norm": 10.0}, 50, "exploding_gradients")
    assert is_picture(picture)
    half = len(picture) // 2
    for part in (picture[:half], picture[half:]):
        assert coloured(part, *BLUE).any(), "each metric has its own plot"
        columns = np.nonzero(coloured(part, *RED).sum(axis=0) > 0.3 * half)[0]
        assert 0.6 < columns.mean() / picture.shape[1] < 0.95, "the stop, near the right end"
    rows = np.nonzero(coloured(picture, *ORANGE).sum(axis=1) > 0.2 * picture.shape[1])[0]
    assert 0.2 * half < rows.mean() < half, "the limit, in the plot of its metric alone"


def test_values_that_span_powers_of_ten_can_all_be_seen() -> None:
    points = [(step, 1e6 if step == 50 else float(step)) for step in range(1, 51)]
    heights = [
        np.ptp(np.nonzero(coloured(plots.plot_series({"grad.norm": some}, {}, 50, "t")[:, 100:400], *BLUE))[0])
        for some in (points, points[:49])
    ]
    assert min(heights) > 60, "the first 49 are not pressed to the floor by the last"


def test_a_metric_without_a_point_leaves_its_plot_empty() -> None:
    points = {"grad.norm": [], "training.loss": [(1, 4.0), (50, 9.0)]}
    picture = plots.plot_series(points, {"grad.norm": 10.0}, 50, "t")
    half = len(picture) // 2
    assert not coloured(picture[:half], *BLUE).any()
    assert coloured(picture[half:], *BLUE).any(), "the other one is drawn"
    assert coloured(picture[:half], *ORANGE).any(), "the limit is drawn all the same"

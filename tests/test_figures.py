"""Plots are pictures of what they are given."""

import numpy as np
from numpy.typing import NDArray

from smart_tuner import figures

DIAGONAL = np.kron(np.eye(20, dtype=np.float32), np.ones((3, 1), dtype=np.float32))
"""Attention weights (60 steps, 20 tokens)."""


def bright(picture: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Rows and columns of the pixels in the colour map's yellow, as points (2, P)."""
    red, green, blue = (picture[..., channel].astype(int) for channel in range(3))
    return np.array(np.nonzero((red > 240) & (green > 220) & (blue < 60)), dtype=np.float64)


def is_picture(picture: NDArray[np.uint8]) -> bool:
    return picture.dtype == np.uint8 and picture.ndim == 3 and picture.shape[2] == 3 and len(np.unique(picture)) > 10


def test_a_healthy_alignment_is_a_diagonal_from_below_left_to_above_right() -> None:
    picture = figures.alignment(DIAGONAL, "clip-7", 50)
    assert is_picture(picture)
    rows, columns = bright(picture)
    plot = columns < 0.8 * picture.shape[1]  # without the colour bar
    assert np.corrcoef(rows[plot], columns[plot])[0, 1] < -0.95
    reversed_rows, reversed_columns = bright(figures.alignment(DIAGONAL[::-1], "clip-7", 50))
    plot = reversed_columns < 0.8 * picture.shape[1]
    assert np.corrcoef(reversed_rows[plot], reversed_columns[plot])[0, 1] > 0.95


def test_a_diffuse_attention_can_be_seen() -> None:
    diffuse = figures.alignment(DIAGONAL * 0.05, "clip-7", 50)
    assert (bright(diffuse)[1] < 0.7 * diffuse.shape[1]).any()  # left of the colour bar


def test_target_and_prediction_are_drawn_one_above_the_other_in_the_same_colours() -> None:
    target = np.random.default_rng(0).normal(-5, 2, (80, 120)).astype(np.float32)
    equal = figures.mel(target, target, "clip-7", 50)
    faint = figures.mel(target, np.full_like(target, target.min()), "clip-7", 50)
    assert is_picture(equal)
    assert equal.shape == faint.shape
    changed = np.nonzero((equal != faint).any(axis=(1, 2)))[0]
    assert changed.min() > 0.4 * len(equal), "the upper half, the target, is the same"


def test_a_gate_is_drawn_where_its_probability_is() -> None:
    late, early = np.zeros(50, dtype=np.float32), np.ones(50, dtype=np.float32)
    late[-1] = 1
    pictures = [figures.gate(one, "clip-7", 50) for one in (late, early)]
    assert all(is_picture(one) for one in pictures)
    heights = []
    for picture in pictures:
        middle = picture[:, 200:400].astype(int)  # right of the legend's box in some rows, the curve in one
        blue = (middle[..., 2] - middle[..., 0]) > 60
        heights.append(np.nonzero(blue.mean(axis=1) > 0.9)[0].mean())
    assert heights[0] - heights[1] > 0.5 * len(pictures[0]), "0 is far below 1"


def test_the_name_and_the_iteration_are_written_into_the_picture() -> None:
    pictures = [
        figures.gate(np.zeros(9, dtype=np.float32), name, step) for name, step in (("a", 1), ("b", 1), ("a", 2))
    ]
    assert not np.array_equal(pictures[0], pictures[1])
    assert not np.array_equal(pictures[0], pictures[2])

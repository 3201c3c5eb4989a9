"""What is done to points before they are drawn, by hand."""

import math

import pytest

from smart_tuner.figures.polylines import Polyline, choose_window, smooth, thin
from smart_tuner.figures.scales import needs_log

FLAT: Polyline = [(float(x), 1.0) for x in range(1, 101)]


def test_a_smoothed_value_is_the_median_of_its_window_cut_at_the_ends() -> None:
    line = [(1.0, 5.0), (2.0, 1.0), (3.0, 9.0), (4.0, 2.0), (5.0, 3.0)]
    # the medians of 5 1, 5 1 9, 1 9 2, 9 2 3 and 2 3
    assert smooth(line, 3) == [(1, 3), (2, 5), (3, 2), (4, 3), (5, 2.5)]
    peak = [(1.0, 8.0), (2.0, 1.0), (3.0, 2.0), (4.0, 3.0), (5.0, 9.0)]
    # window 5: the medians of 8 1 2, 8 1 2 3, all, 1 2 3 9 and 2 3 9
    assert smooth(peak, 5) == [(1, 2), (2, 2.5), (3, 3), (4, 2.5), (5, 3)]


def test_a_single_peak_leaves_no_trace() -> None:
    peak = [(x, 1e6 if x == 50 else y) for x, y in FLAT]
    assert smooth(peak, 5) == FLAT


@pytest.mark.parametrize("line", [[], [(1.0, 2.0)], [(1.0, 2.0), (2.0, 3.0)]])
def test_lines_too_short_to_smooth_stay_as_they_are(line: Polyline) -> None:
    assert smooth(line, 1) == line
    assert [x for x, _ in smooth(line, 101)] == [x for x, _ in line]


def test_the_window_grows_with_the_line_to_a_hundred_points() -> None:
    assert [choose_window(points) for points in (0, 29, 30, 300, 10_000)] == [1, 1, 3, 21, 101]


def test_a_thinned_line_keeps_its_ends_and_every_peak() -> None:
    line = [(float(x), 100.0 if x == 333 else -50.0 if x == 777 else math.sin(x)) for x in range(1, 1001)]
    thinned = thin(line, 50)
    assert len(thinned) <= 50
    assert {line[0], line[-1], (333.0, 100.0), (777.0, -50.0)} <= set(thinned)
    assert thinned == sorted(thinned)
    assert thin(FLAT, 100) == FLAT


@pytest.mark.parametrize(("values", "log"), [([1, 10.1], True), ([1, 9], False), ([0, 50], False), ([], False)])
def test_values_over_a_power_of_ten_want_a_logarithmic_axis(values: list[float], log: bool) -> None:
    assert needs_log(values) is log

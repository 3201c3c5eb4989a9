"""What is done to points before they are drawn, by hand."""

import math

import pytest

from smart_tuner.report.drawing import shapes
from smart_tuner.report.drawing.shapes import Line

FLAT: Line = [(float(x), 1.0) for x in range(1, 101)]


def test_points_are_placed_by_the_utterances_seen() -> None:
    assert shapes.in_utterances([(50, 0.5), (100, 0.4)], 8) == [(400, 0.5), (800, 0.4)]


def test_a_smoothed_value_is_the_median_of_its_window() -> None:
    line = [(1.0, 5.0), (2.0, 1.0), (3.0, 9.0), (4.0, 2.0), (5.0, 3.0)]
    # the medians of 5 1, 5 1 9, 1 9 2, 9 2 3 and 2 3
    assert shapes.smooth(line, 3) == [(1, 3), (2, 5), (3, 2), (4, 3), (5, 2.5)]


def test_the_window_is_cut_at_the_ends_so_that_a_last_peak_is_none() -> None:
    line = [(1.0, 8.0), (2.0, 1.0), (3.0, 2.0), (4.0, 3.0), (5.0, 9.0)]
    # window 5: the medians of 8 1 2, 8 1 2 3, all, 1 2 3 9 and 2 3 9
    assert shapes.smooth(line, 5) == [(1, 2), (2, 2.5), (3, 3), (4, 2.5), (5, 3)]


def test_a_single_peak_leaves_no_trace() -> None:
    peak = [(x, 1e6 if x == 50 else y) for x, y in FLAT]
    assert shapes.smooth(peak, 5) == FLAT


@pytest.mark.parametrize("line", [[], [(1.0, 2.0)], [(1.0, 2.0), (2.0, 3.0)]])
def test_lines_too_short_to_smooth_stay_as_they_are(line: Line) -> None:
    assert shapes.smooth(line, 1) == line
    assert [x for x, _ in shapes.smooth(line, 101)] == [x for x, _ in line]


def test_the_window_grows_with_the_line_to_a_hundred_points() -> None:
    assert [shapes.window_of(points) for points in (0, 29, 30, 300, 10_000)] == [1, 1, 3, 21, 101]


def test_a_thinned_line_keeps_its_ends_and_every_peak() -> None:
    line = [(float(x), 100.0 if x == 333 else -50.0 if x == 777 else math.sin(x)) for x in range(1, 1001)]
    thin = shapes.thin(line, 50)
    assert len(thin) <= 50
    assert {line[0], line[-1], (333.0, 100.0), (777.0, -50.0)} <= set(thin)
    assert thin == sorted(thin)


def test_a_logarithmic_axis_keeps_its_early_points() -> None:
    line = [(float(x), 1.0 / x) for x in range(1, 10_001)]
    kept = [sum(x <= 100 for x, _ in shapes.thin(line, 60, log=log)) for log in (False, True)]
    assert kept[0] <= 3
    assert kept[1] >= 20  # half of the axis


def test_a_short_line_is_not_thinned() -> None:
    assert shapes.thin(FLAT, 100) == FLAT


def test_the_median_curve_needs_three_lines_where_it_is() -> None:
    lines: list[Line] = [[(0.0, 1.0), (10.0, 1.0)], [(0.0, 2.0), (10.0, 2.0)], [(0.0, 3.0), (5.0, 8.0)]]
    # to 5 all three: the middle one is the line at 2; then two are left
    assert shapes.median_curve(lines, 11) == [(float(x), 2.0) for x in range(6)]
    assert shapes.median_curve(lines[:2], 11) == []


def test_the_median_curve_interpolates_between_points() -> None:
    lines: list[Line] = [[(0.0, 0.0), (10.0, 10.0)], [(0.0, 1.0), (10.0, 11.0)], [(0.0, 5.0), (10.0, 15.0)]]
    assert shapes.median_curve(lines, 3) == [(0.0, 1.0), (5.0, 6.0), (10.0, 11.0)]


def test_a_line_that_falls_at_once_wants_a_logarithmic_axis() -> None:
    fast = [(float(x), 2 * math.exp(-x / 20)) for x in range(1, 1001)]
    steady = [(float(x), 1000.0 - x) for x in range(1, 1001)]
    assert shapes.early([fast, fast, steady])
    assert not shapes.early([steady])
    assert not shapes.early([fast[:10]])
    assert not shapes.early([])


@pytest.mark.parametrize(("values", "log"), [([1, 10.1], True), ([1, 9], False), ([0, 50], False), ([], False)])
def test_values_over_a_power_of_ten_want_a_logarithmic_axis(values: list[float], log: bool) -> None:
    assert shapes.spread(values) is log

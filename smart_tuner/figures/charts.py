"""Charts of a study as SVG for a page: marks over two axes, bars, curves.

Plain numbers and texts that are already in the reader's language in, an <svg> element out. What matters differs in
shape, thickness or dashes, never in colour alone. Figures are narrow, so that their text can be read on a telephone.
"""

import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import accumulate, pairwise
from typing import Any, Literal

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter

from smart_tuner.figures.scales import Scale, set_ticks
from smart_tuner.figures.svg import BASELINE, BEST, GRID, HALO, INK, MUTED, OTHER, SICK, TIP, fit_into_page

WIDTH = 5.2
"""Inches: at 360 pixels a letter of 10 points is still 9 pixels high."""
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "smart-tuner",
    "path.simplify_threshold": 0.3,
    "font.family": "sans-serif",
    "font.size": 10,
    "axes.labelsize": 10,
    "xtick.labelsize": 9.5,
    "ytick.labelsize": 9.5,
    "legend.fontsize": 9.5,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": MUTED,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.facecolor": "none",
    "axes.unicode_minus": True,
}
Role = Literal["best", "baseline", "other"]
LINES: dict[Role, dict[str, Any]] = {
    "best": {"color": BEST, "linewidth": 2.6, "zorder": 6},
    "baseline": {"color": BASELINE, "linewidth": 1.8, "linestyle": (0, (4.5, 2)), "zorder": 5},
    "other": {"color": OTHER, "linewidth": 0.7, "alpha": 0.45, "zorder": 2},
}
RAW = {"linewidth": 0.8, "alpha": 0.4, "zorder": 1.5, "linestyle": "-"}

Shape = Literal["complete", "apart", "stopped", "ring", "square"]
MARKS: dict[Shape, dict[str, Any]] = {
    "complete": {"marker": "o", "markersize": 5.5, "color": OTHER, "zorder": 3, "alpha": 0.85},
    "apart": {"marker": "o", "markersize": 5.5, "color": OTHER, "markerfacecolor": "none", "zorder": 3},
    "stopped": {"marker": "x", "markersize": 5.5, "color": MUTED, "markeredgewidth": 1.3, "zorder": 2},
    "ring": {
        "marker": "o",
        "markersize": 12,
        "color": BEST,
        "markerfacecolor": "none",
        "markeredgewidth": 2.2,
        "zorder": 5,
    },
    "square": {
        "marker": "s",
        "markersize": 10.5,
        "color": BASELINE,
        "markerfacecolor": "none",
        "markeredgewidth": 1.6,
        "zorder": 5,
    },
}


@dataclass(frozen=True, kw_only=True)
class Curve:
    """A line over an axis."""

    name: str
    """Shown when the pointer rests on it; of those that stand out also in the legend."""
    role: Role
    points: Sequence[tuple[float, float]]
    raw: Sequence[tuple[float, float]] = ()
    """As measured, when points are smoothed: drawn faint."""


@dataclass(frozen=True, kw_only=True)
class Dots:
    """Marks of one shape."""

    name: str
    """In the legend."""
    shape: Shape
    points: Sequence[tuple[float, float]]
    words: Sequence[str]
    """For each point, shown when the pointer rests on it."""


@dataclass(frozen=True, kw_only=True)
class Bar:
    """A share with its uncertainty."""

    name: str
    value: float
    low: float
    high: float


@dataclass
class Drawing:
    """A figure on its way to a page."""

    label: str
    figure: Figure
    tips: dict[str, Sequence[str]] = field(default_factory=dict)
    svg: str = ""

    def tip(self, words: Sequence[str]) -> str:
        """An id for a line, or for marks, that has words of its own."""
        identity = f"{TIP}{len(self.tips)}"
        self.tips[identity] = words
        return identity


@contextmanager
def open_drawing(label: str, height: float) -> Iterator[Drawing]:
    """Draw on its figure; its svg is there in the end."""
    with rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, height), layout="constrained")
        FigureCanvasSVG(figure)
        figure.patch.set_visible(False)
        page = Drawing(label, figure)
        yield page
        # without a date the same study gives the same file, as svg.hashsalt does for ids
        written = io.StringIO()
        figure.savefig(written, format="svg", metadata={"Date": None})
        page.svg = fit_into_page(written.getvalue(), label, page.tips)


def draw_lines(
    curves: Sequence[Curve],
    x: Scale,
    y: Scale,
    *,
    label: str,
    kinds: Mapping[Role, str],
    limits: Mapping[float, str] | None = None,
) -> str:
    """Curves over an axis: the best thick, the baseline dashed, others thin.

    kinds names a role's lines together in the legend; limits names values that the curves are held against.
    """
    with open_drawing(label, 3.5) as page:
        axes = make_axes(page, x, y)
        for value, name in (limits or {}).items():
            draw_limit(axes, value, name)
        named = {}
        for curve in curves:
            style = LINES[curve.role]
            if curve.raw:
                axes.plot(*zip(*curve.raw, strict=True), **{**RAW, "color": style["color"]})
            line = axes.plot(*zip(*curve.points, strict=True), gid=page.tip([curve.name]), **style)[0]
            named[kinds.get(curve.role, curve.name)] = line
        # curves come from the least to the most important; a legend is read the other way round
        draw_legend(page.figure, dict(reversed(named.items())))
    return page.svg


def draw_limit(axes: Axes, value: float, name: str) -> None:
    """A level line with its name at the right end."""
    axes.axhline(value, color=SICK, linewidth=0.9, linestyle=(0, (6, 3, 1, 3)), zorder=1.8)
    axes.annotate(
        name,
        (0.99, value),
        xycoords=axes.get_yaxis_transform(),
        xytext=(0, 2),
        textcoords="offset points",
        ha="right",
        va="bottom",
        fontsize=9,
        zorder=9,
        gid=HALO,
    )


def draw_dots(
    groups: Sequence[Dots],
    x: Scale,
    y: Scale,
    *,
    label: str,
    steps: Sequence[tuple[float, float]] = (),
    steps_name: str = "",
) -> str:
    """Marks over two axes, each group in a shape of its own; what lies beyond an axis stands at its end.

    steps: a line below them that keeps each value until the next one, named in the legend.
    """
    with open_drawing(label, 3.5) as page:
        axes = make_axes(page, x, y)
        named = {}
        for group in groups:
            if group.points:
                style = {**MARKS[group.shape], "linestyle": "none", "clip_on": False}
                xs, ys = zip(*((x.nearest(across), y.nearest(up)) for across, up in group.points), strict=True)
                named[group.name] = axes.plot(xs, ys, gid=page.tip(group.words), **style)[0]
        if steps:
            xs, ys = zip(*steps, strict=True)
            gid = page.tip([steps_name])
            named[steps_name] = axes.step(xs, ys, where="post", color=BEST, linewidth=1.4, zorder=1.9, gid=gid)[0]
        draw_legend(page.figure, named)
    return page.svg


def draw_bars(shares: Sequence[Bar], *, label: str, axis: str) -> str:
    """Shares from 0 to 1, largest on top, each with its uncertainty as a thin line."""
    # inches: the axis, then a third of an inch a bar
    with open_drawing(label, 0.85 + 0.32 * len(shares)) as page:
        axes = page.figure.subplots()
        rows = range(len(shares))
        for row, share in zip(rows, shares, strict=True):
            word = f"{share.name}: {share.value:.0%} ({share.low:.0%} – {share.high:.0%})"
            axes.barh(row, share.value, 0.55, color=OTHER, alpha=0.75, gid=page.tip([word]))
            axes.plot([share.low, share.high], [row, row], color=INK, linewidth=1.3, marker="|", markersize=7)
        axes.set_yticks(rows, [share.name for share in shares])
        axes.invert_yaxis()
        axes.set(xlim=(0, 1), xlabel=axis)
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0%}"))
        axes.grid(axis="x", color=GRID, linewidth=0.8)
        axes.set_axisbelow(True)
        axes.tick_params(axis="y", length=0)
    return page.svg


def make_axes(page: Drawing, x: Scale, y: Scale) -> Axes:
    """The axes of a figure with two scales."""
    axes = page.figure.subplots()
    axes.set(xscale="log" if x.log else "linear", yscale="log" if y.log else "linear")
    axes.set(xlim=(x.low, x.high), ylim=(y.low, y.high), xlabel=x.label, ylabel=y.label)
    for axis, scale in ((axes.xaxis, x), (axes.yaxis, y)):
        set_ticks(axis, scale)
    axes.grid(color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    return axes


def draw_legend(figure: Figure, named: Mapping[str, Any]) -> None:
    """Above the plot, as many in a row as fit."""
    names = list(named)
    if names:
        columns = next(n for n in range(len(names), 0, -1) if n == 1 or measure_legend(names, n) < WIDTH * 72)
        shown = figure.legend(
            named.values(),
            names,
            loc="outside upper left",
            ncols=columns,
            frameon=False,
            handlelength=2.2,
            columnspacing=1.2,
        )
        for handle in shown.legend_handles:
            # a faint hairline cannot be seen in a legend
            if isinstance(handle, Line2D) and handle.get_linewidth() < 1:
                handle.set(alpha=1, linewidth=0.8)


def measure_legend(names: Sequence[str], columns: int) -> float:
    """Points that a legend takes, by the letters of the longest name in each column."""
    full, more = divmod(len(names), columns)  # matplotlib fills columns from the top, the first ones with one more
    ends = [0, *accumulate(full + (column < more) for column in range(columns))]
    return sum(44 + 5.4 * max(map(len, names[low:high])) for low, high in pairwise(ends))

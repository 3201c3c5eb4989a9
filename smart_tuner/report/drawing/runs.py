"""The trials' curves, and the pictures of the best and the worst."""

import base64
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from smart_tuner.figures import charts
from smart_tuner.figures.charts import Curve, Role
from smart_tuner.figures.scales import Scale, figures
from smart_tuner.report.catalogue import MISSING, Catalogue, Said, said
from smart_tuner.report.drawing import shapes
from smart_tuner.report.drawing.matters import spoken, together
from smart_tuner.report.drawing.shapes import Line
from smart_tuner.report.drawing.slices import widened
from smart_tuner.report.evidence import Archive, Evidence, Points, Run
from smart_tuner.report.finalists import Finalists, cost_of
from smart_tuner.report.view import Chart, Picture

LIMITS: dict[str, dict[float, str]] = {
    "validation.loss": {},
    "validation.alignment_score": {0.5: "charts.good_above", 0.3: "charts.sick_below"},
    "grad.norm": {5.0: "charts.good_below", 10.0: "charts.sick_above"},
}
"""Metrics whose curves are drawn, with the values that the guide holds them against."""
SUMMARIES = {
    "validation.loss": "charts.loss_summary",
    "validation.alignment_score": "charts.alignment_summary",
    "grad.norm": "charts.gradient_summary",
}
SERIES = ("grad.norm", "training.loss", "training.guide_loss", "training.atten_loss", "duration")
MOST_POINTS = 300_000
"""Read from a store for the series of all runs, and for the curves of one metric: about two seconds."""
MOST_OTHERS = 60
FINE, COARSE = 300, 110
"""Points of a line that stands out, and of another."""
FAR, POWERS = 2.0, 1000.0
"""Peaks this many times as high as all but a fiftieth of the values are cut off, unless a log axis holds them too."""
PICTURES = {
    "alignment": ("charts.alt_alignment", "validation.alignment_score"),
    "mel": ("charts.alt_mel", "validation.loss"),
    "gate": ("charts.alt_gate", "validation.gate_mean"),
}


def series(evidence: Evidence, finalists: Finalists, archive: Archive) -> dict[str, dict[str, Points]]:
    """What training logged of each run, by the run's name and the metric; of very large studies of those in focus."""
    runs = [run for run in evidence.runs if run.run_id is not None]
    if sum(length(run) for run in runs) * len(SERIES) > MOST_POINTS:
        names = {run.name for run in in_focus(finalists)}
        runs = [run for run in runs if run.name in names]
    return {run.name: {metric: history(run, metric, archive) for metric in SERIES} for run in runs}


def length(run: Run) -> int:
    """Points that a training metric of a run has, by its last iteration; a run that does not say has some."""
    return int(run.metrics.get("iteration", 1000.0))


def in_focus(finalists: Finalists) -> list[Run]:
    """The runs that a report looks at closely, each once."""
    known = (finalists.best, finalists.baseline, finalists.winner, finalists.median, finalists.worst)
    return list({run.name: run for run in known if run is not None}.values())


def history(run: Run, metric: str, archive: Archive) -> Points:
    """A metric's points; none without a run."""
    return archive.history(run.run_id, metric) if run.run_id is not None else ()


@dataclass(frozen=True, kw_only=True)
class Trace:
    """A run's metric, ready to be drawn."""

    run: Run
    role: Role
    raw: Line
    smooth: Line


def curves(evidence: Evidence, finalists: Finalists, archive: Archive, catalogue: Catalogue) -> tuple[Chart, ...]:
    """Validation loss, alignment and gradient norm against the utterances seen; without metrics nobody logged."""
    drawn = (curve_chart(metric, evidence, finalists, archive, catalogue) for metric in LIMITS)
    return tuple(one for one in drawn if one is not None)


def curve_chart(
    metric: str, evidence: Evidence, finalists: Finalists, archive: Archive, catalogue: Catalogue
) -> Chart | None:
    """One metric of the runs; None when none has it."""
    logged = [run for run in evidence.runs if run.run_id is not None]
    counted = any(run.batch for run in logged)
    usable = [run for run in logged if run.batch or not counted]
    chosen = chosen_runs(usable, finalists, metric, evidence.objectives[0].direction)
    found = traces(metric, chosen, finalists, archive, counted)
    if not found:
        return None
    log = shapes.early([one.smooth for one in found])
    median = shapes.median_curve([one.smooth for one in found], COARSE, log=log)
    title, summary = said("charts.curve", metric=metric), curve_summary(metric, found)
    x = said("charts.utterances") if counted else said("charts.iterations")
    y, beyond = y_scale(metric, found)
    svg = charts.lines(
        drawn_curves(found, median, catalogue, log=log),
        x_scale(catalogue(x), found, log=log),
        y,
        label=spoken(title, summary, catalogue),
        kinds={"other": catalogue(said("charts.others"))},
        limits={at: catalogue(said(key, limit=at)) for at, key in LIMITS[metric].items() if y.low < at < y.high},
    )
    notes = [
        smoothing(found),
        *([said("charts.median_note")] if median else []),
        *([said("charts.left_out", count=len(usable) - len(chosen))] if len(chosen) < len(usable) else []),
        *([said("charts.no_batch", count=len(logged) - len(usable))] if len(usable) < len(logged) else []),
        *([said("charts.beyond")] if beyond else []),
    ]
    head = (said("charts.run"), *(said(f"charts.{one}") for one in ("first", "least", "most", "last")), x)
    return Chart(
        title=title,
        svg=svg,
        summary=summary,
        head=head,
        rows=curve_rows(found, median, catalogue),
        note=together(notes),
    )


def chosen_runs(runs: Sequence[Run], finalists: Finalists, metric: str, direction: str) -> list[Run]:
    """All runs, or of many those in focus and others evenly over the ranking; fewer when their curves are long."""
    focus = [run for run in runs if run.name in {one.name for one in in_focus(finalists)}]
    others = sorted((run for run in runs if run not in focus), key=lambda run: (rank(run, direction), run.name))
    longest = max((length(run) for run in runs), default=1) if metric in SERIES else 1
    most = max(0, min(MOST_OTHERS, MOST_POINTS // max(longest, 1) - len(focus)))
    if len(others) > most:
        others = [others[place * (len(others) - 1) // max(most - 1, 1)] for place in range(most)]
    return [*focus, *others]


def rank(run: Run, direction: str) -> float:
    """A run's cost, to order runs by; infinite when unknown."""
    if run.result is not None:
        return cost_of(run.result, direction)
    return run.metrics.get("best.validation.loss", float("inf"))


def traces(metric: str, runs: Iterable[Run], finalists: Finalists, archive: Archive, counted: bool) -> list[Trace]:
    """The runs' lines, smoothed by one window; without runs that never logged the metric."""
    lines = [
        (run, shapes.in_utterances(history(run, metric, archive), run.batch if counted and run.batch else 1.0))
        for run in runs
    ]
    known = [(run, line) for run, line in lines if line]
    window = shapes.window_of(max((len(line) for _, line in known), default=0))
    return [
        Trace(run=run, role=role_of(run, finalists), raw=line, smooth=shapes.smooth(line, window))
        for run, line in known
    ]


def role_of(run: Run, finalists: Finalists) -> Role:
    """How a run is drawn."""
    if finalists.best is not None and run.name == finalists.best.name:
        return "best"
    return "baseline" if finalists.baseline is not None and run.name == finalists.baseline.name else "other"


def drawn_curves(found: Sequence[Trace], median: Line, catalogue: Catalogue, *, log: bool) -> list[Curve]:
    """Lines from the least to the most important, as few points as their shape takes."""
    lines = []
    for one in sorted(found, key=lambda trace: ("other", "baseline", "best").index(trace.role)):
        plain = one.role == "other"
        raw = shapes.thin(one.raw, 2 * FINE, log=log) if not plain and one.raw != one.smooth else []
        points = shapes.thin(one.smooth, COARSE if plain else FINE, log=log)
        lines.append(Curve(name=named(one, catalogue), role=one.role, points=points, raw=raw))
    if median:
        lines.append(Curve(name=catalogue(said("charts.median_curve")), role="median", points=median))
    return lines


def named(trace: Trace, catalogue: Catalogue) -> str:
    """A run's name, with what it is when it stands out."""
    if trace.role == "other":
        return trace.run.name
    return catalogue(said("charts.who", who=said(f"charts.{trace.role}"), name=trace.run.name))


def x_scale(label: str, found: Sequence[Trace], *, log: bool) -> Scale:
    """The axis along which runs are trained."""
    low, high = min(one.raw[0][0] for one in found), max(one.raw[-1][0] for one in found)
    return Scale(label=label, low=low if log or low == high else 0.0, high=high if high > low else low + 1, log=log)


def y_scale(metric: str, found: Sequence[Trace]) -> tuple[Scale, bool]:
    """The axis of values, and whether some lie beyond it: the peaks of a few do not press all others to the floor."""
    every = sorted(value for one in found for _, value in one.smooth)
    own = sorted(value for one in found if one.role != "other" for _, value in (*one.smooth, *one.raw))
    low, high = min([every[0], *own[:1]]), max([every[-1], *own[-1:]])
    usual = max([every[int(0.98 * (len(every) - 1))], *own[-1 - len(own) // 50 :][:1]])
    beyond = high - low > FAR * (usual - low) > 0 and not 0 < high <= POWERS * low
    scale = Scale(label=metric, low=low, high=usual if beyond else high, log=shapes.spread([low, usual]))
    return widened(scale, 0.04), beyond


def curve_summary(metric: str, found: Sequence[Trace]) -> Said:
    """What the curves show, with where the outstanding ones end."""
    ends = [(one, one.smooth[-1][1]) for role in ("best", "baseline") for one in found if one.role == role]
    words = [(said("charts.who", who=said(f"charts.{one.role}"), name=one.run.name), last) for one, last in ends]
    text: Said | str = ""
    if len(words) == 1:
        text = said("charts.ends", who=words[0][0], last=words[0][1])
    elif words:
        text = said("charts.ends_both", who=words[0][0], last=words[0][1], other=words[1][0], other_last=words[1][1])
    return said(SUMMARIES[metric], metric=metric, runs=len(found), ends=text)


def smoothing(found: Sequence[Trace]) -> Said:
    """How the lines were smoothed."""
    window = shapes.window_of(max(len(one.raw) for one in found))
    return said("charts.smoothed", window=window) if window > 1 else said("charts.raw")


def curve_rows(found: Sequence[Trace], median: Line, catalogue: Catalogue) -> tuple[tuple[str, ...], ...]:
    """Numbers of the lines that stand out."""
    lines = [(named(one, catalogue), one.smooth) for role in ("best", "baseline") for one in found if one.role == role]
    if median:
        lines.append((catalogue(said("charts.median_curve")), median))
    return tuple(numbers(name, line) for name, line in lines)


def numbers(name: str, line: Line) -> tuple[str, ...]:
    """First, lowest, highest and last value of a line, and where it ends."""
    values = [value for _, value in line]
    measured = (values[0], min(values), max(values), values[-1])
    return (name, *(f"{value:.4g}" for value in measured), figures(line[-1][0]))


def pictures(finalists: Finalists, archive: Archive) -> tuple[Picture, ...]:
    """Alignment, mel and gate of the best and the worst, as far as they are there."""
    shown = [("charts.best", finalists.best), ("charts.worst", finalists.worst)]
    found = [picture(plot, key, run, archive) for key, run in shown if run is not None for plot in PICTURES]
    return tuple(one for one in found if one is not None)


def picture(plot: str, key: str, run: Run, archive: Archive) -> Picture | None:
    """One plot of a run; None when it is gone."""
    file = archive.artefact(run.run_id, f"plots/{plot}.png") if run.run_id is not None else None
    if file is None:
        return None
    alt, metric = PICTURES[plot]
    value = run.metrics.get(metric)
    return Picture(
        title=said("charts.picture", plot=plot, who=said(key), name=run.name),
        uri=f"data:image/png;base64,{base64.b64encode(file.read_bytes()).decode()}",
        alt=said(alt, name=run.name, score=MISSING if value is None else f"{value:.4g}"),
    )

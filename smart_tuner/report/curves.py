"""The trials' curves, smoothed and thinned, and the pictures of the best and the worst."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from smart_tuner.figures import charts
from smart_tuner.figures.charts import Curve, Role
from smart_tuner.figures.polylines import Polyline, choose_window, smooth, thin
from smart_tuner.figures.scales import Scale, format_number, needs_log
from smart_tuner.progress import GATE_MEAN, NORM, SCORE, VALIDATION_LOSS
from smart_tuner.report.catalogue import Catalogue
from smart_tuner.report.evidence import Archive, Evidence, Points, Run
from smart_tuner.report.finalists import Finalists
from smart_tuner.report.guide import GOOD_NORM, SICK_SCORE, TRAINING, read_series
from smart_tuner.report.message import MISSING, Message, join_sentences, label_chart
from smart_tuner.report.stops import encode_picture
from smart_tuner.report.view import Chart, Picture
from smart_tuner.settings.health import Health

DRAWN = (VALIDATION_LOSS, SCORE, NORM)
MOST_POINTS = 300_000
"""Read from a store for the series of all runs, and for the curves of one metric: about two seconds."""
MOST_OTHERS = 60
FINE, COARSE = 300, 110
"""Points of a line that stands out, and of another."""
FAR, POWERS = 2.0, 1000.0
"""Peaks this many times as high as all but a fiftieth of the values are cut off, unless a log axis holds them too."""
OUTSTANDING: dict[Role, Message] = {"best": Message("best"), "baseline": Message("baseline")}
SUMMARIES = {
    VALIDATION_LOSS: Message("{metric} of {runs} runs; it should fall. At the end: {ends}."),
    SCORE: Message("{metric} of {runs} runs; above {good:g} is good, below {sick:g} sick. At the end: {ends}."),
    NORM: Message(
        "{metric} of {runs} runs; below {good:g} is good, above {sick:g} for long is suspect, but not in the first "
        "iterations. At the end: {ends}."
    ),
}
PICTURES = {
    "alignment": Message(
        "Attention weights of {name}, text upwards over decoder steps: a healthy one is a thin bright diagonal. "
        "{metric}: {value}."
    ),
    "mel": Message(
        "Mel spectrogram of {name}: the recording above, the prediction below; both should look alike. {metric}: "
        "{value}."
    ),
    "gate": Message(
        "Stop probability of {name} over decoder steps: near 0 until the true end, then 1. {metric}: {value}."
    ),
}
SHOWN_BY = {"alignment": SCORE, "mel": VALIDATION_LOSS, "gate": GATE_MEAN}


def read_known_series(evidence: Evidence, finalists: Finalists, archive: Archive) -> dict[str, dict[str, Points]]:
    """What the guide judges over the training, of all runs; of very large studies of those in focus."""
    runs = [run for run in evidence.runs if run.run_id is not None]
    is_large = sum(count_points(run) for run in runs) * len(TRAINING) > MOST_POINTS
    return read_series(finalists.in_focus if is_large else runs, archive)


def count_points(run: Run) -> int:
    """Points that a training metric of a run has, by its last iteration; a run that does not say has some."""
    return int(run.metrics.get("iteration", 1000.0))


@dataclass(frozen=True, kw_only=True)
class Trace:
    """A run's metric, ready to be drawn."""

    run: Run
    role: Role
    raw: Polyline
    smooth: Polyline

    @property
    def name(self) -> Message | str:
        """The run's name, with what it is when it stands out."""
        who = OUTSTANDING.get(self.role)
        return self.run.name if who is None else Message("{who}: {name}", who=who, name=self.run.name)


def draw_curves(
    evidence: Evidence, finalists: Finalists, archive: Archive, health: Health, catalogue: Catalogue
) -> tuple[Chart, ...]:
    """Validation loss, alignment and gradient norm against the utterances seen; without metrics nobody logged."""
    drawn = (draw_metric(metric, evidence, finalists, archive, health, catalogue) for metric in DRAWN)
    return tuple(chart for chart in drawn if chart is not None)


def draw_metric(
    metric: str, evidence: Evidence, finalists: Finalists, archive: Archive, health: Health, catalogue: Catalogue
) -> Chart | None:
    """One metric of the runs; None when none has it."""
    logged = [run for run in evidence.runs if run.run_id is not None]
    is_counted = any(run.batch for run in logged)  # otherwise nobody's utterances are known: iterations have to do
    usable = [run for run in logged if run.batch or not is_counted]
    chosen = choose_runs(usable, finalists, metric)
    traces = trace_runs(metric, chosen, finalists, archive, is_counted=is_counted)
    if not traces:
        return None
    title, x = Message("{metric} over the training", metric=metric), Message("utterances seen")
    x = x if is_counted else Message("iterations")
    limits, (y, is_cut) = find_limits(metric, health), scale_values(metric, traces)
    outstanding = [trace for role in OUTSTANDING for trace in traces if trace.role == role]
    summary = SUMMARIES[metric].fill(
        metric=metric,
        runs=len(traces),
        ends=[Message("{name} {last:.4g}", name=trace.name, last=trace.smooth[-1][1]) for trace in outstanding]
        or MISSING,
        **dict(zip(("good", "sick"), (limit for limit, _ in limits), strict=False)),
    )
    svg = charts.draw_lines(
        list_curves(traces, catalogue),
        scale_training(catalogue(x), traces),
        y,
        label=catalogue(label_chart(title, summary)),
        kinds={"other": catalogue(Message("other trials"))},
        limits={limit: catalogue(name.fill(limit=limit)) for limit, name in limits if y.low < limit < y.high},
    )
    hidden, unknown = len(usable) - len(chosen), len(logged) - len(usable)
    spread = Message("Other runs left out: {count}; those shown are spread evenly over the study.", count=hidden)
    note = join_sentences(
        describe_smoothing(traces),
        spread if hidden else None,
        Message("Runs without hparams.batch_size, left out: {count}.", count=unknown) if unknown else None,
        Message("Peaks beyond the axis are cut off.") if is_cut else None,
    )
    head = (Message("run"), Message("first"), Message("lowest"), Message("highest"), Message("last"), x)
    rows = tuple(tabulate_trace(trace, catalogue) for trace in outstanding)
    return Chart(title=title, svg=svg, summary=summary, head=head, rows=rows, note=note)


def find_limits(metric: str, health: Health) -> list[tuple[float, Message]]:
    """What the guide holds a metric against: where it is good, then where it is sick."""
    good, sick = Message("good above {limit:g}"), Message("sick below {limit:g}")
    small, large = Message("good below {limit:g}"), Message("suspect above {limit:g}")
    limits = {
        SCORE: [(health.formed_score, good), (SICK_SCORE, sick)],
        NORM: [(GOOD_NORM, small), (health.gradient_limit, large)],
    }
    return limits.get(metric, [])


def choose_runs(runs: Sequence[Run], finalists: Finalists, metric: str) -> list[Run]:
    """All runs, or of many those in focus and others evenly over the study; fewer when their curves are long."""
    names = {run.name for run in finalists.in_focus}
    focus = [run for run in runs if run.name in names]
    others = [run for run in runs if run.name not in names]
    longest = max((count_points(run) for run in runs), default=1) if metric in TRAINING else 1
    most = max(0, min(MOST_OTHERS, MOST_POINTS // max(longest, 1) - len(focus)))
    if len(others) > most:
        others = [others[place * (len(others) - 1) // max(most - 1, 1)] for place in range(most)]
    return [*focus, *others]


def trace_runs(
    metric: str, runs: Iterable[Run], finalists: Finalists, archive: Archive, *, is_counted: bool
) -> list[Trace]:
    """The runs' lines over the utterances seen, smoothed by one window; without runs that never logged the metric."""
    lines = []
    for run in runs:
        batch = (run.batch if is_counted else None) or 1.0
        lines.append((run, [(step * batch, value) for step, value in archive.history(run.run_id or "", metric)]))
    known = [(run, line) for run, line in lines if line]
    # one window for all lines: otherwise the shorter runs would look the rougher
    window = choose_window(max((len(line) for _, line in known), default=0))
    return [
        Trace(run=run, role=find_role(run, finalists), raw=line, smooth=smooth(line, window)) for run, line in known
    ]


def find_role(run: Run, finalists: Finalists) -> Role:
    if finalists.best is not None and run.name == finalists.best.name:
        return "best"
    return "baseline" if finalists.baseline is not None and run.name == finalists.baseline.name else "other"


def list_curves(traces: Sequence[Trace], catalogue: Catalogue) -> list[Curve]:
    """Lines from the least to the most important, as few points as their shape takes."""
    lines = []
    for trace in sorted(traces, key=lambda trace: ("other", "baseline", "best").index(trace.role)):
        is_other = trace.role == "other"
        raw = thin(trace.raw, 2 * FINE) if not is_other and trace.raw != trace.smooth else []
        points = thin(trace.smooth, COARSE if is_other else FINE)
        lines.append(Curve(name=catalogue(trace.name), role=trace.role, points=points, raw=raw))
    return lines


def scale_training(label: str, traces: Sequence[Trace]) -> Scale:
    # from 0, so that a late start is seen; a single point gets an axis of length 1
    low, high = min(trace.raw[0][0] for trace in traces), max(trace.raw[-1][0] for trace in traces)
    return Scale(label=label, low=0.0 if high > low else low, high=high if high > low else low + 1)


def scale_values(metric: str, traces: Sequence[Trace]) -> tuple[Scale, bool]:
    """The axis of values, and whether some lie beyond it: the peaks of a few do not press all others to the floor."""
    values = sorted(value for trace in traces for _, value in trace.smooth)
    low, high, usual = values[0], values[-1], values[int(0.98 * (len(values) - 1))]
    is_cut = high - low > FAR * (usual - low) > 0 and not 0 < high <= POWERS * low
    scale = Scale(label=metric, low=low, high=usual if is_cut else high, log=needs_log([low, usual]))
    return scale.widen(0.04), is_cut


def describe_smoothing(traces: Sequence[Trace]) -> Message:
    window = choose_window(max(len(trace.raw) for trace in traces))
    if window == 1:
        return Message("Lines are as measured, not smoothed.")
    return Message(
        "Each line is the median of {window} points around; the raw line of those that stand out is kept, faint.",
        window=window,
    )


def tabulate_trace(trace: Trace, catalogue: Catalogue) -> tuple[str, ...]:
    """First, lowest, highest and last value of a line, and where it ends."""
    values = [value for _, value in trace.smooth]
    numbers = (values[0], min(values), max(values), values[-1])
    return (catalogue(trace.name), *(f"{number:.4g}" for number in numbers), format_number(trace.smooth[-1][0]))


def list_pictures(finalists: Finalists, archive: Archive) -> tuple[Picture, ...]:
    """Alignment, mel and gate of the best and the worst, as far as they are there."""
    shown = [(Message("best"), finalists.best), (Message("worst"), finalists.worst)]
    pictures = [show_plot(plot, who, run, archive) for who, run in shown if run is not None for plot in PICTURES]
    return tuple(picture for picture in pictures if picture is not None)


def show_plot(plot: str, who: Message, run: Run, archive: Archive) -> Picture | None:
    """One plot of a run; None when it is gone."""
    file = archive.artefact(run.run_id, f"plots/{plot}.png") if run.run_id is not None else None
    if file is None:
        return None
    metric = SHOWN_BY[plot]
    value = f"{run.metrics[metric]:.4g}" if metric in run.metrics else MISSING
    title = Message("{plot}, {who}: {name}", plot=plot, who=who, name=run.name)
    alt = PICTURES[plot].fill(name=run.name, metric=metric, value=value)
    return Picture(title=title, uri=encode_picture(file), alt=alt)

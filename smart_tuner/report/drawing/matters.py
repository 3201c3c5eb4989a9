"""Charts of what mattered in a search: importance, slices, all parameters together, and the two that mattered most."""

from collections.abc import Sequence
from dataclasses import replace

from smart_tuner.figures import charts
from smart_tuner.figures.charts import Bar, Dots, Path, Role, Shape
from smart_tuner.report.catalogue import Catalogue, Said, said
from smart_tuner.report.drawing.slices import Parameter, Trials, groups, inside, table, trials_of, value_of, where
from smart_tuner.report.evidence import Evidence
from smart_tuner.report.view import Chart
from smart_tuner.study.conclusions import name
from smart_tuner.study.importance import Importance
from smart_tuner.study.results import Result
from smart_tuner.study.summary import front, number, plain

FIRST = ("hparams.learning_rate", "hparams.batch_size")
"""Slices that come first, whatever mattered."""
MOST_SLICES = 6
MOST_DOTS, MOST_PATHS, TOP = 300, 150, 50
"""More trials than these are sampled; the best few are always drawn."""
MOST_AXES, MOST_BARS = 12, 12


def matters(evidence: Evidence, weighed: Importance, catalogue: Catalogue) -> tuple[Chart, ...]:
    """What mattered in a search: importance, slices, all parameters together, the two that mattered most."""
    trials = trials_of(evidence)
    if not trials.all or not trials.space:
        return ()
    drawn = [
        importance_chart(weighed, trials, catalogue),
        *(slice_chart(trials.parameter(one), trials, catalogue) for one in slice_names(trials, weighed)),
        interaction_chart(trials, weighed, catalogue),
        front_chart(evidence, trials, catalogue),
        parallel_chart(trials, weighed, catalogue),
    ]
    return tuple(one for one in drawn if one is not None)


def importance_chart(weighed: Importance, trials: Trials, catalogue: Catalogue) -> Chart | None:
    """Shares with their bands; None when they cannot be told."""
    if not weighed.enough or not weighed.shares:
        return None
    shares, first = weighed.shares[:MOST_BARS], weighed.shares[0]
    short = {one.name: trials.parameter(one.name).short for one in shares}
    title = said("charts.importance")
    summary = said(
        "charts.importance_summary",
        count=len(weighed.shares),
        metric=trials.metric,
        trials=weighed.trials,
        name=first.name,
        share=first.share,
        low=first.low,
        high=first.high,
    )
    return Chart(
        title=title,
        svg=charts.bars(
            [Bar(name=short[one.name], value=one.share, low=one.low, high=one.high) for one in shares],
            label=spoken(title, summary, catalogue),
            axis=catalogue(said("charts.share")),
        ),
        summary=summary,
        head=(said("charts.parameter"), said("charts.share"), said("charts.band")),
        rows=tuple((one.name, f"{one.share:.0%}", f"{one.low:.0%} – {one.high:.0%}") for one in shares),
        note=said("charts.importance_note"),
    )


def slice_names(trials: Trials, weighed: Importance) -> list[str]:
    """Parameters to slice by: the first two, then what mattered most; those tried with one value alone show nothing."""
    order = dict.fromkeys([*FIRST, *(share.name for share in weighed.shares), *trials.space])
    tried = {one: {plain(each.values[one]) for each in trials.all if one in each.values} for one in order}
    return [one for one in order if one in trials.space and len(tried[one]) > 1][:MOST_SLICES]


def slice_chart(parameter: Parameter, trials: Trials, catalogue: Catalogue) -> Chart:
    """The objective over a parameter."""
    having = [one for one in trials.ordered if parameter.name in one.values]
    shown = trials.sample(MOST_DOTS, TOP, among=having)
    kinds: list[tuple[str, Shape, list[Result]]] = [
        ("charts.stopped", "stopped", trials.stopped),
        ("charts.apart", "apart", trials.apart),
        ("charts.complete", "complete", trials.ended),
    ]
    title = said("charts.slice", metric=trials.metric, parameter=parameter.short)
    summary = slice_summary(parameter, trials)
    x, y, dots = parameter.scale(0.04), trials.scale(shown, 0.06), marks(kinds, [parameter], shown, trials, catalogue)
    said_of = [said("charts.slice_note")] if trials.stopped else []
    said_of += [said("charts.at_the_edge")] if len(trials.usual(shown)) < len(shown) else []
    return Chart(
        title=title,
        svg=charts.dots(dots, x, y, label=spoken(title, summary, catalogue)),
        summary=summary,
        head=slice_head(parameter.short, trials.metric),
        rows=table(trials, parameter),
        note=together([*said_of, *sampled(shown, having)]),
    )


def slice_head(first: str, metric: str) -> tuple[Said | str, ...]:
    """Of a table of groups."""
    measured_of = (said("charts.lowest", metric=metric), said("charts.median"))
    return (first, said("charts.trials"), *measured_of, said("charts.stopped_number"))


def slice_summary(parameter: Parameter, trials: Trials) -> Said:
    """Where the best trials lie."""
    having = [one for one in trials.ended if parameter.name in one.values]
    if not having:
        return said("charts.slice_none", others=len(trials.all))
    best = having[0]
    facts = {
        "trials": len(having),
        "parameter": parameter.short,
        "best": plain(best.values[parameter.name]),
        "metric": trials.metric,
        "loss": value_of(best),
    }
    quarter = [one for one in trials.quarter if parameter.name in one.values]
    return (
        said("charts.slice_summary", **facts, where=where(parameter, quarter))
        if quarter
        else said("charts.slice_few", **facts)
    )


def marks(
    kinds: Sequence[tuple[str, Shape, list[Result]]],
    parameters: Sequence[Parameter],
    shown: Sequence[Result],
    trials: Trials,
    catalogue: Catalogue,
) -> list[Dots]:
    """Trials as marks: each kind in its shape, then a ring around the best and a square around the baseline.

    One parameter is drawn against the objective, two against each other.
    """
    numbers = {one.number for one in shown if all(each.name in one.values for each in parameters)}
    stand_out: list[tuple[str, Shape, Result | None]] = [
        ("charts.best", "ring", trials.best),
        ("charts.baseline", "square", trials.baseline),
    ]
    every = [*kinds, *((key, shape, [one]) for key, shape, one in stand_out if one is not None)]
    found = []
    for key, shape, results in every:
        kept = [one for one in results if one.number in numbers]
        points = [point(one, parameters) for one in kept]
        words = [f"{trials.word(one, parameters)} ({catalogue(said(key))})" for one in kept]
        found.append(Dots(name=catalogue(said(key)), shape=shape, points=points, words=words))
    return found


def point(result: Result, parameters: Sequence[Parameter]) -> tuple[float, float]:
    """Where a trial's mark is; of few values it stands a little aside, by its number, so that marks do not hide."""
    places = [
        parameter.aside(result.values[parameter.name], (result.number * step) % 1 - 0.5)
        for parameter, step in zip(parameters, (0.618, 0.414), strict=False)
    ]
    return (places[0], places[1] if len(places) > 1 else value_of(result))


def parallel_chart(trials: Trials, weighed: Importance, catalogue: Catalogue) -> Chart | None:
    """All parameters together, those that mattered first; None with fewer than two trials or parameters."""
    order = dict.fromkeys([*(share.name for share in weighed.shares), *trials.space])
    tried = [one for one in order if any(one in each.values for each in trials.all)]
    if len(tried) < 2 or len(trials.all) < 2:
        return None
    parameters = [trials.parameter(one) for one in tried[:MOST_AXES]]
    shown = trials.sample(MOST_PATHS, TOP, among=trials.ordered)
    better = "charts.higher" if trials.direction == "maximize" else "charts.lower"
    title = said("charts.parallel")
    summary = said("charts.parallel_summary", shown=len(shown), metric=trials.metric)
    objective = trials.scale(shown)
    kinds: dict[Role, str] = {
        "top": catalogue(said("charts.top_quarter")),
        "other": catalogue(said("charts.others")),
    }
    svg = charts.parallel(
        [*(one.scale() for one in parameters), replace(objective, label=catalogue(said(better, metric=trials.metric)))],
        paths(shown, parameters, trials, catalogue),
        label=spoken(title, summary, catalogue),
        kinds=kinds,
        absent=catalogue(said("charts.absent")),
    )
    left = [said("charts.parallel_left", count=len(tried) - MOST_AXES)] if len(tried) > MOST_AXES else []
    return Chart(
        title=title,
        svg=svg,
        summary=summary,
        head=compared_head(trials),
        rows=tuple(compared(one, trials, catalogue) for one in parameters),
        note=together([*left, *sampled(shown, trials.all)]),
    )


def paths(shown: Sequence[Result], parameters: Sequence[Parameter], trials: Trials, catalogue: Catalogue) -> list[Path]:
    """Trials as lines, those that stand out last, above the others."""
    top = {one.number for one in trials.quarter}
    found = []
    for result in shown:
        role: Role = "top" if result.number in top else "other"
        text = trials.word(result, parameters)
        if result in (trials.best, trials.baseline):
            role, text = ("best" if result == trials.best else "baseline"), who(result, trials, catalogue)
        values = [one.place(result.values[one.name]) if one.name in result.values else None for one in parameters]
        found.append(Path(name=text, role=role, values=(*values, value_of(result))))
    return sorted(found, key=lambda path: ("other", "top", "baseline", "best").index(path.role))


def who(result: Result, trials: Trials, catalogue: Catalogue) -> str:
    """What a trial that stands out is, and its name."""
    both = trials.best is not None and trials.best == trials.baseline
    key = "charts.best_and_baseline" if both else "charts.best" if result == trials.best else "charts.baseline"
    return catalogue(said("charts.who", who=said(key), name=name(result.number)))


def outstanding(trials: Trials) -> list[tuple[Said, Result]]:
    """The best and the baseline, as far as there are such."""
    known = (("charts.best", trials.best), ("charts.baseline", trials.baseline))
    return [(said(key), one) for key, one in known if one is not None]


def compared_head(trials: Trials) -> tuple[Said, ...]:
    """Of the table beside parallel coordinates."""
    quarter = (said("charts.top_quarter"),) if trials.quarter else ()
    return (said("charts.parameter"), *(label for label, _ in outstanding(trials)), *quarter)


def compared(parameter: Parameter, trials: Trials, catalogue: Catalogue) -> tuple[str, ...]:
    """A parameter's value in the best and the baseline, and where the best quarter has it."""
    absent = catalogue(said("charts.absent"))
    own = [
        plain(one.values[parameter.name]) if parameter.name in one.values else absent for _, one in outstanding(trials)
    ]
    quarter = (catalogue(where(parameter, trials.quarter)) or absent,) if trials.quarter else ()
    return (parameter.name, *own, *quarter)


def interaction_chart(trials: Trials, weighed: Importance, catalogue: Catalogue) -> Chart | None:
    """The two parameters that mattered most; None when that cannot be told."""
    names = [share.name for share in weighed.shares[:2]]
    if not weighed.enough or len(names) < 2 or not trials.quarter:
        return None
    pair = first, second = (trials.parameter(names[0]), trials.parameter(names[1]))
    shown = trials.sample(MOST_DOTS, TOP, among=trials.ordered)
    title = said("charts.interaction", first=first.short, second=second.short)
    summary = said(
        "charts.interaction_summary",
        metric=trials.metric,
        trials=len(trials.ended),
        first=first.short,
        second=second.short,
        where=where(first, trials.quarter),
        other=where(second, trials.quarter),
    )
    dots = marks(by_quarter(trials), pair, shown, trials, catalogue)
    svg = charts.dots(dots, first.scale(0.05), second.scale(0.05), label=spoken(title, summary, catalogue))
    head = slice_head(f"{first.short}, {second.short}", trials.metric)
    note = together(sampled(shown, trials.ordered))
    return Chart(title=title, svg=svg, summary=summary, head=head, rows=crossed(trials, first, second), note=note)


def front_chart(evidence: Evidence, trials: Trials, catalogue: Catalogue) -> Chart | None:
    """The first two of several objectives against each other, and the trials that no other beats in all of them."""
    if len(evidence.objectives) < 2:
        return None
    first, second = [one.metric for one in evidence.objectives[:2]]
    measured = [one for one in trials.ended if {first, second} <= set(one.metrics)]
    best = front(measured, evidence.objectives)
    if not best:
        return None
    title = said("charts.front", first=first, second=second)
    summary = said("charts.front_summary", count=len(best), trials=len(measured))
    kinds: list[tuple[str, Shape, list[Result]]] = [
        ("charts.complete", "apart", [one for one in measured if one not in best]),
        ("charts.unbeaten", "top", best),
    ]
    groups = [
        Dots(
            name=catalogue(said(key)),
            shape=shape,
            points=[(one.metrics[first], one.metrics[second]) for one in results],
            words=[", ".join(objectives_of(one, evidence)) for one in results],
        )
        for key, shape, results in kinds
    ]
    x, y = (trials.of_metric(metric, measured, 0.05) for metric in (first, second))
    return Chart(
        title=title,
        svg=charts.dots(groups, x, y, label=spoken(title, summary, catalogue)),
        summary=summary,
        head=(said("charts.run"), *(one.metric for one in evidence.objectives)),
        rows=tuple(objectives_of(one, evidence) for one in best),
    )


def objectives_of(result: Result, evidence: Evidence) -> tuple[str, ...]:
    """A trial's name and its value of each objective."""
    return (name(result.number), *(number(result.metrics.get(one.metric)) for one in evidence.objectives))


def by_quarter(trials: Trials) -> list[tuple[str, Shape, list[Result]]]:
    """Trials by their rank, those without one first: what is drawn later lies on top."""
    quarter = len(trials.quarter)
    return [
        ("charts.stopped", "stopped", [*trials.stopped, *trials.apart]),
        ("charts.lower_half", "apart", trials.ended[2 * quarter :]),
        ("charts.second_quarter", "upper", trials.ended[quarter : 2 * quarter]),
        ("charts.top_quarter", "top", trials.quarter),
    ]


def crossed(trials: Trials, first: Parameter, second: Parameter) -> tuple[tuple[str, ...], ...]:
    """Groups of the first parameter's values, each by those of the second."""
    rows = []
    for group in groups(first, trials.ended, 2):
        within = trials.only(inside(group, first, trials.all))
        rows += [(f"{group.text}, {text}", *cells) for text, *cells in table(within, second, 2)]
    return tuple(rows)


def sampled(shown: Sequence[Result], among: Sequence[Result]) -> list[Said]:
    """What to say when not all trials are drawn."""
    return [said("charts.sampled", shown=len(shown), trials=len(among), top=TOP)] if len(shown) < len(among) else []


def together(sentences: Sequence[Said]) -> Said | None:
    """Sentences as one; None without any."""
    if not sentences:
        return None
    first, *others = sentences
    for one in others:
        first = said("charts.both", first=first, second=one)
    return first


def spoken(title: Said, summary: Said, catalogue: Catalogue) -> str:
    """What a screen reader says in place of a drawing."""
    return f"{catalogue(title)}. {catalogue(summary)}"

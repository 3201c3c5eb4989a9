"""Charts of a search: its trials over the data that was spent on them, and which parameters mattered."""

from collections.abc import Callable, Sequence
from itertools import accumulate

from smart_tuner.analysis.conclusions import list_searched
from smart_tuner.analysis.importance import Importance
from smart_tuner.analysis.ranking import format_value
from smart_tuner.analysis.results import Result
from smart_tuner.figures import charts
from smart_tuner.figures.charts import Bar, Dots, Shape
from smart_tuner.figures.scales import Scale, format_number
from smart_tuner.paths import trial_name
from smart_tuner.report.catalogue import Catalogue
from smart_tuner.report.evidence import BATCH, Evidence
from smart_tuner.report.message import Message, format_metric, join_sentences, label_chart
from smart_tuner.report.trials import (
    Trials,
    TriedParameter,
    describe_whereabouts,
    find_trials,
    tabulate_groups,
    value_of,
)
from smart_tuner.report.view import Chart
from smart_tuner.settings.budget import Budget

FIRST_SLICES = ("hparams.learning_rate", BATCH)
"""Slices that come first, whatever mattered."""
MOST_SLICES, MOST_BARS = 6, 12


def draw_trials(evidence: Evidence, catalogue: Catalogue) -> Chart | None:
    """The objective of each trial over the data that all trials had seen when it ended; None of fewer than two trials.

    In minutes of training where the budget of a trial is wall time.
    """
    trials = find_trials(evidence)
    in_minutes = bool(evidence.budget) and Budget.parse(evidence.budget).seconds is not None
    # without the reruns at the end, whose seeds repeat trials that are drawn already
    spent = sum_spent(list_searched(evidence.results), in_minutes=in_minutes)
    total, best_so_far = max(spent.values(), default=0.0), find_improvements(trials)
    if len(trials.all) < 2 or not total:
        return None
    steps = [(spent[trial.number], value_of(trial)) for trial in best_so_far]
    groups = list_marks(trials, trials.all, lambda trial: spent[trial.number], catalogue, is_named=True)
    x = Message("minutes of training of all trials" if in_minutes else "utterances seen by all trials")
    title = Message("All trials: {metric}", metric=trials.metric)
    summary = summarise_trials(trials, spent, x)
    svg = charts.draw_dots(
        groups,
        Scale(label=catalogue(x), low=0.0, high=1.03 * total),
        trials.scale,
        label=catalogue(label_chart(title, summary)),
        steps=[*steps, (total, steps[-1][1])] if steps else [],
        steps_name=catalogue(Message("best so far")),
    )
    rows = [
        (trial_name(trial.number), format_number(round(spent[trial.number], 1)), format_metric(trial.value))
        for trial in best_so_far
    ]
    head = (Message("best so far"), x, trials.metric)
    note = explain_marks(trials, unmeasured=len(spent) - len(trials.all))
    return Chart(title=title, svg=svg, summary=summary, head=head, rows=tuple(rows), note=note)


def sum_spent(results: Sequence[Result], *, in_minutes: bool) -> dict[int, float]:
    """By trial: utterances, or minutes of training, that it and those before it took."""
    took = [result.seconds / 60 if in_minutes else float(result.utterances) for result in results]
    return {result.number: total for result, total in zip(results, accumulate(took), strict=True)}


def find_improvements(trials: Trials) -> list[Result]:
    """The candidates that were better than all before them, in order."""
    improved = list[Result]()
    for trial in sorted(trials.ended, key=lambda trial: trial.number):
        if not improved or trials.cost(trial) < trials.cost(improved[-1]):
            improved.append(trial)
    return improved


def summarise_trials(trials: Trials, spent: dict[int, float], unit: Message) -> Message:
    best, total = trials.best, max(spent.values())
    if best is None:
        return Message("No trial of {count} ended as a candidate.", count=len(spent))
    return Message(
        "The best, {name} ({metric} {best.value:.4f}), ended after {percent:.0f} % of what {count} trials took "
        "({unit}: {total:,.0f}).",
        name=trial_name(best.number),
        metric=trials.metric,
        best=best,
        percent=100 * spent[best.number] / total,
        count=len(spent),
        unit=unit,
        total=total,
    )


def list_marks(
    trials: Trials,
    shown: Sequence[Result],
    place: Callable[[Result], float],
    catalogue: Catalogue,
    *parameters: TriedParameter,
    is_named: bool = False,
) -> list[Dots]:
    """Trials as marks, each kind in its shape, then a ring around the best and a square around the baseline."""
    # in the order of drawing: what matters more covers what matters less
    kinds: list[tuple[Message, Shape, Sequence[Result | None]]] = [
        (Message("stopped"), "stopped", trials.stopped),
        (Message("not a candidate"), "apart", trials.apart),
        (Message("complete"), "complete", trials.ended),
        (Message("best"), "ring", [trials.best]),
        (Message("baseline"), "square", [trials.baseline]),
    ]
    marks = []
    for kind, shape, of_kind in kinds:
        numbers = {trial.number for trial in of_kind if trial is not None}
        drawn = [trial for trial in shown if trial.number in numbers]
        name, is_outstanding = catalogue(kind), shape in ("ring", "square")
        marks.append(
            Dots(
                name=f"{name}: {trial_name(drawn[0].number)}" if is_named and is_outstanding and drawn else name,
                shape=shape,
                points=[(place(trial), value_of(trial)) for trial in drawn],
                words=[f"{trials.describe(trial, *parameters)} ({name})" for trial in drawn],
            )
        )
    return marks


def explain_marks(trials: Trials, *, unmeasured: int = 0) -> Message | None:
    """How to read the marks, and what is not drawn where it is."""
    crosses = Message("Crosses are stopped trials at the best value that they had reached; they had less time.")
    notes = [
        crosses if trials.stopped else None,
        Message("The worst values lie beyond the axis and stand at its end.")
        if len(trials.usual) < len(trials.all)
        else None,
        Message("Trials without a validation, not drawn: {count}.", count=unmeasured) if unmeasured else None,
    ]
    return join_sentences(*notes) if any(notes) else None


# what mattered


def draw_matters(evidence: Evidence, weighed: Importance, catalogue: Catalogue) -> tuple[Chart, ...]:
    trials = find_trials(evidence)
    if not trials.all or not trials.space:
        return ()
    slices = [draw_slice(trials.parameter(name), trials, catalogue) for name in choose_slices(trials, weighed)]
    if not weighed.enough or not weighed.shares:
        return tuple(slices)
    return (draw_importance(weighed, trials, catalogue), *slices)


def explain_no_importance(weighed: Importance, evidence: Evidence) -> Message | None:
    """Why it cannot be said what mattered; None when it can."""
    if not (evidence.space or {}).get("parameters"):
        return Message("Nothing was searched over, so nothing can be said about what matters.")
    if weighed.enough:
        return None
    text = Message(
        "All {trials} complete trials came to the same objective, so nothing can be said about what matters (it takes "
        "{needed} that differ)."
    )
    if weighed.trials < weighed.needed:
        text = Message(
            "Too few trials to say what mattered: complete, feasible and within their ranges are {trials}, it takes "
            "{needed}."
        )
    return text.fill(trials=weighed.trials, needed=weighed.needed)


def draw_importance(weighed: Importance, trials: Trials, catalogue: Catalogue) -> Chart:
    title, axis, shares = Message("What mattered"), Message("share of the importance"), weighed.shares[:MOST_BARS]
    band = Message("{name} {share:.0f} % ({low:.0f} to {high:.0f} %)")
    summary = Message(
        "Shares by PED-ANOVA: how much a parameter decides whether a trial is in the best quarter by {metric}, over "
        "{trials} complete trials: {shares}. In brackets and as thin lines: the middle 90 % when the trials are drawn "
        "anew. Bands that overlap leave the order open.",
        metric=trials.metric,
        trials=weighed.trials,
        shares=[
            band.fill(name=share.name, share=100 * share.share, low=100 * share.low, high=100 * share.high)
            for share in shares
        ],
    )
    bars = [
        Bar(name=trials.parameter(share.name).short, value=share.share, low=share.low, high=share.high)
        for share in shares
    ]
    svg = charts.draw_bars(bars, label=catalogue(label_chart(title, summary)), axis=catalogue(axis))
    return Chart(title=title, svg=svg, summary=summary)


def choose_slices(trials: Trials, weighed: Importance) -> list[str]:
    """Parameters to slice by: the first two, then what mattered most; those tried with one value alone show nothing."""
    names = dict.fromkeys([*FIRST_SLICES, *(share.name for share in weighed.shares), *trials.space])
    tried = {name: {format_value(trial.values[name]) for trial in trials.all if name in trial.values} for name in names}
    return [name for name in names if name in trials.space and len(tried[name]) > 1][:MOST_SLICES]


def draw_slice(parameter: TriedParameter, trials: Trials, catalogue: Catalogue) -> Chart:
    shown = parameter.select(trials.all)

    def place(trial: Result) -> float:
        return parameter.place_aside(trial.values[parameter.name], trial.number)

    title = Message("{metric} by {parameter}", metric=trials.metric, parameter=parameter.short)
    summary = summarise_slice(parameter, trials)
    svg = charts.draw_dots(
        list_marks(trials, shown, place, catalogue, parameter),
        parameter.scale,
        trials.scale,
        label=catalogue(label_chart(title, summary)),
    )
    best = Message("best {metric}", metric=trials.metric)
    head = (parameter.short, Message("complete trials"), best, Message("median"), Message("stopped"))
    rows = tabulate_groups(trials, parameter)
    return Chart(title=title, svg=svg, summary=summary, head=head, rows=rows, note=explain_marks(trials))


def summarise_slice(parameter: TriedParameter, trials: Trials) -> Message:
    having = parameter.select(trials.ended)
    if not having:
        return Message(
            "No trial ended as a candidate here; the values are those of {others} stopped or unfit trials.",
            others=len(trials.all),
        )
    quarter = parameter.select(trials.quarter)
    text = Message(
        "Complete trials: {trials}, too few to show a trend; the best has {parameter} = {value} ({metric} "
        "{best.value:.4f})."
    )
    if quarter:
        text = Message(
            "The best of {trials} complete trials has {parameter} = {value} ({metric} {best.value:.4f}). The best "
            "quarter lies {where}.",
            where=describe_whereabouts(parameter, quarter),
        )
    best, name = having[0], parameter.short
    value = format_value(best.values[parameter.name])
    return text.fill(trials=len(having), parameter=name, metric=trials.metric, best=best, value=value)

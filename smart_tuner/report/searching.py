"""Advice on how to go on: how many reruns tell a gain from luck, wider ranges, more trials, a longer training."""

import math
import statistics

from smart_tuner.analysis.conclusions import cost, reached_end
from smart_tuner.analysis.power import POWER, SIGNIFICANCE, detectable, runs_needed
from smart_tuner.analysis.results import Result, summarise_training
from smart_tuner.report.case import Case, describe_extent, find_end, widen_range
from smart_tuner.report.commands import format_setting, reword
from smart_tuner.report.message import Message
from smart_tuner.report.view import Advice
from smart_tuner.settings.settings import Settings
from smart_tuner.space.parameter import TRIALS_PER_DIMENSION, End, Parameter

MOST_RERUNS = 20
"""What confirm: takes at most."""
COMPARED = 3
"""Runs of each of two settings, as a person may compare them."""
TEST = {"power": 100 * POWER, "level": 100 * SIGNIFICANCE}
LITTLE = 0.15
"""A parameter whose share is below this, and below an equal share of all, even at the upper end of its band."""
FEW_WITH_CHOICE = 2
"""Trials with a choice, and without it, that tell whether it leads."""
MOST_RANGES = 3
ENDS: dict[End, Message] = {"low": Message("low"), "high": Message("high")}
LATE, NEAR = 0.8, 0.1
"""What a training gains after this share of its iterations, by a validation that is so near to it, is a late gain."""


# reruns


def advise_more_reruns(case: Case) -> Advice | None:
    """The gain is not told from luck: how many reruns would tell one of its size."""
    confirmed = case.confirmed
    if confirmed is None or confirmed.verdict != "not distinguishable from the baseline":
        return None
    if not confirmed.gain or confirmed.gain < 0:
        return None
    # the scatter of both sides together: that of two or three runs alone is hardly known
    sides = (confirmed.best.values, confirmed.baseline.values)
    spread = math.sqrt(statistics.mean(map(statistics.variance, sides)))
    needed = runs_needed(confirmed.gain, spread)
    because = Message(
        "The gain is {gain:.4f}, a single run scatters by {spread:.4f} (runs: best {best}, baseline {base}).{rough} So "
        "many runs show a gain of that size with a power of {power:.0f} % in Welch's test at {level:.0f} % "
        "(noncentral t).",
        gain=confirmed.gain,
        spread=spread,
        best=len(sides[0]),
        base=len(sides[1]),
        rough=warn_of_two(min(map(len, sides))),
        **TEST,
    )
    if needed > MOST_RERUNS:
        what = Message(
            "Do not count on the gain: telling it from luck would take about {needed} runs on each side, and confirm: "
            "takes {most} at most."
        )
        return Advice(what.fill(needed=needed, most=MOST_RERUNS), because)
    what = Message("To tell the gain from luck, set confirm: {needed} in the space file and go on.", needed=needed)
    return Advice(what, because, case.commands.further(len(case.trials)))


def warn_of_two(runs: int) -> Message | str:
    """A word of caution when a standard deviation comes from two runs only."""
    return Message(" That scatter comes from 2 runs on a side and may be far off.") if runs == 2 else ""


def advise_difference(case: Case) -> Advice | None:
    """A train study whose noise is known: what difference a comparison with other settings can show."""
    summary = summarise_training(case.evidence.results)
    best, spread = summary.best, summary.spread
    if case.evidence.mode != "train" or best is None or spread is None:
        return None
    count = sum(result.state == "complete" and result.values == best.values for result in case.evidence.results)
    what = Message("Count other settings as better only from about {least:.4f} on (runs of each: {runs}).")
    because = Message(
        "Over {count} seeds validation.loss is {summary.mean:.4f} with a standard deviation of {summary.spread:.4f}."
        "{rough} With {runs} runs of each a smaller difference shows in less than {power:.0f} % of comparisons by "
        "Welch's test at {level:.0f} % (noncentral t).",
        count=count,
        summary=summary,
        rough=warn_of_two(count),
        runs=COMPARED,
        **TEST,
    )
    return Advice(what.fill(least=detectable(spread, COMPARED), runs=COMPARED), because)


def advise_wider_ranges(case: Case) -> Advice | None:
    """The best value lies at an end of a range: the best may lie beyond."""
    best = case.best
    if best is None or len(case.evidence.objectives) > 1:
        return None
    ranges, reasons = list[Message](), list[Message]()
    at_end = Message("the best {name} is {value}, at the {end} end of {extent}")
    for name, parameter in case.parameters.items():
        end = find_end(parameter, best.values[name]) if name in best.values and not matters_little(case, name) else None
        if end is None or not is_leading(case, parameter, best) or len(ranges) == MOST_RANGES:
            continue
        ranges.append(Message("{name} ({range})", name=name, range=widen_range(parameter, end)))
        value, extent = format_setting(best.values[name]), describe_extent(parameter)
        reasons.append(at_end.fill(name=name, value=value, end=ENDS[end], extent=extent))
    if not ranges:
        return None
    what = Message("Widen in the space file and search again, taking these trials over: {ranges}.")
    if case.confirmed is not None and case.confirmed.verdict == "better":
        what = Message(
            "Either train what was found, which reruns confirm, or widen in the space file and search again, taking "
            "these trials over: {ranges}."
        )
    options = {"warm-start": case.evidence.name, "trials": str(case.aim)}
    return Advice(
        what.fill(ranges=ranges),
        Message("The best may lie beyond: {reasons}.", reasons=reasons),
        case.commands.another(case.sibling("-wider"), **options),
    )


def is_leading(case: Case, parameter: Parameter, best: Result) -> bool:
    """Whether the trials with the best's choice, two or more, are in the median no worse than the others.

    One trial with an outermost choice may be lucky; of a range the neighbours tell, so nothing more is asked of it.
    """
    if parameter.type != "categorical":
        return True
    name, choice = parameter.name, best.values[parameter.name]
    own, others = list[float](), list[float]()
    for trial in case.trials:
        if reached_end(trial) and name in trial.values and trial.value is not None:
            (own if trial.values[name] == choice else others).append(cost(trial.value, case.direction))
    if min(len(own), len(others)) < FEW_WITH_CHOICE:
        return False
    return statistics.median(own) <= statistics.median(others)


def matters_little(case: Case, name: str) -> bool:
    share = case.importance.of(name)
    equal = 1 / len(case.importance.shares) if case.importance.shares else 0.0
    return share is not None and share.high < min(LITTLE, equal)


def advise_fewer_parameters(case: Case) -> Advice | None:
    """Parameters that matter little need not be searched over."""
    idle = [share for share in case.importance.shares if matters_little(case, share.name)]
    if not idle or len(idle) == len(case.importance.shares):
        return None
    shares = [Message("{name} at most {high:.0f} %", name=share.name, high=100 * share.high) for share in idle]
    because = Message("They matter little, over {trials} trials: {shares}.")
    what = Message("Leave out of the next search: {names}.", names=[share.name for share in idle])
    return Advice(what, because.fill(shares=shares, trials=case.importance.trials))


def advise_more_trials(case: Case) -> Advice | None:
    """Fewer trials than the space has room for; what still runs is waited for."""
    if not case.parameters or case.evidence.running or len(case.trials) >= case.wanted or not case.trials:
        return None
    if case.space.get("sampler", {}).get("name") == "grid":
        return None
    because = Message(
        "{trials} trials are few for a space of dimension {dimensions}: {each} each come to {wanted}.",
        trials=len(case.trials),
        dimensions=len(case.parameters),
        each=TRIALS_PER_DIMENSION,
        wanted=case.wanted,
    )
    what = Message("Go on with {more} more trials.", more=case.aim - len(case.trials))
    return Advice(what, because, case.commands.further(case.aim))


def advise_longer_training(case: Case) -> Advice | None:
    """The best was still improving in the last fifth of its training, by more than health calls flat."""
    run, twice = case.finalists.best, case.twice
    losses = case.losses.get(run.name, ()) if run is not None else ()
    end = losses[-1][0] if losses else 0
    step = min((step for step, _ in losses), key=lambda step: abs(step - LATE * end), default=0)
    if run is None or not twice or not step or abs(step - LATE * end) > NEAR * end:
        return None
    early, final = min(loss for validated, loss in losses if validated <= step), min(loss for _, loss in losses)
    if early <= 0 or 1 - final / early < (case.settings or Settings()).health.flat_gain:
        return None
    because = Message(
        "{name}: validation.loss fell from {early:.4f} at iteration {step} to {final:.4f} at the end ({end}), by "
        "{percent:.1f} %, so it was still improving when its budget of {budget} ended.",
        name=run.name,
        early=early,
        step=step,
        final=final,
        end=end,
        percent=100 * (1 - final / early),
        budget=case.evidence.budget,
    )
    longer = Message("Train it longer: --budget {budget}.", budget=twice)
    if case.evidence.mode != "tune":
        command = case.commands.another(case.sibling("-longer"), budget=twice)
        return Advice(longer, because, command)
    trained = case.commands.train()
    if case.space.get("budget"):  # the winner is trained with the settings' own budget, which is the longer one
        full = Message("Train it at full length, which --from-study does: the trial's budget was short for it.")
        return Advice(full, because, trained)
    return Advice(longer, because, reword(trained, budget=twice) if trained else "")

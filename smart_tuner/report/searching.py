"""Advice on how to go on with a search: wider ranges, more trials, more reruns, or none; and how to train its best."""

import itertools
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from smart_tuner.report.case import Case, plain
from smart_tuner.report.catalogue import Said, said
from smart_tuner.report.ranges import End, crowded, end_of, extent, wider
from smart_tuner.report.view import Advice
from smart_tuner.request import reworded
from smart_tuner.space.space import Parameter
from smart_tuner.study.conclusions import confirmation, cost, reached_end
from smart_tuner.study.conclusions import name as named
from smart_tuner.study.results import Result, summarise

BATCH = "hparams.batch_size"
LITTLE = 0.15
"""A parameter whose share is below this, and below an equal share of all, even at the upper end of its band."""
CROWD = 0.75
"""Share of the best quarter that crowds at an end."""
FEW_BEST, FEW_TRIALS = 4, 10
"""Trials in the best quarter that can crowd; trials without which no search has reached a plateau."""
FASTER = 0.1
"""A pace that is better by less is no reason to choose."""
GROUPS, FEW_IN_GROUP = 3, 2
MOST_RANGES = 3
ENDS: dict[End, Said] = {"low": said("advice.low"), "high": said("advice.high")}
MOST_RERUNS = 20
"""What confirm: takes at most."""
SIGNIFICANCE, POWER = 0.05, 0.8
LATE = 0.9
"""A best validation in the last tenth of a training."""


# ranges


def boundary(case: Case) -> Advice | None:
    """The best value, or the best quarter of the trials, lies at an end of a range: the best may lie beyond."""
    best = case.best
    if best is None or len(case.evidence.objectives) > 1:
        return None
    top = best_quarter(case.trials, case.direction)
    ranges, reasons = list[Said](), list[Said]()
    for name, parameter in case.parameters.items():
        if name in best.values and not little(case, name):
            end, why = edge(case, parameter, best, top)
            if end is not None and why is not None and len(ranges) < MOST_RANGES:
                ranges.append(said("advice.range", name=name, range=wider(parameter, end)))
                reasons.append(why)
    if not ranges:
        return None
    command = case.commands.another(
        case.sibling("-wider"), **{"warm-start": case.evidence.name, "trials": str(case.wanted)}
    )
    return Advice(
        what=said("advice.boundary", ranges=ranges), because=said("advice.reasons", reasons=reasons), command=command
    )


def edge(case: Case, parameter: Parameter, best: Result, top: Sequence[Result]) -> tuple[End | None, Said | None]:
    """The end at which a parameter's good values lie, and how that shows."""
    value = best.values[parameter.name]
    facts = {"name": parameter.name, "extent": extent(parameter)}
    end = end_of(parameter, value)
    if end is not None and (parameter.type != "categorical" or leads(case, parameter.name, value)):
        return end, said("advice.at_end", value=plain(value), end=ENDS[end], **facts)
    values = [one.values[parameter.name] for one in top if parameter.name in one.values]
    end = crowded(parameter, values, CROWD) if len(values) >= FEW_BEST else None
    if end is None:
        return None, None
    count = sum(end_of(parameter, one) == end for one in values)
    return end, said("advice.crowd", count=count, top=len(values), end=ENDS[end], **facts)


def leads(case: Case, name: str, value: Any) -> bool:
    """Whether the trials with a choice are no worse in the median than the others; so too with fewer than two."""
    ended = [one for one in case.trials if reached_end(one) and name in one.values]
    own, others = ([one for one in ended if (one.values[name] == value) is same] for same in (True, False))
    if min(len(own), len(others)) < FEW_IN_GROUP:
        return True
    typical = [
        statistics.median(cost(one.loss, case.direction) for one in side if one.loss is not None)
        for side in (own, others)
    ]
    return typical[0] <= typical[1]


def best_quarter(trials: Sequence[Result], direction: str) -> list[Result]:
    """The best quarter of the complete, feasible trials."""
    ended = [
        (cost(one.loss, direction), one)
        for one in trials
        if one.state == "complete" and reached_end(one) and one.loss is not None
    ]
    ended.sort(key=lambda pair: (pair[0], pair[1].number))
    return [one for _, one in ended[: len(ended) // 4]]


# what does not matter


def little(case: Case, name: str) -> bool:
    """Whether a parameter is known to matter little."""
    found = case.importance.of(name)
    equal = 1 / len(case.importance.shares) if case.importance.shares else 0.0
    return found is not None and found.high < min(LITTLE, equal)


@dataclass(frozen=True, kw_only=True)
class Pace:
    """How fast the trials with some values were."""

    label: str
    value: Any
    """One of the values."""
    seconds: float
    """Median, for an utterance."""
    trials: int


def fastest(case: Case) -> Advice | None:
    """The batch size matters little and another one is faster than the best's."""
    best, share = case.best, case.importance.of(BATCH)
    if best is None or share is None or not little(case, BATCH) or BATCH not in best.values:
        return None
    found = paces(case.trials, BATCH)
    first = min(found, key=lambda one: one.seconds, default=None)
    mine = best.seconds / best.utterances if best.utterances else 0.0
    if first is None or len(found) < 2 or first.seconds > (1 - FASTER) * mine:
        return None
    listed = [said("advice.pace", label=one.label, ms=1000 * one.seconds, count=one.trials) for one in found]
    weight = said("advice.share", share=100 * share.share, low=100 * share.low, high=100 * share.high)
    because = said("advice.fastest_why", name=BATCH, share=weight, paces=listed, own=plain(best.values[BATCH]))
    trained = case.commands.train()
    command = f"{trained} --set {BATCH}={plain(first.value)}" if trained else ""
    return Advice(what=said("advice.fastest", name=BATCH, value=plain(first.value)), because=because, command=command)


def paces(trials: Sequence[Result], name: str) -> list[Pace]:
    """Median seconds per utterance of complete trials by value, or by three groups of as many, smallest value first."""
    timed = sorted(
        (
            one
            for one in trials
            if one.state == "complete" and one.utterances and one.seconds > 0 and name in one.values
        ),
        key=lambda one: (one.values[name], one.number),
    )
    values = sorted({one.values[name] for one in timed})
    if len(values) <= GROUPS + 1:
        groups = [[one for one in timed if one.values[name] == value] for value in values]
    else:
        cuts = [round(len(timed) * part / GROUPS) for part in range(GROUPS + 1)]
        groups = [timed[start:end] for start, end in itertools.pairwise(cuts)]
    return [pace(group, name) for group in groups if len(group) >= FEW_IN_GROUP]


def pace(group: Sequence[Result], name: str) -> Pace:
    """The pace of trials sorted by value; their value is the middle one."""
    low, high = plain(group[0].values[name]), plain(group[-1].values[name])
    return Pace(
        label=low if low == high else f"{low}–{high}",
        value=group[(len(group) - 1) // 2].values[name],
        seconds=statistics.median(one.seconds / one.utterances for one in group),
        trials=len(group),
    )


def drop(case: Case) -> Advice | None:
    """Parameters that matter little need not be searched over."""
    found = [one for one in case.importance.shares if little(case, one.name)]
    if not found or len(found) == len(case.importance.shares):
        return None
    shares = [said("advice.upper", name=one.name, high=100 * one.high) for one in found]
    because = said("advice.drop_why", shares=shares, trials=case.importance.trials)
    return Advice(what=said("advice.drop", names=[one.name for one in found]), because=because)


# how many trials


def few(case: Case) -> Advice | None:
    """Fewer trials than the space has room for; what still runs is waited for."""
    if not case.parameters or case.evidence.running or len(case.trials) >= case.wanted or not case.trials:
        return None
    if (case.evidence.space or {}).get("sampler", {}).get("name") == "grid":
        return None
    because = said("advice.few_why", trials=len(case.trials), dimensions=len(case.parameters), wanted=case.wanted)
    more = case.wanted - len(case.trials)
    return Advice(what=said("advice.few", more=more), because=because, command=case.commands.further(case.wanted))


def plateau(case: Case) -> Advice | None:
    """The last third of the trials brought nothing better."""
    best, trials = case.best, case.trials
    if best is None or len(trials) < FEW_TRIALS or case.evidence.mode != "tune" or len(case.evidence.objectives) > 1:
        return None
    since = sum(one.number > best.number for one in trials)
    if 3 * since < len(trials):
        return None
    because = said(
        "advice.plateau_why", name=named(best.number), place=len(trials) - since, trials=len(trials), since=since
    )
    return Advice(what=said("advice.plateau"), because=because, command=case.commands.train())


# how many reruns


def replicates(case: Case) -> Advice | None:
    """The gain is not told from luck: how many reruns would tell one of its size."""
    found = confirmation(case.evidence.results, case.direction)
    if found is None or found.verdict != "not distinguishable from the baseline" or not found.gain or found.gain < 0:
        return None
    variances = [statistics.variance(side.values) for side in (found.best, found.baseline)]
    spread = math.sqrt(statistics.mean(variances))
    needed = runs_needed(found.gain, spread)
    facts = {
        "gain": found.gain,
        "spread": spread,
        "best": len(found.best.values),
        "baseline": len(found.baseline.values),
    }
    because = said("advice.replicates_why", **facts, power=100 * POWER, level=100 * SIGNIFICANCE)
    if needed > MOST_RERUNS:
        return Advice(what=said("advice.replicates_many", needed=needed, most=MOST_RERUNS), because=because)
    command = case.commands.further(len(case.trials))
    return Advice(what=said("advice.replicates", needed=needed), because=because, command=command)


def runs_needed(difference: float, spread: float) -> int:
    """Runs on each side that show a difference of means with a power of 80 % in a two-sided test at 5 %.

    Guenther (1981), Sample size formulas for normal theory t tests, The American Statistician 35(4), 243-244.
    """
    normal = statistics.NormalDist()
    outer, power = normal.inv_cdf(1 - SIGNIFICANCE / 2), normal.inv_cdf(POWER)
    return max(2, math.ceil(2 * ((outer + power) * spread / difference) ** 2 + outer**2 / 4))


def shown(spread: float, runs: int) -> float:
    """The difference that so many runs on each side show with a power of 80 %: the same formula the other way round."""
    normal = statistics.NormalDist()
    outer, power = normal.inv_cdf(1 - SIGNIFICANCE / 2), normal.inv_cdf(POWER)
    return (outer + power) * spread * math.sqrt(2 / (runs - outer**2 / 4))


def unconfirmed(case: Case) -> Advice | None:
    """A search that reruns nothing leaves its gain to luck."""
    space: Mapping[str, Any] = case.evidence.space or {}
    best, own = case.best, case.finalists.baseline
    same = best is not None and own is not None and own.result is not None and best.values == own.result.values
    if best is None or same or space.get("confirm", 3) > 1 or len(case.evidence.objectives) > 1:
        return None
    because = said("advice.unconfirmed_why", confirm=space.get("confirm", 3), name=named(best.number))
    command = case.commands.further(len(case.trials))
    return Advice(what=said("advice.unconfirmed"), because=because, command=command)


def noise(case: Case) -> Advice | None:
    """A train study: the spread over seeds, or that it is unknown."""
    if case.evidence.mode != "train":
        return None
    found = summarise(case.evidence.results)
    if found.best is None:
        return None
    count = sum(one.state == "complete" and one.values == found.best.values for one in case.evidence.results)
    if found.spread is None or found.mean is None:
        total = len(case.evidence.results) + 2
        because = said("advice.seeds_why", name=named(found.best.number))
        return Advice(what=said("advice.seeds"), because=because, command=case.commands.further(total))
    facts = {"mean": found.mean, "spread": found.spread, "count": count, "power": 100 * POWER}
    because = said("advice.noise_why", **facts, level=100 * SIGNIFICANCE)
    return Advice(what=said("advice.noise", shown=shown(found.spread, 3)), because=because)


# how long


def longer(case: Case) -> Advice | None:
    """The best was still improving when its budget ended."""
    run = case.finalists.best
    step, last = (run.metrics.get(key) if run is not None else None for key in ("best.step", "iteration"))
    if run is None or not step or not last or step < LATE * last or not case.twice:
        return None
    because = said("advice.longer_why", name=run.name, step=int(step), last=int(last), budget=case.evidence.budget)
    if case.evidence.mode != "tune":
        command = case.commands.another(case.sibling("-longer"), budget=case.twice)
        return Advice(what=said("advice.longer", budget=case.twice), because=because, command=command)
    trained = case.commands.train()
    if (case.evidence.space or {}).get("budget"):
        return Advice(what=said("advice.full"), because=because, command=trained)
    command = reworded(trained, budget=case.twice) if trained else ""
    return Advice(what=said("advice.longer", budget=case.twice), because=because, command=command)


def train(case: Case) -> Advice | None:
    """Nothing speaks against training what the search gives."""
    winner = case.finalists.winner or case.finalists.best
    if case.evidence.mode != "tune" or winner is None or len(case.evidence.objectives) > 1:
        return None
    because = said("advice.train_why", name=winner.name, trials=len(case.trials))
    return Advice(what=said("advice.train"), because=because, command=case.commands.train())

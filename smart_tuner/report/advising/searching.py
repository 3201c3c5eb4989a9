"""Advice on how to go on with a search: wider ranges, more trials, or none; and how to train its best."""

import itertools
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from smart_tuner.report.advising.case import BATCH, Case, plain
from smart_tuner.report.advising.ranges import End, crowded, end_of, extent, outermost, wider
from smart_tuner.report.advising.reruns import confirmed
from smart_tuner.report.catalogue import Said, said
from smart_tuner.report.evidence import Points
from smart_tuner.report.view import Advice
from smart_tuner.request import reworded
from smart_tuner.settings import Settings
from smart_tuner.space.space import Parameter
from smart_tuner.study.conclusions import cost, reached_end
from smart_tuner.study.conclusions import name as named
from smart_tuner.study.results import Result

LITTLE = 0.15
"""A parameter whose share is below this, and below an equal share of all, even at the upper end of its band."""
CROWD = 0.75
"""Share of the best quarter that crowds at an end."""
FEW_BEST, FEW_TRIALS = 4, 10
"""Trials in the best quarter that can crowd; trials without which no search has reached a plateau or a boundary."""
SETTLED = 0.8
"""Share of the trials that brought nothing better: by chance alone the best lies as early in a fifth of searches."""
FASTER = 0.1
"""A pace that is better by less is no reason to choose."""
GROUPS, FEW_IN_GROUP = 3, 2
MOST_RANGES = 3
ENDS: dict[End, Said] = {"low": said("advice.low"), "high": said("advice.high")}
LATE, NEAR = 0.8, 0.1
"""What a training gains after this share of its iterations, by a validation that is so near to it, is a late gain."""


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
    because = said("advice.reasons", reasons=reasons)
    options = {"warm-start": case.evidence.name, "trials": str(case.aim)}
    command = case.commands.another(case.sibling("-wider"), **options)
    found = confirmed(case)
    if found is not None and found.verdict == "better":
        return Advice(what=said("advice.boundary_or", ranges=ranges), because=because, command=command)
    return Advice(what=said("advice.boundary", ranges=ranges), because=because, command=command)


def edge(case: Case, parameter: Parameter, best: Result, top: Sequence[Result]) -> tuple[End | None, Said | None]:
    """The end at which a parameter's good values lie, and how that shows."""
    value = best.values[parameter.name]
    facts = {"name": parameter.name, "extent": extent(parameter)}
    end = end_of(parameter, value)
    if end is not None and leads(case, parameter, value):
        return end, said("advice.at_end", value=plain(value), end=ENDS[end], **facts)
    values = [one.values[parameter.name] for one in top if parameter.name in one.values]
    end = crowded(parameter, values, CROWD) if len(values) >= FEW_BEST else None
    if end is None or not leads(case, parameter, outermost(parameter, end)):
        return None, None
    count = sum(end_of(parameter, one) == end for one in values)
    return end, said("advice.crowd", count=count, top=len(values), end=ENDS[end], **facts)


def leads(case: Case, parameter: Parameter, value: Any) -> bool:
    """Whether the trials with a choice, two or more, are in the median no worse than the others; a range needs none."""
    if parameter.type != "categorical":
        return True
    name = parameter.name
    ended = [one for one in case.trials if reached_end(one) and name in one.values]
    own, others = ([one for one in ended if (one.values[name] == value) is same] for same in (True, False))
    if min(len(own), len(others)) < FEW_IN_GROUP:
        return False
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
    facts = {"trials": len(case.trials), "dimensions": len(case.parameters), "wanted": case.wanted}
    asked = case.asked > case.wanted
    because = said("advice.few_asked", **facts, asked=case.asked) if asked else said("advice.few_why", **facts)
    what = said("advice.few", more=case.aim - len(case.trials))
    return Advice(what=what, because=because, command=case.commands.further(case.aim))


def plateau(case: Case) -> Advice | None:
    """Most of the trials that could be the best, those after it, brought nothing better."""
    best = case.best
    if best is None or case.evidence.mode != "tune" or len(case.evidence.objectives) > 1:
        return None
    able = [one for one in case.trials if one.state == "complete" and reached_end(one)]
    since = sum(one.number > best.number for one in able)
    if len(able) < FEW_TRIALS or since < SETTLED * len(able):
        return None
    chance = 100 * (1 - since / len(able))
    because = said("advice.plateau_why", name=named(best.number), since=since, trials=len(able), chance=chance)
    return Advice(what=said("advice.plateau"), because=because, command=case.commands.train())


# how long


@dataclass(frozen=True, kw_only=True)
class LateGain:
    """What the end of a training brought."""

    early: float
    """The lowest loss by then."""
    step: int
    final: float
    """The lowest of all."""
    last: int

    @property
    def share(self) -> float:
        """By how much the loss fell since."""
        return 1 - self.final / self.early


def late_gain(losses: Points) -> LateGain | None:
    """What the last fifth of a training brought; None when no validation lies near its beginning."""
    last = losses[-1][0] if losses else 0
    step = min((step for step, _ in losses), key=lambda one: abs(one - LATE * last), default=0)
    if abs(step - LATE * last) > NEAR * last or not step:
        return None
    early, final = min(loss for one, loss in losses if one <= step), min(loss for _, loss in losses)
    return LateGain(early=early, step=step, final=final, last=last) if early > 0 else None


def longer(case: Case) -> Advice | None:
    """The best was still improving when its budget ended, by more than health calls flat."""
    run = case.finalists.best
    gain = late_gain(case.losses.get(run.name, ())) if run is not None else None
    if run is None or gain is None or gain.share < (case.settings or Settings()).health.flat_gain or not case.twice:
        return None
    facts = {"early": gain.early, "step": gain.step, "final": gain.final, "last": gain.last, "gain": 100 * gain.share}
    because = said("advice.longer_why", name=run.name, budget=case.evidence.budget, **facts)
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

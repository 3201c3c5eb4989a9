"""Advice on reruns: how many tell a gain from luck, and what difference those that there are can show."""

import math
import statistics
from collections.abc import Mapping
from typing import Any

from smart_tuner.report.advising.case import Case
from smart_tuner.report.catalogue import Said, said
from smart_tuner.report.view import Advice
from smart_tuner.study.conclusions import Confirmation, confirmation
from smart_tuner.study.conclusions import name as named
from smart_tuner.study.power import POWER, SIGNIFICANCE, detectable, runs_needed
from smart_tuner.study.results import summarise

CONFIRM = 3
"""What a space reruns that does not say."""
MOST_RERUNS = 20
"""What confirm: takes at most."""
COMPARED = 3
"""Runs of each of two settings, as a person may compare them."""
TEST = {"power": 100 * POWER, "level": 100 * SIGNIFICANCE}


def confirmed(case: Case) -> Confirmation | None:
    """What the reruns came to; None without any, and with several objectives, which are not rerun."""
    return None if len(case.evidence.objectives) > 1 else confirmation(case.evidence.results, case.direction)


def asked_reruns(case: Case) -> int:
    """What the space has for confirm:."""
    space: Mapping[str, Any] = case.evidence.space or {}
    return int(space.get("confirm", CONFIRM))


def replicates(case: Case) -> Advice | None:
    """The gain is not told from luck: how many reruns would tell one of its size."""
    found = confirmed(case)
    if found is None or found.verdict != "not distinguishable from the baseline" or not found.gain or found.gain < 0:
        return None
    sides = [found.best.values, found.baseline.values]
    spread = math.sqrt(statistics.mean(map(statistics.variance, sides)))
    needed = runs_needed(found.gain, spread)
    counts = {"best": len(sides[0]), "baseline": len(sides[1])}
    facts = {"gain": found.gain, "spread": spread, "rough": rough(min(counts.values())), **counts}
    because = said("advice.replicates_why", **facts, **TEST)
    if needed > MOST_RERUNS:
        return Advice(what=said("advice.replicates_many", needed=needed, most=MOST_RERUNS), because=because)
    command = case.commands.further(len(case.trials))
    return Advice(what=said("advice.replicates", needed=needed), because=because, command=command)


def rough(runs: int) -> Said | str:
    """A word of caution when a standard deviation comes from two runs only."""
    return said("advice.rough") if runs == 2 else ""


def undecided(case: Case) -> Advice | None:
    """The reruns ended, and too few of them count to tell the gain from luck."""
    found, confirm = confirmed(case), asked_reruns(case)
    if found is None or found.verdict != "open" or confirm < 2 or case.evidence.running:
        return None
    counts = {"best": len(found.best.values), "baseline": len(found.baseline.values)}
    totals = {"best_of": found.best.total, "baseline_of": found.baseline.total}
    because = said("advice.undecided_why", **counts, **totals)
    command = case.commands.further(len(case.trials))
    if min(totals.values()) < confirm:
        return Advice(what=said("advice.undecided_lacking", confirm=confirm), because=because, command=command)
    more = min(2 * confirm, MOST_RERUNS)
    if more == confirm:
        return None
    return Advice(what=said("advice.undecided", confirm=more), because=because, command=command)


def unconfirmed(case: Case) -> Advice | None:
    """A search that reruns nothing leaves its gain to luck."""
    best, own = case.best, case.finalists.baseline
    same = best is not None and own is not None and own.result is not None and best.values == own.result.values
    if best is None or same or asked_reruns(case) > 1 or len(case.evidence.objectives) > 1:
        return None
    because = said("advice.unconfirmed_why", confirm=asked_reruns(case), name=named(best.number))
    command = case.commands.further(len(case.trials))
    return Advice(what=said("advice.unconfirmed"), because=because, command=command)


def noise(case: Case) -> Advice | None:
    """A train study: the spread over seeds, or that it is unknown."""
    if case.evidence.mode != "train":
        return None
    found = summarise(case.evidence.results)
    if found.best is None:
        return None
    if found.spread is None or found.mean is None:
        total = len(case.evidence.results) + 2
        because = said("advice.seeds_why", name=named(found.best.number))
        return Advice(what=said("advice.seeds"), because=because, command=case.commands.further(total))
    count = sum(one.state == "complete" and one.values == found.best.values for one in case.evidence.results)
    facts = {"mean": found.mean, "spread": found.spread, "count": count, "runs": COMPARED, "rough": rough(count)}
    what = said("advice.noise", least=detectable(found.spread, COMPARED), runs=COMPARED)
    return Advice(what=what, because=said("advice.noise_why", **facts, **TEST))

"""Were the early stops of a search right, and what were they worth?"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from smart_tuner.analysis.conclusions import best_trial, cost, find_lowest, list_searched, reached_end
from smart_tuner.analysis.results import Result

FEW_AT_A_RUNG = 5
"""A rank among fewer trials says nothing about a pruner's threshold."""
FEW_ENDED = 3
"""The best of fewer full-length trials is not the best of much."""


@dataclass(frozen=True, kw_only=True)
class Standing:
    """Where the trial that was best in the end stood earlier."""

    utterances: int
    rank: int
    """1 for the best there."""
    number: int
    """Trials that were compared there, the later stopped ones too."""


@dataclass(frozen=True, kw_only=True)
class Audit:
    """What stopping early saved and what it may have cost."""

    trials: int
    """Trials of the search that ended."""
    stopped: dict[str, int]
    """How many each rule stopped, by "kind: rule", most first."""
    audited: int
    """Doomed trials that were let run on."""
    beaten: tuple[int, ...]
    """Those of them that would have beaten the best."""
    spent: float
    """Seconds of training that those took after they were doomed."""
    saved: float
    """Seconds of training that the stopped trials would still have taken, by their own pace."""
    unknown: int
    """Stopped trials whose saving is not known: no utterance seen, or a budget that is no number of utterances."""
    share: float
    """Of the search without stops, the part saved, from 0 to 1."""
    standings: tuple[Standing, ...]
    keep: float | None
    """Share of the trials that a pruner had to keep at each rung to keep the best; None when too few were compared."""


def audit(results: Sequence[Result], direction: str = "minimize") -> Audit:
    """Were the stops right, and what were they worth."""
    trials = list_searched(results)
    stopped = [result for result in trials if result.state == "stopped"]
    doomed = [result for result in trials if result.state == "audited"]
    best = best_trial(results, direction)
    bar = math.inf if best is None or best.value is None else cost(best.value, direction)
    ended = [(result.number, result.value) for result in doomed if reached_end(result) and result.value is not None]
    counted = [result for result in stopped if result.utterances > 0 and result.planned > 0]
    saved = sum(remaining(result, trials) for result in counted)
    took = sum(result.seconds for result in trials)
    standings = ranks(trials, direction)
    return Audit(
        trials=len(trials),
        stopped=dict(Counter(f"{result.kind}: {result.rule}" for result in stopped).most_common()),
        audited=len(doomed),
        beaten=tuple(number for number, loss in ended if cost(loss, direction) < bar),
        spent=sum(
            result.seconds * (1 - result.judged_at / result.utterances) for result in doomed if result.utterances > 0
        ),
        saved=saved,
        unknown=len(stopped) - len(counted),
        share=saved / (saved + took) if saved else 0.0,
        standings=standings,
        keep=max((standing.rank / standing.number for standing in standings), default=None),
    )


def remaining(stopped: Result, trials: Sequence[Result]) -> float:
    """Seconds that a stopped trial would still have taken, by its own pace, at most what the longest trial took.

    The limit is for trials stopped within seconds: the first iterations are slow.
    """
    longest = max((trial.seconds for trial in trials if trial.state in ("complete", "audited")), default=math.inf)
    whole = stopped.seconds * stopped.planned / stopped.utterances
    return max(0.0, min(whole, longest) - stopped.seconds)


def ranks(trials: Sequence[Result], direction: str) -> tuple[Standing, ...]:
    """Where the eventual best, audited trials included, stood at each rung where enough trials were compared."""
    ended = [result for result in trials if reached_end(result)]
    best = find_lowest(ended, direction)
    if best is None or len(ended) < FEW_ENDED:
        return ()
    found = []
    for utterances, own in sorted(best.rungs.items()):
        values = [cost(result.rungs[utterances], direction) for result in trials if utterances in result.rungs]
        rank = 1 + sum(value < cost(own, direction) for value in values)
        found.append(Standing(utterances=utterances, rank=rank, number=len(values)))
    return tuple(standing for standing in found if standing.number >= FEW_AT_A_RUNG)

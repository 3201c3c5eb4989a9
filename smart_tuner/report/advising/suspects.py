"""Advice on a corpus that is suspect: attention that does not form, and utterances that every run does worst at."""

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from smart_tuner.health.history import SCORE
from smart_tuner.health.symptoms import FELT
from smart_tuner.report.advising.case import Case
from smart_tuner.report.catalogue import said
from smart_tuner.report.view import Advice
from smart_tuner.study.results import Result

OFF_DIAGONAL = "attention_off_diagonal"
UNFORMED = ("attention_late", "attention_stuck", "guide_not_falling")
"""Rules that stop a trial whose attention has not formed."""
FEW = 3
"""Trials without attention that make a pattern."""
WORST, MOST_NAMED = 0.1, 5
DEVIATIONS = 5.0
"""Standard deviations, as told by the median one, above the median: clean corpora whose losses are lognormal, of 10
utterances or more, have one as far in fewer than 2 % of studies (tests/test_suspects.py)."""
LEAST_MISS = 1e-3
"""What an alignment score is taken to miss of 1 at least."""
Row = Mapping[str, Any]


def log_loss(value: float) -> float:
    """Losses of utterances are skewed; their logarithms are not."""
    return math.log(value) if value > 0 else -math.inf


def log_miss(value: float) -> float:
    """The same for what the alignment score misses of 1."""
    return math.log(max(1 - value, LEAST_MISS)) if math.isfinite(value) else value


MEASURES: dict[str, Callable[[float], float]] = {"loss": log_loss, "alignment_score": log_miss}
"""What tells a hard utterance, and how hard a value of it is: higher is worse."""


def data(case: Case) -> Advice | None:
    """Attention off the diagonal, or none in most trials although it was guided: texts may not fit their recordings."""
    off = [one for one in case.evidence.results if one.rule == OFF_DIAGONAL]
    if off and (len(off) >= 2 or len(off) == len(case.evidence.results)):
        because = said("advice.data_off", count=len(off), trials=len(case.evidence.results))
        return Advice(what=said("advice.data"), because=because, command=case.commands.check())
    told_by = [one for one in case.trials if one.kind != "pruner" and guided(case, one)]
    without = [one for one in told_by if unformed(case, one)]
    if len(without) < FEW or 2 * len(without) <= len(told_by):
        return None
    because = said("advice.data_unformed", count=len(without), guided=len(told_by))
    return Advice(what=said("advice.data"), because=because, command=case.commands.check())


def guided(case: Case, trial: Result) -> bool:
    """Whether a trial's attention was guided, and to be felt."""
    settings = case.settings_of(trial.values)
    return settings is not None and settings.hparams.use_guided_attn and settings.hparams.guide_weight >= FELT


def unformed(case: Case, trial: Result) -> bool:
    """Whether a trial ended without attention."""
    missing = case.settings.health.missing_score if case.settings is not None else 0.0
    return trial.rule in UNFORMED or (trial.state == "complete" and trial.metrics.get(SCORE, 1.0) < missing)


@dataclass(frozen=True, kw_only=True)
class Hard:
    """An utterance that stands out in every run."""

    name: str
    measure: str
    value: float
    """Mean over the runs."""
    typical: float
    """Mean of the runs' medians."""
    text: str


def hard_utterances(case: Case) -> Advice | None:
    """Held-out utterances that every finalist does worst at: their text or recording may be wrong."""
    runs = usable(case.utterances)
    found = hard(runs)[:MOST_NAMED]
    if not found:
        return None
    listed = [said("advice.utterance", **vars(one)) for one in found]
    because = said("advice.utterances_why", runs=len(runs), listed=listed)
    what = said("advice.utterances", names=[one.name for one in found])
    return Advice(what=what, because=because, command=case.commands.check())


def usable(utterances: Mapping[str, Sequence[Row]]) -> list[list[Row]]:
    """By run the rows that name an utterance; the files were read from a store and may hold anything."""
    runs = [
        [row for row in rows if isinstance(row, Mapping) and isinstance(row.get("name"), str)]
        for rows in utterances.values()
        if isinstance(rows, Sequence)
    ]
    return [rows for rows in runs if rows]


def hard(runs: Sequence[Sequence[Row]]) -> list[Hard]:
    """Utterances in the worst tenth of each of two or more runs, far above the median; the farthest first."""
    found: dict[str, tuple[float, Hard]] = {}
    texts = {row["name"]: f" “{row['text']}”" for rows in runs for row in rows if row.get("text")}
    for measure, hardness in MEASURES.items():
        values = [measured(rows, measure) for rows in runs]
        worse = [{name: hardness(value) for name, value in one.items()} for one in values]
        for name in set.intersection(*(outstanding(one) for one in worse)) if len(runs) >= 2 else ():
            value, typical = statistics.mean(one[name] for one in values), statistics.mean(map(middle, values))
            far = statistics.mean(one[name] - middle(one) for one in worse)
            one = Hard(name=name, measure=measure, value=value, typical=typical, text=texts.get(name, ""))
            found.setdefault(name, (far, one))
    return [one for _, one in sorted(found.values(), key=lambda pair: (-pair[0], pair[1].name))]


def measured(rows: Sequence[Row], measure: str) -> dict[str, float]:
    """A run's values by utterance, those that have a hardness; rows without a number are passed over."""
    numbers = [(row["name"], row.get(measure)) for row in rows]
    known = {name: float(value) for name, value in numbers if isinstance(value, int | float)}
    return {name: value for name, value in known.items() if math.isfinite(MEASURES[measure](value))}


def middle(values: Mapping[str, float]) -> float:
    """The median."""
    return statistics.median(values.values())


def outstanding(values: Mapping[str, float]) -> set[str]:
    """Those in the worst tenth and far above the median, by the median absolute deviation (Hampel, 1974)."""
    count = int(WORST * len(values))
    if not count:
        return set()
    centre = middle(values)
    spread = 1.4826 * statistics.median(abs(value - centre) for value in values.values())
    worst = sorted(values, key=lambda name: -values[name])[:count]
    return {name for name in worst if spread and values[name] >= centre + DEVIATIONS * spread}

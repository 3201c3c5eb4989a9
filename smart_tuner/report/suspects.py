"""Advice on a corpus that is suspect: attention that does not form, and utterances that every run does worst at."""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from smart_tuner.health.history import SCORE
from smart_tuner.health.symptoms import FELT
from smart_tuner.report.case import Case
from smart_tuner.report.catalogue import said
from smart_tuner.report.view import Advice
from smart_tuner.study.results import Result

OFF_DIAGONAL = "attention_off_diagonal"
UNFORMED = ("attention_late", "attention_stuck", "guide_not_falling")
"""Rules that stop a trial whose attention has not formed."""
FEW = 3
"""Trials without attention that make a pattern."""
WORST, MOST_NAMED = 0.1, 5
DEVIATIONS = 3.0
"""An utterance stands out when it is this many standard deviations (as told by the median one) above the median."""
MEASURES = {"loss": 1.0, "alignment_score": -1.0}
"""What tells a hard utterance, and which way is worse."""


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
    found = hard(case.utterances)
    if not found:
        return None
    listed = [
        said(
            "advice.utterance", name=one.name, measure=one.measure, value=one.value, typical=one.typical, text=one.text
        )
        for one in found[:MOST_NAMED]
    ]
    because = said("advice.utterances_why", runs=len(case.utterances), listed=listed)
    what = said("advice.utterances", names=[one.name for one in found[:MOST_NAMED]])
    return Advice(what=what, because=because, command=case.commands.check())


def hard(rows: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[Hard]:
    """Utterances in the worst tenth of each of two or more runs, far above the median; most far first."""
    found: dict[str, tuple[float, Hard]] = {}
    texts = {str(row["name"]): f" “{row['text']}”" for run in rows.values() for row in run if row.get("text")}
    for measure, way in MEASURES.items():
        runs = [measured(run, measure, way) for run in rows.values()]
        if len(runs) < 2:
            continue
        for name in set.intersection(*(outstanding(run) for run in runs)):
            value, typical = (statistics.mean(one) for one in ([run[name] for run in runs], list(map(middle, runs))))
            one = Hard(name=name, measure=measure, value=way * value, typical=way * typical, text=texts.get(name, ""))
            found.setdefault(name, ((value - typical) / max(abs(typical), 1e-9), one))
    return [one for _, one in sorted(found.values(), key=lambda pair: (-pair[0], pair[1].name))]


def measured(rows: Sequence[Mapping[str, Any]], measure: str, way: float) -> dict[str, float]:
    """A run's finite values by utterance, higher is worse."""
    known = [(str(row["name"]), row.get(measure)) for row in rows]
    return {name: way * value for name, value in known if isinstance(value, int | float) and math.isfinite(value)}


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
    return {name for name in worst if spread and values[name] > centre + DEVIATIONS * spread}

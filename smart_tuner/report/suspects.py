"""Advice on a corpus that is suspect: attention that does not form, and utterances that every run does worst at."""

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from smart_tuner.analysis.results import Result
from smart_tuner.health.rules import FELT
from smart_tuner.progress import SCORE
from smart_tuner.report.case import OFF_DIAGONAL, Case
from smart_tuner.report.message import Message
from smart_tuner.report.view import Advice

UNFORMED = ("attention_late", "attention_stuck", "guide_not_falling")
"""Rules that stop a trial whose attention has not formed."""
FEW_UNFORMED = 3
"""Trials without attention that make a pattern."""
WORST, MOST_NAMED = 0.1, 5
DEVIATIONS = 5.0
"""Standard deviations, as told by the median one, above the median: clean corpora whose losses are lognormal, of 10
utterances or more, have one as far in fewer than 2 % of studies (tests/report/test_suspects.py)."""
NORMAL_DEVIATION = 1.4826
"""Standard deviation of a normal distribution, in median absolute deviations."""
LEAST_MISS = 1e-3
"""What an alignment score is taken to miss of 1 at least."""
UtteranceRow = Mapping[str, Any]


def log_loss(value: float) -> float:
    """Losses of utterances are skewed; their logarithms are not."""
    return math.log(value) if value > 0 else -math.inf


def log_miss(value: float) -> float:
    """The same for what the alignment score misses of 1."""
    return math.log(max(1 - value, LEAST_MISS)) if math.isfinite(value) else value


MEASURES: dict[str, Callable[[float], float]] = {"loss": log_loss, "alignment_score": log_miss}
"""What tells a hard utterance, and how hard a value of it is: higher is worse."""


def advise_checking_corpus(case: Case) -> Advice | None:
    """Attention off the diagonal, or none in most trials although it was guided: texts may not fit their recordings."""
    because = explain_off_diagonal(case) or explain_unformed(case)
    if because is None:
        return None
    what = Message("Check the corpus, and compare some texts with their recordings: they may not belong together.")
    return Advice(what, because, case.commands.check())


def explain_off_diagonal(case: Case) -> Message | None:
    results = case.evidence.results
    count = sum(result.rule == OFF_DIAGONAL for result in results)
    if not count or (count < 2 and count < len(results)):
        return None
    text = Message(
        "The attention was sharp but off the diagonal in {count} of {trials} trials, and attention_off_diagonal "
        "stopped or doomed them."
    )
    return text.fill(count=count, trials=len(results))


def explain_unformed(case: Case) -> Message | None:
    # a pruner compares losses, and stops trials before their attention can have formed
    guided = [trial for trial in case.trials if trial.kind != "pruner" and is_guided(case, trial)]
    count = sum(is_unformed(case, trial) for trial in guided)
    if count < FEW_UNFORMED or 2 * count <= len(guided):
        return None
    text = Message("The attention did not form in {count} of {guided} trials although it was guided.")
    return text.fill(count=count, guided=len(guided))


def is_guided(case: Case, trial: Result) -> bool:
    """Whether a trial's attention was guided, and to be felt."""
    settings = case.settings_of(trial.values)
    return settings is not None and settings.hparams.use_guided_attn and settings.hparams.guide_weight >= FELT


def is_unformed(case: Case, trial: Result) -> bool:
    missing = case.settings.health.missing_score if case.settings is not None else 0.0
    return trial.rule in UNFORMED or (trial.state == "complete" and trial.metrics.get(SCORE, 1.0) < missing)


@dataclass(frozen=True, kw_only=True)
class HardUtterance:
    """An utterance that stands out in every run."""

    name: str
    measure: str
    value: float
    """Mean over the runs."""
    typical: float
    """Mean of the runs' medians."""
    text: str


def advise_listening(case: Case) -> Advice | None:
    """Held-out utterances that every finalist does worst at: their text or recording may be wrong."""
    runs = clean_rows(case.utterances)
    hard = find_hard_utterances(runs)[:MOST_NAMED]
    if not hard:
        return None
    measured = Message("{it.name}{it.text} ({it.measure} {it.value:.3f}, median {it.typical:.3f})")
    because = Message("Among the worst tenth in each of {runs} runs, far above the median: {listed}.")
    what = Message(
        "Listen to these held-out utterances and read their texts: {names}. They are the hardest; a wrong text is one "
        "reason, length or rare words another."
    )
    return Advice(
        what.fill(names=[utterance.name for utterance in hard]),
        because.fill(runs=len(runs), listed=[measured.fill(it=utterance) for utterance in hard]),
        case.commands.check(),
    )


def clean_rows(utterances: Mapping[str, Sequence[UtteranceRow]]) -> list[list[UtteranceRow]]:
    """By run the rows that name an utterance; the files were read from a store and may hold anything."""
    runs = [
        [row for row in rows if isinstance(row, Mapping) and isinstance(row.get("name"), str)]
        for rows in utterances.values()
        if isinstance(rows, Sequence)
    ]
    return [rows for rows in runs if rows]


def find_hard_utterances(runs: Sequence[Sequence[UtteranceRow]]) -> list[HardUtterance]:
    """Utterances in the worst tenth of each of two or more runs, far above the median; the farthest first."""
    if len(runs) < 2:
        return []
    texts = {row["name"]: f" “{row['text']}”" for rows in runs for row in rows if row.get("text")}
    hard: dict[str, tuple[float, HardUtterance]] = {}
    for measure, hardness in MEASURES.items():
        values = [read_measure(rows, measure) for rows in runs]
        hardnesses = [{name: hardness(value) for name, value in run.items()} for run in values]
        for name in set.intersection(*(find_outstanding(run) for run in hardnesses)):
            utterance = HardUtterance(
                name=name,
                measure=measure,
                value=statistics.mean(run[name] for run in values),
                typical=statistics.mean(statistics.median(run.values()) for run in values),
                text=texts.get(name, ""),
            )
            distance = statistics.mean(run[name] - statistics.median(run.values()) for run in hardnesses)
            # hard by both measures: told once, by the loss
            hard.setdefault(name, (distance, utterance))
    farthest = sorted(hard.values(), key=lambda pair: (-pair[0], pair[1].name))
    return [utterance for _, utterance in farthest]


def read_measure(rows: Sequence[UtteranceRow], measure: str) -> dict[str, float]:
    """A run's values by utterance, those that have a hardness; rows without a number are passed over."""
    numbers = [(row["name"], row.get(measure)) for row in rows]
    known = {name: float(value) for name, value in numbers if isinstance(value, int | float)}
    return {name: value for name, value in known.items() if math.isfinite(MEASURES[measure](value))}


def find_outstanding(values: Mapping[str, float]) -> set[str]:
    """Those in the worst tenth and far above the median, by the median absolute deviation (Hampel, 1974)."""
    count = int(WORST * len(values))
    if not count:
        return set()
    centre = statistics.median(values.values())
    spread = NORMAL_DEVIATION * statistics.median(abs(value - centre) for value in values.values())
    worst = sorted(values, key=lambda name: -values[name])[:count]
    return {name for name in worst if spread and values[name] >= centre + DEVIATIONS * spread}

"""Verdicts on a run by the metrics guide (docs/metrics.md): good, watch or sick, with the threshold behind each."""

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from smart_tuner.health.history import (
    DURATION,
    FOCUS,
    GATE_MEAN,
    GATE_STD,
    GUIDE,
    LOSS,
    NORM,
    SCORE,
    SPREAD,
    VALIDATION_LOSS,
)
from smart_tuner.report.catalogue import Said, said
from smart_tuner.report.evidence import Points, Run
from smart_tuner.report.view import Level, Verdict

COVERAGE, ATTEN = "validation.attention_coverage", "training.atten_loss"
FAILURES, CER, CER_RECORDED = (f"validation.freerun.{name}" for name in ("failure_rate", "cer", "cer_recorded"))
LOWEST_LOSS = "best.validation.loss"
MOST_IN_WINDOW = 100
"""Points whose median is judged; of a shorter series a fifth of them."""
FEWEST_POINTS = 10
"""A fifth of fewer is a single iteration, which says nothing."""

GOOD_SCORE, SICK_SCORE = 0.5, 0.3
SHARP = 0.8
GOOD_COVERAGE = 0.8
GOOD_SPREAD, STUCK_SPREAD = 0.95, 0.05
GOOD_FAILURES, SICK_FAILURES = 0.05, 0.2
GOOD_CER = 0.1
"""More wrong characters than on recordings, as a share; what a recogniser does not read, a person may still."""
NEAR_HALF, NEVER_STOPS, ALWAYS_STOPS = 0.2, 0.1, 0.9
"""The guide says near 0.5; here that is 0.3 to 0.7."""
GOOD_GATE_STD, FLAT_GATE_STD = 0.3, 0.1
RISEN = 1.05
"""Times its lowest: what the rule validation_rising calls risen."""
GOOD_NORM, SICK_NORM = 5.0, 10.0
FIRST_ITERATIONS = 100
"""Healthy starts have a grad.norm above 10 in their first tens of iterations."""
ALIGNED_GUIDE, GUIDE_FALL = 0.05, 0.9
ALIGNED_ATTEN, STUCK_ATTEN = 0.2, 1.0
LOSS_RISEN, LOSS_JUMPED = 1.2, 3.0
"""Times its lowest: what the rules exploding_gradients and loss_jump look for."""
SLOWER = 2.0
RANK: tuple[Level, ...] = ("good", "watch", "sick")

Judged = tuple[Level, Said]


@dataclass(frozen=True, kw_only=True)
class Course:
    """Medians of a training metric over windows that do not overlap."""

    first: float
    last: float
    lowest: float
    usual: float
    """Of all points."""
    iteration: int
    """The last one."""


def verdicts(run: Run, series: Mapping[str, Points]) -> tuple[Verdict, ...]:
    """A verdict per metric that the guide judges and that was measured; of training metrics only those in series."""
    measured = at_best(run)
    found = [
        verdict(metric, measured[metric], judge(measured)) for metric, judge in VALIDATION.items() if metric in measured
    ]
    lowest = run.metrics.get(LOWEST_LOSS)
    if lowest is not None and VALIDATION_LOSS in run.metrics:
        last = run.metrics[VALIDATION_LOSS]
        found.insert(0, verdict(VALIDATION_LOSS, last, validation_loss(last, lowest)))
    for metric, judge_course in TRAINING.items():
        passed = course(series.get(metric, ()))
        if passed is not None and not (metric == GUIDE and unguided(run, passed)):
            found.append(verdict(metric, passed.last, judge_course(passed, run)))
    return tuple(found)


def overall(verdicts: Sequence[Verdict]) -> Level | None:
    """The worst of them; None without any."""
    return max((one.level for one in verdicts), key=RANK.index, default=None)


def verdict(metric: str, value: float, judged: Judged) -> Verdict:
    """A metric's verdict."""
    return Verdict(metric=metric, value=value, level=judged[0], rule=judged[1])


def at_best(run: Run) -> dict[str, float]:
    """Finite metrics at the best validation; the last ones logged where the study does not know them."""
    known = {**run.metrics, **(run.result.metrics if run.result is not None else {})}
    return {name: value for name, value in known.items() if math.isfinite(value)}


def course(points: Points) -> Course | None:
    """The course of a series; None when it is too short to tell."""
    values = [value for _, value in points if math.isfinite(value)]
    if len(values) < FEWEST_POINTS:
        return None
    size = min(MOST_IN_WINDOW, len(values) // 5)
    medians = [statistics.median(values[end - size : end]) for end in range(len(values), size - 1, -size)]
    return Course(
        first=statistics.median(values[:size]),
        last=medians[0],
        lowest=min(medians),
        usual=statistics.median(values),
        iteration=max(step for step, _ in points),
    )


def above(value: float, good: float, sick: float = -math.inf) -> Level:
    """Good above one threshold, sick below another."""
    return "good" if value > good else "sick" if value < sick else "watch"


def below(value: float, good: float, sick: float = math.inf) -> Level:
    """Good below one threshold, sick above another."""
    return "good" if value < good else "sick" if value > sick else "watch"


# at the best validation


def alignment_score(measured: Mapping[str, float]) -> Judged:
    """The share of the attention on the diagonal."""
    rule = said("guide.alignment_score", good=GOOD_SCORE, sick=SICK_SCORE)
    return above(measured[SCORE], GOOD_SCORE, SICK_SCORE), rule


def attention_focus(measured: Mapping[str, float]) -> Judged:
    """Sharp is good only where the attention follows the text: a stuck one is sharp too."""
    score = measured.get(SCORE)
    if measured[FOCUS] <= SHARP or (score is not None and score > GOOD_SCORE):
        return above(measured[FOCUS], SHARP), said("guide.attention_focus", good=SHARP)
    if score is None:
        return "watch", said("guide.attention_focus_alone", good=SHARP)
    level: Level = "sick" if score < SICK_SCORE else "watch"
    return level, said("guide.attention_focus_astray", good=SHARP, score=score, least=GOOD_SCORE, sick=SICK_SCORE)


def attention_coverage(measured: Mapping[str, float]) -> Judged:
    """The share of the text that is read in order; the guide calls no value of it sick."""
    return above(measured[COVERAGE], GOOD_COVERAGE), said("guide.attention_coverage", good=GOOD_COVERAGE)


def freerun_failures(measured: Mapping[str, float]) -> Judged:
    """How many texts the voice fails on when it speaks freely."""
    rate, rule = measured[FAILURES], said("guide.freerun_failures", good=GOOD_FAILURES, sick=SICK_FAILURES)
    return "sick" if rate > SICK_FAILURES else "watch" if rate > GOOD_FAILURES else "good", rule


def freerun_cer(measured: Mapping[str, float]) -> Judged:
    """How much worse the free voice is understood than recordings are."""
    limit = measured.get(CER_RECORDED, 0.0) + GOOD_CER
    return "watch" if measured[CER] > limit else "good", said("guide.freerun_cer", good=round(limit, 3))


def attention_spread(measured: Mapping[str, float]) -> Judged:
    """How much of the text the attention visits; sick when it is sharp and stays on one place."""
    stuck = measured[SPREAD] < STUCK_SPREAD and measured.get(FOCUS, 0.0) > SHARP
    rule = said("guide.attention_spread", good=GOOD_SPREAD, stuck=STUCK_SPREAD, sharp=SHARP)
    return "sick" if stuck else above(measured[SPREAD], GOOD_SPREAD), rule


def gate_mean(measured: Mapping[str, float]) -> Judged:
    """Whether the gate stops at all, and not always."""
    value = measured[GATE_MEAN]
    low, high = 0.5 - NEAR_HALF, 0.5 + NEAR_HALF
    rule = said("guide.gate_mean", low=low, high=high, never=NEVER_STOPS, always=ALWAYS_STOPS)
    if value < NEVER_STOPS or value > ALWAYS_STOPS:
        return "sick", rule
    return "good" if low <= value <= high else "watch", rule


def gate_std(measured: Mapping[str, float]) -> Judged:
    """Whether the gate tells stop steps from others."""
    rule = said("guide.gate_std", good=GOOD_GATE_STD, flat=FLAT_GATE_STD)
    return above(measured[GATE_STD], GOOD_GATE_STD, FLAT_GATE_STD), rule


def validation_loss(last: float, lowest: float) -> Judged:
    """Whether the run ended near its lowest loss; one validation above it is no sickness yet."""
    rule = said("guide.validation_loss", lowest=lowest, percent=round(100 * (RISEN - 1)))
    return "good" if last <= lowest * RISEN else "watch", rule


VALIDATION: dict[str, Callable[[Mapping[str, float]], Judged]] = {
    SCORE: alignment_score,
    FOCUS: attention_focus,
    COVERAGE: attention_coverage,
    SPREAD: attention_spread,
    GATE_MEAN: gate_mean,
    GATE_STD: gate_std,
    FAILURES: freerun_failures,
    CER: freerun_cer,
}

# over the training


def grad_norm(passed: Course, run: Run) -> Judged:
    """Large gradients are a sign only after the start."""
    if passed.iteration < FIRST_ITERATIONS:
        rule = said("guide.grad_norm_early", good=GOOD_NORM, first=FIRST_ITERATIONS)
        return below(passed.last, GOOD_NORM), rule
    return below(passed.last, GOOD_NORM, SICK_NORM), said("guide.grad_norm", good=GOOD_NORM, sick=SICK_NORM)


def training_loss(passed: Course, run: Run) -> Judged:
    """Whether it falls and stays down."""
    rule = said("guide.training_loss", first=passed.first, lowest=passed.lowest, risen=LOSS_RISEN, jumped=LOSS_JUMPED)
    if passed.last > LOSS_JUMPED * passed.lowest:
        return "sick", rule
    fell = passed.last < passed.first and passed.last <= LOSS_RISEN * passed.lowest
    return "good" if fell else "watch", rule


def guide_loss(passed: Course, run: Run) -> Judged:
    """Whether guided attention takes hold."""
    rule = said("guide.guide_loss", good=ALIGNED_GUIDE, first=passed.first, percent=round(100 * (1 - GUIDE_FALL)))
    return below(passed.last, ALIGNED_GUIDE, GUIDE_FALL * passed.first), rule


def unguided(run: Run, passed: Course) -> bool:
    """Whether the run does not use guided attention: its loss is 0 then."""
    return run.params.get("hparams.use_guided_attn", "").lower() == "false" or passed.usual == 0


def atten_loss(passed: Course, run: Run) -> Judged:
    """How far from a complete monotonic reading; the guide's limit for a stuck one holds for r = 1."""
    if run.params.get("hparams.reduction_factor") == "1":
        rule = said("guide.atten_loss", good=ALIGNED_ATTEN, sick=STUCK_ATTEN)
        return below(passed.last, ALIGNED_ATTEN, STUCK_ATTEN), rule
    return below(passed.last, ALIGNED_ATTEN), said("guide.atten_loss_larger_steps", good=ALIGNED_ATTEN)


def duration(passed: Course, run: Run) -> Judged:
    """Whether iterations keep their pace; growing is the machine's fault, not the training's."""
    rule = said("guide.duration", usual=passed.usual, factor=SLOWER)
    return "watch" if passed.last > SLOWER * passed.usual else "good", rule


TRAINING: dict[str, Callable[[Course, Run], Judged]] = {
    NORM: grad_norm,
    LOSS: training_loss,
    GUIDE: guide_loss,
    ATTEN: atten_loss,
    DURATION: duration,
}

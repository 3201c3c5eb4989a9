"""Verdicts on a run by the metrics guide (docs/metrics.md): good, watch or sick, with the threshold behind each.

What the health rules hold a metric against is read from the study's own settings, so that a changed rule and the report
agree; only what the guide alone calls good stands here.
"""

import math
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from smart_tuner.progress import DURATION, FOCUS, GATE_MEAN, GATE_STD, GUIDE, LOSS, NORM, SCORE, SPREAD, VALIDATION_LOSS
from smart_tuner.report.evidence import Archive, Points, Run
from smart_tuner.report.message import Message
from smart_tuner.report.view import Grade, GuideVerdict
from smart_tuner.settings.health import Health

COVERAGE, ATTEN = "validation.attention_coverage", "training.atten_loss"
FAILURES, CER, CER_RECORDED = (f"validation.freerun.{name}" for name in ("failure_rate", "cer", "cer_recorded"))
LOWEST_LOSS = "best.validation.loss"
FEWEST_POINTS = 10
"""A fifth of fewer is a single iteration, which says nothing."""

SICK_SCORE = 0.3
"""Evenly spread, the attention scores 0.28. health.missing_score is another thing: when a training is given up."""
GOOD_COVERAGE = 0.8
GOOD_SPREAD = 0.95
GOOD_FAILURES, SICK_FAILURES = 0.05, 0.2
GOOD_CER = 0.1
"""More wrong characters than on recordings, as a share; what a recogniser does not read, a person may still."""
GOOD_GATE_MEAN = (0.3, 0.7)
"""What the guide calls near 0.5."""
GOOD_GATE_STD = 0.3
GOOD_NORM = 5.0
FIRST_ITERATIONS = 100
"""Healthy starts have a grad.norm above 10 in their first tens of iterations."""
ALIGNED_GUIDE = 0.05
ALIGNED_ATTEN, STUCK_ATTEN = 0.2, 1.0
"""In nats a decoder step, at one frame a step."""
WORST_LAST: tuple[Grade, ...] = ("good", "watch", "sick")

Judged = tuple[Grade, Message]


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


def judge_run(run: Run, series: Mapping[str, Points], health: Health) -> tuple[GuideVerdict, ...]:
    """A verdict per metric that the guide judges and that was measured; of training metrics only those in series."""
    measured = run.metrics_at_best()
    verdicts = [
        make_verdict(metric, measured[metric], judge(measured, health))
        for metric, judge in VALIDATION.items()
        if metric in measured
    ]
    lowest, last = run.metrics.get(LOWEST_LOSS), run.metrics.get(VALIDATION_LOSS)
    if lowest is not None and last is not None:
        verdicts.insert(0, make_verdict(VALIDATION_LOSS, last, judge_validation_loss(last, lowest, health)))
    for metric, judge_course in TRAINING.items():
        course = find_course(series.get(metric, ()), health.training_window)
        if course is not None and not (metric == GUIDE and is_unguided(run, course)):
            verdicts.append(make_verdict(metric, course.last, judge_course(course, run, health)))
    return tuple(verdicts)


def worst_grade(verdicts: Sequence[GuideVerdict]) -> Grade | None:
    """None without any."""
    return max((verdict.grade for verdict in verdicts), key=WORST_LAST.index, default=None)


def make_verdict(metric: str, value: float, judged: Judged) -> GuideVerdict:
    grade, rule = judged
    return GuideVerdict(metric=metric, value=value, grade=grade, rule=rule)


def read_series(runs: Iterable[Run], archive: Archive) -> dict[str, dict[str, Points]]:
    """What training logged of the metrics that are judged over it, by the run's name and the metric."""
    return {
        run.name: {metric: archive.history(run.run_id, metric) for metric in TRAINING}
        for run in runs
        if run.run_id is not None
    }


def find_course(points: Points, window: int) -> Course | None:
    """The course of a series, by medians of a window, of a short one of a fifth; None when it is too short to tell."""
    values = [value for _, value in points if math.isfinite(value)]
    if len(values) < FEWEST_POINTS:
        return None
    size = min(window, len(values) // 5)
    # backwards from the end, so that the last window is the very end and the odd rest is at the start
    medians = [statistics.median(values[end - size : end]) for end in range(len(values), size - 1, -size)]
    return Course(
        first=statistics.median(values[:size]),
        last=medians[0],
        lowest=min(medians),
        usual=statistics.median(values),
        iteration=max(step for step, _ in points),
    )


def grade(is_good: bool, is_sick: bool = False) -> Grade:
    return "sick" if is_sick else "good" if is_good else "watch"


def judge_above(value: float, good: float, sick: float | None = None) -> Judged:
    """Good above one threshold, sick below another; without that no value is sick."""
    if sick is None:
        return grade(value > good), Message("good above {good:g}", good=good)
    return grade(value > good, value < sick), Message("good above {good:g}, sick below {sick:g}", good=good, sick=sick)


def judge_below(value: float, good: float, sick: float) -> Judged:
    """The same of a median at the end that is to be small."""
    rule = Message("median at the end; good below {good:g}, sick above {sick:g}", good=good, sick=sick)
    return grade(value < good, value > sick), rule


# at the best validation


def judge_alignment_score(measured: Mapping[str, float], health: Health) -> Judged:
    return judge_above(measured[SCORE], health.formed_score, SICK_SCORE)


def judge_attention_focus(measured: Mapping[str, float], health: Health) -> Judged:
    """Sharp is good only where the attention follows the text: a stuck one is sharp too."""
    sharp, score = health.sharp_focus, measured.get(SCORE)
    if measured[FOCUS] <= sharp or (score is not None and score > health.formed_score):
        return judge_above(measured[FOCUS], sharp)
    if score is None:
        return "watch", Message(
            "above {good:g}, which is good only with a high alignment_score, and that was not measured", good=sharp
        )
    astray = Message(
        "above {health.sharp_focus:g}, but alignment_score is {score:.2f}: good above {health.formed_score:g}, sick "
        "below {sick:g}, for a stuck attention is sharp too"
    )
    return grade(False, score < SICK_SCORE), astray.fill(health=health, score=score, sick=SICK_SCORE)


def judge_attention_coverage(measured: Mapping[str, float], health: Health) -> Judged:
    """The share of the text that is read in order; the guide calls no value of it sick."""
    return judge_above(measured[COVERAGE], GOOD_COVERAGE)


def judge_attention_spread(measured: Mapping[str, float], health: Health) -> Judged:
    """How much of the text the attention visits; sick when it is sharp and stays on one place."""
    rule = Message(
        "good above {good:g}, sick below {health.stuck_spread:g} while attention_focus is above {health.sharp_focus:g}"
    )
    is_stuck = measured[SPREAD] < health.stuck_spread and measured.get(FOCUS, 0.0) > health.sharp_focus
    return grade(measured[SPREAD] > GOOD_SPREAD, is_stuck), rule.fill(good=GOOD_SPREAD, health=health)


def judge_gate_mean(measured: Mapping[str, float], health: Health) -> Judged:
    """Whether the gate stops at all, and not always."""
    value, (low, high) = measured[GATE_MEAN], GOOD_GATE_MEAN
    rule = Message("good from {low:g} to {high:g}, sick below {health.gate_low:g} or above {health.gate_high:g}")
    is_sick = not health.gate_low <= value <= health.gate_high
    return grade(low <= value <= high, is_sick), rule.fill(low=low, high=high, health=health)


def judge_gate_std(measured: Mapping[str, float], health: Health) -> Judged:
    return judge_above(measured[GATE_STD], GOOD_GATE_STD, health.gate_spread)


def judge_failure_rate(measured: Mapping[str, float], health: Health) -> Judged:
    """How many texts the voice fails on when it speaks freely."""
    rate = measured[FAILURES]
    rule = Message("good up to {good:g}, sick above {sick:g}", good=GOOD_FAILURES, sick=SICK_FAILURES)
    return grade(rate <= GOOD_FAILURES, rate > SICK_FAILURES), rule


def judge_cer(measured: Mapping[str, float], health: Health) -> Judged:
    """How much worse the free voice is understood than recordings are."""
    limit = measured.get(CER_RECORDED, 0.0) + GOOD_CER
    rule = Message("good up to {good:g}: {more:g} more than on recordings", good=round(limit, 3), more=GOOD_CER)
    return grade(measured[CER] <= limit), rule


def judge_validation_loss(last: float, lowest: float, health: Health) -> Judged:
    """Whether the run ended near its lowest loss; one validation above it is no sickness yet."""
    rule = Message("the last one; good within {percent:g} % of the lowest, {lowest:.4f}", lowest=lowest)
    return grade(last <= lowest * (1 + health.rising_gain)), rule.fill(percent=100 * health.rising_gain)


VALIDATION: dict[str, Callable[[Mapping[str, float], Health], Judged]] = {
    SCORE: judge_alignment_score,
    FOCUS: judge_attention_focus,
    COVERAGE: judge_attention_coverage,
    SPREAD: judge_attention_spread,
    GATE_MEAN: judge_gate_mean,
    GATE_STD: judge_gate_std,
    FAILURES: judge_failure_rate,
    CER: judge_cer,
}

# over the training


def judge_grad_norm(course: Course, run: Run, health: Health) -> Judged:
    """Large gradients are a sign only after the start."""
    if course.iteration < FIRST_ITERATIONS:
        early = Message(
            "median at the end; good below {good:g}, and never sick in the first {first} iterations, where healthy "
            "runs are high too"
        )
        return grade(course.last < GOOD_NORM), early.fill(good=GOOD_NORM, first=FIRST_ITERATIONS)
    return judge_below(course.last, GOOD_NORM, health.gradient_limit)


def judge_training_loss(course: Course, run: Run, health: Health) -> Judged:
    rule = Message(
        "median at the end; good when it has fallen from {course.first:.3g} and is within {risen:g} times its lowest, "
        "{course.lowest:.3g}; sick above {jumped:g} times",
        course=course,
        risen=1 + health.loss_rise,
        jumped=health.loss_jump,
    )
    has_fallen = course.last < course.first and course.last <= (1 + health.loss_rise) * course.lowest
    return grade(has_fallen, course.last > health.loss_jump * course.lowest), rule


def judge_guide_loss(course: Course, run: Run, health: Health) -> Judged:
    rule = Message(
        "median at the end; good below {good:g}, sick when less than {percent:g} % below its start, {course.first:.3g}"
    )
    is_sick = course.last > (1 - health.guide_fall) * course.first
    percent = 100 * health.guide_fall
    return grade(course.last < ALIGNED_GUIDE, is_sick), rule.fill(good=ALIGNED_GUIDE, percent=percent, course=course)


def is_unguided(run: Run, course: Course) -> bool:
    """Whether the run does not use guided attention: its loss is 0 then."""
    return run.params.get("hparams.use_guided_attn", "").lower() == "false" or course.usual == 0


def judge_atten_loss(course: Course, run: Run, health: Health) -> Judged:
    """How far from a complete monotonic reading; the guide's limit for a stuck one holds for r = 1."""
    if run.params.get("hparams.reduction_factor") == "1":
        return judge_below(course.last, ALIGNED_ATTEN, STUCK_ATTEN)
    rule = Message("median at the end; good below {good:g}; the guide's upper limit holds for reduction_factor 1 alone")
    return grade(course.last < ALIGNED_ATTEN), rule.fill(good=ALIGNED_ATTEN)


def judge_duration(course: Course, run: Run, health: Health) -> Judged:
    """Whether iterations keep their pace; growing is the machine's fault, not the training's."""
    factor, usual = health.duration_factor, course.usual
    rule = Message("median at the end; good up to {factor:g} times the usual {usual:.3g} s", factor=factor, usual=usual)
    return grade(course.last <= factor * usual), rule


TRAINING: dict[str, Callable[[Course, Run, Health], Judged]] = {
    NORM: judge_grad_norm,
    LOSS: judge_training_loss,
    GUIDE: judge_guide_loss,
    ATTEN: judge_atten_loss,
    DURATION: judge_duration,
}

"""Symptoms: what a sick training shows. A rule is a function of the History and the Progress that was told last.

A rule looks back over a window, after a warm-up, and compares with a threshold, all three from settings.health. A false
stop is the worst error, so a rule that stops wants its sign to last and, where there is one, a second sign beside it.
"""

import math
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from smart_tuner.health.history import (
    DURATION,
    ENTROPY,
    FOCUS,
    GATE_LOSS,
    GATE_MEAN,
    GATE_STD,
    GUIDE,
    LOSS,
    NEVER,
    NORM,
    SCORE,
    SPREAD,
    VALIDATION_LOSS,
    History,
)
from smart_tuner.progress import Progress

Level = Literal["note", "warn", "stop"]


FELT = 0.3
"""A smaller guide weight hardly moves the attention; of the forward-sum weight, a tenth of this."""


@dataclass(frozen=True)
class Symptom:
    """What a rule saw."""

    level: Level
    rule: str
    what: str
    """For a person: the values, over which window, against which threshold."""
    observed: dict[str, float]
    """The values that decided, by metric."""
    limits: dict[str, float]
    """What they were compared with, by metric."""
    threshold: str
    window: str


Rule = Callable[[History, Progress], Symptom | None]


def exploding_gradients(history: History, now: Progress) -> Symptom | None:
    """Large gradients for a whole window, or many huge ones in it; it stops when the loss has risen, else it warns."""
    health, norms, losses = history.health, history.windows[NORM], history.windows[LOSS]
    warmup, size = max(health.gradient_warmup, history.hparams.warmup_iterations), health.training_window
    spikes = sum(norm > health.gradient_spike for norm in norms.values) / size
    large = norms.median > health.gradient_limit
    if now.step < warmup + size or not (large or spikes >= health.gradient_spikes):
        return None
    limit = losses.lowest * (1 + health.loss_rise)
    seen = f"the median grad.norm of the last {size} iterations is {norms.median:.3g} (limit {health.gradient_limit:g})"
    if not large:
        seen = f"{spikes:.0%} of the last {size} iterations have a grad.norm above {health.gradient_spike:g}"
    return Symptom(
        "stop" if losses.median > limit else "warn",
        "exploding_gradients",
        f"{seen}, and the median training.loss is {losses.median:.3g} after {losses.lowest:.3g} at its best",
        {NORM: norms.median, LOSS: losses.median},
        {NORM: health.gradient_limit, LOSS: limit},
        f"median grad.norm > {health.gradient_limit:g}, or {health.gradient_spikes:.0%} of them > "
        f"{health.gradient_spike:g}; and median training.loss {health.loss_rise:.0%} above its lowest",
        f"{size} iterations, after a warm-up of {warmup}",
    )


def loss_jump(history: History, now: Progress) -> Symptom | None:
    """The training loss is a multiple of its best, and stays there."""
    health, losses = history.health, history.windows[LOSS]
    limit = health.loss_jump * losses.lowest
    if not losses.median > limit:  # nor when either is NaN, before the first window is full
        return None
    return Symptom(
        "stop",
        "loss_jump",
        f"the median training.loss of the last {health.training_window} iterations is {losses.median:.3g}, more than "
        f"{health.loss_jump:g} times its best, {losses.lowest:.3g}",
        {LOSS: losses.median},
        {LOSS: limit},
        f"median training.loss > {health.loss_jump:g} times its lowest",
        f"{health.training_window} iterations",
    )


def best_and_recent(losses: list[float], count: int) -> tuple[float, list[float]]:
    """The lowest of the losses before the last so many, infinite when there are none; and those last."""
    return min(losses[:-count], default=math.inf), losses[-count:]


def validation_rising(history: History, now: Progress) -> Symptom | None:
    """The validation loss has turned up and does not come back.

    Only what follows the forming of the attention counts: in the first iterations of a healthy start it rises too.
    """
    health, count = history.health, history.health.rising_validations
    best, recent = best_and_recent(history.all(VALIDATION_LOSS, history.reached(health.formed_score)), count)
    if not recent:
        return None
    limit = best * (1 + health.rising_gain)
    returns = recent[-1] < recent[0] * (1 - health.flat_gain)
    if min(recent) <= limit or returns:
        return None
    return Symptom(
        "stop",
        "validation_rising",
        f"validation.loss has turned up: {count} validations are {min(recent) / best - 1:.0%} or more above its best, "
        f"{best:.3g} (limit {health.rising_gain:.0%})",
        {VALIDATION_LOSS: recent[-1]},
        {VALIDATION_LOSS: limit},
        f"validation.loss > {1 + health.rising_gain:g} times its lowest",
        f"{count} validations",
    )


def validation_flat(history: History, now: Progress) -> Symptom | None:
    """A warning: the validation loss gains nothing although the learning rate is still high."""
    health, count = history.health, history.health.flat_validations
    best, recent = best_and_recent(history.all(VALIDATION_LOSS), count)
    limit = best * (1 - health.flat_gain)
    high_rate = history.rate > history.hparams.learning_rate / 2
    formed = history.reached(health.formed_score) < NEVER
    if math.isinf(best) or min(recent) < limit or not (formed and high_rate):
        return None
    return Symptom(
        "warn",
        "validation_flat",
        f"validation.loss has gained less than {health.flat_gain:.0%} in {count} validations: {min(recent):.3g} after "
        f"{best:.3g}",
        {VALIDATION_LOSS: recent[-1]},
        {VALIDATION_LOSS: limit},
        f"validation.loss >= {1 - health.flat_gain:g} times its lowest before",
        f"{count} validations",
    )


def attention_formed(history: History, now: Progress) -> Symptom | None:
    """A note when the attention is there."""
    formed, score = history.health.formed_score, now.metrics.get(SCORE, 0.0)
    if score < formed:
        return None
    what = f"the attention has formed after {now.utterances:,} utterances (alignment_score {score:.2f})"
    threshold = f"alignment_score >= {formed:g}"
    return Symptom("note", "attention_formed", what, {SCORE: score}, {SCORE: formed}, threshold, "this validation")


def attention_late(history: History, now: Progress) -> Symptom | None:
    """No alignment by the deadline; it moves once if the attention was on its way then."""
    health, hparams = history.health, history.hparams
    guided = hparams.use_guided_attn and hparams.guide_weight >= FELT
    aided = guided or hparams.forward_sum_weight >= FELT / 10 or hparams.reduction_factor > 1
    deadline = health.attention_deadline if aided else health.attention_deadline_unaided
    if now.utterances < deadline or history.reached(health.missing_score) < NEVER:
        return None
    extended = deadline * (1 + health.attention_extension)
    on_its_way = is_forming(history, deadline)
    waits = on_its_way and now.utterances < extended
    score = now.metrics.get(SCORE, 0.0)
    prospect = "although the deadline moved once" if on_its_way else "and it was not on its way"
    if waits:
        prospect = f"but it is on its way, so the deadline moves to {extended:,.0f}"
    return Symptom(
        "note" if waits else "stop",
        "attention_late",
        f"no attention after {now.utterances:,} utterances (alignment_score {score:.2f}, below "
        f"{health.missing_score:g}), {prospect}",
        {SCORE: score},
        {SCORE: health.missing_score},
        f"alignment_score < {health.missing_score:g} at {deadline:,} utterances",
        f"from {deadline // 2:,} utterances on",
    )


def is_forming(history: History, deadline: int) -> bool:
    """Whether the attention at the deadline scored higher, or was less even, than at half of it.

    True when no validation lies between: the benefit of the doubt.
    """
    since_half = [one for one in history.validations if one.utterances >= deadline // 2]
    half, at = since_half[0].metrics, next(one for one in since_half if one.utterances >= deadline).metrics
    if half is at:
        return True
    score = at.get(SCORE, 0.0) - half.get(SCORE, 0.0)
    entropy = half.get(ENTROPY, 1.0) - at.get(ENTROPY, 1.0)
    return max(score, entropy) > history.health.attention_rise


def attention_stuck(history: History, now: Progress) -> Symptom | None:
    """The attention is sharp and stays on one place of the text."""
    health, count = history.health, history.health.stuck_validations
    focus, spread = (history.last(name, count, health.sharp_warmup) for name in (FOCUS, SPREAD))
    if not focus or not spread or min(focus) <= health.sharp_focus or max(spread) >= health.stuck_spread:
        return None
    return Symptom(
        "stop",
        "attention_stuck",
        f"the attention is stuck: at {count} validations it was sharp (attention_focus {min(focus):.2f} or more) and "
        f"moved over {max(spread):.1%} of the text or less (limit {health.stuck_spread:.0%})",
        {FOCUS: focus[-1], SPREAD: spread[-1]},
        {FOCUS: health.sharp_focus, SPREAD: health.stuck_spread},
        f"attention_focus > {health.sharp_focus:g} and attention_spread < {health.stuck_spread:g}",
        f"{count} validations, after {health.sharp_warmup:,} utterances",
    )


def attention_off_diagonal(history: History, now: Progress) -> Symptom | None:
    """The attention is sharp and moves, but not with the speech, and that does not change."""
    health, count = history.health, history.health.diagonal_validations
    focus, scores = (history.last(name, count, health.sharp_warmup) for name in (FOCUS, SCORE))
    if not focus or not scores or min(focus) <= health.sharp_focus or max(scores) >= health.diagonal_score:
        return None
    if scores[-1] - scores[0] > health.attention_rise:
        return None
    return Symptom(
        "stop",
        "attention_off_diagonal",
        f"the attention does not follow the speech: at {count} validations it was sharp (attention_focus "
        f"{min(focus):.2f} or more), but no more than {max(scores):.0%} of it on the diagonal (limit "
        f"{health.diagonal_score:.0%}), and that does not rise",
        {FOCUS: focus[-1], SCORE: scores[-1]},
        {FOCUS: health.sharp_focus, SCORE: health.diagonal_score},
        f"attention_focus > {health.sharp_focus:g} and alignment_score < {health.diagonal_score:g}",
        f"{count} validations, after {health.sharp_warmup:,} utterances",
    )


def attention_collapsed(history: History, now: Progress) -> Symptom | None:
    """The attention was there and is lost."""
    health, count = history.health, history.health.collapse_validations
    scores = history.all(SCORE)
    best, recent = max(scores[:-count], default=0.0), scores[-count:]
    limit = best - health.collapse_drop
    if best < health.formed_score or max(recent) >= limit:
        return None
    return Symptom(
        "stop",
        "attention_collapsed",
        f"the attention is lost: at {count} validations the alignment_score is {max(recent):.2f} or less after "
        f"{best:.2f} at its best",
        {SCORE: recent[-1]},
        {SCORE: limit},
        f"alignment_score more than {health.collapse_drop:g} below its highest",
        f"{count} validations",
    )


def guide_not_falling(history: History, now: Progress) -> Symptom | None:
    """Guided attention is used and does not take hold."""
    health, guide = history.health, history.windows[GUIDE]
    limit, score = guide.first * (1 - health.guide_fall), now.metrics.get(SCORE, 0.0)
    felt = history.hparams.guide_weight >= FELT
    too_soon = not felt or now.utterances < health.guide_deadline or history.reached(health.missing_score) < NEVER
    if too_soon or not guide.median > limit:  # 0 > 0 when it is not used
        return None
    return Symptom(
        "stop",
        "guide_not_falling",
        f"guided attention does not take hold: after {now.utterances:,} utterances the median training.guide_loss is "
        f"{guide.median:.3f}, at the start it was {guide.first:.3f}, and the alignment_score is {score:.2f}",
        {GUIDE: guide.median, SCORE: score},
        {GUIDE: limit, SCORE: health.missing_score},
        f"median training.guide_loss > {1 - health.guide_fall:g} times its first at {health.guide_deadline:,} "
        f"utterances, and alignment_score < {health.missing_score:g}",
        f"{health.training_window} iterations",
    )


def sick_gate(history: History, now: Progress) -> Symptom | None:
    """The attention is there, and the gate still says the same at every step, with no sign of learning."""
    health, count = history.health, history.health.gate_validations
    since = history.reached(health.formed_score) + health.gate_warmup
    means, spreads = (history.last(name, count, since) for name in (GATE_MEAN, GATE_STD))
    if not means or not spreads:
        return None
    before, after = history.medians[GATE_LOSS][-count], history.medians[GATE_LOSS][-1]
    if spreads[-1] - spreads[0] > health.gate_rise or after < before * (1 - health.gate_fall):
        return None  # it learns
    low, high, flat = health.gate_low, health.gate_high, health.gate_spread
    signs = {
        "gate_never": (max(means) < low, f"never fires: gate_mean was below {low:g}", GATE_MEAN, low),
        "gate_always": (min(means) > high, f"always fires: gate_mean was above {high:g}", GATE_MEAN, high),
        "gate_flat": (max(spreads) < flat, f"has learned nothing: gate_std was below {flat:g}", GATE_STD, flat),
    }
    for rule, (sick, what, metric, limit) in signs.items():
        if sick:
            return Symptom(
                "stop",
                rule,
                f"the attention has formed, but the stop gate {what} at {count} validations (gate_mean "
                f"{means[-1]:.3f}, gate_std {spreads[-1]:.3f}), with no sign of learning",
                {GATE_MEAN: means[-1], GATE_STD: spreads[-1]},
                {metric: limit},
                f"{metric.removeprefix('validation.')} {'>' if rule == 'gate_always' else '<'} {limit:g}",
                f"{count} validations, {health.gate_warmup:,} utterances after the attention formed",
            )
    return None


def duration_growing(history: History, now: Progress) -> Symptom | None:
    """A warning: iterations take much longer than they did."""
    health, pace = history.health, history.windows[DURATION].median
    paces = [one for one in history.medians[DURATION] if not math.isnan(one)]
    usual = statistics.median(paces) if paces else math.inf
    limit = health.duration_factor * usual
    if not pace > limit:
        return None
    return Symptom(
        "warn",
        "duration_growing",
        f"the median iteration takes {pace:.3g} s and took {usual:.3g} s so far (limit {limit:.3g} s)",
        {DURATION: pace},
        {DURATION: limit},
        f"median duration > {health.duration_factor:g} times its median so far",
        f"{health.training_window} iterations",
    )

"""The health rules: one record each, with what a sick training shows, what it means and what to change then.

A check looks back over a window, after a warm-up, and compares with a threshold, all three from settings/health.py. A
false stop is the worst error, so a rule that stops wants its sign to last and, where there is one, a second sign.

To add a rule, write its check and put its record into RULES: the watch, repairs, train mode, the report and its advice
follow. docs/metrics.md and its Russian twin have a row for each; a test compares them with what stands here.
"""

import math
import statistics
from collections.abc import Callable

from smart_tuner.health import repairs
from smart_tuner.health.rule import NEVER, HealthRule, History, Repair, Symptom
from smart_tuner.progress import (
    DURATION,
    FOCUS,
    GATE_LOSS,
    GATE_MEAN,
    GATE_STD,
    GUIDE,
    LOSS,
    NORM,
    SCORE,
    SPREAD,
    VALIDATION_LOSS,
    Progress,
)
from smart_tuner.settings.hparams import Hparams

FELT = 0.3
"""A smaller guide weight hardly moves the attention; of the forward-sum weight, a tenth of this."""


# what a sick training shows


def non_finite(history: History, now: Progress) -> Symptom | None:
    """A loss or gradient that is not a finite number: the training itself stops before it takes a step on it."""
    return None


def exploding_gradients(history: History, now: Progress) -> Symptom | None:
    """Large gradients for a whole window, or many huge ones in it; it stops when the loss has risen, else it warns."""
    health, norms, losses = history.health, history.windows[NORM], history.windows[LOSS]
    warmup, size = max(health.gradient_warmup, history.hparams.warmup_iterations), health.training_window
    spikes = sum(norm > health.gradient_spike for norm in norms.values) / size
    large = norms.median > health.gradient_limit
    if now.step < warmup + size or not (large or spikes >= health.gradient_spikes):
        return None
    limit = losses.lowest * (1 + health.loss_rise)
    what = f"the median grad.norm of the last {size} iterations is {norms.median:.3g} (limit {health.gradient_limit:g})"
    if not large:
        what = f"{spikes:.0%} of the last {size} iterations have a grad.norm above {health.gradient_spike:g}"
    return Symptom(
        f"{what}, and the median training.loss is {losses.median:.3g} after {losses.lowest:.3g} at its best",
        {NORM: (norms.median, health.gradient_limit), LOSS: (losses.median, limit)},
        f"median grad.norm > {health.gradient_limit:g}, or {health.gradient_spikes:.0%} of them > "
        f"{health.gradient_spike:g}; and median training.loss {health.loss_rise:.0%} above its lowest",
        f"{size} iterations, after a warm-up of {warmup}",
        "stop" if losses.median > limit else "warn",
    )


def loss_jump(history: History, now: Progress) -> Symptom | None:
    """The training loss is a multiple of its best, and stays there."""
    health, losses = history.health, history.windows[LOSS]
    limit = health.loss_jump * losses.lowest
    if not losses.median > limit:  # nor when either is NaN, before the first window is full
        return None
    return Symptom(
        f"the median training.loss of the last {health.training_window} iterations is {losses.median:.3g}, more than "
        f"{health.loss_jump:g} times its best, {losses.lowest:.3g}",
        {LOSS: (losses.median, limit)},
        f"median training.loss > {health.loss_jump:g} times its lowest",
        f"{health.training_window} iterations",
    )


def validation_rising(history: History, now: Progress) -> Symptom | None:
    """The validation loss has turned up and does not come back.

    Only what follows the forming of the attention counts: in the first iterations of a healthy start it rises too.
    """
    health, count = history.health, history.health.rising_validations
    best, recent = history.best_and_recent(VALIDATION_LOSS, count, history.reached(health.formed_score))
    limit = best * (1 + health.rising_gain)
    if not recent or min(recent) <= limit or recent[-1] < recent[0] * (1 - health.flat_gain):
        return None
    return Symptom(
        f"validation.loss has turned up: {count} validations are {min(recent) / best - 1:.0%} or more above its best, "
        f"{best:.3g} (limit {health.rising_gain:.0%})",
        {VALIDATION_LOSS: (recent[-1], limit)},
        f"validation.loss > {1 + health.rising_gain:g} times its lowest",
        f"{count} validations",
    )


def validation_flat(history: History, now: Progress) -> Symptom | None:
    """A warning: the validation loss gains nothing although the learning rate is still high."""
    health, count = history.health, history.health.flat_validations
    best, recent = history.best_and_recent(VALIDATION_LOSS, count)
    limit = best * (1 - health.flat_gain)
    high_rate = history.rate > history.hparams.learning_rate / 2
    formed = history.reached(health.formed_score) < NEVER
    if math.isinf(best) or min(recent) < limit or not (formed and high_rate):
        return None
    return Symptom(
        f"validation.loss has gained less than {health.flat_gain:.0%} in {count} validations: {min(recent):.3g} after "
        f"{best:.3g}",
        {VALIDATION_LOSS: (recent[-1], limit)},
        f"validation.loss >= {1 - health.flat_gain:g} times its lowest before",
        f"{count} validations",
        "warn",
    )


def attention_formed(history: History, now: Progress) -> Symptom | None:
    """A note when the attention is there."""
    formed, score = history.health.formed_score, now.metrics.get(SCORE, 0.0)
    if score < formed:
        return None
    what = f"the attention has formed after {now.utterances:,} utterances (alignment_score {score:.2f})"
    return Symptom(what, {SCORE: (score, formed)}, f"alignment_score >= {formed:g}", "this validation", "note")


def attention_late(history: History, now: Progress) -> Symptom | None:
    """No alignment by the deadline; it moves once if the attention was on its way then."""
    health, hparams = history.health, history.hparams
    guided = hparams.use_guided_attn and hparams.guide_weight >= FELT
    aided = guided or hparams.forward_sum_weight >= FELT / 10 or hparams.reduction_factor > 1
    deadline = health.attention_deadline if aided else health.attention_deadline_unaided
    if now.utterances < deadline or history.reached(health.missing_score) < NEVER:
        return None
    extended, on_its_way = deadline * (1 + health.attention_extension), history.is_forming(deadline)
    waits, score = on_its_way and now.utterances < extended, now.metrics.get(SCORE, 0.0)
    prospect = "although the deadline moved once" if on_its_way else "and it was not on its way"
    if waits:
        prospect = f"but it is on its way, so the deadline moves to {extended:,.0f}"
    return Symptom(
        f"no attention after {now.utterances:,} utterances (alignment_score {score:.2f}, below "
        f"{health.missing_score:g}), {prospect}",
        {SCORE: (score, health.missing_score)},
        f"alignment_score < {health.missing_score:g} at {deadline:,} utterances",
        f"from {deadline // 2:,} utterances on",
        "note" if waits else "stop",
    )


def attention_stuck(history: History, now: Progress) -> Symptom | None:
    """The attention is sharp and stays on one place of the text."""
    health, count = history.health, history.health.stuck_validations
    focus, spread = (history.last(name, count, health.sharp_warmup) for name in (FOCUS, SPREAD))
    if not focus or not spread or min(focus) <= health.sharp_focus or max(spread) >= health.stuck_spread:
        return None
    return Symptom(
        f"the attention is stuck: at {count} validations it was sharp (attention_focus {min(focus):.2f} or more) and "
        f"moved over {max(spread):.1%} of the text or less (limit {health.stuck_spread:.0%})",
        {FOCUS: (focus[-1], health.sharp_focus), SPREAD: (spread[-1], health.stuck_spread)},
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
        f"the attention does not follow the speech: at {count} validations it was sharp (attention_focus "
        f"{min(focus):.2f} or more), but no more than {max(scores):.0%} of it on the diagonal (limit "
        f"{health.diagonal_score:.0%}), and that does not rise",
        {FOCUS: (focus[-1], health.sharp_focus), SCORE: (scores[-1], health.diagonal_score)},
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
        f"the attention is lost: at {count} validations the alignment_score is {max(recent):.2f} or less after "
        f"{best:.2f} at its best",
        {SCORE: (recent[-1], limit)},
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
        f"guided attention does not take hold: after {now.utterances:,} utterances the median training.guide_loss is "
        f"{guide.median:.3f}, at the start it was {guide.first:.3f}, and the alignment_score is {score:.2f}",
        {GUIDE: (guide.median, limit), SCORE: (score, health.missing_score)},
        f"median training.guide_loss > {1 - health.guide_fall:g} times its first at {health.guide_deadline:,} "
        f"utterances, and alignment_score < {health.missing_score:g}",
        f"{health.training_window} iterations",
    )


def gate_never(history: History, now: Progress) -> Symptom | None:
    """The stop gate never fires, with no sign of learning."""
    low = history.health.gate_low
    return sick_gate(history, GATE_MEAN, lambda value: value < low, low, f"never fires: gate_mean was below {low:g}")


def gate_always(history: History, now: Progress) -> Symptom | None:
    """The stop gate always fires, with no sign of learning."""
    high = history.health.gate_high
    return sick_gate(
        history, GATE_MEAN, lambda value: value > high, high, f"always fires: gate_mean was above {high:g}"
    )


def gate_flat(history: History, now: Progress) -> Symptom | None:
    """The stop gate says the same at every step, with no sign of learning; one that is silent has its own rule."""
    flat = history.health.gate_spread
    if gate_never(history, now) or gate_always(history, now):
        return None
    what = f"has learned nothing: gate_std was below {flat:g}"
    return sick_gate(history, GATE_STD, lambda value: value < flat, flat, what)


def sick_gate(
    history: History, metric: str, is_sick: Callable[[float], bool], limit: float, what: str
) -> Symptom | None:
    """The attention is there, and the gate's metric was sick at each of the last validations, and it does not learn."""
    health, count = history.health, history.health.gate_validations
    since = history.reached(health.formed_score) + health.gate_warmup
    means, spreads = (history.last(name, count, since) for name in (GATE_MEAN, GATE_STD))
    if not means or not spreads or not all(map(is_sick, means if metric == GATE_MEAN else spreads)):
        return None
    before, after = history.medians[GATE_LOSS][-count], history.medians[GATE_LOSS][-1]
    if spreads[-1] - spreads[0] > health.gate_rise or after < before * (1 - health.gate_fall):
        return None  # it learns
    limits = {metric: limit}
    return Symptom(
        f"the attention has formed, but the stop gate {what} at {count} validations (gate_mean {means[-1]:.3f}, "
        f"gate_std {spreads[-1]:.3f}), with no sign of learning",
        {GATE_MEAN: (means[-1], limits.get(GATE_MEAN)), GATE_STD: (spreads[-1], limits.get(GATE_STD))},
        f"{metric.removeprefix('validation.')} {'>' if is_sick(math.inf) else '<'} {limit:g}",
        f"{count} validations, {health.gate_warmup:,} utterances after the attention formed",
    )


def duration_growing(history: History, now: Progress) -> Symptom | None:
    """A warning: iterations take much longer than they did."""
    health, pace = history.health, history.windows[DURATION].median
    paces = [seconds for seconds in history.medians[DURATION] if not math.isnan(seconds)]
    usual = statistics.median(paces) if paces else math.inf
    limit = health.duration_factor * usual
    if not pace > limit:
        return None
    return Symptom(
        f"the median iteration takes {pace:.3g} s and took {usual:.3g} s so far (limit {limit:.3g} s)",
        {DURATION: (pace, limit)},
        f"median duration > {health.duration_factor:g} times its median so far",
        f"{health.training_window} iterations",
        "warn",
    )


# the records, in the order in which they are asked: the more telling first

RULES: dict[str, HealthRule] = {
    rule.name: rule
    for rule in (
        HealthRule(
            non_finite,
            asked_at="training",
            meaning="A loss or the gradient norm was not a finite number.",
            repairs=(repairs.full_precision, repairs.lower_rate, repairs.clip_more, repairs.lower_rate),
        ),
        HealthRule(
            exploding_gradients,
            asked_at="training",
            meaning="Gradients were large for a whole window, and the training loss had risen.",
            remedy="A lower learning rate or a smaller hparams.grad_clip_thresh is the usual remedy.",
            repairs=(repairs.lower_rate, repairs.clip_more, repairs.lower_rate),
            loosened_by="gradient_limit",
            signs=(NORM,),
        ),
        HealthRule(
            loss_jump,
            asked_at="training",
            meaning="The training loss jumped to several times its lowest and stayed there.",
            remedy="Going on from the best checkpoint with a lower learning rate is the usual remedy.",
            repairs=(repairs.lower_rate, repairs.clip_more, repairs.lower_rate),
            roll_back=True,
            loosened_by="loss_jump",
        ),
        HealthRule(
            attention_formed,
            nothing_left="it is good news",
        ),
        HealthRule(
            attention_stuck,
            meaning="The attention was sharp and stayed on one place of the text.",
            remedy="It hardly ever unlearns that: a new start with a lower learning rate is the usual remedy.",
            repairs=(repairs.lower_rate, repairs.guide, repairs.larger_steps, repairs.lower_rate),
            loosened_by="stuck_validations",
            signs=(FOCUS, SPREAD),
        ),
        HealthRule(
            attention_off_diagonal,
            meaning="The attention was sharp but did not follow the speech: so look texts of other recordings.",
            remedy="Texts that do not belong to their recordings look like this: compare some.",
            repairs=(repairs.guide, repairs.guide_more),
            loosened_by="diagonal_validations",
            nothing_left="guided attention did not help, so compare some texts with their recordings",
        ),
        HealthRule(
            attention_collapsed,
            meaning="The attention had formed and was lost again.",
            remedy="Going on from the best checkpoint with a lower learning rate is the usual remedy.",
            repairs=(repairs.lower_rate, repairs.guide, repairs.lower_rate),
            roll_back=True,
            loosened_by="collapse_validations",
        ),
        HealthRule(
            gate_never,
            meaning="The stop gate never fired, with no sign of learning.",
            remedy="A larger hparams.gate_positive_weight (10, then 20) is the usual remedy.",
            repairs=(repairs.heavier_stop, repairs.heavier_stop, repairs.heavier_gate),
            loosened_by="gate_validations",
        ),
        HealthRule(
            gate_always,
            meaning="The stop gate always fired, with no sign of learning.",
            remedy="A smaller hparams.gate_positive_weight is the usual remedy.",
            repairs=(repairs.lighter_stop, repairs.lighter_stop, repairs.heavier_gate),
            loosened_by="gate_validations",
        ),
        HealthRule(
            gate_flat,
            meaning="The stop gate said the same at every step: it had learned nothing.",
            remedy="A larger hparams.gate_weight is the usual remedy.",
            repairs=(repairs.heavier_gate, repairs.heavier_stop, repairs.lower_rate),
            loosened_by="gate_validations",
            signs=(GATE_STD,),
        ),
        HealthRule(
            attention_late,
            meaning="By the deadline the attention had not formed.",
            remedy="Guided attention, hparams.reduction_factor 2 or 3 and a larger batch are the usual remedies.",
            repairs=(
                repairs.guide,
                repairs.raise_rate,
                repairs.larger_steps,
                repairs.forward_sum,
                repairs.guide_more,
            ),
            loosened_by="attention_deadline",
            signs=(SCORE,),
        ),
        HealthRule(
            guide_not_falling,
            meaning="Guided attention did not take hold: its loss did not fall.",
            remedy="Another learning rate and a larger hparams.guide_weight are the usual remedies.",
            repairs=(repairs.fitting_rate, repairs.guide_more, repairs.larger_steps),
            loosened_by="guide_deadline",
            signs=(GUIDE,),
        ),
        HealthRule(
            validation_rising,
            meaning="The validation loss turned up and did not come back: overfitting.",
            remedy="More dropout, more weight decay or a shorter budget is the usual remedy.",
            repairs=(repairs.more_dropout, repairs.more_decay, repairs.more_dropout),
            loosened_by="rising_validations",
        ),
        HealthRule(
            validation_flat,
            remedy="A schedule that lowers the learning rate, or a shorter budget, is the usual remedy.",
            nothing_left="it only warns",
        ),
        HealthRule(
            duration_growing,
            remedy="Look at other programs, heat and the disk: it is the machine, not the training.",
            nothing_left="it is the machine, not a setting",
        ),
    )
}
"""By name."""


def repair(rule: str, hparams: Hparams, attempt: int) -> Repair | None:
    """What the next attempt changes after a rule has stopped so many; None when nothing is left, or for the pruner."""
    return RULES[rule].repair(hparams, attempt) if rule in RULES else None


def nothing_left(rule: str) -> str:
    """The sentence for a person when repair returns None."""
    why = RULES[rule].nothing_left if rule in RULES else "it is no health rule"
    return f"No change of a setting is known that would help after {rule}: {why}."

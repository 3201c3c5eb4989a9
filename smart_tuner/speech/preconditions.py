"""What settings need of a corpus and of their own budget, known as soon as the corpus is."""

import math
from collections.abc import Iterator, Sequence

from smart_tuner.settings.reduction import reduction_stages
from smart_tuner.settings.settings import Settings
from smart_tuner.speech.audio import mel_filters
from smart_tuner.speech.notes import CorpusNote, Level

FEW_STEPS = 0.02
"""Share of the utterances that may have fewer decoder steps than symbols: a short word said fast."""
NEARLY_ALL = 0.9
LONGEST_WARMUP = 0.5
"""Share of the budget after which the learning rate must have reached its peak."""
FEWEST_VALIDATIONS = 4
"""From so many validations on a course can be seen: the health rules and the reports go by them."""
PLATEAU_VALIDATIONS = 6
"""A first loss, and five without a gain: the plateau schedule falls no sooner."""
HEALTH_DEADLINES = ("attention_deadline", "guide_deadline", "sharp_warmup", "gate_warmup")
"""Utterances before which a health rule says nothing."""


def judge_settings(settings: Settings, train: Sequence[tuple[int, int]]) -> list[CorpusNote]:
    """What the settings ask for and cannot have, with these (mel frames, symbols) of each training utterance."""
    notes = [*_about_mels(settings), *_about_reduction(settings, train), *_about_budget(settings, len(train))]
    return notes or [CorpusNote("good", "settings", "suit the corpus and the budget")]


def _about_mels(settings: Settings) -> Iterator[CorpusNote]:
    speech = settings.speech
    deaf = int((mel_filters(speech).max(axis=1) == 0).sum())
    if deaf:
        between = f"{deaf} of them lie between two frequencies of speech.filter_length = {speech.filter_length}"
        what = f"speech.n_mel_channels = {speech.n_mel_channels}: {between} and never hear anything"
        yield CorpusNote("watch", "settings", f"{what}; fewer channels, or a longer filter, suit")


def _about_reduction(settings: Settings, train: Sequence[tuple[int, int]]) -> Iterator[CorpusNote]:
    hparams, r = settings.hparams, settings.hparams.reduction_factor
    forward, summed = hparams.attention_kind == "forward", hparams.forward_sum_weight > 0
    short = _count_short(train, r)
    if not (forward or summed) or short <= FEW_STEPS * len(train):
        return
    fits = max((k for k in range(1, r) if _count_short(train, k) <= FEW_STEPS * len(train)), default=None)
    what = f"at hparams.reduction_factor = {r}, {short} of {len(train)} utterances have fewer steps than symbols"
    without = "forward attention cannot come to their end" if forward else ""
    unsummed = "the forward-sum loss of them is zero" if summed else ""
    remedy = f"{fits} fits" if fits else "no smaller one fits either: are the texts those of the clips?"
    level: Level = "bad" if forward and short >= NEARLY_ALL * len(train) else "watch"
    yield CorpusNote(level, "settings", f"{what}: {' and '.join(filter(None, (without, unsummed)))}; {remedy}")


def _count_short(train: Sequence[tuple[int, int]], r: int) -> int:
    """Utterances with fewer decoder steps than symbols."""
    return sum(math.ceil(frames / r) < symbols for frames, symbols in train)


def _about_budget(settings: Settings, train_size: int) -> Iterator[CorpusNote]:
    hparams, batch = settings.hparams, settings.hparams.batch_size
    iterations = settings.budget.iterations(batch, max(1, train_size // batch))
    if iterations is None:
        return  # how many a wall time holds, only the training knows
    spent = f"the budget, {hparams.budget}, holds {iterations:,} iterations"
    validations = math.ceil(iterations / hparams.validation_freq)
    unused = [
        f"{r} from {begins:,} on"
        for begins, r in reduction_stages(hparams.reduction_factor, hparams.reduction_schedule)
        if begins >= iterations * batch
    ]
    late = [
        f"{name} {getattr(settings.health, name):,}"
        for name in HEALTH_DEADLINES
        if getattr(settings.health, name) >= iterations * batch and settings.health.enabled
    ]
    guide = hparams.guide_anneal
    problems = {
        f"hparams.warmup_iterations = {hparams.warmup_iterations}: the learning rate reaches "
        f"{min(1, iterations / max(1, hparams.warmup_iterations)):.0%} of its peak, late or never; "
        f"{max(1, iterations // 10)} suits": hparams.warmup_iterations > LONGEST_WARMUP * iterations,
        f"hparams.validation_freq = {hparams.validation_freq}: {validations} validation(s), too few to see a course; "
        f"{max(1, iterations // 10)} gives 10": validations < FEWEST_VALIDATIONS,
        f"hparams.reduction_schedule: {', '.join(unused)} is never reached": bool(unused),
        f"hparams.guide_anneal = {guide}: with {validations} validation(s) the guide is never annealed": (
            hparams.use_guided_attn and guide >= validations > 0 and guide > 0
        ),
        f"hparams.schedule = plateau: with {validations} validation(s) the learning rate never falls": (
            hparams.schedule == "plateau" and validations < PLATEAU_VALIDATIONS
        ),
        f"hparams.accumulation = {hparams.accumulation}: a batch of {batch} has no more than {batch} parts": (
            hparams.accumulation > batch
        ),
        f"health rules that come too late to stop anything: health.{', health.'.join(late)} utterances": bool(late),
    }
    for problem, holds in problems.items():
        if holds:
            yield CorpusNote("watch", "settings", f"{problem} ({spent}, {iterations * batch:,} utterances)")

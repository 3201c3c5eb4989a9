"""Health: judges a training while it runs, and says what was seen and what usually helps."""

from dataclasses import dataclass, replace

from smart_tuner.errors import TrialStopped
from smart_tuner.health import symptoms
from smart_tuner.health.history import History
from smart_tuner.health.symptoms import Level, Rule, Symptom
from smart_tuner.limits import Health
from smart_tuner.progress import Progress
from smart_tuner.settings import Hparams

RULES: dict[str, tuple[Rule, ...]] = {
    "training": (symptoms.exploding_gradients, symptoms.loss_jump),
    "validation": (
        symptoms.attention_formed,
        symptoms.attention_stuck,
        symptoms.attention_off_diagonal,
        symptoms.attention_collapsed,
        symptoms.sick_gate,
        symptoms.attention_late,
        symptoms.guide_not_falling,
        symptoms.validation_rising,
        symptoms.validation_flat,
        symptoms.duration_growing,
    ),
}
"""By kind of Progress, in the order in which they are asked: the more telling first."""

REMEDIES = {
    "exploding_gradients": "A lower learning rate or a smaller hparams.grad_clip_thresh is the usual remedy.",
    "loss_jump": "Going on from the best checkpoint with a lower learning rate is the usual remedy.",
    "validation_rising": "More dropout, more weight decay or a shorter budget is the usual remedy.",
    "validation_flat": "A schedule that lowers the learning rate, or a shorter budget, is the usual remedy.",
    "attention_formed": "",
    "attention_late": "Guided attention, hparams.reduction_factor 2 or 3 and a larger batch are the usual remedies.",
    "attention_stuck": "It hardly ever unlearns that: a new start with a lower learning rate is the usual remedy.",
    "attention_off_diagonal": "Texts that do not belong to their recordings look like this: compare some.",
    "attention_collapsed": "Going on from the best checkpoint with a lower learning rate is the usual remedy.",
    "guide_not_falling": "Another learning rate and a larger hparams.guide_weight are the usual remedies.",
    "gate_never": "A larger hparams.gate_positive_weight (10, then 20) is the usual remedy.",
    "gate_always": "A smaller hparams.gate_positive_weight is the usual remedy.",
    "gate_flat": "A larger hparams.gate_weight is the usual remedy.",
    "duration_growing": "Look at other programs, heat and the disk: it is the machine, not the training.",
}
"""Every rule's name, and what helps."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What a rule says about the training."""

    level: Level
    rule: str
    sentence: str
    """For a person: what was seen, over which window, against which threshold, and the usual remedy."""
    step: int
    utterances: int
    observed: dict[str, float]
    """The values that decided, by metric."""
    limits: dict[str, float]
    """What they were compared with, by metric: the lines in a plot."""
    threshold: str
    window: str

    @property
    def series(self) -> tuple[str, ...]:
        """The metrics that decided."""
        return tuple(self.observed)

    def verdict(self) -> TrialStopped:
        """The exception that ends the trial."""
        return TrialStopped(
            self.sentence,
            rule=self.rule,
            step=self.step,
            utterances=self.utterances,
            observed=self.observed,
            threshold=self.threshold,
            window=self.window,
            series=self.series,
        )


def finding(symptom: Symptom, now: Progress) -> Finding:
    """A symptom as it is told: when it was seen, and what usually helps."""
    opening = "Stopped at" if symptom.level == "stop" else "At"
    remedy = f" {REMEDIES[symptom.rule]}" if symptom.level != "note" else ""
    return Finding(
        level=symptom.level,
        rule=symptom.rule,
        sentence=f"{opening} iteration {now.step}: {symptom.what}.{remedy}",
        step=now.step,
        utterances=now.utterances,
        observed=symptom.observed,
        limits=symptom.limits,
        threshold=symptom.threshold,
        window=symptom.window,
    )


class Watch:
    """Judges one training: `for finding in watch.judge(progress)` is the whole of its use.

    Its state depends on nothing but the Progress values given, so a training that goes on is judged as if it had never
    paused when they are given again.
    """

    def __init__(self, health: Health, hparams: Hparams) -> None:
        self._history, self._frequency = History(health, hparams), hparams.validation_freq
        self._said: set[tuple[str, Level]] = set()

    def judge(self, progress: Progress) -> list[Finding]:
        """What the rules say and have not said before; nothing when health.enabled is false.

        Validations between the regular ones (where trials are compared) are left out: windows count regular ones. What
        would stop a training at the end of its budget is a warning: nothing is left to save.
        """
        between = progress.kind == "validation" and progress.step % self._frequency != 0 and progress.fraction < 1
        if between or not self._history.health.enabled:
            return []
        self._history.add(progress)
        findings = []
        for rule in RULES[progress.kind]:
            symptom = rule(self._history, progress)
            if symptom is not None and symptom.level == "stop" and progress.fraction >= 1:
                symptom = replace(symptom, level="warn")
            if symptom is not None and not {(symptom.rule, symptom.level), (symptom.rule, "stop")} & self._said:
                self._said.add((symptom.rule, symptom.level))
                findings.append(finding(symptom, progress))
        return findings

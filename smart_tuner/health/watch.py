"""Health: judges a training while it runs, and says what was seen and what usually helps."""

from smart_tuner.errors import Level, Verdict
from smart_tuner.health.rule import History
from smart_tuner.health.rules import RULES
from smart_tuner.progress import Progress
from smart_tuner.settings.health import Health
from smart_tuner.settings.hparams import Hparams


class Watch:
    """Judges one training: `for verdict in watch.judge(progress)` is the whole of its use.

    Its state depends on nothing but the Progress values given, so a training that goes on is judged as if it had never
    paused when they are given again.
    """

    def __init__(self, health: Health, hparams: Hparams) -> None:
        self._history, self._frequency = History(health, hparams), hparams.validation_freq
        self._said: set[tuple[str, Level]] = set()

    def judge(self, progress: Progress) -> list[Verdict]:
        """What the rules say and have not said before; nothing when health.enabled is false.

        Validations between the regular ones (where trials are compared) are left out: windows count regular ones.
        """
        between = progress.kind == "validation" and progress.step % self._frequency != 0 and progress.fraction < 1
        if between or not self._history.health.enabled:
            return []
        self._history.add(progress)
        verdicts = []
        for rule in RULES.values():
            verdict = rule.judge(self._history, progress) if rule.asked_at == progress.kind else None
            if verdict is not None and not {(rule.name, verdict.level), (rule.name, "stop")} & self._said:
                self._said.add((rule.name, verdict.level))
                verdicts.append(verdict)
        return verdicts

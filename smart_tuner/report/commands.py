"""What to type next, made from the command line that the study was started with."""

import itertools
import shlex

from smart_tuner.report.evidence import Evidence
from smart_tuner.request import reworded

NOT_TRAINED = ("space", "warm-start", "workers", "per-gpu", "timeout", "preset", "settings", "set", "budget")
"""Options of a search that the command which trains its winner leaves out."""
STORES = ("--storage", "--tracking-uri", "--output")


class Commands:
    """Command lines for one study; each is empty when the study does not know how it was started."""

    def __init__(self, evidence: Evidence) -> None:
        self.evidence = evidence

    def further(self, trials: int) -> str:
        """Continue the study until it holds so many finished trials."""
        return self._reworded(trials=str(trials), study=self.evidence.name)

    def train(self, *, trials: int = 1) -> str:
        """Train what a search found at full length, or a train study's settings with further seeds."""
        if self.evidence.mode != "tune":
            return self.further(trials)
        fresh = {"from-study": self.evidence.name}
        return self._reworded((*NOT_TRAINED, "study"), mode="train", trials=str(trials), **fresh)

    def another(self, study: str, **changed: str) -> str:
        """Begin another study like this one, with other values for some options, such as space="my.yaml"."""
        return self._reworded(study=study, **changed)

    def with_settings(self, study: str, assignments: str) -> str:
        """Begin another study like this one with more settings, as "hparams.grad_clip_thresh=0.25"."""
        begun = self.another(study)
        return f"{begun} --set {assignments}" if begun else ""

    def check(self) -> str:
        """Look at the corpus."""
        without = (*NOT_TRAINED[:5], "study", "trials", "from-study", "checkpoint")
        return self._reworded(without, mode="check")

    def report(self) -> str:
        """Write the report again, from the same stores."""
        return self._of_study("report", STORES)

    def hear(self, text: str) -> str:
        """Let the study's winner say a text."""
        spoken = self._of_study("synth", STORES[:1])
        return f"{spoken} --text {shlex.quote(text)}" if spoken else ""

    def _of_study(self, mode: str, stores: tuple[str, ...]) -> str:
        """Another mode, for this study, with these options as they were given."""
        words = shlex.split(self.evidence.command)
        program = list(itertools.takewhile(lambda word: not word.startswith("--"), words))
        given = dict(itertools.pairwise(words)) | dict(word.split("=", 1) for word in words if "=" in word)
        kept = [text for option in stores if option in given for text in (option, given[option])]
        return shlex.join([*program, "--mode", mode, "--study", self.evidence.name, *kept]) if program else ""

    def _reworded(self, without: tuple[str, ...] = (), /, **changed: str) -> str:
        return reworded(self.evidence.command, without=without, **changed) if self.evidence.command else ""

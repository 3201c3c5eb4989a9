"""Every exception this project raises on purpose.

SmartTunerError
├── UserError                 something to put right before anything runs: one sentence, exit code 2
│   ├── SettingsError         an unknown key, a wrong type, a value out of range
│   ├── CorpusError           a corpus that cannot be read or trained on
│   └── StorageError          a study, a database or a folder that cannot be used as asked
├── Verdict                   a trial ended by judgement: not a breakage
│   ├── TrialStopped          a rule about the training's health, or the study's pruner, says stop
│   └── Interrupted           the user or the clock says stop; the trial can go on later
└── Fault                     a trial ended by a breakage that has a name
    ├── OutOfMemoryError      the device has no memory left for a batch
    ├── LostWorkerError       the process that trained it is gone
    ├── DataError             an utterance's mel cannot be read
    └── Outage                a breakage around the training: once it is mended, the trial goes on from its checkpoint
        ├── CheckpointError   a checkpoint cannot be written or read
        └── TrackingError     the tracking store does not take what it is given
Anything else is a bug and stops the program loudly.
"""

from typing import Any, Literal


class SmartTunerError(Exception):
    """Base of all: its text is a sentence for the user."""

    def __reduce__(self) -> tuple[Any, ...]:
        """Errors travel between processes with all that they know."""
        return _rebuild, (type(self), str(self)), dict(self.__dict__)


def _rebuild(kind: type[SmartTunerError], sentence: str) -> SmartTunerError:
    error = kind.__new__(kind)
    error.args = (sentence,)
    return error


class UserError(SmartTunerError):
    """Bad input."""


class SettingsError(UserError):
    """Bad settings."""


class CorpusError(UserError):
    """Bad corpus."""


class StorageError(UserError):
    """Bad study, database or folder."""


class Verdict(SmartTunerError):
    """A trial stopped by judgement."""


class TrialStopped(Verdict):
    """Stopped by a rule, with what decided it."""

    def __init__(
        self,
        sentence: str,
        *,
        rule: str,
        step: int,
        observed: dict[str, float],
        kind: Literal["health", "pruner"] = "health",
        utterances: int = 0,
        threshold: str = "",
        window: str = "",
        series: tuple[str, ...] = (),
    ) -> None:
        super().__init__(sentence)
        self.rule, self.step, self.observed, self.kind, self.utterances = rule, step, observed, kind, utterances
        self.threshold, self.window, self.series = threshold, window, series


class Interrupted(Verdict):
    """Stopped by the user, or by the clock, after the iteration and its checkpoint."""

    def __init__(self, sentence: str, *, step: int, kind: Literal["user", "budget"] = "user") -> None:
        super().__init__(sentence)
        self.step, self.kind = step, kind


class Fault(SmartTunerError):
    """A breakage that belongs to one trial."""

    retries = 0
    """How often a trial that ended by it is worth another try."""


class OutOfMemoryError(Fault):
    """The device is out of memory."""

    retries = 1


class LostWorkerError(Fault):
    """The process that trained the trial ended without a word: killed, or out of the machine's memory."""

    retries = 1


class DataError(Fault):
    """A file of the corpus's mel cache cannot be read."""


class Outage(Fault):
    """The disk or a store failed, not the training."""


class CheckpointError(Outage):
    """A checkpoint file failed."""


class TrackingError(Outage):
    """The tracking store failed."""

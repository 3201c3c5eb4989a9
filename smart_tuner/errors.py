"""Every exception this project raises on purpose.

SmartTunerError
├── UserError                 something to put right before anything runs: one sentence, exit code 2
│   ├── SettingsError         an unknown key, a wrong type, a value out of range
│   ├── CorpusError           a corpus that cannot be read or trained on
│   └── StorageError          a study, a database or a folder that cannot be used as asked
├── Judgement                 a trial ended by judgement: not a breakage
│   ├── TrialStopped          a rule about the training's health, or the study's pruner, says stop: its Verdict
│   └── Interrupted           the user or the clock says stop; the trial can go on later
└── Fault                     a trial ended by a breakage that has a name
    ├── OutOfMemoryError      the device has no memory left for a batch
    │   └── UtteranceTooLargeError    nor for one utterance of it
    ├── LostWorkerError       the process that trained it is gone
    ├── DataError             an utterance's mel cannot be read
    └── Outage                a breakage around the training: once it is mended, the trial goes on from its checkpoint
        ├── CheckpointError   a checkpoint cannot be written or read
        └── TrackingError     the tracking store does not take what it is given
            └── TrackingRefusal   nor ever will, until somebody puts it right there: exit code 2
Anything else is a bug and stops the program loudly.
"""

from dataclasses import dataclass, field
from typing import Any, Literal

Level = Literal["note", "warn", "stop"]
"""How much a verdict counts: note and warn only say something, stop ends the trial."""


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
    """Something to put right before anything runs: the command line ends with exit code 2."""


class SettingsError(UserError):
    """An unknown key, a wrong type, a value out of its range."""


class CorpusError(UserError):
    """A corpus that cannot be read or trained on."""


class StorageError(UserError):
    """A study, a database or a folder that cannot be used as asked."""


class Judgement(SmartTunerError):
    """A trial stopped by judgement."""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What a health rule, the pruner or the training itself says of a trial, with what decided it."""

    rule: str
    sentence: str
    """For a person: what was seen, over which window, against which threshold, and the usual remedy."""
    step: int
    """Iteration."""
    utterances: int
    level: Level = "stop"
    kind: Literal["health", "pruner"] = "health"
    observed: dict[str, float] = field(default_factory=dict)
    """The values that decided, by metric; of the pruner also what they were compared with, by its name."""
    limits: dict[str, float] = field(default_factory=dict)
    """What a health rule compared them with, by metric: the lines in a plot."""
    threshold: str = ""
    window: str = ""

    @property
    def series(self) -> tuple[str, ...]:
        """The metrics that decided."""
        return tuple(self.observed) if self.kind == "health" else tuple(self.observed)[:1]


class TrialStopped(Judgement):
    """Stopped by a rule."""

    def __init__(self, verdict: Verdict) -> None:
        super().__init__(verdict.sentence)
        self.verdict = verdict


class Interrupted(Judgement):
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


class UtteranceTooLargeError(OutOfMemoryError):
    """The device does not hold a single utterance: a smaller batch does not help."""


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


class TrackingRefusal(TrackingError):
    """The tracking store refuses, and waiting does not help: a deleted experiment, a wrong password."""

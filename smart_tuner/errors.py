"""Every exception this project raises on purpose.

SmartTunerError
├── UserError                 something to put right before anything runs: one sentence, exit code 2
│   ├── SettingsError         an unknown key, a wrong type, a value out of range
│   ├── CorpusError           a corpus that cannot be read or trained on
│   └── StorageError          a study, a database or a folder that cannot be used as asked
├── Verdict                   a trial ended by judgement: not a breakage
│   ├── TrialStopped          the health of the training says stop
│   └── Interrupted           the user says stop; the trial can go on later
└── Fault                     a trial ended by a breakage that has a name
    ├── OutOfMemoryError      the device has no memory left for a batch
    └── Outage                a breakage around the training: once it is mended, the trial goes on from its checkpoint
        ├── CheckpointError   a checkpoint cannot be written or read
        └── TrackingError     the tracking store does not take what it is given
Anything else is a bug and stops the program loudly.
"""


class SmartTunerError(Exception):
    """Base of all: its text is a sentence for the user."""


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
    """Stopped by a rule about the training's health, with what decided it."""

    def __init__(self, sentence: str, *, rule: str, step: int, observed: dict[str, str]) -> None:
        super().__init__(sentence)
        self.rule, self.step, self.observed = rule, step, observed


class Interrupted(Verdict):
    """Stopped by the user, after the iteration and its checkpoint."""

    def __init__(self, sentence: str, *, step: int) -> None:
        super().__init__(sentence)
        self.step = step


class Fault(SmartTunerError):
    """A breakage that belongs to one trial."""


class OutOfMemoryError(Fault):
    """The device is out of memory."""


class Outage(Fault):
    """The disk or a store failed, not the training."""


class CheckpointError(Outage):
    """A checkpoint file failed."""


class TrackingError(Outage):
    """The tracking store failed."""

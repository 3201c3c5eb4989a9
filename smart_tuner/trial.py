"""A trial: what is to be trained, what the training tells as it goes, and what it can be told."""

from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from smart_tuner.errors import TrialStopped, Verdict
from smart_tuner.paths import TrialFolder
from smart_tuner.progress import Entry, Origin, Progress
from smart_tuner.settings.settings import Settings

Answer = TrialStopped | Literal["user", "budget"] | None
"""What a training is told: stop by a rule, stop and go on later (asked by the user, or time is up), or go on."""


@dataclass(frozen=True, kw_only=True)
class Trial:
    """What is to be trained."""

    number: int
    origin: Origin
    settings: Settings
    audited: bool = False
    """A doomed one runs on, to learn whether the stop was right."""
    rungs: tuple[int, ...] = ()
    """Utterances at which it validates, whatever validation_freq says: trials are compared there."""
    start_from: Path | None = None
    """A checkpoint whose weights it starts from."""
    note: str = ""
    """Why it exists, when its origin does not say it all."""


@dataclass(frozen=True, kw_only=True)
class InitialWeights:
    """What every trial of a study starts from: a checkpoint's file with its digest, or nothing."""

    file: Path | None = None
    digest: str = ""

    @classmethod
    def of(cls, file: Path) -> "InitialWeights":
        """Those in a file that is there."""
        return cls(file=file, digest=sha256(file.read_bytes()).hexdigest()[:16])


FROM_SCRATCH = InitialWeights()


# what a training tells, in this order: Opening; Entry, Verdict, Plotted and Spoken as they come; Listed; Ended


@dataclass(frozen=True, kw_only=True)
class Opening:
    """The first event: what the trial's run is described by."""

    params: dict[str, Any]
    tags: dict[str, str]


@dataclass(frozen=True, kw_only=True)
class Exhibit:
    """One validation utterance to look at and listen to: N tokens, F mel frames of M bins, T decoder steps."""

    name: str
    tokens: NDArray[np.int64]
    target_MF: NDArray[np.float32]
    predicted_MF: NDArray[np.float32]
    gate_T: NDArray[np.float32]
    """Stop probability per decoder step."""
    attention_TN: NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Plotted:
    """A validation utterance to plot."""

    step: int
    exhibit: Exhibit


@dataclass(frozen=True, kw_only=True)
class Spoken:
    """A log-mel spectrogram (M, F) to turn into sound."""

    name: str
    mel: NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Listed:
    """What the last validation, or the last free-running evaluation, came to: a row for each utterance."""

    name: str
    rows: list[dict[str, Any]]


@dataclass(frozen=True)
class Ended:
    """The last event of a trial."""

    outcome: Exception | None
    """None: the budget is spent."""
    params: dict[str, Any] = field(default_factory=dict)
    """What only the end of a budget of wall time tells."""
    tags: dict[str, str] = field(default_factory=dict)


Event = Opening | Entry | Verdict | Plotted | Spoken | Listed | Ended


class Control(Protocol):
    """How a training hears whether to go on."""

    def ask(self, progress: Progress) -> Answer:
        """What to do after a Progress; after a validation, waits until somebody has answered."""
        ...


Train = Callable[[Trial, str, TrialFolder, Control], Generator[Event, None, None]]
"""Trains a trial on a device (cpu, cuda:0), in its folder. Raises a Judgement or Fault if it does not end by itself."""

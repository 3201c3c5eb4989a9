"""Trials in this process, one at a time: for debugging, and where there is nothing to share."""

from collections.abc import Generator

from smart_tuner.errors import SmartTunerError
from smart_tuner.execution.slots import Slot
from smart_tuner.paths import StudyFolder
from smart_tuner.progress import Progress
from smart_tuner.trial import Answer, Ended, Event, Train, Trial


class InThisProcess:
    """The Executor of --workers 0. What it trains with is handed in: training/run.py's train_trial."""

    slots = 1

    def __init__(self, train: Train, slot: Slot, folder: StudyFolder) -> None:
        self.train, self.slot, self.folder = train, slot, folder
        self._number = -1
        self._training: Generator[Event, None, None] | None = None
        self._answer: Answer = None

    def start(self, trial: Trial) -> None:
        """Begin a trial."""
        self.slot.enter()
        self._number, self._answer = trial.number, None
        self._training = self.train(trial, self.slot.device, self.folder.trial(trial.number), self)

    def wait(self, seconds: float) -> tuple[int, Event] | None:
        """Train until the next event."""
        if self._training is None:
            return None
        try:
            event = next(self._training)
        except SmartTunerError as outcome:
            event = Ended(outcome)
        if isinstance(event, Ended):
            self.close()
        return self._number, event

    def answer(self, number: int, answer: Answer) -> None:
        """Keep the answer for when the training asks."""
        self._answer = answer or self._answer

    def ask(self, progress: Progress) -> Answer:
        """The Control of the training."""
        return self._answer

    def close(self) -> None:
        """Leave the training, which writes its checkpoint."""
        if self._training is not None:
            self._training.close()
            self._training = None

"""What a training tells, taken apart; and its weights, bit by bit."""

from torch import Tensor

from smart_tuner.progress import Progress
from smart_tuner.training.trainer import Trainer


def of_kind(kind: str, progress: list[Progress]) -> list[Progress]:
    return [one for one in progress if one.kind == kind]


def series(name: str, progress: list[Progress]) -> list[float]:
    return [one.metrics[name] for one in progress if name in one.metrics]


def train_until(trainer: Trainer, iteration: int, kind: str = "training") -> list[Progress]:
    """Progress up to and with an iteration, or its validation; of what follows nothing is made."""
    seen = []
    for progress in trainer.steps():
        seen.append(progress)
        if (progress.kind, progress.step) == (kind, iteration):
            break
    return seen


def bits(tensor: Tensor) -> list[int]:
    return list(tensor.detach().numpy().tobytes())


def weights(trainer: Trainer) -> dict[str, list[int]]:
    return {name: bits(parameter) for name, parameter in trainer.model.named_parameters()}

"""Batches of utterances of similar length, in an order that depends on the seed and the epoch alone.

Needs numpy and torch only: the training loop runs where no audio library is installed.
"""

import signal
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from smart_tuner.errors import DataError
from smart_tuner.sealed import DamagedError
from smart_tuner.speech.mel_file import read_mel

STRESS_MARK = "+"
"""Stands before a stressed vowel in Russian letters."""
WINDOW = 20
"""Batches whose utterances are sorted by length together: larger pads less, smaller mixes more."""


@dataclass(frozen=True, kw_only=True)
class Example:
    """An utterance as the model reads it."""

    name: str
    tokens: NDArray[np.int64]
    frames: int
    mel: Path
    """File of the log-mel spectrogram (M, F)."""


@dataclass(frozen=True, kw_only=True)
class TrainingData:
    """All that a training reads."""

    train: Sequence[Example]
    validation: Sequence[Example]
    symbols: tuple[str, ...]
    """The symbol table, in embedding order."""
    mean_mel: NDArray[np.float32]
    """Mean log-mel frame (M,) of the training utterances."""
    front_end: Mapping[str, str] = field(default_factory=dict)
    """How texts become symbols, as a checkpoint keeps it."""
    corpus_digest: str = ""


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Utterances padded with zeros to the longest."""

    tokens_BN: Tensor
    tokens_B: Tensor
    mels_BMF: Tensor
    frames_B: Tensor

    def to(self, device: torch.device) -> "Batch":
        """The batch on a device."""
        return Batch(**{name: tensor.to(device, non_blocking=True) for name, tensor in vars(self).items()})

    def pin_memory(self) -> "Batch":
        """Page-locked, so that the copy to the GPU need not be waited for (DataLoader calls this)."""
        return Batch(**{name: tensor.pin_memory() for name, tensor in vars(self).items()})

    def parts(self, count: int) -> "list[Batch]":
        """The batch in so many parts as equal as can be, at most one for each utterance, each as long as its longest.

        A single part is the batch itself.
        """
        if count == 1:
            return [self]
        columns = [tensor.tensor_split(min(count, len(self))) for tensor in vars(self).values()]
        rows = zip(*columns, strict=True)
        return [Batch(**dict(zip(vars(self), part, strict=True)))._trimmed() for part in rows]

    def _trimmed(self) -> "Batch":
        tokens, frames = int(self.tokens_B.max()), int(self.frames_B.max())
        return replace(self, tokens_BN=self.tokens_BN[:, :tokens], mels_BMF=self.mels_BMF[:, :, :frames])

    def __len__(self) -> int:
        return len(self.tokens_B)


@dataclass(frozen=True, kw_only=True)
class StressMasking:
    """Takes the stress mark from some words, others each epoch, so that a voice reads words without a mark too.

    Which words depends on seed, epoch and utterance alone, not on the order or the process that loads it.
    """

    rate: float
    """Share of the words that lose their mark."""
    stress_row: int
    """Row of the stress mark in the symbol table."""
    space_row: int
    """Row of the space, which parts words."""
    seed: int
    epoch: int

    @classmethod
    def of(cls, symbols: Sequence[str], rate: float, seed: int, epoch: int) -> "StressMasking | None":
        """For a symbol table; None when nothing is to be masked or the table has no stress mark."""
        if rate == 0 or STRESS_MARK not in symbols:
            return None
        rows = {"stress_row": symbols.index(STRESS_MARK), "space_row": symbols.index(" ")}
        return cls(rate=rate, **rows, seed=seed, epoch=epoch)

    def masked(self, tokens: NDArray[np.int64], name: str) -> NDArray[np.int64]:
        """Symbol ids (N,) of the utterance of that name without the marks of the words chosen in this epoch."""
        random = np.random.default_rng([self.seed, self.epoch, zlib.crc32(name.encode())])
        word = np.cumsum(tokens == self.space_row)
        bare = random.random(word[-1] + 1) < self.rate
        kept: NDArray[np.int64] = tokens[~(bare[word] & (tokens == self.stress_row))]
        return kept


def load_mel(example: Example) -> NDArray[np.float32]:
    """The log-mel spectrogram (M, F) of an utterance. Raises DataError."""
    try:
        return read_mel(example.mel)
    except (OSError, DamagedError) as problem:
        why = problem.strerror if isinstance(problem, OSError) else problem
        raise DataError(
            f"The mel of {example.name}, {example.mel}, cannot be read ({why}); the next start makes it again."
        ) from problem


Item = tuple[NDArray[np.int64], NDArray[np.float32]]
"""Symbol ids (N,) and log-mel (M, F)."""


class _Examples(Dataset[Item | DataError]):
    def __init__(self, examples: Sequence[Example], masking: StressMasking | None) -> None:
        self.examples, self.masking = examples, masking

    def __getitem__(self, index: int) -> Item | DataError:
        example = self.examples[index]
        tokens = self.masking.masked(example.tokens, example.name) if self.masking else example.tokens
        try:
            return tokens, load_mel(example)
        except DataError as problem:  # handed over: raised in a worker process it would come with that one's traceback
            return problem


def _collate_or_hand_over(items: Sequence[Item | DataError]) -> Batch | DataError:
    return next((item for item in items if isinstance(item, DataError)), None) or collate(cast("list[Item]", items))


def collate(items: Sequence[Item]) -> Batch:
    """A batch from (symbol ids (N,), log-mel (M, F)) pairs."""
    tokens_B = [len(tokens) for tokens, _ in items]
    frames_B = [mel.shape[1] for _, mel in items]
    tokens_BN = torch.zeros(len(items), max(tokens_B), dtype=torch.long)
    mels_BMF = torch.zeros(len(items), items[0][1].shape[0], max(frames_B))
    for index, (tokens, mel) in enumerate(items):
        tokens_BN[index, : len(tokens)] = torch.from_numpy(tokens)
        mels_BMF[index, :, : mel.shape[1]] = torch.from_numpy(mel)
    return Batch(
        tokens_BN=tokens_BN, tokens_B=torch.tensor(tokens_B), mels_BMF=mels_BMF, frames_B=torch.tensor(frames_B)
    )


def plan_epoch(frames: Sequence[int], batch_size: int, seed: int, epoch: int) -> list[list[int]]:
    """Indices of each batch of an epoch. Batches are full: the few utterances left over sit out, others each epoch."""
    random = np.random.default_rng([seed, epoch])
    order = random.permutation(len(frames))
    lengths = np.asarray(frames)
    order = order[: len(order) // batch_size * batch_size]
    windows = [order[start : start + WINDOW * batch_size] for start in range(0, len(order), WINDOW * batch_size)]
    ordered = np.concatenate([window[np.argsort(lengths[window], kind="stable")] for window in windows])
    batches = ordered.reshape(-1, batch_size)
    shuffled: list[list[int]] = random.permutation(batches).tolist()
    return shuffled


def fill_ratio(frames: Sequence[int], batches: list[list[int]]) -> float:
    """Real frames over all frames, padding included."""
    lengths = np.asarray(frames)
    padded = sum(int(lengths[batch].max()) * len(batch) for batch in batches)
    return float(sum(int(lengths[batch].sum()) for batch in batches) / padded)


def load_batches(
    examples: Sequence[Example],
    batches: list[list[int]],
    device: torch.device,
    masking: StressMasking | None = None,
    workers: int | None = None,
) -> Iterator[Batch]:
    """Batches on the device, read ahead by worker processes: two when the device is a GPU. Raises DataError."""
    gpu = device.type == "cuda"
    loader = DataLoader(
        _Examples(examples, masking),
        batch_sampler=batches,
        collate_fn=_collate_or_hand_over,
        num_workers=(2 if gpu else 0) if workers is None else workers,
        pin_memory=gpu,
        worker_init_fn=_leave_signals_to_parent,
        generator=torch.Generator(),  # or the loader would draw from the generator that dropout uses
    )
    for batch in loader:
        if isinstance(batch, DataError):
            raise batch
        yield batch.to(device)


def _leave_signals_to_parent(_: int) -> None:
    """A worker process inherits the parent's handlers; it shall neither answer Ctrl-C nor refuse to be ended."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def validation_batches(examples: Sequence[Example], size: int = 16) -> list[list[int]]:
    """Indices of the validation's batches: by length, whatever the training's batch size, so that trials compare."""
    order = sorted(range(len(examples)), key=lambda index: (examples[index].frames, examples[index].name))
    return [order[start : start + size] for start in range(0, len(order), size)]

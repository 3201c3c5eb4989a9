"""A network of a few units in every layer, and a padded batch for it, in float64."""

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import MISSING, fields
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from model.prediction import Prediction
from model.sizes import Sizes
from model.tacotron2 import Tacotron2

DROPOUTS = [field.name for field in fields(Sizes) if field.name.endswith("dropout")]
PREDICTED = [field.name for field in fields(Prediction) if field.default is MISSING]
KINDS = ["location", "dynamic", "forward"]
N_SYMBOLS, MELS = 11, 6


class Batch(NamedTuple):
    """What the teacher-forced pass takes."""

    tokens_BN: Tensor
    tokens_B: Tensor
    mels_BMF: Tensor
    frames_B: Tensor


def small_sizes(r: int = 1, **changes: Any) -> Sizes:
    """No two widths are alike; dropouts not named are off."""
    sizes = {
        "n_symbols": N_SYMBOLS,
        "n_mel_channels": MELS,
        "reduction_factor": r,
        "symbols_embedding_dim": 8,
        "prenet_dim": 7,
        "attention_rnn_dim": 9,
        "decoder_rnn_dim": 10,
        "attention_dim": 5,
        "attention_location_n_filters": 3,
        "attention_location_kernel_size": 5,
        "postnet_embedding_dim": 12,
    }
    return Sizes(**{**sizes, **dict.fromkeys(DROPOUTS, 0.0), **changes})


def small_model(r: int = 1, **changes: Any) -> Tacotron2:
    torch.manual_seed(0)
    model = Tacotron2(small_sizes(r, **changes)).double()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d):  # statistics as after some training
            module.running_mean.normal_(0.0, 0.3)
            module.running_var.uniform_(0.5, 2.0)
    return model


def make_batch() -> Batch:
    """Three utterances of different lengths; no frame length is a multiple of 2 or 3."""
    generator = torch.Generator().manual_seed(1)
    tokens_B, frames_B = torch.tensor([4, 3, 5]), torch.tensor([11, 7, 13])
    tokens = torch.randint(1, N_SYMBOLS, (3, 5), generator=generator) * (torch.arange(5) < tokens_B[:, None])
    mels = torch.randn(3, MELS, 13, generator=generator, dtype=torch.float64)
    return Batch(tokens, tokens_B, mels * (torch.arange(13) < frames_B[:, None])[:, None], frames_B)


def changed(model: Tacotron2, batch: Batch) -> list[str]:
    """Which outputs differ between two passes over the same batch."""
    torch.manual_seed(0)
    first, second = model(*batch), model(*batch)
    return [name for name in PREDICTED if not torch.equal(getattr(first, name), getattr(second, name))]


def distance(value: Tensor, expected: Tensor) -> float:
    """Relative; the floor is for biases before batch normalisation, whose gradient in training is 0, rounding aside."""
    return ((value - expected).norm() / expected.norm().clamp_min(1e-5)).item()


@contextmanager
def live_tensors() -> Iterator[Callable[[], int]]:
    """Counts the tensors made within that are still there; what was there before is not looked through again."""
    gc.freeze()
    try:
        yield lambda: sum(issubclass(type(thing), Tensor) for thing in gc.get_objects())
    finally:
        gc.unfreeze()

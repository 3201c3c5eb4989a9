"""A model held still: what every evaluation runs in."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import torch
from torch import nn

SEED = 20170701
"""Seed of the prenet's dropout in validation: the same in every trial, so that trials compare."""


@contextmanager
def frozen(model: nn.Module, device: torch.device) -> Iterator[None]:
    """Eval mode with a fixed seed; the model's mode and the random state are as before afterwards."""
    was_training = model.training
    gpu = device.type == "cuda"
    exact = torch.backends.cudnn.flags(enabled=True, allow_tf32=False) if gpu else nullcontext()
    with torch.random.fork_rng(devices=[device] if gpu else []), exact:
        torch.manual_seed(SEED)
        model.eval()
        try:
            yield
        finally:
            model.train(was_training)

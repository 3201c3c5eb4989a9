"""A model held still: what every evaluation runs in."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import torch
from torch import nn

SEED = 20170701
"""Seed of the prenet's dropout in validation: the same in every trial, so that trials compare."""


@contextmanager
def frozen(model: nn.Module, device: torch.device) -> Iterator[None]:
    """Eval mode with a fixed seed and exact products; mode, random state and products are as before afterwards."""
    was_training = model.training
    gpu = device.type == "cuda"
    with torch.random.fork_rng(devices=[device] if gpu else []), exact_products() if gpu else nullcontext():
        torch.manual_seed(SEED)
        model.eval()
        try:
            yield
        finally:
            model.train(was_training)


@contextmanager
def exact_products() -> Iterator[None]:
    """No TF32 on a GPU, whatever the training takes."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            yield
    finally:
        torch.set_float32_matmul_precision(before)

"""Dropout and zoneout as masks that are drawn before they are used. On a CPU torch's own draws cost six times as much.

A loop over steps takes the masks of all its steps, so that its backward pass knows them and a graph may replay it.
"""

import torch
from torch import Tensor

LEVELS = 2**16
"""A chance on a CPU is a multiple of 1 / LEVELS: four draws come from one random number of 64 bits."""


def drawn(shape: tuple[int, ...], chance: float, like: Tensor) -> Tensor:
    """Ones with this chance and zeros otherwise, of the shape given, in the type and on the device of `like`."""
    mask = like.new_empty(shape)
    if like.device.type != "cpu":
        return mask.bernoulli_(chance)
    levels = round(chance * LEVELS)
    if levels == 0:
        return mask.zero_()
    bits = torch.empty(-(-mask.numel() // 4), dtype=torch.int64).random_(-(2**63), None)
    sixteen = bits.view(torch.int16)[: mask.numel()].view(shape)
    # so many of the whole numbers from -LEVELS / 2 on
    return torch.le(sixteen, levels - LEVELS // 2 - 1, out=mask)


def kept(shape: tuple[int, ...], rate: float, like: Tensor) -> Tensor:
    """A dropout mask: 0 at this rate and 1 / (1 - rate) elsewhere, so that the mean stays what it was."""
    return drawn(shape, 1 - rate, like).div_(1 - rate) if rate < 1 else like.new_zeros(shape)


def dropout(values: Tensor, rate: float, training: bool) -> Tensor:
    """Dropout (Srivastava et al., 2014). A rate of 0 draws nothing."""
    return values * kept(tuple(values.shape), rate, values) if training and rate else values


def held(shape: tuple[int, ...], rate: float, like: Tensor, training: bool) -> Tensor | None:
    """A zoneout mask (Krueger et al., 1606.01305): which share of a state stays as it was; None at a rate of 0.

    Random ones and zeros in training, their mean otherwise.
    """
    if not rate:
        return None
    return drawn(shape, rate, like) if training else like.new_full((1,) * len(shape), rate).expand(shape)

"""Masks and averages over utterances of different lengths: padding never counts."""

import torch
from torch import Tensor


def length_mask(lengths_B: Tensor, longest: int) -> Tensor:
    """True at real positions: (B, longest) from lengths (B,)."""
    return torch.arange(longest, device=lengths_B.device) < lengths_B[:, None]


def decoder_steps(frames_B: Tensor, reduction_factor: int) -> Tensor:
    """Decoder steps that cover the given numbers of mel frames: ceil(frames / r)."""
    return (frames_B + reduction_factor - 1) // reduction_factor


def utterance_mean(values_BT: Tensor, mask_BT: Tensor) -> Tensor:
    """Mean over each utterance's real positions: (B,). What stands in the padding has no influence, NaN included."""
    return values_BT.masked_fill(~mask_BT, 0.0).sum(1) / mask_BT.sum(1)

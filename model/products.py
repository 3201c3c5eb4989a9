"""Matrix products: oneDNN's for large single-precision ones on a CPU, torch's own everywhere else.

torch multiplies single-precision matrices on a CPU by MKL, which packs a weight anew at each call and uses half of
what some processors can do; its oneDNN is built in, and reached by the operators that torch's own compiler uses.

M rows, K inputs, N outputs.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

LARGE = 2**19
"""Multiplications from which on oneDNN is the faster one, its start-up counted."""
ONEDNN = torch.backends.mkldnn.is_available() and all(
    hasattr(torch.ops.mkldnn, name) for name in ("_linear_pointwise", "_reorder_linear_weight")
)
"""Whether this build of torch has oneDNN and its operators."""


def by_onednn(inputs: Tensor, outputs: int) -> bool:
    """Whether oneDNN multiplies these inputs (..., K) by a weight with so many rows."""
    fits = ONEDNN and inputs.device.type == "cpu" and inputs.dtype is torch.float32
    return fits and inputs.numel() * outputs >= LARGE


def product(inputs_MK: Tensor, weight_NK: Tensor) -> Tensor:
    """The product `inputs @ weight.T` (M, N), outside of autograd."""
    return _multiply(inputs_MK, weight_NK) if by_onednn(inputs_MK, len(weight_NK)) else inputs_MK @ weight_NK.t()


def _multiply(inputs: Tensor, weight_NK: Tensor, bias_N: Tensor | None = None) -> Tensor:
    outputs: Tensor = torch.ops.mkldnn._linear_pointwise(_dense(inputs), _dense(weight_NK), bias_N, "none", [], None)
    return outputs


def _dense(matrix: Tensor) -> Tensor:
    """The matrix without gaps between its rows or columns: oneDNN takes 2,000 times as long for one that has them."""
    return matrix if matrix.is_contiguous() or matrix.mT.is_contiguous() else matrix.contiguous()


class RepeatedProduct:
    """`inputs @ weight.T` for many small batches of inputs, outside of autograd: the weight is packed once."""

    def __init__(self, weight_NK: Tensor, rows: int) -> None:
        self.weight = weight_NK
        self.packed: Tensor | None = None
        if by_onednn(weight_NK, rows):
            self.packed = torch.ops.mkldnn._reorder_linear_weight(weight_NK.contiguous(), rows)

    def __call__(self, inputs_MK: Tensor) -> Tensor:
        """(M, K) to (M, N)."""
        if self.packed is None:
            return inputs_MK @ self.weight.t()
        outputs: Tensor = torch.ops.mkldnn._linear_pointwise(inputs_MK, self.packed, None, "none", [], None)
        return outputs

    def plus(self, base_MN: Tensor, inputs_MK: Tensor) -> Tensor:
        """The same, and a base (M, N) added."""
        if self.packed is None:
            return torch.addmm(base_MN, inputs_MK, self.weight.t())
        outputs: Tensor = torch.ops.mkldnn._linear_pointwise.binary(inputs_MK, base_MN, self.packed, None, "add")
        return outputs


def linear(inputs: Tensor, weight_NK: Tensor, bias_N: Tensor | None = None) -> Tensor:
    """What torch's own linear layer computes: (..., K) to (..., N), with gradients."""
    if not by_onednn(inputs, len(weight_NK)) or torch.is_autocast_enabled("cpu"):
        return F.linear(inputs, weight_NK, bias_N)
    outputs: Tensor = _Linear.apply(inputs, weight_NK, bias_N)  # type: ignore[no-untyped-call]
    return outputs


class _Linear(Function):
    @staticmethod
    def forward(ctx: Any, inputs: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(inputs, weight)
        return _multiply(inputs, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        inputs, weight = ctx.saved_tensors
        flat = gradient.flatten(0, -2)
        to_inputs = to_weight = to_bias = None
        if ctx.needs_input_grad[0]:
            to_inputs = product(flat, weight.t()).view(inputs.shape)
        if ctx.needs_input_grad[1]:
            to_weight = product(flat.t(), inputs.flatten(0, -2).t())
        if ctx.needs_input_grad[2]:
            to_bias = flat.sum(0)
        return to_inputs, to_weight, to_bias

"""A linear map used once per time step, whose weight gradient is taken once per pass instead of once per step.

Autograd would add a full-sized weight gradient at every step; for the attention LSTM that is 25 MB read and written a
step, more than the step's own arithmetic. Here each step only keeps its output gradient, and one matrix product at the
end of the backward pass gives the same sum over steps.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function


class _Tape:
    """What the steps' backward passes leave for the weight's. It knows no graph: no cycle keeps a pass alive."""

    def __init__(self) -> None:
        self.inputs: list[Tensor] = []
        self.output_gradients: list[Tensor] = []


class StepwiseLinear:
    """`base + x @ weight.T` for every step of one forward pass. Make a new one for each pass."""

    def __init__(self, weight: Tensor, dtype: torch.dtype) -> None:
        self.tape = _Tape()
        self.weight: Tensor = _WeightGradient.apply(weight.to(dtype), self.tape)  # type: ignore[no-untyped-call]

    def __call__(self, inputs_BI: Tensor, base_BO: Tensor | None = None) -> Tensor:
        """(B, I) to (B, O) in the dtype given at the start; base_BO (B, O) is added when given."""
        inputs_BI = inputs_BI.to(self.weight.dtype)
        base = inputs_BI.new_zeros(()) if base_BO is None else base_BO.to(self.weight.dtype)
        outputs_BO: Tensor = _Step.apply(inputs_BI, base, self.weight, self.tape)  # type: ignore[no-untyped-call]
        return outputs_BO


class _Step(Function):
    @staticmethod
    def forward(ctx: Any, inputs: Tensor, base: Tensor, weight: Tensor, tape: _Tape) -> Tensor:
        ctx.tape = tape
        ctx.save_for_backward(inputs, weight)
        return torch.addmm(base, inputs, weight.t())

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor | None, None, None]:
        inputs, weight = ctx.saved_tensors
        if ctx.needs_input_grad[2]:
            ctx.tape.inputs.append(inputs.detach())
            ctx.tape.output_gradients.append(gradient)
        return gradient @ weight, gradient if ctx.needs_input_grad[1] else None, None, None


class _WeightGradient(Function):
    """Passes the weight on; in the backward pass it runs after every step's node, when the tape is complete."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, tape: _Tape) -> Tensor:
        ctx.tape = tape
        ctx.set_materialize_grads(False)
        return weight.view_as(weight)

    @staticmethod
    def backward(ctx: Any, _: Tensor | None) -> tuple[Tensor, None]:
        tape = ctx.tape
        total = torch.cat(tape.output_gradients).t() @ torch.cat(tape.inputs)
        tape.inputs.clear()  # a second backward pass through the same graph starts afresh
        tape.output_gradients.clear()
        return total, None

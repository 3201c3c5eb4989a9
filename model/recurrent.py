"""What loops over time steps are made of: LSTM steps, zoneout, and weights whose gradient is taken once per pass.

Autograd would add a full-sized weight gradient at every step; for the attention LSTM that is 25 MB read and written a
step, more than the step's own arithmetic. Here each step only keeps its output gradient, and one matrix product at the
end of the backward pass gives the same sum over steps.

B utterances, T steps, I inputs, O outputs, H LSTM width.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.nn import functional as F


def lstm_step(gates_B4H: Tensor, cell_BH: Tensor) -> tuple[Tensor, Tensor]:
    """Hidden and cell (B, H) of an LSTM from its summed gate inputs, in torch's order, and the cell before."""
    enter, forget, candidate, leave = gates_B4H.chunk(4, dim=1)
    cell_BH = forget.sigmoid() * cell_BH + enter.sigmoid() * candidate.tanh()
    return leave.sigmoid() * cell_BH.tanh(), cell_BH


def zoneout(previous: Tensor, fresh: Tensor, rate: float, training: bool) -> Tensor:
    """A state of which a random share stays as it was in training, and the expectation of that otherwise.

    Zoneout (Krueger et al., 1606.01305). A rate of 0 returns the fresh state itself and draws nothing.
    """
    if not rate:
        return fresh
    if training:
        return torch.where(torch.rand_like(fresh) < rate, previous, fresh)
    return fresh.lerp(previous.to(fresh.dtype), rate)


def zoneout_lstm(cell: nn.LSTMCell, inputs_BTI: Tensor, rate: float, training: bool) -> Tensor:
    """An LSTM's hidden states (B, T, H), step by step, with zoneout on hidden and cell; it starts from zeros."""
    gates_BT4H = F.linear(inputs_BTI, cell.weight_ih, cell.bias_ih + cell.bias_hh)
    feedback = StepwiseLinear(cell.weight_hh, gates_BT4H.dtype)
    hidden_BH = cell_BH = gates_BT4H.new_zeros(len(gates_BT4H), cell.hidden_size)
    steps = []
    for gates_B4H in gates_BT4H.unbind(1):
        fresh_BH, fresh_cell_BH = lstm_step(feedback(hidden_BH, gates_B4H), cell_BH)
        hidden_BH = zoneout(hidden_BH, fresh_BH, rate, training)
        cell_BH = zoneout(cell_BH, fresh_cell_BH, rate, training)
        steps.append(hidden_BH)
    return torch.stack(steps, dim=1)


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


class SharedTensors:
    """Tensors of one dtype that every step of one forward pass uses. Make a new one for each pass.

    Each step's backward pass hands their gradients to `sums.add`, in the same order and all of them.
    """

    def __init__(self, *tensors: Tensor) -> None:
        self.sums = GradientSums()
        self.tensors: tuple[Tensor, ...] = _Shared.apply(self.sums, *tensors)  # type: ignore[no-untyped-call]


class GradientSums:
    """Gradients of shared tensors, summed over the steps so far. It knows no graph, as the tape does not."""

    def __init__(self) -> None:
        self.tensors: list[Tensor] | None = None

    def add(self, parts: list[Tensor]) -> None:
        """Add one step's gradients, which may be used up."""
        precise = torch.promote_types(parts[0].dtype, torch.float32)  # hundreds of steps are too many for a half sum
        if self.tensors is None:
            self.tensors = [part.to(precise) for part in parts]
        else:
            for total, part in zip(self.tensors, parts, strict=True):
                total += part


class _Shared(Function):
    """Passes the tensors on; in the backward pass it runs after every step's node, when the sums are complete."""

    @staticmethod
    def forward(ctx: Any, sums: GradientSums, *tensors: Tensor) -> tuple[Tensor, ...]:
        ctx.sums, ctx.dtype = sums, tensors[0].dtype
        ctx.set_materialize_grads(False)
        return tuple(tensor.view_as(tensor) for tensor in tensors)

    @staticmethod
    def backward(ctx: Any, *_: Tensor | None) -> tuple[Tensor | None, ...]:
        totals = [total.to(ctx.dtype) for total in ctx.sums.tensors]
        ctx.sums.tensors = None  # a second backward pass through the same graph starts afresh
        return None, *totals

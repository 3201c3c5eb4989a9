"""LSTMs over time steps: torch's own layer, its single steps, and those steps with a backward pass written by hand.

By hand, for a loop with something between its steps (zoneout here, the attention in model/loop.py): autograd would add
a full-sized gradient to the weight at every step, which for the attention LSTM is 25 MB. All is time-major.

T steps, B utterances, I inputs, H LSTM width.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from model.products import RepeatedProduct, linear, product


def tanh_(values: Tensor) -> Tensor:
    """Make it the tanh, as 2 sigmoid(2 x) - 1: torch's own takes ten times as long on a CPU."""
    return values.mul_(2).sigmoid_().mul_(2).sub_(1)


def lstm_forward(gates_B4H: Tensor, before_BH: Tensor, cell_BH: Tensor) -> Tensor:
    """One step: fills cell_BH, turns the gates' inputs into their values, and returns the hidden state (B, H)."""
    width = before_BH.shape[1]
    candidate = gates_B4H[:, 2 * width : 3 * width]
    candidate.mul_(2)  # its tanh is a sigmoid of twice the input, taken with the others'
    gates_B4H.sigmoid_()
    candidate.mul_(2).sub_(1)
    enter, forget, candidate, leave = gates_B4H.chunk(4, dim=1)
    torch.mul(forget, before_BH, out=cell_BH).addcmul_(enter, candidate)
    return tanh_(cell_BH.clone()).mul_(leave)


def lstm_backward(
    to_hidden_BH: Tensor, to_cell_BH: Tensor, gates_B4H: Tensor, before_BH: Tensor, cell_BH: Tensor, out_B4H: Tensor
) -> None:
    """The gradients of a step's gate inputs (out_B4H), and in to_cell_BH that of the cell before."""
    enter, forget, candidate, leave = gates_B4H.chunk(4, dim=1)
    to_enter, to_forget, to_candidate, to_leave = out_B4H.chunk(4, dim=1)
    squashed = tanh_(cell_BH.clone())
    torch.mul(to_hidden_BH, squashed, out=to_leave)
    to_hidden = to_hidden_BH * leave
    to_cell_BH.add_(to_hidden).addcmul_(to_hidden.mul_(squashed), squashed, value=-1)
    torch.mul(to_cell_BH, candidate, out=to_enter)
    torch.mul(to_cell_BH, before_BH, out=to_forget)
    torch.mul(to_cell_BH, enter, out=to_candidate)
    slope = torch.addcmul(gates_B4H, gates_B4H, gates_B4H, value=-1)  # sigmoid's: s - s^2
    slope[:, 2 * len(enter[0]) : 3 * len(enter[0])].copy_(candidate).square_().neg_().add_(1)
    out_B4H.mul_(slope)
    to_cell_BH.mul_(forget)


def lstm_step(gates_B4H: Tensor, cell_BH: Tensor) -> tuple[Tensor, Tensor]:
    """Hidden and cell (B, H) of an LSTM from its summed gate inputs, in torch's order, and the cell before."""
    enter, forget, candidate, leave = gates_B4H.chunk(4, dim=1)
    cell_BH = forget.sigmoid() * cell_BH + enter.sigmoid() * candidate.tanh()
    return leave.sigmoid() * cell_BH.tanh(), cell_BH


def zoneout(fresh: Tensor, before: Tensor, hold: Tensor | None) -> Tensor:
    """A state of which a share stays as it was before; hold is a mask of that share (model/noise.py)."""
    return fresh if hold is None else fresh.lerp(before, hold)


def lstm(cell: nn.LSTMCell, inputs_TBI: Tensor, training: bool) -> Tensor:
    """An LSTM's hidden states (T, B, H) from zeros, by torch's own layer."""
    weights = [cell.weight_ih, cell.weight_hh, cell.bias_ih, cell.bias_hh]
    return lstm_layer(weights, inputs_TBI, training)


def lstm_layer(weights: Sequence[Tensor], inputs_TBI: Tensor, training: bool) -> Tensor:
    """The same of bare weights: of the inputs, of the state, and both biases."""
    start = inputs_TBI.new_zeros(1, inputs_TBI.shape[1], weights[1].shape[1])
    return torch.lstm(inputs_TBI, (start, start), list(weights), True, 1, 0.0, training, False, False)[0]


def zoneout_lstm(cell: nn.LSTMCell, inputs_TBI: Tensor, hold: tuple[Tensor, Tensor]) -> Tensor:
    """The same with zoneout; hold: the masks (T, B, H) of hidden state and cell."""
    base_TB4H = linear(inputs_TBI, cell.weight_ih, cell.bias_ih + cell.bias_hh)
    hidden: Tensor = _Recurrence.apply(base_TB4H, cell.weight_hh, *hold)  # type: ignore[no-untyped-call]
    return hidden


class _Recurrence(Function):
    @staticmethod
    def forward(ctx: Any, base: Tensor, weight: Tensor, hold_hidden: Tensor, hold_cell: Tensor) -> Tensor:
        steps, batch, width = *base.shape[:2], weight.shape[1]
        hidden, cells = base.new_zeros(2, steps + 1, batch, width)
        gates, fresh = torch.empty_like(base), torch.empty_like(cells[1:])
        times = RepeatedProduct(weight, batch)
        for t in range(steps):
            gates[t] = times.plus(base[t], hidden[t])
            torch.lerp(lstm_forward(gates[t], cells[t], fresh[t]), hidden[t], hold_hidden[t], out=hidden[t + 1])
            torch.lerp(fresh[t], cells[t], hold_cell[t], out=cells[t + 1])
        ctx.save_for_backward(weight, hold_hidden, hold_cell)
        ctx.kept = hidden, cells, gates, fresh
        states: Tensor = hidden[1:].detach()
        return states

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None, None]:
        weight, hold_hidden, hold_cell = ctx.saved_tensors
        hidden, cells, gates, fresh = ctx.kept
        steps, batch, _ = gradient.shape
        to_gates = torch.empty_like(gates)
        to_hidden, to_cell = torch.zeros_like(hidden[0]), torch.zeros_like(cells[0])
        times = RepeatedProduct(weight.t(), batch)
        for t in reversed(range(steps)):
            to_hidden += gradient[t]
            kept_hidden, kept_cell = to_hidden * hold_hidden[t], to_cell * hold_cell[t]
            to_cell -= kept_cell
            lstm_backward(to_hidden - kept_hidden, to_cell, gates[t], cells[t], fresh[t], to_gates[t])
            to_hidden, to_cell = times(to_gates[t]).add_(kept_hidden), to_cell.add_(kept_cell)
        return to_gates, product(to_gates.flatten(0, 1).t(), hidden[:-1].flatten(0, 1).t()), None, None

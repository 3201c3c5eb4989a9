"""The decoder's loop over steps as one function with a backward pass of its own: attention LSTM, attention, context.

Autograd would keep a dozen objects a step and add a full-sized gradient to every weight at each of them. Here a step
writes into buffers that are made beforehand, the backward pass walks through them from the end, and each weight's
gradient is one product over all steps. What scores the tokens is one of the three classes of model/scoring.py.

All is time-major: T steps, B utterances, N tokens, E encoder width, H attention LSTM width, I = H + E.
"""

from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.autograd import Function

from model.lstm import lstm_backward, lstm_forward
from model.products import RepeatedProduct, product


@dataclass(frozen=True)
class Noise:
    """What a pass draws for all its steps: masks (T, B, H); None where there is none."""

    keep_hidden: Tensor | None = None
    """Dropout on the LSTM's output."""
    hold_hidden: Tensor | None = None
    """Zoneout on the hidden state, and with it always on the cell."""
    hold_cell: Tensor | None = None

    def at(self, t: int) -> "Noise":
        """The masks (B, H) of one step."""
        return Noise(
            *(None if mask is None else mask[t] for mask in (self.keep_hidden, self.hold_hidden, self.hold_cell))
        )


class Scoring(Protocol):
    """An attention over one batch, for all its steps. Its tensors with gradients are those that it was made from."""

    weights_TBN: Tensor
    """The attention weights of the steps so far."""

    def ahead(self, t: int, hidden_BH: Tensor) -> Tensor:
        """Weights (B, N) of step t from the attention LSTM's output; the steps before it have been."""

    def begin_back(self) -> None:
        """Before the backward pass's first step, which is the last one."""

    def back(self, t: int, to_weights_BN: Tensor) -> Tensor:
        """The gradient of step t's hidden state (B, H), from that of its weights, which it may use up."""

    def gradients(self, hidden_TBH: Tensor) -> list[Tensor]:
        """The gradients of the tensors it was made from, after the last backward step."""


class Steps:
    """The buffers of T decoder steps of a batch, and the two walks through them."""

    def __init__(self, scoring: Scoring, feedback_4HI: Tensor, memory_BNE: Tensor, steps: int, noise: Noise) -> None:
        self.scoring, self.feedback, self.memory, self.noise = scoring, feedback_4HI, memory_BNE, noise
        gates, inputs = feedback_4HI.shape
        batch, self.width = len(memory_BNE), gates // 4
        state = torch.promote_types(feedback_4HI.dtype, torch.float32)
        self.inputs_TBI = memory_BNE.new_zeros(steps + 1, batch, inputs)  # hidden and context; before the first step: 0
        self.cells_TBH = memory_BNE.new_zeros(steps + 1, batch, self.width, dtype=state)
        held = noise.hold_cell is not None
        self.fresh_TBH = torch.empty_like(self.cells_TBH[1:]) if held else self.cells_TBH[1:]
        self.gates_TB4H = memory_BNE.new_empty(steps, batch, gates, dtype=state)

    def ahead(self, base_TB4H: Tensor) -> None:
        """Fill the buffers, from the prenet's share of the gates."""
        feedback, noise, width = RepeatedProduct(self.feedback, len(self.memory)), self.noise, self.width
        inputs, cells, memory = self.inputs_TBI, self.cells_TBH, self.memory
        for t in range(len(base_TB4H)):
            gates = self.gates_TB4H[t]
            gates.copy_(feedback.plus(base_TB4H[t], inputs[t]))
            hidden = lstm_forward(gates, cells[t], self.fresh_TBH[t])
            if noise.keep_hidden is not None:
                hidden *= noise.keep_hidden[t]
            if noise.hold_hidden is not None and noise.hold_cell is not None:
                hidden = torch.lerp(hidden, inputs[t, :, :width].to(hidden.dtype), noise.hold_hidden[t])
                torch.lerp(self.fresh_TBH[t], cells[t], noise.hold_cell[t], out=cells[t + 1])
            inputs[t + 1, :, :width] = hidden
            weights = self.scoring.ahead(t, inputs[t + 1, :, :width])
            inputs[t + 1, :, width:] = torch.bmm(weights[:, None].to(memory.dtype), memory)[:, 0]

    def back(self, to_outputs_TBI: Tensor, to_weights_TBN: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The gradients of base, feedback and memory; the scoring keeps its own."""
        noise, width, memory, scoring = self.noise, self.width, self.memory, self.scoring
        feedback = RepeatedProduct(self.feedback.t(), len(memory))
        memory_BEN = memory.transpose(1, 2)
        to_gates = torch.empty_like(self.gates_TB4H)
        to_context = torch.empty_like(to_outputs_TBI[:, :, width:])
        to_inputs = torch.zeros_like(to_outputs_TBI[0])
        to_cell = torch.zeros_like(self.cells_TBH[0])
        for t in reversed(range(len(to_gates))):
            to_inputs = to_inputs + to_outputs_TBI[t]
            to_context[t] = to_inputs[:, width:]
            to_weights = torch.bmm(to_context[t][:, None], memory_BEN)[:, 0].to(to_weights_TBN.dtype)
            to_hidden = scoring.back(t, to_weights.add_(to_weights_TBN[t])).to(to_cell.dtype)
            to_hidden += to_inputs[:, :width]
            kept_hidden = kept_cell = None
            if noise.hold_hidden is not None and noise.hold_cell is not None:
                kept_hidden, kept_cell = to_hidden * noise.hold_hidden[t], to_cell * noise.hold_cell[t]
                to_hidden -= kept_hidden
                to_cell -= kept_cell
            if noise.keep_hidden is not None:
                to_hidden *= noise.keep_hidden[t]
            lstm_backward(to_hidden, to_cell, self.gates_TB4H[t], self.cells_TBH[t], self.fresh_TBH[t], to_gates[t])
            to_inputs = feedback(to_gates[t].to(memory.dtype))
            if kept_hidden is not None and kept_cell is not None:
                to_inputs[:, :width] += kept_hidden
                to_cell += kept_cell
        flat = to_gates.to(memory.dtype).flatten(0, 1)
        to_feedback = product(flat.t(), self.inputs_TBI[:-1].flatten(0, 1).t())
        weights_BNT = scoring.weights_TBN.permute(1, 2, 0).to(memory.dtype)
        return to_gates, to_feedback, torch.bmm(weights_BNT, to_context.transpose(0, 1))


def run_loop(
    scoring: type[Scoring],
    base_TB4H: Tensor,
    feedback_4HI: Tensor,
    memory_BNE: Tensor,
    padding_BN: Tensor,
    noise: Noise,
    tensors: list[Tensor],
) -> tuple[Tensor, Tensor]:
    """Hidden states and contexts (T, B, I) and attention weights (T, B, N) of all steps, with gradients.

    tensors: what the scoring is made from, beside the padding and the number of steps.
    """
    outputs: tuple[Tensor, Tensor] = _Loop.apply(  # type: ignore[no-untyped-call]
        scoring, noise, padding_BN, base_TB4H, feedback_4HI, memory_BNE, *tensors
    )
    return outputs


class _Loop(Function):
    @staticmethod
    def forward(
        ctx: Any, kind: Any, noise: Noise, padding: Tensor, base: Tensor, feedback: Tensor, memory: Tensor, *of: Tensor
    ) -> tuple[Tensor, Tensor]:
        keep = any(ctx.needs_input_grad)
        scoring = kind(padding, len(base), keep, *of)
        steps = Steps(scoring, feedback, memory, len(base), noise)
        with torch.autocast(base.device.type, enabled=False):  # every tensor has the type that it is meant to have
            steps.ahead(base)
        ctx.steps, ctx.base_dtype = steps, base.dtype
        return steps.inputs_TBI[1:].detach(), scoring.weights_TBN.detach()

    @staticmethod
    def backward(ctx: Any, to_outputs: Tensor, to_weights: Tensor) -> tuple[Tensor | None, ...]:
        steps = ctx.steps
        steps.scoring.begin_back()
        to_base, to_feedback, to_memory = steps.back(to_outputs, to_weights)
        hidden = steps.inputs_TBI[1:, :, : steps.width]
        return None, None, None, to_base.to(ctx.base_dtype), to_feedback, to_memory, *steps.scoring.gradients(hidden)

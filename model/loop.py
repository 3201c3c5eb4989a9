"""The decoder's loop over steps as one function with a backward pass of its own: attention LSTM, attention, context.

Autograd would keep a dozen objects a step and add a full-sized gradient to every weight at each of them. Here a step
writes into buffers that are made beforehand, the backward pass walks through them from the end, and each weight's
gradient is one product over all steps. What scores the tokens is one of the three classes of model/scoring.py.

A pass goes through its buffers at once, or in chunks of steps that a GPU has captured (model/graphs.py), where a step
may be a few fused kernels (model/fused.py). Neither is used before it has been proven on the machine at hand.

All is time-major: T steps, B utterances, N tokens, E encoder width, H attention LSTM width, I = H + E.
"""

from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from model.graphs import Given, Graphs, Masks, Passed
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

    @property
    def masks(self) -> Masks:
        """All three."""
        return self.keep_hidden, self.hold_hidden, self.hold_cell

    def at(self, t: int) -> "Noise":
        """The masks (B, H) of one step."""
        return Noise(*(None if mask is None else mask[t] for mask in self.masks))


class Scoring(Protocol):
    """An attention over one batch, for some steps in a row. Its tensors with gradients are those it was made from."""

    TOKEN_TENSORS: ClassVar[frozenset[int]]
    """Which of the tensors that it is made from have the tokens for their second dimension, by position."""
    weights_TBN: Tensor
    """The attention weights of the steps so far."""
    states: list[Tensor]
    """Buffers of a row a step after a first one, which is what the steps begin with."""
    records: list[Tensor]
    """Buffers of a row a step beside the weights, which the backward pass reads."""

    def begin(self) -> None:
        """Before a pass's first step: the states' first rows."""

    def ahead(self, t: int, hidden_BH: Tensor) -> Tensor:
        """Weights (B, N) of step t from the attention LSTM's output; the steps before it have been."""

    def make_gradients(self) -> None:
        """The backward pass's buffers."""

    def begin_back(self) -> None:
        """Before the backward pass's first step, which is the last one: every sum is 0."""

    def back(self, t: int, to_weights_BN: Tensor) -> Tensor:
        """The gradient of step t's hidden state (B, H), from that of its weights, which it may use up."""

    def gather(self, hidden_TBH: Tensor) -> None:
        """After the backward steps: add to the sums what is a product over all of them."""

    def gradients(self) -> list[Tensor]:
        """The gradients of the tensors it was made from."""


class Steps:
    """The buffers of T decoder steps of a batch, and the two walks through them.

    They are a whole pass, or a chunk of one: then the first rows of `states` are where it begins, and what the steps of
    a later chunk pass back to those before them stays here from one backward walk to the next.
    """

    def __init__(self, scoring: Scoring, feedback_4HI: Tensor, memory_BNE: Tensor, steps: int, noise: Noise) -> None:
        self.scoring, self.feedback, self.memory, self.noise = scoring, feedback_4HI, memory_BNE, noise
        gates, inputs = feedback_4HI.shape
        batch, self.width = len(memory_BNE), gates // 4
        self.precise = torch.promote_types(feedback_4HI.dtype, torch.float32)
        self.inputs_TBI = memory_BNE.new_zeros(steps + 1, batch, inputs)  # hidden and context; before the first step: 0
        self.cells_TBH = memory_BNE.new_zeros(steps + 1, batch, self.width, dtype=self.precise)
        held = noise.hold_cell is not None
        self.fresh_TBH = torch.empty_like(self.cells_TBH[1:]) if held else self.cells_TBH[1:]
        self.gates_TB4H = memory_BNE.new_empty(steps, batch, gates, dtype=self.precise)
        self.states = [self.inputs_TBI, self.cells_TBH, *scoring.states]
        self.records = [scoring.weights_TBN, self.gates_TB4H, *scoring.records, *([self.fresh_TBH] if held else [])]

    def begin(self) -> None:
        """Before a pass's first step."""
        self.inputs_TBI[0].zero_()
        self.cells_TBH[0].zero_()
        self.scoring.begin()

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

    def make_gradients(self) -> None:
        """The backward pass's buffers."""
        self.to_inputs_BI = torch.empty_like(self.inputs_TBI[0])
        self.to_cell_BH = torch.empty_like(self.cells_TBH[0])
        self.to_feedback = torch.empty_like(self.feedback, dtype=self.precise)
        self.to_memory = torch.empty_like(self.memory, dtype=self.precise)
        self.to_gates_TB4H = torch.empty_like(self.gates_TB4H)
        self.to_context_TBE = torch.empty_like(self.inputs_TBI[1:, :, self.width :])
        self.scoring.make_gradients()

    def begin_back(self) -> None:
        """Before the backward pass's first step, which is the last one."""
        for sum_or_state in (self.to_inputs_BI, self.to_cell_BH, self.to_feedback, self.to_memory):
            sum_or_state.zero_()
        self.scoring.begin_back()

    def back(self, to_outputs_TBI: Tensor, to_weights_TBN: Tensor) -> None:
        """Walk back: fills to_gates_TB4H, which is the gradient of what the gates came from, and adds to the sums."""
        noise, width, memory, scoring, to_cell = self.noise, self.width, self.memory, self.scoring, self.to_cell_BH
        feedback = RepeatedProduct(self.feedback.t(), len(memory))
        memory_BEN = memory.transpose(1, 2)
        to_gates, to_context = self.to_gates_TB4H, self.to_context_TBE
        to_inputs = self.to_inputs_BI
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
        self.to_inputs_BI.copy_(to_inputs)
        self._gather()

    def _gather(self) -> None:
        """Add what is one product over these steps."""
        flat, memory = self.to_gates_TB4H.to(self.memory.dtype).flatten(0, 1), self.memory
        self.to_feedback += product(flat.t(), self.inputs_TBI[:-1].flatten(0, 1).t())
        weights_BNT = self.scoring.weights_TBN.permute(1, 2, 0).to(memory.dtype)
        self.to_memory += torch.bmm(weights_BNT, self.to_context_TBE.transpose(0, 1))
        self.scoring.gather(self.inputs_TBI[1:, :, : self.width])

    def gradients(self) -> list[Tensor]:
        """The gradients of feedback, memory and what the scoring was made from."""
        sums = (self.to_feedback, self.feedback), (self.to_memory, self.memory)
        return [*(total.to(of.dtype) for total, of in sums), *self.scoring.gradients()]


@dataclass
class Ways:
    """How the steps are walked in this process. Other than plainly only once it is proven that this agrees."""

    steps: type[Steps] = Steps
    graphs: Graphs | None = None


ways = Ways()


def forget_graphs() -> None:
    """Give back the memory of captured chunks; those that are still wanted are captured again."""
    if ways.graphs is not None:
        ways.graphs.clear()


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
    keep = torch.is_grad_enabled()  # needs_input_grad knows nothing of no_grad
    outputs: tuple[Tensor, Tensor] = _Loop.apply(  # type: ignore[no-untyped-call]
        (scoring, keep), noise, padding_BN, base_TB4H, feedback_4HI, memory_BNE, *tensors
    )
    return outputs


class _Loop(Function):
    @staticmethod
    def forward(
        ctx: Any, how: Any, noise: Noise, padding: Tensor, base: Tensor, feedback: Tensor, memory: Tensor, *of: Tensor
    ) -> tuple[Tensor, Tensor]:
        (kind, keep), make = how, ways.steps
        keep = keep and any(ctx.needs_input_grad)
        ctx.base_dtype, ctx.chunk = base.dtype, None

        def made(*given: Tensor, steps: int, masks: Masks) -> Steps:
            padding, feedback, memory, *of = given
            return make(kind(padding, steps, False, *of), feedback, memory, steps, Noise(*masks))

        # every tensor has the type that it is meant to have
        with torch.cuda.device_of(base), torch.autocast(base.device.type, enabled=False):
            if keep and ways.graphs is not None:
                tokens = [True, False, True, *(place in kind.TOKEN_TENSORS for place in range(len(of)))]
                given = Given((padding, feedback, memory, *of), tokens)
                ctx.chunk = ways.graphs.chunk((kind, make), made, given, base, noise.masks)
            if ctx.chunk is not None:
                passed: Passed = ctx.chunk.ahead(given, base, noise.masks)
                ctx.passed = passed
                return passed.outputs
            steps = make(kind(padding, len(base), keep, *of), feedback, memory, len(base), noise)
            steps.begin()
            steps.ahead(base)
        ctx.steps = steps
        return steps.inputs_TBI[1:].detach(), steps.scoring.weights_TBN.detach()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, to_outputs: Tensor, to_weights: Tensor) -> tuple[Tensor | None, ...]:
        with torch.cuda.device_of(to_outputs):
            if ctx.chunk is not None:
                to_base, gradients = ctx.chunk.back(ctx.passed, to_outputs, to_weights)
            else:
                ctx.steps.make_gradients()  # new ones: those of an earlier backward pass are somebody's
                ctx.steps.begin_back()
                ctx.steps.back(to_outputs, to_weights)
                to_base, gradients = ctx.steps.to_gates_TB4H, ctx.steps.gradients()
        return None, None, None, to_base.to(ctx.base_dtype), *gradients

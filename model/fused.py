"""Decoder steps of a few fused kernels each (model/kernels.py): what a GPU takes in place of the plain ones.

A step forward is two products and three kernels, a step back two products and four. Dynamic convolution attention has
kernels for its LSTM only.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor
from triton import TritonError, cdiv, next_power_of_2

from model import kernels
from model.loop import Noise, Scoring, Steps
from model.scoring import FLOOR, LocationScoring


@contextmanager
def as_runtime_error() -> Iterator[None]:
    """Triton's errors, of a compiler or of a GPU that a kernel does not fit, as torch would raise its own."""
    try:
        yield
    except TritonError as problem:
        raise RuntimeError(f"{type(problem).__name__}: {problem}") from problem


class FusedSteps(Steps):
    """The buffers of Steps, filled by kernels where they fit: in single precision or below."""

    def __init__(self, scoring: Scoring, feedback_4HI: Tensor, memory_BNE: Tensor, steps: int, noise: Noise) -> None:
        noise = Noise(*(None if mask is None else mask.contiguous() for mask in noise.masks))
        super().__init__(scoring, feedback_4HI.contiguous(), memory_BNE.contiguous(), steps, noise)
        tokens = scoring.weights_TBN.shape[2]
        self.fits = self.precise is torch.float32 and (memory_BNE.is_cuda or kernels.INTERPRETED)
        self.location: LocationScoring | None = None
        if isinstance(scoring, LocationScoring) and tokens <= kernels.MOST_TOKENS:
            self.location = scoring
            scoring.keys_BNA, scoring.location_AW = scoring.keys_BNA.contiguous(), scoring.location_AW.contiguous()
        self.raw_B4H = torch.empty_like(self.gates_TB4H[0], dtype=self.inputs_TBI.dtype)
        self.scores_BN = torch.empty_like(scoring.weights_TBN[0])
        exact = torch.get_float32_matmul_precision() == "highest" and memory_BNE.dtype is torch.float32
        # three TF32 products make a single-precision one; its own instructions would not fit a program's registers
        self.precision = "tf32x3" if exact else "tf32"
        self.noisy = {"DROPS": noise.keep_hidden is not None, "HOLDS": noise.hold_hidden is not None}

    def ahead(self, base_TB4H: Tensor) -> None:
        """Fill the buffers, from the prenet's share of the gates."""
        if not self.fits:
            super().ahead(base_TB4H)
            return
        with as_runtime_error():
            self._ahead(base_TB4H)

    def _ahead(self, base_TB4H: Tensor) -> None:
        width, inputs, memory = self.width, self.inputs_TBI, self.memory
        for t in range(len(base_TB4H)):
            torch.addmm(base_TB4H[t], inputs[t], self.feedback.t(), out=self.raw_B4H)
            self._cell(t)
            if self.location is not None:
                self._attend(self.location, t)
            else:
                weights = self.scoring.ahead(t, inputs[t + 1, :, :width])
                inputs[t + 1, :, width:] = torch.bmm(weights[:, None].to(memory.dtype), memory)[:, 0]

    def _masks(self, t: int) -> list[Tensor]:
        """A step's masks; where there is none something that no kernel reads."""
        return [self.cells_TBH[0] if mask is None else mask[t] for mask in self.noise.masks]

    def _cell(self, t: int) -> None:
        cells, inputs = self.cells_TBH, self.inputs_TBI
        count, block = cells[0].numel(), kernels.ELEMENTS
        kernels.lstm_forward_kernel[(cdiv(count, block),)](
            self.raw_B4H, cells[t], *self._masks(t), inputs[t], self.gates_TB4H[t], self.fresh_TBH[t], cells[t + 1],
            inputs[t + 1], count, self.width, inputs.stride(1), **self.noisy, BLOCK=block,
        )  # fmt: skip

    def _shape(self, scoring: LocationScoring) -> dict[str, int | str]:
        """How a kernel that makes features does it."""
        width, row = scoring.location_AW.shape
        return {
            "BLOCK_N": kernels.ROWS,
            "BLOCK_A": max(16, next_power_of_2(width)),
            "BLOCK_W": max(16, next_power_of_2(row)),
            "PRECISION": self.precision,
            "num_warps": kernels.WARPS,
        }

    def _attend(self, scoring: LocationScoring, t: int) -> None:
        inputs, memory, history = self.inputs_TBI, self.memory, scoring.history_TB2N
        batch, tokens, encoder_width = memory.shape
        width, positions = scoring.keys_BNA.shape[2], history.shape[3]
        query = scoring.query_TBA[t]
        torch.mm(inputs[t + 1, :, : self.width], scoring.query_AH.t(), out=query)
        kernels.location_scores_kernel[(batch, cdiv(tokens, kernels.ROWS))](
            history[t], query, scoring.keys_BNA, scoring.location_AW, scoring.v_A, scoring.barred_BN, self.scores_BN,
            tokens, width, scoring.taps, positions, **self._shape(scoring),
        )  # fmt: skip
        row = max(16, next_power_of_2(tokens))
        block = max(16, min(next_power_of_2(encoder_width), kernels.TILE // row))
        kernels.attend_kernel[(batch, cdiv(encoder_width, block))](
            self.scores_BN, history[t], memory, scoring.weights_TBN[t], history[t + 1], inputs[t + 1, :, self.width :],
            tokens, encoder_width, positions, scoring.edge, inputs.stride(1), FLOOR,
            REACHES=scoring.STARTS_ON_FIRST, BLOCK_N=row, BLOCK_E=block,
        )  # fmt: skip

    def make_gradients(self) -> None:
        """The backward pass's buffers."""
        super().make_gradients()
        if not self.fits:
            return
        self.to_gates_TB4H = torch.empty_like(self.gates_TB4H, dtype=self.inputs_TBI.dtype)
        self.to_attended_BH = torch.empty_like(self.inputs_TBI[0, :, : self.width])
        self.kept_hidden_BH = torch.empty_like(self.cells_TBH[0])
        self.carried = [self.kept_hidden_BH]
        if self.location is not None:
            keys, row = self.location.keys_BNA, 2 * self.location.taps
            batch, tokens, width = keys.shape
            parts = batch, cdiv(tokens, kernels.ROWS)
            self.to_weights_BN, self.to_reach_BN = (torch.empty_like(self.scores_BN) for _ in range(2))
            self.query_parts, self.v_parts = keys.new_empty(2, *parts, width, dtype=torch.float32)
            self.location_parts = keys.new_empty(*parts, row, width, dtype=torch.float32)
            self.to_windows_BNW = keys.new_empty(batch, tokens, row, dtype=torch.float32)
            self.carried += [self.to_reach_BN, self.v_parts, self.location_parts, self.to_windows_BNW]

    def begin_back(self) -> None:
        """Before the backward pass's first step, which is the last one."""
        super().begin_back()
        if self.fits:
            for sum_or_state in self.carried:
                sum_or_state.zero_()

    def back(self, to_outputs_TBI: Tensor, to_weights_TBN: Tensor) -> None:
        """Walk back: fills to_gates_TB4H, which is the gradient of what the gates came from, and adds to the sums."""
        if not self.fits:
            super().back(to_outputs_TBI, to_weights_TBN)
            return
        with as_runtime_error():
            self._back(to_outputs_TBI.contiguous(), to_weights_TBN.contiguous())

    def _back(self, to_outputs_TBI: Tensor, to_weights_TBN: Tensor) -> None:
        width, memory_BEN = self.width, self.memory.transpose(1, 2)
        for t in reversed(range(len(self.to_gates_TB4H))):
            if self.location is not None:
                self._attend_back(self.location, t, to_outputs_TBI[t], to_weights_TBN[t])
            else:
                to_context = self.to_context_TBE[t]
                torch.add(self.to_inputs_BI[:, width:], to_outputs_TBI[t, :, width:], out=to_context)
                to_weights = torch.bmm(to_context[:, None], memory_BEN)[:, 0].to(to_weights_TBN.dtype)
                self.to_attended_BH.copy_(self.scoring.back(t, to_weights.add_(to_weights_TBN[t])))
            self._cell_back(t, to_outputs_TBI[t])
            torch.mm(self.to_gates_TB4H[t], self.feedback, out=self.to_inputs_BI)
        self._gather()

    def _attend_back(self, scoring: LocationScoring, t: int, to_outputs_BI: Tensor, to_weights_BN: Tensor) -> None:
        memory, history, keys = self.memory, scoring.history_TB2N, scoring.keys_BNA
        (batch, tokens, encoder_width), width, taps, edge = memory.shape, keys.shape[2], scoring.taps, scoring.edge
        blocks, reaches = cdiv(tokens, kernels.ROWS), {"REACHES": scoring.STARTS_ON_FIRST}
        to_context, positions = self.to_context_TBE[t], history.shape[3]
        kernels.to_weights_kernel[(batch, blocks)](
            self.to_inputs_BI[:, self.width :], to_outputs_BI[:, self.width :], to_weights_BN, memory,
            self.to_windows_BNW, self.to_reach_BN, scoring.to_total_BN, to_context, self.to_weights_BN,
            tokens, encoder_width, taps, edge, self.to_inputs_BI.stride(0), to_outputs_BI.stride(0),
            to_weights_BN.stride(0), to_context.stride(0), **reaches, BLOCK_N=kernels.ROWS,
            BLOCK_E=min(max(16, next_power_of_2(encoder_width)), kernels.TILE // kernels.ROWS),
            BLOCK_K=max(16, next_power_of_2(taps)), num_warps=kernels.WARPS,
        )  # fmt: skip
        kernels.location_backward_kernel[(batch, blocks)](
            self.to_weights_BN, scoring.weights_TBN[t], history[t], scoring.query_TBA[t], keys, scoring.location_AW,
            scoring.v_A, self.to_reach_BN, scoring.to_keys, self.v_parts, self.query_parts, self.location_parts,
            self.to_windows_BNW, tokens, width, taps, positions, edge, FLOOR, **reaches,
            BLOCK_ROW=max(16, next_power_of_2(tokens)), **self._shape(scoring),
        )  # fmt: skip
        to_query = scoring.to_query_TBA[t]
        kernels.sum_parts_kernel[(batch,)](
            self.query_parts, to_query, width, PARTS=blocks, BLOCK_P=next_power_of_2(blocks),
            BLOCK_A=max(16, next_power_of_2(width)),
        )  # fmt: skip
        torch.mm(to_query, scoring.query_AH, out=self.to_attended_BH)

    def _cell_back(self, t: int, to_outputs_BI: Tensor) -> None:
        cells = self.cells_TBH
        count, block = cells[0].numel(), kernels.ELEMENTS
        kernels.lstm_backward_kernel[(cdiv(count, block),)](
            self.to_attended_BH, self.to_inputs_BI, to_outputs_BI, self.gates_TB4H[t], cells[t], self.fresh_TBH[t],
            *self._masks(t), self.to_cell_BH, self.kept_hidden_BH, self.to_gates_TB4H[t], count, self.width,
            self.to_inputs_BI.stride(0), to_outputs_BI.stride(0), **self.noisy, BLOCK=block,
        )  # fmt: skip

    def gradients(self) -> list[Tensor]:
        """The gradients of feedback, memory and what the scoring was made from."""
        if self.fits and self.location is not None:
            self.location.to_location.copy_(self.location_parts.sum((0, 1)).t())
            self.location.to_v.copy_(self.v_parts.sum((0, 1)))
        return super().gradients()

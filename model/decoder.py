"""The decoder of Tacotron 2: fast under teacher forcing by structure, and the same step when it runs freely.

Under teacher forcing only the attention LSTM and the attention need a loop over steps (model/loop.py). The prenet and
its share of the attention LSTM's input come before it, for all steps at once; the decoder LSTM, the mel projection and
the gate come after it, for all steps at once, because nothing of theirs feeds the attention. Decoder dropout therefore
acts on the decoder LSTM's output, not inside its recurrence. What passes between them is time-major.

B utterances, N tokens, T decoder steps, F mel frames (T * r at most), M mel channels, E encoder width, H attention LSTM
width, D decoder LSTM width, P prenet width.
"""

from dataclasses import dataclass, replace
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from model.attention import Attention, ForwardAttention
from model.dynamic import DynamicAttention
from model.layers import LinearNorm
from model.loop import Noise, Scoring, run_loop
from model.lstm import lstm, lstm_step, zoneout, zoneout_lstm
from model.mmi import AdaptiveFactor
from model.noise import dropout, held, kept
from model.products import linear
from model.scoring import DynamicScoring, ForwardScoring, LocationScoring
from model.sizes import Sizes

ATTENTIONS: dict[str, tuple[type[Attention] | type[DynamicAttention], type[Scoring]]] = {
    "location": (Attention, LocationScoring),
    "dynamic": (DynamicAttention, DynamicScoring),
    "forward": (ForwardAttention, ForwardScoring),
}
"""The attentions by name: the layers, and what scores with them in a teacher-forced pass."""


@dataclass(frozen=True)
class DecoderOutput:
    """What the decoder predicts."""

    mels_BMF: Tensor
    gate_BT: Tensor
    """Stop-gate logits, one per decoder step."""
    attention_BTN: Tensor
    states_BTD: Tensor | None = None
    """The decoder LSTM's output for the text head, in a teacher-forced pass of a network that has one."""


class Prenet(nn.Module):
    """Two bias-free ReLU layers with dropout that never switches off (Shen et al., 1712.05884, section 2.2)."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        widths = [sizes.n_mel_channels, sizes.prenet_dim, sizes.prenet_dim]
        self.layers = nn.ModuleList(LinearNorm(a, b, bias=False) for a, b in pairwise(widths))
        self.dropout = sizes.prenet_dropout

    def forward(self, frames: Tensor) -> Tensor:
        """(..., M) to (..., P)."""
        for layer in self.layers:
            frames = dropout(F.relu(layer(frames)), self.dropout, training=True)
        return frames


class AttentionLoop:
    """The part of the decoder that cannot leave the loop over steps, one step at a time: attention LSTM and attention.

    What free running uses, and what model/loop.py computes for all steps of a teacher-forced pass at once.
    """

    def __init__(self, decoder: "Decoder", memory_BNE: Tensor, padding_BN: Tensor) -> None:
        cell = decoder.attention_rnn
        self.alignment = decoder.attention_layer.start(memory_BNE, padding_BN)
        self.memory, self.feedback = memory_BNE, decoder.feedback_weight()
        self.hidden_BH = cell.weight_hh.new_zeros(len(memory_BNE), cell.hidden_size)  # in the parameters' precision
        self.cell_BH = torch.zeros_like(self.hidden_BH)
        self.context_BE = memory_BNE.new_zeros(len(memory_BNE), memory_BNE.shape[2])

    def step(self, gates_B4H: Tensor, noise: Noise) -> tuple[Tensor, Tensor]:
        """Hidden state and context (B, H + E) and weights (B, N) of a step, from the prenet's share of the gates."""
        before = torch.cat([self.hidden_BH.to(self.context_BE.dtype), self.context_BE], dim=1)
        gates = (gates_B4H + F.linear(before, self.feedback)).to(self.cell_BH.dtype)
        hidden_BH, cell_BH = lstm_step(gates, self.cell_BH)
        if noise.keep_hidden is not None:
            hidden_BH = hidden_BH * noise.keep_hidden
        self.hidden_BH = zoneout(hidden_BH, self.hidden_BH, noise.hold_hidden)
        self.cell_BH = zoneout(cell_BH, self.cell_BH, noise.hold_cell)
        weights_BN = self.alignment.step(self.hidden_BH)
        self.context_BE = torch.bmm(weights_BN[:, None].to(self.memory.dtype), self.memory).squeeze(1)
        return torch.cat([self.hidden_BH.to(self.context_BE.dtype), self.context_BE], dim=1), weights_BN


class Decoder(nn.Module):
    """Predicts r mel frames and one stop logit per step.

    `reduction_factor` is the r in use; it may be set to anything from 1 to the one that the decoder was made for, whose
    first rows of the projection it then uses. `mean_mel_M` is the frame that takes the place of dropped ones.
    """

    mean_mel_M: Tensor

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.sizes = sizes
        self.reduction_factor = sizes.reduction_factor
        width, hidden = sizes.symbols_embedding_dim, sizes.decoder_rnn_dim
        self.prenet = Prenet(sizes)
        self.attention_rnn = nn.LSTMCell(sizes.prenet_dim + width, sizes.attention_rnn_dim)
        self.attention_layer = ATTENTIONS[sizes.attention_kind][0](sizes)
        self.decoder_rnn = nn.LSTMCell(sizes.attention_rnn_dim + width, hidden)
        self.linear_projection = LinearNorm(hidden + width, sizes.n_mel_channels * sizes.reduction_factor)
        self.gate_layer = LinearNorm(hidden + width, 1, gain="sigmoid")
        self.fast = True
        """Whether model/loop.py takes the steps of a teacher-forced pass; otherwise they are taken one by one."""
        self.adaptive = AdaptiveFactor(sizes.max_gaf) if sizes.use_mmi else None
        self.register_buffer("mean_mel_M", torch.zeros(sizes.n_mel_channels), persistent=False)

    def forward(self, memory_BNE: Tensor, padding_BN: Tensor, mels_BMF: Tensor) -> DecoderOutput:
        """Teacher-forced pass: step t sees the last true frame of step t - 1."""
        base_TB4H = self._prenet_gates(self.prenet(self._teacher_frames(mels_BMF)))
        noise = self._noise(len(base_TB4H), len(memory_BNE))
        walk = self.walk if self.fast else self.walk_plainly
        outputs_TBI, weights_TBN = walk(base_TB4H, memory_BNE.to(base_TB4H.dtype), padding_BN, noise)
        decoded = self._decoder_lstm(outputs_TBI)
        decoded = dropout(decoded, self.sizes.decoder_dropout, self.training)
        decoded, states = self.adaptive(decoded) if self.adaptive else (decoded, None)
        context = outputs_TBI[:, :, self.attention_rnn.hidden_size :]
        output = self._output(torch.cat([decoded, context.to(decoded.dtype)], dim=2), weights_TBN, mels_BMF.shape[2])
        return output if states is None else replace(output, states_BTD=states.transpose(0, 1))

    def walk(self, base_TB4H: Tensor, memory_BNE: Tensor, padding_BN: Tensor, noise: Noise) -> tuple[Tensor, Tensor]:
        """Hidden states and contexts (T, B, H + E) and weights (T, B, N) of all steps."""
        scoring = ATTENTIONS[self.sizes.attention_kind][1]
        feedback = self.feedback_weight().to(base_TB4H.dtype)
        tensors = self.attention_layer.tensors(memory_BNE)
        return run_loop(scoring, base_TB4H, feedback, memory_BNE, padding_BN, noise, tensors)

    def walk_plainly(
        self, base_TB4H: Tensor, memory_BNE: Tensor, padding_BN: Tensor, noise: Noise
    ) -> tuple[Tensor, Tensor]:
        """The same as the papers write it, with all that autograd keeps."""
        loop = AttentionLoop(self, memory_BNE, padding_BN)
        steps = [loop.step(gates, noise.at(t)) for t, gates in enumerate(base_TB4H)]
        outputs_TBI, weights_TBN = (torch.stack(parts) for parts in zip(*steps, strict=True))
        return outputs_TBI, weights_TBN

    @torch.no_grad()
    def infer(self, memory_BNE: Tensor, padding_BN: Tensor, max_steps: int, gate_threshold: float) -> DecoderOutput:
        """Free-running pass: each step sees its own last frame. Ends when every gate has opened, or after max_steps."""
        loop = AttentionLoop(self, memory_BNE, padding_BN)
        batch, channels = memory_BNE.shape[0], self.sizes.n_mel_channels
        frame_BM = memory_BNE.new_zeros(batch, channels)
        state_BD = cell_BD = memory_BNE.new_zeros(batch, self.decoder_rnn.hidden_size)
        stopped_B = torch.zeros(batch, dtype=torch.bool, device=memory_BNE.device)
        features: list[Tensor] = []
        weights: list[Tensor] = []
        while len(features) < max_steps and not bool(stopped_B.all()):
            noise, hold = self._noise(1, batch).at(0), self._hold(1, batch)
            outputs, attention = loop.step(self._prenet_gates(self.prenet(frame_BM)), noise)
            fresh_BD, fresh_cell_BD = self.decoder_rnn(outputs, (state_BD, cell_BD))
            state_BD = zoneout(fresh_BD, state_BD, hold and hold[0][0])
            cell_BD = zoneout(fresh_cell_BD, cell_BD, hold and hold[1][0])
            features.append(torch.cat([state_BD, outputs[:, self.attention_rnn.hidden_size :]], dim=1))
            weights.append(attention)
            frame_BM = self._project(features[-1])[:, -channels:]
            stopped_B |= self.gate_layer(features[-1]).squeeze(1).sigmoid() > gate_threshold
        frames = len(features) * self.reduction_factor
        return self._output(torch.stack(features), torch.stack(weights), frames)

    def feedback_weight(self) -> Tensor:
        """What multiplies the last hidden state and context in the attention LSTM, (4H, H + E)."""
        cell = self.attention_rnn
        return torch.cat([cell.weight_hh, cell.weight_ih[:, self.sizes.prenet_dim :]], dim=1)

    def _noise(self, steps: int, batch: int) -> Noise:
        """What the attention LSTM draws for so many steps."""
        weight, rate = self.attention_rnn.weight_hh, self.sizes.attention_dropout
        shape = steps, batch, self.attention_rnn.hidden_size
        keep = kept(shape, rate, weight) if self.training and rate else None
        return Noise(keep, *(held(shape, self.sizes.attention_zoneout, weight, self.training) for _ in range(2)))

    def _hold(self, steps: int, batch: int) -> tuple[Tensor, Tensor] | None:
        """The decoder LSTM's zoneout of hidden state and cell, for so many steps; None without zoneout."""
        weight, rate = self.decoder_rnn.weight_hh, self.sizes.decoder_zoneout
        masks = [held((steps, batch, weight.shape[1]), rate, weight, self.training) for _ in range(2)]
        return None if masks[0] is None or masks[1] is None else (masks[0], masks[1])

    def _teacher_frames(self, mels_BMF: Tensor) -> Tensor:
        """The prenet's input (T, B, M): a zero frame, then every r-th true frame, some of which may be dropped."""
        r, rate = self.reduction_factor, self.sizes.drop_frame_rate
        steps = -(-mels_BMF.shape[2] // r)
        last_of_step = mels_BMF[:, :, r - 1 :: r][:, :, : steps - 1]
        if self.training and rate:
            dropped_B1T = torch.rand_like(last_of_step[:, :1]) < rate
            last_of_step = torch.where(dropped_B1T, self.mean_mel_M[:, None].to(mels_BMF.dtype), last_of_step)
        return F.pad(last_of_step, (1, 0)).permute(2, 0, 1).contiguous()

    def _prenet_gates(self, prenet: Tensor) -> Tensor:
        cell = self.attention_rnn
        return linear(prenet, cell.weight_ih[:, : self.sizes.prenet_dim], cell.bias_ih + cell.bias_hh)

    def _decoder_lstm(self, inputs_TBI: Tensor) -> Tensor:
        cell = self.decoder_rnn
        inputs_TBI = inputs_TBI.to(cell.weight_ih.dtype)
        hold = self._hold(*inputs_TBI.shape[:2])
        with torch.autocast(inputs_TBI.device.type, enabled=False):  # on CUDA it makes any LSTM fp16, bf16 asked or not
            return lstm(cell, inputs_TBI, self.training) if hold is None else zoneout_lstm(cell, inputs_TBI, hold)

    def _project(self, features: Tensor) -> Tensor:
        """Features (..., D + E) to the frames of a step (..., r * M)."""
        layer = self.linear_projection.linear_layer
        rows = self.reduction_factor * self.sizes.n_mel_channels
        return linear(features, layer.weight[:rows], layer.bias[:rows])

    def _output(self, features_TBI: Tensor, attention_TBN: Tensor, frames: int) -> DecoderOutput:
        steps, batch, _ = features_TBI.shape
        mels_TBRM = self._project(features_TBI).view(steps, batch, self.reduction_factor, -1)
        mels_BMF = mels_TBRM.permute(1, 3, 0, 2).flatten(2)[:, :, :frames]
        return DecoderOutput(mels_BMF, self.gate_layer(features_TBI).squeeze(2).t(), attention_TBN.transpose(0, 1))

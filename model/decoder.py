"""The decoder of Tacotron 2: fast under teacher forcing by structure, and the same step when it runs freely.

Under teacher forcing only the attention LSTM and the attention need a loop over steps. The prenet and its share of the
attention LSTM's input come before it, for all steps at once; the decoder LSTM, the mel projection and the gate come
after it, for all steps at once, because nothing of theirs feeds the attention. Decoder dropout therefore acts on the
decoder LSTM's output, not inside its recurrence.

B utterances, N tokens, T decoder steps, F mel frames (T * r at most), M mel channels, E encoder width, H attention LSTM
width, D decoder LSTM width, P prenet width.
"""

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from model.attention import Attention, ForwardAttention
from model.dynamic import DynamicAttention
from model.layers import LinearNorm
from model.mmi import AdaptiveFactor
from model.recurrent import StepwiseLinear, lstm_step, zoneout, zoneout_lstm
from model.sizes import Sizes

ATTENTIONS: dict[str, type[Attention] | type[DynamicAttention]] = {
    "location": Attention,
    "dynamic": DynamicAttention,
    "forward": ForwardAttention,
}


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
            frames = F.dropout(F.relu(layer(frames)), self.dropout, training=True)
        return frames


class AttentionLoop:
    """The part of the decoder that cannot leave the time loop: attention LSTM and attention, one step at a time."""

    def __init__(self, decoder: "Decoder", memory_BNE: Tensor, padding_BN: Tensor) -> None:
        cell, self.sizes, self.training = decoder.attention_rnn, decoder.sizes, decoder.training
        self.alignment = decoder.attention_layer.start(memory_BNE, padding_BN)
        compute = self.alignment.dtype
        self.memory = memory_BNE.to(compute)
        feedback = torch.cat([cell.weight_ih[:, self.sizes.prenet_dim :], cell.weight_hh], dim=1)
        self.feedback = StepwiseLinear(feedback, compute)
        batch, _, width = memory_BNE.shape
        self.hidden_BH = cell.weight_hh.new_zeros(batch, cell.hidden_size)  # the state keeps the parameters' precision
        self.cell_BH = torch.zeros_like(self.hidden_BH)
        self.context_BE = cell.weight_hh.new_zeros(batch, width)

    def step(self, gates_B4H: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """One decoder step from the prenet's share of the gates: hidden (B, H), context (B, E), weights (B, N)."""
        feedback = torch.cat([self.context_BE.to(self.hidden_BH.dtype), self.hidden_BH], dim=1)
        gates = self.feedback(feedback, gates_B4H).to(self.cell_BH.dtype)
        hidden_BH, cell_BH = lstm_step(gates, self.cell_BH)
        hidden_BH = F.dropout(hidden_BH, self.sizes.attention_dropout, self.training)
        rate = self.sizes.attention_zoneout
        self.hidden_BH = zoneout(self.hidden_BH, hidden_BH, rate, self.training)
        self.cell_BH = zoneout(self.cell_BH, cell_BH, rate, self.training)
        weights_BN = self.alignment.step(self.hidden_BH)
        self.context_BE = torch.bmm(weights_BN[:, None].to(self.memory.dtype), self.memory).squeeze(1)
        return self.hidden_BH, self.context_BE, weights_BN


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
        self.attention_layer = ATTENTIONS[sizes.attention_kind](sizes)
        self.decoder_rnn = nn.LSTMCell(sizes.attention_rnn_dim + width, hidden)
        self.linear_projection = LinearNorm(hidden + width, sizes.n_mel_channels * sizes.reduction_factor)
        self.gate_layer = LinearNorm(hidden + width, 1, gain="sigmoid")
        self.adaptive = AdaptiveFactor(sizes.max_gaf) if sizes.use_mmi else None
        self.register_buffer("mean_mel_M", torch.zeros(sizes.n_mel_channels), persistent=False)

    def forward(self, memory_BNE: Tensor, padding_BN: Tensor, mels_BMF: Tensor) -> DecoderOutput:
        """Teacher-forced pass: step t sees the last true frame of step t - 1."""
        loop = AttentionLoop(self, memory_BNE, padding_BN)
        gates_BT4H = self._prenet_gates(self.prenet(self._teacher_frames(mels_BMF)))
        steps = [loop.step(gates) for gates in gates_BT4H.unbind(1)]
        hidden, context, weights = (torch.stack(parts, dim=1) for parts in zip(*steps, strict=True))
        decoded = self._decoder_lstm(torch.cat([hidden.to(context.dtype), context], dim=2))
        decoded = F.dropout(decoded, self.sizes.decoder_dropout, self.training)
        decoded, states = self.adaptive(decoded) if self.adaptive else (decoded, None)
        return self._output(torch.cat([decoded, context], dim=2), weights, mels_BMF.shape[2], states)

    @torch.no_grad()
    def infer(self, memory_BNE: Tensor, padding_BN: Tensor, max_steps: int, gate_threshold: float) -> DecoderOutput:
        """Free-running pass: each step sees its own last frame. Ends when every gate has opened, or after max_steps."""
        loop = AttentionLoop(self, memory_BNE, padding_BN)
        batch, channels, rate = memory_BNE.shape[0], self.sizes.n_mel_channels, self.sizes.decoder_zoneout
        frame_BM = memory_BNE.new_zeros(batch, channels)
        state_BD = cell_BD = memory_BNE.new_zeros(batch, self.decoder_rnn.hidden_size)
        stopped_B = torch.zeros(batch, dtype=torch.bool, device=memory_BNE.device)
        features: list[Tensor] = []
        weights: list[Tensor] = []
        while len(features) < max_steps and not bool(stopped_B.all()):
            hidden, context, attention = loop.step(self._prenet_gates(self.prenet(frame_BM)))
            fresh_BD, fresh_cell_BD = self.decoder_rnn(torch.cat([hidden, context], dim=1), (state_BD, cell_BD))
            state_BD = zoneout(state_BD, fresh_BD, rate, self.training)
            cell_BD = zoneout(cell_BD, fresh_cell_BD, rate, self.training)
            features.append(torch.cat([state_BD, context], dim=1))
            weights.append(attention)
            frame_BM = self._project(features[-1])[:, -channels:]
            stopped_B |= self.gate_layer(features[-1]).squeeze(1).sigmoid() > gate_threshold
        frames = len(features) * self.reduction_factor
        return self._output(torch.stack(features, dim=1), torch.stack(weights, dim=1), frames)

    def _teacher_frames(self, mels_BMF: Tensor) -> Tensor:
        """The prenet's input (B, T, M): a zero frame, then every r-th true frame, some of which may be dropped."""
        r, rate = self.reduction_factor, self.sizes.drop_frame_rate
        steps = -(-mels_BMF.shape[2] // r)
        last_of_step = mels_BMF[:, :, r - 1 :: r][:, :, : steps - 1]
        if self.training and rate:
            dropped_B1T = torch.rand_like(last_of_step[:, :1]) < rate
            last_of_step = torch.where(dropped_B1T, self.mean_mel_M[:, None].to(mels_BMF.dtype), last_of_step)
        return F.pad(last_of_step, (1, 0)).transpose(1, 2)

    def _prenet_gates(self, prenet: Tensor) -> Tensor:
        cell = self.attention_rnn
        return F.linear(prenet, cell.weight_ih[:, : self.sizes.prenet_dim], cell.bias_ih + cell.bias_hh)

    def _decoder_lstm(self, inputs_BTI: Tensor) -> Tensor:
        cell = self.decoder_rnn
        inputs_BTI = inputs_BTI.to(cell.weight_ih.dtype)
        rate = self.sizes.decoder_zoneout
        start = inputs_BTI.new_zeros(1, inputs_BTI.shape[0], cell.hidden_size)
        weights = [cell.weight_ih, cell.weight_hh, cell.bias_ih, cell.bias_hh]
        with torch.autocast(inputs_BTI.device.type, enabled=False):  # on CUDA it makes any LSTM fp16, bf16 asked or not
            if rate:
                return zoneout_lstm(cell, inputs_BTI, rate, self.training)
            return torch.lstm(inputs_BTI, (start, start), weights, True, 1, 0.0, self.training, False, True)[0]

    def _project(self, features: Tensor) -> Tensor:
        """Features (..., D + E) to the frames of a step (..., r * M)."""
        layer = self.linear_projection.linear_layer
        rows = self.reduction_factor * self.sizes.n_mel_channels
        return F.linear(features, layer.weight[:rows], layer.bias[:rows])

    def _output(
        self, features_BTI: Tensor, attention_BTN: Tensor, frames: int, states_BTD: Tensor | None = None
    ) -> DecoderOutput:
        batch, steps, _ = features_BTI.shape
        mels = self._project(features_BTI).view(batch, steps * self.reduction_factor, -1)
        gate_BT = self.gate_layer(features_BTI).squeeze(2)
        return DecoderOutput(mels.transpose(1, 2)[:, :, :frames], gate_BT, attention_BTN, states_BTD)

"""Global style tokens (Wang et al., 1803.09017) and their prediction from the text (TPSE; Stanton et al., 1808.01410).

B utterances, N tokens of text, F mel frames, M mel channels, E encoder width, S style width, K style tokens, G heads.
"""

import math
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pack_padded_sequence

from model.layers import LinearNorm
from model.lengths import length_mask
from model.sizes import Sizes

SHARES = (8, 8, 4, 4, 2, 2)
"""Filters of the reference encoder's convolutions: so many times fewer than the style is wide."""
FEWEST_BINS = 2
"""The convolutions halve the mel axis no further than this: batch normalisation of one short clip needs two values."""


class ReferenceLayer(nn.Module):
    """Convolution over time and mel bins that halves both, batch normalisation, ReLU; padding is held at 0."""

    def __init__(self, inputs: int, outputs: int, mel_stride: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 3, stride=(2, mel_stride), padding=1, bias=False)
        self.norm = nn.BatchNorm1d(outputs)

    def forward(self, hidden_BCFM: Tensor, lengths_B: Tensor) -> tuple[Tensor, Tensor]:
        """(B, C, F, M) of lengths (B,) to its half in both axes, and the lengths there."""
        hidden_BFCM = self.conv(hidden_BCFM).transpose(1, 2)
        lengths_B = (lengths_B + 1) // 2
        real_BF = length_mask(lengths_B, hidden_BFCM.shape[1])
        normed = F.relu(self.norm(hidden_BFCM[real_BF]))  # the statistics are the real frames' too
        filled = normed.new_zeros(hidden_BFCM.shape)
        filled[real_BF] = normed
        return filled.transpose(1, 2), lengths_B


class ReferenceEncoder(nn.Module):
    """What a recording sounds like, in one vector: convolutions and a GRU over its mel spectrogram."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        widths = [1, *(max(1, sizes.style_dim // share) for share in SHARES)]
        bins, layers = sizes.n_mel_channels, []
        for inputs, outputs in pairwise(widths):
            stride = 2 if (bins + 1) // 2 >= FEWEST_BINS else 1
            layers.append(ReferenceLayer(inputs, outputs, stride))
            bins = (bins + stride - 1) // stride
        self.layers = nn.ModuleList(layers)
        self.gru = nn.GRU(widths[-1] * bins, max(1, sizes.style_dim // 2), batch_first=True)

    def forward(self, mels_BMF: Tensor, frames_B: Tensor) -> Tensor:
        """Mel frames (B, M, F) of lengths (B,) to (B, S / 2)."""
        real_BF = length_mask(frames_B, mels_BMF.shape[2])
        hidden, lengths_B = mels_BMF.masked_fill(~real_BF[:, None], 0.0).transpose(1, 2)[:, None], frames_B
        for layer in self.layers:
            hidden, lengths_B = layer(hidden, lengths_B)
        return last_state(self.gru, hidden.transpose(1, 2).flatten(2), lengths_B)


class StyleTokens(nn.Module):
    """Attention from a recording to the style tokens. Each head weighs its own slice of them."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.heads, width = sizes.style_heads, sizes.style_dim
        self.tokens_KS = nn.Parameter(0.5 * torch.randn(sizes.style_tokens, width))
        self.query = LinearNorm(max(1, width // 2), width, bias=False)
        self.key = LinearNorm(width, width, bias=False)

    def values(self) -> Tensor:
        """The tokens as they are mixed (K, S), in -1..1."""
        return self.tokens_KS.tanh()

    def forward(self, reference_BR: Tensor) -> Tensor:
        """A recording's vector (B, R) to its style (B, S)."""
        values_KS = self.values()
        values_KGs, keys_KGs = (each.unflatten(1, (self.heads, -1)) for each in (values_KS, self.key(values_KS)))
        query_BGs = self.query(reference_BR).unflatten(1, (self.heads, -1))
        scores_BGK = torch.einsum("bgs,kgs->bgk", query_BGs, keys_KGs) / math.sqrt(query_BGs.shape[2])
        mixed_BGs: Tensor = torch.einsum("bgk,kgs->bgs", scores_BGK.softmax(2), values_KGs)
        return mixed_BGs.flatten(1).to(values_KS.dtype)


class StylePredictor(nn.Module):
    """The style that a text is usually spoken in, from the encoder's output alone (TPSE)."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        hidden = max(1, sizes.style_dim // 4)
        self.gru = nn.GRU(sizes.symbols_embedding_dim, hidden, batch_first=True)
        self.layer = LinearNorm(hidden, sizes.style_dim, gain="tanh")

    def forward(self, memory_BNE: Tensor, tokens_B: Tensor) -> Tensor:
        """The encoder's output (B, N, E), which learns nothing from this, to a style (B, S) in -1..1."""
        state_BH = last_state(self.gru, memory_BNE.detach(), tokens_B)
        style_BS: Tensor = self.layer(state_BH).tanh()
        return style_BS.to(state_BH.dtype)


class Style(nn.Module):
    """Everything about style: from a recording, from chosen tokens, from the text; and its way into the network."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.reference = ReferenceEncoder(sizes)
        self.tokens = StyleTokens(sizes)
        self.predictor = StylePredictor(sizes)
        self.projection = LinearNorm(sizes.style_dim, sizes.symbols_embedding_dim, bias=False)
        nn.init.zeros_(self.projection.linear_layer.weight)  # a network without style, warm-started, begins as it was

    def of(self, mels_BMF: Tensor, frames_B: Tensor) -> Tensor:
        """The style (B, S) of recordings."""
        styles_BS: Tensor = self.tokens(self.reference(mels_BMF, frames_B))
        return styles_BS

    def forward(self, memory_BNE: Tensor, style_BS: Tensor) -> Tensor:
        """The encoder's output with the style added at every token: the attention's layers keep their shapes."""
        added_BE: Tensor = self.projection(style_BS)
        return memory_BNE + added_BE[:, None].to(memory_BNE.dtype)


def last_state(gru: nn.GRU, inputs_BLI: Tensor, lengths_B: Tensor) -> Tensor:
    """A GRU's state after the last real position of each sequence: (B, H)."""
    inputs_BLI = inputs_BLI.to(next(gru.parameters()).dtype)
    packed = pack_padded_sequence(inputs_BLI, lengths_B.cpu(), batch_first=True, enforce_sorted=False)
    with torch.autocast(inputs_BLI.device.type, enabled=False):  # on CUDA it makes any recurrent layer fp16
        states: Tensor = gru(packed)[1]
    return states[0]

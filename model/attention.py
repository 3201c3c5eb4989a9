"""Location-sensitive attention (Chorowski et al., 1506.07503), with the parameter names of the published Tacotron 2.

Forward attention (Zhang et al., 1807.06736) has the same parameters: each step stays at a token or moves on to the
next, and never back. A step may move by one token at most, so a text with more tokens than decoder steps cannot be read
to its end: it wants a small reduction factor.

B utterances, N tokens, A attention width, H attention LSTM width, K taps of the location's convolution.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from model.layers import ConvNorm, LinearNorm
from model.scoring import FLOOR
from model.sizes import Sizes


class LocationLayer(nn.Module):
    """Features of where the attention is (previous weights) and has been (their running sum)."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        filters = sizes.attention_location_n_filters
        self.location_conv = ConvNorm(2, filters, sizes.attention_location_kernel_size, bias=False)
        self.location_dense = LinearNorm(filters, sizes.attention_dim, bias=False, gain="tanh")

    def combined_weight(self) -> Tensor:
        """Convolution and dense layer as one linear map (A, 2 * kernel): nothing but linear maps stands between."""
        return self.location_dense.linear_layer.weight @ self.location_conv.conv.weight.flatten(1)


class Attention(nn.Module):
    """The layers that score every token from the query, the memory and the location; LocationAlignment applies them."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.query_layer = LinearNorm(sizes.attention_rnn_dim, sizes.attention_dim, bias=False, gain="tanh")
        self.memory_layer = LinearNorm(sizes.symbols_embedding_dim, sizes.attention_dim, bias=False, gain="tanh")
        self.v = LinearNorm(sizes.attention_dim, 1, bias=False)
        self.location_layer = LocationLayer(sizes)

    def tensors(self, memory_BNE: Tensor) -> list[Tensor]:
        """What model/scoring.py scores with: query, keys, location and v, doubled as it wants them."""
        keys_BNA = self.memory_layer(memory_BNE)
        weights = self.query_layer.linear_layer.weight, self.v.linear_layer.weight[0]
        query_AH, v_A = (2 * weight.to(keys_BNA.dtype) for weight in weights)
        return [query_AH, 2 * keys_BNA, 2 * self.location_layer.combined_weight(), v_A]

    def start(self, memory_BNE: Tensor, padding_BN: Tensor) -> "LocationAlignment":
        """The attention over a batch of memories (B, N, E), before its first step; padding_BN is true at padding."""
        return LocationAlignment(self, memory_BNE, padding_BN)


class LocationAlignment:
    """Location-sensitive attention over one batch of memories, step after step. Make a new one for each pass."""

    def __init__(self, attention: Attention, memory_BNE: Tensor, padding_BN: Tensor) -> None:
        self.attention, self.padding = attention, padding_BN
        self.keys_BNA = attention.memory_layer(memory_BNE)
        self.location_A2K = attention.location_layer.combined_weight().unflatten(1, (2, -1))
        weight = attention.query_layer.linear_layer.weight  # the weights keep the parameters' precision
        self.weights_BN = weight.new_zeros(padding_BN.shape)
        self.total_BN = torch.zeros_like(self.weights_BN)

    def step(self, hidden_BH: Tensor) -> Tensor:
        """Attention weights (B, N) of one step from the attention LSTM's output (B, H)."""
        self.weights_BN = F.softmax(self.scores(hidden_BH), dim=1)
        return self.weights_BN

    def scores(self, hidden_BH: Tensor) -> Tensor:
        """Scores (B, N) of the tokens; minus infinity for padding, which so gets a weight of exactly 0."""
        self.total_BN = self.total_BN + self.weights_BN
        history_B2N = torch.stack([self.weights_BN, self.total_BN], dim=1)
        located_BAN = F.conv1d(history_B2N, self.location_A2K, padding=self.location_A2K.shape[2] // 2)
        query_B1A = self.attention.query_layer(hidden_BH)[:, None]
        scores_BN: Tensor = self.attention.v((query_B1A + located_BAN.transpose(1, 2) + self.keys_BNA).tanh()).squeeze(
            2
        )
        return scores_BN.to(hidden_BH.dtype).masked_fill(self.padding, float("-inf"))


class ForwardAttention(Attention):
    """The layers of the location-sensitive attention, whose weights ForwardAlignment holds to the text's order."""

    def start(self, memory_BNE: Tensor, padding_BN: Tensor) -> "ForwardAlignment":
        """The attention over a batch of memories (B, N, E), on the first token; padding_BN is true at padding."""
        return ForwardAlignment(self, memory_BNE, padding_BN)


class ForwardAlignment(LocationAlignment):
    """Weights a[t, n], proportional to (a[t-1, n] + a[t-1, n-1]) y[t, n] with y the location-sensitive weights."""

    def __init__(self, attention: Attention, memory_BNE: Tensor, padding_BN: Tensor) -> None:
        super().__init__(attention, memory_BNE, padding_BN)
        self.weights_BN[:, 0] = 1.0  # as if a step before the first had read the first token

    def step(self, hidden_BH: Tensor) -> Tensor:
        """Attention weights (B, N) of one step from the attention LSTM's output (B, H)."""
        reach_BN = self.weights_BN + F.pad(self.weights_BN, (1, -1))
        # the product's logarithm, under a softmax: a token far from every score's maximum does not underflow
        scores_BN = self.scores(hidden_BH) + reach_BN.clamp_min(FLOOR).log()
        self.weights_BN = F.softmax(scores_BN.masked_fill(reach_BN < FLOOR, float("-inf")), dim=1)
        return self.weights_BN

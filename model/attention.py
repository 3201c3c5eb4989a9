"""Location-sensitive attention (Chorowski et al., 1506.07503), with the parameter names of the published Tacotron 2.

Forward attention (Zhang et al., 1807.06736) has the same parameters: each step stays at a token or moves on to the
next, and never back. A step may move by one token at most, so a text with more tokens than decoder steps cannot be read
to its end: it wants a small reduction factor.

B utterances, N tokens, A attention width, I = 2 * kernel inputs of the location's linear map.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.nn import functional as F

from model.layers import ConvNorm, LinearNorm
from model.recurrent import GradientSums, SharedTensors, StepwiseLinear
from model.sizes import Sizes

FLOOR = 1e-8
"""Forward attention: what may be reached with less than this weight counts as out of reach, for good."""


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

    def start(self, memory_BNE: Tensor, padding_BN: Tensor) -> "LocationAlignment":
        """The attention over a batch of memories (B, N, E), before its first step; padding_BN is true at padding."""
        return LocationAlignment(self, memory_BNE, padding_BN)


class LocationAlignment:
    """Location-sensitive attention over one batch of memories, step after step. Make a new one for each pass."""

    def __init__(self, attention: Attention, memory_BNE: Tensor, padding_BN: Tensor) -> None:
        keys_BNA = attention.memory_layer(memory_BNE)
        self.dtype = keys_BNA.dtype  # what autocast chose
        self.padding = padding_BN
        self.query = StepwiseLinear(attention.query_layer.linear_layer.weight, self.dtype)
        self.additive = AdditiveScores(attention, keys_BNA)
        weight = attention.query_layer.linear_layer.weight  # the weights keep the parameters' precision
        self.weights_BN = weight.new_zeros(padding_BN.shape)
        self.total_BN = torch.zeros_like(self.weights_BN)

    def step(self, hidden_BH: Tensor) -> Tensor:
        """Attention weights (B, N) of one step from the attention LSTM's output (B, H)."""
        self.weights_BN = F.softmax(self.scores(hidden_BH), dim=1)
        return self.weights_BN

    def scores(self, hidden_BH: Tensor) -> Tensor:
        """Scores (B, N) of the tokens; minus infinity for padding, which so gets a weight of exactly 0."""
        history_B2N = torch.stack([self.weights_BN, self.total_BN + self.weights_BN], dim=1)
        self.total_BN = history_B2N[:, 1]
        scores_BN = self.additive(self.query(hidden_BH), history_B2N).to(hidden_BH.dtype)
        return scores_BN.masked_fill(self.padding, float("-inf"))


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


class AdditiveScores:
    """`v . tanh(query + location(history) + keys)` for every step of one forward pass. Make a new one for each pass.

    A step keeps its query and history only; the features (B, N, A) are computed again in the backward pass, for kept
    they would be most of the memory that a training takes. The gradients of keys and weights gather in one tensor each.
    """

    def __init__(self, attention: Attention, keys_BNA: Tensor) -> None:
        location_AI = attention.location_layer.combined_weight().to(keys_BNA.dtype)
        v_A = attention.v.linear_layer.weight[0].to(keys_BNA.dtype)
        self.shared = SharedTensors(keys_BNA, location_AI, v_A)

    def __call__(self, query_BA: Tensor, history_B2N: Tensor) -> Tensor:
        """Scores (B, N) from a query (B, A) and a history (B, 2, N): the last weights and their running sum."""
        keys_BNA, location_AI, v_A = self.shared.tensors
        history_B2N = history_B2N.to(keys_BNA.dtype)
        scores_BN: Tensor = _Score.apply(  # type: ignore[no-untyped-call]
            query_BA, history_B2N, keys_BNA, location_AI, v_A, self.shared.sums
        )
        return scores_BN


def _features(query: Tensor, history: Tensor, keys: Tensor, location: Tensor) -> tuple[Tensor, Tensor]:
    """Features (B, N, A), and the windows (B, N, I) of the history around each token that they are made from."""
    kernel = location.shape[1] // 2
    padded = F.pad(history, (kernel // 2, kernel // 2))
    windows = padded.unfold(2, kernel, 1).transpose(1, 2).flatten(2)
    return (windows @ location.t()).add_(query[:, None]).add_(keys).tanh_(), windows


class _Score(Function):
    @staticmethod
    def forward(
        ctx: Any, query: Tensor, history: Tensor, keys: Tensor, location: Tensor, v: Tensor, sums: GradientSums
    ) -> Tensor:
        ctx.sums = sums
        ctx.save_for_backward(query, history, keys, location, v)
        return _features(query, history, keys, location)[0] @ v

    @staticmethod
    def backward(ctx: Any, gradient_BN: Tensor) -> tuple[Tensor, Tensor, None, None, None, None]:
        query, history, keys, location, v = ctx.saved_tensors
        features, windows = _features(query, history, keys, location)
        v_part = gradient_BN.flatten() @ features.flatten(0, 1)
        inner = (1 - features.square()).mul_(gradient_BN[:, :, None] * v)
        location_part = inner.flatten(0, 1).t() @ windows.flatten(0, 1)
        ctx.sums.add([inner, location_part, v_part])
        kernel, tokens = location.shape[1] // 2, history.shape[2]
        spread = F.fold((inner @ location).transpose(1, 2), (1, tokens + kernel - 1), (1, kernel)).squeeze(2)
        return inner.sum(1), spread.narrow(2, kernel // 2, tokens), None, None, None, None

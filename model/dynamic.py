"""Dynamic convolution attention (Battenberg et al., 1910.10288): purely location-based, it moves on and not back.

Each step filters the last weights with learned filters, with filters that the attention LSTM chooses for this step, and
with a fixed prior that reaches from the same token to REACH tokens ahead.

B utterances, N tokens, A attention width, G filters, K taps of a filter, J taps of the prior, H attention LSTM width.
"""

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.nn import functional as F

from model.layers import ConvNorm, LinearNorm
from model.recurrent import GradientSums, SharedTensors, StepwiseLinear
from model.sizes import Sizes

REACH = 10
"""Most tokens that the prior moves by in one step."""
ALPHA, BETA = 0.1, 0.9
"""The prior's shape: on average it moves by REACH * ALPHA / (ALPHA + BETA) = 1 token a step."""
FLOOR = 1e-6
"""Least prior weight of a token; with it the scores decide again when the attention is lost."""


def beta_binomial(successes: int) -> float:
    """The beta-binomial probability of so many successes in REACH trials."""

    def log_beta(a: float, b: float) -> float:
        return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)

    log_share = log_beta(successes + ALPHA, REACH - successes + BETA) - log_beta(ALPHA, BETA)
    return math.comb(REACH, successes) * math.exp(log_share)


PRIOR = [beta_binomial(moves) for moves in range(REACH + 1)]
"""How likely it is to move by 0, 1, ... tokens before anything is known of the step."""


class DynamicAttention(nn.Module):
    """The layers that filter the last weights; DynamicAlignment applies them. Content and keys have no part in it."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        filters, taps, width = (
            sizes.attention_location_n_filters,
            sizes.attention_location_kernel_size,
            sizes.attention_dim,
        )
        self.static_conv = ConvNorm(1, filters, taps, bias=False)
        self.static_dense = LinearNorm(filters, width, bias=False, gain="tanh")
        self.filter_query = LinearNorm(sizes.attention_rnn_dim, width, gain="tanh")
        self.filter_layer = LinearNorm(width, filters * taps, bias=False)
        self.dynamic_dense = LinearNorm(filters, width, gain="tanh")
        self.v = LinearNorm(width, 1, bias=False)

    def start(self, memory_BNE: Tensor, padding_BN: Tensor) -> "DynamicAlignment":
        """The attention over a batch of memories (B, N, E), on the first token; padding_BN is true at padding."""
        return DynamicAlignment(self, memory_BNE, padding_BN)


class DynamicAlignment:
    """Dynamic convolution attention over one batch, step after step. Make a new one for each pass."""

    def __init__(self, attention: DynamicAttention, memory_BNE: Tensor, padding_BN: Tensor) -> None:
        self.attention, self.padding = attention, padding_BN
        query, choice, dynamic = attention.filter_query, attention.filter_layer, attention.dynamic_dense
        static_AK = attention.static_dense.linear_layer.weight @ attention.static_conv.conv.weight.flatten(1)
        self.dtype = static_AK.dtype  # what autocast chose
        others = dynamic.linear_layer.weight, dynamic.linear_layer.bias, attention.v.linear_layer.weight[0]
        self.shared = SharedTensors(static_AK, *(tensor.to(self.dtype) for tensor in others))
        self.query = StepwiseLinear(query.linear_layer.weight, self.dtype)
        self.choice = StepwiseLinear(choice.linear_layer.weight, self.dtype)
        self.prior_J = query.linear_layer.weight.new_tensor(PRIOR[::-1])
        self.weights_BN = self.prior_J.new_zeros(padding_BN.shape)  # the weights keep the parameters' precision
        self.weights_BN[:, 0] = 1.0  # as if a step before the first had read the first token

    def step(self, hidden_BH: Tensor) -> Tensor:
        """Attention weights (B, N) of one step from the attention LSTM's output (B, H)."""
        query_BA = self.query(hidden_BH, self.attention.filter_query.linear_layer.bias)
        filters_BGK = self.choice(query_BA.tanh()).unflatten(1, (self.shared.tensors[1].shape[1], -1))
        scores_BN: Tensor = _DynamicScore.apply(  # type: ignore[no-untyped-call]
            self.weights_BN.to(self.dtype), filters_BGK, *self.shared.tensors, self.shared.sums
        )
        windows_BNJ = F.pad(self.weights_BN, (REACH, 0)).unfold(1, REACH + 1, 1)
        prior_BN = (windows_BNJ * self.prior_J).sum(2).clamp_min(FLOOR)
        scores_BN = scores_BN.to(prior_BN.dtype) + prior_BN.log()
        self.weights_BN = F.softmax(scores_BN.masked_fill(self.padding, float("-inf")), dim=1)
        return self.weights_BN


def _features(
    previous: Tensor, filters: Tensor, static: Tensor, dynamic: Tensor, bias: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Features (B, N, A), the windows (B, N, K) of the last weights around each token, and the step's map (B, A, K).

    Filters and the dense layers after them are one linear map, for nothing but linear maps stands between.
    """
    taps = static.shape[1]
    windows = F.pad(previous, (taps // 2, taps // 2)).unfold(1, taps, 1)
    combined = (dynamic @ filters).add_(static)
    return (windows @ combined.transpose(1, 2)).add_(bias).tanh_(), windows, combined


class _DynamicScore(Function):
    """v . tanh(U static(previous) + T dynamic(previous) + bias), its features made again in the backward pass."""

    @staticmethod
    def forward(
        ctx: Any,
        previous: Tensor,
        filters: Tensor,
        static: Tensor,
        dynamic: Tensor,
        bias: Tensor,
        v: Tensor,
        sums: GradientSums,
    ) -> Tensor:
        ctx.sums = sums
        ctx.save_for_backward(previous, filters, static, dynamic, bias, v)
        return _features(previous, filters, static, dynamic, bias)[0] @ v

    @staticmethod
    def backward(ctx: Any, gradient_BN: Tensor) -> tuple[Tensor, Tensor, None, None, None, None, None]:
        previous, filters, static, dynamic, bias, v = ctx.saved_tensors
        features, windows, combined = _features(previous, filters, static, dynamic, bias)
        v_part = gradient_BN.flatten() @ features.flatten(0, 1)
        inner_BNA = (1 - features.square()).mul_(gradient_BN[:, :, None] * v)
        map_BAK = inner_BNA.transpose(1, 2) @ windows
        dynamic_part = torch.einsum("bak,bgk->ag", map_BAK, filters)
        ctx.sums.add([map_BAK.sum(0), dynamic_part, inner_BNA.sum((0, 1)), v_part])
        taps, tokens = static.shape[1], previous.shape[1]
        spread = (inner_BNA @ combined).transpose(1, 2)
        spread = F.fold(spread, (1, tokens + taps - 1), (1, taps))[:, 0, 0]
        return spread.narrow(1, taps // 2, tokens), dynamic.t() @ map_BAK, None, None, None, None, None

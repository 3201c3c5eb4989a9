"""Dynamic convolution attention (Battenberg et al., 1910.10288): purely location-based, it moves on and not back.

Each step filters the last weights with learned filters, with filters that the attention LSTM chooses for this step, and
with a fixed prior that reaches from the same token to REACH tokens ahead.

B utterances, N tokens, A attention width, G filters, K taps of a filter, J taps of the prior, H attention LSTM width.
"""

from torch import Tensor, nn
from torch.nn import functional as F

from model.layers import ConvNorm, LinearNorm
from model.scoring import PRIOR, PRIOR_FLOOR, REACH
from model.sizes import Sizes


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

    def static_weight(self) -> Tensor:
        """The static filters and the dense layer after them as one linear map (A, K)."""
        return self.static_dense.linear_layer.weight @ self.static_conv.conv.weight.flatten(1)

    def tensors(self, memory_BNE: Tensor) -> list[Tensor]:
        """What model/scoring.py scores with, doubled where it wants that; the memory has no part in it."""
        static_AK, query, dynamic = (
            self.static_weight(),
            self.filter_query.linear_layer,
            self.dynamic_dense.linear_layer,
        )
        weights = query.weight, query.bias, self.filter_layer.linear_layer.weight
        doubled = dynamic.weight, dynamic.bias, self.v.linear_layer.weight[0]
        dtype = static_AK.dtype  # what autocast chose
        return [*(weight.to(dtype) for weight in weights), 2 * static_AK, *(2 * weight.to(dtype) for weight in doubled)]

    def start(self, memory_BNE: Tensor, padding_BN: Tensor) -> "DynamicAlignment":
        """The attention over a batch of memories (B, N, E), on the first token; padding_BN is true at padding."""
        return DynamicAlignment(self, memory_BNE, padding_BN)


class DynamicAlignment:
    """Dynamic convolution attention over one batch, step after step. Make a new one for each pass."""

    def __init__(self, attention: DynamicAttention, memory_BNE: Tensor, padding_BN: Tensor) -> None:
        self.attention, self.padding = attention, padding_BN
        self.static_AK = attention.static_weight()
        self.prior_J = attention.filter_query.linear_layer.weight.new_tensor(PRIOR[::-1])
        self.weights_BN = self.prior_J.new_zeros(padding_BN.shape)  # the weights keep the parameters' precision
        self.weights_BN[:, 0] = 1.0  # as if a step before the first had read the first token

    def step(self, hidden_BH: Tensor) -> Tensor:
        """Attention weights (B, N) of one step from the attention LSTM's output (B, H)."""
        layers, taps = self.attention, self.static_AK.shape[1]
        filters_BGK = layers.filter_layer(layers.filter_query(hidden_BH).tanh()).unflatten(1, (-1, taps))
        dense = layers.dynamic_dense.linear_layer
        map_BAK = dense.weight.to(filters_BGK.dtype) @ filters_BGK + self.static_AK
        windows_BNK = F.pad(self.weights_BN, (taps // 2, taps // 2)).unfold(1, taps, 1)
        features_BNA = (windows_BNK.to(map_BAK.dtype) @ map_BAK.transpose(1, 2) + dense.bias).tanh()
        windows_BNJ = F.pad(self.weights_BN, (REACH, 0)).unfold(1, REACH + 1, 1)
        prior_BN = (windows_BNJ * self.prior_J).sum(2).clamp_min(PRIOR_FLOOR)
        scores_BN = layers.v(features_BNA).squeeze(2).to(prior_BN.dtype) + prior_BN.log()
        self.weights_BN = F.softmax(scores_BN.masked_fill(self.padding, float("-inf")), dim=1)
        return self.weights_BN

"""Location-sensitive attention (Chorowski et al., 1506.07503), with the parameter names of the published Tacotron 2.

B utterances, N tokens, E encoder width, A attention width, H width of the attention LSTM.
"""

from torch import Tensor, nn

from model.sizes import Sizes


class LinearNorm(nn.Module):
    """A linear layer with Xavier initialisation, under the published name `linear_layer`."""

    def __init__(self, inputs: int, outputs: int, bias: bool = True, gain: str = "linear") -> None:
        super().__init__()
        self.linear_layer = nn.Linear(inputs, outputs, bias=bias)
        nn.init.xavier_uniform_(self.linear_layer.weight, gain=nn.init.calculate_gain(gain))  # type: ignore[arg-type]

    def forward(self, inputs: Tensor) -> Tensor:
        """(..., inputs) to (..., outputs)."""
        outputs: Tensor = self.linear_layer(inputs)
        return outputs


class ConvNorm(nn.Module):
    """A same-length 1-d convolution with Xavier initialisation, under the published name `conv`."""

    def __init__(self, inputs: int, outputs: int, kernel: int, bias: bool = True, gain: str = "linear") -> None:
        super().__init__()
        self.conv = nn.Conv1d(inputs, outputs, kernel, padding=(kernel - 1) // 2, bias=bias)
        nn.init.xavier_uniform_(self.conv.weight, gain=nn.init.calculate_gain(gain))  # type: ignore[arg-type]

    def forward(self, inputs: Tensor) -> Tensor:
        """(B, inputs, length) to (B, outputs, length)."""
        outputs: Tensor = self.conv(inputs)
        return outputs


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
    """The layers that score every token from the query, the memory and the location; AttentionLoop applies them."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.query_layer = LinearNorm(sizes.attention_rnn_dim, sizes.attention_dim, bias=False, gain="tanh")
        self.memory_layer = LinearNorm(sizes.symbols_embedding_dim, sizes.attention_dim, bias=False, gain="tanh")
        self.v = LinearNorm(sizes.attention_dim, 1, bias=False)
        self.location_layer = LocationLayer(sizes)

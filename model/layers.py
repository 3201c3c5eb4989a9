"""Linear and convolution layers with the initialisation and the parameter names of the published Tacotron 2."""

from torch import Tensor, nn

from model.products import linear


class LinearNorm(nn.Module):
    """A linear layer with Xavier initialisation, under the published name `linear_layer`."""

    def __init__(self, inputs: int, outputs: int, bias: bool = True, gain: str = "linear") -> None:
        super().__init__()
        self.linear_layer = nn.Linear(inputs, outputs, bias=bias)
        nn.init.xavier_uniform_(self.linear_layer.weight, gain=nn.init.calculate_gain(gain))  # type: ignore[arg-type]

    def forward(self, inputs: Tensor) -> Tensor:
        """(..., inputs) to (..., outputs)."""
        return linear(inputs, self.linear_layer.weight, self.linear_layer.bias)


def tanh(values: Tensor) -> Tensor:
    """tanh, on a CPU by way of the sigmoid: torch's own takes ten times as long there."""
    return (2 * values).sigmoid().mul(2).sub(1) if values.device.type == "cpu" else values.tanh()


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

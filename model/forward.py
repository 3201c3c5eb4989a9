"""Forward attention (Zhang et al., 1807.06736): each step stays at a token or moves on to the next, and never back.

The parameters are those of the location-sensitive attention. A step may move by one token at most, so a text with more
tokens than decoder steps cannot be read to its end: it wants a small reduction factor.
"""

from torch import Tensor
from torch.nn import functional as F

from model.attention import Attention, LocationAlignment

FLOOR = 1e-8
"""What may be reached with less than this weight counts as out of reach: what is behind becomes exactly 0, for good."""


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

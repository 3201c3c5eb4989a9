"""What a network says of a batch, and how it is asked.

B utterances, N tokens, F mel frames, T decoder steps, M mel channels, V symbols, S style width.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass

from torch import Tensor, nn


@dataclass(frozen=True)
class Prediction:
    """What the network says about a batch of utterances; padded frames are 0."""

    mels_BMF: Tensor
    """Mel frames before the postnet."""
    refined_BMF: Tensor
    """Mel frames after the postnet."""
    gate_BT: Tensor
    """Stop-gate logits."""
    attention_BTN: Tensor
    transcript_BFV: Tensor | None = None
    """Log-probabilities of each frame's symbol, by the text head in a teacher-forced pass."""
    style_BS: Tensor | None = None
    """The reference's style in a teacher-forced pass, the style spoken in when running freely."""
    predicted_style_BS: Tensor | None = None
    """The style predicted from the text."""


class Network(nn.Module, ABC):
    """What those who judge a network know of it: called, it is teacher-forced; `infer` lets it speak freely."""

    @property
    @abstractmethod
    def reduction_factor(self) -> int:
        """Mel frames that a decoder step predicts now."""

    @abstractmethod
    def infer(
        self, tokens_BN: Tensor, tokens_B: Tensor, *, max_steps: int = 1000, gate_threshold: float = 0.5
    ) -> Prediction:
        """Free-running pass over symbol ids (B, N) of lengths (B,)."""

"""What the network says of a batch.

B utterances, N tokens, F mel frames, T decoder steps, M mel channels, V symbols, S style width.
"""

from dataclasses import dataclass

from torch import Tensor


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

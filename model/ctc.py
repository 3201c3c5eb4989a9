"""A small speech recogniser: mel frames to symbol probabilities for CTC (Graves et al., 2006). It judges voices.

Convolutions alone: on a CPU a recurrent layer costs more than all of them, and hears no better in the same time. What
it sees at once is a second and a half, so it knows few words and writes down what it hears rather than what it expects.

B utterances, M mel channels, F mel frames, T = ceil(F / 2) steps, W width, V symbols with the blank, which is row 0.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from model.lengths import decoder_steps, length_mask
from model.noise import dropout

STRIDE = 2
"""Mel frames in a step: 23 ms at the usual hop, still two steps for each letter of fast speech."""
BLANK = 0
WIDTH = 128
KERNEL = 5
DILATIONS = (1, 2, 4, 1, 2, 4)


class FrameNorm(nn.LayerNorm):
    """Layer normalisation of each step's channels, on (B, W, T): what stands in the padding changes nothing else."""

    def forward(self, hidden_BWT: Tensor) -> Tensor:
        """(B, W, T) to (B, W, T)."""
        return super().forward(hidden_BWT.transpose(1, 2)).transpose(1, 2)


class CtcRecogniser(nn.Module):
    """A convolution that halves the frame rate, then residual ones that see further and further."""

    mean_M: Tensor
    deviation_M: Tensor

    def __init__(self, mels: int, symbols: int, dropout: float = 0.2) -> None:
        super().__init__()
        self.register_buffer("mean_M", torch.zeros(mels))
        self.register_buffer("deviation_M", torch.ones(mels))
        self.entry = nn.Conv1d(mels, WIDTH, KERNEL, stride=STRIDE, padding=KERNEL // 2)
        self.entry_norm = FrameNorm(WIDTH)
        self.convolutions = nn.ModuleList(
            nn.Conv1d(WIDTH, WIDTH, KERNEL, padding=KERNEL // 2 * dilation, dilation=dilation) for dilation in DILATIONS
        )
        self.norms = nn.ModuleList(FrameNorm(WIDTH) for _ in DILATIONS)
        self.output = nn.Conv1d(WIDTH, symbols, 1)
        self.dropout = dropout

    def set_scale(self, mean_M: Tensor, deviation_M: Tensor) -> None:
        """Mean and standard deviation of the corpus's mel bins (M,), by which the input is normalised."""
        self.mean_M.copy_(mean_M)
        self.deviation_M.copy_(deviation_M)

    def normalise(self, mels_BMF: Tensor, frames_B: Tensor) -> Tensor:
        """Log-mel frames (B, M, F) of lengths (B,) with each bin of mean 0 and deviation 1; padding is 0."""
        scaled = (mels_BMF - self.mean_M[:, None]) / self.deviation_M[:, None]
        return scaled.masked_fill(~length_mask(frames_B, mels_BMF.shape[2])[:, None], 0.0)

    def forward(self, normalised_BMF: Tensor, frames_B: Tensor) -> Tensor:
        """Normalised frames of lengths (B,) to log-probabilities (B, T, V)."""
        hidden = F.gelu(self.entry_norm(self.entry(normalised_BMF)))
        padding_B1T = ~length_mask(decoder_steps(frames_B, STRIDE), hidden.shape[2])[:, None]
        for layer, norm in zip(self.convolutions, self.norms, strict=True):
            change = F.gelu(norm(layer(hidden.masked_fill(padding_B1T, 0.0))))
            hidden = hidden + dropout(change, self.dropout, self.training)
        logits_BVT = self.output(dropout(hidden, self.dropout, self.training))
        return F.log_softmax(logits_BVT.transpose(1, 2), dim=2)


def best_path(log_probs_BTV: Tensor, steps_B: Tensor) -> list[list[int]]:
    """The symbols of each utterance's most probable path: repetitions joined, blanks taken out."""
    read = []
    for path, steps in zip(log_probs_BTV.argmax(2).tolist(), steps_B.tolist(), strict=True):
        pairs = zip([BLANK, *path], path[:steps], strict=False)
        read.append([now for before, now in pairs if now not in (before, BLANK)])
    return read

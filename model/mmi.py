"""Mutual information between text and speech (Liu et al., 1909.01145): the text must be readable from the decoder.

B utterances, N tokens, T decoder steps, F = T * r mel frames, D decoder LSTM width, V symbols.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.nn import functional as F

from model.sizes import Sizes

BLANK = 0
"""The padding symbol's row stands for CTC's blank: no text holds it."""


class AdaptiveFactor:
    """Hands the decoder's states to the mel and to the text head; scales the text's gradient on its way back to them.

    The states receive g_main + gaf * g_text, where the gradient adaptive factor gaf = min(max_gaf, |g_main| / |g_text|)
    has its norms over the whole tensor: the text never pulls at the network harder than the mel does. What lies behind
    the states' second copy, the text head, learns with the full gradient. Costs no backward pass of its own.
    """

    def __init__(self, max_gaf: float) -> None:
        self.max_gaf = max_gaf
        self.value: Tensor | None = None
        """The factor of the last backward pass, a scalar on the states' device; not finite when a gradient is not."""

    def __call__(self, states_BTD: Tensor) -> tuple[Tensor, Tensor]:
        """The states (B, T, D) for the mel and the gate, and the same for the text head."""
        main_and_text: tuple[Tensor, Tensor] = _Meeting.apply(states_BTD, self)  # type: ignore[no-untyped-call]
        return main_and_text


class _Meeting(Function):
    """Two copies forward; where their gradients meet in the backward pass, the text's is scaled."""

    @staticmethod
    def forward(ctx: Any, states: Tensor, factor: AdaptiveFactor) -> tuple[Tensor, Tensor]:
        ctx.factor = factor
        return states.view_as(states), states.view_as(states)

    @staticmethod
    def backward(ctx: Any, main: Tensor, text: Tensor) -> tuple[Tensor, None]:
        precise = torch.promote_types(main.dtype, torch.float32)  # the squares of half numbers overflow
        main_norm, text_norm = (torch.linalg.vector_norm(gradient, dtype=precise) for gradient in (main, text))
        cap = torch.full_like(main_norm, ctx.factor.max_gaf)
        gaf = torch.where(text_norm == 0, cap, torch.minimum(main_norm / text_norm, cap))
        ctx.factor.value = gaf
        return main + (gaf * text).to(main.dtype), None


class TextHead(nn.Module):
    """Reads symbols off the decoder's states: a linear layer with n_symbols rows for each mel frame of a step."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.n_symbols = sizes.n_symbols
        self.linear = nn.Linear(sizes.decoder_rnn_dim, sizes.reduction_factor * sizes.n_symbols)

    def forward(self, states_BTD: Tensor, reduction_factor: int) -> Tensor:
        """States to log-probabilities (B, F, V) of each frame's symbol; rows beyond the current r are not used."""
        rows = reduction_factor * self.n_symbols
        logits = F.linear(states_BTD, self.linear.weight[:rows], self.linear.bias[:rows])
        precise = torch.promote_types(logits.dtype, torch.float32)
        logits_BFV: Tensor = logits.to(precise).unflatten(2, (reduction_factor, self.n_symbols)).flatten(1, 2)
        return logits_BFV.log_softmax(2)


def frames_needed(tokens_BN: Tensor, tokens_B: Tensor) -> Tensor:
    """Fewest frames in which CTC can write each text, (B,): one a token, and a blank between two that are the same."""
    real = torch.arange(1, tokens_BN.shape[1], device=tokens_BN.device) < tokens_B[:, None]
    return tokens_B + ((tokens_BN[:, 1:] == tokens_BN[:, :-1]) & real).sum(1)


def mi_losses(transcript_BFV: Tensor, tokens_BN: Tensor, tokens_B: Tensor, frames_B: Tensor) -> Tensor:
    """CTC negative log-likelihood of the text given the decoder's states, nats per mel frame: (B,).

    Infinite for an utterance with fewer frames than `frames_needed`.
    """
    log_probs_FBV = transcript_BFV.transpose(0, 1)
    return F.ctc_loss(log_probs_FBV, tokens_BN, frames_B, tokens_B, blank=BLANK, reduction="none") / frames_B

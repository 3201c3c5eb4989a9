"""The losses of training and validation, by the metrics contract (docs/metrics.md).

Every average is over real positions: per utterance first, then over utterances.
B utterances, N tokens, T decoder steps, F mel frames, M mel channels, V symbols, S style width.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from model.lengths import decoder_steps, length_mask, utterance_mean
from model.mmi import frames_needed, mi_losses
from model.prediction import Prediction


@dataclass(frozen=True, kw_only=True)
class LossWeights:
    """What each term counts in training.loss; by the names of the hyperparameters that say so."""

    gate_weight: float = 1.0
    gate_positive_weight: float = 1.0
    """Weight of the one positive frame of each utterance inside the gate loss."""
    guide_weight: float = 0.0
    guide_sigma: float = 0.2
    """Width g of the guided attention's diagonal."""
    forward_sum_weight: float = 0.0


def taco_losses(predicted: Prediction, mels_BMF: Tensor, frames_B: Tensor) -> Tensor:
    """MSE before plus MSE after the postnet, mean over real frames x mel bins: (B,)."""
    error_BF = ((predicted.mels_BMF - mels_BMF) ** 2 + (predicted.refined_BMF - mels_BMF) ** 2).mean(1)
    return utterance_mean(error_BF, length_mask(frames_B, mels_BMF.shape[2]))


def gate_losses(gate_BT: Tensor, steps_B: Tensor, positive_weight: float) -> Tensor:
    """BCE with logits over real steps; an utterance's last step is its one positive: (B,)."""
    position = torch.arange(gate_BT.shape[1], device=gate_BT.device)
    target_BT = (position == steps_B[:, None] - 1).to(gate_BT.dtype)
    weight = torch.full_like(gate_BT[0, 0], positive_weight)  # made there: a copy to a GPU would be waited for
    loss_BT = F.binary_cross_entropy_with_logits(gate_BT, target_BT, reduction="none", pos_weight=weight)
    return utterance_mean(loss_BT, length_mask(steps_B, gate_BT.shape[1]))


def guide_losses(attention_BTN: Tensor, steps_B: Tensor, tokens_B: Tensor, sigma: float) -> Tensor:
    """Guided attention (Tachibana et al., 1710.08969): attention mass off the diagonal, mean over real steps: (B,)."""
    _, steps, tokens = attention_BTN.shape
    device, dtype = attention_BTN.device, attention_BTN.dtype
    t_BT = torch.arange(steps, device=device, dtype=dtype) / steps_B[:, None]
    n_BN = torch.arange(tokens, device=device, dtype=dtype) / tokens_B[:, None]
    penalty_BTN = 1.0 - torch.exp(-((n_BN[:, None] - t_BT[:, :, None]) ** 2) / (2.0 * sigma**2))
    return utterance_mean((attention_BTN * penalty_BTN).sum(2), length_mask(steps_B, steps))


def forward_sum_losses(attention_BTN: Tensor, steps_B: Tensor, tokens_B: Tensor) -> Tensor:
    """Forward-sum loss (Badlani et al., 2108.10447), nats per step: (B,).

    The negative log-likelihood that the attention reads every token, in order, each for at least one step. That is CTC
    over distinct labels with a blank that never happens. Infinite for an utterance with fewer steps than tokens.
    """
    batch, steps, tokens = attention_BTN.shape
    log_attention = attention_BTN.clamp_min(1e-12).log()
    impossible = log_attention.new_full((batch, steps, 1), -1e4)
    log_probs_TBC = torch.cat([impossible, log_attention], dim=2).transpose(0, 1)
    labels_BN = torch.arange(1, tokens + 1, device=attention_BTN.device).expand(batch, tokens)
    return F.ctc_loss(log_probs_TBC, labels_BN, steps_B, tokens_B, reduction="none") / steps_B


def emb_losses(predicted_BS: Tensor, style_BS: Tensor) -> Tensor:
    """L1 between the style that the text predicts and the reference's, which does not move towards it: (B,)."""
    return (predicted_BS - style_BS.detach()).abs().mean(1)


@dataclass(frozen=True)
class Counts:
    """How many utterances of a whole batch each mean is over, when the losses are taken of a part of it."""

    utterances: int
    stepped: Tensor
    """Utterances with at least as many decoder steps as tokens: what atten_loss is over, a scalar."""
    readable: Tensor
    """Utterances with at least as many frames as CTC needs: what mi_loss is over, a scalar."""

    @classmethod
    def of(cls, tokens_BN: Tensor, tokens_B: Tensor, frames_B: Tensor, r: int) -> "Counts":
        """The counts of a whole batch."""
        stepped_B, readable_B = decoder_steps(frames_B, r) >= tokens_B, frames_B >= frames_needed(tokens_BN, tokens_B)
        return cls(len(tokens_B), stepped_B.sum(), readable_B.sum())


def training_losses(
    predicted: Prediction,
    tokens_B: Tensor,
    mels_BMF: Tensor,
    frames_B: Tensor,
    *,
    r: int,
    weights: LossWeights,
    tokens_BN: Tensor | None = None,
    of: Counts | None = None,
) -> dict[str, Tensor]:
    """Every loss of the contract as a scalar, without the prefix `training.`; `loss` is the weighted sum to optimise.

    `atten_loss` is NaN when no utterance of the batch has a step for each token, `mi_loss` when none has the frames to
    write its text in; they then add nothing to `loss`. `guide_loss` is 0 when its weight is 0, `mi_loss` (which needs
    tokens_BN) without a text head, `emb_loss` without style tokens. `mi_loss` counts fully in `loss`: what of its
    gradient reaches the network is for AdaptiveFactor to say.
    With `of` this is a part of a batch, and the losses of the parts, and their gradients, add up to the whole batch's.
    """
    steps_B = decoder_steps(frames_B, r)
    attention = predicted.attention_BTN
    utterances = len(frames_B) if of is None else of.utterances
    taco = taco_losses(predicted, mels_BMF, frames_B).sum() / utterances
    gate = gate_losses(predicted.gate_BT.to(mels_BMF.dtype), steps_B, weights.gate_positive_weight).sum() / utterances
    zero = torch.zeros_like(taco)
    guide = zero
    if weights.guide_weight:
        guide = guide_losses(attention, steps_B, tokens_B, weights.guide_sigma).sum() / utterances
    with torch.set_grad_enabled(torch.is_grad_enabled() and weights.forward_sum_weight > 0):
        forward_sum_B = forward_sum_losses(attention, steps_B, torch.minimum(tokens_B, steps_B))
    forward_sum, atten = _mean_over(forward_sum_B, steps_B >= tokens_B, None if of is None else of.stepped)
    text = mi = emb = zero
    if predicted.transcript_BFV is not None:
        assert tokens_BN is not None  # the text head's loss is about them
        readable_B = frames_B >= frames_needed(tokens_BN, tokens_B)
        mi_B = mi_losses(predicted.transcript_BFV, tokens_BN, tokens_B.where(readable_B, 1), frames_B)
        text, mi = _mean_over(mi_B, readable_B, None if of is None else of.readable)
    if predicted.style_BS is not None and predicted.predicted_style_BS is not None:
        emb = emb_losses(predicted.predicted_style_BS, predicted.style_BS).sum() / utterances
    loss = taco + weights.gate_weight * gate + weights.guide_weight * guide
    loss = loss + weights.forward_sum_weight * forward_sum + text + emb
    return {
        "loss": loss,
        "taco_loss": taco,
        "atten_loss": atten,
        "mi_loss": mi,
        "guide_loss": guide,
        "gate_loss": gate,
        "emb_loss": emb,
    }


def _mean_over(losses_B: Tensor, possible_B: Tensor, count: Tensor | None) -> tuple[Tensor, Tensor]:
    """The mean over utterances where it is possible: as it adds to the loss, and as it is told, NaN without any."""
    count = possible_B.sum() if count is None else count
    mean = losses_B.masked_fill(~possible_B, 0.0).sum() / count.clamp_min(1)
    return mean, torch.where(count > 0, mean, float("nan"))

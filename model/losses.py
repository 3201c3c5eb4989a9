"""The losses of training and validation, by the metrics contract (docs/metrics.md).

Every average is over real positions: per utterance first, then over utterances.
B utterances, N tokens, T decoder steps, F mel frames, M mel channels.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from model.lengths import decoder_steps, length_mask, utterance_mean
from model.tacotron2 import Prediction


@dataclass(frozen=True, kw_only=True)
class LossWeights:
    """What each term counts in training.loss."""

    gate: float = 1.0
    gate_positive: float = 1.0
    """Weight of the one positive frame of each utterance inside the gate loss."""
    guide: float = 0.0
    guide_sigma: float = 0.2
    """Width g of the guided attention's diagonal."""
    forward_sum: float = 0.0


def taco_losses(predicted: Prediction, mels_BMF: Tensor, frames_B: Tensor) -> Tensor:
    """MSE before plus MSE after the postnet, mean over real frames x mel bins: (B,)."""
    error_BF = ((predicted.mels_BMF - mels_BMF) ** 2 + (predicted.refined_BMF - mels_BMF) ** 2).mean(1)
    return utterance_mean(error_BF, length_mask(frames_B, mels_BMF.shape[2]))


def gate_losses(gate_BT: Tensor, steps_B: Tensor, positive_weight: float) -> Tensor:
    """BCE with logits over real steps; an utterance's last step is its one positive: (B,)."""
    position = torch.arange(gate_BT.shape[1], device=gate_BT.device)
    target_BT = (position == steps_B[:, None] - 1).to(gate_BT.dtype)
    weight = torch.as_tensor(positive_weight, dtype=gate_BT.dtype, device=gate_BT.device)
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


def training_losses(
    predicted: Prediction, tokens_B: Tensor, mels_BMF: Tensor, frames_B: Tensor, *, r: int, weights: LossWeights
) -> dict[str, Tensor]:
    """Every loss of the contract as a scalar, without the prefix `training.`; `loss` is the weighted sum to optimise.

    `atten_loss` is NaN when no utterance of the batch has a step for each token; it then adds nothing to `loss`.
    `guide_loss` is 0 when its weight is 0; `mi_loss` and `emb_loss` are 0 because nothing here uses them.
    """
    steps_B = decoder_steps(frames_B, r)
    attention = predicted.attention_BTN
    taco = taco_losses(predicted, mels_BMF, frames_B).mean()
    gate = gate_losses(predicted.gate_BT.to(mels_BMF.dtype), steps_B, weights.gate_positive).mean()
    zero = torch.zeros_like(taco)
    guide = guide_losses(attention, steps_B, tokens_B, weights.guide_sigma).mean() if weights.guide else zero
    possible_B = steps_B >= tokens_B
    with torch.set_grad_enabled(torch.is_grad_enabled() and weights.forward_sum > 0):
        forward_sum_B = forward_sum_losses(attention, steps_B, torch.minimum(tokens_B, steps_B))
        forward_sum = forward_sum_B.masked_fill(~possible_B, 0.0).sum() / possible_B.sum().clamp_min(1)
    loss = taco + weights.gate * gate + weights.guide * guide + weights.forward_sum * forward_sum
    return {
        "loss": loss,
        "taco_loss": taco,
        "atten_loss": torch.where(possible_B.any(), forward_sum, float("nan")),
        "mi_loss": zero,
        "guide_loss": guide,
        "gate_loss": gate,
        "emb_loss": zero,
    }

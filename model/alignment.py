"""Statistics of attention and stop gate, by the metrics contract: plain batched functions, on the tensors' own device.

B utterances, T decoder steps, N tokens. Each returns one value per utterance (B,), padding excluded.
"""

import torch
from torch import Tensor

from model.lengths import length_mask, utterance_mean


def alignment_score(attention_BTN: Tensor, steps_B: Tensor, tokens_B: Tensor) -> Tensor:
    """Share of the attention mass within 15 % of the diagonal: 1 monotonic, 0.28 uniform, 0.16 stuck on one end."""
    _, steps, tokens = attention_BTN.shape
    t_T1 = 2 * torch.arange(steps, device=attention_BTN.device)[:, None] + 1
    n_N = 2 * torch.arange(tokens, device=attention_BTN.device) + 1
    steps_B11, tokens_B11 = steps_B[:, None, None], tokens_B[:, None, None]
    # |(n + .5) / N - (t + .5) / T| < .15 in whole numbers, so that rounding does not decide at the band's edge
    band_BTN = 10 * (n_N * steps_B11 - t_T1 * tokens_B11).abs() < 3 * steps_B11 * tokens_B11
    return utterance_mean((attention_BTN * band_BTN).sum(2), length_mask(steps_B, steps))


def attention_entropy(attention_BTN: Tensor, steps_B: Tensor, tokens_B: Tensor) -> Tensor:
    """Entropy of each step's weights over that of uniform weights, mean over steps: 0 sharp, 1 uniform."""
    entropy_BT = -torch.xlogy(attention_BTN, attention_BTN).sum(2)
    mean_B = utterance_mean(entropy_BT, length_mask(steps_B, attention_BTN.shape[1]))
    return (
        mean_B / tokens_B.clamp_min(2).to(mean_B.dtype).log()
    )  # a single token has entropy 0 whatever it is divided by


def attention_focus(attention_BTN: Tensor, steps_B: Tensor) -> Tensor:
    """Mean over steps of the largest weight: the focus rate (FastSpeech, 1905.09263)."""
    return utterance_mean(attention_BTN.amax(2), length_mask(steps_B, attention_BTN.shape[1]))


def attention_coverage(attention_BTN: Tensor, steps_B: Tensor, tokens_B: Tensor) -> Tensor:
    """Share of the tokens read in order, times the share of steps whose peak moves by 0, 1 or 2 tokens.

    The first factor is the best strictly monotonic matching of tokens to steps:
    D[t, n] = max(D[t-1, n], D[t, n-1], D[t-1, n-1] + a[t, n]), divided by N.
    """
    batch, steps, tokens = attention_BTN.shape
    best_BN = attention_BTN.new_zeros(batch, tokens + 1)
    real_BT = length_mask(steps_B, steps)
    attention_BTN = attention_BTN * real_BT[:, :, None]
    for weights_BN in attention_BTN.unbind(1):
        matched = torch.maximum(best_BN[:, 1:], best_BN[:, :-1] + weights_BN)
        best_BN = torch.cat([best_BN[:, :1], matched.cummax(1).values], dim=1)
    read_B = best_BN.gather(1, tokens_B[:, None]).squeeze(1) / tokens_B
    moves = attention_BTN.argmax(2).diff(dim=1)
    smooth_BT = ((moves >= 0) & (moves <= 2)).to(attention_BTN.dtype)
    return read_B * (smooth_BT * real_BT[:, 1:]).sum(1) / (steps_B - 1)


def attention_spread(attention_BTN: Tensor, steps_B: Tensor, tokens_B: Tensor) -> Tensor:
    """Share of the text between the lowest and highest peak of the attention: near 1 when read, near 0 when stuck."""
    peaks_BT = attention_BTN.argmax(2)
    real_BT = length_mask(steps_B, attention_BTN.shape[1])
    highest_B = peaks_BT.masked_fill(~real_BT, 0).amax(1)
    lowest_B = peaks_BT.masked_fill(~real_BT, attention_BTN.shape[2]).amin(1)
    return (highest_B - lowest_B) / tokens_B


def gate_moments(gate_BT: Tensor, steps_B: Tensor) -> tuple[Tensor, Tensor]:
    """Class-balanced first and second moment of the stop probability: half stop step, half the other steps.

    Over utterances, gate_mean is the mean of the first and gate_std = sqrt(mean of the second - gate_mean ** 2).
    """
    probability_BT = gate_BT.sigmoid()
    last_B1 = steps_B[:, None] - 1
    other_BT = torch.arange(gate_BT.shape[1], device=gate_BT.device) < last_B1
    moments = []
    for power_BT in (probability_BT, probability_BT**2):
        stop_B = power_BT.gather(1, last_B1).squeeze(1)
        moments.append(0.5 * stop_B + 0.5 * utterance_mean(power_BT, other_BT))
    return moments[0], moments[1]

"""The statistics mean what the metrics contract says, on known attentions and against plain loops."""

import math
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from model.alignment import (
    alignment_score,
    attention_coverage,
    attention_entropy,
    attention_focus,
    attention_spread,
    gate_moments,
)
from model.losses import guide_losses

STATISTICS = ["score", "focus", "entropy", "coverage", "guide", "spread"]


def statistics(attention_BTN: Tensor, steps_B: Tensor, tokens_B: Tensor) -> dict[str, Tensor]:
    return {
        "score": alignment_score(attention_BTN, steps_B, tokens_B),
        "focus": attention_focus(attention_BTN, steps_B),
        "entropy": attention_entropy(attention_BTN, steps_B, tokens_B),
        "coverage": attention_coverage(attention_BTN, steps_B, tokens_B),
        "guide": guide_losses(attention_BTN, steps_B, tokens_B, 0.2),
        "spread": attention_spread(attention_BTN, steps_B, tokens_B),
    }


def attention_at(place_T: Tensor, tokens: int = 100, width: float = 0.47) -> Tensor:
    """A bell around a place of the text (0..1) at every step, with 1 % of the mass spread evenly: (1, T, N)."""
    peak_T = (place_T * tokens).floor().clamp(0, tokens - 1)
    bell_TN = torch.softmax(-((torch.arange(tokens) - peak_T[:, None]) ** 2) / (2 * width**2), dim=1)
    return (0.99 * bell_TN + 0.01 / tokens)[None]


def shapes() -> dict[str, Tensor]:
    """The attentions of the contract's table: 100 tokens, 570 steps."""
    time_T = (torch.arange(570, dtype=torch.float64) + 0.5) / 570
    pace_T = time_T - 0.036 * torch.sin(2 * math.pi * time_T)  # a speaker slower at both ends
    return {
        "converged": attention_at(pace_T),
        "uniform": torch.full((1, 570, 100), 0.01, dtype=torch.float64),
        "stuck": attention_at(torch.zeros_like(time_T), width=0.3),
        "reversed": attention_at(1.0 - pace_T),
        "stalls": attention_at(0.6 * (1.0 - (1.0 - time_T) ** 1.2)),  # ever slower, and never past 60 %
    }


TABLE = {
    "converged": [(0.95, 1.0), (0.7, 0.85), (0.1, 0.2), (0.8, 1.0), (0.0, 0.02), (0.95, 1.0)],
    "uniform": [(0.2765, 0.278), (0.0099, 0.0101), (0.9999, 1.0001), (0.0, 0.02), (0.575, 0.585), (-0.01, 0.01)],
    "stuck": [(0.15, 0.165), (0.9, 1.0), (0.0, 0.1), (0.0, 0.02), (0.73, 0.75), (-0.01, 0.01)],
    "reversed": [(0.125, 0.135), (0.7, 0.85), (0.1, 0.2), (0.0, 0.02), (0.75, 0.77), (0.95, 1.0)],
    "stalls": [(0.45, 0.55), (0.7, 0.85), (0.1, 0.2), (0.45, 0.55), (0.34, 0.36), (0.55, 0.61)],
}


@pytest.mark.parametrize("shape", list(TABLE))
@pytest.mark.parametrize("name", STATISTICS)
def test_score_table_of_the_metrics_contract(shape: str, name: str) -> None:
    value = statistics(shapes()[shape], torch.tensor([570]), torch.tensor([100]))[name].item()
    low, high = TABLE[shape][STATISTICS.index(name)]
    assert low < value < high


def plain_statistics(attention_TN: list[list[float]]) -> dict[str, float]:
    """The contract's formulas, written as loops over one utterance without padding."""
    steps, tokens = len(attention_TN), len(attention_TN[0])
    score = entropy = focus = guide = 0.0
    best = [[0.0] * (tokens + 1) for _ in range(steps + 1)]
    for t, row in enumerate(attention_TN):
        focus += max(row) / steps
        for n, weight in enumerate(row):
            score += weight * (abs((n + 0.5) / tokens - (t + 0.5) / steps) < 0.15) / steps
            entropy -= weight * math.log(weight) / math.log(tokens) / steps
            guide += weight * (1 - math.exp(-((n / tokens - t / steps) ** 2) / (2 * 0.2**2))) / steps
            best[t + 1][n + 1] = max(best[t][n + 1], best[t + 1][n], best[t][n] + weight)
    peaks = [row.index(max(row)) for row in attention_TN]
    smooth = sum(after - before in (0, 1, 2) for before, after in pairwise(peaks)) / (steps - 1)
    coverage = best[steps][tokens] / tokens * smooth
    spread = (max(peaks) - min(peaks)) / tokens
    return {"score": score, "focus": focus, "entropy": entropy, "coverage": coverage, "guide": guide, "spread": spread}


LENGTHS = [(23, 9), (11, 13), (17, 5), (2, 3)]
"""Decoder steps and tokens of the utterances of a batch; no product of them puts a token on the band's very edge."""


def random_attention(seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """A batch of noisy alignments with exact zeros on padded tokens and garbage in padded steps."""
    generator = torch.Generator().manual_seed(seed)
    steps_B, tokens_B = (torch.tensor(lengths) for lengths in zip(*LENGTHS, strict=True))
    attention = torch.rand(len(LENGTHS), 23, 13, generator=generator, dtype=torch.float64) * 50.0
    for b, (steps, tokens) in enumerate(LENGTHS):
        diagonal = -((torch.arange(tokens) / tokens - torch.arange(steps)[:, None] / steps) ** 2) * 20.0
        noise = torch.randn(steps, tokens, generator=generator, dtype=torch.float64)
        attention[b, :steps] = 0.0
        attention[b, :steps, :tokens] = torch.softmax(diagonal + noise, dim=1)
    return attention, steps_B, tokens_B


@pytest.mark.parametrize("name", STATISTICS)
def test_each_statistic_is_its_plain_formula_whatever_the_padding(name: str) -> None:
    attention, steps_B, tokens_B = random_attention()
    values = statistics(attention, steps_B, tokens_B)[name].tolist()
    for b, (steps, tokens) in enumerate(LENGTHS):
        expected = plain_statistics(attention[b, :steps, :tokens].tolist())[name]
        rounding = 1e-6 if name in ("guide", "entropy", "spread") else 1e-12  # n / N, t / T and ln N are float32
        assert values[b] == pytest.approx(expected, rel=rounding)


def test_jumps_of_the_peak_lower_the_coverage() -> None:
    skipping = torch.eye(12, dtype=torch.float64)[None, ::3]  # four steps, three tokens ahead each time
    walking = torch.eye(12, dtype=torch.float64)[None, ::2]
    assert attention_coverage(skipping, torch.tensor([4]), torch.tensor([12])).item() == 0.0
    assert attention_coverage(walking, torch.tensor([6]), torch.tensor([12])).item() == 0.5


def test_a_sharp_attention_has_no_entropy_even_with_one_token() -> None:
    sharp = torch.eye(4, dtype=torch.float64)[None]
    assert attention_entropy(sharp, torch.tensor([4]), torch.tensor([4])).item() == 0.0
    assert attention_entropy(torch.ones(1, 3, 1), torch.tensor([3]), torch.tensor([1])).item() == 0.0


def balanced(gate_BT: Tensor, steps_B: Tensor) -> tuple[float, float]:
    """The logged gate_mean and gate_std of a validation set."""
    first, second = (moment.mean() for moment in gate_moments(gate_BT, steps_B))
    return first.item(), (second - first**2).clamp_min(0.0).sqrt().item()


STEPS_B = torch.tensor([9, 4, 6])
IS_LAST = torch.arange(9) == STEPS_B[:, None] - 1


@pytest.mark.parametrize(
    ("gate_BT", "mean", "std"),
    [
        pytest.param(torch.where(IS_LAST, 40.0, -40.0), 0.5, 0.5, id="perfect"),
        pytest.param(torch.full((3, 9), -1.5), 1 / (1 + math.exp(1.5)), 0.0, id="learned nothing"),
        pytest.param(torch.full((3, 9), -40.0), 0.0, 0.0, id="never stops"),
        pytest.param(torch.full((3, 9), 40.0), 1.0, 0.0, id="always stops"),
    ],
)
def test_gate_moments_tell_a_good_gate_from_a_sick_one(gate_BT: Tensor, mean: float, std: float) -> None:
    assert balanced(gate_BT.double(), STEPS_B) == pytest.approx((mean, std), abs=1e-7)


def test_gate_moments_are_their_plain_formula_whatever_the_padding() -> None:
    gate_BT = torch.randn(3, 9, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    first_B, second_B = gate_moments(gate_BT, STEPS_B)
    for b, steps in enumerate(STEPS_B.tolist()):
        *other, stop = [1 / (1 + math.exp(-logit)) for logit in gate_BT[b, :steps].tolist()]
        assert first_B[b].item() == pytest.approx((stop + sum(other) / len(other)) / 2, rel=1e-12)
        squares = sum(p**2 for p in other) / len(other)
        assert second_B[b].item() == pytest.approx((stop**2 + squares) / 2, rel=1e-12)

"""Each loss is its formula, averaged per utterance first, blind to padding, with the gradient of the formula."""

import math
from dataclasses import replace
from itertools import combinations

import pytest
import torch
from torch import Tensor

from model.losses import (
    Counts,
    LossWeights,
    emb_losses,
    forward_sum_losses,
    gate_losses,
    guide_losses,
    taco_losses,
    training_losses,
)
from model.mmi import mi_losses
from model.prediction import Prediction

MELS, SYMBOLS, STYLE = 3, 5, 4
ALL_ON = LossWeights(
    gate_weight=0.7, gate_positive_weight=5.0, guide_weight=3.0, guide_sigma=0.3, forward_sum_weight=0.2
)


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def masked_softmax(energies_BTN: Tensor, tokens_B: Tensor) -> Tensor:
    padding_BN = torch.arange(energies_BTN.shape[2]) >= tokens_B[:, None]
    return energies_BTN.masked_fill(padding_BN[:, None], float("-inf")).softmax(2)


def random_prediction(frames: int, tokens_B: Tensor, r: int = 1) -> Prediction:
    """Garbage everywhere but in the attention's padded tokens, which are 0 as the network makes them."""
    batch, steps = len(tokens_B), -(-frames // r)
    attention = masked_softmax(random(batch, steps, int(tokens_B.max()), seed=3), tokens_B)
    mels = random(batch, MELS, frames, seed=1), random(batch, MELS, frames, seed=2)
    return Prediction(*mels, random(batch, steps, seed=4), attention)


def with_text_and_style(predicted: Prediction, tokens_B: Tensor) -> tuple[Prediction, Tensor]:
    """The same prediction by a network with text head and style tokens, and a text of which no neighbours are equal."""
    batch, _, frames = predicted.mels_BMF.shape
    transcript = random(batch, frames, SYMBOLS, seed=5).log_softmax(2)
    styles = random(2, batch, STYLE, seed=6)
    tokens_BN = 1 + torch.arange(int(tokens_B.max())).expand(batch, -1) % (SYMBOLS - 1)
    return replace(predicted, transcript_BFV=transcript, style_BS=styles[0], predicted_style_BS=styles[1]), tokens_BN


def test_taco_loss_is_the_mean_squared_error_before_plus_after_the_postnet() -> None:
    predicted, target = random_prediction(6, torch.tensor([2, 2])), random(2, MELS, 6)
    values = taco_losses(predicted, target, torch.tensor([6, 4])).tolist()
    for b, frames in enumerate([6, 4]):
        total = 0.0
        for stage in (predicted.mels_BMF[b], predicted.refined_BMF[b]):
            total += sum((stage[m, f] - target[b, m, f]).item() ** 2 for m in range(MELS) for f in range(frames))
        assert values[b] == pytest.approx(total / (MELS * frames), rel=1e-12)


@pytest.mark.parametrize("positive_weight", [1.0, 8.0])
def test_gate_loss_is_cross_entropy_with_each_last_step_positive(positive_weight: float) -> None:
    gate_BT = random(2, 5)
    values = gate_losses(gate_BT, torch.tensor([5, 3]), positive_weight).tolist()
    for b, steps in enumerate([5, 3]):
        *other, last = [1 / (1 + math.exp(-logit)) for logit in gate_BT[b, :steps].tolist()]
        expected = -positive_weight * math.log(last) - sum(math.log(1 - p) for p in other)
        assert values[b] == pytest.approx(expected / steps, rel=1e-12)


@pytest.mark.parametrize("sigma", [0.2, 0.4])
def test_guide_loss_is_the_mass_weighted_by_its_distance_from_the_diagonal(sigma: float) -> None:
    attention = random_prediction(7, torch.tensor([4, 3])).attention_BTN
    values = guide_losses(attention, torch.tensor([7, 5]), torch.tensor([4, 3]), sigma).tolist()
    for b, (steps, tokens) in enumerate([(7, 4), (5, 3)]):
        total = 0.0
        for t in range(steps):
            for n in range(tokens):
                off_diagonal = 1 - math.exp(-((n / tokens - t / steps) ** 2) / (2 * sigma**2))
                total += attention[b, t, n].item() * off_diagonal
        assert values[b] == pytest.approx(total / steps, rel=1e-6)  # positions are float32


@pytest.mark.parametrize(("place", "expected"), [("diagonal", 0.0), ("even", 0.58), ("first", 0.75), ("last", 0.75)])
def test_guide_loss_has_the_contracts_values(place: str, expected: float) -> None:
    peaks = {"diagonal": torch.arange(500) // 5, "first": torch.zeros(500).long(), "last": torch.full((500,), 99)}
    attention = torch.eye(100)[peaks[place]] if place in peaks else torch.full((500, 100), 0.01)
    value = guide_losses(attention[None], torch.tensor([500]), torch.tensor([100]), 0.2).item()
    assert value == pytest.approx(expected, abs=0.01)


def brute_force_forward_sum(log_attention_TN: Tensor) -> Tensor:
    """The same loss by writing out every way to read all tokens in order, each for at least one step."""
    steps, tokens = log_attention_TN.shape
    paths = []
    for starts in combinations(range(1, steps), tokens - 1):
        place = [sum(start <= t for start in starts) for t in range(steps)]
        paths.append(log_attention_TN[range(steps), place].sum())
    return -torch.stack(paths).logsumexp(0) / steps


@pytest.mark.parametrize("lengths", [[(4, 2)], [(5, 3)], [(4, 4)], [(3, 1)], [(7, 4), (3, 3), (5, 2)]])
def test_forward_sum_is_the_likelihood_of_all_monotonic_alignments(lengths: list[tuple[int, int]]) -> None:
    steps_B, tokens_B = (torch.tensor(values) for values in zip(*lengths, strict=True))
    energies = random(len(lengths), int(steps_B.max()), int(tokens_B.max())).requires_grad_()
    losses_B = forward_sum_losses(masked_softmax(energies, tokens_B), steps_B, tokens_B)
    plain_B = torch.stack(
        [brute_force_forward_sum(energies[b, :t, :n].log_softmax(1)) for b, (t, n) in enumerate(lengths)]
    )
    torch.testing.assert_close(losses_B, plain_B, rtol=1e-10, atol=1e-10)
    scale_B = torch.arange(1.0, len(lengths) + 1.0, dtype=torch.float64)
    (gradient,) = torch.autograd.grad(losses_B @ scale_B, energies)
    (plain_gradient,) = torch.autograd.grad(plain_B @ scale_B, energies)
    torch.testing.assert_close(gradient, plain_gradient, rtol=1e-9, atol=1e-11)


def test_forward_sum_is_small_when_aligned_and_large_when_not() -> None:
    aligned = torch.eye(100)[torch.arange(570) * 100 // 570] * 0.8 + 0.002
    stuck = torch.eye(100)[torch.zeros(570).long()] * 0.8 + 0.002
    attention = torch.stack([aligned, stuck, torch.full((570, 100), 0.01)])
    low, high, even = forward_sum_losses(attention, torch.tensor([570] * 3), torch.tensor([100] * 3)).tolist()
    assert low < 0.25
    assert high > 1.0
    assert 3.9 < even < math.log(100)


def test_taco_and_gate_and_guide_losses_have_the_gradients_of_their_values() -> None:
    steps_B, tokens_B, target = torch.tensor([4, 2]), torch.tensor([3, 2]), random(2, MELS, 4, seed=9)
    predicted = random_prediction(4, tokens_B)
    gate, attention = predicted.gate_BT, predicted.attention_BTN
    stages = predicted.mels_BMF.requires_grad_(), predicted.refined_BMF.requires_grad_()
    assert torch.autograd.gradcheck(
        lambda *mels: taco_losses(Prediction(*mels, gate, attention), target, steps_B), stages
    )
    assert torch.autograd.gradcheck(lambda logits: gate_losses(logits, steps_B, 5.0), gate.requires_grad_())
    attention.requires_grad_()
    assert torch.autograd.gradcheck(lambda weights: guide_losses(weights, steps_B, tokens_B, 0.2), attention)


def training(
    predicted: Prediction, tokens: list[int], frames: list[int], r: int = 1, **weights: float
) -> dict[str, float]:
    target = random(len(tokens), MELS, predicted.mels_BMF.shape[2], seed=9)
    chosen = LossWeights(**weights) if weights else ALL_ON
    losses = training_losses(predicted, torch.tensor(tokens), target, torch.tensor(frames), r=r, weights=chosen)
    return {name: value.item() for name, value in losses.items()}


@pytest.mark.parametrize("r", [1, 2])
def test_every_loss_is_averaged_per_utterance_first(r: int) -> None:
    tokens, frames = [2, 3, 1], [9, 7, 2]
    predicted = random_prediction(9, torch.tensor(tokens), r)
    batched = training(predicted, tokens, frames, r)
    target = random(3, MELS, 9, seed=9)
    alone = []
    for b, (n, f) in enumerate(zip(tokens, frames, strict=True)):
        own = Prediction(
            predicted.mels_BMF[b : b + 1, :, :f],
            predicted.refined_BMF[b : b + 1, :, :f],
            predicted.gate_BT[b : b + 1, : -(-f // r)],
            predicted.attention_BTN[b : b + 1, : -(-f // r), :n],
        )
        lengths = torch.tensor([n]), target[b : b + 1, :, :f], torch.tensor([f])
        alone.append(training_losses(own, *lengths, r=r, weights=ALL_ON))
    for name, value in batched.items():
        assert value == pytest.approx(sum(losses[name].item() for losses in alone) / 3, rel=1e-12)


def test_loss_is_the_weighted_sum() -> None:
    predicted = random_prediction(6, torch.tensor([3, 2]))
    losses = training(predicted, [3, 2], [6, 4])
    terms = losses["taco_loss"] + 0.7 * losses["gate_loss"] + 3.0 * losses["guide_loss"] + 0.2 * losses["atten_loss"]
    assert losses["loss"] == pytest.approx(terms, rel=1e-12)
    assert min(losses[name] for name in ("taco_loss", "gate_loss", "guide_loss", "atten_loss")) > 0.0


def test_losses_have_the_contracts_names_and_unused_ones_are_zero() -> None:
    losses = training(random_prediction(6, torch.tensor([3, 2])), [3, 2], [6, 4], guide_weight=0.0)
    assert set(losses) == {
        "loss", "taco_loss", "atten_loss", "mi_loss", "guide_loss", "gate_loss", "emb_loss",
    }  # fmt: skip
    assert losses["mi_loss"] == losses["emb_loss"] == losses["guide_loss"] == 0.0


def test_forward_sum_is_reported_without_a_weight_but_not_trained() -> None:
    energies = random(2, 6, 3, seed=5).requires_grad_()
    attention = masked_softmax(energies, torch.tensor([3, 2]))
    predicted = Prediction(random(2, MELS, 6), random(2, MELS, 6), random(2, 6), attention)
    arguments = predicted, torch.tensor([3, 2]), random(2, MELS, 6, seed=9), torch.tensor([6, 4])
    unweighted = training_losses(*arguments, r=1, weights=LossWeights())
    weighted = training_losses(*arguments, r=1, weights=LossWeights(forward_sum_weight=1.0))
    assert unweighted["atten_loss"].item() == weighted["atten_loss"].item() > 0.0
    assert not unweighted["loss"].requires_grad
    assert weighted["loss"].requires_grad


def test_an_utterance_with_fewer_steps_than_tokens_is_left_out_of_the_forward_sum() -> None:
    tokens_B = torch.tensor([3, 5, 2])
    predicted = random_prediction(6, tokens_B)
    steps_B = torch.tensor([6, 4, 4])
    kept = forward_sum_losses(predicted.attention_BTN, steps_B, torch.tensor([3, 1, 2]))[[0, 2]].mean().item()
    assert training(predicted, [3, 5, 2], [6, 4, 4])["atten_loss"] == pytest.approx(kept, rel=1e-12)


def test_forward_sum_is_nan_when_no_utterance_is_left_and_the_loss_goes_on_without_it() -> None:
    energies = random(2, 4, 6).requires_grad_()
    attention = masked_softmax(energies, torch.tensor([6, 5]))
    predicted = Prediction(random(2, MELS, 4), random(2, MELS, 4), random(2, 4), attention)
    arguments = predicted, torch.tensor([6, 5]), random(2, MELS, 4, seed=9), torch.tensor([4, 3])
    losses = training_losses(*arguments, r=1, weights=ALL_ON)
    assert math.isnan(losses["atten_loss"].item())
    terms = losses["taco_loss"] + 0.7 * losses["gate_loss"] + 3.0 * losses["guide_loss"]
    torch.testing.assert_close(losses["loss"], terms)
    (gradient,) = torch.autograd.grad(losses["loss"], energies)
    assert gradient.isfinite().all()
    assert gradient.norm() > 0.0


@pytest.mark.parametrize("r", [1, 2, 3])
def test_gradients_never_reach_padding(r: int) -> None:
    tokens_B, frames_B, target = torch.tensor([3, 2]), torch.tensor([11, 7]), random(2, MELS, 11, seed=9)
    predicted = random_prediction(11, tokens_B, r)
    predicted, tokens_BN = with_text_and_style(predicted, tokens_B)
    parts = [part.requires_grad_() for part in vars(predicted).values()]
    loss = training_losses(predicted, tokens_B, target, frames_B, r=r, weights=ALL_ON, tokens_BN=tokens_BN)["loss"]
    mels, refined, gate, attention, transcript, style, text_style = torch.autograd.grad(loss, parts, allow_unused=True)
    steps = -(-7 // r)
    for beyond in (mels[1, :, 7:], refined[1, :, 7:], gate[1, steps:], attention[1, steps:], transcript[1, 7:]):
        assert beyond.abs().max() == 0.0
    for real in (mels[1, :, 6], refined[1, :, 6], gate[1, steps - 1], attention[1, steps - 1], transcript[1, 6]):
        assert real.norm() > 0.0
    assert style is None
    assert text_style.norm() > 0.0


def test_nan_in_the_padding_does_not_change_a_loss() -> None:
    tokens_B, frames_B, target = torch.tensor([3, 2]), torch.tensor([6, 4]), random(2, MELS, 6, seed=9)
    predicted, tokens_BN = with_text_and_style(random_prediction(6, tokens_B), tokens_B)
    arguments = predicted, tokens_B, target, frames_B
    expected = training_losses(*arguments, r=1, weights=ALL_ON, tokens_BN=tokens_BN)
    for padding in (
        predicted.transcript_BFV[1, 4:],
        predicted.mels_BMF[1, :, 4:],
        predicted.gate_BT[1, 4:],
        predicted.attention_BTN[1, 4:],
        target[1, :, 4:],
    ):
        padding.fill_(float("nan"))
    losses = training_losses(*arguments, r=1, weights=ALL_ON, tokens_BN=tokens_BN)
    assert {name: value.item() for name, value in losses.items()} == {
        name: value.item() for name, value in expected.items()
    }


def part(predicted: Prediction, rows: slice) -> Prediction:
    return Prediction(**{name: value[rows] for name, value in vars(predicted).items()})


@pytest.mark.parametrize("tokens", [[3, 2, 6], [3, 9, 9]], ids=["one cannot be aligned", "a part cannot be aligned"])
@pytest.mark.parametrize("r", [1, 2])
def test_the_losses_of_parts_and_their_gradients_add_up_to_the_wholes(r: int, tokens: list[int]) -> None:
    tokens_B, frames_B, target = torch.tensor(tokens), torch.tensor([8, 7, 5]), random(3, MELS, 8, seed=9)
    predicted, tokens_BN = with_text_and_style(random_prediction(8, tokens_B, r), tokens_B)
    leaves = [value.requires_grad_() for value in vars(predicted).values()]
    arguments = predicted, tokens_B, target, frames_B
    whole = training_losses(*arguments, r=r, weights=ALL_ON, tokens_BN=tokens_BN)
    expected = torch.autograd.grad(whole["loss"], leaves, allow_unused=True, materialize_grads=True)
    of, parts = Counts.of(tokens_BN, tokens_B, frames_B, r), []
    for rows in (slice(0, 1), slice(1, 3)):
        own = part(predicted, rows), tokens_B[rows], target[rows], frames_B[rows]
        parts.append(training_losses(*own, r=r, weights=ALL_ON, tokens_BN=tokens_BN[rows], of=of))
    for name, value in whole.items():
        torch.testing.assert_close(parts[0][name] + parts[1][name], value, msg=name)
    total = parts[0]["loss"] + parts[1]["loss"]
    found = torch.autograd.grad(total, leaves, allow_unused=True, materialize_grads=True)
    torch.testing.assert_close(found, expected)


def test_text_and_style_count_fully_in_the_loss() -> None:
    tokens_B, frames_B, target = torch.tensor([3, 2]), torch.tensor([6, 4]), random(2, MELS, 6, seed=9)
    plain = random_prediction(6, tokens_B)
    predicted, tokens_BN = with_text_and_style(plain, tokens_B)
    losses = training_losses(predicted, tokens_B, target, frames_B, r=1, weights=ALL_ON, tokens_BN=tokens_BN)
    without = training_losses(plain, tokens_B, target, frames_B, r=1, weights=ALL_ON)["loss"]
    torch.testing.assert_close(losses["loss"], without + losses["mi_loss"] + losses["emb_loss"])
    mean = mi_losses(predicted.transcript_BFV, tokens_BN, tokens_B, frames_B).mean()
    assert losses["mi_loss"].item() == pytest.approx(mean.item(), rel=1e-12)


def test_an_utterance_with_too_few_frames_for_its_text_is_left_out_of_the_mi_loss() -> None:
    tokens_B, frames_B, target = torch.tensor([3, 4]), torch.tensor([6, 4]), random(2, MELS, 6, seed=9)
    predicted, tokens_BN = with_text_and_style(random_prediction(6, tokens_B), tokens_B)
    tokens_BN = tokens_BN.clone()
    tokens_BN[1, 1] = tokens_BN[1, 0]  # two of the same need a frame between them: 5 frames
    predicted.transcript_BFV.requires_grad_()
    arguments = predicted, tokens_B, target, frames_B
    losses = training_losses(*arguments, r=1, weights=ALL_ON, tokens_BN=tokens_BN)
    kept = mi_losses(predicted.transcript_BFV[:1], tokens_BN[:1], tokens_B[:1], frames_B[:1])
    torch.testing.assert_close(losses["mi_loss"], kept[0])
    (gradient,) = torch.autograd.grad(losses["loss"], predicted.transcript_BFV)
    assert gradient.isfinite().all()
    alone = part(predicted, slice(1, 2)), tokens_B[1:], target[1:], frames_B[1:]
    assert training_losses(*alone, r=1, weights=ALL_ON, tokens_BN=tokens_BN[1:])["mi_loss"].isnan()
    assert training_losses(*alone, r=1, weights=ALL_ON, tokens_BN=tokens_BN[1:])["loss"].isfinite()


def test_emb_loss_is_the_absolute_error_of_a_target_that_does_not_move() -> None:
    predicted, style = random(3, STYLE, seed=1).requires_grad_(), random(3, STYLE, seed=2).requires_grad_()
    losses_B = emb_losses(predicted, style)
    for b in range(3):
        assert losses_B[b].item() == pytest.approx(sum(abs(predicted[b, s] - style[b, s]).item() for s in range(4)) / 4)
    found, none = torch.autograd.grad(losses_B.sum(), [predicted, style], allow_unused=True)
    torch.testing.assert_close(found, (predicted - style).sign() / STYLE)
    assert none is None

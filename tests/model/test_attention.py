"""The attention kinds: what each of them can and cannot do, and their gradients."""

import math

import pytest
import torch
from torch import Tensor, nn

from model.attention import Attention, ForwardAttention, LocationAlignment
from model.decoder import ATTENTIONS
from model.dynamic import DynamicAlignment, DynamicAttention
from model.scoring import PRIOR
from model.sizes import Sizes
from tests.support.networks import KINDS, small_model
from tests.support.plain_tacotron2 import beta_binomial

B, TOKENS, WIDTH, HIDDEN = 2, 6, 8, 9
SIZES = Sizes(
    symbols_embedding_dim=WIDTH,
    attention_rnn_dim=HIDDEN,
    attention_dim=5,
    attention_location_n_filters=3,
    attention_location_kernel_size=5,
)
ONWARD = KINDS[1:]
"""The kinds that cannot go back."""


def layer(kind: str) -> Attention | DynamicAttention:
    torch.manual_seed(0)
    return ATTENTIONS[kind][0](SIZES).double()


def started(
    attention: Attention | DynamicAttention, tokens: int = TOKENS, real: int = 1000
) -> LocationAlignment | DynamicAlignment:
    """The attention over random memories, of whose tokens so many are real at most."""
    memory = torch.randn(B, tokens, WIDTH, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return attention.start(memory, (torch.arange(tokens) >= real).expand(B, -1))


def outputs(steps: int, scale: float = 1.0) -> Tensor:
    """What the attention LSTM might say (T, B, H)."""
    return scale * torch.randn(steps, B, HIDDEN, generator=torch.Generator().manual_seed(2), dtype=torch.float64)


def indifferent(kind: str) -> Attention | DynamicAttention:
    """An attention that scores all tokens alike."""
    attention = layer(kind)
    nn.init.zeros_(attention.v.linear_layer.weight)
    return attention


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_are_the_finite_differences(kind: str) -> None:
    attention, hidden_TBH = layer(kind), outputs(3).requires_grad_()
    memory = torch.randn(B, TOKENS, WIDTH, dtype=torch.float64, requires_grad=True)
    padding = torch.arange(TOKENS) >= torch.tensor([[6], [4]])

    def weights(*_: Tensor) -> Tensor:
        alignment = attention.start(memory, padding)
        return torch.stack([alignment.step(hidden_BH) for hidden_BH in hidden_TBH])

    inputs = [hidden_TBH, *attention.parameters()] + ([memory] if kind != "dynamic" else [])
    assert torch.autograd.gradcheck(weights, inputs, fast_mode=True)


def test_the_priors_steps_are_beta_binomial_with_one_token_a_step_on_average() -> None:
    torch.testing.assert_close(PRIOR, [beta_binomial(moves) for moves in range(11)], rtol=1e-12, atol=0.0)
    assert sum(PRIOR) == pytest.approx(1.0, rel=1e-12)
    assert sum(moves * chance for moves, chance in enumerate(PRIOR)) == pytest.approx(1.0, rel=1e-12)


def test_an_indifferent_dynamic_attention_follows_its_prior_from_the_first_token() -> None:
    alignment = started(indifferent("dynamic"), tokens=40)
    hidden_TBH = outputs(2)
    prior = torch.tensor(PRIOR, dtype=torch.float64)
    first, second = alignment.step(hidden_TBH[0])[0], alignment.step(hidden_TBH[1])[0]
    twice = torch.stack([prior[max(n - 10, 0) : n + 1] @ prior[max(n - 10, 0) : n + 1].flip(0) for n in range(21)])
    torch.testing.assert_close(first[:11], prior, rtol=1e-4, atol=0.0)
    torch.testing.assert_close(second[:21], twice, rtol=1e-3, atol=1e-5)


def test_an_indifferent_forward_attention_stays_or_moves_on_like_a_coin() -> None:
    alignment = started(indifferent("forward"), tokens=12)
    for step, hidden_BH in enumerate(outputs(8), start=1):
        coin = [math.comb(step, n) / 2**step if n <= step else 0.0 for n in range(12)]
        torch.testing.assert_close(alignment.step(hidden_BH)[1], torch.tensor(coin, dtype=torch.float64))


@pytest.mark.parametrize("kind", ONWARD)
def test_an_attention_that_only_moves_on_ends_on_the_last_real_token(kind: str) -> None:
    alignment = started(indifferent(kind), real=4)
    for hidden_BH in outputs(80):
        weights_BN = alignment.step(hidden_BH)
        assert weights_BN[:, 4:].abs().sum() == 0.0
    assert weights_BN.argmax(1).tolist() == [3, 3]


def at_token(alignment: LocationAlignment | DynamicAlignment, token: int) -> LocationAlignment | DynamicAlignment:
    """An attention all of which has just read one token."""
    alignment.weights_BN = torch.eye(TOKENS, dtype=torch.float64)[token].expand(B, -1)
    return alignment


def test_forward_attention_never_goes_back_and_moves_by_one_token_at_most() -> None:
    alignment = at_token(started(layer("forward")), 2)
    for step, hidden_BH in enumerate(outputs(3, scale=100.0), start=3):
        weights_BN = alignment.step(hidden_BH)
        assert (weights_BN[:, :2] == 0.0).all()
        assert (weights_BN[:, step + 1 :] == 0.0).all()
        torch.testing.assert_close(weights_BN.sum(1), torch.ones(B, dtype=torch.float64))


def test_what_forward_attention_has_all_but_left_it_cannot_read_again() -> None:
    alignment = started(layer("forward"))
    alignment.weights_BN = torch.tensor([[1e-9, 1.0, 0.0, 0.0, 0.0, 0.0]] * B, dtype=torch.float64)
    assert (alignment.step(outputs(1)[0])[:, 0] == 0.0).all()


def test_dynamic_attention_goes_back_by_no_more_than_the_priors_floor() -> None:
    attention = layer("dynamic")
    weights_BN = at_token(started(attention), 3).step(outputs(1, scale=100.0)[0])
    most = math.exp(2.0 * attention.v.linear_layer.weight.abs().sum().item())  # the ratio of any two scores
    assert (weights_BN[:, :3] <= 1e-6 / PRIOR[0] * most).all()
    assert (weights_BN[:, :3] > 0.0).all()  # a lost attention can find back


def test_location_sensitive_attention_can_go_back() -> None:
    weights_BN = at_token(started(layer("location")), 3).step(outputs(1)[0])
    assert (weights_BN[:, :3].sum(1) > 0.1).all()


def test_forward_attention_takes_the_published_parameters_and_reads_otherwise() -> None:
    location, forward = layer("location"), ForwardAttention(SIZES).double()
    forward.load_state_dict(location.state_dict(), strict=True)
    hidden_BH = outputs(1)[0]
    there, here = started(location).step(hidden_BH), started(forward).step(hidden_BH)
    assert (there > 0.0).all()
    assert (here[:, 2:] == 0.0).all()


@pytest.mark.parametrize("kind", ONWARD)
def test_scores_that_are_far_apart_leave_weights_and_gradients_finite(kind: str) -> None:
    attention, hidden_TBH = layer(kind).float(), outputs(4).float().requires_grad_()
    attention.v.linear_layer.weight.data.mul_(1e4)
    alignment = attention.start(torch.randn(B, TOKENS, WIDTH), torch.zeros(B, TOKENS, dtype=torch.bool))
    weights = torch.stack([alignment.step(hidden_BH) for hidden_BH in hidden_TBH])
    found = torch.autograd.grad((weights**2).sum(), [hidden_TBH, *attention.parameters()], allow_unused=True)
    assert weights.isfinite().all()
    assert all(gradient.isfinite().all() for gradient in found if gradient is not None)


@pytest.mark.parametrize("kind", ONWARD)
def test_a_network_has_its_kind_of_attention(kind: str) -> None:
    assert type(small_model(attention_kind=kind).decoder.attention_layer) is ATTENTIONS[kind][0]

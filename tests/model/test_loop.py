"""The decoder's loop as one function: the values and gradients of single steps, for every attention and every noise."""

from typing import Any

import pytest
import torch
from torch import Tensor

from model import scoring
from model.decoder import Decoder
from model.losses import LossWeights, training_losses
from model.tacotron2 import Tacotron2
from tests.support.networks import DROPOUTS, KINDS, MELS, PREDICTED, live_tensors, make_batch, small_model

NOISES: dict[str, dict[str, Any]] = {
    "no noise": {},
    "every dropout": dict.fromkeys(DROPOUTS, 0.3),
    "zoneout": {"attention_zoneout": 0.3, "decoder_zoneout": 0.2},
    "all": {**dict.fromkeys(DROPOUTS, 0.3), "attention_zoneout": 0.3, "decoder_zoneout": 0.2},
    "text head": {"use_mmi": True, "attention_dropout": 0.3},
}
TOKENS, FRAMES, WIDTH = 6, 13, 8


def loss_and_outputs(model: Tacotron2, *, fast: bool) -> tuple[Tensor, list[Tensor]]:
    """The weighted loss of a padded batch, and what it was predicted from, under one seed."""
    batch = make_batch()
    model.decoder.fast = fast
    torch.manual_seed(5)
    predicted = model(*batch)
    weights = LossWeights(guide_weight=1.0, forward_sum_weight=0.5)
    r = model.reduction_factor
    losses = training_losses(
        predicted, batch.tokens_B, batch.mels_BMF, batch.frames_B, r=r, weights=weights, tokens_BN=batch.tokens_BN
    )
    return losses["loss"], [getattr(predicted, name) for name in PREDICTED]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize("kept", [True, False], ids=["features kept", "features made again"])
def test_a_padded_batch_has_the_loss_and_the_gradients_of_single_steps(
    kind: str, noise: str, kept: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not kept:
        monkeypatch.setattr(scoring, "KEPT_BYTES", 0)
    model = small_model(2, attention_kind=kind, **NOISES[noise])
    found, plain = (loss_and_outputs(model, fast=fast) for fast in (True, False))
    torch.testing.assert_close(found, plain, rtol=1e-11, atol=1e-11)
    parameters = dict(model.named_parameters())
    gradients = [torch.autograd.grad(loss, list(parameters.values())) for loss, _ in (found, plain)]
    for name, own, expected in zip(parameters, *gradients, strict=True):
        torch.testing.assert_close(own, expected, rtol=1e-9, atol=1e-11, msg=lambda told, name=name: f"{name}: {told}")
        learns = name.endswith(("convolutions.0.0.conv.bias", "convolutions.1.0.conv.bias", "conv.bias"))
        assert learns or (own != 0).any(), name  # a bias before a batch normalisation has no say


def inputs() -> tuple[Tensor, Tensor, Tensor]:
    """Memory, padding and true mel frames."""
    generator = torch.Generator().manual_seed(1)
    padding = torch.arange(TOKENS) >= torch.tensor([[4], [6]])
    memory = torch.randn(2, TOKENS, WIDTH, generator=generator, dtype=torch.float64, requires_grad=True)
    return memory, padding, torch.randn(2, MELS, FRAMES, generator=generator, dtype=torch.float64)


def decoded(decoder: Decoder, memory: Tensor, padding: Tensor, mels: Tensor) -> tuple[Tensor, ...]:
    torch.manual_seed(2)
    output = decoder(memory, padding, mels)
    return output.mels_BMF, output.gate_BT, output.attention_BTN


@pytest.mark.parametrize("kind", KINDS)
def test_the_gradients_are_the_finite_differences(kind: str) -> None:
    noise = {"attention_zoneout": 0.3, "attention_dropout": 0.3}
    decoder = small_model(2, attention_kind=kind, **noise).decoder
    memory, padding, mels = inputs()
    leaves = [memory, *decoder.attention_layer.parameters(), *decoder.attention_rnn.parameters()]
    assert torch.autograd.gradcheck(lambda *_: decoded(decoder, memory, padding, mels), leaves, fast_mode=True)


@pytest.mark.parametrize("kind", KINDS)
def test_in_single_precision_the_two_agree_as_far_as_that_goes(kind: str) -> None:
    decoder = small_model(2, attention_kind=kind, attention_dropout=0.1).decoder.float()
    memory, padding, mels = inputs()
    sides = []
    for fast in (True, False):
        decoder.fast = fast
        sides.append(decoded(decoder, memory.float(), padding, mels.float()))
    torch.testing.assert_close(*sides, rtol=1e-4, atol=1e-5)


def test_in_bfloat16_the_weights_are_single_precision_and_every_parameter_learns() -> None:
    decoder = small_model(2, attention_kind="forward").decoder.float()
    memory, padding, mels = inputs()
    with torch.autocast("cpu", torch.bfloat16):
        output = decoder(memory.float(), padding, mels.float())
    assert output.attention_BTN.dtype is torch.float32
    torch.testing.assert_close(output.attention_BTN.sum(2), torch.ones(2, 7), rtol=1e-3, atol=1e-3)
    (output.mels_BMF.float().square().mean() + output.gate_BT.float().mean()).backward()
    for name, parameter in decoder.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.dtype is torch.float32


@pytest.mark.parametrize("kind", KINDS)
def test_a_second_backward_pass_gives_the_same_gradient(kind: str) -> None:
    model = small_model(attention_kind=kind)
    loss, _ = loss_and_outputs(model, fast=True)
    parameters = list(model.decoder.parameters())
    once = torch.autograd.grad(loss, parameters, retain_graph=True)
    torch.testing.assert_close(torch.autograd.grad(loss, parameters), once, rtol=0, atol=0)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("backward", [False, True])
def test_a_pass_is_freed_as_soon_as_it_is_dropped(kind: str, backward: bool) -> None:
    decoder = small_model(attention_kind=kind).decoder
    given = inputs()
    with live_tensors() as count:
        output = decoder(*given)
        if backward:
            torch.autograd.grad(output.mels_BMF.sum(), [given[0]])
        assert count() > 0
        del output
        assert count() == 0  # at once: what waits for the garbage collector fills the device's memory


@pytest.mark.parametrize("kind", KINDS)
def test_without_gradients_the_values_are_the_same(kind: str) -> None:
    decoder = small_model(attention_kind=kind).decoder
    with torch.no_grad():
        silent = decoded(decoder, *inputs())
    torch.testing.assert_close(silent, decoded(decoder, *inputs()), rtol=0, atol=0)


@pytest.mark.parametrize("kind", KINDS)
def test_features_are_kept_only_where_there_is_room(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    decoder = small_model(attention_kind=kind).decoder
    sizes = []
    for room in (2**28, 0):
        monkeypatch.setattr(scoring, "KEPT_BYTES", room)
        made: list[int] = []
        monkeypatch.setattr(
            scoring._Features, "__del__", lambda it, made=made: made.append(len(it.buffer)), raising=False
        )
        output = decoder(*inputs())
        del output
        sizes += made
    assert sizes == [FRAMES, 1]


@pytest.mark.parametrize("kind", KINDS)
def test_a_text_far_shorter_than_the_longest_leaves_the_gradients_numbers(kind: str) -> None:
    decoder = small_model(2, attention_kind=kind).decoder
    generator = torch.Generator().manual_seed(1)
    memory = torch.randn(2, 40, WIDTH, generator=generator, dtype=torch.float64, requires_grad=True)
    padding = torch.arange(40) >= torch.tensor([[4], [40]])  # the prior moves by ten tokens at most
    mels = torch.randn(2, MELS, FRAMES, generator=generator, dtype=torch.float64)
    leaves = [memory, *decoder.attention_layer.parameters(), *decoder.attention_rnn.parameters()]
    sides = []
    for fast in (True, False):
        decoder.fast = fast
        sides.append(torch.autograd.grad(decoded(decoder, memory, padding, mels)[0].sum(), leaves))
    torch.testing.assert_close(*sides, rtol=1e-9, atol=1e-11)

"""The network: its fast decoder is the plain one, its parameters the published ones, and padding has no influence."""

import gc
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from model.alignment import alignment_score, attention_coverage, attention_entropy, attention_focus, gate_moments
from model.lengths import decoder_steps
from model.losses import LossWeights, forward_sum_losses, gate_losses, guide_losses, taco_losses, training_losses
from model.prediction import Prediction
from model.sizes import Sizes
from model.tacotron2 import Tacotron2
from tests.support.networks import (
    DROPOUTS,
    KINDS,
    MELS,
    N_SYMBOLS,
    PREDICTED,
    Batch,
    changed,
    distance,
    live_tensors,
    make_batch,
    small_model,
)
from tests.support.plain_tacotron2 import plain_forward, plain_utterance
from tests.support.published import PUBLISHED

EVERY_LOSS = LossWeights(gate_weight=0.7, gate_positive_weight=3.0, guide_weight=2.0, forward_sum_weight=0.5)
CASES = [
    *((r, {"attention_kind": "location"}) for r in (1, 2, 3)),
    *((2, {"attention_kind": kind}) for kind in KINDS[1:]),
]
Sized = dict[str, Any]
ZONEOUT = {"attention_zoneout": 0.3, "decoder_zoneout": 0.2}


def label(value: object) -> str | None:
    """A test's name for sizes."""
    return "-".join(map(str, value.values())) if isinstance(value, dict) else None


def utterance(batch: Batch, b: int) -> Batch:
    """One utterance of a batch, without padding."""
    tokens, frames = int(batch.tokens_B[b]), int(batch.frames_B[b])
    return Batch(
        batch.tokens_BN[[b], :tokens], batch.tokens_B[[b]], batch.mels_BMF[[b], :, :frames], batch.frames_B[[b]]
    )


def total_loss(predicted: Prediction, batch: Batch, r: int) -> Tensor:
    _, tokens_B, mels_BMF, frames_B = batch
    return training_losses(predicted, tokens_B, mels_BMF, frames_B, r=r, weights=EVERY_LOSS)["loss"]


def gradients(model: Tacotron2, predicted: Prediction, batch: Batch) -> dict[str, Tensor]:
    """The gradient of every parameter; autograd raises an error for one that the loss does not reach."""
    names, parameters = zip(*model.named_parameters(), strict=True)
    loss = total_loss(predicted, batch, model.sizes.reduction_factor)
    return dict(zip(names, torch.autograd.grad(loss, parameters), strict=True))


@pytest.mark.parametrize(
    ("r", "sizes", "training"),
    [*((*case, training) for case in CASES for training in (True, False)), (2, ZONEOUT, False)],
    ids=label,
)
def test_fast_pass_and_its_gradients_are_those_of_plain_steps(r: int, sizes: Sized, training: bool) -> None:
    model, batch = small_model(r, **sizes).train(training), make_batch()
    fast, plain = model(*batch), plain_forward(model, *batch)
    for name in PREDICTED:
        assert getattr(fast, name).shape == getattr(plain, name).shape
        assert distance(getattr(fast, name), getattr(plain, name)) < 1e-9, name
    expected = gradients(model, plain, batch)
    for name, gradient in gradients(model, fast, batch).items():
        assert distance(gradient, expected[name]) < 1e-9, name


@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize("r", [1, 2])
def test_one_utterance_gives_the_outputs_of_the_published_network(r: int, training: bool) -> None:
    model, alone = small_model(r).train(training), utterance(make_batch(), 0)
    predicted = model(*alone)
    published = plain_utterance(model, alone.tokens_BN[0], alone.mels_BMF[0])
    for name in PREDICTED:
        assert distance(getattr(predicted, name), getattr(published, name)) < 1e-12, name


def test_parameters_are_those_of_a_published_checkpoint() -> None:
    model = Tacotron2(Sizes())
    assert {name: tuple(value.shape) for name, value in model.state_dict().items()} == PUBLISHED
    assert sum(parameter.numel() for parameter in model.parameters()) == 28_193_153
    checkpoint = {name: torch.full(shape, 3.0) for name, shape in PUBLISHED.items()}
    model.load_state_dict(checkpoint, strict=True)
    assert all(bool((value == 3).all()) for value in model.state_dict().values())


def measures(model: Tacotron2, batch: Batch) -> dict[str, Tensor]:
    """Every loss and statistic, one value per utterance."""
    predicted, tokens_B, r = model(*batch), batch.tokens_B, model.sizes.reduction_factor
    attention, steps_B = predicted.attention_BTN, decoder_steps(batch.frames_B, r)
    first, second = gate_moments(predicted.gate_BT, steps_B)
    return {
        "taco": taco_losses(predicted, batch.mels_BMF, batch.frames_B),
        "gate": gate_losses(predicted.gate_BT, steps_B, 3.0),
        "guide": guide_losses(attention, steps_B, tokens_B, 0.2),
        "forward-sum": forward_sum_losses(attention, steps_B, tokens_B),
        "score": alignment_score(attention, steps_B, tokens_B),
        "entropy": attention_entropy(attention, steps_B, tokens_B),
        "focus": attention_focus(attention, steps_B),
        "coverage": attention_coverage(attention, steps_B, tokens_B),
        "gate mean": first,
        "gate square": second,
    }


def spoil_padding(batch: Batch) -> Batch:
    """The same batch with random symbols and huge frames in its padding."""
    generator = torch.Generator().manual_seed(2)
    padding_BN = torch.arange(5) >= batch.tokens_B[:, None]
    padding_B1F = (torch.arange(13) >= batch.frames_B[:, None])[:, None]
    tokens = torch.where(padding_BN, torch.randint(1, N_SYMBOLS, (3, 5), generator=generator), batch.tokens_BN)
    mels = torch.where(padding_B1F, 1e4 * torch.randn(3, MELS, 13, generator=generator), batch.mels_BMF)
    return batch._replace(tokens_BN=tokens, mels_BMF=mels)


@pytest.mark.parametrize("spoilt", [False, True], ids=["zero padding", "garbage padding"])
@pytest.mark.parametrize(("r", "sizes"), CASES, ids=label)
def test_an_utterance_measures_the_same_alone_as_in_a_padded_batch(r: int, sizes: Sized, spoilt: bool) -> None:
    model, batch = small_model(r, **sizes).eval(), make_batch()
    together = measures(model, spoil_padding(batch) if spoilt else batch)
    for b in range(3):
        for name, value in measures(model, utterance(batch, b)).items():
            torch.testing.assert_close(together[name][b], value[0], rtol=1e-10, atol=1e-12, msg=name)


@pytest.mark.parametrize("kind", KINDS)
def test_padded_tokens_get_no_attention_and_padded_frames_are_zero(kind: str) -> None:
    model, batch = small_model(2, attention_kind=kind), spoil_padding(make_batch())
    predicted = model(*batch)
    for b in range(3):
        assert predicted.attention_BTN[b, :, batch.tokens_B[b] :].abs().sum() == 0.0
        assert predicted.mels_BMF[b, :, batch.frames_B[b] :].abs().sum() == 0.0
        assert predicted.refined_BMF[b, :, batch.frames_B[b] :].abs().sum() == 0.0
    torch.testing.assert_close(predicted.attention_BTN.sum(2), torch.ones(3, 7, dtype=torch.float64))


def set_gate(model: Tacotron2, logit: float) -> Tacotron2:
    """Make the stop gate say the same at every step."""
    layer = model.decoder.gate_layer.linear_layer
    nn.init.zeros_(layer.weight)
    nn.init.constant_(layer.bias, logit)
    return model


@pytest.mark.parametrize("r", [1, 3])
@pytest.mark.parametrize(("logit", "steps"), [(9.0, 1), (-9.0, 6)])
def test_free_running_ends_at_the_open_gate_or_at_the_last_step_allowed(logit: float, steps: int, r: int) -> None:
    model, batch = set_gate(small_model(r).eval(), logit), make_batch()
    said = model.infer(batch.tokens_BN, batch.tokens_B, max_steps=6)
    assert said.mels_BMF.shape == said.refined_BMF.shape == (3, MELS, steps * r)
    assert said.gate_BT.shape == (3, steps)
    assert said.attention_BTN.shape == (3, steps, 5)
    assert (said.mels_BMF.norm(dim=1) > 0.0).all()


def own_ends(model: Tacotron2, batch: Batch) -> tuple[Prediction, float, list[int]]:
    """Twelve steps of speech, and a threshold at which its utterances end one by one, the gates not staying open."""
    for parameter in model.decoder.parameters():
        parameter.data.mul_(3.0)  # otherwise so small a network soon says the same at every step
    torch.manual_seed(74)
    nn.init.normal_(model.decoder.gate_layer.linear_layer.weight)
    endless = model.infer(batch.tokens_BN, batch.tokens_B, max_steps=12, gate_threshold=1.0)
    probability_BT = endless.gate_BT.sigmoid()
    for threshold in (probability_BT.flatten() - 1e-9).tolist():
        opening = (probability_BT > threshold).tolist()
        steps = [[*row, True].index(True) + 1 for row in opening]
        if len(set(steps)) == 3 and max(steps) < 12 and not all(row[max(steps) - 1] for row in opening):
            return endless, threshold, steps
    raise AssertionError("No threshold tells these utterances apart: choose another seed.")


@pytest.mark.parametrize("r", [1, 2])
def test_each_utterance_of_a_batch_ends_on_its_own_gate(r: int) -> None:
    model, batch = small_model(r).eval(), make_batch()
    endless, threshold, steps = own_ends(model, batch)
    said = model.infer(batch.tokens_BN, batch.tokens_B, max_steps=12, gate_threshold=threshold)
    assert said.gate_BT.shape[1] == max(steps)
    for b, end in enumerate(steps):
        torch.testing.assert_close(said.mels_BMF[b, :, : end * r], endless.mels_BMF[b, :, : end * r])
        for frames in (said.mels_BMF[b], said.refined_BMF[b]):
            assert (frames.norm(dim=0) > 0.0).tolist() == [True] * end * r + [False] * (max(steps) - end) * r


@pytest.mark.parametrize("r", [1, 2])
def test_free_running_says_the_same_alone_as_in_a_padded_batch(r: int) -> None:
    model, batch = small_model(r).eval(), spoil_padding(make_batch())
    _, threshold, steps = own_ends(model, batch)
    together = model.infer(batch.tokens_BN, batch.tokens_B, max_steps=12, gate_threshold=threshold).refined_BMF
    for b, end in enumerate(steps):
        tokens_BN, tokens_B, _, _ = utterance(batch, b)
        alone = model.infer(tokens_BN, tokens_B, max_steps=12, gate_threshold=threshold).refined_BMF
        assert alone.shape[2] == end * r
        torch.testing.assert_close(together[b, :, : end * r], alone[0], rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(("r", "sizes"), [*CASES, (2, ZONEOUT)], ids=label)
def test_free_running_is_teacher_forcing_on_its_own_frames(r: int, sizes: Sized) -> None:
    model, batch = set_gate(small_model(r, **sizes).eval(), -9.0), make_batch()
    said = model.infer(batch.tokens_BN, batch.tokens_B, max_steps=7)
    forced = model(batch.tokens_BN, batch.tokens_B, said.mels_BMF, torch.full((3,), 7 * r))
    for name in PREDICTED:
        assert distance(getattr(forced, name), getattr(said, name)) < 1e-9, name


@pytest.mark.parametrize("r", [1, 3])
def test_the_mean_frame_is_what_the_projection_starts_from(r: int) -> None:
    model, batch = small_model(r).eval(), make_batch()
    mean_M = torch.linspace(-5.0, 1.0, MELS, dtype=torch.float64)
    nn.init.zeros_(model.decoder.linear_projection.linear_layer.weight)
    model.set_mean_mel(mean_M)
    mels = model(*utterance(batch, 0)).mels_BMF
    torch.testing.assert_close(mels, mean_M[None, :, None].expand(1, MELS, 11))
    assert model.decoder.linear_projection.linear_layer.bias.requires_grad


@pytest.mark.parametrize(
    ("dropout", "reached"),
    [
        ("prenet_dropout", PREDICTED),
        ("encoder_dropout", PREDICTED),
        ("attention_dropout", PREDICTED),
        ("decoder_dropout", ["mels_BMF", "refined_BMF", "gate_BT"]),
        ("postnet_dropout", ["refined_BMF"]),
    ],
)
def test_each_dropout_acts_in_training_at_its_own_place(dropout: str, reached: list[str]) -> None:
    batch = make_batch()
    assert changed(small_model(), batch) == []
    assert changed(small_model(**{dropout: 0.5}), batch) == reached


@pytest.mark.parametrize("dropout", DROPOUTS)
def test_only_the_prenets_dropout_acts_in_eval_mode(dropout: str) -> None:
    model, batch = small_model(**{dropout: 0.5}).eval(), make_batch()
    assert changed(model, batch) == (PREDICTED if dropout == "prenet_dropout" else [])
    first, second = (model.infer(batch.tokens_BN, batch.tokens_B, max_steps=5, gate_threshold=1.0) for _ in range(2))
    assert torch.equal(first.refined_BMF, second.refined_BMF) == (dropout != "prenet_dropout")


@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_bfloat16_pass_is_close_to_float32_and_has_finite_gradients(kind: str, training: bool) -> None:
    model, batch = small_model(attention_kind=kind).float().train(training), make_batch()
    batch = batch._replace(mels_BMF=batch.mels_BMF.float())
    exact = model(*batch)
    with torch.autocast("cpu", torch.bfloat16):
        rounded = model(*batch)
        found = gradients(model, rounded, batch)
    for name in PREDICTED:
        assert distance(getattr(rounded, name).float(), getattr(exact, name)) < 0.05, name
    expected = gradients(model, exact, batch)
    assert all(gradient.dtype == torch.float32 and gradient.isfinite().all() for gradient in found.values())
    flat, expected_flat = (torch.cat([value.flatten() for value in each.values()]) for each in (found, expected))
    assert distance(flat, expected_flat) < 0.05


@pytest.mark.parametrize("kind", KINDS)
def test_free_running_works_in_bfloat16(kind: str) -> None:
    model, batch = small_model(attention_kind=kind, **ZONEOUT).float().eval(), make_batch()
    exact = model.infer(batch.tokens_BN, batch.tokens_B, max_steps=5, gate_threshold=1.0)
    with torch.autocast("cpu", torch.bfloat16):
        rounded = model.infer(batch.tokens_BN, batch.tokens_B, max_steps=5, gate_threshold=1.0)
    assert distance(rounded.refined_BMF.float(), exact.refined_BMF) < 0.05


@pytest.mark.parametrize("kind", KINDS)
def test_training_passes_leave_no_tensors_behind(kind: str) -> None:
    model, batch, counts = small_model(attention_kind=kind, **ZONEOUT), make_batch(), []
    total_loss(model(*batch), batch, 1).backward()  # which makes the gradients
    with live_tensors() as count:
        for _ in range(2):
            total_loss(model(*batch), batch, 1).backward()
            gc.collect()
            counts.append(count())
    assert counts[0] == counts[1]

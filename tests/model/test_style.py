"""Style: heard over time and mel bins, mixed from tokens, predicted from the text, added to the memory."""

import math

import pytest
import torch
from torch import Tensor, nn

from model.losses import LossWeights, emb_losses, training_losses
from model.sizes import Sizes
from model.style import ReferenceEncoder, Style, StylePredictor, StyleTokens
from model.tacotron2 import Tacotron2
from tests.support.networks import small_model, small_sizes

MELS, TOKENS, HEADS, STYLE, WIDTH = 8, 5, 4, 16, 6
STYLED = {
    "n_mel_channels": MELS,
    "symbols_embedding_dim": WIDTH,
    "use_gst": True,
    "style_tokens": TOKENS,
    "style_heads": HEADS,
    "style_dim": STYLE,
}


def sizes(**others: int) -> Sizes:
    return small_sizes(**{**STYLED, **others})


def styled_model() -> Tacotron2:
    """A network in which the style has a way into the memory."""
    model = small_model(**STYLED)
    nn.init.normal_(model.style.projection.linear_layer.weight)
    return model


def make_batch() -> dict[str, Tensor]:
    torch.manual_seed(1)
    return {
        "tokens_BN": torch.tensor([[1, 2, 3, 6], [4, 5, 1, 0]]), "tokens_B": torch.tensor([4, 3]),
        "mels_BMF": torch.randn(2, MELS, 23, dtype=torch.float64), "frames_B": torch.tensor([23, 14]),
    }  # fmt: skip


def plain_reference(encoder: ReferenceEncoder, mel_MF: Tensor) -> Tensor:
    """The paper's reference encoder on one recording, which knows no padding; batch statistics are the running ones."""
    hidden = mel_MF.T[None, None]
    for layer in encoder.layers:
        hidden = layer.conv(hidden)
        mean, variance, weight, bias = (
            getattr(layer.norm, name)[None, :, None, None] for name in ("running_mean", "running_var", "weight", "bias")
        )
        hidden = torch.relu((hidden - mean) / torch.sqrt(variance + layer.norm.eps) * weight + bias)
    return encoder.gru(hidden.transpose(1, 2).flatten(2))[1][0, 0]


@pytest.mark.parametrize("frames", [1, 20, 67])
@pytest.mark.parametrize("mels", [8, 80])
def test_a_recording_is_heard_over_time_and_mel_bins(frames: int, mels: int) -> None:
    torch.manual_seed(0)
    encoder = ReferenceEncoder(sizes(n_mel_channels=mels)).double().eval()
    for layer in encoder.layers:
        layer.norm.running_mean.normal_(0.0, 0.3)
        layer.norm.running_var.uniform_(0.5, 2.0)
    mels_BMF = torch.randn(2, mels, 80, dtype=torch.float64)
    heard = encoder(mels_BMF, torch.tensor([frames, 80]))
    torch.testing.assert_close(heard[0], plain_reference(encoder, mels_BMF[0, :, :frames]))
    torch.testing.assert_close(heard[1], plain_reference(encoder, mels_BMF[1]))


def test_the_published_width_has_the_published_layers() -> None:
    encoder = ReferenceEncoder(Sizes())
    assert [layer.conv.out_channels for layer in encoder.layers] == [32, 32, 64, 64, 128, 128]
    assert {layer.conv.stride for layer in encoder.layers} == {(2, 2)}
    assert encoder.gru.hidden_size == 128
    assert encoder.gru.input_size == 128 * 2  # 80 bins, halved six times


@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
def test_padding_is_not_heard(training: bool) -> None:
    torch.manual_seed(0)
    encoder, frames_B = ReferenceEncoder(sizes()).double().train(training), torch.tensor([41, 23])
    mels_BMF = torch.randn(2, MELS, 41, dtype=torch.float64)
    short, spoilt = mels_BMF.clone(), torch.nn.functional.pad(mels_BMF, (0, 30), value=float("nan"))
    short[1, :, 23:] = 0.0
    spoilt[1, :, 23:] = 1e6
    torch.testing.assert_close(encoder(spoilt, frames_B), encoder(short, frames_B))


def test_one_short_clip_alone_can_be_trained_on() -> None:
    torch.manual_seed(0)
    style = Style(sizes()).double().train()
    mels_BMF = torch.randn(1, MELS, 20, dtype=torch.float64)
    gradients = torch.autograd.grad(style.of(mels_BMF, torch.tensor([20])).sum(), list(style.reference.parameters()))
    assert all(gradient.isfinite().all() for gradient in gradients)


def test_each_head_mixes_its_slice_of_the_tokens() -> None:
    torch.manual_seed(0)
    layer = StyleTokens(sizes()).double()
    reference_BR = torch.randn(3, STYLE // 2, dtype=torch.float64)
    style_BS, values_KS, width = layer(reference_BR), layer.tokens_KS.tanh(), STYLE // HEADS
    for b, head in [(b, head) for b in range(3) for head in range(HEADS)]:
        own = slice(head * width, (head + 1) * width)
        query = layer.query.linear_layer.weight[own] @ reference_BR[b]
        keys = [layer.key.linear_layer.weight[own] @ value for value in values_KS]
        scores = torch.stack([query @ key / math.sqrt(width) for key in keys])
        mixed = sum(share * value[own] for share, value in zip(scores.softmax(0), values_KS, strict=True))
        torch.testing.assert_close(style_BS[b, own], mixed)


def test_chosen_tokens_are_a_style() -> None:
    model = styled_model()
    values_KS = model.style.tokens.tokens_KS.tanh()
    chosen = model.style_of_tokens(torch.tensor([0.0, 0.7, 0.0, 0.0, 0.3], dtype=torch.float64))
    torch.testing.assert_close(chosen, (0.7 * values_KS[1] + 0.3 * values_KS[4])[None])


def test_training_speaks_in_the_references_style_and_eval_mode_in_the_predicted_one() -> None:
    model, batch = styled_model(), make_batch()
    memory = []
    model.decoder.register_forward_hook(lambda _, inputs, __: memory.append(inputs[0]))
    plain = []
    model.encoder.register_forward_hook(lambda _, __, output: plain.append(output))
    for training in (True, False):
        predicted = model.train(training)(**batch)
        style_BS = predicted.style_BS if training else predicted.predicted_style_BS
        added_BE = style_BS @ model.style.projection.linear_layer.weight.T
        torch.testing.assert_close(memory[-1], plain[-1] + added_BE[:, None])
        torch.testing.assert_close(predicted.style_BS, model.style_of(batch["mels_BMF"], batch["frames_B"]))


def test_eval_mode_does_not_see_the_answer() -> None:
    model, batch = styled_model().eval(), make_batch()
    other = {**batch, "mels_BMF": batch["mels_BMF"].clone()}
    other["mels_BMF"][:, :, -1] += 3.0  # no step sees the last frame
    other["frames_B"] = batch["frames_B"] = torch.tensor([23, 23])
    torch.testing.assert_close(model(**other).mels_BMF, model(**batch).mels_BMF)
    model.train()
    assert (model(**other).mels_BMF - model(**batch).mels_BMF).abs().max() > 1e-6


def test_free_running_speaks_in_the_style_it_is_given_or_the_one_the_text_predicts() -> None:
    model, batch = styled_model().eval(), make_batch()
    text = batch["tokens_BN"], batch["tokens_B"]
    unasked = model.infer(*text, max_steps=4)
    predicted = model(**batch).predicted_style_BS
    torch.testing.assert_close(unasked.style_BS, predicted)
    same = model.infer(*text, max_steps=4, style_BS=predicted)
    assert torch.equal(same.refined_BMF, unasked.refined_BMF)
    other = model.infer(*text, max_steps=4, style_BS=model.style_of_tokens(torch.full((TOKENS,), 0.5).double()))
    assert not torch.equal(other.refined_BMF, unasked.refined_BMF)


def test_an_utterances_style_is_the_same_alone_as_in_a_padded_batch() -> None:
    model, batch = styled_model().eval(), make_batch()
    together = model(**batch)
    batch["tokens_BN"][1, 3:] = 6
    alone = model(batch["tokens_BN"][1:, :3], batch["tokens_B"][1:], batch["mels_BMF"][1:, :, :14], torch.tensor([14]))
    for name in ("style_BS", "predicted_style_BS", "refined_BMF"):
        frames = slice(0, 14 if name == "refined_BMF" else None)
        torch.testing.assert_close(getattr(together, name)[1][..., frames], getattr(alone, name)[0], msg=name)


def test_the_prediction_teaches_the_predictor_alone_and_the_mel_the_reference() -> None:
    model, batch = styled_model(), make_batch()
    losses = training_losses(model(**batch), **batch, r=1, weights=LossWeights())
    names, parameters = zip(*model.named_parameters(), strict=True)
    reached = {}
    for loss in (losses["emb_loss"], losses["taco_loss"]):
        gradients = torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True)
        reached[loss] = {name for name, gradient in zip(names, gradients, strict=True) if gradient is not None}
    assert reached[losses["emb_loss"]] == {name for name in names if name.startswith("style.predictor")}
    assert set(names) - reached[losses["taco_loss"]] >= reached[losses["emb_loss"]]
    assert any(name.startswith("style.reference") for name in reached[losses["taco_loss"]])


def test_a_network_without_style_speaks_as_before_when_it_is_given_tokens() -> None:
    torch.manual_seed(0)
    plain = Tacotron2(sizes(use_gst=False)).double().eval()
    torch.manual_seed(0)
    styled = Tacotron2(sizes()).double().eval()
    missing, unused = styled.load_state_dict(plain.state_dict(), strict=False)
    assert unused == []
    assert all(name.startswith("style.") for name in missing)
    assert torch.equal(styled(**make_batch()).refined_BMF, plain(**make_batch()).refined_BMF)
    assert plain(**make_batch()).style_BS is None
    with pytest.raises(ValueError, match="no style tokens"):
        plain.style_of_tokens(torch.ones(TOKENS))


def relative_loss(memory_BNE: Tensor, style_BS: Tensor) -> float:
    """emb_loss of a trained predictor on texts it has not seen, over that of always saying the best one style."""
    torch.manual_seed(0)
    predictor, half = StylePredictor(sizes()), len(style_BS) // 2
    optimizer = torch.optim.Adam(predictor.parameters(), 0.05)
    lengths_B = torch.full((half,), memory_BNE.shape[1])
    for _ in range(40):
        optimizer.zero_grad()
        emb_losses(predictor(memory_BNE[:half], lengths_B), style_BS[:half]).mean().backward()
        optimizer.step()
    with torch.no_grad():
        loss = emb_losses(predictor(memory_BNE[half:], lengths_B), style_BS[half:]).mean()
    return (loss / emb_losses(style_BS[:half].median(0).values, style_BS[half:]).mean()).item()


def test_emb_loss_is_relatively_one_when_the_text_says_nothing_of_the_style_and_falls_when_it_does() -> None:
    torch.manual_seed(0)
    memory_BNE = torch.randn(200, 3, WIDTH)
    of_the_text = (memory_BNE[:, -1] @ torch.randn(WIDTH, STYLE)).tanh()
    assert relative_loss(memory_BNE, of_the_text) < 0.6
    assert 0.9 < relative_loss(memory_BNE, of_the_text[torch.randperm(200)]) < 1.3


def test_a_bfloat16_pass_has_almost_the_same_styles() -> None:
    model, batch = styled_model().float(), make_batch()
    batch["mels_BMF"] = batch["mels_BMF"].float()
    exact = model(**batch)
    with torch.autocast("cpu", torch.bfloat16):
        rounded = model(**batch)
    for name in ("style_BS", "predicted_style_BS"):
        assert getattr(rounded, name).dtype == torch.float32
        torch.testing.assert_close(getattr(rounded, name), getattr(exact, name), rtol=0.0, atol=0.02)

"""The text must be readable from the decoder's states: its loss, and the factor that keeps its gradient in bounds."""

from itertools import product

import pytest
import torch
from torch import Tensor, nn

from model.losses import LossWeights, training_losses
from model.mmi import AdaptiveFactor, TextHead, frames_needed, mi_losses
from model.sizes import Sizes
from model.tacotron2 import Tacotron2
from tests.support.networks import MELS, N_SYMBOLS, small_model


def reading_model(r: int = 2, max_gaf: float = 0.3) -> Tacotron2:
    return small_model(r, use_mmi=True, max_gaf=max_gaf)


def make_batch() -> dict[str, Tensor]:
    torch.manual_seed(1)
    tokens_BN = torch.tensor([[1, 2, 2, 3, 6], [4, 5, 1, 0, 0]])
    mels_BMF = torch.randn(2, MELS, 11, dtype=torch.float64)
    return {
        "tokens_BN": tokens_BN, "tokens_B": torch.tensor([5, 3]),
        "mels_BMF": mels_BMF, "frames_B": torch.tensor([11, 7]),
    }  # fmt: skip


def losses_of(model: Tacotron2, batch: dict[str, Tensor]) -> dict[str, Tensor]:
    return training_losses(model(**batch), **batch, r=model.reduction_factor, weights=LossWeights())


def factor_of(main: Tensor, text: Tensor, max_gaf: float) -> tuple[Tensor, Tensor]:
    """What reaches the states of these gradients of the mel and the text, and the factor."""
    factor, states = AdaptiveFactor(max_gaf), torch.zeros_like(main, requires_grad=True)
    for_mel, for_text = factor(states)
    (gradient,) = torch.autograd.grad((for_mel * main).sum() + (for_text * text).sum(), states)
    assert factor.value is not None
    return gradient, factor.value


@pytest.mark.parametrize("strength", [0.01, 1.0, 50.0])
def test_the_texts_gradient_is_at_most_the_caps_share_of_the_mels(strength: float) -> None:
    torch.manual_seed(0)
    main, text = torch.randn(2, 3, 4, dtype=torch.float64), strength * torch.randn(2, 3, 4, dtype=torch.float64)
    expected = min(0.3, (main.norm() / text.norm()).item())
    gradient, value = factor_of(main, text, 0.3)
    assert value.item() == pytest.approx(expected, rel=1e-12)
    torch.testing.assert_close(gradient, main + expected * text)
    assert (gradient - main).norm() <= main.norm() * (1 + 1e-9)


def test_the_factor_does_not_see_the_scale_of_the_loss_and_survives_half_precision() -> None:
    torch.manual_seed(0)
    main, text = torch.randn(2, 30, 40).half(), 8 * torch.randn(2, 30, 40).half()
    _, value = factor_of(main, text, 0.3)
    _, scaled = factor_of(512 * main, 512 * text, 0.3)  # as with loss scaling; the squares are beyond fp16
    assert value.item() == pytest.approx(1 / 8, rel=0.05)
    assert scaled.item() == pytest.approx(value.item(), rel=1e-3)


def test_without_a_gradient_of_the_text_the_mels_passes_unchanged() -> None:
    main = torch.randn(2, 3, 4)
    gradient, value = factor_of(main, torch.zeros_like(main), 0.3)
    assert torch.equal(gradient, main)
    assert value.item() == pytest.approx(0.3)
    assert torch.equal(factor_of(0 * main, 0 * main, 0.3)[0], 0 * main)


def test_a_gradient_that_is_not_finite_stays_so() -> None:
    main, text = torch.ones(1, 1, 2), torch.tensor([[[float("inf"), 1.0]]])
    assert not factor_of(main, text, 0.3)[0].isfinite().all()
    assert not factor_of(text, main, 0.3)[0].isfinite().all()


def gradients(loss: Tensor, model: Tacotron2) -> dict[str, Tensor | None]:
    names, parameters = zip(*model.named_parameters(), strict=True)
    return dict(zip(names, torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True), strict=True))


@pytest.mark.parametrize("max_gaf", [1e-3, 1e3])
def test_the_network_learns_from_the_mel_and_a_share_of_the_text_the_head_from_the_text_alone(max_gaf: float) -> None:
    model, batch = reading_model(max_gaf=max_gaf), make_batch()
    losses = losses_of(model, batch)
    together = gradients(losses["loss"], model)
    value = model.decoder.adaptive.value.item()
    assert (value < max_gaf) == (max_gaf > 1)
    main = gradients(losses["loss"] - losses["mi_loss"], model)
    model.decoder.adaptive = lambda states: (states, states)
    text = gradients(losses_of(model, batch)["mi_loss"], model)
    for name, found in together.items():
        if name.startswith("text_head"):
            torch.testing.assert_close(found, text[name])
        elif text[name] is None:  # what lies behind the states
            torch.testing.assert_close(found, main[name])
        else:
            torch.testing.assert_close(found, main[name] + value * text[name], rtol=1e-8, atol=1e-12)


def plain_ctc(log_probs_FV: Tensor, text: list[int]) -> Tensor:
    """The likelihood of a text, summed over every sequence of frames that reads as it, blanks and repeats removed."""
    frames, symbols = log_probs_FV.shape
    total = []
    for path in product(range(symbols), repeat=frames):
        read = [symbol for f, symbol in enumerate(path) if symbol and (f == 0 or path[f - 1] != symbol)]
        if read == text:
            total.append(log_probs_FV[range(frames), list(path)].sum())
    return -torch.stack(total).logsumexp(0) / frames


def test_mi_loss_is_the_likelihood_of_every_way_to_read_the_text_per_frame() -> None:
    torch.manual_seed(0)
    logits = torch.randn(2, 5, 3, dtype=torch.float64, requires_grad=True)
    tokens_BN, tokens_B, frames_B = torch.tensor([[1, 1, 2], [2, 1, 0]]), torch.tensor([3, 2]), torch.tensor([5, 4])
    losses_B = mi_losses(logits.log_softmax(2), tokens_BN, tokens_B, frames_B)
    plain = [plain_ctc(logits[0].log_softmax(1), [1, 1, 2]), plain_ctc(logits[1, :4].log_softmax(1), [2, 1])]
    torch.testing.assert_close(losses_B, torch.stack(plain))
    weights = torch.tensor([1.0, 2.0], dtype=torch.float64)
    (gradient,) = torch.autograd.grad(losses_B @ weights, logits)
    (expected,) = torch.autograd.grad(torch.stack(plain) @ weights, logits)
    torch.testing.assert_close(gradient, expected, rtol=1e-9, atol=1e-12)


def test_two_equal_neighbours_need_a_frame_between_them() -> None:
    tokens_BN = torch.tensor([[1, 1, 1, 2], [1, 2, 1, 1], [1, 2, 2, 2]])
    assert frames_needed(tokens_BN, torch.tensor([4, 4, 2])).tolist() == [6, 5, 2]


@pytest.mark.parametrize("r", [1, 3])
def test_every_mel_frame_has_its_own_rows_and_a_smaller_r_the_first_ones(r: int) -> None:
    torch.manual_seed(0)
    head = TextHead(Sizes(n_symbols=4, decoder_rnn_dim=5, reduction_factor=3))
    states_BTD = torch.randn(2, 6, 5)
    read = head(states_BTD, r)
    assert read.shape == (2, 6 * r, 4)
    for frame in range(6 * r):
        rows = slice(4 * (frame % r), 4 * (frame % r) + 4)
        plain = states_BTD[:, frame // r] @ head.linear.weight[rows].T + head.linear.bias[rows]
        torch.testing.assert_close(read[:, frame], plain.log_softmax(1))


def best_loss(states_BTD: Tensor, tokens_BN: Tensor, symbols: int) -> float:
    """What a text head comes to on states that do not change."""
    batch, frames, width = states_BTD.shape
    torch.manual_seed(0)
    head = TextHead(Sizes(n_symbols=symbols, decoder_rnn_dim=width))
    optimizer = torch.optim.Adam(head.parameters(), 0.3)
    lengths = torch.full((batch,), tokens_BN.shape[1]), torch.full((batch,), frames)
    for _ in range(30):
        loss = mi_losses(head(states_BTD, 1), tokens_BN, *lengths).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return loss.item()


@pytest.mark.slow
def test_a_head_that_cannot_see_the_text_stays_on_a_plateau_of_about_four_tenths() -> None:
    torch.manual_seed(0)
    frequency = 1 / torch.arange(1.0, 28.0)  # 27 letters and the space, by Zipf's law: 2.8 nats a token
    tokens_BN = 1 + frequency.expand(2, -1).multinomial(50, replacement=True)
    frames = 50 * 7  # 0.08 s a letter
    blind = best_loss(torch.zeros(2, frames, 28), tokens_BN, 28)
    assert 0.35 < blind < 0.5
    spoken = nn.functional.one_hot(tokens_BN.repeat_interleave(7, 1), 28).float()
    assert best_loss(spoken, tokens_BN, 28) < 0.15


def test_the_text_read_is_the_same_alone_as_in_a_padded_batch() -> None:
    model, batch = reading_model(3).eval(), make_batch()
    batch["mels_BMF"][1, :, 7:] = 1e4
    batch["tokens_BN"][1, 3:] = 6
    alone = {
        "tokens_BN": batch["tokens_BN"][1:, :3], "tokens_B": torch.tensor([3]),
        "mels_BMF": batch["mels_BMF"][1:, :, :7], "frames_B": torch.tensor([7]),
    }  # fmt: skip
    together = model(**batch).transcript_BFV
    assert together.shape == (2, 11, N_SYMBOLS)
    torch.testing.assert_close(together[1, :7], model(**alone).transcript_BFV[0], rtol=1e-10, atol=1e-12)


def test_a_network_whose_r_was_lowered_reads_and_speaks_frame_by_frame() -> None:
    model, batch = reading_model(3).eval(), make_batch()
    model.reduction_factor = 1
    predicted = model(**batch)
    expected = model.text_head(model.decoder(*memory_of(model, batch), batch["mels_BMF"]).states_BTD, 1)
    torch.testing.assert_close(predicted.transcript_BFV, expected)
    nn.init.constant_(model.decoder.gate_layer.linear_layer.bias, -50.0)
    assert model.infer(batch["tokens_BN"], batch["tokens_B"], max_steps=4).refined_BMF.shape == (2, MELS, 4)


def memory_of(model: Tacotron2, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    real_BN = torch.arange(5) < batch["tokens_B"][:, None]
    return model.encoder(model.embedding(batch["tokens_BN"]), batch["tokens_B"], real_BN), ~real_BN


def test_a_bfloat16_pass_reads_almost_the_same() -> None:
    model, batch = reading_model().float(), make_batch()
    batch["mels_BMF"] = batch["mels_BMF"].float()
    exact = losses_of(model, batch)["mi_loss"]
    with torch.autocast("cpu", torch.bfloat16):
        predicted = model(**batch)
    rounded = training_losses(predicted, **batch, r=2, weights=LossWeights())["mi_loss"]
    assert predicted.transcript_BFV.dtype == torch.float32
    torch.testing.assert_close(rounded, exact, rtol=0.02, atol=0.0)


def test_there_is_no_text_head_unless_asked_for() -> None:
    model = small_model()
    batch = make_batch()
    assert model(**batch).transcript_BFV is None
    assert losses_of(model, batch)["mi_loss"] == 0.0
    assert not any("text_head" in name for name in model.state_dict())

"""The decoder's switches: dropped teacher frames, a reduction factor that falls, zoneout, states for the text head."""

import pytest
import torch
from torch import Tensor

from model.decoder import Decoder
from tests.support.networks import MELS, PREDICTED, changed, make_batch, small_model

B, TOKENS, WIDTH = 3, 5, 8
MEAN = torch.arange(1.0, MELS + 1, dtype=torch.float64)


def inputs(frames: int = 13) -> tuple[Tensor, Tensor, Tensor]:
    """Memory, padding and true mel frames."""
    torch.manual_seed(1)
    padding = torch.arange(TOKENS) >= torch.tensor([[4], [3], [5]])
    return torch.randn(B, TOKENS, WIDTH).double(), padding, torch.randn(B, MELS, frames).double()


def teacher(decoder: Decoder, frames: int = 13) -> tuple[Tensor, Tensor]:
    """What the prenet sees in a pass (B, T, M), and the last true frame of every step but the last (B, T - 1, M)."""
    seen: list[Tensor] = []
    hook = decoder.prenet.register_forward_pre_hook(lambda _, arguments: seen.append(arguments[0]))
    memory, padding, mels = inputs(frames)
    decoder(memory, padding, mels)
    hook.remove()
    r = decoder.reduction_factor
    return seen[0].transpose(0, 1), mels[:, :, r - 1 : -1 : r].transpose(1, 2)


@pytest.mark.parametrize("r", [1, 3])
def test_dropped_teacher_frames_are_the_mean_frame_and_the_others_the_true_ones(r: int) -> None:
    decoder = small_model(r, drop_frame_rate=0.3).decoder
    decoder.mean_mel_M.copy_(MEAN)
    seen, true = teacher(decoder, frames=300)
    dropped = (seen[:, 1:] == MEAN).all(2)
    assert (seen[:, 0] == 0.0).all()
    assert torch.equal(seen[:, 1:], torch.where(dropped[:, :, None], MEAN, true))
    assert abs(dropped.double().mean().item() - 0.3) < 0.1
    assert not torch.equal(dropped[0], dropped[1])


def test_no_teacher_frame_is_dropped_in_eval_mode_or_at_rate_0() -> None:
    for decoder in (small_model(drop_frame_rate=0.9).decoder.eval(), small_model().decoder):
        seen, true = teacher(decoder)
        assert torch.equal(seen[:, 1:], true)


def test_the_mean_frame_is_no_part_of_a_checkpoint() -> None:
    assert "decoder.mean_mel_M" not in small_model(drop_frame_rate=0.5).state_dict()


def fallen(most: int, r: int) -> tuple[Decoder, Decoder]:
    """A decoder made for many frames a step that now predicts fewer, and one made for fewer, of the same parameters."""
    large, small = small_model(most).decoder.eval(), small_model(r).decoder.eval()
    state = large.state_dict()
    for name in ("linear_projection.linear_layer.weight", "linear_projection.linear_layer.bias"):
        state[name] = state[name][: r * MELS]
    small.load_state_dict(state)
    large.reduction_factor = r
    return large, small


@pytest.mark.parametrize("r", [1, 2])
def test_with_a_smaller_reduction_factor_a_decoder_is_one_made_for_it(r: int) -> None:
    large, small = fallen(3, r)
    found, expected = large(*inputs()), small(*inputs())
    said, wanted = (decoder.infer(*inputs()[:2], 4, 1.0) for decoder in (large, small))
    for name in ("mels_BMF", "gate_BT", "attention_BTN"):
        torch.testing.assert_close(getattr(found, name), getattr(expected, name))
        torch.testing.assert_close(getattr(said, name), getattr(wanted, name))
    assert said.mels_BMF.shape == (B, MELS, 4 * r)


def test_rows_for_frames_that_are_no_longer_predicted_get_no_gradient() -> None:
    decoder, _ = fallen(3, 2)
    weight = decoder.linear_projection.linear_layer.weight
    (gradient,) = torch.autograd.grad(decoder(*inputs()).mels_BMF.square().sum(), weight)
    assert (gradient[2 * MELS :] == 0.0).all()
    assert (gradient[: 2 * MELS] != 0.0).all()


@pytest.mark.parametrize(
    ("site", "reached"), [("attention_zoneout", PREDICTED), ("decoder_zoneout", ["mels_BMF", "refined_BMF", "gate_BT"])]
)
def test_zoneout_acts_in_training_at_its_own_place_and_is_an_expectation_otherwise(
    site: str, reached: list[str]
) -> None:
    batch = make_batch()
    assert changed(small_model(**{site: 0.5}), batch) == reached
    assert changed(small_model(**{site: 0.5}).eval(), batch) == []
    held_back, free = (model.eval()(*batch) for model in (small_model(**{site: 0.5}), small_model()))
    differing = [name for name in PREDICTED if not torch.equal(getattr(held_back, name), getattr(free, name))]
    assert differing == reached


def test_an_attention_lstm_that_keeps_its_whole_state_hears_nothing() -> None:
    decoder = small_model(attention_zoneout=1.0).decoder
    memory, padding, mels = inputs()
    first, second = (decoder(memory, padding, spoken).attention_BTN for spoken in (mels, -mels))
    assert torch.equal(first, second)


def test_the_text_head_gets_the_states_from_which_mel_and_gate_are_made() -> None:
    decoder = small_model(use_mmi=True, decoder_dropout=0.5).decoder
    seen: list[Tensor] = []
    decoder.gate_layer.register_forward_pre_hook(lambda _, arguments: seen.append(arguments[0]))
    states = decoder(*inputs()).states_BTD
    assert torch.equal(states, seen[0].transpose(0, 1)[:, :, : states.shape[2]])
    assert small_model().decoder(*inputs()).states_BTD is None


def test_the_texts_gradient_at_the_states_is_the_mels_times_the_factor_at_most() -> None:
    decoder = small_model(use_mmi=True, max_gaf=0.25).decoder
    output = decoder(*inputs())
    (100.0 * output.states_BTD.sum() + output.mels_BMF.square().mean()).backward()
    assert 0.0 < decoder.adaptive.value < 0.25

"""Masks: as often as asked, with the mean that was there before, the same for the same seed."""

import pytest
import torch

from model.noise import drawn, dropout, held, kept

LIKE = torch.zeros(())


@pytest.mark.parametrize("chance", [0.0, 1e-7, 0.1, 0.5, 0.9, 1.0])
def test_a_mask_has_ones_as_often_as_asked(chance: float) -> None:
    torch.manual_seed(0)
    mask = drawn((300, 333), chance, LIKE)
    assert mask.shape == (300, 333)
    assert set(mask.unique().tolist()) <= {0.0, 1.0}
    assert mask.mean().item() == pytest.approx(chance, abs=0.005)


def test_neighbours_in_a_mask_know_nothing_of_each_other() -> None:
    torch.manual_seed(0)
    mask = drawn((100_000,), 0.5, LIKE)
    for apart in (1, 2, 3, 4, 5):
        together = (mask[apart:] * mask[:-apart]).mean().item()
        assert together == pytest.approx(0.25, abs=0.01)


def test_the_same_seed_draws_the_same_mask_and_the_next_draw_another() -> None:
    torch.manual_seed(3)
    first, second = drawn((50,), 0.5, LIKE), drawn((50,), 0.5, LIKE)
    torch.manual_seed(3)
    assert torch.equal(drawn((50,), 0.5, LIKE), first)
    assert not torch.equal(first, second)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_dropout_keeps_the_mean_and_the_type(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    mask = kept((400, 250), 0.2, torch.zeros((), dtype=dtype))
    assert mask.dtype is dtype
    assert mask.unique().tolist() == [0.0, torch.tensor(1.25, dtype=dtype).item()]
    assert mask.double().mean().item() == pytest.approx(1.0, abs=0.01)


def test_dropout_acts_in_training_alone_and_draws_nothing_at_rate_0() -> None:
    values, before = torch.randn(20, 30), torch.get_rng_state()
    assert dropout(values, 0.5, training=False) is values
    assert dropout(values, 0.0, training=True) is values
    assert torch.equal(torch.get_rng_state(), before)
    assert (dropout(values, 1.0, training=True) == 0.0).all()
    dropped = dropout(values, 0.5, training=True)
    assert torch.equal(dropped, torch.where(dropped == 0.0, 0.0, 2 * values))
    assert 0.3 < (dropped == 0.0).double().mean().item() < 0.7


def test_zoneout_holds_a_random_share_in_training_and_its_mean_otherwise() -> None:
    torch.manual_seed(0)
    assert held((2, 3), 0.0, LIKE, training=True) is None
    mask = held((100, 100), 0.3, LIKE, training=True)
    assert mask is not None
    assert mask.mean().item() == pytest.approx(0.3, abs=0.02)
    expected = held((2, 3), 0.3, LIKE, training=False)
    assert expected is not None
    torch.testing.assert_close(expected, torch.full((2, 3), 0.3))

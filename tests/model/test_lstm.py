"""LSTM steps written by hand have plain autograd's values and gradients, and zoneout holds back what it says."""

import pytest
import torch
from torch import Tensor, nn

from model.lstm import lstm, lstm_backward, lstm_forward, lstm_step, zoneout, zoneout_lstm
from model.noise import held
from tests.support.networks import live_tensors

STEPS, B, INPUTS, WIDTH = 4, 3, 5, 6
Masks = tuple[Tensor, Tensor]


def an_lstm() -> tuple[nn.LSTMCell, Tensor]:
    torch.manual_seed(0)
    return nn.LSTMCell(INPUTS, WIDTH).double(), torch.randn(STEPS, B, INPUTS, dtype=torch.float64, requires_grad=True)


def masks(rate: float, training: bool = True) -> Masks:
    """Zoneout of hidden state and cell."""
    hidden, cell = (held((STEPS, B, WIDTH), rate, torch.zeros((), dtype=torch.float64), training) for _ in range(2))
    assert hidden is not None
    assert cell is not None
    return hidden, cell


def step_by_step(cell: nn.LSTMCell, inputs_TBI: Tensor, hold: Masks) -> Tensor:
    """The same by torch's cell and autograd."""
    hidden, memory = torch.zeros(2, B, WIDTH, dtype=torch.float64)
    states = []
    for inputs, hold_hidden, hold_cell in zip(inputs_TBI, *hold, strict=True):
        fresh, fresh_memory = cell(inputs, (hidden, memory))
        hidden, memory = zoneout(fresh, hidden, hold_hidden), zoneout(fresh_memory, memory, hold_cell)
        states.append(hidden)
    return torch.stack(states)


def test_a_step_and_its_backward_pass_are_autograds() -> None:
    torch.manual_seed(0)
    gates, before = (torch.randn(B, n * WIDTH, dtype=torch.float64, requires_grad=True) for n in (4, 1))
    hidden, cell = lstm_step(gates, before)
    values, fresh = gates.detach().clone(), torch.empty_like(before)
    torch.testing.assert_close(lstm_forward(values, before.detach(), fresh), hidden, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(fresh, cell, rtol=1e-12, atol=1e-12)
    to_hidden, to_cell = torch.randn(2, B, WIDTH, dtype=torch.float64)
    expected = torch.autograd.grad([hidden, cell], [gates, before], [to_hidden, to_cell])
    to_gates = torch.empty_like(values)
    lstm_backward(to_hidden, to_cell, values, before.detach(), fresh, to_gates)
    torch.testing.assert_close((to_gates, to_cell), expected, rtol=1e-12, atol=1e-12)


def test_without_zoneout_it_is_torchs_layer() -> None:
    cell, inputs = an_lstm()
    hold = (torch.zeros(STEPS, B, WIDTH, dtype=torch.float64),) * 2
    torch.testing.assert_close(lstm(cell, inputs, True), zoneout_lstm(cell, inputs, hold), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("rate", "training"), [(0.4, True), (0.3, False)])
def test_with_zoneout_values_and_gradients_are_those_of_single_steps(rate: float, training: bool) -> None:
    cell, inputs = an_lstm()
    hold = masks(rate, training)
    found, expected = zoneout_lstm(cell, inputs, hold), step_by_step(cell, inputs, hold)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    leaves = [inputs, *cell.parameters()]
    gradients = [torch.autograd.grad((states**3).sum(), leaves) for states in (found, expected)]
    torch.testing.assert_close(*gradients, rtol=1e-12, atol=1e-12)


def test_the_gradients_are_the_finite_differences() -> None:
    cell, inputs = an_lstm()
    hold = masks(0.4)
    leaves = [inputs, *cell.parameters()]
    assert torch.autograd.gradcheck(lambda *_: zoneout_lstm(cell, inputs, hold), leaves, fast_mode=True)


def test_a_state_that_is_held_whole_stays_where_it_began() -> None:
    cell, inputs = an_lstm()
    assert zoneout_lstm(cell, inputs, masks(1.0)).abs().sum() == 0.0


def test_zoneout_keeps_its_share_of_the_units_and_takes_the_others_whole() -> None:
    torch.manual_seed(0)
    before, fresh = torch.randn(2, 100, 100)
    hold = held((100, 100), 0.3, fresh, training=True)
    state = zoneout(fresh, before, hold)
    assert torch.equal(state, torch.where(state == before, before, fresh))
    assert abs((state == before).double().mean().item() - 0.3) < 0.02
    assert zoneout(fresh, before, None) is fresh


def test_a_second_backward_pass_gives_the_same_gradient() -> None:
    cell, inputs = an_lstm()
    loss = zoneout_lstm(cell, inputs, masks(0.4)).sum()
    once = torch.autograd.grad(loss, [inputs, *cell.parameters()], retain_graph=True)
    torch.testing.assert_close(torch.autograd.grad(loss, [inputs, *cell.parameters()]), once)


@pytest.mark.parametrize("backward", [False, True])
def test_a_pass_is_freed_as_soon_as_it_is_dropped(backward: bool) -> None:
    cell, inputs = an_lstm()
    hold = masks(0.4)
    with live_tensors() as count:
        states = zoneout_lstm(cell, inputs, hold)
        if backward:
            torch.autograd.grad(states.sum(), [inputs])
        assert count() > 0
        del states
        assert count() == 0  # at once: what waits for the garbage collector fills the device's memory

"""Steps of a loop have plain autograd's values and gradients, and zoneout keeps what it says of their state."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from model.recurrent import SharedTensors, StepwiseLinear, zoneout, zoneout_lstm
from tests.support.networks import live_tensors

STEPS, B, WIDTH = 4, 3, 5


def leaves() -> tuple[Tensor, Tensor, Tensor]:
    """A weight (I, I), a first input (B, I) and one base per step (steps, B, I), all wanting gradients."""
    generator = torch.Generator().manual_seed(0)
    shapes = [(WIDTH, WIDTH), (B, WIDTH), (STEPS, B, WIDTH)]
    weight, first, bases = (torch.randn(*shape, generator=generator, dtype=torch.float64) for shape in shapes)
    return weight.requires_grad_(), first.requires_grad_(), bases.requires_grad_()


def fast_run(weight: Tensor, first: Tensor, bases: Tensor) -> Tensor:
    linear = StepwiseLinear(weight, weight.dtype)
    states = [first]
    for base in bases:
        states.append(torch.tanh(linear(states[-1], base)))
    return torch.stack([*states[1:], linear(first)])


def plain_run(weight: Tensor, first: Tensor, bases: Tensor) -> Tensor:
    states = [first]
    for base in bases:
        states.append(torch.tanh(base + states[-1] @ weight.T))
    return torch.stack([*states[1:], first @ weight.T])


@pytest.mark.parametrize("wanted", [[0, 1, 2], [1, 2], [0]], ids=["all", "a frozen weight", "constant inputs"])
def test_values_and_gradients_over_steps_are_plain_autograds(wanted: list[int]) -> None:
    inputs = [leaf if place in wanted else leaf.detach() for place, leaf in enumerate(leaves())]
    fast, plain = fast_run(*inputs), plain_run(*inputs)
    torch.testing.assert_close(fast, plain, rtol=1e-13, atol=1e-13)
    asked = [inputs[place] for place in wanted]
    fast_gradients = torch.autograd.grad((fast**3).sum(), asked)
    plain_gradients = torch.autograd.grad((plain**3).sum(), asked)
    torch.testing.assert_close(fast_gradients, plain_gradients, rtol=1e-12, atol=1e-12)


def test_a_step_that_nothing_uses_adds_nothing_to_the_gradients() -> None:
    inputs = leaves()
    weight, first, _ = inputs
    linear = StepwiseLinear(weight, weight.dtype)
    used = linear(first)
    linear(2.0 * first)  # unused
    gradients = torch.autograd.grad((used**2).sum(), (weight, first))
    expected = torch.autograd.grad((F.linear(first, weight) ** 2).sum(), (weight, first))
    torch.testing.assert_close(gradients, expected, rtol=1e-13, atol=1e-13)


def test_without_gradients_the_values_are_the_same_and_carry_no_graph() -> None:
    inputs = leaves()
    with torch.no_grad():
        values = fast_run(*inputs)
    assert not values.requires_grad
    torch.testing.assert_close(values, plain_run(*inputs).detach(), rtol=1e-13, atol=1e-13)


def test_works_in_the_dtype_asked_for_and_returns_gradients_in_the_parameters_own() -> None:
    weight, first, _ = (leaf.detach().float().requires_grad_() for leaf in leaves())
    output = StepwiseLinear(weight, torch.bfloat16)(first)
    output.float().sum().backward()
    assert output.dtype == torch.bfloat16
    assert weight.grad is not None
    assert weight.grad.dtype == torch.float32
    torch.testing.assert_close(weight.grad, first.detach().sum(0).expand(WIDTH, WIDTH), rtol=0.02, atol=0.02)


def test_a_second_backward_pass_gives_the_same_gradient() -> None:
    inputs = leaves()
    loss = fast_run(*inputs).sum()
    once = torch.autograd.grad(loss, inputs, retain_graph=True)
    twice = torch.autograd.grad(loss, inputs)
    torch.testing.assert_close(twice, once)


@pytest.mark.parametrize("wanted", [[], [0, 1, 2], [1, 2]], ids=["no backward", "all gradients", "not the weight's"])
def test_a_pass_is_freed_as_soon_as_it_is_dropped(wanted: list[int]) -> None:
    inputs = leaves()
    with live_tensors() as count:
        output = fast_run(*inputs)
        if wanted:
            torch.autograd.grad(output.sum(), [inputs[index] for index in wanted])
        assert count() > 0
        del output
        assert count() == 0  # at once: what waits for the garbage collector fills the device's memory


def test_zoneout_keeps_its_share_of_the_units_and_takes_the_others_whole() -> None:
    torch.manual_seed(0)
    previous, fresh = torch.randn(2, 100, 100)
    state = zoneout(previous, fresh, 0.3, training=True)
    kept = state == previous
    assert torch.equal(state, torch.where(kept, previous, fresh))
    assert abs(kept.double().mean().item() - 0.3) < 0.02
    assert not torch.equal(zoneout(previous, fresh, 0.3, training=True), state)


def test_zoneout_outside_training_is_its_expectation() -> None:
    previous, fresh = torch.randn(2, 5, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(zoneout(previous, fresh, 0.3, training=False), 0.3 * previous + 0.7 * fresh)
    assert zoneout(previous, fresh, 0.0, training=True) is fresh


def an_lstm() -> tuple[nn.LSTMCell, Tensor]:
    torch.manual_seed(0)
    return nn.LSTMCell(WIDTH, 3).double(), torch.randn(B, STEPS, WIDTH, dtype=torch.float64, requires_grad=True)


def test_without_zoneout_the_stepwise_lstm_is_torchs() -> None:
    cell, inputs = an_lstm()
    whole = nn.LSTM(WIDTH, 3, batch_first=True).double()
    whole.load_state_dict({f"{name}_l0": value for name, value in cell.state_dict().items()})
    expected, found = whole(inputs)[0], zoneout_lstm(cell, inputs, 0.0, training=True)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    expected_gradients = torch.autograd.grad((expected**3).sum(), [inputs, *whole.parameters()])
    gradients = torch.autograd.grad((found**3).sum(), [inputs, *cell.parameters()])
    torch.testing.assert_close(gradients, expected_gradients, rtol=1e-12, atol=1e-12)


def test_the_lstms_hidden_and_cell_are_both_held_back() -> None:
    cell, inputs = an_lstm()
    hidden, memory = torch.zeros(2, B, 3, dtype=torch.float64)
    for step, state in enumerate(zoneout_lstm(cell, inputs, 0.3, training=False).unbind(1)):
        fresh, fresh_memory = cell(inputs[:, step], (hidden, memory))
        hidden, memory = 0.3 * hidden + 0.7 * fresh, 0.3 * memory + 0.7 * fresh_memory
        torch.testing.assert_close(state, hidden, rtol=1e-12, atol=1e-12)
    assert zoneout_lstm(cell, inputs, 1.0, training=True).abs().sum() == 0.0


@pytest.mark.slow
def test_the_stepwise_lstms_gradients_in_training_are_the_finite_differences() -> None:
    cell, inputs = an_lstm()

    def states(*_: Tensor) -> Tensor:
        torch.manual_seed(1)
        return zoneout_lstm(cell, inputs, 0.4, training=True)

    assert torch.autograd.gradcheck(states, [inputs, *cell.parameters()])


def test_shared_tensors_get_the_sum_of_what_the_steps_hand_in() -> None:
    first, second = (torch.zeros(3, requires_grad=True) for _ in range(2))
    shared = SharedTensors(first, second)
    for step in (1.0, 2.0):
        shared.sums.add([torch.full((3,), step), torch.full((3,), 10.0 * step)])
    gradients = torch.autograd.grad(sum(tensor.sum() for tensor in shared.tensors), [first, second])
    torch.testing.assert_close(gradients, (torch.full((3,), 3.0), torch.full((3,), 30.0)))

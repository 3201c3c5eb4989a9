"""The per-step linear map has plain autograd's values and gradients."""

import gc

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from model.recurrent import StepwiseLinear

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


def test_values_and_gradients_over_steps_are_plain_autograds() -> None:
    inputs = leaves()
    fast, plain = fast_run(*inputs), plain_run(*inputs)
    torch.testing.assert_close(fast, plain, rtol=1e-13, atol=1e-13)
    fast_gradients = torch.autograd.grad((fast**3).sum(), inputs)
    plain_gradients = torch.autograd.grad((plain**3).sum(), inputs)
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


def test_a_frozen_weight_still_passes_gradients_to_its_inputs() -> None:
    weight, first, bases = leaves()
    frozen = weight.detach()
    fast = torch.autograd.grad(fast_run(frozen, first, bases).sum(), (first, bases))
    plain = torch.autograd.grad(plain_run(frozen, first, bases).sum(), (first, bases))
    torch.testing.assert_close(fast, plain, rtol=1e-12, atol=1e-12)


def test_inputs_without_gradients_leave_the_weights_gradient_right() -> None:
    weight, first, bases = leaves()
    constants = first.detach(), bases.detach()
    (fast,) = torch.autograd.grad(fast_run(weight, *constants).sum(), weight)
    (plain,) = torch.autograd.grad(plain_run(weight, *constants).sum(), weight)
    torch.testing.assert_close(fast, plain, rtol=1e-12, atol=1e-12)


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


def live_tensors() -> int:
    return sum(issubclass(type(thing), Tensor) for thing in gc.get_objects())


@pytest.mark.parametrize("wanted", [[], [0, 1, 2], [1, 2]], ids=["no backward", "all gradients", "not the weight's"])
def test_a_pass_is_freed_as_soon_as_it_is_dropped(wanted: list[int]) -> None:
    inputs = leaves()
    gc.collect()
    before = live_tensors()
    output = fast_run(*inputs)
    if wanted:
        torch.autograd.grad(output.sum(), [inputs[index] for index in wanted])
    del output
    assert live_tensors() == before  # at once: what waits for the garbage collector fills the device's memory

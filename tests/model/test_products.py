"""Products: torch's own values and gradients, whoever multiplies."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from model import products
from model.products import RepeatedProduct, by_onednn, linear, product

LARGE, SMALL = (128, 96, 80), (3, 4, 5)
"""M, K, N on both sides of the bound."""


def matrices(sizes: tuple[int, int, int], dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    """Inputs (M, K) and a weight (N, K)."""
    rows, inputs, outputs = sizes
    generator = torch.Generator().manual_seed(0)
    shapes = (rows, inputs), (outputs, inputs)
    first, second = (torch.randn(shape, generator=generator, dtype=dtype) for shape in shapes)
    return first, second


def gaps(matrix: Tensor) -> Tensor:
    """The same matrix as a slice of a wider one."""
    return torch.cat([matrix, matrix], dim=1)[:, : matrix.shape[1]]


def test_only_large_single_precision_products_go_to_onednn() -> None:
    rows, _, outputs = LARGE
    assert by_onednn(matrices(LARGE)[0], outputs) is products.ONEDNN
    assert not by_onednn(matrices(SMALL)[0], outputs)
    assert not by_onednn(matrices(LARGE, torch.float64)[0], rows)


@pytest.mark.parametrize("sizes", [LARGE, SMALL], ids=["large", "small"])
@pytest.mark.parametrize("form", ["dense", "transposed", "gaps"])
def test_a_product_is_torchs_whatever_lies_between_the_rows(sizes: tuple[int, int, int], form: str) -> None:
    inputs, weight = matrices(sizes)
    shaped = {"dense": lambda it: it, "transposed": lambda it: it.t().contiguous().t(), "gaps": gaps}[form]
    expected = (inputs.double() @ weight.double().t()).float()
    torch.testing.assert_close(product(shaped(inputs), shaped(weight)), expected, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("sizes", [LARGE, SMALL], ids=["large", "small"])
def test_a_repeated_product_is_the_same_with_and_without_a_base(sizes: tuple[int, int, int]) -> None:
    inputs, weight = matrices(sizes)
    times, expected = RepeatedProduct(weight, sizes[0]), inputs @ weight.t()
    torch.testing.assert_close(times(inputs), expected, rtol=1e-5, atol=1e-4)
    base = torch.randn_like(expected)
    torch.testing.assert_close(times.plus(base, inputs), base + expected, rtol=1e-5, atol=1e-4)
    back = RepeatedProduct(weight.t(), sizes[0])
    torch.testing.assert_close(back(base), base @ weight, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("frozen", [None, 0, 1, 2])
@pytest.mark.parametrize("shape", [(128, 96), (16, 8, 96)])
def test_a_linear_layers_values_and_gradients_are_torchs(shape: tuple[int, ...], frozen: int | None) -> None:
    _, weight = matrices(LARGE)
    given = [torch.randn(shape), weight, torch.randn(len(weight))]
    for place, tensor in enumerate(given):
        tensor.requires_grad_(place != frozen)
    wanted = [tensor for tensor in given if tensor.requires_grad]
    ours, torchs = linear(*given), F.linear(*given)
    torch.testing.assert_close(ours, torchs, rtol=1e-5, atol=1e-4)
    gradients = torch.autograd.grad((ours**2).sum(), wanted)
    expected = torch.autograd.grad((torchs**2).sum(), wanted)
    torch.testing.assert_close(gradients, expected, rtol=1e-4, atol=1e-2)
    assert torch.equal(linear(given[0], weight), linear(given[0], weight, None))


def test_a_second_derivative_is_refused() -> None:
    inputs, weight = matrices(LARGE)
    (gradient,) = torch.autograd.grad(linear(inputs, weight.requires_grad_()).square().sum(), weight, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.square().sum().backward()


def test_without_onednn_torch_multiplies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(products, "ONEDNN", False)
    inputs, weight = matrices(LARGE)
    assert torch.equal(product(inputs, weight), inputs @ weight.t())
    assert torch.equal(linear(inputs, weight), F.linear(inputs, weight))
    assert torch.equal(RepeatedProduct(weight, LARGE[0])(inputs), inputs @ weight.t())


def test_autocast_decides_the_type_of_a_linear_layer() -> None:
    inputs, weight = matrices(LARGE)
    with torch.autocast("cpu", torch.bfloat16):
        assert linear(inputs, weight).dtype is torch.bfloat16

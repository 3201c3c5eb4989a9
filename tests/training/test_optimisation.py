"""Loss weights, learning rates, optimizers, the running mean of the weights, statistics of a batch in parts."""

import copy
import math
from typing import Any

import pytest
import torch
from torch import nn

from smart_tuner.evaluation.frozen import exact_products
from smart_tuner.settings.hparams import Hparams
from smart_tuner.training.optimisation import (
    BatchNorms,
    Rewind,
    WeightAverage,
    as_optimised,
    choose_precision,
    choose_products,
    is_out_of_memory,
    learning_rate,
    loss_weights,
    make_optimizer,
)

CPU = torch.device("cpu")


def hparams(**values: Any) -> Hparams:
    return Hparams(learning_rate=1e-2, **{"warmup_iterations": 0, "final_learning_rate": 1e-4, **values})


@pytest.mark.parametrize("schedule", ["constant", "step", "exponential", "cosine", "plateau"])
def test_the_rate_warms_up_in_a_line_to_its_peak(schedule: str) -> None:
    rates = [learning_rate(hparams(schedule=schedule, warmup_iterations=4), step, 0.0) for step in range(1, 6)]
    assert rates == pytest.approx([2.5e-3, 5e-3, 7.5e-3, 1e-2, 1e-2])


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("constant", [1e-2, 1e-2, 1e-2, 1e-2]),
        ("step", [1e-2, 3e-3, 9e-4, 9e-4]),
        ("exponential", [1e-2, 1e-2, 1e-3, 1e-4]),
        ("cosine", [1e-2, 5.05e-3, 1e-4 + 9.9e-3 * (1 - math.sqrt(0.5)) / 2, 1e-4]),
        ("plateau", [1e-2, 1e-2, 1e-2, 1e-2]),
    ],
)
def test_a_schedule_falls_from_the_peak_to_the_final_rate(schedule: str, expected: list[float]) -> None:
    rates = [learning_rate(hparams(schedule=schedule), 10, used) for used in (0.0, 0.5, 0.75, 1.0)]
    assert rates == pytest.approx(expected)


def test_each_plateau_halves_the_rate() -> None:
    rates = [learning_rate(hparams(schedule="plateau"), 10, 0.9, plateaus) for plateaus in range(4)]
    assert rates == pytest.approx([1e-2, 5e-3, 2.5e-3, 1.25e-3])


@pytest.mark.parametrize("schedule", ["step", "plateau"])
def test_no_step_falls_below_the_final_rate(schedule: str) -> None:
    assert learning_rate(hparams(schedule=schedule, final_learning_rate=4e-3), 10, 0.9, 20) == 4e-3


def test_a_guide_that_is_annealed_halves_with_each_validation_beyond_and_comes_back() -> None:
    annealed = hparams(guide_weight=8.0, guide_anneal=2)
    assert [loss_weights(annealed, formed).guide_weight for formed in (0, 1, 2, 3, 4, 5, 0)] == [8, 8, 8, 4, 2, 1, 8]
    assert loss_weights(hparams(guide_weight=8.0), 100).guide_weight == 8.0
    assert loss_weights(hparams(guide_anneal=2, use_guided_attn=False), 1).guide_weight == 0.0


def test_the_loss_that_is_told_has_the_share_of_mi_loss_that_reaches_the_network() -> None:
    assert as_optimised({"loss": 5.0, "mi_loss": 2.0, "gaf": 0.25}) == {"loss": 3.5, "mi_loss": 2.0, "gaf": 0.25}
    assert as_optimised({"loss": 5.0, "mi_loss": 0.0}) == {"loss": 5.0, "mi_loss": 0.0}
    assert as_optimised({"loss": 5.0, "mi_loss": math.nan, "gaf": 0.25})["loss"] == 5.0


@pytest.mark.parametrize(("name", "expected"), [("adam", 2.0 - 0.01), ("adamw", 2.0 * (1 - 0.01 * 0.1))])
def test_weight_decay_is_part_of_adams_gradient_and_beside_adamws(name: str, expected: float) -> None:
    weight = nn.Parameter(torch.tensor([2.0]))
    optimizer = make_optimizer([weight], hparams(optimizer=name, weight_decay=0.1), CPU)
    weight.grad = torch.zeros(1)
    optimizer.step()
    assert weight.item() == pytest.approx(expected, abs=1e-5)


# the running mean of the weights


def test_the_mean_is_the_plain_recursion() -> None:
    torch.manual_seed(0)
    model = nn.Linear(3, 2).double()
    averaged, expected = WeightAverage(model, 0.7), model.weight.detach().clone()
    for iteration in range(1, 8):
        nn.init.normal_(model.weight)
        averaged.follow(iteration)
        decay = min(0.7, (1 + iteration) / (10 + iteration))
        expected = decay * expected + (1 - decay) * model.weight.detach()
    torch.testing.assert_close(averaged.mean["weight"], expected, rtol=1e-12, atol=0)


def test_the_mean_is_in_use_for_a_while_and_the_weights_come_back() -> None:
    model = nn.Linear(3, 2)
    averaged, place = WeightAverage(model, 0.7), model.weight.data_ptr()
    nn.init.ones_(model.weight)
    mean = averaged.mean["weight"].clone()
    with averaged.in_use():
        assert torch.equal(model.weight, mean)
    assert torch.equal(model.weight, torch.ones(2, 3))
    assert torch.equal(averaged.mean["weight"], mean)
    assert model.weight.data_ptr() == place


def test_the_statistics_of_batch_normalisation_are_averaged_too() -> None:
    model = nn.Sequential(nn.BatchNorm1d(2))
    averaged = WeightAverage(model, 0.7)
    model[0].running_mean.fill_(1.0)
    averaged.follow(1)
    with averaged.in_use():
        assert model[0].running_mean.tolist() == pytest.approx([1 - 2 / 11] * 2)
    assert model[0].running_mean.tolist() == [1.0, 1.0]


def test_without_decay_there_is_no_mean() -> None:
    model = nn.Linear(3, 2)
    averaged = WeightAverage(model, 0.0)
    averaged.follow(1)
    before = copy.deepcopy(model.state_dict())
    with averaged.in_use():
        assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert averaged.mean == {}


# a batch in parts


@pytest.mark.parametrize("sizes", [[4], [2, 2], [3, 1], [1, 2, 1], [1, 1, 1, 1]])
def test_batch_statistics_move_once_a_batch_and_each_part_counts_by_its_utterances(sizes: list[int]) -> None:
    torch.manual_seed(0)
    norm = nn.BatchNorm1d(3, momentum=0.3).double()
    inputs = torch.randn(4, 3, 7, dtype=torch.float64)
    norms, parts, after = BatchNorms(norm), inputs.split(sizes), 4
    for part in parts:
        after -= len(part)
        norms.expect(len(part), after=after, whole=4)
        norm(part)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    torch.testing.assert_close(norm.running_mean, 0.3 * inputs.mean((0, 2)))
    variance = sum(len(part) / 4 * part.var((0, 2)) for part in parts)
    torch.testing.assert_close(norm.running_var, 0.7 + 0.3 * variance)


def test_a_beginning_brings_back_randomness_and_statistics() -> None:
    norm = nn.BatchNorm1d(2)
    beginning = Rewind(norm, CPU)
    drawn = torch.rand(3)
    norm(torch.randn(2, 2, 5))
    beginning.restore()
    assert torch.equal(torch.rand(3), drawn)
    assert torch.equal(norm.state_dict()["running_mean"], torch.zeros(2))
    assert norm.state_dict()["num_batches_tracked"] == 0


@pytest.mark.parametrize(
    ("sentence", "full"),
    [
        ("CUDA out of memory. Tried", True),
        ("CUDNN_STATUS_ALLOC_FAILED", True),
        ("DefaultCPUAllocator: can't allocate memory: you tried to allocate 32000000000 bytes", True),
        ("mat1 and mat2 shapes", False),
    ],
)
def test_a_full_device_has_many_names(sentence: str, full: bool) -> None:
    assert is_out_of_memory(RuntimeError(sentence)) == full


GPU = torch.device("cuda", 0)


@pytest.mark.parametrize(
    ("device", "asked", "bf16", "overflowed", "precision"),
    [
        (GPU, False, True, False, torch.float32),
        (GPU, True, True, False, torch.bfloat16),
        (GPU, True, True, True, torch.bfloat16),
        (GPU, True, False, False, torch.float16),
        (GPU, True, False, True, torch.float32),
        (CPU, True, True, False, torch.float32),
    ],
)
def test_mixed_precision_is_what_the_device_has_and_bears(
    monkeypatch: pytest.MonkeyPatch,
    device: torch.device,
    asked: bool,
    bf16: bool,
    overflowed: bool,
    precision: torch.dtype,
) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: bf16)
    assert choose_precision(device, asked, overflowed=overflowed) is precision


def test_tf32_is_for_a_gpu_that_was_asked_for_it_and_never_for_a_validation() -> None:
    before = torch.get_float32_matmul_precision()
    try:
        choose_products(torch.device("cpu"), True)
        assert torch.get_float32_matmul_precision() == before
        choose_products(torch.device("cuda"), True)
        assert torch.get_float32_matmul_precision() == "high"
        with exact_products():
            assert torch.get_float32_matmul_precision() == "highest"
        assert torch.get_float32_matmul_precision() == "high"
        choose_products(torch.device("cuda"), False)
        assert torch.get_float32_matmul_precision() == "highest"
    finally:
        torch.set_float32_matmul_precision(before)

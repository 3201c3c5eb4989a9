"""Chunks of steps that are captured once: the values and gradients of a pass through its own buffers, nothing stale."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor

from model import graphs
from model.decoder import Decoder
from model.graphs import CHUNK, Capture, Graphs
from model.loop import ways
from tests.support.networks import KINDS, MELS, small_model
from tests.support.recorded import record

WIDTH = 8
NOISES: dict[str, dict[str, Any]] = {
    "no noise": {},
    "dropout": {"attention_dropout": 0.3},
    "zoneout": {"attention_zoneout": 0.3},
    "both": {"attention_dropout": 0.3, "attention_zoneout": 0.3},
}


def count_captures(made: list[int]) -> Capture:
    """A recording that counts how often it is asked."""

    def capture(work: Callable[[], None]) -> Callable[[], None]:
        made.append(1)
        return record(work)

    return capture


@contextmanager
def with_graphs(cache: Graphs | None) -> Iterator[None]:
    before, ways.graphs = ways.graphs, cache
    try:
        yield
    finally:
        ways.graphs = before


def batch(tokens: int, frames: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Memory, padding and true mel frames of two texts, one of them shorter."""
    generator = torch.Generator().manual_seed(seed)
    memory = torch.randn(2, tokens, WIDTH, generator=generator, dtype=torch.float64, requires_grad=True)
    padding = torch.arange(tokens) >= torch.tensor([[tokens - 2], [tokens]])
    return memory, padding, torch.randn(2, MELS, frames, generator=generator, dtype=torch.float64)


def results(decoder: Decoder, given: tuple[Tensor, Tensor, Tensor]) -> list[Tensor]:
    """Outputs, and gradients of memory and parameters."""
    torch.manual_seed(3)
    output = decoder(*given)
    loss = output.mels_BMF.square().mean() + output.gate_BT.mean() + output.attention_BTN.square().sum()
    leaves = [given[0], *decoder.parameters()]
    gradients = torch.autograd.grad(loss, leaves)
    return [output.mels_BMF.detach(), output.gate_BT.detach(), output.attention_BTN.detach(), *gradients]


def both(decoder: Decoder, given: tuple[Tensor, Tensor, Tensor], cache: Graphs) -> tuple[list[Tensor], list[Tensor]]:
    """By captured chunks, and without."""
    with with_graphs(cache):
        replayed = results(decoder, given)
    return replayed, results(decoder, given)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("noise", NOISES)
def test_replayed_chunks_have_the_values_and_gradients_of_a_whole_pass(kind: str, noise: str) -> None:
    decoder = small_model(attention_kind=kind, **NOISES[noise]).decoder
    made: list[int] = []
    cache = Graphs(count_captures(made))
    # lengths below, at and above multiples of a chunk, and texts of different lengths in the same one
    for turn, (tokens, steps) in enumerate([(5, 7), (7, 2 * CHUNK + 5), (5, CHUNK), (9, 3)]):
        with torch.no_grad():  # as after an optimizer's step
            for parameter in decoder.parameters():
                parameter.mul_(1.05)
        replayed, expected = both(decoder, batch(tokens, steps, turn), cache)
        torch.testing.assert_close(replayed, expected, rtol=1e-10, atol=1e-12)
        assert len(made) == (2 if turn else 0)  # at the second appearance: forward, and back


@pytest.mark.parametrize("kind", KINDS)
def test_padding_far_behind_a_text_is_nothing_to_it(kind: str) -> None:
    decoder = small_model(attention_kind=kind).decoder
    memory, padding, mels = batch(5, 7, 0)
    wide = torch.cat([memory.detach(), torch.ones(2, 30, WIDTH)], dim=1).requires_grad_()
    padded = torch.cat([padding, torch.ones(2, 30, dtype=torch.bool)], dim=1)
    found, expected = results(decoder, (wide, padded, mels)), results(decoder, (memory, padding, mels))
    found[2], found[3] = found[2][:, :, :5], found[3][:, :5]
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_two_passes_before_their_gradients_do_not_mix(kind: str) -> None:
    decoder = small_model(attention_kind=kind).decoder
    first, second = batch(5, 40, 0), batch(6, 10, 1)

    def gradients() -> list[Tensor]:
        outputs = [decoder(*given).mels_BMF.square().sum() for given in (first, second)]
        leaves = [first[0], second[0], *decoder.parameters()]
        return [
            *torch.autograd.grad(outputs[0], leaves, retain_graph=True, materialize_grads=True),
            *torch.autograd.grad(outputs[1], leaves, materialize_grads=True),
            *torch.autograd.grad(outputs[0], leaves, materialize_grads=True),
        ]

    decoder.prenet.dropout = 0.0
    with with_graphs(Graphs(record)):
        decoder(*first)  # seen once
        replayed = gradients()
    torch.testing.assert_close(replayed, gradients(), rtol=1e-10, atol=1e-12)


def test_a_pass_without_gradients_is_never_captured() -> None:
    decoder = small_model().decoder
    made: list[int] = []
    with with_graphs(Graphs(count_captures(made))), torch.no_grad():
        for _ in range(3):
            decoder(*batch(5, 7, 0))
    assert not made


def test_the_shape_that_was_not_used_for_longest_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graphs, "MOST", 2)
    decoder = small_model().decoder
    made: list[int] = []
    short, middle, long = 5, 5 + graphs.TOKENS, 5 + 2 * graphs.TOKENS
    with with_graphs(Graphs(count_captures(made))):
        for tokens, captures in [(short, 0), (short, 2), (middle, 2), (short, 2), (long, 2), (short, 2), (middle, 2)]:
            results(decoder, batch(tokens, 3, 0))
            assert len(made) == captures
        results(decoder, batch(middle, 3, 0))
        assert len(made) == 4


def test_a_capture_that_fails_drops_all_chunks_and_is_no_secret() -> None:
    decoder = small_model().decoder

    def full(_: Callable[[], None]) -> Callable[[], None]:
        raise RuntimeError("CUDA out of memory")

    cache = Graphs(record)
    with with_graphs(cache):
        for _ in range(2):
            results(decoder, batch(5, 3, 0))
        cache._capture = full
        results(decoder, batch(25, 3, 0))
        with pytest.raises(RuntimeError, match="out of memory"):
            results(decoder, batch(25, 3, 0))
        assert not cache._chunks
        results(decoder, batch(5, 3, 0))  # goes on without


def test_another_precision_of_products_is_another_graph() -> None:
    decoder = small_model().decoder
    made: list[int] = []
    before = torch.get_float32_matmul_precision()
    with with_graphs(Graphs(count_captures(made))):
        try:
            for precision in ("highest", "high", "highest", "high"):
                torch.set_float32_matmul_precision(precision)
                results(decoder, batch(5, 3, 0))
        finally:
            torch.set_float32_matmul_precision(before)
    assert len(made) == 4

"""The fused kernels in Triton's interpreter, against plain torch: whole passes of odd sizes, and their gradients."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from model import graphs
from model.decoder import Decoder
from model.graphs import Graphs
from model.loop import Steps, ways
from smart_tuner.training import proving
from tests.support.networks import KINDS, MELS, small_model
from tests.support.recorded import Launches, record

os.environ["TRITON_INTERPRET"] = "1"  # read where a kernel is made: as triton and the module are imported
pytest.importorskip("triton")
from model import kernels
from model.fused import FusedSteps
from tests.support.watched import Watched

NOISES: dict[str, dict[str, Any]] = {
    "no noise": {},
    "dropout": {"attention_dropout": 0.3},
    "both": {"attention_dropout": 0.3, "attention_zoneout": 0.3},
}
WIDTH = 8


@pytest.fixture(autouse=True)
def _interpreted(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    yield
    ways.steps, ways.graphs = Steps, None


def batch(tokens: int, frames: int, short: int) -> tuple[Tensor, Tensor, Tensor]:
    """Memory, padding and true mel frames of two texts, one of them shorter."""
    generator = torch.Generator().manual_seed(tokens)
    memory = torch.randn(2, tokens, WIDTH, generator=generator, requires_grad=True)
    padding = torch.arange(tokens) >= torch.tensor([[short], [tokens]])
    return memory, padding, torch.randn(2, MELS, frames, generator=generator)


def results(decoder: Decoder, given: tuple[Tensor, Tensor, Tensor]) -> dict[str, Tensor]:
    """Outputs, and gradients of memory and parameters."""
    torch.manual_seed(3)
    output = decoder(*given)
    loss = output.mels_BMF.float().square().mean() + 5 * (output.attention_BTN**2).sum()
    leaves = {"memory": given[0], **dict(decoder.named_parameters())}
    gradients = torch.autograd.grad(loss, list(leaves.values()), materialize_grads=True)
    outputs = {"mels": output.mels_BMF.detach(), "attention": output.attention_BTN.detach()}
    return {**outputs, **dict(zip(leaves, gradients, strict=True))}


def both(decoder: Decoder, given: tuple[Tensor, Tensor, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """By the kernels, and plainly."""
    ways.steps = FusedSteps
    fused = results(decoder, given)
    ways.steps, ways.graphs = Steps, None
    return fused, results(decoder, given)


@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize("kind", KINDS)
def test_a_pass_by_kernels_has_the_values_and_gradients_of_a_plain_one(kind: str, noise: str) -> None:
    decoder = small_model(attention_kind=kind, **NOISES[noise]).decoder.float()
    fused, plain = both(decoder, batch(37, 4, short=3))
    torch.testing.assert_close(fused, plain, rtol=1e-4, atol=2e-6)


@pytest.mark.parametrize("kind", ["location", "forward"])
def test_texts_of_several_blocks_and_widths_beyond_one(kind: str) -> None:
    decoder = small_model(
        attention_kind=kind, attention_dim=19, attention_rnn_dim=300, attention_location_kernel_size=31
    ).decoder.float()
    fused, plain = both(decoder, batch(70, 3, short=41))
    torch.testing.assert_close(fused, plain, rtol=1e-4, atol=2e-6)


@pytest.mark.parametrize("noise", ["no noise", "both"])
def test_chunks_of_kernels_have_them_too(noise: str, monkeypatch: pytest.MonkeyPatch) -> None:
    decoder = small_model(attention_kind="forward", **NOISES[noise]).decoder.float()
    for name in [name for name in vars(kernels) if name.endswith("_kernel")]:
        monkeypatch.setattr(kernels, name, Launches(getattr(kernels, name)))
    monkeypatch.setattr(graphs, "CHUNK", 4)
    cache = Graphs(record)
    for turn, (tokens, frames) in enumerate([(18, 3), (20, 9), (17, 4)]):
        with torch.no_grad():  # as after an optimizer's step
            for parameter in decoder.parameters():
                parameter.mul_(1.05)
        ways.graphs = cache
        fused, plain = both(decoder, batch(tokens, frames, short=9))
        torch.testing.assert_close(fused, plain, rtol=1e-4, atol=5e-6)
        assert all(chunk is not None for chunk in cache._chunks.values()) == (turn > 0)


def test_what_kernels_cannot_do_is_done_plainly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("model.kernels.MOST_TOKENS", 4)
    long = small_model().decoder.float()
    fused, plain = both(long, batch(5, 3, short=3))
    torch.testing.assert_close(fused, plain, rtol=1e-4, atol=2e-6)
    memory, padding, mels = batch(5, 3, short=3)
    fused, plain = both(small_model().decoder, (memory.double().detach().requires_grad_(), padding, mels.double()))
    torch.testing.assert_close(fused, plain, rtol=0, atol=0)


def test_in_bfloat16_they_are_as_near_to_single_precision_as_plain_steps() -> None:
    decoder = small_model(attention_kind="forward", attention_zoneout=0.2).decoder.float()
    given = batch(20, 12, short=9)
    exact = results(decoder, given)
    with torch.autocast("cpu", torch.bfloat16):
        fused, plain = both(decoder, given)
    for name, value in exact.items():
        size = value.norm().clamp_min(1e-3)
        near, usual = ((side[name].float() - value).norm() / size for side in (fused, plain))
        assert near <= 2 * usual + 1e-2, name


@pytest.mark.parametrize("sizes", [{}, {"attention_location_kernel_size": 1, "attention_dim": 17}])
def test_kernels_keep_to_their_tensors_and_programs_out_of_each_others_way(
    sizes: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    watched = {name: Watched(getattr(kernels, name), monkeypatch) for name in vars(kernels) if name.endswith("_kernel")}
    for name, kernel in watched.items():
        monkeypatch.setattr(kernels, name, kernel)
    decoder = small_model(attention_kind="forward", **NOISES["both"], **sizes).decoder.float()
    for tokens in (1, 37):
        fused, plain = both(decoder, batch(tokens, 3, short=1))
        torch.testing.assert_close(fused, plain, rtol=1e-4, atol=2e-6)
    assert all(kernel.accesses > 0 for kernel in watched.values())


@pytest.mark.slow
def test_the_proof_before_a_training_passes_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graphs, "CHUNK", 4)
    monkeypatch.setattr(proving, "SHAPES", ((9, 18), (3, 17), (9, 18)))
    decoder = small_model(attention_kind="forward", attention_dropout=0.1, attention_zoneout=0.1).decoder.float()
    captured = proving.Candidate("graphs", lambda: (ways.steps, Graphs(lambda work: work)))
    precisions = [torch.float32, torch.bfloat16]
    assert proving.prove_ways(decoder, torch.device("cpu"), precisions, [*proving.GPU_WAYS[:2], captured]) == []
    assert ways.steps is FusedSteps
    assert ways.graphs is not None


@pytest.mark.slow
def test_every_kernel_compiles_for_a_gpu_and_keeps_its_numbers_in_registers() -> None:
    """In a process of its own, where kernels are no functions of the interpreter."""
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    command = [sys.executable, "-m", "tests.support.compiled"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    spilled = json.loads(done.stdout)
    assert len(spilled) == 14
    assert max(spilled.values()) <= 64, spilled

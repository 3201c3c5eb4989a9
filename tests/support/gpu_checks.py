"""The tests marked gpu, as plain functions: benchmarks/gpu.py runs them where no pytest is."""

import copy
import functools
from collections.abc import Callable

import torch
from torch import Tensor, nn

from model import graphs
from model.graphs import CHUNK, Graphs
from model.loop import Steps, ways
from model.losses import LossWeights, training_losses
from model.sizes import Sizes
from model.tacotron2 import Tacotron2
from smart_tuner.settings.hparams import Hparams
from smart_tuner.training import optimisation
from smart_tuner.training.proving import fused_kernels, prove_ways

PRECISIONS = (torch.float32, torch.bfloat16)
LENGTHS = ((2 * CHUNK + 7, 40), (CHUNK, 33), (3 * CHUNK + 1, 47), (5, 48), (2 * CHUNK, 37))
"""Frames and tokens of the batches of a small training: all of one captured shape."""


def network(device: torch.device, **sizes: object) -> Tacotron2:
    """The published widths, with nothing random but what is asked for."""
    torch.manual_seed(0)
    still = {f"{part}_dropout": 0.0 for part in ("prenet", "encoder", "attention", "decoder", "postnet")}
    return Tacotron2(Sizes(**{**still, **sizes})).to(device)  # type: ignore[arg-type]


def batch(device: torch.device, frames: int, tokens: int) -> tuple[Tensor, ...]:
    """Tokens, their number, mels, and the number of frames, of four utterances."""
    generator = torch.Generator().manual_seed(frames)
    tokens_B, frames_B = torch.linspace(tokens // 2, tokens, 4).long(), torch.full((4,), frames)
    ids = torch.randint(1, 148, (4, tokens), generator=generator) * (torch.arange(tokens) < tokens_B[:, None])
    mels = torch.randn(4, 80, frames, generator=generator)
    return tuple(part.to(device) for part in (ids, tokens_B, mels, frames_B))


def every_way_agrees(device: torch.device, kind: str) -> None:
    """Nothing is refused, with noise and without."""
    for noise in ({}, {"attention_dropout": 0.1}, {"attention_dropout": 0.1, "attention_zoneout": 0.1}):
        decoder = network(device, attention_kind=kind, **noise).decoder
        refused = prove_ways(decoder, device, PRECISIONS)
        assert not refused, f"{noise}: {refused}"


def as_tf32_too(device: torch.device) -> None:
    """Nothing is refused where single-precision products are TF32."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    try:
        refused = prove_ways(network(device, attention_kind="forward").decoder, device, [torch.float32])
    finally:
        torch.set_float32_matmul_precision(before)
    assert not refused, refused


def losses_of_a_training(model: Tacotron2, device: torch.device) -> list[float]:
    """Some iterations with Adam on batches of different lengths."""
    optimizer = optimisation.make_optimizer(model.parameters(), Hparams(learning_rate=1e-4), device)
    assert optimizer.defaults["fused"]
    told = []
    for frames, tokens in (*LENGTHS, *LENGTHS):
        ids, tokens_B, mels, frames_B = batch(device, frames, tokens)
        predicted = model(ids, tokens_B, mels, frames_B)
        weights = LossWeights(guide_weight=1.0)
        loss = training_losses(predicted, tokens_B, mels, frames_B, r=1, weights=weights)["loss"]
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        told.append(float(loss))
    return told


def a_training_is_the_same(device: torch.device) -> None:
    """Ten iterations by captured kernels have the losses of ten plain ones."""
    model = network(device, attention_kind="forward")
    other = copy.deepcopy(model)
    ways.steps, ways.graphs = Steps, None
    other.decoder.fast = False
    expected = losses_of_a_training(other, device)
    ways.steps, _ = fused_kernels()
    ways.graphs = Graphs()
    found = losses_of_a_training(model, device)
    ways.steps, ways.graphs = Steps, None
    for own, plain in zip(found, expected, strict=True):
        assert abs(own - plain) <= 1e-2 * abs(plain), (found, expected)


def nothing_waits(device: torch.device) -> None:
    """A pass through captured kernels and back makes the host wait for nothing."""
    decoder = network(device, attention_kind="forward").decoder
    ways.steps, _ = fused_kernels()
    ways.graphs = Graphs()
    memory = torch.randn(4, 40, 512, device=device, requires_grad=True)
    padding = torch.zeros(4, 40, dtype=torch.bool, device=device)
    mels = torch.randn(4, 80, 70, device=device)
    try:
        for turn in range(3):
            torch.cuda.set_sync_debug_mode("error" if turn == 2 else "default")  # a capture waits
            output = decoder(memory, padding, mels)
            torch.autograd.backward(output.mels_BMF.square().mean() + output.attention_BTN.square().mean())
    finally:
        torch.cuda.set_sync_debug_mode("default")
        ways.steps, ways.graphs = Steps, None


def dropped_graphs_give_their_memory_back(device: torch.device) -> None:
    """Shapes that come and go do not fill the GPU."""
    decoder = network(device).decoder
    before, graphs.MOST = graphs.MOST, 2
    ways.graphs = Graphs()
    mels = torch.randn(4, 80, CHUNK, device=device)
    held = []
    try:
        for _ in range(4):
            for tokens in (32, 48, 64):
                memory = torch.randn(4, tokens, 512, device=device, requires_grad=True)
                padding = torch.zeros(4, tokens, dtype=torch.bool, device=device)
                for _ in range(2):
                    output = decoder(memory, padding, mels)
                    torch.autograd.backward(output.mels_BMF.square().mean())
            held.append(torch.cuda.memory_reserved(device))
    finally:
        ways.graphs, graphs.MOST = None, before
    assert held[3] <= 1.1 * held[1], held


CHECKS: dict[str, Callable[[torch.device], None]] = {
    **{f"{kind}_agrees": functools.partial(every_way_agrees, kind=kind) for kind in ("location", "dynamic", "forward")},
    "tf32_agrees": as_tf32_too,
    "a_training_is_the_same": a_training_is_the_same,
    "nothing_waits": nothing_waits,
    "dropped_graphs_give_their_memory_back": dropped_graphs_give_their_memory_back,
}

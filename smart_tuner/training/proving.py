"""On a GPU, each fast way through the decoder's steps is compared with plain steps before a training takes it.

A way that raises, or whose outputs or gradients are further from the exact ones than rounding explains, is not used in
this process. Exact is plain steps in float64; what rounding explains is how far plain steps are off in the precision at
hand.
"""

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from model.decoder import Decoder
from model.graphs import CHUNK, Graphs
from model.loop import Noise, Steps, ways
from smart_tuner.training import optimisation

WORSE = 4.0
"""How many times as far as plain steps a way may be from the exact numbers."""
LEAST = {torch.float32: 1e-4, torch.bfloat16: 5e-2, torch.float16: 2e-2}
"""Relative distances that are always small enough."""
SHAPES = ((2 * CHUNK + 5, 41), (CHUNK - 3, 36), (2 * CHUNK + 5, 41))
"""Steps and tokens of the batches compared, one after the other: a graph is captured at the second, and replayed."""
BATCH = 4
REFUSALS = (RuntimeError, ImportError, AttributeError, TypeError, ValueError, LookupError, AssertionError, OSError)
"""What a way may fail with: CUDA's errors, those of a compiler, and of libraries of another version."""


class Candidate(NamedTuple):
    """A way to try."""

    name: str
    """As it stands in a sentence."""
    open: Callable[[], tuple[type[Steps], Graphs | None]]
    """What model.loop.ways is to hold, from what it holds now."""


def plain_loop() -> tuple[type[Steps], Graphs | None]:
    """Steps by torch alone, with the backward pass written for them."""
    return Steps, None


def fused_kernels() -> tuple[type[Steps], Graphs | None]:
    """Steps of Triton's kernels. ImportError without it."""
    from model.fused import FusedSteps

    return FusedSteps, ways.graphs


def captured_graphs() -> tuple[type[Steps], Graphs | None]:
    """Chunks of steps that are captured and replayed."""
    return ways.steps, Graphs()


GPU_WAYS = (
    Candidate("the decoder's own backward pass", plain_loop),
    Candidate("the fused kernels", fused_kernels),
    Candidate("the captured graphs", captured_graphs),
)
"""From the plainest on; each builds on those before it that were good."""


def prove_ways(
    decoder: Decoder,
    device: torch.device,
    precisions: Sequence[torch.dtype],
    candidates: Sequence[Candidate] = GPU_WAYS,
) -> list[str]:
    """Leave the decoder and model.loop.ways with what agrees with plain steps; a sentence for each that does not.

    Neither weights nor random states change. Without the first candidate the steps are plain.
    """
    ways.steps, ways.graphs = Steps, None
    refused = []
    with _unchanged_randomness(device):
        try:
            probes = [_Probe.of(decoder, device, kind, shape) for kind in set(precisions) for shape in SHAPES]
        except REFUSALS as problem:  # nothing to compare with
            decoder.fast = False
            return [f"{candidates[0].name} cannot be used here ({_told(problem)})"]
        for number, candidate in enumerate(candidates):
            before = ways.steps, ways.graphs
            try:
                ways.steps, ways.graphs = candidate.open()
                fault = next((fault for probe in probes if (fault := probe.fault(decoder))), "")
            except REFUSALS as problem:
                fault = _told(problem)
            if fault:
                refused.append(f"{candidate.name} cannot be used here ({fault})")
                ways.steps, ways.graphs = before
                if number == 0:
                    decoder.fast = False
                    break
        if ways.graphs is not None:
            ways.graphs.clear()  # of the probes' shapes
    return refused


def _told(problem: BaseException) -> str:
    return f"{type(problem).__name__}: {str(problem).splitlines()[0] if str(problem) else 'no message'}"


@contextmanager
def _unchanged_randomness(device: torch.device) -> Iterator[None]:
    before = optimisation.random_state(device)
    try:
        yield
    finally:
        optimisation.set_random_state(before, device)


@dataclass(frozen=True)
class _Probe:
    """A batch, what exact steps make of it, and how far off plain ones are."""

    precision: torch.dtype
    device: torch.device
    base_TB4H: Tensor
    memory_BNE: Tensor
    padding_BN: Tensor
    noise: Noise
    pull: tuple[Tensor, Tensor]
    """The gradients of the outputs and of the attention weights."""
    exact: dict[str, Tensor]
    usual: dict[str, float]
    """The distances of plain steps."""

    @classmethod
    def of(cls, decoder: Decoder, device: torch.device, precision: torch.dtype, shape: tuple[int, int]) -> "_Probe":
        """A probe of so many steps and tokens."""
        (steps, tokens), generator = shape, torch.Generator().manual_seed(sum(shape))
        width, sizes = decoder.attention_rnn.hidden_size, decoder.sizes

        def drawn(*shape: int) -> Tensor:
            return torch.randn(*shape, generator=generator, dtype=torch.float64).to(device, precision)

        def mask(rate: float) -> Tensor | None:
            if not rate:
                return None
            chances = torch.rand(steps, BATCH, width, generator=generator)
            return (chances < rate).to(device, torch.float32)

        lengths_B = torch.linspace(tokens // 2, tokens, BATCH).long()
        padding_BN = torch.arange(tokens) >= lengths_B[:, None]
        keep = mask(1 - sizes.attention_dropout) if sizes.attention_dropout else None
        noise = Noise(keep, mask(sizes.attention_zoneout), mask(sizes.attention_zoneout))
        encoder_width = sizes.symbols_embedding_dim
        pull = drawn(steps, BATCH, width + encoder_width), drawn(steps, BATCH, tokens)
        probe = cls(
            precision, device, drawn(steps, BATCH, 4 * width), drawn(BATCH, tokens, encoder_width),
            padding_BN.to(device), noise, pull, {}, {},
        )  # fmt: skip
        probe.exact.update(probe._results(copy.deepcopy(decoder).double(), torch.float64, plain=True))
        plainly = probe._results(decoder, precision, plain=True)
        probe.usual.update({name: probe._distance(name, value) for name, value in plainly.items()})
        return probe

    def fault(self, decoder: Decoder) -> str:
        """What is wrong with the way that model.loop.ways holds; empty when nothing is."""
        for name, value in self._results(decoder, self.precision, plain=False).items():
            distance, usual = self._distance(name, value), self.usual[name]
            if not distance <= WORSE * usual + LEAST[self.precision]:  # NaN is no small distance
                kind = str(self.precision).removeprefix("torch.")
                return f"{name} is {distance:.2g} of its size off in {kind}, plain steps {usual:.2g}"
        return ""

    def _distance(self, name: str, value: Tensor) -> float:
        exact = self.exact[name]
        return float((value.double() - exact).norm() / exact.norm().clamp_min(1e-6))

    def _results(self, decoder: Decoder, precision: torch.dtype, *, plain: bool) -> dict[str, Tensor]:
        """Outputs and gradients."""
        base, memory = (given.to(precision).requires_grad_() for given in (self.base_TB4H, self.memory_BNE))
        weight = next(decoder.parameters())
        noise = Noise(*(None if mask is None else mask.to(weight.dtype) for mask in self.noise.masks))
        walk = decoder.walk_plainly if plain else decoder.walk
        within = torch.float32 if precision is torch.float64 else precision
        with torch.enable_grad(), optimisation.autocast(self.device, within):
            outputs = walk(base, memory, self.padding_BN, noise)
        leaves = {"base": base, "memory": memory}
        for part in (decoder.attention_rnn, decoder.attention_layer):
            leaves |= dict(part.named_parameters())
        pull = [gradient.to(output.dtype) for gradient, output in zip(self.pull, outputs, strict=True)]
        gradients = torch.autograd.grad(outputs, list(leaves.values()), pull, allow_unused=True)
        found = {f"the gradient of {name}": own for name, own in zip(leaves, gradients, strict=True) if own is not None}
        return {"the state": outputs[0].detach(), "the attention": outputs[1].detach(), **found}

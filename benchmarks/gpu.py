"""A GPU's tests and table: `python -m benchmarks.gpu`, or `make gpu`; at most eight minutes.

Needs torch, Triton, numpy and PyYAML, and runs the tests marked gpu (tests/support/gpu_checks.py) itself: pytest need
not be there. Then whole iterations (forward, losses, backward, clip, Adam, one transfer of the losses) of the published
network on batches with LJSpeech's lengths, in every way through the decoder's steps. Each result is a line of JSON as
soon as it is there, so a run that is cut keeps what it has: `--table FILE` makes the table of such a file.
"""

import argparse
import functools
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import torch
from torch import Tensor, nn

from model.graphs import Graphs
from model.loop import Steps, ways
from model.losses import LossWeights, training_losses
from model.prediction import Prediction
from model.sizes import Sizes
from model.tacotron2 import Tacotron2
from smart_tuner.settings.hparams import Hparams
from smart_tuner.speech.batches import plan_epoch
from smart_tuner.training import optimisation
from smart_tuner.training.proving import GPU_WAYS, fused_kernels, prove_ways
from tests.support.gpu_checks import CHECKS
from tests.support.plain_tacotron2 import plain_forward

UTTERANCES, MEAN_FRAMES, LONGEST_FRAMES, TOKENS_A_FRAME = 13_100, 566, 870, 0.176
"""LJSpeech: utterances, mel frames of the mean and of the longest, symbols for each frame."""
QUANTILES = (0.25, 0.5, 0.9)
"""Which of an epoch's batches, by length, are measured."""
ROUNDS, WARM_UPS = 2, 2
"""A graph is captured at the second of the warm-ups."""
PRECISIONS = ("tf32", "bf16", "fp32")
WAYS = ("plain", "eager", "graphs", "kernels", "graphs and kernels")
"""NVIDIA's loop; ours: launched by Python, captured, of fused kernels, and captured ones."""
NEEDS = {
    "eager": {GPU_WAYS[0].name},
    "graphs": {GPU_WAYS[0].name, GPU_WAYS[2].name},
    "kernels": {GPU_WAYS[0].name, GPU_WAYS[1].name},
    "graphs and kernels": {candidate.name for candidate in GPU_WAYS},
}
"""What must have been proven for each."""


@dataclass(frozen=True)
class Scale:
    """How large everything is."""

    sizes: dict[str, Any]
    batches: tuple[int, ...] = (64, 32)
    mean: int = MEAN_FRAMES
    longest: int = LONGEST_FRAMES
    utterances: int = UTTERANCES


PUBLISHED = Scale({})
TINY = Scale(
    {
        "n_mel_channels": 5, "symbols_embedding_dim": 8, "prenet_dim": 4, "attention_rnn_dim": 8, "decoder_rnn_dim": 8,
        "attention_dim": 4, "attention_location_n_filters": 2, "attention_location_kernel_size": 5,
        "postnet_embedding_dim": 6,
    },
    batches=(3, 2), mean=15, longest=40, utterances=60,
)  # fmt: skip

Batch = tuple[Tensor, Tensor, Tensor, Tensor]
"""Tokens, their number, mels, and the number of frames."""


class Results:
    """Lines of JSON, in a file and on the screen."""

    def __init__(self, file: TextIO) -> None:
        self.file = file
        self.lines: list[dict[str, Any]] = []

    def add(self, **line: Any) -> None:
        """Write a line at once."""
        self.lines.append(line)
        for stream in (self.file, sys.stdout):
            print(json.dumps(line), file=stream, flush=True)


def main() -> int:
    """The exit code: 1 when a test failed or could not run."""
    parser = argparse.ArgumentParser(description="A GPU's tests and table.")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--tiny", action="store_true", help="a network of a few units, to try this program")
    parser.add_argument("--out", type=Path, default=Path("gpu.jsonl"))
    parser.add_argument("--minutes", type=float, default=7.5, help="no measurement begins later")
    parser.add_argument("--check", choices=CHECKS, help="run one test alone")
    parser.add_argument("--table", type=Path, help="print the table of an earlier run's file")
    asked = parser.parse_args()
    if asked.table is not None:
        print(table([json.loads(line) for line in asked.table.read_text(encoding="utf-8").splitlines()]))
        return 0
    device = torch.device(asked.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        print("No NVIDIA GPU is here, or this torch was built without CUDA.", file=sys.stderr)
        return 1
    if asked.check is not None:
        CHECKS[asked.check](device)
        return 0
    deadline = time.monotonic() + 60 * asked.minutes
    with asked.out.open("w", encoding="utf-8") as file:
        results = Results(file)
        results.add(kind="machine", **machine(device))
        good = device.type != "cuda" or run_checks(results, device)
        measure_all(results, device, TINY if asked.tiny else PUBLISHED, deadline)
    print(table(results.lines))
    return 0 if good else 1


def machine(device: torch.device) -> dict[str, Any]:
    """What the numbers were measured on."""
    try:
        import triton

        kernels = str(triton.__version__)
    except ImportError:
        kernels = "none"
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    return {"device": name, "torch": torch.__version__, "cuda": torch.version.cuda, "triton": kernels}


def run_checks(results: Results, device: torch.device) -> bool:
    """Run the tests marked gpu; whether all were good."""
    good = True
    for name, check in CHECKS.items():
        started, fault = time.monotonic(), ""
        try:
            check(device)
        except (AssertionError, RuntimeError, ImportError, ValueError, TypeError, AttributeError) as problem:
            fault, good = f"{type(problem).__name__}: {problem}"[:500], False
        results.add(kind="test", name=name, fault=fault, seconds=round(time.monotonic() - started, 1))
    return good


def measure_all(results: Results, device: torch.device, scale: Scale, deadline: float) -> None:
    """Every combination while there is time, the most telling ones first."""
    for batch in scale.batches:
        for attention in ("location", "forward"):
            for precision in PRECISIONS if device.type == "cuda" else ("fp32",):
                with multiplying(precision):
                    subject = Subject(device, scale, attention, batch, precision)
                    refused = subject.prove()
                    for fault in refused:
                        results.add(kind="refused", attention=attention, precision=precision, fault=fault)
                    for way in WAYS if device.type == "cuda" else WAYS[:3]:
                        if any(fault.startswith(name) for fault in refused for name in NEEDS.get(way, ())):
                            continue
                        if way == "plain" and batch != scale.batches[0]:
                            continue  # slow, and told by the larger batch
                        if time.monotonic() > deadline:
                            results.add(kind="cut", why="the time was up")
                            return
                        described = {"way": way, "attention": attention, "batch": batch, "precision": precision}
                        try:
                            results.add(kind="measured", **described, **subject.measure(way))
                        except RuntimeError as problem:
                            results.add(kind="failed", **described, fault=str(problem)[:500])


@contextmanager
def multiplying(precision: str) -> Iterator[None]:
    """Single-precision products exactly so or, except for fp32, as TF32; what holds is put back."""
    before, cudnn = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    torch.set_float32_matmul_precision("highest" if precision == "fp32" else "high")
    torch.backends.cudnn.allow_tf32 = precision != "fp32"
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
        torch.backends.cudnn.allow_tf32 = cudnn


class Subject:
    """A network, its optimizer and some batches."""

    def __init__(self, device: torch.device, scale: Scale, attention: str, batch: int, precision: str) -> None:
        self.device, self.cuda = device, device.type == "cuda"
        self.counted = precision == PRECISIONS[0] and batch == scale.batches[0]
        self.dtype = torch.bfloat16 if precision == "bf16" else torch.float32
        torch.manual_seed(0)
        self.model = Tacotron2(Sizes(**scale.sizes, attention_kind=attention)).to(device)
        self.optimizer = optimisation.make_optimizer(self.model.parameters(), Hparams(learning_rate=1e-4), device)
        self.batches = make_batches(scale, batch, self.model.sizes, device)

    def prove(self) -> list[str]:
        """What cannot be used here, by sentence."""
        if not self.cuda:
            return []
        refused = prove_ways(self.model.decoder, self.device, [self.dtype])
        self.model.decoder.fast = True
        return refused

    def take(self, way: str) -> Callable[[Batch], list[float]]:
        """An iteration in this way."""
        ways.steps, ways.graphs = Steps, None
        if "kernels" in way:
            ways.steps, _ = fused_kernels()
        if "graphs" in way:  # elsewhere than on a GPU a chunk is done again, not replayed
            ways.graphs = Graphs() if self.cuda else Graphs(lambda work: work)
        forward = functools.partial(plain_forward, self.model) if way == "plain" else self.model
        return functools.partial(self._iteration, forward)

    def _iteration(self, forward: Callable[..., Prediction], batch: Batch) -> list[float]:
        tokens, tokens_B, mels, frames_B = batch
        with optimisation.autocast(self.device, self.dtype):
            predicted = forward(tokens, tokens_B, mels, frames_B)
        weights = LossWeights(guide_weight=1.0)
        losses = training_losses(predicted, tokens_B, mels, frames_B, r=1, weights=weights)
        losses["loss"].backward()
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        values: list[float] = torch.stack([norm, *(loss.detach() for loss in losses.values())]).tolist()
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return values

    def measure(self, way: str) -> dict[str, Any]:
        """Speed and memory of whole iterations."""
        iterate = self.take(way)
        rounds = (1, 1) if way == "plain" else (WARM_UPS, ROUNDS)
        for _ in range(rounds[0]):
            for batch in self.batches:
                iterate(batch)
        if self.cuda:
            torch.cuda.synchronize()
            torch.cuda.reset_peak_memory_stats()
        seconds, frames, steps = [], 0, 0
        for _ in range(rounds[1]):
            for batch in self.batches:
                started = time.perf_counter()
                iterate(batch)
                if self.cuda:
                    torch.cuda.synchronize()
                seconds.append(time.perf_counter() - started)
                frames, steps = frames + int(batch[3].sum()), steps + batch[2].shape[2]
        peak = torch.cuda.max_memory_allocated() / 2**30 if self.cuda else 0.0
        return {
            "frames_a_second": round(frames / sum(seconds)),
            "seconds": round(statistics.mean(seconds), 4),
            "microseconds_a_step": round(1e6 * sum(seconds) / steps, 1),
            "kernels_a_step": self.kernels_a_step(iterate) if self.cuda and self.counted else None,
            "peak_gib": round(peak, 2),
        }

    def kernels_a_step(self, iterate: Callable[[Batch], list[float]]) -> float:
        """What each further step adds to the kernels, forward and back, copies included."""
        tokens, tokens_B, mels, _ = self.batches[0]
        counts = []
        for steps in (64, 128):
            batch = tokens, tokens_B, mels[:, :, :steps], torch.full_like(tokens_B, steps)
            for _ in range(WARM_UPS):
                iterate(batch)
            activities = [torch.profiler.ProfilerActivity.CUDA]
            with torch.profiler.profile(activities=activities) as profiler:
                iterate(batch)
                torch.cuda.synchronize()
            on_device = torch.autograd.DeviceType.CUDA
            counts.append(sum(event.device_type == on_device for event in profiler.events()))
        return round((counts[1] - counts[0]) / 64, 1)


def make_batches(scale: Scale, size: int, sizes: Sizes, device: torch.device) -> list[Batch]:
    """Some of an epoch's batches, shorter and longer ones."""
    random = np.random.default_rng(0)
    spread = random.beta(4, 2.1, scale.utterances)
    frames = np.clip(spread / spread.mean() * scale.mean, scale.mean // 6, scale.longest).astype(int)
    frames[int(frames.argmax())] = scale.longest
    tokens = np.maximum(3, frames * TOKENS_A_FRAME * random.normal(1.0, 0.1, scale.utterances)).astype(int)
    plan = sorted(plan_epoch(frames.tolist(), size, 0, 0), key=lambda indices: int(frames[indices].max()))
    generator = torch.Generator().manual_seed(0)
    chosen = []
    for quantile in QUANTILES:
        indices = plan[int(quantile * (len(plan) - 1))]
        tokens_B, frames_B = torch.from_numpy(tokens[indices]), torch.from_numpy(frames[indices])
        longest, last = int(tokens_B.max()), int(frames_B.max())
        ids = torch.randint(1, sizes.n_symbols, (size, longest), generator=generator)
        ids *= torch.arange(longest) < tokens_B[:, None]
        mels = torch.randn(size, sizes.n_mel_channels, last, generator=generator)
        mels *= (torch.arange(last) < frames_B[:, None])[:, None]
        chosen.append((ids.to(device), tokens_B.to(device), mels.to(device), frames_B.to(device)))
    return chosen


def table(lines: list[dict[str, Any]]) -> str:
    """The results as docs/benchmarks.md has them."""
    rows = []
    for line in lines:
        if line["kind"] == "machine":
            rows.append(f"{line['device']}, torch {line['torch']}, CUDA {line['cuda']}, triton {line['triton']}\n")
        elif line["kind"] == "test" and line["fault"]:
            rows.append(f"Test that failed: {line['name']}: {line['fault']}\n")
        elif line["kind"] == "refused":
            rows.append(f"{line['attention']}, {line['precision']}: {line['fault']}\n")
    tests = [line for line in lines if line["kind"] == "test"]
    rows.append(f"Tests marked gpu: {sum(not line['fault'] for line in tests)} of {len(tests)} passed.\n")
    columns = ["attention", "batch", "precision", "way"]
    numbers = ["frames_a_second", "seconds", "microseconds_a_step", "kernels_a_step", "peak_gib"]
    rows.append(
        "| attention | batch | precision | way | frames a second | s an iteration | µs a step | kernels | GiB |"
    )
    rows.append("|---" * 9 + "|")
    for line in lines:
        if line["kind"] == "measured":
            told = [f"{line[name]:,}" if line[name] is not None else "" for name in numbers]
            rows.append("| " + " | ".join([*(str(line[name]) for name in columns), *told]) + " |")
        elif line["kind"] == "failed":
            rows.append("| " + " | ".join([*(str(line[name]) for name in columns), "failed", *[""] * 4]) + " |")
    return "\n".join(rows)


if __name__ == "__main__":
    sys.exit(main())

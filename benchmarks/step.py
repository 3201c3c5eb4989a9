"""How fast a training iteration is, and what it holds: `python -m benchmarks.step [--against FOLDER]`.

Forward pass, losses, backward pass, clip and Adam on one thread, in pairs of processor time: the demo preset as it is
against another checkout of this project, and the published sizes against the plain step-by-step decoder of the tests;
then the largest memory of a large batch in each of these ways, in a process of its own.
"""

import argparse
import contextlib
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from model.losses import LossWeights, training_losses
from model.prediction import Prediction
from model.sizes import Sizes
from model.tacotron2 import Tacotron2

ROOT = Path(__file__).parent.parent
PAIRS, BATCH, ITERATIONS = 5, 16, 3
DEMO_FRAMES, DEMO_TOKENS = 330, 60
"""A batch of the demo corpus, longest utterance: mel frames and symbols."""


def make_step(
    model: Tacotron2, batch: int, frames: int, tokens: int, forward: Callable[..., Prediction] | None = None
) -> Callable[[], None]:
    """One whole iteration on a random batch, whose lengths differ as a corpus's do."""
    generator = torch.Generator().manual_seed(0)
    share = torch.linspace(0.8, 1.0, batch)
    tokens_B, frames_B = ((share * longest).long() for longest in (tokens, frames))
    ids = torch.randint(2, model.sizes.n_symbols, (batch, tokens), generator=generator)
    mels = torch.randn(batch, model.sizes.n_mel_channels, frames, generator=generator)
    parameters = list(model.parameters())
    optimizer = torch.optim.Adam(parameters, lr=1e-4, weight_decay=1e-6, fused=fused_adam())
    weights = LossWeights(guide_weight=1.0, forward_sum_weight=0.5)

    def step() -> None:
        predicted = (forward or model)(ids, tokens_B, mels, frames_B)
        losses = training_losses(predicted, tokens_B, mels, frames_B, r=model.reduction_factor, weights=weights)
        losses["loss"].backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


def fused_adam() -> bool:
    """Whether the checkout's trainer uses the fused optimizer on a CPU."""
    from smart_tuner.settings.hparams import Hparams
    from smart_tuner.training.optimisation import make_optimizer

    optimizer = make_optimizer([nn.Parameter(torch.zeros(1))], Hparams(), torch.device("cpu"))
    return bool(optimizer.defaults["fused"])


def demo_step() -> Callable[[], None]:
    """An iteration of the demo preset's network."""
    from smart_tuner.settings.settings import load_settings

    torch.manual_seed(0)
    return make_step(Tacotron2(load_settings("demo", None, []).sizes(60)), BATCH, DEMO_FRAMES, DEMO_TOKENS)


def serve() -> None:
    """Run iterations of the demo preset for each line that comes in, and answer the processor seconds of one."""
    torch.set_num_threads(1)
    as_in_training()
    step = demo_step()
    for _ in sys.stdin:
        print(statistics.median(processor_seconds(step) for _ in range(ITERATIONS)), flush=True)


def as_in_training() -> None:
    """What the checkout's trainer asks of the process."""
    with contextlib.suppress(ImportError):  # of an older checkout
        from smart_tuner.training.memory import keep_freed_memory

        keep_freed_memory()


def processor_seconds(step: Callable[[], None]) -> float:
    """What a call takes."""
    started = time.process_time()
    step()
    return time.process_time() - started


class Checkout:
    """An iteration in another checkout, in a process of its own that runs this very file on that code."""

    def __init__(self, folder: Path) -> None:
        environment = {**os.environ, "PYTHONPATH": str(folder)}
        command = [sys.executable, __file__, "--serve"]
        self.process = subprocess.Popen(
            command, cwd=folder, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def __call__(self) -> float:
        """Processor seconds of one iteration."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return float(self.process.stdout.readline())


def compare(what: str, ours: Callable[[], float], theirs: Callable[[], float], wanted: float) -> None:
    """Print how many times as fast ours is, by pairs; the first one warms up."""
    pairs = [(ours(), theirs()) for _ in range(PAIRS + 1)][1:]
    ratios = sorted(other / own for own, other in pairs)
    own, other = (statistics.median(column) for column in zip(*pairs, strict=True))
    print(
        f"{what}: {own:.3f} s against {other:.3f} s of processor time: {statistics.median(ratios):.2f} times as fast "
        f"({len(pairs)} pairs, {ratios[0]:.2f} to {ratios[-1]:.2f}; wanted {wanted:g})",
        flush=True,
    )


def published() -> None:
    """The published sizes against the plain decoder, one core."""
    from tests.support.plain_tacotron2 import plain_forward

    torch.manual_seed(0)
    fast, plain = Tacotron2(Sizes()), Tacotron2(Sizes())
    steps = (
        make_step(fast, BATCH, 400, 70),
        make_step(plain, BATCH, 400, 70, lambda *inputs: plain_forward(plain, *inputs)),
    )
    ours, theirs = ((lambda step=step: processor_seconds(step)) for step in steps)
    compare("published sizes, batch 16, 400 frames, against the plain loop", ours, theirs, 2.2)


def largest_memory(way: str) -> None:
    """Print what one large iteration adds to this process's memory at its largest, in GiB."""
    from model import scoring
    from tests.support.plain_tacotron2 import plain_forward

    torch.manual_seed(0)
    model = Tacotron2(Sizes())
    scoring.KEPT_BYTES = sys.maxsize if way == "kept" else 0
    forward = (lambda *inputs: plain_forward(model, *inputs)) if way == "plain" else None
    make_step(model, 2, 20, 10, forward)()  # weights, gradients and moments are there, whatever the way
    before = peak_kib()
    make_step(model, 32, 870, 150, forward)()
    print((peak_kib() - before) / 2**20)


def peak_kib() -> int:
    """The largest memory of this process so far; getrusage would count its parent's too, until it was this program."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


def memory() -> None:
    """Compare the ways' memory, each in a process of its own."""
    held = {}
    for way in ("plain", "made again", "kept"):
        command = [sys.executable, "-m", "benchmarks.step", "--memory-of", way]
        held[way] = float(subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout)
    shares = {way: held[way] / held["plain"] for way in ("made again", "kept")}
    print(
        f"an iteration's memory at batch 32, 870 frames, 150 symbols: {held['made again']:.2f} GiB, "
        f"{held['kept']:.2f} GiB with features kept, against {held['plain']:.2f} GiB of the plain loop: "
        f"{shares['made again']:.2f} (wanted 0.5) and {shares['kept']:.2f} (wanted 0.7)"
    )


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--against", type=Path, help="another checkout, whose iteration of the demo is compared")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--memory-of", help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.serve:
        serve()
    elif options.memory_of:
        largest_memory(options.memory_of)
    else:
        if options.against is not None:
            ours, theirs = Checkout(ROOT), Checkout(options.against.resolve())
            compare("demo preset, an iteration, against the other checkout", ours, theirs, 1.5)
        published()
        memory()


if __name__ == "__main__":
    main()

"""`make demo` of this checkout against another one's, without caches: `python -m benchmarks.demo_time OLD_CHECKOUT`.

A pair of trainings for each seed, each in an empty folder, one after the other: wall time from the command to its end,
and the last validation.loss. Leave the machine alone. Further options are those of the program: --budget 50it is a try.
"""

import argparse
import statistics
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from benchmarks.measuring import Cost, run_measured
from smart_tuner.paths import TrialFolder
from smart_tuner.training.journal import read_journal

ROOT = Path(__file__).parent.parent
SEEDS = [1234, 2234, 3234]


@dataclass(frozen=True, kw_only=True)
class Demo:
    """What a training of the demo voice took and came to."""

    cost: Cost
    loss: float


def train_demo(checkout: Path, seed: int, further: list[str]) -> Demo:
    """Train by a checkout's code, with this Python and its libraries. Raises CalledProcessError."""
    command = [sys.executable, str(checkout / "smart_tuner_main.py"), "--mode", "train", "--trials", "1"]
    with tempfile.TemporaryDirectory(prefix="smart-tuner-bench-") as folder:
        cost = run_measured([*command, "--seed", str(seed), *further], {"PYTHONPATH": str(checkout)}, Path(folder))
        (trial,) = Path(folder).glob("smart_tuner_files/studies/*/trial-0000")
        told = [entry.progress.metrics for entry in read_journal(TrialFolder(trial).journal)]
    return Demo(cost=cost, loss=[metrics["validation.loss"] for metrics in told if "validation.loss" in metrics][-1])


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("old", type=Path, help="folder of the other checkout")
    asked.add_argument("--seeds", type=int, nargs="+", default=SEEDS)
    chosen, further = asked.parse_known_args()
    sides = {"old": chosen.old.resolve(), "new": ROOT}
    found: dict[str, list[Demo]] = {name: [] for name in sides}
    for number, seed in enumerate(chosen.seeds):
        # by turns the one and the other is first: a machine is not the same after a training
        for name in sorted(sides, reverse=number % 2 == 0):
            found[name].append(train_demo(sides[name], seed, further))
            print(
                f"seed {seed}, {name}: {found[name][-1].cost}; validation.loss {found[name][-1].loss:.3f}", flush=True
            )
    ratios = [old.cost.seconds / new.cost.seconds for old, new in zip(found["old"], found["new"], strict=True)]
    print(f"demo: {statistics.median(ratios):.2f} times as fast (pairs {', '.join(f'{one:.2f}' for one in ratios)})")
    for name, demos in found.items():
        losses = [demo.loss for demo in demos]
        spread = f" ± {statistics.stdev(losses):.3f}" if len(losses) > 1 else ""
        wall = statistics.median(demo.cost.seconds for demo in demos)
        print(f"{name}: {wall:.0f} s, validation.loss {statistics.mean(losses):.3f}{spread}")


if __name__ == "__main__":
    main()

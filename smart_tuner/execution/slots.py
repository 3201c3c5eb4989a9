"""Slots: places of this machine for one trial at a time."""

import os
from dataclasses import dataclass

import torch

from smart_tuner.errors import SettingsError
from smart_tuner.speech.cores import count_cores

MOST_ON_CPU = 4
"""Slots on a CPU unless more are asked for: each takes memory."""


@dataclass(frozen=True)
class Slot:
    """A place for one trial at a time."""

    device: str
    """cpu, or cuda:0 and so on."""
    threads: int
    """CPU threads that its training computes with."""

    def enter(self) -> None:
        """Compute here from now on: some of torch's own threads ask for the current device."""
        torch.set_num_threads(self.threads)
        if self.device != "cpu":
            torch.cuda.set_device(self.device)


def choose_device(name: str) -> torch.device:
    """auto: the first GPU if there is one. Raises SettingsError for a GPU that is not there."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    index = int(name.partition(":")[2] or 0)
    if name.startswith("cuda") and index >= torch.cuda.device_count():
        raise SettingsError(
            f"--device {name}: torch sees {torch.cuda.device_count()} CUDA device(s) here; auto or cpu always work."
        )
    return torch.device("cpu") if name == "cpu" else torch.device("cuda", index)


def find_slots(device: torch.device, workers: int, per_gpu: int = 1, *, every_gpu: bool = False) -> list[Slot]:
    """So many slots of this machine: per_gpu on the GPU or on every visible one, or one a CPU core.

    0 workers: every slot of the GPUs, up to 4 on a CPU. Raises SettingsError for more workers than slots. On a CPU
    the threads leave a core free where they can: those that wait for a busy core lose more than the core gives.
    """
    cores = count_cores()
    if device.type == "cuda":
        gpus = [f"cuda:{index}" for index in range(torch.cuda.device_count())] if every_gpu else [str(device)]
        devices = gpus * per_gpu
        found = f"{len(gpus)} GPU(s) x --per-gpu {per_gpu}"
    else:
        devices = ["cpu"] * cores
        found = f"{cores} CPU core(s)"
    wanted = workers or (len(devices) if device.type == "cuda" else min(len(devices), MOST_ON_CPU))
    if wanted > len(devices):
        raise SettingsError(f"--workers is at most the slots of this machine, {found}; received {workers}.")
    share = max(1, (cores - 1) // wanted)
    given = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0]
    return [Slot(name, int(given) if given.isdigit() else share) for name in devices[:wanted]]

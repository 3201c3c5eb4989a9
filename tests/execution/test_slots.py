"""Slots: how many trials this machine trains at a time, and with how many threads."""

from collections.abc import Callable

import pytest
import torch

from smart_tuner.errors import SettingsError
from smart_tuner.execution.slots import MOST_ON_CPU, Slot, choose_device, find_slots
from tests.support.small import CPU


@pytest.fixture
def cores(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    return lambda count: monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(count)), raising=False)


@pytest.mark.parametrize(("asked", "threads"), [(0, 2), (1, 8), (2, 4), (3, 2), (8, 1)])
def test_a_cpu_is_shared_by_its_workers_but_for_a_core(cores: Callable[[int], None], asked: int, threads: int) -> None:
    cores(9)
    assert find_slots(CPU, asked) == [Slot("cpu", threads)] * (asked or MOST_ON_CPU)


def test_one_core_is_one_thread(cores: Callable[[int], None]) -> None:
    cores(1)
    assert find_slots(CPU, 0) == [Slot("cpu", 1)]


def test_whoever_says_how_many_threads_is_obeyed(cores: Callable[[int], None], monkeypatch: pytest.MonkeyPatch) -> None:
    cores(8)
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert [slot.threads for slot in find_slots(CPU, 2)] == [3, 3]


def test_more_workers_than_cores_are_refused(cores: Callable[[int], None]) -> None:
    cores(2)
    with pytest.raises(SettingsError, match=r"^--workers is at most .*, 2 CPU core\(s\); received 3\.$"):
        find_slots(CPU, 3)


@pytest.mark.parametrize(
    ("asked", "per_gpu", "every", "devices"),
    [
        (0, 2, True, ["cuda:0", "cuda:1", "cuda:0", "cuda:1"]),
        (3, 2, True, ["cuda:0", "cuda:1", "cuda:0"]),
        (0, 1, False, ["cuda:1"]),
        (2, 2, False, ["cuda:1", "cuda:1"]),
    ],
)
def test_workers_spread_over_the_gpus_first(
    monkeypatch: pytest.MonkeyPatch, asked: int, per_gpu: int, every: bool, devices: list[str]
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert [slot.device for slot in find_slots(torch.device("cuda", 1), asked, per_gpu, every_gpu=every)] == devices


def test_more_workers_than_the_gpus_hold_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(SettingsError, match=r", 2 GPU\(s\) x --per-gpu 2; received 5\.$"):
        find_slots(torch.device("cuda", 0), 5, 2, every_gpu=True)


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_a_gpu_that_is_not_there_is_refused() -> None:
    assert choose_device("auto") == choose_device("cpu") == CPU
    with pytest.raises(SettingsError, match=r"--device cuda:1: torch sees 0 CUDA device\(s\)"):
        choose_device("cuda:1")

"""A training on a CPU uses the same memory again, iteration after iteration."""

import subprocess
import sys

import pytest

from smart_tuner.training.memory import keep_freed_memory

COUNT = """
import resource, sys
import torch
from smart_tuner.training.memory import keep_freed_memory

torch.set_num_threads(1)
if sys.argv[1] == "keep":
    assert keep_freed_memory()
faults = []
for _ in range(12):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    tensors = [torch.ones(size, 2**20) for size in (10, 3, 12)]
    del tensors
    faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
print(faults[-1])
"""


@pytest.mark.skipif(not keep_freed_memory(), reason="the C library is not glibc")
def test_freed_memory_is_used_again_without_asking_the_system_for_it() -> None:
    counts = {}
    for way in ("keep", "give back"):
        run = subprocess.run([sys.executable, "-c", COUNT, way], check=True, capture_output=True, text=True)
        counts[way] = int(run.stdout)
    assert counts["keep"] < 100 < counts["give back"]  # of 25,600 pages

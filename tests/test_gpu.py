"""What needs a GPU, one process for each test; and that the program which measures one needs few libraries."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from benchmarks.gpu import Results, table
from tests.support.gpu_checks import CHECKS

ROOT = Path(__file__).parent.parent
NO_GPU = "needs an NVIDIA GPU"


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason=NO_GPU)
@pytest.mark.parametrize("check", CHECKS)
def test_on_a_gpu(check: str) -> None:
    """In a process whose kernels are not the interpreter's."""
    command = [sys.executable, "-m", "benchmarks.gpu", "--check", check]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is here")
def test_without_a_gpu_it_says_so() -> None:
    command = [sys.executable, "-m", "benchmarks.gpu"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)
    assert (done.returncode, done.stderr) == (1, "No NVIDIA GPU is here, or this torch was built without CUDA.\n")


BARE = """
import sys
blocked = {"optuna", "mlflow", "librosa", "soundfile", "pytest", "matplotlib", "scipy", "typer", "rich", "triton"}
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in blocked:
            raise ModuleNotFoundError(f"{name} is blocked", name=name)
sys.meta_path.insert(0, Blocker())
from benchmarks.gpu import main
sys.exit(main())
"""


@pytest.mark.slow
def test_the_table_needs_torch_and_numpy_alone_and_is_written_line_by_line(tmp_path: Path) -> None:
    out = tmp_path / "gpu.jsonl"
    command = [sys.executable, "-c", BARE, "--device", "cpu", "--tiny", "--out", str(out)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert lines[0]["kind"] == "machine"
    assert {line["way"] for line in lines[1:]} == {"plain", "eager", "graphs"}
    assert all(line["kind"] == "measured" and line["frames_a_second"] > 0 for line in lines[1:])
    assert done.stdout.endswith(table(lines) + "\n")


def test_a_table_tells_of_what_failed_and_of_what_was_not_used(tmp_path: Path) -> None:
    with (tmp_path / "lines").open("w") as file:
        results = Results(file)
        results.add(kind="machine", device="H200", torch="2", cuda="13", triton="3")
        results.add(kind="test", name="first", fault="", seconds=1.0)
        results.add(kind="test", name="second", fault="AssertionError: no", seconds=1.0)
        results.add(kind="refused", attention="forward", precision="bf16", fault="the graphs cannot be used here")
        described = {"attention": "forward", "batch": 64, "precision": "bf16", "way": "eager"}
        results.add(kind="failed", **described, fault="out of memory")
        results.add(
            kind="measured", **described, frames_a_second=12345, seconds=0.5, microseconds_a_step=100.5,
            kernels_a_step=None, peak_gib=3.25,
        )  # fmt: skip
        results.add(kind="cut", why="the time was up")
    shown = table(results.lines).splitlines()
    assert shown[0] == "H200, torch 2, CUDA 13, triton 3"
    assert "Test that failed: second: AssertionError: no" in shown
    assert "Tests marked gpu: 1 of 2 passed." in shown
    assert "forward, bf16: the graphs cannot be used here" in shown
    assert "| forward | 64 | bf16 | eager | failed |  |  |  |  |" in shown
    assert shown[-1] == "| forward | 64 | bf16 | eager | 12,345 | 0.5 | 100.5 |  | 3.25 |"

"""How long a report takes: `python -m benchmarks.report [--trials 1000] [--points 10000] [--folder DIR]`.

Makes a search of search_spaces/demo.yaml whose values are drawn (benchmarks/drawn.py), each run with so many points
over all its metrics, reports on it in a fresh process, and prints wall time, peak memory and the size of the page. With
a folder the study stays there, and is not made again.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from contextlib import chdir
from pathlib import Path
from tempfile import TemporaryDirectory

import optuna
import torch

from benchmarks import drawn

MAIN = Path(__file__).parent.parent / "smart_tuner_main.py"


def report(folder: Path) -> dict[str, float]:
    """Report in a fresh process. Raises CalledProcessError when that fails."""
    options = ["--mode", "report", "--study", drawn.STUDY, "--output", str(folder / "out")]
    stores = ["--storage", f"sqlite:///{folder}/smart_tuner.db", "--tracking-uri", f"sqlite:///{folder}/mlflow.db"]
    command = [sys.executable, str(MAIN), *options, *stores]
    began = time.monotonic()
    process = subprocess.Popen(command, cwd=folder)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    page = next((folder / "out").rglob("report.html"))
    return {
        "wall s": round(time.monotonic() - began, 1),
        "processor s": round(used.ru_utime + used.ru_stime, 1),
        "peak memory MiB": round(used.ru_maxrss / 1024),  # Linux counts in KiB
        "page MiB": round(page.stat().st_size / 2**20, 2),
    }


def main() -> None:
    """Make the study, report on it, print what that took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--points", type=int, default=10_000)
    parser.add_argument("--folder", type=Path, help="keep the study there, or report on the one that is there")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with TemporaryDirectory(prefix="smart-tuner-bench-") as temporary:
        folder = (chosen.folder or Path(temporary)).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / "mlflow.db").exists():
            with chdir(folder):  # where MLflow puts the artefacts
                drawn.make(folder, chosen.trials, chosen.points)
        print(json.dumps(report(folder)))


if __name__ == "__main__":
    main()

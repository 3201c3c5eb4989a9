"""Kill -9 at random moments: `python -m benchmarks.kill [tune|train] [--kills 20] [--seed 0]`.

tune searches with two workers and a tiny network; train trains the demo voice with a short budget. Both run on the demo
corpus. Kills the parent, a worker or both, starts the same command again, and so on; every study is then run to its end
and its stores are checked: exactly so many finished trials, nothing RUNNING in Optuna or MLflow, every (run, metric,
step) once, every best checkpoint readable.
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import optuna
import psutil
from mlflow.tracking import MlflowClient
from optuna.trial import TrialState

from smart_tuner import checkpoint

MAIN = Path(__file__).parent.parent / "smart_tuner_main.py"
TRIALS = {"tune": 6, "train": 1}
SPACE = """\
budget: 320utt
objective: {metric: validation.loss, direction: minimize}
parameters:
  hparams.learning_rate: {type: float, low: 1.0e-3, high: 1.0e-2, log: true}
  hparams.batch_size: {type: categorical, choices: [8, 16]}
pruner: {name: asha, warmup: 100utt}
confirm: 1
"""
TINY = {
    "hparams.validation_freq": "5",
    "tracking.checkpoint_seconds": "0.5",
    "health.gate_validations": "100",  # so small a network hardly learns to stop, and what is looked at is the killing
    "model.encoder_n_convolutions": "1",
    "model.symbols_embedding_dim": "32",
    "model.prenet_dim": "32",
    "model.attention_rnn_dim": "48",
    "model.decoder_rnn_dim": "48",
    "model.postnet_n_convolutions": "2",
    "model.postnet_embedding_dim": "32",
}
LONGEST = 25.0
"""Most seconds from a start, or from a worker's end, to the next kill."""


def command(mode: str, folder: Path, study: str) -> list[str]:
    """The command that is killed and given again."""
    options = ["--mode", mode, "--trials", str(TRIALS[mode]), "--study", study]
    if mode == "tune":
        sets = [text for name, value in TINY.items() for text in ("--set", f"{name}={value}")]
        options += ["--space", str(folder / "space.yaml"), "--workers", "2", *sets]
    else:
        options += ["--budget", "1600utt", "--set", "tracking.checkpoint_seconds=5"]
    return [sys.executable, str(MAIN), *options]


def start(mode: str, folder: Path, study: str) -> subprocess.Popen[bytes]:
    """The program, its words in a log file."""
    with (folder / f"{study}.log").open("ab") as log:
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        return subprocess.Popen(command(mode, folder, study), cwd=folder, stdout=log, stderr=log, env=environment)


def workers_of(parent: int) -> list[psutil.Process]:
    """The processes that train: the fork server's children."""
    try:
        return [one for child in psutil.Process(parent).children() for one in child.children()]
    except psutil.NoSuchProcess:
        return []


def kill(parent: subprocess.Popen[bytes], what: str) -> int:
    """Kill what is named, if it is there; how many processes that were."""
    workers = workers_of(parent.pid)
    victims = []
    if what in ("worker", "both") and workers:
        victims.append(random.choice(workers).pid)
    if what in ("parent", "both") and parent.poll() is None:
        victims.append(parent.pid)
    for victim in victims:
        try:
            os.kill(victim, signal.SIGKILL)
        except ProcessLookupError:
            continue  # it has just ended by itself
    return len(victims)


def check(mode: str, folder: Path, study: str) -> list[str]:
    """What is wrong with a study that was run to its end."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    trials = optuna.load_study(study_name=study, storage=f"sqlite:///{folder}/smart_tuner.db").get_trials()
    searched = [one for one in trials if "confirms" not in one.user_attrs["plan"]]
    finished = sum(one.state in (TrialState.COMPLETE, TrialState.PRUNED) for one in searched)
    wrong = [] if finished == TRIALS[mode] else [f"{finished} finished trials instead of {TRIALS[mode]}"]
    wrong += [f"trial {one.number} is {one.state.name}" for one in trials if not one.state.is_finished()]
    client = MlflowClient(f"sqlite:///{folder}/mlflow.db")
    runs = client.search_runs(["0"], f"tags.`study.name` = '{study}'", max_results=1000)
    wrong += [f"run {run.info.run_name} is RUNNING" for run in runs if run.info.status == "RUNNING"]
    names = Counter(run.info.run_name for run in runs)
    wrong += [f"{count} runs are named {name}" for name, count in names.items() if count > 1]
    for run in runs:
        for name in run.data.metrics:
            steps = Counter(point.step for point in client.get_metric_history(run.info.run_id, name))
            repeated = [step for step, count in steps.items() if count > 1]
            if repeated and not name.startswith("system/"):
                wrong.append(f"{run.info.run_name} has {name} more than once at {repeated[:3]}")
    for best in (folder / "smart_tuner_files" / "studies" / study).rglob("best.pt"):
        checkpoint.read_checkpoint(best)
    return wrong


def main() -> int:
    """Kill, start again, check. The exit code: 1 when anything is wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("mode", nargs="?", choices=list(TRIALS), default="tune")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, default=None)
    chosen = parser.parse_args()
    random.seed(chosen.seed)
    folder = chosen.folder or Path(tempfile.mkdtemp(prefix="smart-tuner-kill-"))
    (folder / "space.yaml").write_text(SPACE)
    kills = studies = 0
    failures: list[str] = []
    while kills < chosen.kills or studies == 0:
        studies += 1
        study, done = f"killed-{studies}", False
        while not done:
            process = start(chosen.mode, folder, study)
            while kills < chosen.kills and process.poll() is None:
                time.sleep(random.uniform(1.0, LONGEST))
                what = random.choice(["parent", "worker", "both"])
                victims = kill(process, what)
                kills += victims > 0
                if victims:
                    print(f"{study}: kill {kills}, {what}, {victims} process(es)", flush=True)
                if victims and what != "worker":
                    break
            code = process.wait()
            done = code == 0
            if code not in (0, -signal.SIGKILL):
                print((folder / f"{study}.log").read_text()[-3000:])
                failures.append(f"{study} ended with exit code {code}")
                break
        failures += [f"{study}: {one}" for one in check(chosen.mode, folder, study)]
    print(f"{kills} kills in {studies} studies of {TRIALS[chosen.mode]} trials; wrong: {failures or 'nothing'}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())

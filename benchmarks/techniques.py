"""What each technique of the Tacotron 2 family is worth: small networks with one switch changed, at equal utterances.

The baseline is the demo preset with the published, location-sensitive attention.

`python -m benchmarks.techniques train [--corpus FOLDER] [--names NAME ...] [--seeds 3] [--budget 1600utt] [--jobs 2]`
`python -m benchmarks.techniques table`

Each training, on one thread, leaves a file CORPUS/NAME-SEED.json in the output folder; what is there is not trained
again. table prints all that is there, mean and standard deviation over seeds.
"""

import argparse
import dataclasses
import json
import multiprocessing
import os
import statistics
import time
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import partial
from pathlib import Path
from typing import Any

import torch

from benchmarks.demo_corpus import prepare, quiet
from smart_tuner.errors import TrialStopped
from smart_tuner.evaluation.recogniser_training import prepare_recogniser
from smart_tuner.paths import TrialFolder
from smart_tuner.progress import Progress
from smart_tuner.settings.settings import Settings, load_settings
from smart_tuner.speech import corpus, demo
from smart_tuner.training.run import make_trainer
from smart_tuner.trial import Trial

OUTPUT = Path("smart_tuner_files/techniques")
FIRST_SEED = 1234
SCORE, COVERAGE = "validation.alignment_score", "validation.attention_coverage"
FORMED = 0.5
MMI, DROPPED, STYLE = "hparams.use_mmi=true", "hparams.drop_frame_rate=0.2", "hparams.use_gst=true"
DYNAMIC, FORWARD = "hparams.attention_kind=dynamic", "hparams.attention_kind=forward"
SOME_DROPPED, GRADUAL = "hparams.drop_frame_rate=0.1", "hparams.reduction_schedule={r}"
CASES: dict[str, tuple[str, ...]] = {
    "baseline": (),
    "mmi": (MMI,),
    "drop_frame": (DROPPED,),
    "mmi_drop_frame": (MMI, DROPPED),
    "gst_tpse": (STYLE,),
    "dynamic": (DYNAMIC,),
    "forward": (FORWARD,),
    "guide_anneal": ("hparams.guide_anneal=2",),
    "no_guide": ("hparams.use_guided_attn=false",),
    "no_forward_sum": ("hparams.forward_sum_weight=0",),
    "gate_weight_15": ("hparams.gate_positive_weight=15",),
    "zoneout": ("hparams.attention_zoneout=0.1", "hparams.attention_dropout=0"),
    "gradual_r": (GRADUAL,),
    "ema": ("hparams.ema_decay=0.98",),
    "adamw": ("hparams.optimizer=adamw", "hparams.weight_decay=0.01"),
    "plateau": ("hparams.schedule=plateau",),
    "dynamic_drop_frame": (DYNAMIC, SOME_DROPPED),
    "forward_drop_frame": (FORWARD, SOME_DROPPED),
    "forward_mmi": (FORWARD, MMI),
    "forward_gradual_r": (FORWARD, GRADUAL),
}
"""By name, what differs from the demo preset; {r} is a schedule from r = 3 to 2 after 60 % of the budget."""


def chosen(name: str, budget: str, seed: int) -> Settings:
    """The settings of a training."""
    utterances = int(budget.removesuffix("utt"))
    sets = [one.format(r=f"2@{utterances * 6 // 10}") for one in CASES[name]]
    shared = [f"hparams.budget={budget}", f"hparams.seed={seed}", "hparams.validation_freq=10"]
    shared += ["hparams.attention_kind=location", "tracking.freerun_evaluations=1", "tracking.recogniser_steps=3000"]
    return load_settings("demo", None, [*shared, *sets])


def prepare_corpus(source: str, settings: Settings, output: Path) -> corpus.Examples:
    """A corpus with its recogniser, made the first time."""
    folder = demo.build(output / "demo", "en", quiet) if source == "demo" else Path(source)
    examples = prepare(folder, settings, output)
    recogniser = prepare_recogniser(examples, settings, output / "recognisers", quiet)
    return dataclasses.replace(examples, recogniser=recogniser)


def train(name: str, seed: int, source: str, budget: str, output: Path) -> dict[str, Any]:
    """Train once, in a process of its own; what came of it."""
    torch.set_num_threads(1)
    settings = chosen(name, budget, seed)
    examples = prepare_corpus(source, settings, output)
    folder = TrialFolder(output / "trials" / f"{examples.corpus.name}-{name}-{seed}")
    trial = Trial(number=0, origin="baseline", settings=settings)
    trainer = make_trainer(trial, examples, torch.device("cpu"), folder)
    seconds, durations, validations, stopped = 0.0, [], [], ""
    try:
        for progress in trainer.steps():
            if progress.kind == "training":
                durations.append(progress.metrics["duration"])
                seconds += durations[-1]
            else:
                validations.append(reached(progress, seconds))
    except TrialStopped as verdict:
        stopped = str(verdict)
    return {
        "corpus": examples.corpus.name,
        "name": name,
        "seed": seed,
        "budget": budget,
        "stopped": stopped,
        "iteration": statistics.median(durations),
        "validations": validations,
    }


def reached(progress: Progress, seconds: float) -> dict[str, float]:
    """A validation, with the training time so far."""
    return {"utterances": progress.utterances, "seconds": seconds, **progress.metrics}


def train_all(names: Iterable[str], source: str, budget: str, seeds: int, jobs: int, output: Path) -> None:
    """All seeds of the first name, then of the next; files that are there stay."""
    examples = prepare_corpus(source, chosen("baseline", budget, FIRST_SEED), output)  # once, not in each process
    folder = output / f"{examples.corpus.name}-{budget}"
    folder.mkdir(parents=True, exist_ok=True)
    os.environ["OMP_NUM_THREADS"] = "1"
    work = partial(train, source=source, budget=budget, output=output)
    context = multiprocessing.get_context("spawn")
    began = time.monotonic()
    with ProcessPoolExecutor(jobs, mp_context=context, max_tasks_per_child=1) as pool:
        waiting = {}
        for name in names:
            for seed in range(FIRST_SEED, FIRST_SEED + seeds):
                file = folder / f"{name}-{seed}.json"
                if not file.exists():
                    waiting[pool.submit(work, name, seed)] = file
        for done in as_completed(waiting):
            waiting[done].write_text(json.dumps(done.result()), encoding="utf-8")
            print(f"{waiting[done].stem}: done after {time.monotonic() - began:.0f} s", flush=True)


def first(validations: list[dict[str, float]], metric: str) -> float | None:
    """The utterances after which a metric reached 0.5 first."""
    return next((found["utterances"] for found in validations if found.get(metric, 0.0) >= FORMED), None)


def spread(values: list[float | None], digits: int = 2) -> str:
    """Mean ± standard deviation, and how many there are when some lack."""
    there = [value for value in values if value is not None]
    if not there:
        return "never"
    text = f"{statistics.fmean(there):.{digits}f}"
    text += f"±{statistics.stdev(there):.{digits}f}" if len(there) > 1 else ""
    return text if len(there) == len(values) else f"{text} ({len(there)}/{len(values)})"


def row(runs: list[dict[str, Any]]) -> list[str]:
    """A technique's cells."""
    last = [run["validations"][-1] for run in runs]

    def at_the_end(metric: str, digits: int = 2) -> str:
        return spread([one.get(metric) for one in last], digits)

    def when(metric: str) -> str:
        return spread([first(run["validations"], metric) for run in runs], 0)

    return [
        runs[0]["name"],
        when(SCORE),
        when(COVERAGE),
        at_the_end("validation.loss"),
        at_the_end(COVERAGE),
        at_the_end("validation.freerun.failure_rate"),
        at_the_end("validation.freerun.cer"),
        at_the_end("validation.freerun.mcd", 1),
        spread([run["iteration"] for run in runs]),
    ]


HEAD = (
    "technique",
    "score 0.5 after",
    "coverage 0.5 after",
    "loss",
    "coverage",
    "failures",
    "CER",
    "MCD, dB",
    "s an iteration",
)
"""Score and coverage: the utterances after which they reached 0.5; loss is validation.loss."""


def table(output: Path) -> None:
    """A table for each corpus and budget."""
    for folder in sorted(one for one in output.iterdir() if any(one.glob("*-*.json"))):
        runs = [json.loads(file.read_text(encoding="utf-8")) for file in sorted(folder.glob("*.json"))]
        recorded = {run["validations"][-1].get("validation.freerun.cer_recorded") for run in runs}
        print(f"\n{folder.name} (the recogniser's CER on recorded speech: {recorded})\n")
        print(f"| {' | '.join(HEAD)} |\n|{'---|' * len(HEAD)}")
        for name in [name for name in CASES if any(run["name"] == name for run in runs)]:
            print(f"| {' | '.join(row([run for run in runs if run['name'] == name]))} |")
        for run in runs:
            if run["stopped"]:
                print(f"\n{run['name']}, seed {run['seed']}: {run['stopped']}")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.techniques", description=__doc__)
    parser.add_argument("what", choices=["train", "table"])
    parser.add_argument("--corpus", default="demo", help="demo, or an LJSpeech folder")
    parser.add_argument("--names", nargs="+", choices=CASES, default=list(CASES), metavar="NAME")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--budget", default="1600utt")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--output", type=Path, default=OUTPUT)
    given = parser.parse_args()
    if given.what == "table":
        table(given.output)
    else:
        train_all(given.names, given.corpus, given.budget, given.seeds, given.jobs, given.output)


if __name__ == "__main__":
    main()

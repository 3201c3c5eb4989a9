"""A study that was drawn, not trained, in both stores: what benchmarks.report reports on.

The trials go into the study through Optuna, their runs into MLflow through the tracker and MLflow's client, their
points in bulk into MLflow's own tables.
"""

import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from mlflow.entities import Metric, Param, RunTag
from mlflow.store.tracking.dbmodels.models import SqlLatestMetric, SqlMetric
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
from numpy.typing import NDArray
from optuna.trial import TrialState, create_trial
from PIL import Image

from smart_tuner.analysis.conclusions import find_winner
from smart_tuner.errors import OutOfMemoryError, Verdict
from smart_tuner.figures import plots
from smart_tuner.progress import TRAINING_METRICS, VALIDATION_METRICS
from smart_tuner.settings import settings as settings_module
from smart_tuner.settings.settings import Settings
from smart_tuner.space import file as space_file
from smart_tuner.space.space import Space
from smart_tuner.speech import audio
from smart_tuner.study.samplers import draw_samples, make_distribution
from smart_tuner.study.trials import BestValidation, Spent, TrialPlan, TrialRecord
from smart_tuner.study.tune import TuneStudy
from smart_tuner.tracking.tracker import StudyRun, Tracker, format_param

SPACE = Path(__file__).parent.parent / "search_spaces" / "demo.yaml"
STUDY = "bench-report"
CONSTRAINT = "validation.alignment_score >= 0.5"
EVERY = 25
"""Iterations from one validation to the next."""
TRAIN_SIZE = 540
EXTRA_TRAINING = ("training.frames_per_second",)
EXTRA_VALIDATION = ("validation.attention_coverage", "validation.attention_spread")
LEVELS = {
    "validation.alignment_score": (0.3, 0.9),
    "validation.attention_focus": (0.05, 0.85),
    "validation.gate_mean": (0.2, 0.48),
    "validation.gate_std": (0.0, 0.4),
    "training.guide_loss": (0.58, 0.04),
    "grad.norm": (20.0, 2.0),
}
"""First and last value of a metric; of others five times the trial's loss and the loss."""
STOPPED = 0.4
"""Share of its budget at which a stopped trial was stopped."""
STOPPING = {"asha": "pruner", "attention_late": "health", "loss_jump": "health"}
BEGAN = datetime(2026, 1, 1)
FAULT = "The GPU has no memory left at hparams.batch_size 32; try half of it."
SECONDS = 300.0
"""Training time of a whole trial."""


def make(folder: Path, trials: int, points: int) -> None:
    """The study in both stores."""
    base = settings_module.load_settings("demo", None, [])
    space = space_file.load_space(SPACE, base)
    settings = base.replace(budget=space.budget or base.hparams.budget)
    made = drawn(space, settings, trials, iterations_for(points))
    began = time.monotonic()
    store_study(made, space, settings, f"sqlite:///{folder}/smart_tuner.db", folder / "files")
    print(f"study of {len(made)} trials made in {time.monotonic() - began:.0f} s", flush=True)
    began = time.monotonic()
    in_points = store_runs(made, settings, f"sqlite:///{folder}/mlflow.db", folder)
    held = sum(len(steps) for trial in made for steps, _ in series(trial).values())
    size = (folder / "mlflow.db").stat().st_size / 2**20
    print(f"runs with {held:,} points made in {time.monotonic() - began:.0f} s ({in_points:.0f} s), {size:,.0f} MiB")


@dataclass(frozen=True, kw_only=True)
class Made:
    """A trial as drawn."""

    number: int
    values: dict[str, Any]
    origin: str
    state: str
    """complete, stopped or failed."""
    loss: float
    rule: str
    iterations: int
    confirms: str = ""
    of: int = 0
    """The trial that it confirms."""

    @property
    def batch(self) -> int:
        return int(self.values["hparams.batch_size"])

    @property
    def utterances(self) -> int:
        return self.iterations * self.batch

    @property
    def seconds(self) -> float:
        return SECONDS * (1.0 if self.state == "complete" else STOPPED)

    @property
    def planned(self) -> int:
        return self.utterances if self.state == "complete" else round(self.utterances / STOPPED)


def drawn(space: Space, settings: Settings, trials: int, iterations: int) -> list[Made]:
    """The trials: a loss with its lowest value at a learning rate of 4e-3, some stopped, some failed; and 6 reruns."""
    random = np.random.default_rng(0)
    own = space.own(settings)
    points = [own, *(draw_samples(space, settings, 20, 0) if trials > 1 else [])]
    made = []
    for number in range(trials):
        values = points[number] if number < len(points) else uniform(space, random)
        loss = loss_of(values, random)
        state = (
            "complete" if number == 0 or random.random() < 0.4 else "failed" if random.random() < 0.02 else "stopped"
        )
        rule = str(random.choice(list(STOPPING))) if state == "stopped" else ""
        loss = loss * 1.5 if state == "stopped" else loss
        origin = "sampled" if number else "baseline"
        made.append(
            Made(number=number, values=values, origin=origin, state=state, loss=loss, rule=rule, iterations=iterations)
        )
    best = min((trial for trial in made if trial.state == "complete"), key=lambda trial: trial.loss)
    for place in range(6 if best.number else 0):
        which, of = ("best", best) if place % 2 == 0 else ("baseline", made[0])
        loss = loss_of(of.values, random)
        again = {"number": trials + place, "origin": "replicate", "loss": loss, "confirms": which, "of": of.number}
        made.append(replace(of, **again))
    return made


def uniform(space: Space, random: np.random.Generator) -> dict[str, Any]:
    """Values from the whole space; the sampler itself would take minutes for a thousand."""
    values: dict[str, Any] = {}
    for parameter in space.parameters:
        if parameter.choices:
            values[parameter.name] = parameter.choices[int(random.integers(len(parameter.choices)))]
        else:
            values[parameter.name] = math.exp(random.uniform(math.log(parameter.low), math.log(parameter.high)))
    return values


def loss_of(values: Mapping[str, Any], random: np.random.Generator) -> float:
    rate = math.log(values["hparams.learning_rate"] / 4e-3)
    batch = 0.02 * math.log2(values["hparams.batch_size"] / 8)
    weight = 0.01 * abs(math.log(values["hparams.forward_sum_weight"]))
    return float(0.4 + 0.05 * rate**2 + batch + weight + abs(random.normal(0, 0.01)))


# the study's storage


def store_study(made: list[Made], space: Space, settings: Settings, storage: str, folder: Path) -> None:
    """The trials, as the loop would have left them."""
    study = TuneStudy(STUDY, storage, space, settings, "bench", TRAIN_SIZE, len(made))
    command = f"python3 smart_tuner_main.py --mode tune --space search_spaces/demo.yaml --trials {len(made)}"
    study.remember({"command": f"{command} --study {STUDY}", "folder": str(folder / "studies" / STUDY)})
    for trial in made:
        study.study.add_trial(frozen(trial, space, study.rungs))
    found = find_winner(study.results())
    if found is not None:
        full = space.apply(settings, found.values)
        study.conclude({"trial": found.number, "settings": asdict(full)})


def frozen(trial: Made, space: Space, rungs: tuple[int, ...]) -> optuna.trial.FrozenTrial:
    states = {"complete": TrialState.COMPLETE, "stopped": TrialState.PRUNED, "failed": TrialState.FAIL}
    began = BEGAN + timedelta(seconds=SECONDS * trial.number)
    made = create_trial(
        state=states[trial.state],
        value=trial.loss if trial.state == "complete" else None,
        params=trial.values,
        distributions={name: make_distribution(space.by_name[name]) for name in trial.values},
        user_attrs=attributes(trial, rungs),
        intermediate_values=dict.fromkeys(rungs, trial.loss * 1.2),
        constraints={CONSTRAINT: -0.3} if trial.state == "complete" else None,
    )
    made.datetime_start, made.datetime_complete = began, began + timedelta(seconds=trial.seconds)
    return made


def attributes(trial: Made, rungs: tuple[int, ...]) -> dict[str, Any]:
    metrics = {name: float(points[-1]) for name, (_, points) in series(trial).items() if name in VALIDATION_METRICS}
    best = BestValidation(
        step=trial.iterations,
        value=trial.loss,
        cost=trial.loss,
        feasible=True,
        metrics={"duration": SECONDS / trial.iterations, **metrics, "validation.loss": trial.loss},
        violations={CONSTRAINT: 0.5 - metrics["validation.alignment_score"]},
    )
    plan = TrialPlan(
        origin="baseline" if trial.origin == "baseline" else "replicate" if trial.confirms else "sampled",
        seed=1234 + trial.number,
        values=trial.values,
        rungs=rungs,
        planned=trial.planned,
        baseline=0 if trial.origin == "baseline" else None,
        protected=trial.origin == "baseline",
        confirms="best" if trial.confirms == "best" else "baseline" if trial.confirms else "",
        confirms_number=trial.of if trial.confirms else None,
    )
    record = TrialRecord(
        best=best,
        spent=Spent(
            trained=trial.iterations,
            validated=trial.iterations,
            utterances=trial.utterances,
            seconds=trial.seconds,
        ),
        stop=stop(trial) if trial.rule else None,
        error=FAULT if trial.state == "failed" else "",
    )
    return plan.to_attributes() | record.to_attributes()


def stop(trial: Made) -> Verdict:
    return Verdict(
        rule=trial.rule,
        sentence=f"Stopped by {trial.rule} at iteration {trial.iterations}: validation.loss is {trial.loss:.4f}.",
        step=trial.iterations,
        utterances=trial.utterances,
        kind="pruner" if STOPPING[trial.rule] == "pruner" else "health",
        observed={"validation.loss": trial.loss},
        threshold="the best 1 in 3 go on",
        window=f"{trial.iterations} iterations",
    )


# MLflow


def store_runs(made: list[Made], settings: Settings, uri: str, folder: Path) -> float:
    """The runs of the trials, their pictures and sounds, and their points. Seconds that the points took."""
    tracker = Tracker(uri, "Default")
    tables = SqlAlchemyStore(uri, str(folder / "mlruns"))
    parent = tracker.open_study(STUDY, {"study.mode": "tune", "dataset.digest": "bench"})
    files = folder / "artefacts"
    draw(files)
    taken = 0.0
    for trial in made:
        run_id = store_run(trial, settings, tracker, parent, files)
        began = time.monotonic()
        store_points(tables, run_id, trial)
        taken += time.monotonic() - began
        if trial.number % 100 == 99:
            print(f"{trial.number + 1} runs, {taken:.0f} s for their points", flush=True)
    parent.close("FINISHED")
    return taken


def store_run(trial: Made, settings: Settings, tracker: Tracker, parent: StudyRun, files: Path) -> str:
    client = tracker.client
    began = round((BEGAN + timedelta(seconds=SECONDS * trial.number)).timestamp() * 1000)
    tags = {
        "mlflow.parentRunId": parent.run_id,
        "study.name": STUDY,
        "trial.number": str(trial.number),
        "trial.origin": trial.origin,
        "trial.state": trial.state,
        **stop_tags(trial),
        **{f"version.{name}": "1.0" for name in ("python", "torch", "numpy", "optuna", "mlflow")},
        "device": "cpu",
        "seed": str(1234 + trial.number),
    }
    run = client.create_run(tracker.experiment_id, began, tags, run_name=f"trial-{trial.number:04d}")
    params = {f"hparams.{name}": value for name, value in asdict(settings.hparams).items()} | trial.values
    params |= {f"model.{name}": value for name, value in asdict(settings.model).items()}
    client.log_batch(
        run.info.run_id,
        metrics=[Metric("best.validation.loss", trial.loss, began, 0), Metric("best.step", trial.iterations, began, 0)],
        params=[Param(name, format_param(value)) for name, value in params.items()],
        tags=[RunTag("dataset.digest", "bench")],
    )
    client.log_artifacts(run.info.run_id, str(files / ("complete" if trial.state == "complete" else "other")))
    status = {"complete": "FINISHED", "stopped": "KILLED", "failed": "FAILED"}[trial.state]
    client.set_terminated(run.info.run_id, status, began + round(1000 * trial.seconds))
    return str(run.info.run_id)


def stop_tags(trial: Made) -> dict[str, str]:
    if trial.state == "failed":
        return {"error": FAULT, "error.kind": OutOfMemoryError.__name__}
    if not trial.rule:
        return {}
    verdict = stop(trial)
    return {"stop.rule": verdict.rule, "stop.kind": verdict.kind, "stop.reason": verdict.sentence}


def draw(folder: Path) -> None:
    """What a run has as files: pictures, and in a complete one speech."""
    random = np.random.default_rng(0)
    attention = np.eye(120)[:, ::2] + 0.02 * random.random((120, 60))
    mels = random.normal(-4, 1, (80, 120))
    shown = {
        "alignment": plots.plot_alignment(attention, "bench-0001", 100),
        "mel": plots.plot_mel(mels, mels + 0.3, "bench-0001", 100),
        "gate": plots.plot_gate(np.linspace(0, 1, 120) ** 8, "bench-0001", 100),
    }
    losses = {"validation.loss": [(step, 1.0 + step / 100) for step in range(100)]}
    stopped = plots.plot_series(losses, {"validation.loss": 1.5}, 100, "stopped by asha")
    for kind, pictures in (("complete", shown), ("other", {**shown, "stop": stopped})):
        (folder / kind / "plots").mkdir(parents=True)
        for name, picture in pictures.items():
            Image.fromarray(picture).save(folder / kind / "plots" / f"{name}.png")
    (folder / "complete" / "audio").mkdir()
    for kind in ("free-running", "teacher-forced", "target"):
        sound = (0.1 * random.normal(size=2 * 22050)).astype(np.float32)
        audio.write_wav(folder / "complete" / "audio" / f"000100-{kind}-bench-0001.wav", sound, 22050)


def series(trial: Made) -> dict[str, tuple[NDArray[np.int64], NDArray[np.float64]]]:
    """Steps and values of each metric."""
    random = np.random.default_rng(trial.number)
    steps = np.arange(1, trial.iterations + 1)
    validated = np.unique(np.append(steps[EVERY - 1 :: EVERY], trial.iterations))
    found = {}
    for name in (*TRAINING_METRICS, *EXTRA_TRAINING, *VALIDATION_METRICS, *EXTRA_VALIDATION):
        at = validated if name.startswith("validation.") else steps
        first, last = LEVELS.get(name, (5 * trial.loss, trial.loss))
        noise = 0.02 * min(1.0, last) * random.normal(size=len(at))
        found[name] = (at, last + (first - last) * np.exp(-5 * at / trial.iterations) + noise)
    found["iteration"] = (steps, steps.astype(float))
    found["duration"] = (steps, np.full(len(steps), SECONDS / trial.iterations))
    found["validation.step"] = (validated, np.arange(1.0, len(validated) + 1))
    return found


def iterations_for(points: int) -> int:
    """Iterations after which a run holds at least so many points."""
    training, validation = len((*TRAINING_METRICS, *EXTRA_TRAINING)), len((*VALIDATION_METRICS, *EXTRA_VALIDATION))
    return math.ceil(points / (training + validation / EVERY))


def store_points(tables: SqlAlchemyStore, run_id: str, trial: Made) -> None:
    """A run's points in bulk: log_batch, which looks at each, would take half an hour for ten million."""
    began = round((BEGAN + timedelta(seconds=SECONDS * trial.number)).timestamp() * 1000)
    step = trial.seconds * 1000 / trial.iterations
    rows = list(rows_of(run_id, trial, began, step))
    last = {row["key"]: row for row in rows}
    with tables.engine.begin() as connection:
        connection.execute(SqlMetric.__table__.insert(), rows)
        connection.execute(SqlLatestMetric.__table__.insert(), list(last.values()))


def rows_of(run_id: str, trial: Made, began: int, milliseconds: float) -> Iterator[dict[str, Any]]:
    for name, (steps, values) in series(trial).items():
        for step, value in zip(steps.tolist(), values.tolist(), strict=True):
            yield {
                "key": name,
                "value": value,
                "timestamp": began + round(step * milliseconds),
                "step": step,
                "is_nan": False,
                "run_uuid": run_id,
            }

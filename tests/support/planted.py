"""Studies whose trials do what is planted in them: searched by TuneStudy, logged by Tracker, read by gather."""

import dataclasses
import html as markup
import itertools
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlflow
from sqlalchemy import event
from sqlalchemy.engine import Engine

from smart_tuner.errors import TrialStopped, Verdict
from smart_tuner.progress import Entry, Progress
from smart_tuner.report.build import build_view
from smart_tuner.report.catalogue import LANGUAGES, Catalogue
from smart_tuner.report.gathering import gather
from smart_tuner.report.pages import write_html, write_json, write_markdown
from smart_tuner.space.parameter import Parameter
from smart_tuner.space.space import Constraint, Pruner, Sampler, Space
from smart_tuner.study.tune import TuneStudy
from smart_tuner.tracking.machine import Extras
from smart_tuner.tracking.tracker import StudyRun, Tracker, TrialRun
from smart_tuner.trial import Trial
from tests.support import scripted, small

RATE, BATCH = "hparams.learning_rate", "hparams.batch_size"
RATES = tuple(round(10 ** (place / 5 - 4), 10) for place in range(11))
"""1e-4 to 1e-2, evenly in their logarithm; 1e-3 is the sixth."""
PACES = {8: 0.5, 16: 0.3, 32: 0.2}
"""By batch size, seconds that an utterance takes."""
BUDGET, SEED = 800, 1234
COMMAND = "python3 smart_tuner_main.py --mode tune --trials 33 --space mine.yaml"
PARAMETERS = (
    Parameter(name=RATE, type="float", low=1e-4, high=1e-2, log=True, line=1),
    Parameter(name=BATCH, type="categorical", choices=tuple(PACES), line=2),
)
FEASIBLE = Constraint(metric="validation.alignment_score", operator=">=", limit=0.25)


@dataclass(frozen=True, kw_only=True)
class Planted:
    """What a trial is made to do."""

    number: int
    rate: float
    batch: int
    loss: float
    """At its best validation."""
    metrics: Mapping[str, float]
    """At the same validation, without the loss; and those of the last iterations."""
    rises: bool = False
    """The best validation is the one before the last, which is a tenth worse."""
    stop: tuple[str, str, float] | None = None
    """Rule, its kind, and the share of the budget at which it stops."""
    confirms: str = ""

    @property
    def name(self) -> str:
        return f"trial-{self.number:04d}"

    @property
    def iterations(self) -> int:
        whole = BUDGET // self.batch
        return whole if self.stop is None else round(whole * self.stop[2])

    @property
    def norms(self) -> list[float]:
        """grad.norm: high at first; its last fifth is as planted, but for a peak at the very end."""
        return [*[30.0] * 3, *[self.metrics["grad.norm"]] * (self.iterations - 4), 99.0]

    def training(self, step: int) -> Progress:
        falling, guide = 4.0 / step**0.5, 0.6 * (1 - 2 * step / self.iterations)
        metrics = {
            "training.loss": falling,
            "training.guide_loss": max(self.metrics["training.guide_loss"], guide),
            "training.atten_loss": max(self.metrics["training.atten_loss"], falling / 4),
            "grad.norm": self.norms[step - 1],
            "duration": self.batch * PACES[self.batch],
            "iteration": float(step),
        }
        return self._progress("training", step, metrics)

    def validation(self, number: int, step: int, loss: float, above: float) -> Progress:
        measured = {name: value + above for name, value in self.metrics.items() if name.startswith("validation.")}
        return self._progress(
            "validation", step, {"validation.loss": loss, "validation.step": float(number), **measured}
        )

    def script(self) -> scripted.Script:
        """Two validations, one of them the best."""
        half, end = self.iterations // 2, self.iterations
        first, last = (self.loss, 1.1 * self.loss) if self.rises else (self.loss + 0.3, self.loss)
        items: scripted.Script = [self.training(step) for step in range(1, end + 1)]
        items.insert(half, self.validation(1, half, first, 0.0 if self.rises else 0.01))
        items.append(self.validation(2, end, last, 0.01 if self.rises else 0.0))
        if self.stop is not None:
            rule, kind, _ = self.stop
            facts: dict[str, Any] = {"rule": rule, "kind": kind, "step": end, "utterances": end * self.batch}
            items.append(TrialStopped(Verdict(sentence=f"Stopped by {rule}.", **facts)))
        return items

    def _progress(self, kind: Any, step: int, metrics: dict[str, float]) -> Progress:
        seen = step * self.batch
        return Progress(kind=kind, step=step, utterances=seen, fraction=seen / BUDGET, metrics=metrics)


# what is planted

HEALTHY = {
    "validation.alignment_score": 0.92,
    "validation.attention_focus": 0.85,
    "validation.gate_mean": 0.48,
    "validation.gate_std": 0.45,
    "grad.norm": 3.0,
    "training.guide_loss": 0.03,
    "training.atten_loss": 0.15,
}
BETWEEN = {
    "validation.alignment_score": 0.48,
    "validation.attention_focus": 0.7,
    "validation.gate_mean": 0.2,
    "validation.gate_std": 0.2,
    "grad.norm": 7.0,
    "training.guide_loss": 0.2,
    "training.atten_loss": 0.5,
}
SICK = {
    "validation.alignment_score": 0.28,
    "validation.attention_focus": 0.95,
    "validation.gate_mean": 0.95,
    "validation.gate_std": 0.0,
    "grad.norm": 12.0,
    "training.guide_loss": 0.58,
    "training.atten_loss": 1.5,
}
PROFILES = (HEALTHY, BETWEEN, SICK)
GRID = list(itertools.product(RATES, PACES))


def points(own: float, stride: int) -> list[tuple[float, int]]:
    """The grid in an order that is neither axis's, the settings' own values first."""
    mixed = [GRID[stride * place % len(GRID)] for place in range(len(GRID))]
    return [(own, 16), *(point for point in mixed if point != (own, 16))]


def loss(rate: float, batch: int, best: float, number: int) -> float:
    """Every power of ten away from the best rate costs 0.2; the batch size costs nothing; at the best, 8 is lucky."""
    lucky = 0.02 if (rate, batch) == (best, 8) else 0.0
    return 0.5 + 0.2 * abs(math.log10(rate / best)) + 5 * number % 7 / 1000 - lucky


def searched(own: float, best: float, stride: int = 7) -> list[Planted]:
    """A trial for each point of the grid; the best is healthy, so is a third of the others."""
    return [
        Planted(
            number=number,
            rate=rate,
            batch=batch,
            loss=loss(rate, batch, best, number),
            metrics=HEALTHY if (rate, batch) == (best, 8) else PROFILES[number // 3 % 3],
            rises=number % 5 == 2 and (rate, batch) != (best, 8),
        )
        for number, (rate, batch) in enumerate(points(own, stride))
    ]


def with_reruns(trials: Sequence[Planted], best: Sequence[float], base: Sequence[float]) -> list[Planted]:
    """The study reruns the best and the baseline in turn."""
    first = winner(trials)
    sides = [(first, "best", best), (trials[0], "baseline", base)]
    pairs = [(trial, side, losses[place]) for place in range(len(best)) for trial, side, losses in sides]
    return [
        *trials,
        *(again(trial, len(trials) + place, lost, side) for place, (trial, side, lost) in enumerate(pairs)),
    ]


def again(trial: Planted, number: int, lost: float, side: str) -> Planted:
    return Planted(number=number, rate=trial.rate, batch=trial.batch, loss=lost, metrics=HEALTHY, confirms=side)


PRUNED = {(RATES[1], 8): 0.9, (RATES[1], 16): 0.31}
"""Losses at the stop; the second is lower than that of the best."""


def edged() -> list[Planted]:
    """The best rate is the highest of its range; five trials are stopped, and the lowest loss breaks the constraint."""
    changed = []
    for trial in searched(own=1e-3, best=1e-2):
        point, kept = (trial.rate, trial.batch), vars(trial)
        if trial.rate == 1e-4:
            trial = Planted(**kept | {"stop": ("loss_jump", "health", 0.4), "rises": False})
        elif point in PRUNED:
            trial = Planted(**kept | {"stop": ("asha", "pruner", 0.5), "loss": PRUNED[point], "rises": False})
        elif point == (1e-2, 32):
            off = HEALTHY | {"validation.alignment_score": 0.2}
            trial = Planted(**kept | {"loss": 0.30, "metrics": off, "rises": False})
        changed.append(trial)
    return with_reruns(changed, best=(0.53, 0.55, 0.52), base=(0.71, 0.69, 0.74))


def central() -> list[Planted]:
    """The best rate is in the middle and comes early, the reruns scatter more than they differ, its batch is slow."""
    trials = searched(own=RATES[2], best=RATES[6], stride=17)
    return with_reruns(trials, best=(0.52, 0.58, 0.55), base=(0.50, 0.60, 0.62))


def feasible(trial: Planted) -> bool:
    return trial.metrics["validation.alignment_score"] >= 0.25


def candidates(planted: Sequence[Planted]) -> list[Planted]:
    return [trial for trial in planted if trial.stop is None and not trial.confirms and feasible(trial)]


def winner(planted: Sequence[Planted]) -> Planted:
    return min(candidates(planted), key=lambda trial: trial.loss)


def seconds(trial: Planted) -> float:
    return trial.iterations * trial.batch * PACES[trial.batch]


# searched, logged, reported


@dataclass(frozen=True, kw_only=True)
class Report:
    """A study's report in every form, by language."""

    planted: Sequence[Planted]
    data: Mapping[str, Any]
    """The JSON, read."""
    html: Mapping[str, str]
    markdown: Mapping[str, str]


@contextmanager
def waiting_for_no_disk() -> Iterator[None]:
    """Databases opened here leave it to the system when it writes: a transaction takes 10 ms less."""

    def hasten(connection: Any, _: Any) -> None:
        connection.execute("PRAGMA synchronous=OFF")

    event.listen(Engine, "connect", hasten)
    try:
        yield
    finally:
        event.remove(Engine, "connect", hasten)
        mlflow.set_tracking_uri(None)  # type: ignore[arg-type]  # it is one for the process


def planned(name: str, folder: Path, planted: Sequence[Planted], winner: int, *, logged: bool = True) -> Report:
    """Search as planted, log it, and report it; the first planted trial has the settings' own values."""
    with waiting_for_no_disk():
        return _planned(name, folder, planted, winner, logged=logged)


def _planned(name: str, folder: Path, planted: Sequence[Planted], winner: int, *, logged: bool) -> Report:
    uri, storage = small.tracking_store(folder), scripted.storage(folder)
    settings = small.settings(
        budget=f"{BUDGET}utt", learning_rate=planted[0].rate, batch_size=planted[0].batch, seed=SEED
    )
    listed = [{RATE: trial.rate, BATCH: trial.batch} for trial in planted if not trial.confirms]
    space = Space(
        file=Path("mine.yaml"),
        parameters=PARAMETERS,
        baseline=tuple(listed[1:]),
        constraints=(FEASIBLE,),
        sampler=Sampler(name="random"),
        pruner=Pruner(name="none"),
        confirm=3,
    )
    study = TuneStudy(name, storage, space, settings, "d1ge57", 100, len(listed))
    study.remember({"command": COMMAND, "folder": str(folder)})
    if logged:
        parent = Tracker(uri, "Default").open_study(name, {"study.mode": "tune"})
        search(study, parent, planted)
        parent.close("FINISHED")
    else:
        list(scripted.run(study, scripted.Executor(act=lambda trial: planted[trial.number].script())))
    study.conclude({"trial": winner, "settings": {}})
    evidence, archive = gather(storage, uri, name)
    said = {language: Catalogue(language) for language in LANGUAGES}
    views = {language: build_view(evidence, archive, say) for language, say in said.items()}
    return Report(
        planted=planted,
        data={language: json.loads(write_json(views[language], say)) for language, say in said.items()},
        html={language: write_html(views[language], say) for language, say in said.items()},
        markdown={language: write_markdown(views[language], say) for language, say in said.items()},
    )


def search(study: TuneStudy, parent: StudyRun, planted: Sequence[Planted]) -> None:
    """Let every trial do as planted, and log it as a session does."""
    executor = scripted.Executor(act=lambda trial: planted[trial.number].script())
    runs: dict[int, TrialRun] = {}
    for trial, told in scripted.run(study, executor):
        plan = planted[trial.number]
        if trial.number not in runs:
            runs[trial.number] = opened(parent, trial, plan)
        if isinstance(told, Progress):
            runs[trial.number].log(Entry(told, 1_600_000_000_000 + told.step))
            continue
        state = "complete" if plan.stop is None else "stopped"
        step = plan.iterations // 2 if plan.rises else plan.iterations
        best = {"best.validation.loss": plan.loss, "best.step": float(step)}
        runs[trial.number].close("FINISHED" if plan.stop is None else "KILLED", {"trial.state": state}, best)
    assert len(runs) == len(planted)


def opened(parent: StudyRun, trial: Trial, plan: Planted) -> TrialRun:
    """The run of a trial, which must have the planted values."""
    hparams = trial.settings.hparams
    assert (hparams.learning_rate, hparams.batch_size) == (plan.rate, plan.batch)
    plain = Extras(on=True, system_metrics=False, plots=False, found="")
    logged = parent.open_trial(trial.number, {"trial.origin": trial.origin, "trial.state": "running"}, plain)
    logged.params({f"hparams.{name}": value for name, value in dataclasses.asdict(hparams).items()})
    return logged


# what a report says


def plain(text: str) -> str:
    """A text without tags, escapes and spaces."""
    return "".join(markup.unescape(re.sub(r"<[^>]*>", "", text)).replace("\\", "").split())


def sentences(value: Any) -> Iterator[str]:
    """All texts in it, but links."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        yield from itertools.chain.from_iterable(sentences(item) for key, item in value.items() if key != "link")
    elif isinstance(value, list):
        yield from itertools.chain.from_iterable(map(sentences, value))

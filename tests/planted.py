"""Studies whose trials do what is planted in them: searched by TuneStudy, logged by Tracker, read by gather."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from smart_tuner.errors import TrialStopped
from smart_tuner.journal import Entry
from smart_tuner.machine import Extras
from smart_tuner.progress import Progress
from smart_tuner.report import build, pages
from smart_tuner.report.catalogue import LANGUAGES, Catalogue
from smart_tuner.report.gathering import gather
from smart_tuner.space.space import Constraint, Parameter, Pruner, Sampler, Space
from smart_tuner.study.loop import run
from smart_tuner.study.tune import TuneStudy
from smart_tuner.tracking.tracker import StudyRun, Tracker, TrialRun
from smart_tuner.training import Trial
from tests import scripted, small

RATE, BATCH = "hparams.learning_rate", "hparams.batch_size"
RATES = tuple(round(10 ** (place / 5 - 4), 10) for place in range(11))
"""1e-4 to 1e-2, evenly in their logarithm; 1e-3 is the sixth."""
PACES = {8: 0.5, 16: 0.3, 32: 0.2}
"""By batch size, seconds that an utterance takes."""
BUDGET, SEED = 960, 1234
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
        falling = 4.0 / step**0.5
        metrics = {
            "training.loss": falling,
            "training.guide_loss": max(self.metrics["training.guide_loss"], 0.6 / step),
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
            items.append(TrialStopped(f"Stopped by {rule}.", observed={}, **facts))
        return items

    def _progress(self, kind: Any, step: int, metrics: dict[str, float]) -> Progress:
        seen = step * self.batch
        return Progress(kind=kind, step=step, utterances=seen, fraction=seen / BUDGET, metrics=metrics)


@dataclass(frozen=True, kw_only=True)
class Report:
    """A study's report in every form, by language."""

    planted: Sequence[Planted]
    data: Mapping[str, Any]
    """The JSON, read."""
    html: Mapping[str, str]
    markdown: Mapping[str, str]


def planned(name: str, folder: Path, planted: Sequence[Planted], winner: int | None, confirm: int = 3) -> Report:
    """Search as planted, log it, and report it; the first planted trial has the settings' own values."""
    uri, storage = small.tracking_store(folder), scripted.storage(folder)
    settings = small.settings(
        budget=f"{BUDGET}utt", learning_rate=planted[0].rate, batch_size=planted[0].batch, seed=SEED
    )
    listed = [{RATE: one.rate, BATCH: one.batch} for one in planted if not one.confirms]
    space = Space(
        file=Path("mine.yaml"),
        parameters=PARAMETERS,
        baseline=tuple(listed[1:]),
        constraints=(FEASIBLE,),
        sampler=Sampler(name="random"),
        pruner=Pruner(name="none"),
        confirm=confirm,
    )
    study = TuneStudy(name, storage, space, settings, "d1ge57", 100, len(listed))
    study.remember({"command": COMMAND, "folder": str(folder)})
    parent = Tracker(uri, "Default").open_study(name, {"study.mode": "tune"})
    search(study, parent, planted)
    if winner is not None:
        study.conclude({"trial": winner, "sentence": "", "settings": {}})
    parent.close("FINISHED")
    evidence, archive = gather(storage, uri, name)
    said = {language: Catalogue(language) for language in LANGUAGES}
    views = {language: build.view(evidence, archive, say) for language, say in said.items()}
    return Report(
        planted=planted,
        data={language: json.loads(pages.json(views[language], say)) for language, say in said.items()},
        html={language: pages.html(views[language], say) for language, say in said.items()},
        markdown={language: pages.markdown(views[language], say) for language, say in said.items()},
    )


def search(study: TuneStudy, parent: StudyRun, planted: Sequence[Planted]) -> None:
    """Let every trial do as planted, and log it as a session does."""
    executor = scripted.Executor(act=lambda trial: planted[trial.number].script())
    runs: dict[int, TrialRun] = {}
    for trial, event in run(study, executor):
        one = planted[trial.number]
        if trial.number not in runs:
            runs[trial.number] = opened(parent, trial, one)
        if isinstance(event, Progress):
            runs[trial.number].log(Entry(event, 1_600_000_000_000 + event.step))
            continue
        state = "complete" if one.stop is None else "stopped"
        step = one.iterations // 2 if one.rises else one.iterations
        best = {"best.validation.loss": one.loss, "best.step": float(step)}
        runs[trial.number].close("FINISHED" if one.stop is None else "KILLED", {"trial.state": state}, best)
    assert len(runs) == len(planted)


def opened(parent: StudyRun, trial: Trial, one: Planted) -> TrialRun:
    """The run of a trial, which must have the planted values."""
    hparams = trial.settings.hparams
    assert (hparams.learning_rate, hparams.batch_size) == (one.rate, one.batch)
    plain = Extras(on=True, system_metrics=False, plots=False, found="")
    logged = parent.open_trial(trial.number, {"trial.origin": trial.origin, "trial.state": "running"}, plain)
    logged.params({f"hparams.{name}": value for name, value in dataclasses.asdict(hparams).items()})
    return logged

"""Studies as evidence, made by hand, and the words of what a report finds in them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from smart_tuner.analysis.results import Result
from smart_tuner.report.answer import write_answer
from smart_tuner.report.catalogue import Catalogue, Language
from smart_tuner.report.evidence import Evidence, Points, Run
from smart_tuner.report.finalists import find_finalists
from smart_tuner.report.message import Message
from smart_tuner.report.next_step import list_commands
from smart_tuner.report.view import Grade, GuideVerdict, Line, Verdicts
from smart_tuner.space.objective import Objective

OWN, FOUND = {"hparams.learning_rate": 1e-3}, {"hparams.learning_rate": 5e-4}
LOSS, SCORE = "validation.loss", "validation.alignment_score"
COMMAND = "python3 smart_tuner_main.py --mode tune --trials 4 --space demo.yaml --study night"
TRAIN = "python3 smart_tuner_main.py --mode train --trials 1 --study voice"


class Shelf:
    """An Archive of what a test puts there; it remembers whose histories it was asked for."""

    def __init__(
        self, histories: dict[tuple[str, str], Points] | None = None, files: dict[tuple[str, str], Path] | None = None
    ) -> None:
        self.histories, self.files = histories or {}, files or {}
        self.asked = set[str]()

    def history(self, run_id: str, metric: str) -> Points:
        self.asked.add(run_id)
        return self.histories.get((run_id, metric), ())

    def artefact(self, run_id: str, path: str) -> Path | None:
        return self.files.get((run_id, path))

    def artefacts(self, run_id: str, folder: str) -> list[str]:
        return sorted(path for run, path in self.files if run == run_id and path.startswith(f"{folder}/"))


def result(number: int, loss: float | None, **changed: Any) -> Result:
    known: dict[str, Any] = {
        "origin": "sampled",
        "state": "complete",
        "seed": 100 + number,
        "values": {"hparams.learning_rate": number / 100},
        "metrics": {} if loss is None else {LOSS: loss},
        "seconds": 600.0,
        "utterances": 1000,
        "planned": 1000,
    }
    return Result(number=number, value=loss, **known | changed)


def baseline(loss: float | None, **changed: Any) -> Result:
    return result(0, loss, **{"origin": "baseline", "values": OWN, "own": True} | changed)


def stopped(number: int, rule: str = "asha", kind: str = "pruner", **changed: Any) -> Result:
    """Stopped after a quarter of its budget."""
    known = {"state": "stopped", "rule": rule, "kind": kind, "utterances": 250, "seconds": 150.0}
    return result(number, 0.9, **known | {"reason": f"Stopped by {rule}."} | changed)


def reruns(of: str, *losses: float, **changed: Any) -> list[Result]:
    first, values = (50, FOUND) if of == "best" else (60, OWN)
    named = {"confirms": of, "values": values, "origin": "replicate"} | changed
    return [result(first + place, loss, **named) for place, loss in enumerate(losses)]


def confirmed(best: Sequence[float] = (0.40, 0.42, 0.44), base: Sequence[float] = (0.50, 0.54)) -> list[Result]:
    """Trial 1 was best of all with 0.30; means over seeds: 0.42 against 0.52."""
    return [baseline(0.52), result(1, 0.30, values=FOUND), *reruns("best", *best), *reruns("baseline", *base)]


def run(of: Result, **changed: Any) -> Run:
    name = f"trial-{of.number:04d}"
    known = {"run_id": f"id-{of.number}", "link": f"http://mlflow/{of.number}", "state": of.state}
    return Run(name=name, number=of.number, result=of, **known | changed)


def study(results: Sequence[Result], *others: Run, **changed: Any) -> Evidence:
    """A finished search."""
    known: dict[str, Any] = {
        "name": "night",
        "mode": "tune",
        "objectives": (Objective(),),
        "command": COMMAND,
        "parent_id": "parent",
        "parent_status": "FINISHED",
    }
    runs = [*sorted(map(run, results), key=lambda trial: trial.number or 0), *others]
    return Evidence(runs=tuple(runs), **known | changed)


def train_study(losses: Sequence[float], **changed: Any) -> Evidence:
    """Seeds of the same settings."""
    results = [result(number, loss, values={}, planned=0) for number, loss in enumerate(losses)]
    return study(results, **{"mode": "train", "command": TRAIN, "name": "voice"} | changed)


def verdict(metric: str, value: float, grade: Grade) -> GuideVerdict:
    return GuideVerdict(metric=metric, value=value, grade=grade, rule=Message("good above {good:g}", good=0.8))


def english(text: Message | str) -> str:
    return Catalogue("en")(text)


def words(lines: Sequence[Line], language: Language = "en") -> dict[str, str]:
    """Text by label."""
    say = Catalogue(language)
    return {say(line.label): say(line.text) for line in lines}


def answered(evidence: Evidence, verdicts: Verdicts | None = None, shelf: Shelf | None = None) -> dict[str, str]:
    """The five lines."""
    return words(write_answer(evidence, find_finalists(evidence), verdicts or {}, shelf or Shelf()))


def typed(evidence: Evidence, shelf: Shelf | None = None, verdicts: Verdicts | None = None) -> dict[str, str]:
    """The commands, by label."""
    found = list_commands(evidence, find_finalists(evidence), verdicts or {}, shelf or Shelf())
    return {english(command.label): command.command for command in found}

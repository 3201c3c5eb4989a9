"""Results of trials that never were, for conclusions, audits and rankings worked out by hand."""

from typing import Any

from smart_tuner.analysis.results import Result

OWN, FOUND = {"hparams.learning_rate": 1e-3}, {"hparams.learning_rate": 5e-4}


def result(number: int, loss: float | None, **changed: Any) -> Result:
    usual = {"values": {"hparams.learning_rate": number / 100}, "seconds": 100.0, "utterances": 1000, "planned": 1000}
    known = {"origin": "sampled", "state": "complete", "seed": 1234 + number, **usual}
    return Result(number=number, value=loss, **known | changed)  # type: ignore[arg-type]


def baseline(loss: float | None, **changed: Any) -> Result:
    return result(0, loss, origin="baseline", values=OWN, **changed)


def stopped(number: int, rule: str = "asha", kind: str = "pruner", **changed: Any) -> Result:
    return result(number, 0.9, **{"state": "stopped", "rule": rule, "kind": kind, "feasible": False} | changed)


def reruns(of: str, *losses: float, **changed: Any) -> list[Result]:
    first, values = (50, FOUND) if of == "best" else (60, OWN)
    named = {"confirms": of, "values": values, "origin": "replicate"} | changed
    return [result(first + place, loss, **named) for place, loss in enumerate(losses)]


def study(best: list[float], base: list[float], first: float = 0.52) -> list[Result]:
    """Trial 1 was best of all with 0.30; its reruns and the baseline's tell another story."""
    return [baseline(first), result(1, 0.30, values=FOUND), *reruns("best", *best), *reruns("baseline", *base)]

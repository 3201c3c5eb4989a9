"""Studies for the rules of advice, as plain data."""

from collections.abc import Mapping, Sequence
from typing import Any

from smart_tuner.report.advising.case import Case
from smart_tuner.report.commands import Commands
from smart_tuner.report.evidence import Evidence, Run
from smart_tuner.report.finalists import finalists
from smart_tuner.settings import Settings
from smart_tuner.space.space import Objective
from smart_tuner.study.conclusions import name
from smart_tuner.study.importance import Importance, Share
from smart_tuner.study.results import Result

RATE, BATCH = "hparams.learning_rate", "hparams.batch_size"
COMMAND = "python3 smart_tuner_main.py --mode tune --trials 12 --space mine.yaml"
ENTRY: dict[str, Any] = {"low": 0.0, "high": 0.0, "log": False, "step": None, "choices": [], "when": {}}
RATES = {**ENTRY, "type": "float", "low": 1e-4, "high": 1e-2, "log": True}
BATCHES = {**ENTRY, "type": "categorical", "choices": [8, 16, 32]}
UNKNOWN = Importance(shares=(), trials=0, enough=False)


def space(parameters: Mapping[str, Any] | None = None, **changed: Any) -> dict[str, Any]:
    """A Space.to_plain() with the parts that rules read."""
    known = {"parameters": {RATE: RATES} if parameters is None else dict(parameters), "confirm": 3, "budget": None}
    return (
        known
        | {"sampler": {"name": "tpe"}, "pruner": {"name": "asha", "reduction_factor": 3, "warmup": None}}
        | changed
    )


def result(number: int, loss: float | None = 0.5, **changed: Any) -> Result:
    """A complete trial in the middle of its range."""
    known: dict[str, Any] = {"origin": "sampled", "state": "complete", "seed": number, "values": {RATE: 1e-3}}
    known |= {"seconds": 10.0, "utterances": 1000, "planned": 1000, "own": number == 0}
    return Result(number=number, loss=loss, **known | changed)


def stopped(number: int, rule: str, kind: str = "health", **changed: Any) -> Result:
    """A trial that a rule stopped."""
    return result(number, 0.9, **{"state": "stopped", "rule": rule, "kind": kind, "utterances": 200} | changed)


def failed(number: int, reason: str, batch: int) -> Run:
    """A trial that broke."""
    broken = result(number, None, state="failed", reason=reason)
    params = {"hparams.batch_size": str(batch)}
    return Run(name=name(number), number=number, state="failed", result=broken, params=params)


def case(
    results: Sequence[Result],
    *,
    runs: Sequence[Run] = (),
    metrics: Mapping[int, Mapping[str, float]] | None = None,
    importance: Importance = UNKNOWN,
    **changed: Any,
) -> Case:
    """A tune study of these results; metrics of MLflow by number; changed are parts of the evidence and the case."""
    own = [
        Run(
            name=name(one.number),
            number=one.number,
            state=one.state,
            result=one,
            metrics=(metrics or {}).get(one.number, {}),
            params={BATCH: str(one.values[BATCH])} if BATCH in one.values else {},
        )
        for one in results
    ]
    parts = {key: changed.pop(key) for key in ("verdicts", "utterances", "losses") if key in changed}
    known = {"name": "mine", "mode": "tune", "objectives": (Objective(),), "space": space(), "command": COMMAND}
    known |= {"settings": Settings().to_yaml(), "budget": "1000utt"}
    evidence = Evidence(runs=(*own, *runs), **known | changed)
    return Case(
        evidence=evidence,
        finalists=finalists(evidence),
        importance=importance,
        commands=Commands(evidence),
        **parts,
    )


def fallen(share: float, *names: str) -> dict[str, list[tuple[int, float]]]:
    """Losses over 100 iterations that fall by this share in the last fifth, by the run's name."""
    points = [(20, 0.9), (40, 0.7), (60, 0.6), (80, 0.5), (100, 0.5 * (1 - share))]
    return dict.fromkeys(names or ("trial-0000",), points)


def shares(**highs: float) -> Importance:
    """An importance whose bands end so high; the names stand for hparams.*."""
    found = [Share(name=f"hparams.{key}", share=high / 2, low=0.0, high=high) for key, high in highs.items()]
    return Importance(shares=tuple(found), trials=30, enough=True)

"""Studies for the rules of advice, as plain data."""

from collections.abc import Mapping, Sequence
from typing import Any

from smart_tuner.analysis.importance import Importance, Share
from smart_tuner.analysis.results import Result
from smart_tuner.paths import trial_name
from smart_tuner.report.case import Case
from smart_tuner.report.evidence import Evidence, Run
from smart_tuner.report.finalists import find_finalists
from smart_tuner.report.view import Advice
from smart_tuner.settings.settings import Settings
from smart_tuner.space.objective import Objective

RATE = "hparams.learning_rate"
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
    return Result(number=number, value=loss, **known | changed)


def stopped(number: int, rule: str, kind: str = "health", **changed: Any) -> Result:
    """A trial that a rule stopped."""
    return result(number, 0.9, **{"state": "stopped", "rule": rule, "kind": kind, "utterances": 200} | changed)


def failed(number: int, fault: str, batch: int, reason: str = "It broke.") -> Run:
    """A trial that broke by an error of this class."""
    broken = result(number, None, state="failed", reason=reason, fault=fault)
    params = {"hparams.batch_size": str(batch)}
    return Run(name=trial_name(number), number=number, state="failed", result=broken, params=params)


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
            name=trial_name(trial.number),
            number=trial.number,
            state=trial.state,
            result=trial,
            metrics=(metrics or {}).get(trial.number, {}),
        )
        for trial in results
    ]
    parts = {key: changed.pop(key) for key in ("verdicts", "utterances", "losses") if key in changed}
    known = {"name": "mine", "mode": "tune", "objectives": (Objective(),), "space": space(), "command": COMMAND}
    known |= {"settings": Settings().to_yaml(), "budget": "1000utt"}
    evidence = Evidence(runs=(*own, *runs), **known | changed)
    return Case(
        evidence=evidence,
        finalists=find_finalists(evidence),
        importance=importance,
        **parts,
    )


def fallen(share: float, *names: str) -> dict[str, list[tuple[int, float]]]:
    """Losses over 100 iterations that fall by this share in the last fifth, by the run's name."""
    points = [(20, 0.9), (40, 0.7), (60, 0.6), (80, 0.5), (100, 0.5 * (1 - share))]
    return dict.fromkeys(names or ("trial-0000",), points)


def spoken(advice: Advice | None) -> Advice:
    """What is advised, which must be something."""
    assert advice is not None
    return advice


def shares(**highs: float) -> Importance:
    """An importance whose bands end so high; the names stand for hparams.*."""
    found = [Share(name=f"hparams.{key}", share=high / 2, low=0.0, high=high) for key, high in highs.items()]
    return Importance(shares=tuple(found), trials=30, enough=True)

"""What to try next: rules that read the evidence, the most consequential first, none that contradicts another."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from smart_tuner.report.advising import mending, reruns, searching, suspects
from smart_tuner.report.advising.case import Case
from smart_tuner.report.catalogue import said
from smart_tuner.report.commands import Commands
from smart_tuner.report.evidence import Evidence, Points
from smart_tuner.report.finalists import Finalists
from smart_tuner.report.view import Advice, Line, Verdict
from smart_tuner.study.importance import Importance

MOST = 8
Rule = Callable[[Case], Advice | None]


def waiting(case: Case) -> Advice | None:
    """Nothing has ended yet."""
    if case.evidence.results or case.failed or case.evidence.mode == "runs":
        return None
    if case.evidence.running:
        because = said("advice.waiting_why", running=case.evidence.running)
        return Advice(what=said("advice.waiting"), because=because, command=case.commands.report())
    because = said("advice.nothing_why")
    return Advice(what=said("advice.nothing"), because=because, command=case.evidence.command)


RULES: dict[str, Rule] = {
    "waiting": waiting,
    "attempts": mending.attempts,
    "memory": mending.memory,
    "faults": mending.faults,
    "data": suspects.data,
    "stops": mending.stops,
    "unhealthy": mending.unhealthy,
    "sick": mending.sick,
    "wrong_stops": mending.wrong_stops,
    "boundary": searching.boundary,
    "replicates": reruns.replicates,
    "undecided": reruns.undecided,
    "unconfirmed": reruns.unconfirmed,
    "few": searching.few,
    "plateau": searching.plateau,
    "fastest": searching.fastest,
    "longer": searching.longer,
    "drop": searching.drop,
    "hard_utterances": suspects.hard_utterances,
    "noise": reruns.noise,
    "train": searching.train,
}
"""By name, the most consequential first."""
GO_ON = ("few", "plateau", "longer", "fastest", "train")
"""To search on as before, and to train what was found."""
SILENCED: dict[str, tuple[str, ...]] = {
    "attempts": ("data",),
    "memory": ("few", "train"),
    "data": ("few", "plateau", "train"),
    "stops": ("few", "plateau", "train"),
    "unhealthy": ("few", "boundary"),
    "sick": ("plateau", "longer", "fastest", "train"),
    "wrong_stops": GO_ON,
    "boundary": GO_ON,
    "replicates": ("train",),
    "undecided": ("train",),
    "unconfirmed": ("train",),
    "few": ("plateau", "longer", "fastest", "train"),
    "plateau": ("train",),
    "fastest": ("train",),
    "longer": ("train",),
}
"""Rules that say nothing beside a weightier one: to search on, or to train the best, while it says to change course."""
TOO_EARLY = ("boundary", "few")
"""So few trials that a boundary is no more than a hint do not silence the advice to search on."""


def advice(
    evidence: Evidence,
    finalists: Finalists,
    importance: Importance,
    verdicts: Mapping[str, tuple[Verdict, ...]],
    commands: Commands,
    utterances: Mapping[str, Sequence[Mapping[str, Any]]],
    losses: Mapping[str, Points],
) -> tuple[Advice, ...]:
    """At most eight pieces of advice, the most consequential first.

    By the run's name, utterances: what each came to; losses: validation.loss over the iterations, of the best at least.
    """
    case = Case(
        evidence=evidence,
        finalists=finalists,
        importance=importance,
        verdicts=verdicts,
        commands=commands,
        utterances=utterances,
        losses=losses,
    )
    return tuple(given(case).values())[:MOST]


def given(case: Case) -> dict[str, Advice]:
    """What each rule advises, by its name, without those that a weightier one silences."""
    found: dict[str, Advice] = {}
    for name, rule in RULES.items():
        if not any(silences(case, other, name) for other in found):
            said_now = rule(case)
            if said_now is not None:
                found[name] = said_now
    return found


def silences(case: Case, weightier: str, name: str) -> bool:
    """Whether a rule that has spoken leaves another nothing to say."""
    too_early = (weightier, name) == TOO_EARLY and len(case.trials) < searching.FEW_TRIALS
    return name in SILENCED.get(weightier, ()) and not too_early


def importance_lines(importance: Importance, space: Mapping[str, Any]) -> tuple[Line, ...]:
    """The share of each parameter with its band, or why it cannot be said."""
    label = said("advice.importance")
    if not space.get("parameters"):
        return (Line(label=label, text=said("advice.importance_none")),)
    if not importance.enough:
        facts = {"trials": importance.trials, "needed": importance.needed}
        few = importance.trials < importance.needed
        text = said("advice.importance_few", **facts) if few else said("advice.importance_same", **facts)
        return (Line(label=label, text=text),)
    shares = [
        Line(
            label=said("advice.parameter", name=one.name),
            text=said("advice.share", share=100 * one.share, low=100 * one.low, high=100 * one.high),
        )
        for one in importance.shares
    ]
    return (*shares, Line(label=label, text=said("advice.importance_how", trials=importance.trials)))

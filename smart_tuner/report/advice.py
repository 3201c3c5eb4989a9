"""What to try next beyond the answer: rules that read the evidence, none of which contradicts a weightier one."""

from collections.abc import Callable

from smart_tuner.report import mending, searching, suspects
from smart_tuner.report.case import Case
from smart_tuner.report.view import Advice

MOST_ADVICE = 8
FEW_TRIALS = 10
"""Trials without which a best at an end of its range is no more than a hint."""
AdviceRule = Callable[[Case], Advice | None]


ADVICE_RULES: dict[str, AdviceRule] = {
    "attempts": mending.advise_next_attempt,
    "memory": mending.advise_smaller_batch,
    "faults": mending.advise_removing_fault,
    "data": suspects.advise_checking_corpus,
    "stops": mending.advise_repair,
    "unhealthy": mending.advise_larger_budget,
    "sick": mending.advise_mending_best,
    "wrong_stops": mending.advise_patience,
    "boundary": searching.advise_wider_ranges,
    "replicates": searching.advise_more_reruns,
    "few": searching.advise_more_trials,
    "longer": searching.advise_longer_training,
    "drop": searching.advise_fewer_parameters,
    "hard_utterances": suspects.advise_listening,
    "noise": searching.advise_difference,
}
"""By name, the most consequential first."""
SILENCED: dict[str, tuple[str, ...]] = {
    "attempts": ("data",),
    "memory": ("few",),
    "data": ("few",),
    "stops": ("few",),
    "unhealthy": ("boundary", "few"),
    "sick": ("longer",),
    "wrong_stops": ("few", "longer"),
    "boundary": ("few", "longer"),
    "few": ("longer",),
}
"""Rules that say nothing beside a weightier one: to go on as before, while it says to change course."""


def list_advice(case: Case) -> tuple[Advice, ...]:
    """At most eight pieces of advice, the most consequential first."""
    return tuple(ask_rules(case).values())[:MOST_ADVICE]


def ask_rules(case: Case) -> dict[str, Advice]:
    """What each rule advises, by its name, without those that a weightier one silences."""
    given: dict[str, Advice] = {}
    for name, rule in ADVICE_RULES.items():
        if any(silences(case, weightier, name) for weightier in given):
            continue
        advice = rule(case)
        if advice is not None:
            given[name] = advice
    return given


def silences(case: Case, weightier: str, name: str) -> bool:
    """Whether a rule that has spoken leaves another nothing to say."""
    # after few trials the best lies at an end by chance: that does not speak against searching on
    is_hint = (weightier, name) == ("boundary", "few") and len(case.trials) < FEW_TRIALS
    return name in SILENCED.get(weightier, ()) and not is_hint

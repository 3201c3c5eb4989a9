"""Advice on what went wrong: trials that broke, trials that rules stopped, a sick best, stops that were wrong."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from smart_tuner.budget import Budget
from smart_tuner.health.history import FOCUS, GATE_MEAN, GATE_STD, GUIDE, NORM, SCORE, SPREAD
from smart_tuner.health.repairs import repair
from smart_tuner.report.advising.case import BATCH, Case, assigned, counted, plain
from smart_tuner.report.advising.ranges import extremes, shifted, span
from smart_tuner.report.advising.suspects import OFF_DIAGONAL
from smart_tuner.report.catalogue import MISSING, Said, said
from smart_tuner.report.evidence import Run
from smart_tuner.report.view import Advice, Verdict
from smart_tuner.settings import Settings, differences
from smart_tuner.space.space import Parameter
from smart_tuner.study.audit import Audit, audit
from smart_tuner.study.conclusions import name as named
from smart_tuner.study.results import Result

FEW = 3
"""Stops by one rule that make a pattern."""
SIGN = {SCORE: "attention_late", FOCUS: "attention_stuck", SPREAD: "attention_stuck", GATE_STD: "gate_flat"}
SIGN |= {NORM: "exploding_gradients", GUIDE: "guide_not_falling"}
"""The health rule that looks for the same trouble as a metric's verdict."""
LOOSENED = {
    "exploding_gradients": "gradient_limit",
    "loss_jump": "loss_jump",
    "validation_rising": "rising_validations",
    "attention_late": "attention_deadline",
    "attention_stuck": "stuck_validations",
    OFF_DIAGONAL: "diagonal_validations",
    "attention_collapsed": "collapse_validations",
    "guide_not_falling": "guide_deadline",
    "gate_never": "gate_validations",
    "gate_always": "gate_validations",
    "gate_flat": "gate_validations",
}
"""The setting of health whose double makes a rule stop later."""


# trials that broke


def memory(case: Case) -> Advice | None:
    """Batch sizes for which the memory did not suffice, and that no trial got through with."""
    fits = [batch for run in case.evidence.runs if run.state == "complete" and (batch := size_of(run))]
    full = [batch for run in case.failed if too_large(fault_of(run)) and (batch := size_of(run))]
    full = [size for size in full if size > max(fits, default=0)]
    if not full:
        return None
    smallest, most = min(full), max(fits, default=0)
    because = said("advice.memory_why", count=len(full), smallest=smallest, most=str(most or MISSING))
    parameter = case.parameters.get(BATCH)
    if parameter is None:
        return smaller(case, max(1, smallest // 2), said("advice.memory", size=max(1, smallest // 2)), because)
    if parameter.type == "categorical":
        return fewer_choices(case, parameter, smallest, because)
    low, _ = extremes(parameter)
    room = span(parameter, low, max([size for size in fits if size >= low], default=max(low, smallest // 2)))
    what = said("advice.memory_range", range=room)
    return Advice(what=what, because=because, command=case.commands.further(case.aim))


def too_large(fault: str) -> bool:
    """Whether a batch did not fit; of a single utterance that does not, no smaller batch helps."""
    return "no memory left" in fault and "single utterance" not in fault


def smaller(case: Case, size: int, what: Said, because: Said) -> Advice:
    """Begin another study with this batch size."""
    command = case.commands.with_settings(case.sibling("-smaller"), f"{BATCH}={size}")
    return Advice(what=what, because=because, command=command)


def fewer_choices(case: Case, parameter: Parameter, smallest: int, because: Said) -> Advice:
    """Begin another study without the choices that do not fit: those of a study that has begun cannot change."""
    room = [choice for choice in parameter.choices if float(choice) < smallest]
    if len(room) < 2:
        size = int(room[0]) if room else max(1, smallest // 2)
        return smaller(case, size, said("advice.memory_alone", size=size), because)
    what = said("advice.memory_choices", choices=", ".join(map(plain, room)))
    command = case.commands.another(case.sibling("-smaller"), **{"warm-start": case.evidence.name})
    own = case.settings.hparams.batch_size if case.settings is not None else room[0]
    if command and own not in room:  # the settings' own values are tried first, and must be among the choices
        command += f" --set {BATCH}={plain(max(room, key=float))}"
    return Advice(what=what, because=because, command=command)


def faults(case: Case) -> Advice | None:
    """Trials that broke by something else, more than one or with nothing beside them."""
    broken = [fault_of(run) for run in case.failed if "no memory left" not in fault_of(run)]
    if not broken or (len(broken) == 1 and case.evidence.results):
        return None
    [(sentence, count)] = Counter(broken).most_common(1)
    because = said("advice.faults_why", failed=len(broken), count=count, sentence=sentence[:200] or MISSING)
    return Advice(what=said("advice.faults"), because=because, command=case.commands.check())


def size_of(run: Run) -> int:
    """A trial's batch size; 0 when neither store knows it."""
    searched = run.result.values.get(BATCH, 0) if run.result is not None else 0
    return int(run.batch if run.batch is not None else searched)


def fault_of(run: Run) -> str:
    """What a trial broke by, as far as it is known."""
    return (run.result.reason if run.result is not None else "") or run.tags.get("error", "")


# trials that a health rule stopped


def stops(case: Case) -> Advice | None:
    """One health rule stopped at least half of the trials, or nothing healthy is left and it stopped most."""
    if case.evidence.mode != "tune":
        return None
    rules = Counter(one.rule for one in case.trials if one.state == "stopped" and one.kind == "health")
    if not rules:
        return None
    [(rule, count)] = rules.most_common(1)
    dominant = count >= FEW and 2 * count >= len(case.trials)
    if rule == OFF_DIAGONAL or not (dominant or case.best is None):
        return None
    because = said("advice.stops_why", rule=rule, count=count, trials=len(case.trials))
    settings = case.settings
    found = repair(rule, settings, 1) if settings is not None else None
    if settings is None or found is None:
        what = said("advice.stops_unknown", rule=rule)
        return Advice(what=what, because=because, command=case.commands.check())
    changes = differences(settings, found.settings)
    fixed = {name: value for name, value in changes.items() if name not in case.parameters}
    what = said("advice.stops", changes=[*assigned(fixed), *moved(case, settings, changes)])
    return Advice(what=what, because=because, command=begun(case, "-repaired", fixed))


def begun(case: Case, suffix: str, changes: Mapping[str, Any]) -> str:
    """The command for another study with these settings."""
    study = case.sibling(suffix)
    return (
        case.commands.with_settings(study, " --set ".join(assigned(changes)))
        if changes
        else case.commands.another(study)
    )


def moved(case: Case, settings: Settings, changes: Mapping[str, Any]) -> list[Said]:
    """What a repair asks of the settings that are searched over: their ranges move as the setting would."""
    sentences = []
    for name in changes.keys() & case.parameters.keys():
        parameter, after = case.parameters[name], changes[name]
        section, _, key = name.partition(".")
        before = getattr(getattr(settings, section), key)
        if parameter.type == "categorical" or isinstance(after, bool | str) or not before:
            sentences.append(said("advice.only", name=name, value=plain(after)))
        else:
            sentences.append(said("advice.range", name=name, range=shifted(parameter, after / before)))
    return sorted(sentences, key=lambda one: str(one.facts["name"]))


def unhealthy(case: Case) -> Advice | None:
    """Trials spent their budget, and none satisfies the constraints."""
    complete = [one for one in case.trials if one.state == "complete" and not one.feasible]
    if case.best is not None or not complete:
        return None
    reached = [nearest(text, complete) for text in case.evidence.constraints]
    because = said("advice.unhealthy_why", complete=len(complete), nearest=[one for one in reached if one is not None])
    if not because.facts["nearest"]:
        because = said("advice.unhealthy_apart", complete=len(complete))
    longer = case.commands.another(case.sibling("-longer"), budget=case.twice) if case.twice else ""
    what = said("advice.unhealthy", budget=case.twice) if case.twice else said("advice.unhealthy_loosen")
    return Advice(what=what, because=because, command=longer)


def nearest(constraint: str, complete: Sequence[Result]) -> Said | None:
    """How near the nearest trial came to a constraint that none satisfied; None when one did, or none measured it."""
    metric, operator, limit = constraint.split()
    sign = 1.0 if operator == ">=" else -1.0
    known = [(sign * one.metrics[metric], one) for one in complete if math.isfinite(one.metrics.get(metric, math.nan))]
    if not known:
        return None
    value, one = max(known, key=lambda pair: (pair[0], -pair[1].number))
    if value >= sign * float(limit):
        return None
    return said("advice.nearest", constraint=constraint, value=sign * value, name=named(one.number))


def sick(case: Case) -> Advice | None:
    """The best itself is sick by the guide in something that a setting may mend."""
    run = case.finalists.best
    found = [one for one in case.verdicts.get(run.name, ()) if one.level == "sick"] if run is not None else []
    if run is None or not found:
        return None
    because = said("advice.sick_why", name=run.name, verdicts=[told(one) for one in found])
    settings = case.settings_of(run.result.values if run.result is not None else {})
    rule = next((rule for one in found if (rule := sign_of(one))), "")
    mended = repair(rule, settings, 1) if settings is not None and rule else None
    if settings is None or mended is None:
        return Advice(what=said("advice.sick_look", name=run.name), because=because)
    changes = assigned(differences(settings, mended.settings))
    if case.evidence.mode == "tune":
        trained = case.commands.train()
        command = f"{trained} --set {' --set '.join(changes)}" if trained else ""
    else:
        command = case.commands.with_settings(case.sibling("-repaired"), " --set ".join(changes))
    return Advice(what=said("advice.sick", changes=changes), because=because, command=command)


def sign_of(verdict: Verdict) -> str:
    """The health rule that looks for this trouble; empty without one."""
    if verdict.metric == GATE_MEAN:
        return "gate_never" if verdict.value < 0.5 else "gate_always"
    return SIGN.get(verdict.metric, "")


def told(verdict: Verdict) -> Said:
    """A verdict with its number and its threshold."""
    return said("advice.verdict", metric=verdict.metric, value=verdict.value, rule=verdict.rule)


def attempts(case: Case) -> Advice | None:
    """A train study without a healthy trial: what is left to repair."""
    results = case.evidence.results
    if case.evidence.mode != "train" or not results or any(one.state == "complete" for one in results):
        return None
    last = results[-1]
    settings = case.settings_of(last.values)
    counts = Counter(one.rule for one in results)
    because = said("advice.attempts_why", count=len(results), rules=counted(dict(counts.most_common())))
    found = repair(last.rule, settings, counts[last.rule]) if settings is not None else None
    if settings is None or found is None:
        what = said("advice.attempts_over", rule=last.rule)
        return Advice(what=what, because=because, command=case.commands.check())
    what = said("advice.attempts", changes=assigned(differences(settings, found.settings)))
    return Advice(what=what, because=because, command=case.commands.further(len(results) + 1))


# stops that were wrong


def wrong_stops(case: Case) -> Advice | None:
    """Doomed trials that ran on for the audit would have beaten the best."""
    found = audit(case.evidence.results, case.direction)
    if not found.beaten:
        return None
    doomed = next(one for one in case.trials if one.number == found.beaten[0])
    names = [named(number) for number in found.beaten]
    because = said("advice.wrong_why", names=names, wrong=len(names), audited=found.audited, kept=kept(found))
    if doomed.kind == "health":
        return lenient(case, doomed.rule, because)
    what = said("advice.wrong_pruner", pruner=looser(case, found))
    return Advice(what=what, because=because, command=begun(case, "-lenient", {}))


def kept(found: Audit) -> Said:
    """The share that a pruner had to keep, as far as it is known."""
    if found.keep is None:
        return said("advice.kept_unknown")
    return said("advice.kept", percent=percent(found.keep))


def percent(share: float) -> int:
    """A share in whole per cent that hold it."""
    return math.ceil(100 * share - 1e-9)


def lenient(case: Case, rule: str, because: Said) -> Advice:
    """A health rule that stopped a good trial gets twice the patience."""
    key, settings = LOOSENED.get(rule), case.settings
    if key is None or settings is None:
        return Advice(what=said("advice.wrong_rule_unknown", rule=rule), because=because)
    changes = {f"health.{key}": 2 * getattr(settings.health, key)}
    what = said("advice.wrong_rule", rule=rule, changes=assigned(changes))
    return Advice(what=what, because=because, command=begun(case, "-lenient", changes))


def looser(case: Case, found: Audit) -> str:
    """The pruner of the space file that would have kept the best, else one that compares later."""
    pruner = dict((case.evidence.space or {}).get("pruner", {}))
    name, keep = pruner.get("name", "asha"), found.keep
    if keep is not None and name in ("asha", "hyperband") and 2 <= int(1 / keep) < pruner.get("reduction_factor", 3):
        return f"{{name: {name}, reduction_factor: {int(1 / keep)}}}"
    share = {"median": 50.0, "percentile": pruner.get("percentile", 25.0)}.get(
        name, 100 / pruner.get("reduction_factor", 3)
    )
    if keep is not None and name != "patient" and share < percent(keep) < 100:
        return f"{{name: percentile, percentile: {percent(keep)}}}"
    if name == "patient":
        return f"{{name: patient, patience: {2 * pruner.get('patience', 2)}}}"
    warmup = later(pruner.get("warmup"), case.evidence.budget)
    return f"{{name: {name}, warmup: {warmup}}}" if warmup else "none"


def later(warmup: str | None, budget: str) -> str:
    """Twice a pruner's warm-up, a tenth of the budget when the space is silent; empty when no time would be left."""
    if not budget:
        return ""
    whole = Budget.parse(budget)
    first = Budget.parse(warmup) if warmup else Budget(math.ceil(whole.amount / 10), whole.unit)
    left = first.unit != whole.unit or 2 * first.amount < whole.amount
    return f"{2 * first.amount:.0f}{first.unit}" if left else ""

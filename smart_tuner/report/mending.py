"""Advice on what went wrong: trials that broke, trials that rules stopped, a sick best, stops that were wrong."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from smart_tuner.analysis.audit import audit
from smart_tuner.analysis.results import Result
from smart_tuner.health.rules import RULES, repair
from smart_tuner.paths import trial_name
from smart_tuner.progress import GATE_MEAN
from smart_tuner.report.case import OFF_DIAGONAL, Case, shift_range
from smart_tuner.report.commands import format_setting, list_assignments, set_more
from smart_tuner.report.evidence import BATCH
from smart_tuner.report.message import MISSING, Message
from smart_tuner.report.view import Advice, GuideVerdict
from smart_tuner.settings.settings import Settings, setting_of

OUT_OF_MEMORY = "OutOfMemoryError"
"""The class of the fault of a batch that the device has no memory for."""
FEW_STOPS = 3
"""Stops by one rule that make a pattern."""
LONGEST_FAULT = 200
"""Characters."""


def advise_smaller_batch(case: Case) -> Advice | None:
    """Batch sizes for which the memory did not suffice, and that no trial got through with."""
    fits = [int(run.batch) for run in case.evidence.runs if run.state == "complete" and run.batch]
    full = [int(run.batch) for run in case.failed if run.fault_kind == OUT_OF_MEMORY and run.batch]
    full = [size for size in full if size > max(fits, default=1)]  # of a single utterance there is no smaller batch
    if not full:
        return None
    smallest, most = min(full), str(max(fits)) if fits else MISSING
    because = Message(
        "Trials that ran out of GPU memory: {count}, from batch size {smallest} on; the largest batch that got "
        "through: {most}."
    ).fill(count=len(full), smallest=smallest, most=most)
    if BATCH not in case.parameters:
        half = smallest // 2
        what = Message("Take a smaller batch: hparams.batch_size={size}.", size=half)
        return Advice(what, because, case.begin_sibling("-smaller", {BATCH: half}))
    # another study, as Optuna lets nobody change the choices of one that has begun
    what = Message(
        "Leave hparams.batch_size from {smallest} on out of the space file, and begin a study that takes these trials "
        "over."
    )
    command = case.commands.another(case.sibling("-smaller"), **{"warm-start": case.evidence.name})
    return Advice(what.fill(smallest=smallest), because, command)


def advise_removing_fault(case: Case) -> Advice | None:
    """Trials that broke by something else, more than one or with nothing beside them."""
    broken = [run.fault for run in case.failed if run.fault_kind != OUT_OF_MEMORY]
    if not broken or (len(broken) == 1 and case.evidence.results):
        return None
    [(sentence, count)] = Counter(broken).most_common(1)
    because = Message("Trials that broke: {failed}. The most frequent fault ({count}): {sentence}")
    return Advice(
        Message("Put right what the trials broke by before going on; check the corpus first."),
        because.fill(failed=len(broken), count=count, sentence=sentence[:LONGEST_FAULT] or MISSING),
        case.commands.check(),
    )


# trials that a health rule stopped


def advise_repair(case: Case) -> Advice | None:
    """One health rule stopped at least half of the trials, or nothing healthy is left and it stopped most."""
    if case.evidence.mode != "tune":
        return None
    rules = Counter(trial.rule for trial in case.trials if trial.state == "stopped" and trial.kind == "health")
    if not rules:
        return None
    [(rule, count)] = rules.most_common(1)
    is_dominant = count >= FEW_STOPS and 2 * count >= len(case.trials)
    # attention off the diagonal speaks of the corpus: suspects.py says so
    if rule == OFF_DIAGONAL or not (is_dominant or case.best is None):
        return None
    because = Message("The health rule {rule} stopped {count} of {trials} trials; this is its first repair.")
    because = because.fill(rule=rule, count=count, trials=len(case.trials))
    settings = case.settings
    mended = repair(rule, settings.hparams, 1) if settings is not None else None
    if settings is None or mended is None:
        unknown = Message("No setting is known to help after {rule} here: look at the stopped trials and the corpus.")
        return Advice(unknown.fill(rule=rule), because, case.commands.check())
    changes = name_hparams(mended.changes)
    # the space overrules --set for what is searched over, so its ranges have to move instead
    fixed = {name: value for name, value in changes.items() if name not in case.parameters}
    moved = move_ranges(case, settings, {name: changes[name] for name in changes if name in case.parameters})
    what = Message("Change what the stops point to: {changes}.", changes=[*list_assignments(fixed), *moved])
    return Advice(what, because, case.begin_sibling("-repaired", fixed))


def name_hparams(changes: Mapping[str, Any]) -> dict[str, Any]:
    return {f"hparams.{name}": value for name, value in changes.items()}


def move_ranges(case: Case, settings: Settings, changes: Mapping[str, Any]) -> list[Message]:
    """What a repair asks of the settings that are searched over: their ranges move as the setting would."""
    sentences = []
    for name, after in sorted(changes.items()):
        parameter, before = case.parameters[name], setting_of(settings, name)
        if parameter.type == "categorical" or isinstance(after, bool | str) or not before:
            only = Message("{name} only as {value} in the space file")
            sentences.append(only.fill(name=name, value=format_setting(after)))
        else:
            sentences.append(Message("{name} ({range})", name=name, range=shift_range(parameter, after / before)))
    return sentences


def advise_larger_budget(case: Case) -> Advice | None:
    """Trials spent their budget, and none satisfies the constraints."""
    complete = [trial for trial in case.trials if trial.state == "complete" and not trial.feasible]
    if case.best is not None or not complete:
        return None
    reached = [find_nearest(constraint, complete) for constraint in case.evidence.constraints]
    nearest = [message for message in reached if message is not None]
    because = Message("No complete trial ({complete}) is within all constraints at once.")
    if nearest:
        because = Message("No complete trial ({complete}) is within the constraints: {nearest}.", nearest=nearest)
    what = Message("Give the trials a larger budget ({budget}), or loosen the constraint if it asks too much.")
    return Advice(
        what.fill(budget=case.twice or MISSING),
        because.fill(complete=len(complete)),
        case.commands.another(case.sibling("-longer"), budget=case.twice) if case.twice else "",
    )


def find_nearest(constraint: str, complete: Sequence[Result]) -> Message | None:
    """How near the nearest trial came to a constraint that none satisfied; None when one did, or none measured it."""
    metric, operator, limit = constraint.split()
    sign = 1.0 if operator == ">=" else -1.0
    known = [trial for trial in complete if math.isfinite(trial.metrics.get(metric, math.nan))]
    if not known:
        return None
    nearest = max(known, key=lambda trial: (sign * trial.metrics[metric], -trial.number))
    value = nearest.metrics[metric]
    if sign * value >= sign * float(limit):
        return None
    text = Message("{constraint}, the nearest came to {value:.4f} ({name})")
    return text.fill(constraint=constraint, value=value, name=trial_name(nearest.number))


def advise_mending_best(case: Case) -> Advice | None:
    """The best itself is sick by the guide in something that a setting may mend."""
    run = case.finalists.best
    judged = case.verdicts.get(run.name, ()) if run is not None else ()
    sick = [verdict for verdict in judged if verdict.grade == "sick"]
    if run is None or not sick:
        return None
    text = Message("{verdict.metric} {verdict.value:.4g} ({rule})")
    told = [text.fill(verdict=verdict, rule=verdict.rule) for verdict in sick]
    because = Message("{name}: {verdicts}.", name=run.name, verdicts=told)
    settings = case.settings_of(run.result.values if run.result is not None else {})
    rule = next((rule for verdict in sick if (rule := find_rule_of_sign(verdict))), "")
    mended = repair(rule, settings.hparams, 1) if settings is not None and rule else None
    if mended is None:
        look = Message("Look at {name} before using it: by the guide it is sick.", name=run.name)
        return Advice(look, because)
    changes = name_hparams(mended.changes)
    assignments = list_assignments(changes)
    command = (
        set_more(case.commands.train(), assignments)
        if case.evidence.mode == "tune"
        else case.begin_sibling("-repaired", changes)
    )
    what = Message("The best is not healthy yet: train it with {changes}.", changes=assignments)
    return Advice(what, because, command)


def find_rule_of_sign(verdict: GuideVerdict) -> str:
    """The health rule that looks for this trouble; empty without one."""
    if verdict.metric == GATE_MEAN:  # two rules look at it, one at each end
        return "gate_never" if verdict.value < 0.5 else "gate_always"
    return next((rule.name for rule in RULES.values() if verdict.metric in rule.signs), "")


def advise_next_attempt(case: Case) -> Advice | None:
    """A train study without a healthy trial: what is left to repair."""
    results = case.evidence.results
    if case.evidence.mode != "train" or not results or any(result.state == "complete" for result in results):
        return None
    rule, counts = results[-1].rule, Counter(result.rule for result in results)
    because = Message("No attempt ended healthy. Attempts: {count}; stopped by: {rules}.")
    because = because.fill(count=len(results), rules=[f"{name} {count}" for name, count in counts.most_common()])
    settings = case.settings_of(results[-1].values)
    mended = repair(rule, settings.hparams, counts[rule]) if settings is not None else None
    if mended is None:
        over = Message("No repair is left for {rule}: check the corpus, and compare some texts with their recordings.")
        return Advice(over.fill(rule=rule), because, case.commands.check())
    changes = list_assignments(name_hparams(mended.changes))
    what = Message("Let the next attempt run; it changes {changes}.", changes=changes)
    return Advice(what, because, case.commands.further(len(results) + 1))


# stops that were wrong


def advise_patience(case: Case) -> Advice | None:
    """Doomed trials that ran on for the audit would have beaten the best."""
    audited = audit(case.evidence.results, case.direction)
    if not audited.beaten:
        return None
    doomed = next(trial for trial in case.trials if trial.number == audited.beaten[0])
    names = [trial_name(number) for number in audited.beaten]
    because = Message("Of {audited} doomed trials that ran on, {wrong} would have beaten the best ({names}).")
    because = because.fill(names=names, wrong=len(names), audited=audited.audited)
    if doomed.kind == "health":
        return loosen_rule(case, doomed.rule, because)
    what = Message("Loosen the pruner in the space file: let it keep more trials, or compare later.")
    return Advice(what, because, case.begin_sibling("-lenient", {}))


def loosen_rule(case: Case, rule: str, because: Message) -> Advice:
    """A health rule that stopped a good trial gets twice the patience."""
    setting = RULES[rule].loosened_by if rule in RULES else ""
    if not setting or case.settings is None:
        return Advice(Message("Loosen the rule {rule}, which doomed a good trial.", rule=rule), because)
    changes = {f"health.{setting}": 2 * getattr(case.settings.health, setting)}
    changed = list_assignments(changes)
    what = Message("Give the rule {rule} more patience: {changes}.", rule=rule, changes=changed)
    return Advice(what, because, case.begin_sibling("-lenient", changes))

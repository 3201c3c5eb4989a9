"""A search in words: the lines at its end, the sentence and the table of its note."""

import math
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any

from smart_tuner.space.space import Objective
from smart_tuner.study.audit import Audit, audit
from smart_tuner.study.conclusions import (
    baseline_trial,
    best_trial,
    confirmation,
    cost,
    most_wrong,
    name,
    pareto,
    searched,
    winner,
)
from smart_tuner.study.results import Result

SCORE = "validation.alignment_score"
RERUNS = {"best": "rerun of the best", "baseline": "rerun of the baseline", "earlier": "rerun of an earlier best"}


def headline(results: Sequence[Result], objectives: Sequence[Objective]) -> str:
    """The search in a sentence or two, for the note of its run."""
    if len(objectives) > 1:
        return front_sentence(results, objectives)
    direction = objectives[0].direction
    if best_trial(results, direction) is None:
        return nothing_best(results)
    return f"Best: {best_sentence(results, objectives[0])} {gain_line(results, direction)[1]}"


def lines(
    results: Sequence[Result], objectives: Sequence[Objective], warnings: Sequence[str] = ()
) -> list[tuple[str, str]]:
    """Label and sentence of each line at the end of a search."""
    first, several = objectives[0], len(objectives) > 1
    said = [("Front", front_sentence(results, objectives))] if several else single(results, first)
    found = audit(results, first.direction)
    said.append(("Stopped", stopped_sentence(found)))
    if found.audited or any(rule.startswith("pruner") for rule in found.stopped):
        said += [("Audit", audit_sentence(found)), ("Rungs", rungs_sentence(found))]
    said.append(("Cost", cost_sentence(results)))
    return said + [("Warning", warning) for warning in warnings]


def single(results: Sequence[Result], objective: Objective) -> list[tuple[str, str]]:
    """What came out of a search with one objective."""
    given = winner(results, objective.direction)
    if given is None:
        return [("Best", nothing_best(results))]
    best, gain = ("Best", best_sentence(results, objective)), gain_line(results, objective.direction)
    return [best, gain, ("Winner", given.sentence)]


def nothing_best(results: Sequence[Result]) -> str:
    """Why there is no best trial."""
    trials = searched(results)
    if not trials:
        return "No trial has ended yet."
    complete = sum(result.state == "complete" for result in trials)
    return (
        f"No trial has ended healthy within the constraints: of {len(trials)}, {complete} complete, "
        f"{sum(result.state == 'stopped' for result in trials)} stopped."
    )


def best_sentence(results: Sequence[Result], objective: Objective) -> str:
    """The best trial, its numbers, and what it changes in the baseline."""
    best = best_trial(results, objective.direction)
    if best is None:
        return nothing_best(results)
    score = f", {SCORE} {best.metrics[SCORE]:.2f}" if SCORE in best.metrics and objective.metric != SCORE else ""
    own = baseline_trial(results)
    values = f" ({changed(best, own)})" if own is not None and changed(best, own) else ""
    return f"{name(best.number)}, {objective.metric} {number(best.loss)}{score}{values}."


def gain_line(results: Sequence[Result], direction: str) -> tuple[str, str]:
    """The gain over the baseline, or the noise that hides it."""
    found = confirmation(results, direction)
    if found is not None:
        return ("Gain" if found.verdict in ("better", "worse") else "Noise", found.sentence)
    best, own = best_trial(results, direction), baseline_trial(results)
    if best is not None and own is not None and best.values == own.values:
        return "Gain", "None: the best trial has the baseline's values."
    return "Gain", "Unknown: no rerun of the best with a new seed has ended."


def stopped_sentence(found: Audit) -> str:
    """How many trials were stopped, by which rules, and what that saved."""
    stopped = sum(found.stopped.values())
    if not stopped:
        return f"None of {found.trials} trial(s)."
    rules = ", ".join(f"{rule} {count}" for rule, count in found.stopped.items())
    saved = f"about {span(found.saved)} of training saved, {100 * found.share:.0f} % of the search"
    if found.unknown == stopped:
        saved = "the time saved is unknown"
    elif found.unknown:
        saved += f" (unknown for {found.unknown} of them)"
    return f"{stopped} of {found.trials} trial(s) ({rules}); {saved}."


def audit_sentence(found: Audit) -> str:
    """Whether the stops were right, as far as it was looked into."""
    if not found.audited:
        return "No doomed trial ran on, so whether the stops were right is unknown."
    wrong = len(found.beaten)
    which = f" ({', '.join(name(number) for number in found.beaten)})" if wrong else ""
    limit = math.ceil(100 * most_wrong(wrong, found.audited))
    return (
        f"{found.audited} doomed trial(s) ran on, for {span(found.spent)}; "
        f"{wrong} of them would have beaten the best{which}; so up to {limit} % of the stops may be wrong (95 % limit)."
    )


def rungs_sentence(found: Audit) -> str:
    """The pruner's threshold that would have been best."""
    if found.keep is None:
        return "Too few trials compared and trained to the end to say which share a pruner should keep."
    stood = ", ".join(f"{one.rank} of {one.number} at {one.utterances:,}" for one in found.standings)
    share = math.ceil(100 * found.keep - 1e-9)
    return f"The trial that ended best ranked {stood} utterances; keeping the best {share} % would have kept it."


def cost_sentence(results: Sequence[Result]) -> str:
    """The training time that went into the search and its reruns."""
    trials, reruns = searched(results), [result for result in results if result.confirms]
    text = f"{span(sum(one.seconds for one in trials))} of training in {len(trials)} trial(s)"
    return f"{text}, {span(sum(one.seconds for one in reruns))} in {len(reruns)} rerun(s)." if reruns else f"{text}."


def front(results: Sequence[Result], objectives: Sequence[Objective]) -> list[Result]:
    """The complete, feasible trials that no other beats in every objective, by the first objective."""
    ended = [result for result in searched(results) if result.state == "complete" and result.feasible]
    found = [ended[position] for position in pareto([result.metrics for result in ended], objectives)]
    first = objectives[0]
    return sorted(found, key=lambda result: (cost(result.metrics[first.metric], first.direction), result.number))


def front_sentence(results: Sequence[Result], objectives: Sequence[Objective]) -> str:
    """The Pareto front."""
    best = front(results, objectives)
    if not best:
        return nothing_best(results)
    listed = "; ".join(
        f"{name(one.number)} ({', '.join(f'{it.metric} {number(one.metrics[it.metric])}' for it in objectives)})"
        for one in best
    )
    return f"{len(best)} trial(s) that no other beats in every objective: {listed}."


def rows(
    results: Sequence[Result], objectives: Sequence[Objective], links: Mapping[int, str] | None = None
) -> list[dict[str, str]]:
    """The note's table: feasible trials, feasible reruns, then infeasible, audited, stopped ones; each best first."""
    own = baseline_trial(results)
    ordered = sorted(results, key=lambda result: place(result, objectives[0].direction))
    return [row(result, objectives, own, (links or {}).get(result.number, "")) for result in ordered]


def shortened(
    table: Sequence[dict[str, str]], characters: int, more: str = "and {number} more"
) -> list[dict[str, str]]:
    """The first rows that fit into so many characters of Markdown, and a row that says how many are left out."""
    heads = dict.fromkeys(table[0], "") if table else {}
    first = next(iter(heads), "")
    start = width({key: key for key in heads}) + width(dict.fromkeys(heads, "---"))
    ends = list(accumulate((width(one) for one in table), initial=start))[1:]
    if not ends or ends[-1] <= characters:
        return list(table)
    kept = sum(end <= characters - width(heads | {first: more.format(number=len(table))}) for end in ends)
    return [*table[:kept], heads | {first: more.format(number=len(table) - kept)}]


def width(row: Mapping[str, str]) -> int:
    """Characters of a row of a Markdown table, its line end among them."""
    return sum(len(cell) + 3 for cell in row.values()) + 2


def place(result: Result, direction: str) -> tuple[tuple[bool, ...], float, int]:
    """Where a trial stands in the table."""
    known = result.loss is not None and math.isfinite(result.loss)
    infeasible = result.state == "complete" and not result.feasible
    groups = (result.state == "stopped", result.state == "audited", infeasible, bool(result.confirms))
    value = cost(result.loss, direction) if known and result.loss is not None else math.inf
    return groups, value, result.number


def row(result: Result, objectives: Sequence[Objective], baseline: Result | None, link: str) -> dict[str, str]:
    """A trial's line in the note's table."""
    measured = {objective.metric: number(result.metrics.get(objective.metric)) for objective in objectives}
    if len(objectives) == 1:
        measured = {objectives[0].metric: number(result.loss)}
    cells = {
        "trial": f"[{name(result.number)}]({link})" if link else name(result.number),
        "origin": RERUNS.get(result.confirms, result.origin),
        "state": result.state,
        **measured,
        SCORE: number(result.metrics.get(SCORE)),
        "why": why(result),
        "changed": changed(result, baseline) if baseline is not None else listed_values(result.values),
    }
    return {key: cell.replace("|", "\\|") for key, cell in cells.items()}


def why(result: Result) -> str:
    """In short, why a trial is no candidate."""
    if result.state == "complete":
        return "" if result.feasible else "outside the constraints"
    share = f" at {100 * result.utterances / result.planned:.0f} % of the budget" if result.planned > 0 else ""
    rule = f"{result.kind}: {result.rule}"
    return f"{rule}{share}" if result.state == "stopped" else f"doomed by {rule}, ran on"


def changed(result: Result, baseline: Result) -> str:
    """The values that differ from the baseline's; one whose condition does not hold is no change."""
    return listed_values({key: value for key, value in result.values.items() if baseline.values.get(key) != value})


def listed_values(values: Mapping[str, Any]) -> str:
    """Values as --set takes them."""
    return ", ".join(f"{key}={plain(value)}" for key, value in values.items())


def plain(value: Any) -> str:
    """A value as YAML has it, floats in four digits."""
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.4g}" if isinstance(value, float) else "null" if value is None else str(value)


def number(value: float | None) -> str:
    """A measured number in four decimals; what is missing is said to be."""
    return "none" if value is None or not math.isfinite(value) else f"{value:.4f}"


def span(seconds: float) -> str:
    """A length of time in a fitting unit."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 3600 else f"{seconds / 3600:.1f} h"

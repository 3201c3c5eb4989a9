"""The answer in five lines: best, gain, health, cost, next; and whether the stops were right, and what they saved."""

import math
import re
import statistics
from collections.abc import Iterator, Sequence

from smart_tuner.analysis.audit import Audit, audit
from smart_tuner.analysis.conclusions import list_searched, most_wrong
from smart_tuner.analysis.ranking import format_assignments, format_changes, pareto_front
from smart_tuner.analysis.results import Result
from smart_tuner.paths import trial_name
from smart_tuner.progress import GATE_MEAN, SCORE
from smart_tuner.report.commands import parse_options
from smart_tuner.report.evidence import Archive, Evidence, Run
from smart_tuner.report.finalists import Finalists
from smart_tuner.report.gain import describe_gain
from smart_tuner.report.guide import worst_grade
from smart_tuner.report.message import Message, describe_span, format_metric, join_sentences, shorten_list
from smart_tuner.report.next_step import describe_next_step
from smart_tuner.report.view import Grade, GuideVerdict, Line, Verdicts

FRONT_SHOWN = 5
VITAL = (SCORE, GATE_MEAN)
"""Without these nobody can say that a voice speaks and stops."""
POWER = re.compile(r"system/(?:.+/)?gpu_\d+_power_usage_watts")
"""MLflow's name (mlflow/system_metrics/metrics/gpu_monitor.py), with the node's before the GPU's when it has one."""
MOST_READ = 200
"""Histories of power that are read: one takes some milliseconds."""
JOULES_IN_KWH = 3.6e6


def write_answer(evidence: Evidence, finalists: Finalists, verdicts: Verdicts, archive: Archive) -> tuple[Line, ...]:
    """The five lines; the archive holds what the GPU drew."""
    is_front = len(evidence.objectives) > 1
    link = finalists.best.link if finalists.best is not None and not is_front else ""
    is_training = evidence.mode == "train"
    return (
        Line(label=Message("Front" if is_front else "Best"), text=describe_best(evidence, finalists), link=link),
        Line(label=Message("Noise" if is_training else "Gain"), text=describe_gain(evidence)),
        Line(label=Message("Health"), text=describe_health(finalists, verdicts)),
        Line(label=Message("Cost"), text=describe_cost(evidence, archive)),
        Line(label=Message("Next"), text=describe_next_step(evidence, finalists, verdicts)),
    )


def describe_best(evidence: Evidence, finalists: Finalists) -> Message:
    """The best run with its numbers and what it changes; the front with several objectives."""
    if len(evidence.objectives) > 1:
        return describe_front(evidence)
    run = finalists.best
    if run is None:
        return explain_no_best(evidence)
    facts = {"name": run.name, "measured": list_measured(run, evidence)}
    if run.result is None:
        return Message("{name}: {measured}.", **facts)
    own = finalists.baseline.result if finalists.baseline is not None else None
    if own is None:
        values = format_assignments(run.result.values)
        return Message(
            "{name}: {measured}. Its values: {changed}." if values else "{name}: {measured}.", changed=values, **facts
        )
    changed = format_changes(run.result, own)
    if not changed:
        return Message("{name}: {measured}. It has the baseline's own values.", **facts)
    return Message("{name}: {measured}. It changes {changed}.", changed=changed, **facts)


def list_measured(run: Run, evidence: Evidence) -> list[str]:
    """A run's objectives, and its alignment_score where it is none of them."""
    names = [objective.metric for objective in evidence.objectives]
    measured = [f"{metric} {format_metric(run.measure(metric, evidence.objective))}" for metric in names]
    score = run.measure(SCORE, evidence.objective)
    return measured if SCORE in names or score is None else [*measured, f"{SCORE} {score:.2f}"]


def describe_front(evidence: Evidence) -> Message:
    runs = [evidence.run_of(result.number) for result in pareto_front(evidence.results, evidence.objectives)]
    if not runs:
        return explain_no_best(evidence)
    members = [Message("{name} ({measured})", name=run.name, measured=list_measured(run, evidence)) for run in runs]
    return Message(
        "Trials that no other beats in every objective: {count}. By the first objective: {members}.",
        count=len(members),
        members=shorten_list(members, FRONT_SHOWN),
    )


def explain_no_best(evidence: Evidence) -> Message:
    if evidence.mode == "runs":
        return Message("None: no run that came to its end has logged validation.loss.")
    states = [result.state for result in list_searched(evidence.results)]
    if not states:
        return Message("None: no trial has ended yet.")
    return Message(
        "None: no trial has ended healthy within the constraints (ended {trials}: complete {complete}, stopped "
        "{stopped}, audited {audited}).",
        trials=len(states),
        complete=states.count("complete"),
        stopped=states.count("stopped"),
        audited=states.count("audited"),
    )


def describe_health(finalists: Finalists, verdicts: Verdicts) -> Message:
    """What the guide says of the best."""
    run = finalists.best
    if run is None:
        return Message("There is no best trial to judge.")
    judged = verdicts.get(run.name, ())
    worst = worst_grade(judged)
    if worst is None:
        return Message("Unknown: {name} has no metric that the guide judges.", name=run.name)
    missing = [metric for metric in VITAL if metric not in {verdict.metric for verdict in judged}]
    healthy = Message("{name} is healthy by the guide: good in all metrics judged ({count}).")
    if missing:
        healthy = Message(
            "{name}: good in all metrics judged ({count}), but whether it is healthy is not known; not measured: "
            "{missing}."
        )
    heads = {
        "good": healthy,
        "watch": Message("{name} shows nothing sick by the guide: good in {good} of {count} metrics."),
        "sick": Message("{name} is not healthy by the guide: good in {good} of {count} metrics."),
    }
    good = sum(verdict.grade == "good" for verdict in judged)
    head = heads[worst].fill(name=run.name, count=len(judged), good=good, missing=missing)
    sick, watch = list_judged(judged, "sick"), list_judged(judged, "watch")
    return join_sentences(
        head,
        Message("Sick: {members}.", members=sick) if sick else None,
        Message("To watch: {members}.", members=watch) if watch else None,
        Message("Not measured: {missing}.", missing=missing) if missing and worst != "good" else None,
    )


def list_judged(judged: Sequence[GuideVerdict], grade: Grade) -> list[Message]:
    """The verdicts of one grade, each with its number and threshold."""
    text = Message("{verdict.metric} {verdict.value:.3g} ({rule})")
    members = [text.fill(verdict=verdict, rule=verdict.rule) for verdict in judged if verdict.grade == grade]
    return shorten_list(members)


def describe_cost(evidence: Evidence, archive: Archive) -> Message:
    """Training time, energy where a GPU told it, and what stopping early saved."""
    if evidence.mode == "runs":
        text = Message("Unknown: the time of runs without a study is not recorded (runs: {runs}).")
        return text.fill(runs=len(evidence.runs))
    trials, reruns = list_searched(evidence.results), [result for result in evidence.results if result.confirms]
    audited = audit(evidence.results, evidence.objective.direction)
    stopped = sum(audited.stopped.values())
    saving = Message("No trial was stopped early.")
    if stopped:
        saving = Message("Stopped early: {count}; {saved}.", count=stopped, saved=describe_saving(audited))
    time, more = Message("{span} of training ({trials})."), Message("{span} more for confirmation ({reruns}).")
    return join_sentences(
        time.fill(span=sum_time(trials), trials=count_timed(Message("trials: {count}"), trials)),
        more.fill(span=sum_time(reruns), reruns=count_timed(Message("reruns: {count}"), reruns)) if reruns else None,
        describe_energy(evidence, archive),
        saving,
    )


def sum_time(results: Sequence[Result]) -> Message:
    return describe_span(sum(result.seconds for result in results))


def count_timed(text: Message, results: Sequence[Result]) -> Message:
    """How many they are, and of how many the time is known: a past that another session trained is told without it."""
    known = sum(result.seconds > 0 or (result.state != "complete" and not result.utterances) for result in results)
    counted = text.fill(count=len(results))
    return counted if known == len(results) else Message("{counted}, known for {known}", counted=counted, known=known)


def describe_energy(evidence: Evidence, archive: Archive) -> Message | None:
    """Mean power times training time in kWh; None when no GPU told its power, or several trials shared one.

    MLflow samples the power of every GPU of the machine at even distances, without saying which one a trial computes
    on: a trial counts when it trained on a GPU and its run names exactly one.
    """
    if parse_options(evidence.command).get("per-gpu", "1") != "1":
        return None
    drawn = []
    for run, metric in list(find_powered(evidence))[:MOST_READ]:
        watts = [value for _, value in archive.history(run.run_id or "", metric)]
        if watts and run.result is not None:
            drawn.append(statistics.fmean(watts) * run.result.seconds / JOULES_IN_KWH)
    if not drawn:
        return None
    return Message(
        "{kwh:.3f} kWh by the GPU's mean power and the training time, known for {known} of {all}.",
        kwh=sum(drawn),
        known=len(drawn),
        all=len(evidence.results),
    )


def find_powered(evidence: Evidence) -> Iterator[tuple[Run, str]]:
    """The finished trials that trained on the only GPU their run names, with the metric of its power."""
    for run in evidence.runs:
        metrics = [name for name in run.metrics if POWER.fullmatch(name)]
        is_finished = run.result is not None and run.result.state != "failed" and run.result.seconds > 0
        if is_finished and len(metrics) == 1 and run.tags.get("device", "").startswith("cuda"):
            yield run, metrics[0]


# were the stops right


def list_audit(evidence: Evidence) -> tuple[Line, ...]:
    """What was stopped, whether that was right as far as it was looked into, and the threshold that would have been."""
    if evidence.mode == "runs":
        return ()
    audited = audit(evidence.results, evidence.objective.direction)
    reruns = sum(result.state == "stopped" and bool(result.confirms) for result in evidence.results)
    also = Message("Reruns stopped, which are not counted in this: {count}.", count=reruns) if reruns else None
    lines = [Line(label=Message("Stopped"), text=join_sentences(describe_stops(audited), also))]
    if audited.audited or any(rule.startswith("pruner") for rule in audited.stopped):
        lines.append(Line(label=Message("Audit"), text=describe_audited(audited)))
        lines.append(Line(label=Message("Comparisons"), text=describe_rungs(audited)))
    return tuple(lines)


def describe_stops(audited: Audit) -> Message:
    """How many trials were stopped, by which rules, and what that saved."""
    count = sum(audited.stopped.values())
    if not count:
        return Message("None of {trials} trials.", trials=audited.trials)
    return Message(
        "{count} of {trials} trials ({rules}); {saved}.",
        count=count,
        trials=audited.trials,
        rules=[f"{rule} {number}" for rule, number in audited.stopped.items()],
        saved=describe_saving(audited),
    )


def describe_saving(audited: Audit) -> Message:
    if audited.unknown == sum(audited.stopped.values()):
        return Message("the time saved is unknown" if audited.unknown else "nothing saved")
    saved = Message("about {span} of training saved, {percent:.0f} % of the search")
    if audited.unknown:
        saved = Message(
            "about {span} of training saved, {percent:.0f} % of the search (unknown for {unknown} of them)",
            unknown=audited.unknown,
        )
    return saved.fill(span=describe_span(audited.saved), percent=100 * audited.share)


def describe_audited(audited: Audit) -> Message:
    if not audited.audited:
        return Message("No doomed trial ran on, so whether the stops were right is unknown.")
    wrong = len(audited.beaten)
    verdict = Message(
        "Doomed trials that ran on: {audited.audited}, for {span}; {wrong} of them would have beaten the best; so up "
        "to {percent} % of the stops may be wrong (95 % limit).",
        audited=audited,
        span=describe_span(audited.spent),
        wrong=wrong,
        percent=math.ceil(100 * most_wrong(wrong, audited.audited)),
    )
    names = shorten_list([trial_name(number) for number in audited.beaten])
    return join_sentences(verdict, Message("Those were {names}.", names=names) if wrong else None)


def describe_rungs(audited: Audit) -> Message:
    """The share that a pruner had to keep to keep the best."""
    if audited.keep is None:
        return Message("Too few trials compared and trained to the end to say which share a pruner should keep.")
    text = Message("{stood.rank} of {stood.number} at {stood.utterances:,} utterances")
    return Message(
        "The trial that ended best ranked {stood}; keeping the best {percent} % would have kept it.",
        stood=[text.fill(stood=standing) for standing in audited.standings],
        percent=math.ceil(100 * audited.keep - 1e-9),  # 40 % as a float may be a hair above it
    )

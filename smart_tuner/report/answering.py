"""The answer in five lines, and what to type next."""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from smart_tuner import machine
from smart_tuner.health.history import SCORE
from smart_tuner.report.catalogue import Said, said
from smart_tuner.report.commands import Commands
from smart_tuner.report.energy import energy
from smart_tuner.report.evidence import Archive, Evidence, Run
from smart_tuner.report.finalists import Finalists
from smart_tuner.report.findings import standing
from smart_tuner.report.gain import gained, noise, reason, won
from smart_tuner.report.guide import RANK, overall
from smart_tuner.report.leaderboard import differing, measured
from smart_tuner.report.phrases import after, figure, line, listed, span
from smart_tuner.report.stopped import saved
from smart_tuner.report.view import Command, Line, Verdict
from smart_tuner.study.audit import audit
from smart_tuner.study.conclusions import name, searched, winner
from smart_tuner.study.results import Result
from smart_tuner.study.summary import front

ENOUGH_SEEDS = 3
FRONT_SHOWN = 5
FURTHER_TRIALS = 10
LEFT = ("sick", "no_better")
"""Ends of a search that leave its best for the baseline."""
UNFINISHED = ("running", "open", "interrupted", "failed")

Verdicts = Mapping[str, tuple[Verdict, ...]]


def answer(
    evidence: Evidence, finalists: Finalists, verdicts: Verdicts, archive: Archive | None = None
) -> tuple[Line, ...]:
    """Best, gain, health, cost, next; the energy only with an archive to read it from."""
    link = finalists.best.link if finalists.best is not None and len(evidence.objectives) == 1 else ""
    return (
        line("front" if len(evidence.objectives) > 1 else "best", best(evidence, finalists), link),
        line("noise" if evidence.mode == "train" else "gain", gain(evidence)),
        line("health", health(evidence, finalists, verdicts)),
        line("cost", cost_of_all(evidence, archive)),
        line("next", next_step(evidence, finalists, verdicts)),
    )


# best


def best(evidence: Evidence, finalists: Finalists) -> Said:
    """The best run with its numbers and what it changes; the front with several objectives."""
    if len(evidence.objectives) > 1:
        return best_front(evidence)
    run = finalists.best
    if run is None:
        return nothing_best(evidence)
    facts = {"name": run.name, "measured": numbers(run, evidence)}
    if run.result is None:
        return said("findings.best", **facts)
    own = finalists.baseline.result if finalists.baseline is not None else None
    changes = differing(run.result, own)
    if not changes:
        return said("findings.best" if own is None else "findings.best_own", **facts)
    return said("findings.best_values" if own is None else "findings.best_changed", changed=changes, **facts)


def numbers(run: Run, evidence: Evidence) -> list[str]:
    """A run's objectives, and its alignment_score where it is none of them."""
    names = [one.metric for one in evidence.objectives]
    found = [f"{metric} {figure(measured(run, metric, evidence.objectives))}" for metric in names]
    score = measured(run, SCORE, evidence.objectives)
    return found if SCORE in names or score is None else [*found, f"{SCORE} {score:.2f}"]


def best_front(evidence: Evidence) -> Said:
    """The trials that no other beats in every objective."""
    members = front(evidence.results, evidence.objectives)
    if not members:
        return nothing_best(evidence)
    shown = [
        said("findings.named", name=name(one.number), measured=numbers(evidence.run_of(one.number), evidence))
        for one in members
    ]
    return said("findings.front", count=len(members), members=listed(shown, FRONT_SHOWN))


def nothing_best(evidence: Evidence) -> Said:
    """Why there is no best."""
    if evidence.mode == "runs":
        return said("findings.none_measured")
    trials = searched(evidence.results)
    if not trials:
        return said("findings.none_ended")
    if any(unmeasured(result) for result in trials):
        return said("findings.none_known", trials=len(trials))
    states = [result.state for result in trials]
    return said(
        "findings.none_healthy",
        trials=len(trials),
        complete=states.count("complete"),
        stopped=states.count("stopped"),
        audited=states.count("audited"),
    )


def unmeasured(result: Result) -> bool:
    """Whether a trial ran to its end, and its objective was not kept: earlier versions did not."""
    return result.state == "complete" and result.feasible and result.loss is None


# gain


def gain(evidence: Evidence) -> Said:
    """Whether the best is more than luck, and what the study therefore gives to a training."""
    if evidence.mode == "runs":
        return said("findings.gain_runs")
    if evidence.mode == "train":
        return noise(evidence.results)
    if len(evidence.objectives) > 1:
        return said("findings.gain_several")
    direction = evidence.objectives[0].direction
    given = winner(evidence.results, direction)
    concluded = given is not None and given.number == evidence.winner
    return after(gained(evidence.results, direction), won(evidence.results, direction) if concluded else None)


# health


def health(evidence: Evidence, finalists: Finalists, verdicts: Verdicts) -> Said:
    """What the guide says of the best."""
    run = finalists.best
    if run is None:
        return said("findings.health_none")
    judged = verdicts.get(run.name, ())
    level = overall(judged)
    if level is None:
        return said("findings.health_unknown", name=run.name)
    if level == "good":
        return said("findings.health_good", name=run.name, count=len(judged))
    parts = [group(one, judged) for one in reversed(RANK) if one != "good"]
    good = sum(one.level == "good" for one in judged)
    shown = [one for one in parts if one is not None]
    return said(f"findings.health_{level}", name=run.name, parts=after(*shown), good=good, count=len(judged))


def group(level: str, judged: Sequence[Verdict]) -> Said | None:
    """The verdicts of one level, each with its number and threshold."""
    members = [
        said("findings.judged", metric=one.metric, value=f"{one.value:.3g}", rule=one.rule)
        for one in judged
        if one.level == level
    ]
    return said(f"findings.group_{level}", members=listed(members)) if members else None


# cost


def cost_of_all(evidence: Evidence, archive: Archive | None) -> Said:
    """Training time, energy where a GPU told it, and what stopping early saved."""
    if evidence.mode == "runs":
        return said("findings.cost_runs", runs=len(evidence.runs))
    trials = searched(evidence.results)
    reruns = [result for result in evidence.results if result.confirms]
    seconds = sum(one.seconds for one in trials)
    if trials and not seconds:
        return said("findings.cost_unknown", trials=len(trials))
    spent = said("findings.cost", span=span(seconds), trials=len(trials))
    again = said("findings.cost_reruns", span=span(sum(one.seconds for one in reruns)), reruns=len(reruns))
    found = audit(evidence.results, evidence.objectives[0].direction)
    worth = said("findings.cost_saved", count=sum(found.stopped.values()), saved=saved(found))
    return after(
        spent,
        again if reruns else None,
        drawn(evidence, archive),
        worth if found.stopped else said("findings.cost_unstopped"),
    )


def drawn(evidence: Evidence, archive: Archive | None) -> Said | None:
    """The energy, and of how many trials it is known."""
    found = energy(evidence, archive) if archive is not None else None
    return (
        None if found is None else said("findings.energy", kwh=found.kwh, known=found.trials, all=len(evidence.results))
    )


# next


def next_step(evidence: Evidence, finalists: Finalists, verdicts: Verdicts) -> Said:
    """What to do now, in a sentence."""
    if evidence.mode == "runs":
        return said("findings.next_runs")
    stands = standing(evidence)
    if stands in UNFINISHED or stands == "empty":
        return said(f"findings.next_{stands}")
    best = finalists.best
    if best is None:
        unknown = any(unmeasured(result) for result in evidence.results)
        return said(f"findings.next_{'unknown' if unknown else 'train_none' if evidence.mode == 'train' else 'none'}")
    if len(evidence.objectives) > 1:
        return said("findings.next_front")
    why = next_of_training(evidence) if evidence.mode == "train" else next_of_search(evidence)
    if why not in LEFT and overall(verdicts.get(best.name, ())) == "sick":
        return said("findings.next_unhealthy", name=best.name)
    return said(f"findings.next_{why}", name=best.name)


def next_of_search(evidence: Evidence) -> str:
    """What a finished search leads to."""
    return reason(evidence.results, evidence.objectives[0].direction)


def next_of_training(evidence: Evidence) -> str:
    """What a finished train study leads to."""
    complete = sum(result.state == "complete" for result in evidence.results)
    return "seeds" if complete < ENOUGH_SEEDS else "listen"


def commands(evidence: Evidence, finalists: Finalists, commands: Commands, archive: Archive) -> tuple[Command, ...]:
    """Train it fully, hear it, continue the search; only what can be typed."""
    known = [*training(evidence, commands), *hearing(evidence, finalists, archive), *continuing(evidence, commands)]
    return tuple(one for one in known if one.command)


def training(evidence: Evidence, commands: Commands) -> list[Command]:
    """Train the winner of a search at full length, or a train study's settings with more seeds."""
    if evidence.mode == "tune" and evidence.winner is not None:
        return [command(said("findings.command_train", name=name(evidence.winner)), commands.train())]
    if evidence.mode != "train" or standing(evidence) in UNFINISHED:
        return []
    trials = max(ENOUGH_SEEDS, len(evidence.results) + 1)
    return [command(said("findings.command_seeds", trials=trials), commands.train(trials=trials))]


def hearing(evidence: Evidence, finalists: Finalists, archive: Archive) -> list[Command]:
    """Play the best run's last synthesis."""
    run = finalists.best
    file = recording(run, evidence, archive) if run is not None else None
    if run is None or file is None:
        return []
    program = f"{machine.command('python3')} -m webbrowser {shlex.quote(file.resolve().as_uri())}"
    return [command(said("findings.command_hear", name=run.name), program)]


def recording(run: Run, evidence: Evidence, archive: Archive) -> Path | None:
    """The wav of a run's last synthesis: where training wrote it, else MLflow's copy."""
    own = Path(evidence.folder) / run.name / "audio" if evidence.folder and run.number is not None else None
    spoken = synthesised([str(path) for path in own.glob("*.wav")]) if own is not None else None
    if spoken is not None:
        return Path(spoken)
    logged = synthesised(archive.artefacts(run.run_id, "audio")) if run.run_id is not None else None
    return archive.artefact(run.run_id, logged) if run.run_id is not None and logged is not None else None


def synthesised(paths: Sequence[str]) -> str | None:
    """The last file of free-running synthesis: they are named <iteration>-free-running-<utterance>.wav."""
    steps = {path: Path(path).name.partition("-free-running-") for path in paths}
    found = {path: int(step) for path, (step, mark, _) in steps.items() if mark and step.isdecimal()}
    return max(sorted(found), key=lambda path: found[path], default=None)


def continuing(evidence: Evidence, commands: Commands) -> list[Command]:
    """Go on with what is not finished, or search on."""
    if evidence.mode == "runs":
        return []
    if standing(evidence) in (*UNFINISHED, "empty"):
        return [
            command(said("findings.command_continue"), evidence.command),
            command(said("findings.command_report"), commands.report()),
        ]
    if evidence.mode == "train":
        return []
    done = len(searched(evidence.results))
    trials = done + max(done, FURTHER_TRIALS)
    return [command(said("findings.command_further", trials=trials), commands.further(trials))]


def command(label: Said, text: str) -> Command:
    """A command with its label."""
    return Command(label=label, command=text)

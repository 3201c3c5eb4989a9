"""The answer in five lines, and what to type next."""

import shlex
from collections.abc import Sequence
from pathlib import Path

from smart_tuner import machine
from smart_tuner.health.history import GATE_MEAN, SCORE
from smart_tuner.report.catalogue import Said, said
from smart_tuner.report.commands import Commands
from smart_tuner.report.evidence import Archive, Evidence, Run
from smart_tuner.report.finalists import Finalists
from smart_tuner.report.judging.energy import energy
from smart_tuner.report.judging.gain import gained, noise, won
from smart_tuner.report.judging.guide import RANK, overall
from smart_tuner.report.judging.leaderboard import differing, measured
from smart_tuner.report.judging.steps import (
    ENOUGH_SEEDS,
    TO_CONFIRM,
    TO_TRAIN,
    UNFINISHED,
    Step,
    Verdicts,
    next_step,
    sick,
    step,
    unmeasured,
)
from smart_tuner.report.judging.stopped import saved
from smart_tuner.report.phrases import after, figure, line, listed, span
from smart_tuner.report.view import Command, Line, Verdict
from smart_tuner.study.audit import audit
from smart_tuner.study.conclusions import name, searched, winner
from smart_tuner.study.results import Result
from smart_tuner.study.summary import front

FRONT_SHOWN = 5
FURTHER_TRIALS = 10
VITAL = (SCORE, GATE_MEAN)
"""Without these nobody can say that a voice speaks and stops."""
COST = {
    "trials": ("findings.cost", "findings.cost_partly"),
    "reruns": ("findings.cost_reruns", "findings.cost_reruns_partly"),
}
"""What trials or reruns took, known of all of them or of some."""


def answer(evidence: Evidence, finalists: Finalists, verdicts: Verdicts, archive: Archive) -> tuple[Line, ...]:
    """Best, gain, health, cost, next; the archive holds what the GPU drew."""
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
    missing = [metric for metric in VITAL if metric not in {one.metric for one in judged}]
    if level == "good":
        key = "findings.health_partly" if missing else "findings.health_good"
        return said(key, name=run.name, count=len(judged), members=missing)
    parts = [group(one, judged) for one in reversed(RANK) if one != "good"]
    parts += [said("findings.not_judged", members=missing)] if missing else []
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


def cost_of_all(evidence: Evidence, archive: Archive) -> Said:
    """Training time, energy where a GPU told it, and what stopping early saved."""
    if evidence.mode == "runs":
        return said("findings.cost_runs", runs=len(evidence.runs))
    trials = searched(evidence.results)
    reruns = [result for result in evidence.results if result.confirms]
    if trials and not any(one.seconds for one in trials):
        return said("findings.cost_unknown", trials=len(trials))
    again = spent(reruns, "reruns") if reruns else None
    found = audit(evidence.results, evidence.objectives[0].direction)
    worth = said("findings.cost_saved", count=sum(found.stopped.values()), saved=saved(found))
    return after(
        spent(trials, "trials"),
        again,
        drawn(evidence, archive),
        worth if found.stopped else said("findings.cost_unstopped"),
    )


def spent(results: Sequence[Result], counted: str) -> Said:
    """Their training time, and of how many it is known: of a past that another session told it is not."""
    known = sum(one.seconds > 0 or (one.state != "complete" and not one.utterances) for one in results)
    facts = {"span": span(sum(one.seconds for one in results)), "known": known, counted: len(results)}
    return said(COST[counted][known < len(results)], **facts)


def drawn(evidence: Evidence, archive: Archive) -> Said | None:
    """The energy, and of how many trials it is known."""
    found = energy(evidence, archive)
    if found is None:
        return None
    return said("findings.energy", kwh=found.kwh, known=found.trials, all=len(evidence.results))


# what to type next


def commands(
    evidence: Evidence, finalists: Finalists, commands: Commands, archive: Archive, verdicts: Verdicts
) -> tuple[Command, ...]:
    """What the next step takes, hear the best, continue the search; only what can be typed."""
    found = step(evidence, finalists, verdicts)
    known = [
        *training(evidence, commands, found, verdicts),
        *confirming(evidence, commands, found),
        *hearing(evidence, finalists, archive),
        *speaking(evidence, finalists, commands, verdicts),
        *continuing(evidence, commands, found),
    ]
    return tuple(one for one in known if one.command)


def training(evidence: Evidence, commands: Commands, found: Step, verdicts: Verdicts) -> list[Command]:
    """Train the winner of a search at full length, or a train study's settings with more seeds; nothing sick."""
    if evidence.mode == "train" and found in ("seeds", "listen", "train_none"):
        trials = max(ENOUGH_SEEDS, len(evidence.results) + 1)
        return [command(said("findings.command_seeds", trials=trials), commands.train(trials=trials))]
    if found not in TO_TRAIN or evidence.winner is None or sick(name(evidence.winner), verdicts):
        return []
    return [command(said("findings.command_train", name=name(evidence.winner)), commands.train())]


def confirming(evidence: Evidence, commands: Commands, found: Step) -> list[Command]:
    """The same search once more, where its space asks for more reruns by then."""
    if found not in TO_CONFIRM:
        return []
    return [command(said("findings.command_confirm"), commands.further(len(searched(evidence.results))))]


def hearing(evidence: Evidence, finalists: Finalists, archive: Archive) -> list[Command]:
    """Play the best run's last synthesis."""
    run = finalists.best
    file = recording(run, evidence, archive) if run is not None else None
    if run is None or file is None:
        return []
    program = f"{machine.command('python3')} -m webbrowser {shlex.quote(file.resolve().as_uri())}"
    return [command(said("findings.command_hear", name=run.name), program)]


SENTENCES = {"en": "It is me, and I can say something new.", "ru": "Это я, и я могу сказать что-то новое."}
"""What a voice is asked to say, by language."""


def speaking(evidence: Evidence, finalists: Finalists, commands: Commands, verdicts: Verdicts) -> list[Command]:
    """Let the best voice say something else, in its language; not one that is sick."""
    run = finalists.winner or finalists.best
    if run is None or run.state != "complete" or sick(run.name, verdicts) or evidence.mode not in ("train", "tune"):
        return []
    sentence = SENTENCES.get(run.tags.get("dataset.language", ""), SENTENCES["en"])
    return [command(said("findings.command_speak", name=run.name), commands.hear(sentence))]


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


def continuing(evidence: Evidence, commands: Commands, found: Step) -> list[Command]:
    """Go on with what is not finished, or search on."""
    if found in UNFINISHED:
        return [
            command(said("findings.command_continue"), evidence.command),
            command(said("findings.command_report"), commands.report()),
        ]
    if evidence.mode != "tune" or found == "none":  # more of the same would be stopped by the same
        return []
    done = len(searched(evidence.results))
    trials = done + max(done, FURTHER_TRIALS)
    return [command(said("findings.command_further", trials=trials), commands.further(trials))]


def command(label: Said, text: str) -> Command:
    """A command with its label."""
    return Command(label=label, command=text)

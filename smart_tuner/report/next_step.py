"""The next step that a study leads to: the sentence and the commands of the answer both follow it."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from smart_tuner.analysis.conclusions import WinnerReason, confirmation, find_winner, list_searched
from smart_tuner.paths import StudyFolder, trial_name
from smart_tuner.report.commands import Commands
from smart_tuner.report.evidence import Archive, Evidence, Run
from smart_tuner.report.finalists import Finalists
from smart_tuner.report.findings import find_study_state
from smart_tuner.report.guide import worst_grade
from smart_tuner.report.message import Message
from smart_tuner.report.view import Command, Verdicts
from smart_tuner.tracking import machine

Unfinished = Literal["running", "open", "interrupted", "failed", "empty"]
NextStep = (
    Unfinished
    | WinnerReason
    | Literal["runs", "train_none", "none", "front", "sick_both", "unhealthy", "seeds", "listen"]
)

ENOUGH_SEEDS = 3
FURTHER_TRIALS = 10
UNFINISHED: tuple[Unfinished, ...] = ("running", "open", "interrupted", "failed", "empty")
LEFT: tuple[NextStep, ...] = ("sick", "sick_both", "worse", "no_better")
"""Ends of a search that leave its best for the baseline."""
TO_CONFIRM: tuple[NextStep, ...] = ("not_rerun", "few", "noise")
"""Those that more reruns would decide."""
TO_TRAIN: tuple[NextStep, ...] = ("own", "confirmed", "unmeasured", "noise", "sick", "worse", "no_better")
"""Those that leave a trial, the best or the baseline, to train at full length."""
SPOKEN = {"en": "It is me, and I can say something new.", "ru": "Это я, и я могу сказать что-то новое."}
"""What a voice is asked to say, by its language."""
NEXT: dict[NextStep, Message] = {
    "runs": Message("Report their study by its name to learn about gain and noise."),
    "empty": Message("Start it again with the same command; if trials failed, remove the cause first."),
    "running": Message("Let it go on, and write this report again when it has ended."),
    "open": Message("The same command goes on where it stands."),
    "interrupted": Message("The same command goes on where it was interrupted."),
    "failed": Message("Remove the cause of the failure; then the same command goes on."),
    "front": Message(
        "Choose from the front by what matters to you, and by ear; then train that trial's values at full length."
    ),
    "none": Message(
        "See below why trials were stopped or fell outside the constraints, and remove that cause before searching on."
    ),
    "own": Message(
        "Keep the settings as they are ({name}): the search found nothing better. Train them at full length, or search "
        "elsewhere."
    ),
    "not_rerun": Message(
        "Let {name} be rerun before you believe its lead: a space with confirm above 0 does that at the end of the "
        "search."
    ),
    "sick": Message(
        "Keep the baseline: {name} does not train healthy with every seed. Search on, or take a calmer value of what "
        "it changed."
    ),
    "sick_both": Message(
        "Neither {name} nor the baseline trains healthy with every seed: see below what stopped them, and remove that "
        "cause before searching on."
    ),
    "no_better": Message(
        "Keep the baseline: the lead of {name} did not repeat in its reruns. Search on, or widen the space."
    ),
    "worse": Message(
        "Keep the baseline: in its reruns {name} is worse, by more than the noise. Search on, or widen the space."
    ),
    "confirmed": Message("Train the values of {name} at full length, and listen."),
    "not_healthy": Message(
        "Treat {name} as a candidate only: its values do not always train healthy. Search near them."
    ),
    "unmeasured": Message(
        "Train the values of {name} at full length: the baseline itself does not train healthy here."
    ),
    "few": Message(
        "Rerun {name} and the baseline with more seeds: a higher confirm in the space, then the same command."
    ),
    "noise": Message(
        "Use the values of {name} if you like, they do not differ from the baseline beyond the noise; more reruns "
        "(confirm) or more trials would tell."
    ),
    "unhealthy": Message(
        "{name} leads, but is sick by the guide: remove the cause or give trials more data before you train it at full "
        "length."
    ),
    "train_none": Message(
        "See below why trials were stopped; further trials repair what can be repaired by settings, check the corpus "
        "for the rest."
    ),
    "seeds": Message("Train with more seeds ({enough} or more) to know how much of {name} is luck."),
    "listen": Message("Listen to {name}; to improve on it, search for hyperparameters (--mode tune)."),
}


def find_next_step(evidence: Evidence, finalists: Finalists, verdicts: Verdicts) -> NextStep:
    if evidence.mode == "runs":
        return "runs"
    unfinished = next((state for state in UNFINISHED if state == find_study_state(evidence)), None)
    if unfinished is not None:
        return unfinished
    if finalists.best is None:
        return "train_none" if evidence.mode == "train" else "none"
    if len(evidence.objectives) > 1:
        return "front"
    step = follow_training(evidence) if evidence.mode == "train" else follow_search(evidence)
    # a sick best matters no more once the baseline is what is left
    return "unhealthy" if step not in LEFT and is_sick(finalists.best.name, verdicts) else step


def follow_search(evidence: Evidence) -> NextStep:
    direction = evidence.objective.direction
    given, confirmed = find_winner(evidence.results, direction), confirmation(evidence.results, direction)
    if given is None:
        return "none"
    both = given.reason == "sick" and confirmed is not None and confirmed.baseline.sick > 0
    return "sick_both" if both else given.reason


def follow_training(evidence: Evidence) -> NextStep:
    complete = sum(result.state == "complete" for result in evidence.results)
    return "seeds" if complete < ENOUGH_SEEDS else "listen"


def is_sick(name: str, verdicts: Verdicts) -> bool:
    return worst_grade(verdicts.get(name, ())) == "sick"


def describe_next_step(evidence: Evidence, finalists: Finalists, verdicts: Verdicts) -> Message:
    step = find_next_step(evidence, finalists, verdicts)
    return NEXT[step].fill(name=finalists.best.name if finalists.best is not None else "", enough=ENOUGH_SEEDS)


# what to type


def list_commands(evidence: Evidence, finalists: Finalists, verdicts: Verdicts, archive: Archive) -> list[Command]:
    """What the next step takes, hear the best, continue the search; only what can be typed."""
    step, lines = find_next_step(evidence, finalists, verdicts), Commands(evidence)
    trials = len(list_searched(evidence.results))
    commands = offer_training(evidence, lines, step, verdicts)
    if step in TO_CONFIRM:
        label = Message("Rerun the best and the baseline with more seeds, after raising confirm in the space file")
        commands.append(Command(label=label, command=lines.further(trials)))
    commands += offer_hearing(evidence, finalists, archive)
    commands += offer_speaking(evidence, finalists, lines, verdicts)
    if step in UNFINISHED:
        commands.append(Command(label=Message("Continue the study"), command=evidence.command))
        commands.append(Command(label=Message("Write this report again"), command=lines.report()))
    elif evidence.mode == "tune" and step != "none":  # more of the same would be stopped by the same
        more = trials + max(trials, FURTHER_TRIALS)
        label = Message("Continue the search, up to {trials} trials in all", trials=more)
        commands.append(Command(label=label, command=lines.further(more)))
    return [command for command in commands if command.command]


def offer_training(evidence: Evidence, lines: Commands, step: NextStep, verdicts: Verdicts) -> list[Command]:
    """Train the winner of a search at full length, or a train study's settings with more seeds; nothing sick."""
    if evidence.mode == "train" and step in ("seeds", "listen", "train_none"):
        trials = max(ENOUGH_SEEDS, len(evidence.results) + 1)
        label = Message("Train with more seeds, up to {trials} trials in all", trials=trials)
        return [Command(label=label, command=lines.train(trials=trials))]
    if step not in TO_TRAIN or evidence.winner is None or is_sick(trial_name(evidence.winner), verdicts):
        return []
    label = Message("Train {name} at full length", name=trial_name(evidence.winner))
    return [Command(label=label, command=lines.train())]


def offer_hearing(evidence: Evidence, finalists: Finalists, archive: Archive) -> list[Command]:
    run = finalists.best
    file = find_recording(run, evidence, archive) if run is not None else None
    if run is None or file is None:
        return []
    program = f"{machine.find_command('python3')} -m webbrowser {shlex.quote(file.resolve().as_uri())}"
    return [Command(label=Message("Hear {name}", name=run.name), command=program)]


def offer_speaking(evidence: Evidence, finalists: Finalists, lines: Commands, verdicts: Verdicts) -> list[Command]:
    """Let the best voice say something else, in its language; not one that is sick."""
    run = finalists.winner or finalists.best
    if run is None or run.state != "complete" or is_sick(run.name, verdicts) or evidence.mode == "runs":
        return []
    text = SPOKEN.get(run.tags.get("dataset.language", ""), SPOKEN["en"])
    return [Command(label=Message("Let {name} say words of your own", name=run.name), command=lines.hear(text))]


def find_recording(run: Run, evidence: Evidence, archive: Archive) -> Path | None:
    """The wav of a run's last synthesis: where training wrote it, else MLflow's copy."""
    if evidence.folder and run.number is not None:
        folder = StudyFolder(Path(evidence.folder)).trial(run.number).audio
        own = find_last_synthesis([str(path) for path in folder.glob("*.wav")])
        if own is not None:
            return Path(own)
    logged = find_last_synthesis(archive.artefacts(run.run_id, "audio")) if run.run_id is not None else None
    return archive.artefact(run.run_id, logged) if run.run_id is not None and logged is not None else None


def find_last_synthesis(paths: Sequence[str]) -> str | None:
    """The last file of free-running synthesis: they are named <iteration>-free-running-<utterance>.wav."""
    parts = {path: Path(path).name.partition("-free-running-") for path in paths}
    steps = {path: int(step) for path, (step, mark, _) in parts.items() if mark and step.isdecimal()}
    return max(sorted(steps), key=lambda path: steps[path], default=None)

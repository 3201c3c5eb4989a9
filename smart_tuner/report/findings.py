"""A study as a whole: what it is, how far it has come, what is missing, and what it takes to repeat it."""

from collections.abc import Iterable
from datetime import datetime
from typing import Literal

from smart_tuner.analysis.conclusions import find_winner, list_searched
from smart_tuner.paths import trial_name
from smart_tuner.report.evidence import Evidence, Run
from smart_tuner.report.message import Message, shorten_list
from smart_tuner.report.view import Line

StudyState = Literal["runs", "empty", "running", "open", "interrupted", "failed", "finished", "unknown"]
KINDS = {
    "tune": Message("Search for hyperparameters; objective: {objectives}"),
    "train": Message("Training with given settings; objective: {objectives}"),
    "runs": Message("Runs chosen in MLflow; compared by {objectives}"),
}
STATUS: dict[StudyState, Message] = {
    "runs": Message("Chosen: {tally}."),
    "empty": Message("Nothing has finished yet: {tally}."),
    "running": Message("Running: {tally}."),
    "open": Message("Not finished: {tally}."),
    "interrupted": Message("Interrupted: {tally}."),
    "failed": Message("Ended by a failure: {tally}."),
    "finished": Message("Finished: {tally}."),
    "unknown": Message("No trial is open; whether more were planned is not known: {tally}."),
}
GOALS = {
    "minimize": Message("{metric}, lower is better"),
    "maximize": Message("{metric}, higher is better"),
}
FAILURES_SHOWN = 3


def describe_kind(evidence: Evidence) -> Message:
    return KINDS[evidence.mode].fill(objectives=list_goals(evidence))


def find_study_state(evidence: Evidence) -> StudyState:
    """How far it has come, as both stores tell."""
    if evidence.mode == "runs":
        return "runs"
    if evidence.parent_status == "RUNNING":
        return "running"
    if not evidence.results and not evidence.running:
        return "empty"
    if evidence.parent_status in ("KILLED", "FAILED"):
        return "interrupted" if evidence.parent_status == "KILLED" else "failed"
    if evidence.running:
        return "open"
    # without its run in MLflow only a search's winner, which is kept at its end, shows that a study was done
    return "finished" if evidence.parent_status == "FINISHED" or evidence.winner is not None else "unknown"


def describe_status(evidence: Evidence) -> Message:
    return STATUS[find_study_state(evidence)].fill(tally=count_trials(evidence))


def count_trials(evidence: Evidence) -> list[Message]:
    trials = len(list_searched(evidence.results)) if evidence.mode != "runs" else len(evidence.runs)
    others = [
        (Message("reruns {count}"), len(evidence.results) - len(list_searched(evidence.results))),
        (Message("failed {count}"), sum(run.state == "failed" for run in evidence.runs)),
        (Message("open {count}"), evidence.running),
    ]
    return [Message("trials {count}", count=trials), *(text.fill(count=count) for text, count in others if count)]


def list_notices(evidence: Evidence) -> tuple[Message, ...]:
    """What is missing or stands in the way of a plain reading."""
    if evidence.mode == "runs":
        chosen = Message(
            "These runs were chosen by a filter, without their study: there is no baseline, no rerun and no winner, "
            "so a lead may be luck."
        )
        unfinished = Message("Not finished, so their numbers may change: {count}.", count=evidence.running)
        return (chosen, *([unfinished] if evidence.running else []), *notice_odd_runs(evidence))
    unknown = Message("How the study was started was not recorded, so the commands to continue it are missing.")
    notices = [*notice_changes(evidence), *notice_gaps(evidence), *notice_odd_runs(evidence)]
    return tuple(notices if evidence.command else [*notices, unknown])


def notice_changes(evidence: Evidence) -> list[Message]:
    running = Message(
        "By MLflow the study is running, so what is said here may change. After a power cut or a kill it looks the "
        "same: then the same command goes on."
    )
    notices = [running] if find_study_state(evidence) == "running" else []
    given = find_winner(evidence.results, evidence.objective.direction) if len(evidence.objectives) == 1 else None
    if evidence.winner is None or given is None or given.number == evidence.winner:
        return notices
    overtaken = Message(
        "--from-study still gives {before}, as concluded before the last trials; when the study ends again it will "
        "give {now}.",
        before=trial_name(evidence.winner),
        now=trial_name(given.number),
    )
    return [*notices, overtaken]


def notice_gaps(evidence: Evidence) -> list[Message]:
    """What MLflow does not have."""
    trials = [run for run in evidence.runs if run.number is not None]
    if evidence.gone and len(evidence.gone) == len(trials):
        return [
            Message(
                "MLflow has no run of this study. The numbers come from the study's own storage; curves, plots, audio "
                "and links are missing."
            )
        ]
    gone = Message(
        "MLflow has no run of {names} (deleted, or never made). Their numbers come from the study's own storage; their "
        "curves, plots, audio and links are missing.",
        names=shorten_list(evidence.gone),
    )
    no_parent = Message("MLflow has no run of the study itself.")
    return [*([gone] if evidence.gone else []), *([no_parent] if evidence.parent_id is None else [])]


def notice_odd_runs(evidence: Evidence) -> list[Message]:
    """Runs that a reader may wonder about."""
    failed = [run for run in evidence.runs if run.state == "failed"]
    notices = [
        (
            Message("Failed, and not counted: {names}."),
            shorten_list([f"{run.name} ({run.fault})" if run.fault else run.name for run in failed], FAILURES_SHOWN),
        ),
        (
            Message("Logged beside the trials by hand, and shown without being compared: {names}."),
            shorten_list([run.name for run in evidence.runs if run.number is None and evidence.mode != "runs"]),
        ),
        (
            Message("In MLflow, but unknown to the study's storage, and not compared: {names}."),
            shorten_list([run.name for run in evidence.runs if run.number is not None and is_orphan(run)]),
        ),
    ]
    return [text.fill(names=names) for text, names in notices if names]


def is_orphan(run: Run) -> bool:
    """Whether MLflow has a trial that the study's storage knows neither as ended nor as open."""
    return run.result is None and run.state not in ("running", "interrupted", "failed")


# what it takes to repeat it


def list_reproduction(evidence: Evidence) -> tuple[Line, ...]:
    """What the study was made with; only what is known."""
    commits = list_commits(evidence.runs)
    lines = [
        Line(label=Message("Command"), text=evidence.command),
        Line(label=Message("Corpus digest"), text=evidence.corpus),
        Line(label=Message("Budget of a trial"), text=evidence.budget),
        Line(label=Message("Objective"), text=Message("{items}", items=list_goals(evidence))),
        Line(label=Message("Constraints"), text=", ".join(evidence.constraints)),
        Line(label=Message("Seeds"), text=describe_seeds(evidence), always_differs=True),
        Line(label=Message("Versions"), text=", ".join(list_versions(evidence.runs))),
        Line(label=Message("Git commit"), text=Message("{items}", items=commits) if commits else ""),
        Line(label=Message("Device"), text=join_tags(evidence, "device")),
        Line(label=Message("Precision"), text=join_tags(evidence, "precision")),
        Line(label=Message("Recogniser is no judge"), text=join_tags(evidence, "recogniser.no_judge")),
        Line(label=Message("Machine"), text=join_tags(evidence, "host")),
        Line(label=Message("Began"), text=format_date(evidence.began), always_differs=True),
        Line(label=Message("Last trial ended"), text=format_date(evidence.ended), always_differs=True),
        Line(label=Message("Files"), text=evidence.folder, always_differs=True),
    ]
    return tuple(line for line in lines if line.text)


def list_goals(evidence: Evidence) -> list[Message]:
    return [GOALS[objective.direction].fill(metric=objective.metric) for objective in evidence.objectives]


def find_distinct(values: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(value for value in values if value))


def join_tags(evidence: Evidence, tag: str) -> str:
    """What the runs say under a tag, each text once."""
    return ", ".join(find_distinct(run.tags.get(tag, "") for run in evidence.runs))


def describe_seeds(evidence: Evidence) -> str:
    """The trials' seeds, neighbours as a range."""
    logged = [run.tags.get("seed", "") for run in evidence.runs if run.result is None]
    own = [run.result.seed for run in evidence.runs if run.result is not None]
    ranges: list[list[int]] = []
    for seed in sorted({*own, *(int(text) for text in logged if text.isdecimal())}):
        if ranges and seed == ranges[-1][-1] + 1:
            ranges[-1] = [ranges[-1][0], seed]
        else:
            ranges.append([seed])
    return ", ".join("–".join(map(str, ends)) for ends in ranges)


def list_versions(runs: Iterable[Run]) -> list[str]:
    """Package and version; several versions when the trials differ."""
    prefix = "version."
    versions: dict[str, list[str]] = {}
    for run in runs:
        for tag, version in run.tags.items():
            if tag.startswith(prefix) and version not in versions.setdefault(tag.removeprefix(prefix), []):
                versions[tag.removeprefix(prefix)].append(version)
    return [f"{package} {' / '.join(known)}" for package, known in sorted(versions.items())]


def list_commits(runs: Iterable[Run]) -> list[Message | str]:
    """Commits of this code; the tracker writes a + behind one whose files were changed."""
    commits = find_distinct(run.tags.get("mlflow.source.git.commit", "") for run in runs)
    return [
        Message("{commit} with files changed", commit=commit[:-1]) if commit.endswith("+") else commit
        for commit in commits
    ]


def format_date(time: datetime | None) -> str:
    """To the minute, with its zone's offset."""
    return time.strftime("%Y-%m-%d %H:%M %z").strip() if time is not None else ""

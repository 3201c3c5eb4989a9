"""A study as a whole: what it is, how far it has come, what is missing, and what it takes to repeat it."""

from collections.abc import Iterable
from datetime import datetime
from typing import Literal

from smart_tuner.report.catalogue import Said, said
from smart_tuner.report.evidence import Evidence, Run
from smart_tuner.report.phrases import line, listed
from smart_tuner.report.view import Line
from smart_tuner.study.conclusions import name, searched, winner
from smart_tuner.study.results import Result

Standing = Literal["runs", "empty", "running", "open", "interrupted", "failed", "finished", "unknown"]


def kind(evidence: Evidence) -> Said:
    """What was studied."""
    return said(f"findings.kind_{evidence.mode}", objectives=goals(evidence))


def standing(evidence: Evidence) -> Standing:
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
    return "finished" if evidence.parent_status == "FINISHED" or evidence.winner is not None else "unknown"


def status(evidence: Evidence) -> Said:
    """How far it has come, in words."""
    return said(f"findings.status_{standing(evidence)}", tally=tally(evidence))


def tally(evidence: Evidence) -> list[Said]:
    """How many trials there are of each sort."""
    trials = len(searched(evidence.results)) if evidence.mode != "runs" else len(evidence.runs)
    others = {
        "reruns": len(evidence.results) - len(searched(evidence.results)),
        "failed": sum(run.state == "failed" for run in evidence.runs),
        "open": evidence.running,
    }
    counts = {"trials": trials} | {sort: count for sort, count in others.items() if count}
    return [said(f"findings.count_{sort}", count=count) for sort, count in counts.items()]


def notices(evidence: Evidence) -> tuple[Said, ...]:
    """What is missing or stands in the way of a plain reading."""
    found = [*running_notices(evidence), *store_notices(evidence), *run_notices(evidence)]
    if evidence.mode == "runs":
        return (said("findings.notice_runs"), *found)
    return tuple(found if evidence.command else [*found, said("findings.notice_command")])


def running_notices(evidence: Evidence) -> list[Said]:
    """What may still change."""
    if evidence.mode == "runs":
        return [said("findings.notice_open_runs", count=evidence.running)] if evidence.running else []
    found = [said("findings.notice_running")] if standing(evidence) == "running" else []
    given = winner(evidence.results, evidence.objectives[0].direction) if len(evidence.objectives) == 1 else None
    if evidence.winner is not None and given is not None and given.number != evidence.winner:
        found.append(said("findings.notice_winner", before=name(evidence.winner), now=name(given.number)))
    return found


def store_notices(evidence: Evidence) -> list[Said]:
    """What MLflow does not have."""
    if evidence.mode == "runs":
        return []
    trials = [run for run in evidence.runs if run.number is not None]
    if evidence.gone and len(evidence.gone) == len(trials):
        return [said("findings.notice_all_gone")]
    found = [said("findings.notice_gone", names=listed(evidence.gone))] if evidence.gone else []
    return found if evidence.parent_id is not None else [*found, said("findings.notice_parent")]


def run_notices(evidence: Evidence) -> list[Said]:
    """Runs that a reader may wonder about."""
    failed = [run for run in evidence.runs if run.state == "failed"]
    foreign = [run.name for run in evidence.runs if run.number is None] if evidence.mode != "runs" else []
    unknown = [run.name for run in evidence.runs if run.number is not None and orphan(run)]
    found = [said("findings.notice_failed", names=listed([named(run) for run in failed], 3))] if failed else []
    found += [said("findings.notice_by_hand", names=listed(foreign))] if foreign else []
    found += [said("findings.notice_unknown", names=listed(unknown))] if unknown else []
    over = [overspent(result) for result in evidence.results if result.utterances > result.planned > 0]
    return found + ([said("findings.notice_over", names=listed(over))] if over else [])


def overspent(result: Result) -> Said:
    """A trial that saw more than its budget holds."""
    facts = {"utterances": result.utterances, "planned": result.planned}
    return said("findings.over", name=name(result.number), **facts)


def orphan(run: Run) -> bool:
    """Whether MLflow has a trial that the study's storage knows neither as ended nor as open."""
    return run.result is None and run.state not in ("running", "interrupted", "failed")


def named(run: Run) -> str:
    """A failed trial and why."""
    return f"{run.name} ({fault(run)})" if fault(run) else run.name


def fault(run: Run) -> str:
    """The first line of what failed; empty when that is not known."""
    reason = run.result.reason if run.result is not None and run.result.reason else run.tags.get("error", "")
    return next(iter(reason.splitlines()), "")


# what it takes to repeat it


def reproduction(evidence: Evidence) -> tuple[Line, ...]:
    """What the study was made with; only what is known."""
    known: list[tuple[str, Said | str]] = [
        ("command", evidence.command),
        ("corpus", evidence.corpus),
        ("budget", evidence.budget),
        ("objective", said("findings.list", items=goals(evidence))),
        ("constraints", ", ".join(evidence.constraints)),
        ("seeds", seeds(evidence)),
        ("versions", ", ".join(versions(evidence.runs))),
        ("git", said("findings.list", items=commits(evidence.runs)) if commits(evidence.runs) else ""),
        ("device", ", ".join(distinct(run.tags.get("device", "") for run in evidence.runs))),
        ("precision", ", ".join(distinct(run.tags.get("precision", "") for run in evidence.runs))),
        ("host", ", ".join(distinct(run.tags.get("host", "") for run in evidence.runs))),
        ("began", moment(evidence.began)),
        ("ended", moment(evidence.ended)),
        ("folder", evidence.folder),
    ]
    return tuple(line(label, text) for label, text in known if text)


def goals(evidence: Evidence) -> list[Said]:
    """The objectives in words."""
    return [said(f"findings.{one.direction}", metric=one.metric) for one in evidence.objectives]


def distinct(values: Iterable[str]) -> list[str]:
    """Each value once, in order, without empty ones."""
    return list(dict.fromkeys(value for value in values if value))


def seeds(evidence: Evidence) -> str:
    """The trials' seeds, neighbours as a range."""
    logged = [run.tags.get("seed", "") for run in evidence.runs if run.result is None]
    own = [run.result.seed for run in evidence.runs if run.result is not None]
    known = sorted({*own, *(int(one) for one in logged if one.isdecimal())})
    ranges: list[list[int]] = []
    for seed in known:
        if ranges and seed == ranges[-1][-1] + 1:
            ranges[-1] = [ranges[-1][0], seed]
        else:
            ranges.append([seed])
    return ", ".join("–".join(str(one) for one in limits) for limits in ranges)


def versions(runs: Iterable[Run]) -> list[str]:
    """Package and version; several versions when the trials differ."""
    prefix = "version."
    found: dict[str, list[str]] = {}
    for run in runs:
        for key, value in run.tags.items():
            if key.startswith(prefix) and value not in found.setdefault(key.removeprefix(prefix), []):
                found[key.removeprefix(prefix)].append(value)
    return [f"{package} {' / '.join(values)}" for package, values in sorted(found.items())]


def commits(runs: Iterable[Run]) -> list[Said | str]:
    """Commits of this code; one whose files were changed is said to be."""
    known = distinct(run.tags.get("mlflow.source.git.commit", "") for run in runs)
    return [said("findings.dirty", commit=one[:-1]) if one.endswith("+") else one for one in known]


def moment(time: datetime | None) -> str:
    """A time to the minute with its zone's offset."""
    return time.strftime("%Y-%m-%d %H:%M %z").strip() if time is not None else ""

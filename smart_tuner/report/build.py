"""A report's view, put together from the evidence."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from smart_tuner import documents
from smart_tuner.report import listening
from smart_tuner.report.advising import advice
from smart_tuner.report.catalogue import Catalogue, Said, said
from smart_tuner.report.commands import Commands
from smart_tuner.report.drawing import matters, runs
from smart_tuner.report.evidence import Archive, Evidence, Points
from smart_tuner.report.finalists import Finalists, finalists, judged
from smart_tuner.report.judging import answering, findings, guide, leaderboard, stopped
from smart_tuner.report.view import Picture, View
from smart_tuner.study.importance import importance

UTTERANCES = "validation/utterances.json"
"""Artefact of a trial: what each validation utterance came to."""
LOSS = "validation.loss"
TERMS = ("dataset.digest", "hparams.budget", "hparams.reduction_factor")
"""Losses of runs that differ in these, or in speech.*, do not compare."""


def view(evidence: Evidence, archive: Archive, catalogue: Catalogue) -> View:
    """All that a report shows of a study."""
    chosen, commands = finalists(evidence), Commands(evidence)
    series = runs.series(evidence, chosen, archive)
    verdicts = {run.name: guide.verdicts(run, series.get(run.name, {})) for run in evidence.runs}
    pictures, (listed, broken) = runs.pictures(chosen, archive), utterances(chosen, archive)
    weighed = importance(judged(evidence), evidence.space or {}, evidence.objectives[0].direction)
    return View(
        title=evidence.name,
        kind=findings.kind(evidence),
        status=findings.status(evidence),
        notices=(*findings.notices(evidence), *mixed(evidence), *without(pictures, chosen), *broken),
        answer=answering.answer(evidence, chosen, verdicts, archive),
        commands=answering.commands(evidence, chosen, commands, archive, verdicts),
        columns=leaderboard.columns(evidence),
        rows=leaderboard.rows(evidence, chosen, verdicts),
        stops=stopped.stops(evidence, archive),
        audit=stopped.audit_lines(evidence),
        importance=advice.importance_lines(weighed, evidence.space or {}),
        matters=matters.matters(evidence, weighed, catalogue),
        curves=runs.curves(evidence, chosen, archive, catalogue),
        pictures=pictures,
        listening=listening.listening(chosen, archive, evidence),
        advice=advice.advice(evidence, chosen, weighed, verdicts, commands, listed, losses(chosen, archive)),
        reproduction=findings.reproduction(evidence),
        settings=evidence.settings,
        space=documents.dump(dict(evidence.space)) if evidence.space else "",
    )


def losses(chosen: Finalists, archive: Archive) -> dict[str, Points]:
    """How the best's validation.loss fell, by the run's name."""
    run = chosen.best
    return {run.name: archive.history(run.run_id, LOSS)} if run is not None and run.run_id is not None else {}


def without(pictures: Sequence[Picture], chosen: Finalists) -> tuple[Said, ...]:
    """A notice when runs are there and their plots are not."""
    runs = [run for run in (chosen.best, chosen.worst) if run is not None and run.run_id is not None]
    return (said("mode.no_plots", names=[run.name for run in runs]),) if runs and not pictures else ()


def mixed(evidence: Evidence) -> tuple[Said, ...]:
    """A notice when runs that somebody chose were not trained on the same terms."""
    if evidence.mode != "runs":
        return ()
    facts = [{**run.params, "dataset.digest": run.tags.get("dataset.digest", "")} for run in evidence.runs]
    names = sorted({name for one in facts for name in one if name.startswith("speech.") or name in TERMS})
    differ = [name for name in names if len({one.get(name, "") for one in facts}) > 1]
    return (said("mode.mixed", names=differ),) if differ else ()


def utterances(chosen: Finalists, archive: Archive) -> tuple[dict[str, list[Mapping[str, Any]]], tuple[Said, ...]]:
    """What each finalist's validation utterances came to, by the run's name, and which files are broken.

    Runs without such a file, which earlier versions did not make, are left out.
    """
    found, broken = dict[str, list[Mapping[str, Any]]](), list[Said]()
    for run in chosen.heard:
        file = archive.artefact(run.run_id, UTTERANCES) if run.run_id is not None else None
        if file is None:
            continue
        try:
            found[run.name] = json.loads(file.read_text(encoding="utf-8"))
        except ValueError as problem:
            broken.append(said("mode.unread", reason=f"{run.name}, {UTTERANCES}: {problem}"))
    return found, tuple(broken)

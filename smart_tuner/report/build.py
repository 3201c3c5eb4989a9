"""A report's view, put together from the evidence: the summary, then all that takes more than the answer."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from smart_tuner.progress import VALIDATION_LOSS
from smart_tuner.report.advice import list_advice
from smart_tuner.report.case import Case
from smart_tuner.report.catalogue import Catalogue
from smart_tuner.report.curves import draw_curves, list_pictures, read_known_series
from smart_tuner.report.evidence import Archive, Evidence, Points
from smart_tuner.report.finalists import Finalists, find_finalists, list_results
from smart_tuner.report.findings import list_reproduction
from smart_tuner.report.listening import compare_voices
from smart_tuner.report.message import Message
from smart_tuner.report.search_charts import draw_matters, draw_trials, explain_no_importance
from smart_tuner.report.stops import list_stops
from smart_tuner.report.summary import build_summary, find_health
from smart_tuner.report.view import Picture, View
from smart_tuner.settings import yaml_file
from smart_tuner.study.importance import weigh_parameters

UTTERANCES = "validation/utterances.json"
"""Artefact of a trial: what each validation utterance came to."""
TERMS = ("dataset.digest", "hparams.budget", "hparams.reduction_factor")
"""Losses of runs that differ in these, or in speech.*, do not compare."""


def build_view(evidence: Evidence, archive: Archive, catalogue: Catalogue) -> View:
    """All that a report shows of a study; its drawings hold the catalogue's language."""
    finalists = find_finalists(evidence)
    summary = build_summary(evidence, archive, read_known_series(evidence, finalists, archive))
    pictures, (utterances, broken) = list_pictures(finalists, archive), read_utterances(finalists, archive)
    weighed = weigh_parameters(list_results(evidence), evidence.space or {}, evidence.objective.direction)
    case = Case(
        evidence=evidence,
        finalists=finalists,
        importance=weighed,
        verdicts={row.name: row.verdicts for row in summary.rows},
        utterances=utterances,
        losses=read_losses(finalists, archive),
    )
    return replace(
        summary,
        notices=(*summary.notices, *notice_terms(evidence), *notice_no_plots(pictures, finalists), *broken),
        trials=draw_trials(evidence, catalogue),
        stops=list_stops(evidence, archive),
        no_importance=explain_no_importance(weighed, evidence),
        matters=draw_matters(evidence, weighed, catalogue),
        curves=draw_curves(evidence, finalists, archive, find_health(evidence), catalogue),
        pictures=pictures,
        listening=compare_voices(finalists, archive, evidence),
        advice=list_advice(case),
        reproduction=list_reproduction(evidence),
        settings=evidence.settings,
        space=yaml_file.dump(dict(evidence.space)) if evidence.space else "",
    )


def read_losses(finalists: Finalists, archive: Archive) -> dict[str, Points]:
    run = finalists.best
    return {} if run is None or run.run_id is None else {run.name: archive.history(run.run_id, VALIDATION_LOSS)}


def notice_no_plots(pictures: Sequence[Picture], finalists: Finalists) -> list[Message]:
    """When runs are there and their plots are not."""
    names = [run.name for run in (finalists.best, finalists.worst) if run is not None and run.run_id is not None]
    if pictures or not names:
        return []
    return [
        Message(
            "No plots were found among the artefacts of {names}: they were not made, or the folder mlruns was moved.",
            names=names,
        )
    ]


def notice_terms(evidence: Evidence) -> list[Message]:
    """When runs that somebody chose were not trained on the same terms."""
    if evidence.mode != "runs":
        return []
    facts = [{**run.params, "dataset.digest": run.tags.get("dataset.digest", "")} for run in evidence.runs]
    names = sorted({name for known in facts for name in known if name.startswith("speech.") or name in TERMS})
    differing = [name for name in names if len({known.get(name, "") for known in facts}) > 1]
    return [Message("These runs differ in {names}: their losses do not compare.", names=differing)] if differing else []


def read_utterances(
    finalists: Finalists, archive: Archive
) -> tuple[dict[str, list[Mapping[str, Any]]], tuple[Message, ...]]:
    """What each finalist's validation utterances came to, by the run's name, and which files are broken.

    Runs without such a file, which is an extra, are left out.
    """
    utterances, broken = dict[str, list[Mapping[str, Any]]](), list[Message]()
    for run in finalists.heard:
        file = archive.artefact(run.run_id, UTTERANCES) if run.run_id is not None else None
        if file is None:
            continue
        try:
            utterances[run.name] = json.loads(file.read_text(encoding="utf-8"))
        except ValueError as problem:
            broken.append(notice_unread(f"{run.name}, {UTTERANCES}: {problem}"))
    return utterances, tuple(broken)


def notice_unread(reason: str) -> Message:
    return Message("An artefact could not be read: {reason}", reason=reason)

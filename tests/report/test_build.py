"""What is put together beside the findings: notices about runs and artefacts."""

import dataclasses
import json
from pathlib import Path

from smart_tuner.report import build
from smart_tuner.report.evidence import Evidence, Run
from smart_tuner.report.finalists import find_finalists
from tests.support.evidenced import Shelf, baseline, english, result, study


def chosen(*params: dict[str, str]) -> Evidence:
    runs = tuple(Run(name=f"run {place}", params=known) for place, known in enumerate(params))
    return dataclasses.replace(study([]), mode="runs", runs=runs)


def test_runs_on_other_terms_are_named_as_such() -> None:
    terms = {"hparams.budget": "10ep", "speech.sampling_rate": "22050", "hparams.learning_rate": "0.001"}
    other = {**terms, "speech.sampling_rate": "16000", "hparams.learning_rate": "0.002"}
    (notice,) = build.notice_terms(chosen(terms, other))
    assert english(notice) == "These runs differ in speech.sampling_rate: their losses do not compare."
    assert build.notice_terms(chosen(terms, {**terms, "hparams.learning_rate": "0.002"})) == []
    assert build.notice_terms(study([baseline(0.5)])) == []


def test_utterances_that_cannot_be_read_are_told(tmp_path: Path) -> None:
    rows = [{"name": "a", "loss": 0.5}]
    (tmp_path / "0.json").write_text(json.dumps(rows))
    (tmp_path / "1.json").write_text(json.dumps(rows)[:-4])
    files = {(f"id-{number}", build.UTTERANCES): tmp_path / f"{number}.json" for number in (0, 1)}
    evidence = study([baseline(0.5), result(1, 0.3), result(2, 0.4)])
    found, (notice,) = build.read_utterances(find_finalists(evidence), Shelf(files=files))
    assert found == {"trial-0000": rows}
    assert "trial-0001, validation/utterances.json" in english(notice)


def test_missing_plots_are_told_once() -> None:
    evidence = study([baseline(0.5), result(1, 0.3)])
    (notice,) = build.notice_no_plots((), find_finalists(evidence))
    assert "trial-0001, trial-0000" in english(notice)
    assert build.notice_no_plots((), find_finalists(study([]))) == []

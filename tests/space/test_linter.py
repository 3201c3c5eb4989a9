"""What is unwise is said with what to do about it, and what is wise passes without a word."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from smart_tuner.settings.settings import Settings, load_settings
from smart_tuner.space import file as space_file
from smart_tuner.space import linter
from smart_tuner.space.objective import Objective
from tests.support.spaces import ALL, BATCH, GUIDED, RATE, SETTINGS, WEIGHT, space

SPACES = sorted((Path(__file__).parents[2] / "search_spaces").glob("*.yaml"))
SPEAKS = 'constraints: {validation.alignment_score: ">= 0.5"}\n'
DIMENSIONS = {"demo": 4, "first_study": 7, "optimizer": 7, "small_data": 10, "full": 25}


def said(folder: Path, *lines: str, rest: str = "", trials: int = 1000, settings: Settings = SETTINGS) -> list[str]:
    return linter.find_warnings(space(folder, lines, SPEAKS + rest, settings), settings, trials)


@pytest.mark.parametrize("file", SPACES, ids=lambda file: file.stem)
def test_the_spaces_that_come_along_are_wise_for_their_preset(file: Path) -> None:
    settings = load_settings("demo" if file.stem == "demo" else "tacotron2", None, [])
    chosen = space_file.load_space(file, settings)
    assert linter.find_warnings(chosen, settings, 5 * DIMENSIONS[file.stem]) == []
    assert len(linter.find_warnings(chosen, settings, 5 * DIMENSIONS[file.stem] - 1)) == 1, "too few trials"


@pytest.mark.parametrize("file", SPACES, ids=lambda file: file.stem)
def test_every_range_that_comes_along_has_its_reason_beside_it(file: Path) -> None:
    lines = file.read_text(encoding="utf-8").splitlines()
    heads = [row for row, line in enumerate(lines) if line.startswith(("  hparams.", "  model."))]
    assert len(heads) == DIMENSIONS[file.stem]
    assert all(lines[row + 1].startswith("    # ") for row in heads)


def test_a_wise_space_passes_without_a_word(tmp_path: Path) -> None:
    assert said(tmp_path, *ALL) == []


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        (
            "hparams.learning_rate: {type: float, low: 1e-4, high: 3e-3}",
            "hparams.learning_rate is a learning rate, which acts by its ratio: add log: true.",
        ),
        (
            "hparams.gate_positive_weight: {type: float, low: 0.5, high: 20}",
            "hparams.gate_positive_weight spans a factor of 40, most of it large values: add log: true.",
        ),
        (
            "hparams.learning_rate: {type: float, low: 2e-3, high: 1e-2, log: true}",
            "hparams.learning_rate is 0.001 in the settings, outside 0.002 to 0.01, log: it is tried first",
        ),
        (
            "hparams.batch_size: {type: int, low: 8, high: 64, step: 7}",
            "hparams.batch_size is 32 in the settings, outside 8 to 64 in steps of 7",
        ),
    ],
)
def test_an_unwise_range_is_named(tmp_path: Path, line: str, sentence: str) -> None:
    (warning,) = said(tmp_path, line)
    assert warning.startswith(sentence)


@pytest.mark.parametrize(
    "line",
    [
        "hparams.learning_rate: {type: float, low: 1e-3, high: 2e-3}",
        "hparams.gate_positive_weight: {type: float, low: 1, high: 20}",
        "hparams.attention_dropout: {type: float, low: 0, high: 0.4}",
        "hparams.learning_rate: {type: categorical, choices: [1e-5, 1e-3]}",
        "hparams.warmup_iterations: {type: int, low: 100, high: 4000, step: 100}",
    ],
)
def test_a_narrow_or_stepped_range_needs_no_log(tmp_path: Path, line: str) -> None:
    assert said(tmp_path, line) == []


def test_a_setting_without_effect_is_named(tmp_path: Path) -> None:
    alone = "hparams.guide_weight: {type: float, low: 0.1, high: 10, log: true}"
    assert said(tmp_path, alone) == []
    (warning,) = said(tmp_path, GUIDED, alone)
    assert warning.endswith("unless hparams.use_guided_attn is true: add when: {hparams.use_guided_attn: [true]}.")
    (warning,) = said(tmp_path, alone, settings=SETTINGS.replace(use_guided_attn=False))
    assert warning.startswith("hparams.guide_weight does nothing while hparams.use_guided_attn is false")


def test_a_direction_against_the_metrics_sense_is_asked_about(tmp_path: Path) -> None:
    chosen = space(tmp_path, (RATE,))
    for metric, direction in (("validation.alignment_score", "minimize"), ("validation.attention_entropy", "maximize")):
        goal: Any = {"metric": metric, "direction": direction}
        strange = replace(chosen, objectives=(Objective(**goal),))
        assert any(f"is {direction} meant?" in warning for warning in linter.find_warnings(strange, SETTINGS, 100))
    wise = replace(chosen, objectives=(Objective(metric="validation.alignment_score", direction="maximize"),))
    assert linter.find_warnings(wise, SETTINGS, 100) == []


def test_a_search_that_a_mute_voice_may_win_is_named(tmp_path: Path) -> None:
    (warning,) = linter.find_warnings(space(tmp_path, (RATE,)), SETTINGS, 100)
    assert 'add constraints: {validation.alignment_score: ">= 0.5"}' in warning


def test_one_confirming_trial_is_no_confirmation(tmp_path: Path) -> None:
    (warning,) = said(tmp_path, RATE, rest="confirm: 1")
    assert warning.startswith("confirm: 1 shows no spread")


@pytest.mark.parametrize(
    ("sampler", "named"),
    [
        ("cmaes", "cmaes takes ranges without conditions alone; drawn at random: hparams.use_guided_attn, hparams.gu"),
        ("qmc", "qmc takes what every trial has; drawn at random: hparams.guide_weight; tpe takes all."),
        ("gp", "gp takes what every trial has; drawn at random: hparams.guide_weight; tpe takes all."),
    ],
)
def test_what_a_sampler_cannot_learn_from_is_named(tmp_path: Path, sampler: str, named: str) -> None:
    (warning,) = said(tmp_path, *ALL, rest=f"sampler: {sampler}")
    assert named in warning
    assert said(tmp_path, RATE, BATCH, rest=f"sampler: {sampler}") == []


def test_few_trials_for_the_dimensions_are_named(tmp_path: Path) -> None:
    assert said(tmp_path, *ALL, trials=20) == []
    (warning,) = said(tmp_path, *ALL, trials=19)
    assert warning == "19 trials are few for 4 parameters: take 20 or more, or search over fewer."


def test_trials_that_are_all_random_or_never_pruned_are_named(tmp_path: Path) -> None:
    (warning,) = said(tmp_path, RATE, trials=10)
    assert warning.startswith("all 10 trials are drawn at random")
    assert said(tmp_path, RATE, trials=11) == []
    (warning,) = said(tmp_path, RATE, rest="pruner: {name: median, startup_trials: 11}", trials=11)
    assert warning.startswith("the pruner median stops none of 11 trials")


def test_what_needs_no_trials_to_start_from_is_not_warned_about(tmp_path: Path) -> None:
    assert said(tmp_path, RATE, rest="sampler: random\npruner: asha", trials=5) == []


def test_a_grid_that_is_not_finished_is_named(tmp_path: Path) -> None:
    lines = (BATCH, GUIDED)
    assert said(tmp_path, *lines, rest="sampler: grid", trials=16) == []
    assert said(tmp_path, *lines, rest="sampler: grid", trials=13) == ["13 trials leave 3 of the grid's 16 points out."]


@pytest.mark.parametrize(
    ("value", "end"), [(1e-2, "high"), (8.5e-3, "high"), (1.1e-4, "low"), (7e-3, None), (1.5e-4, None)]
)
def test_a_best_value_at_an_end_of_its_scale_is_named(tmp_path: Path, value: float, end: str | None) -> None:
    warnings = linter.boundary_warnings(space(tmp_path), {"hparams.learning_rate": value})
    assert [f"lies at the {end} end of 0.0001 to 0.01, log: widen" in warning for warning in warnings] == [True] * (
        end is not None
    )


def test_choices_have_ends_in_whatever_order_they_stand(tmp_path: Path) -> None:
    chosen = space(tmp_path, ("hparams.batch_size: {type: categorical, choices: [32, 8, 16]}",))
    ends = [len(linter.boundary_warnings(chosen, {"hparams.batch_size": size})) for size in (8, 16, 32)]
    assert ends == [1, 0, 1]


def test_an_end_that_no_setting_can_pass_is_no_news(tmp_path: Path) -> None:
    lines = (
        "hparams.attention_dropout: {type: float, low: 0, high: 0.4}",
        "hparams.reduction_factor: {type: categorical, choices: [1, 2, 3]}",
        GUIDED,
    )
    chosen = space(tmp_path, lines)
    least = {"hparams.attention_dropout": 0.0, "hparams.reduction_factor": 1, "hparams.use_guided_attn": True}
    assert linter.boundary_warnings(chosen, least) == []
    most = {"hparams.attention_dropout": 0.39, "hparams.reduction_factor": 3, "hparams.use_guided_attn": False}
    dropout, factor = linter.boundary_warnings(chosen, most)
    assert "widen the range" in dropout
    assert "the best hparams.reduction_factor, 3, lies at the high end of 1, 2, 3: add choices beyond" in factor


CHANGES = [
    ((RATE,), (RATE,), "", [], None),
    ((RATE,), (RATE, BATCH), "", ["hparams.batch_size is searched over since"], False),
    ((RATE, BATCH), (RATE,), "", ["hparams.batch_size is not searched over any more"], False),
    ((RATE,), (RATE.replace("1.0e-4", "1.0e-5"),), "", ["ranged over 0.0001 to 0.01 and ranges over 1e-05"], False),
    ((RATE,), (RATE.replace(", log: true", ""),), "", ["log was True and is False"], True),
    ((GUIDED, WEIGHT), (GUIDED, WEIGHT.split(", when")[0] + "}"), "", ["hparams.guide_weight has another cond"], False),
    ((GUIDED,), (GUIDED.replace("true, false", "false, true"),), "", ["choices"], True),
    ((BATCH,), ("hparams.batch_size: {type: categorical, choices: [8, 64, 32]}",), "", ["type was int"], True),
    ((RATE,), (RATE,), "audit: 0.2\nconfirm: 4", ["audit has changed", "confirm has changed"], False),
    ((RATE,), (RATE,), "sampler: random\npruner: median", ["sampler has changed", "pruner has changed"], False),
    ((RATE,), (RATE,), "baseline: [{hparams.learning_rate: 5e-3}]", ["baseline has changed"], False),
    ((RATE,), (RATE,), "budget: 500utt", ["budget was None and is 500utt: its trials were trained for ano"], True),
    ((RATE,), (RATE,), 'constraints: {duration: "<= 3"}', ["constraints was [] and is duration <= 3.0"], True),
    (
        (RATE,),
        (RATE,),
        "objective: {metric: validation.alignment_score, direction: maximize}",
        ["objectives was validation.loss minimize and is validation.alignment_score maximize"],
        True,
    ),
]


@pytest.mark.parametrize(("before", "now", "rest", "sentences", "fatal"), CHANGES)
def test_a_space_that_changed_is_told_with_what_that_does(
    tmp_path: Path, before: Any, now: Any, rest: str, sentences: list[str], fatal: bool | None
) -> None:
    old, new = space(tmp_path, before).to_plain(), space(tmp_path, now, rest).to_plain()
    changes = linter.compare_spaces(old, new)
    assert len(changes) == len(sentences)
    for change, sentence in zip(changes, sentences, strict=True):
        assert sentence in change.sentence
        assert change.fatal is fatal


def test_a_space_is_described_line_by_line(tmp_path: Path) -> None:
    rest = "baseline: [{hparams.use_guided_attn: false}]\nbudget: 2400utt\npruner: {name: asha, warmup: 800utt}"
    lines = linter.describe_space(space(tmp_path, ALL, SPEAKS + rest), SETTINGS)
    assert lines[0] == "hparams.learning_rate: float, 0.0001 to 0.01, log; tried first: 0.001"
    assert lines[3].endswith("0.1 to 10, log; when hparams.use_guided_attn is true; tried first: 1.0")
    assert lines[4] == "baseline 2: learning_rate 0.001, batch_size 32, use_guided_attn false"
    assert "constraints: validation.alignment_score >= 0.5" in lines
    assert "sampler: tpe; pruner: asha, from 800utt on" in lines
    assert "budget of a trial: 2400utt" in lines

"""A suspect corpus."""

import math
from typing import Any

import numpy as np
import pytest
from cases import case, result, stopped

from smart_tuner.report.advising.suspects import data, hard, hard_utterances, outstanding

SCORE = "validation.alignment_score"
LOSSES = {f"u{number:02d}": math.exp(number / 1000) / 2 for number in range(19)}
"""Logarithms ln 0.5 + 0.000 to 0.018; with one more above, the median is at 0.0095 and that of the distances is 0.005:
0.0095 + 5 * 1.4826 * 0.005 = 0.04657 is far."""


def rows(bad: float, **changed: Any) -> list[dict[str, Any]]:
    return [{"name": name, "loss": loss} for name, loss in LOSSES.items()] + [{"name": "bad", "loss": bad} | changed]


def test_an_utterance_that_stands_out_in_every_run_is_named_with_its_numbers() -> None:
    [found] = hard([rows(0.9, text="Hello."), rows(1.1)])
    assert (found.name, found.measure, found.value, found.text) == ("bad", "loss", 1.0, " “Hello.”")
    assert found.typical == pytest.approx(0.5 * (math.exp(0.009) + math.exp(0.010)) / 2)


def test_an_utterance_that_one_run_does_well_at_is_not_named() -> None:
    assert hard([rows(0.9), rows(0.45)]) == []


def test_a_single_run_and_a_few_utterances_name_nothing() -> None:
    assert hard([rows(0.9)]) == []
    assert hard([rows(0.9)[-9:], rows(0.9)[-9:]]) == []
    assert hard([]) == []


def test_the_worst_tenth_is_not_named_when_it_is_near_the_rest() -> None:
    logs = {name: math.log(2 * loss) for name, loss in LOSSES.items()}
    assert outstanding(logs | {"bad": 0.0465}) == set()
    assert outstanding(logs | {"bad": 0.0466}) == {"bad"}
    assert hard([rows(0.5 * math.exp(0.0465))] * 2) == []
    assert len(hard([rows(0.5 * math.exp(0.0466))] * 2)) == 1


def test_a_low_alignment_stands_out_as_a_high_loss_does_and_gaps_are_passed_over() -> None:
    one = [{"name": name, "alignment_score": 1 - loss} for name, loss in LOSSES.items()]
    one += [{"name": "bad", "alignment_score": 0.1}, {"name": "gap", "alignment_score": None}]
    [found] = hard([one, one])
    assert (found.name, found.measure, found.value) == ("bad", "alignment_score", 0.1)


@pytest.mark.parametrize("utterances", [10, 20, 128])
@pytest.mark.parametrize("noise", [0.0, 0.1])
def test_a_clean_corpus_seldom_has_an_utterance_to_name(utterances: int, noise: float) -> None:
    """Utterances are as hard in every run: losses are lognormal, and the scores' misses of 1 are skewed."""
    generator = np.random.default_rng(1)
    fired = 0
    for _ in range(300):
        hardness = generator.normal(0, 0.35, utterances)
        losses = np.exp(hardness + generator.normal(0, noise, (2, utterances)))
        scores = generator.beta(18, 2, utterances) + generator.normal(0, noise / 10, (2, utterances))
        pairs = [list(zip(*run, strict=True)) for run in zip(losses, scores, strict=True)]
        fired += bool(
            hard([[{"name": f"{n}", "loss": a, "alignment_score": b} for n, (a, b) in enumerate(run)] for run in pairs])
        )
    assert fired < 0.05 * 300


def test_a_wrong_text_among_utterances_of_a_clean_corpus_is_named() -> None:
    """Its loss is ten times the typical one: 6.6 deviations of 0.35."""
    generator = np.random.default_rng(1)
    named = 0
    for _ in range(100):
        losses = np.exp(generator.normal(0, 0.35, 128) + generator.normal(0, 0.05, (2, 128)))
        losses[:, 7] = 10 * np.exp(generator.normal(0, 0.05, 2))
        found = hard([[{"name": f"{n}", "loss": loss} for n, loss in enumerate(run)] for run in losses])
        named += "7" in {one.name for one in found}
    assert named > 90


def test_the_advice_names_them_and_how_to_check() -> None:
    found = hard_utterances(case([result(0)], utterances={"a": rows(0.9), "b": rows(1.1)}))
    assert found is not None
    assert found.what.facts["names"] == ["bad"]
    assert found.because.facts["runs"] == 2
    assert "--mode check" in found.command
    assert hard_utterances(case([result(0)])) is None


BROKEN: list[Any] = [
    {"loss": 9.0},
    {"name": 7, "loss": 9.0},
    {"name": "no loss"},
    {"name": "text", "loss": "high"},
    {"name": "list", "loss": [9.0]},
    {"name": "nan", "loss": math.nan, "alignment_score": math.inf},
    {"name": "negative", "loss": -1.0},
    "row",
    None,
]


def test_rows_that_are_no_rows_are_passed_over() -> None:
    files: dict[str, Any] = {
        "a": [*BROKEN, *rows(0.9)],
        "b": [*rows(1.1), *BROKEN],
        "c": 5,
        "d": {"name": "x"},
        "e": [],
    }
    found = hard_utterances(case([result(0)], utterances=files))
    assert found is not None
    assert (found.what.facts["names"], found.because.facts["runs"]) == (["bad"], 2)
    assert hard_utterances(case([result(0)], utterances={"a": BROKEN, "b": BROKEN})) is None


def test_two_trials_off_the_diagonal_make_the_texts_suspect_and_one_does_not() -> None:
    off = [stopped(number, "attention_off_diagonal") for number in (1, 2)]
    found = data(case([result(0), *off]))
    assert found is not None
    assert (found.because.key, found.because.facts) == ("advice.data_off", {"count": 2, "trials": 3})
    assert data(case([result(0), off[0]])) is None


def test_no_attention_in_most_guided_trials_makes_the_texts_suspect() -> None:
    late = [stopped(number, "attention_late") for number in (1, 2)]
    mute = result(3, metrics={SCORE: 0.3})
    pruned = [stopped(number, "asha", "pruner") for number in range(4, 9)]
    found = data(case([result(0, metrics={SCORE: 0.7}), *late, mute, *pruned]))
    assert found is not None
    assert found.because.facts == {"count": 3, "guided": 4}
    aligned = [result(number, metrics={SCORE: 0.7}) for number in (9, 10)]
    assert data(case([result(0, metrics={SCORE: 0.7}), *late, mute, *aligned])) is None


def test_no_attention_without_a_guide_says_nothing_of_the_corpus() -> None:
    plain = {"hparams.use_guided_attn": False}
    assert data(case([stopped(number, "attention_late", values=plain) for number in range(4)])) is None

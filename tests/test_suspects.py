"""A suspect corpus."""

from typing import Any

import pytest
from cases import case, result, stopped

from smart_tuner.report.suspects import data, hard, hard_utterances, outstanding

SCORE = "validation.alignment_score"
LOSSES = {f"u{number:02d}": 0.50 + number / 1000 for number in range(19)}
"""Median with one more above: 0.5095; the distances' median is 0.005: 0.5095 + 3 * 1.4826 * 0.005 = 0.5317."""


def rows(bad: float, **changed: Any) -> list[dict[str, Any]]:
    return [{"name": name, "loss": loss} for name, loss in LOSSES.items()] + [{"name": "bad", "loss": bad} | changed]


def test_an_utterance_that_stands_out_in_every_run_is_named_with_its_numbers() -> None:
    [found] = hard({"trial-0001": rows(0.9, text="Hello."), "trial-0002": rows(1.1)})
    assert (found.name, found.measure, found.value, found.text) == ("bad", "loss", 1.0, " “Hello.”")
    assert found.typical == pytest.approx(0.5095)


def test_an_utterance_that_one_run_does_well_at_is_not_named() -> None:
    assert hard({"trial-0001": rows(0.9), "trial-0002": rows(0.45)}) == []


def test_a_single_run_and_a_few_utterances_name_nothing() -> None:
    assert hard({"trial-0001": rows(0.9)}) == []
    assert hard({"a": rows(0.9)[-9:], "b": rows(0.9)[-9:]}) == []


def test_the_worst_tenth_is_not_named_when_it_is_near_the_rest() -> None:
    assert outstanding(LOSSES | {"bad": 0.530}) == set()
    assert outstanding(LOSSES | {"bad": 0.535}) == {"bad"}


def test_a_low_alignment_stands_out_as_a_high_loss_does_and_gaps_are_passed_over() -> None:
    one = [{"name": name, "alignment_score": 1 - loss} for name, loss in LOSSES.items()]
    one += [{"name": "bad", "alignment_score": 0.1}, {"name": "gap", "alignment_score": None}]
    [found] = hard({"a": one, "b": one})
    assert (found.name, found.measure, found.value) == ("bad", "alignment_score", 0.1)


def test_the_advice_names_them_and_how_to_check() -> None:
    found = hard_utterances(case([result(0)], utterances={"a": rows(0.9), "b": rows(1.1)}))
    assert found is not None
    assert found.what.facts["names"] == ["bad"]
    assert "--mode check" in found.command
    assert hard_utterances(case([result(0)])) is None


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

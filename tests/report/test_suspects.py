"""A suspect corpus."""

import math
from typing import Any

import numpy as np
import pytest

from smart_tuner.health.rules import RULES
from smart_tuner.report.suspects import (
    UNFORMED,
    advise_checking_corpus,
    advise_listening,
    find_hard_utterances,
    find_outstanding,
)
from tests.support.cases import case, result, spoken, stopped

SCORE = "validation.alignment_score"
LOSSES = {f"u{number:02d}": math.exp(number / 1000) / 2 for number in range(19)}
"""Logarithms ln 0.5 + 0.000 to 0.018; with one more above, the median is at 0.0095 and that of the distances is 0.005:
0.0095 + 5 * 1.4826 * 0.005 = 0.04657 is far."""


def rows(bad: float, **changed: Any) -> list[dict[str, Any]]:
    return [{"name": name, "loss": loss} for name, loss in LOSSES.items()] + [{"name": "bad", "loss": bad} | changed]


def test_an_utterance_that_stands_out_in_every_run_is_named_with_its_numbers() -> None:
    [found] = find_hard_utterances([rows(0.9, text="Hello."), rows(1.1)])
    assert (found.name, found.measure, found.value, found.text) == ("bad", "loss", 1.0, " “Hello.”")
    assert found.typical == pytest.approx(0.5 * (math.exp(0.009) + math.exp(0.010)) / 2)


def test_an_utterance_that_one_run_does_well_at_and_one_of_a_few_are_not_named() -> None:
    few = rows(0.9)[-9:]
    for runs in ([rows(0.9), rows(0.45)], [rows(0.9)], [few, few], []):
        assert find_hard_utterances(runs) == []


def test_the_worst_tenth_is_not_named_when_it_is_near_the_rest() -> None:
    logs = {name: math.log(2 * loss) for name, loss in LOSSES.items()}
    assert find_outstanding(logs | {"bad": 0.0465}) == set()
    assert find_outstanding(logs | {"bad": 0.0466}) == {"bad"}
    assert find_hard_utterances([rows(0.5 * math.exp(0.0465))] * 2) == []
    assert len(find_hard_utterances([rows(0.5 * math.exp(0.0466))] * 2)) == 1


def test_a_low_alignment_stands_out_as_a_high_loss_does_and_gaps_are_passed_over() -> None:
    scores = [{"name": name, "alignment_score": 1 - loss} for name, loss in LOSSES.items()]
    scores += [{"name": "bad", "alignment_score": 0.1}, {"name": "gap", "alignment_score": None}]
    [found] = find_hard_utterances([scores, scores])
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
            find_hard_utterances(
                [[{"name": f"{n}", "loss": a, "alignment_score": b} for n, (a, b) in enumerate(run)] for run in pairs]
            )
        )
    assert fired < 0.05 * 300


def test_a_wrong_text_among_utterances_of_a_clean_corpus_is_named() -> None:
    """Its loss is ten times the typical one: 6.6 deviations of 0.35."""
    generator = np.random.default_rng(1)
    named = 0
    for _ in range(100):
        losses = np.exp(generator.normal(0, 0.35, 128) + generator.normal(0, 0.05, (2, 128)))
        losses[:, 7] = 10 * np.exp(generator.normal(0, 0.05, 2))
        found = find_hard_utterances([[{"name": f"{n}", "loss": loss} for n, loss in enumerate(run)] for run in losses])
        named += "7" in {utterance.name for utterance in found}
    assert named > 90


BROKEN: list[Any] = [
    *({"loss": 9.0}, {"name": 7, "loss": 9.0}, {"name": "no loss"}, {"name": "text", "loss": "high"}, "row", None),
    *({"name": "list", "loss": [9.0]}, {"name": "nan", "loss": math.nan, "alignment_score": math.inf}),
    {"name": "negative", "loss": -1.0},
]


def test_they_are_named_with_how_to_check_and_rows_that_are_no_rows_are_passed_over() -> None:
    files: dict[str, Any] = {
        "a": [*BROKEN, *rows(0.9)],
        "b": [*rows(1.1), *BROKEN],
        "c": 5,
        "d": {"name": "x"},
        "e": [],
    }
    found = spoken(advise_listening(case([result(0)], utterances=files)))
    assert (found.what.facts["names"], found.because.facts["runs"]) == (["bad"], 2)
    assert "--mode check" in found.command
    assert advise_listening(case([result(0)], utterances={"a": BROKEN, "b": BROKEN})) is None


def test_two_trials_off_the_diagonal_make_the_texts_suspect_and_one_does_not() -> None:
    off = [stopped(number, "attention_off_diagonal") for number in (1, 2)]
    found = spoken(advise_checking_corpus(case([result(0), *off])))
    assert found.because.text.startswith("The attention was sharp but off the diagonal")
    assert found.because.facts == {"count": 2, "trials": 3}
    assert advise_checking_corpus(case([result(0), off[0]])) is None


def test_no_attention_in_most_guided_trials_makes_the_texts_suspect() -> None:
    late = [stopped(number, "attention_late") for number in (1, 2)]
    known = [result(0, metrics={SCORE: 0.7}), *late, result(3, metrics={SCORE: 0.3})]
    pruned = [stopped(number, "asha", "pruner") for number in range(4, 9)]
    found = spoken(advise_checking_corpus(case([*known, *pruned])))
    assert found.because.facts == {"count": 3, "guided": 4}
    aligned = [result(number, metrics={SCORE: 0.7}) for number in (9, 10)]
    unguided = [stopped(number, "attention_late", values={"hparams.use_guided_attn": False}) for number in range(4)]
    for trials in ([*known, *aligned], unguided):
        assert advise_checking_corpus(case(trials)) is None
    assert set(UNFORMED) <= set(RULES)

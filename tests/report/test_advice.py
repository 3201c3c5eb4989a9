"""What is advised in the end: order, and what silences what."""

import pytest

from smart_tuner.errors import OutOfMemoryError
from smart_tuner.report.advice import ADVICE_RULES, MOST_ADVICE, SILENCED, ask_rules, list_advice
from smart_tuner.report.case import Case
from smart_tuner.report.catalogue import LANGUAGES, Catalogue
from smart_tuner.report.evidence import BATCH, Run
from tests.support.cases import BATCHES, RATE, RATES, case, failed, fallen, result, shares, space, stopped

EXPLODED = [stopped(number, "exploding_gradients") for number in range(1, 13)]
FULL = failed(20, OutOfMemoryError.__name__, 64)
UTTERANCES = [{"name": f"u{number}", "loss": 0.5 + number / 1000} for number in range(19)] + [{"name": "x", "loss": 9}]


def names(of: Case) -> list[str]:
    return list(ask_rules(of))


def test_a_healthy_study_that_is_long_enough_needs_no_advice_beside_the_answer() -> None:
    assert names(case([result(number, 0.5 - number / 100) for number in range(6)])) == []
    assert names(case([])) == []


def test_to_go_on_is_not_advised_beside_a_change_of_course() -> None:
    at_end = [result(number, 0.5) for number in range(3)] + [result(3, 0.4, values={RATE: 9.9e-3})]
    assert names(case(at_end, command="run.py --trials 4")) == ["boundary", "few"]  # four trials tell little of an end
    wide = [*at_end, *(result(number, 0.5) for number in range(4, 10))]
    three = space({f"hparams.{name}": RATES for name in ("learning_rate", "weight_decay", "grad_clip_thresh")})
    assert names(case(wide, space=three)) == ["boundary"]  # ten are few for three dimensions, but the range comes first
    assert names(case([result(0), *EXPLODED])) == ["stops"]
    assert names(case([result(0), result(1)])) == ["few"]
    assert names(case([result(0)], runs=[FULL], space=space({BATCH: BATCHES}))) == ["memory"]  # it begins another study


def test_the_weightiest_comes_first_and_eight_are_enough() -> None:
    off = [stopped(number, "attention_off_diagonal") for number in (13, 14)]
    known = case([result(0), *EXPLODED, *off], runs=[FULL], importance=shares(learning_rate=0.1, batch_size=0.9))
    assert names(known) == ["memory", "data", "stops", "drop"]
    assert list_advice(known) == tuple(ask_rules(known).values())
    assert len(ADVICE_RULES) > MOST_ADVICE == 8


def test_no_rule_silences_a_weightier_one() -> None:
    order = list(ADVICE_RULES)
    for name, silenced in SILENCED.items():
        assert all(order.index(other) > order.index(name) for other in silenced), name


def test_runs_without_a_study_get_what_can_be_said_of_them() -> None:
    run = Run(name="mine", state="complete", metrics={"best.validation.loss": 0.5})
    assert names(case([], runs=[run], mode="runs", space=None, budget="", command="")) == []
    read = {"utterances": {"a": UTTERANCES, "b": UTTERANCES}, "losses": fallen(0.02, "mine")}
    assert names(case([], runs=[run], mode="runs", space=None, **read)) == ["longer", "hard_utterances"]


@pytest.mark.parametrize("language", LANGUAGES)
def test_advice_can_be_said_in_every_language(language: str) -> None:
    say = Catalogue("ru" if language == "ru" else "en")
    heard = {"a": UTTERANCES, "b": UTTERANCES}
    unknown = case([result(0, 0.52), result(1, 0.3, values={RATE: 9.9e-3})], command="")
    cases = [
        case([result(0), *EXPLODED], runs=[FULL], importance=shares(learning_rate=0.1, batch_size=0.9)),
        case([result(number, values={}, loss=0.4 + number / 100) for number in range(2)], mode="train", space=None),
        case([result(number) for number in range(6)], losses=fallen(0.02), utterances=heard),
        unknown,
    ]
    assert {name: advice.command for name, advice in ask_rules(unknown).items()} == {"boundary": "", "few": ""}
    spoken = [(say(advice.what), say(advice.because)) for known in cases for advice in ask_rules(known).values()]
    assert len(spoken) == 8
    assert not [text for pair in spoken for text in pair if "{" in text]

"""What is advised in the end: order, what silences what, and the sentences."""

import re
from pathlib import Path
from string import Formatter
from typing import Any

import pytest
from cases import BATCH, BATCHES, RATE, RATES, case, failed, fallen, result, shares, space, stopped

from smart_tuner.report.advising.advice import GO_ON, MOST, RULES, SILENCED, advice, given, importance_lines
from smart_tuner.report.advising.case import Case, doubled, plain
from smart_tuner.report.catalogue import LANGUAGES, Catalogue, strings
from smart_tuner.report.evidence import Run
from smart_tuner.study.importance import Importance, Share

FILES = ("advice", "case", "mending", "ranges", "reruns", "searching", "suspects")
REPORT = Path(__file__).parent.parent / "smart_tuner" / "report"
EXPLODED = [stopped(number, "exploding_gradients") for number in range(1, 13)]


def names(of: Case) -> list[str]:
    return list(given(of))


def test_a_study_without_trials_is_waited_for_or_started() -> None:
    assert names(case([], running=2)) == ["waiting"]
    [start] = given(case([])).values()
    assert (start.what.key, start.command) == ("advice.nothing", case([]).evidence.command)


def test_a_healthy_confirmed_study_that_is_long_enough_is_trained() -> None:
    trials = [result(number, 0.5 - number / 100) for number in range(6)]
    assert names(case(trials)) == ["train"]


def test_to_go_on_is_not_advised_beside_a_change_of_course() -> None:
    at_end = [result(number, 0.5) for number in range(3)] + [result(3, 0.4, values={RATE: 9.9e-3})]
    assert names(case(at_end, command="run.py --trials 4")) == ["boundary", "few"]  # four trials tell little of an end
    wide = [*at_end, *(result(number, 0.5) for number in range(4, 10))]
    three = space({f"hparams.{name}": RATES for name in ("learning_rate", "weight_decay", "grad_clip_thresh")})
    assert names(case(wide, space=three)) == ["boundary"]  # ten are few for three dimensions, but the range comes first
    assert names(case([result(0), *EXPLODED])) == ["stops"]
    assert names(case([result(0), result(1)])) == ["few"]
    full = failed(2, "The GPU has no memory left", 32)
    assert names(case([result(0)], runs=[full], space=space({BATCH: BATCHES}))) == ["memory"]  # it begins another study


def test_a_plateau_and_a_best_that_came_late_do_not_say_the_same_twice() -> None:
    plateau = [result(number, 0.4 if number == 0 else 0.5) for number in range(12)]
    assert names(case(plateau)) == ["plateau"]
    assert names(case(plateau, losses=fallen(0.02))) == ["plateau", "longer"]


def test_the_weightiest_comes_first_and_eight_are_enough() -> None:
    full = failed(20, "The GPU has no memory left at hparams.batch_size 64", 64)
    off = [stopped(number, "attention_off_diagonal") for number in (13, 14)]
    crowded = case([result(0), *EXPLODED, *off], runs=[full], importance=shares(learning_rate=0.1, batch_size=0.9))
    assert names(crowded) == ["memory", "data", "stops", "drop"]
    known = crowded
    found = advice(known.evidence, known.finalists, known.importance, {}, known.commands, {}, {})
    assert found == tuple(given(known).values())
    assert len(RULES) > MOST == 8


def test_no_rule_silences_a_weightier_one() -> None:
    order = list(RULES)
    assert {*SILENCED, *GO_ON} <= set(order)
    for name, silenced in SILENCED.items():
        assert all(order.index(one) > order.index(name) for one in silenced), name


def test_runs_without_a_study_get_what_can_be_said_of_them() -> None:
    run = Run(name="mine", state="complete", metrics={"best.validation.loss": 0.5})
    alone = case([], runs=[run], mode="runs", space=None, budget="", command="")
    assert names(alone) == []
    rows = [{"name": f"u{number}", "loss": 0.5 + number / 1000} for number in range(19)] + [
        {"name": "bad", "loss": 9.0}
    ]
    told = case([], runs=[run], mode="runs", space=None, utterances={"a": rows, "b": rows}, losses=fallen(0.02, "mine"))
    assert names(told) == ["longer", "hard_utterances"]


def test_what_the_advice_is_given_reaches_its_rules() -> None:
    known = case([result(number, 0.5 - number / 100) for number in range(6)])
    rows = [{"name": f"u{number}", "loss": 0.5 + number / 1000} for number in range(19)] + [{"name": "x", "loss": 9.0}]
    utterances, losses = {"a": rows, "b": rows}, fallen(0.02, "trial-0005")
    found = advice(known.evidence, known.finalists, known.importance, {}, known.commands, utterances, losses)
    assert [one.what.key for one in found] == ["advice.longer", "advice.utterances"]


def test_an_unknown_command_line_leaves_the_advice_without_commands() -> None:
    trials = [result(0), result(1, 0.4, values={RATE: 9.9e-3})]
    found = given(case(trials, command="", space=space(confirm=0)))
    assert {name: one.command for name, one in found.items()} == {"boundary": "", "unconfirmed": "", "few": ""}


def test_every_piece_of_advice_can_be_said_in_every_language() -> None:
    full = failed(30, "The GPU has no memory left", 32)
    batches, end = space({BATCH: BATCHES}), {RATE: 9.9e-3}
    again = [result(20, 0.5, confirms="baseline"), result(21, 0.3, confirms="best", values=end)]
    two, twice = space(confirm=2), result(22, 0.31, confirms="best", values=end)
    confirmed = [result(0, 0.52), result(1, 0.3, values=end), *again]
    cases: list[Case] = [
        case([], running=1),
        case([result(0), *EXPLODED], importance=shares(learning_rate=0.1, batch_size=0.9)),
        case([result(number, 0.4 + number / 100) for number in range(12)]),
        case([result(0, values={})], mode="train", space=None),
        case([result(number, values={}, loss=0.4 + number / 100) for number in range(2)], mode="train", space=None),
        case([result(number) for number in range(6)], losses=fallen(0.02)),
        case([result(0)], runs=[full], space=batches),
        case([], runs=[full], space=space({BATCH: BATCHES | {"choices": [32, 64]}})),
        case([*confirmed, twice]),
        case([*confirmed[:2], confirmed[3], twice, stopped(23, "loss_jump", confirms="baseline")], space=two),
        case([*confirmed[:2], *confirmed[3:]], space=two),
        case([*confirmed[:2], *confirmed[3:]], space=space(confirm=1)),
    ]
    keys = {one.what.key for known in cases for one in given(known).values()}
    spoken = ("memory_choices", "memory_alone", "boundary_or", "undecided", "undecided_lacking", "unconfirmed")
    assert keys >= {f"advice.{name}" for name in spoken}
    for one in cases:
        assert given(one)
        for found in given(one).values():
            for language in LANGUAGES:
                text = Catalogue(language)(found.what) + Catalogue(language)(found.because)
                assert "{" not in text.replace("{name:", ""), text


def told(importance: Importance, known: dict[str, Any]) -> list[str]:
    catalogue = Catalogue("en")
    return [f"{catalogue(line.label)}: {catalogue(line.text)}" for line in importance_lines(importance, known)]


def test_importance_is_told_with_its_band() -> None:
    share = Share(name=BATCH, share=0.123, low=0.05, high=0.31)
    first, last = told(Importance(shares=(share,), trials=30, enough=True), space())
    assert first == "hparams.batch_size: 12 % (5 to 31 %)"
    assert "30 complete trials" in last


def test_importance_that_cannot_be_said_says_why() -> None:
    [few] = told(Importance(shares=(), trials=5, enough=False), space())
    [same] = told(Importance(shares=(), trials=30, enough=False), space())
    [none] = told(Importance(shares=(), trials=0, enough=False), {})
    assert "are 5, it takes 20" in few
    assert "All 30 complete trials" in same
    assert "Nothing was searched over" in none


def test_every_sentence_exists_is_used_and_has_the_same_braces_in_both_languages() -> None:
    code = "".join(next(REPORT.rglob(f"{name}.py")).read_text(encoding="utf-8") for name in FILES)
    used = set(re.findall(r'said\(\s*"(advice\.\w+)"', code))
    known = {key: texts for key, texts in strings().items() if key.startswith("advice.")}
    assert used == set(known)
    for key, texts in known.items():
        braces = [sorted(str(part[1:3]) for part in Formatter().parse(texts[one]) if part[1]) for one in LANGUAGES]
        assert braces[0] == braces[1], key


@pytest.mark.parametrize(
    ("given_budget", "expected"), [("300000utt", "600000utt"), ("1.5ep", "3ep"), ("0.25h", "0.5h")]
)
def test_a_budget_is_doubled_as_a_person_writes_it(given_budget: str, expected: str) -> None:
    assert doubled(given_budget) == expected


@pytest.mark.parametrize(("value", "expected"), [(True, "true"), (3e-4, "0.0003"), (16, "16"), ("cosine", "cosine")])
def test_a_value_is_plain(value: Any, expected: str) -> None:
    assert plain(value) == expected

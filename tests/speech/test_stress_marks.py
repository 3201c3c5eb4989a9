"""Stress marks as people write them become a plus before the vowel; a plus that is none stays one."""

import pytest

from smart_tuner.speech.stress_marks import find_habit, is_sum, place_stress
from smart_tuner.speech.text import normalise, normalise_all


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("Молоко+ на столе+.", "молок+о на стол+е."),
        ("Мо+ре шуми+т, до+м стои+т.", "м+оре шум+ит, д+ом сто+ит."),
        ("мо+ре", "м+оре"),
        ("до+м", "д+ом"),
        ("(соба+ка)", "(соб+ака)"),
        ("Он сказа+л: по+эт и я+.", "он сказ+ал: п+оэт и +я."),
        ("кто-то+ пришё+л", "кто-т+о приш+ёл"),
        ("Се+льскохозя+йственный труд", "с+ельскохоз+яйственный труд"),
        ("МО+РЕ", "м+оре"),
    ],
)
def test_a_plus_after_the_vowel_is_stress_where_it_can_be_nothing_else(written: str, read: str) -> None:
    assert normalise(written, "ru") == read


@pytest.mark.parametrize("mark", ["\u0301", "\u0341", "\u0300", "´", "′", "＋"])
def test_accents_after_a_vowel_are_stress_whatever_they_are(mark: str) -> None:
    assert normalise(f"замо{mark}к на холме{mark}", "ru") == "зам+ок на холм+е"


@pytest.mark.parametrize(
    ("written", "read"), [("зáмок", "з+амок"), ("дом у óкон", "дом у +окон"), ("сѐльский", "с+ельский")]
)
def test_a_vowel_composed_with_its_accent_is_a_stressed_one(written: str, read: str) -> None:
    assert normalise(written, "ru") == read


@pytest.mark.parametrize("written", ["м+оре и з+амок", "+окна", "по+эт", "сельск+охоз+яйственный", "да, +я"])
def test_a_plus_before_the_vowel_stays_where_it_is(written: str) -> None:
    assert normalise(written, "ru") == written


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("мама+папа", "мама плюс папа"),
        ("а+б", "а плюс б"),
        ("18+ и 5+5", "восемнадцать плюс и пять плюс пять"),
        ("5+а", "пять плюс а"),
        ("дом + сад", "дом плюс сад"),
        ("кот+пёс", "кот плюс пёс"),
        ("C++", "c плюс плюс"),
        ("мама+папа и мо+ре", "мама плюс папа и м+оре"),
    ],
)
def test_a_plus_that_adds_is_read_out(written: str, read: str) -> None:
    assert normalise(written, "ru") == read


def test_between_two_vowels_the_other_marks_of_the_text_decide_then_those_of_the_corpus() -> None:
    assert normalise("по+эт и мо+ре", "ru") == "п+оэт и м+оре"
    assert normalise("по+эт и м+оре", "ru") == "по+эт и м+оре"
    assert place_stress(["по+эт", "молоко+", "река+"]) == ["п+оэт", "молок+о", "рек+а"]
    assert place_stress(["по+эт", "молок+о", "река+", "с+ад"]) == ["по+эт", "молок+о", "рек+а", "с+ад"]
    assert normalise_all(["по+эт", "молоко+"], "ru")[0] == "п+оэт"


def test_the_habit_of_a_text_is_told_by_words_that_leave_no_choice() -> None:
    habits = {"молоко+": "after", "м+оре": "before", "по+эт": None, "мама+папа": None, "молоко": None}
    assert {text: find_habit(text) for text in habits} == habits
    assert find_habit("м+оре и мо+ре") == "before"


def test_a_sum_is_of_words_that_make_none_together() -> None:
    assert is_sum("мама+папа")
    assert not is_sum("мо+ре")
    assert not is_sum("соба+ка")
    assert not is_sum("молоко+")

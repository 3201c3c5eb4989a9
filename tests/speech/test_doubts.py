"""What no rule is sure of is told with how it is read; what one is sure of is not."""

import pytest

from smart_tuner.speech import demo
from smart_tuner.speech.doubts import APOSTROPHE, CAPITAL, MIXED, NUMBER, PLUS, describe_doubts, find_doubts
from tests.speech import test_english, test_russian


@pytest.mark.parametrize(
    ("text", "piece", "reading"),
    [
        ("Psalm 23:4 is known.", "23:4", "twenty-three to four"),
        ("It took 45:30 today.", "45:30", "forty-five to thirty"),
        ("Some 25.000 people came.", "25.000", "twenty-five point zero zero zero"),
        ("In 1999² he left.", "1999²", "nineteen ninety-nine"),
        ("Take 1,5 litres.", "1,5", "one point five"),
        ("About 1e6 of them.", "1e6", "one e six"),
        ("Some 1 500 people came.", "1 500", "one thousand five hundred"),
        ("It is 3/5/2024 now.", "3/5/2024", "three/five/twenty twenty-four"),
    ],
)
def test_english_numbers_of_odd_form_are_told(text: str, piece: str, reading: str) -> None:
    (doubt,) = find_doubts(["Nothing here.", text], "en")
    assert (doubt.text, doubt.kind, doubt.piece, doubt.reading) == (1, NUMBER, piece, reading)


@pytest.mark.parametrize(
    ("text", "piece", "reading"),
    [
        ("Это 12:5 сегодня.", "12:5", "двенадцать - пять"),
        ("Ход е2-е4 сделан.", "е2-е4", "е второе четыре"),
        ("Это 25.000 рублей.", "25.000", "двадцать пять целых ноль тысячных рубля."),
        ("Доля 1/2020 мала.", "1/2020", "одна двух тысячи двадцатая"),
        ("В 1999² он ушёл.", "1999²", "тысяча девятьсот девяносто девятом"),
        ("Он ждал 30-е.", "ждал 30-е", "ждал тридцатое."),
        ("Нас 40-ка тут.", "40-ка", "сорок-ка"),
    ],
)
def test_russian_numbers_of_odd_form_are_told(text: str, piece: str, reading: str) -> None:
    (doubt,) = find_doubts(["Ничего нет.", text], "ru")
    assert (doubt.text, doubt.kind, doubt.piece, doubt.reading) == (1, NUMBER, piece, reading)


@pytest.mark.parametrize(
    ("text", "kind", "piece", "reading"),
    [
        ("Тут молок'о стоит", APOSTROPHE, "молок'о", "молок'о"),
        ("Тут молоко' стоит", APOSTROPHE, "молоко'", "молоко'"),
        ("Тут молоко` стоит", APOSTROPHE, "молоко'", "молоко'"),
        ("Молок'о стоит тут", APOSTROPHE, "Молок'о", "молок'о"),
        ("Тут молокО стоит", CAPITAL, "молокО", "молоко"),
        ("Тут мОлоко стоит", CAPITAL, "мОлоко", "молоко"),
        ("Тут мама+папа стоят", PLUS, "мама+папа", "мама плюс папа"),
        ("Тут сель+ский дом", PLUS, "сель+ский", "сель плюс ский"),
        ("Сервис Кино+ работает снова", PLUS, "Кино+", "кин+о"),
        ("Тут привeт стоит", MIXED, "привeт", "привет"),
    ],
)
def test_marks_that_may_be_stress_or_not_are_told(text: str, kind: str, piece: str, reading: str) -> None:
    (doubt,) = find_doubts([text], "ru")
    assert (doubt.kind, doubt.piece, doubt.reading) == (kind, piece, reading)


@pytest.mark.parametrize(
    "text",
    [
        "Жанна д'Арк и О'Нил, об'явление, 'слово'.",
        "МГУ и США, ГазЭнерго, Окно.",
        "Молоко+ на столе+.",
        "Дорога дорога+ была всем.",
        "З+амок и зам+ок, по+эт.",
        "18+ и 5+5, +20 градусов.",
    ],
)
def test_marks_that_leave_no_choice_are_not_told(text: str) -> None:
    assert not find_doubts([text], "ru")


@pytest.mark.slow
@pytest.mark.parametrize("language", ["en", "ru"])
def test_sentences_that_are_read_rightly_are_not_doubted(language: str) -> None:
    ours = {"en": test_english, "ru": test_russian}[language]
    told = find_doubts([written for written, _ in ours.SENTENCES + ours.NUMBERS], language)
    assert {doubt.piece for doubt in told} <= {"1,5", "12,5", "1984²"}
    assert not find_doubts(demo.read_sentences(language), language)


def test_a_kind_is_one_line_with_its_first_rows() -> None:
    rows = [(f"metadata.csv:{row}", f"Ход {row}:99 тут") for row in range(1, 9)]
    (line,) = describe_doubts(rows, "ru")
    first, *shown, last = line.split("\n")
    assert first == "a number that no rule is sure of, in 8 rows"
    assert shown[0] == "    metadata.csv:1: 1:99 is read: один - девяносто девять"
    assert len(shown) == 5
    assert last == "    and 3 more"

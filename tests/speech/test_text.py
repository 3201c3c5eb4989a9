"""Text is read aloud in its language's symbols; nothing is dropped, and what is unknown is counted."""

import pytest

from smart_tuner.errors import CorpusError
from smart_tuner.speech.symbols import END, PAD, SymbolTable
from smart_tuner.speech.text import detect_language, normalise


@pytest.mark.parametrize("written", ["З+амок", "За\u0301мок", "за\u0301мок"])
def test_both_ways_to_write_russian_stress_become_a_plus_before_the_vowel(written: str) -> None:
    assert normalise(written, "ru") == "з+амок"


def test_a_plus_that_marks_no_stress_is_read_out() -> None:
    assert normalise("2+2 и мор+е", "ru") == "два плюс два и мор+е"


def test_cyrillic_letters_stay_themselves() -> None:
    assert normalise("Ёжик, йод, объезд, съёмка, цветы", "ru") == "ёжик, йод, объезд, съёмка, цветы"
    decomposed = "Е\u0308ж и\u0306од"
    assert normalise(decomposed, "ru") == "ёж йод"


@pytest.mark.parametrize("language", ["en", "ru"])
def test_typographic_marks_become_plain_ones(language: str) -> None:
    word = {"en": "word", "ru": "слово"}[language]
    assert normalise(f"“{word}” «{word}» „{word}“", language) == f'"{word}" "{word}" "{word}"'
    assert normalise(f"{word} — {word}… {word}’ [{word}]", language) == f"{word} - {word}... {word}' ({word})"


def test_white_space_is_folded() -> None:
    assert normalise("  two\t words\u00a0here ", "en") == "two words here"


@pytest.mark.parametrize(("language", "count"), [("en", 40), ("ru", 48)])
def test_tables_hold_each_symbol_once_and_row_0_pads(language: str, count: int) -> None:
    symbols = SymbolTable.of(language).symbols
    assert len(symbols) == len(set(symbols)) == count
    assert symbols[0] == PAD


def test_encoding_ends_with_the_end_symbol_and_can_be_read_back() -> None:
    table = SymbolTable.of("ru")
    rows = table.encode("ёж, +я")
    assert "".join(table.symbols[row] for row in rows) == "ёж, +я" + END
    assert 0 not in rows


def test_encoding_refuses_a_symbol_outside_the_table() -> None:
    with pytest.raises(KeyError):
        SymbolTable.of("en").encode("ж")


def test_unknown_symbols_are_counted_over_all_texts() -> None:
    unknown = SymbolTable.of("en").unknown(["a ж b", "жж $", "plain"])
    assert unknown == {"ж": 3, "$": 1}


def test_the_symbols_for_padding_and_end_are_unknown_in_a_text() -> None:
    assert SymbolTable.of("en").unknown([f"a{PAD}b{END}"]) == {PAD: 1, END: 1}


def test_what_a_language_cannot_write_is_kept_and_shows_up_as_unknown() -> None:
    assert SymbolTable.of("ru").unknown([normalise("Да, wow ☃", "ru")]) == {"w": 2, "o": 1, "☃": 1}
    assert SymbolTable.of("en").unknown([normalise("Yes ☃ да", "en")]) == {"☃": 1, "д": 1, "а": 1}


def test_a_bar_is_not_lost_in_russian_though_a_slash_between_words_is_silent() -> None:
    assert SymbolTable.of("ru").unknown([normalise("а | б", "ru")]) == {"|": 1}
    assert normalise("и/или", "ru") == "и или"


@pytest.mark.parametrize(
    ("texts", "language"),
    [(["hello there"], "en"), (["привет, OK"], "ru"), (["12", "да"], "ru"), (["Moscow", "Москва река"], "ru")],
)
def test_the_language_is_that_of_most_letters(texts: list[str], language: str) -> None:
    assert detect_language(texts) == language


def test_texts_without_letters_have_no_language() -> None:
    with pytest.raises(CorpusError, match=r"no letters.*speech\.language to en or ru"):
        detect_language(["12", "?!"])


@pytest.mark.parametrize(("language", "digit"), [("en", "one"), ("ru", "один")])
def test_a_row_of_digits_that_no_number_has_a_name_for_is_read_digit_by_digit(language: str, digit: str) -> None:
    assert normalise("1" * 40, language) == " ".join([digit] * 40)

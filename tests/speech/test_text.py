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


@pytest.mark.parametrize("language", ["en", "ru"])
@pytest.mark.parametrize(
    ("mark", "plain"),
    [
        *((quote, '"') for quote in "“”„‟«»″＂"),
        *((quote, "'") for quote in "‘’‚‛‹›ʼʻ`′＇"),
        *((dash, "-") for dash in "‐‑‒–—―⸺﹣－−⁃"),
        *((blank, " ") for blank in "\u00a0\u1680\u2000\u2002\u2003\u2007\u2009\u200a\u202f\u205f\u3000"),
        *((blank, " ") for blank in "\u2028\u0085\u2800\u3164"),
        *((hidden, "") for hidden in "\u00ad\u061c\u180e\u200b\u200c\u200d\u200e\u200f\u2060\u2061\ufeff\ufe0f\u034f"),
        *((hidden, "") for hidden in "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"),
        ("…", "..."), ("‥", ".."), ("‼", "!!"), ("⁇", "??"), ("！", "!"), ("，", ","), ("［", "("), ("]", ")"),
    ],
)  # fmt: skip
def test_marks_with_an_ascii_equal_are_read_as_it_and_those_that_show_nothing_are_not(
    language: str, mark: str, plain: str
) -> None:
    word = {"en": "word", "ru": "дом"}[language]
    assert normalise(f"{word}{mark} {word}", language) == normalise(f"{word}{plain} {word}", language)
    assert normalise(f"{word}\u2066{word}\u2069", language) == word * 2


@pytest.mark.parametrize(
    ("written", "read"),
    [("ﬁne ﬂow", "fine flow"), ("Ｔｈｅ ５", "the five"), ("𝐁old", "bold"), ("Henry Ⅷ", "henry the eighth")],
)
def test_letters_and_digits_in_another_shape_are_plain_ones(written: str, read: str) -> None:
    assert normalise(written, "en") == read


def test_letters_of_another_script_in_a_cyrillic_word_are_read_as_those_they_look_like() -> None:
    assert normalise("привeт, дοм", "ru") == "привет, дом"


def test_accents_of_loan_words_fall_in_english() -> None:
    assert normalise("Café naïve Zoë", "en") == "cafe naive zoe"


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

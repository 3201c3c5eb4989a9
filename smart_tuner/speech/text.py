"""Text to symbols, English and Russian: numbers and abbreviations read out, letter case folded, nothing dropped."""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from num2words import num2words

from smart_tuner.errors import CorpusError

PAD, END = "_", "~"
PUNCTUATION = " !\"'(),-.:;?"
LETTERS = {"en": "abcdefghijklmnopqrstuvwxyz", "ru": "абвгдеёжзийклмнопрстуфхцчшщъыьэюя+"}

TYPOGRAPHY = str.maketrans(
    {
        "“": '"',
        "”": '"',
        "„": '"',
        "«": '"',
        "»": '"',
        "‘": "'",
        "’": "'",
        "–": "-",
        "—": "-",
        "−": "-",
        "…": "...",
        "[": "(",
        "]": ")",
    }
)
SIGNS = {
    "en": {"%": " percent ", "&": " and ", "+": " plus ", "=": " equals ", "@": " at ", "№": " number "},
    "ru": {"%": " процентов ", "&": " и ", "=": " равно ", "№": " номер "},
}
ABBREVIATIONS = {
    "en": {
        "mr.": "mister", "mrs.": "missus", "ms.": "miss", "dr.": "doctor", "st.": "saint", "prof.": "professor",
        "jr.": "junior", "sr.": "senior", "gen.": "general", "col.": "colonel", "capt.": "captain", "lt.": "lieutenant",
        "sgt.": "sergeant", "rev.": "reverend", "hon.": "honorable", "co.": "company", "ltd.": "limited",
        "etc.": "et cetera", "vs.": "versus", "e.g.": "for example", "i.e.": "that is",
    },
    "ru": {
        "т.е.": "то есть", "т.д.": "так далее", "т.п.": "тому подобное", "т.к.": "так как", "др.": "другие",
        "ул.": "улица", "руб.": "рублей", "коп.": "копеек", "тыс.": "тысяч", "млн": "миллионов", "млрд": "миллиардов",
        "стр.": "страница", "напр.": "например",
    },
}  # fmt: skip
STRESSED_VOWEL = re.compile("([аеиоуыэюя])\u0301")  # a combining acute accent marks Russian stress
NUMBER = {
    "en": re.compile(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?"),
    "ru": re.compile(r"\d{1,3}(?:[ \u00a0]\d{3})+(?:,\d+)?|\d+(?:[.,]\d+)?"),
}
LONGEST_NUMBER = 15
"""Digits from which a number is read digit by digit."""
ENGLISH_ORDINAL = re.compile(r"(\d{1,3}(?:,\d{3})+|\d{1,12})(?:st|nd|rd|th)\b")


@dataclass(frozen=True)
class SymbolTable:
    """The symbols a model knows, in the order of its embedding's rows; row 0 pads."""

    symbols: tuple[str, ...]

    @classmethod
    def of(cls, language: str) -> "SymbolTable":
        """The fixed table of a language: en or ru."""
        return cls((PAD, END, *PUNCTUATION, *LETTERS[language]))

    def encode(self, text: str) -> list[int]:
        """Row numbers of a normalised text, the end symbol last. Raises KeyError for a symbol outside the table."""
        rows = {symbol: row for row, symbol in enumerate(self.symbols)}
        return [rows[symbol] for symbol in (*text, END)]

    def unknown(self, texts: Iterable[str]) -> Counter[str]:
        """Symbols of normalised texts that the table lacks, with their counts."""
        counts = Counter(symbol for text in texts for symbol in text)
        known = set(self.symbols) - {PAD, END}
        return Counter({symbol: count for symbol, count in counts.items() if symbol not in known})


def detect_language(texts: Iterable[str]) -> str:
    """En or ru, by the script that most letters belong to. Raises CorpusError when there are no letters."""
    scripts = Counter(
        "ru" if "\u0400" <= letter <= "\u04ff" else "en" for text in texts for letter in text if letter.isalpha()
    )
    if not scripts:
        raise CorpusError(
            "The texts hold no letters, so their language cannot be told; set speech.language to en or ru."
        )
    return scripts.most_common(1)[0][0]


def normalise(text: str, language: str) -> str:
    """The text as it is read aloud, in the symbols of the language's table where these can write it."""
    text = unicodedata.normalize("NFC", text).translate(TYPOGRAPHY).lower()
    for sign, word in SIGNS[language].items():
        text = text.replace(sign, word)
    if language == "ru":
        text = STRESSED_VOWEL.sub(r"+\1", text)
        text = re.sub(r"\+(?![аеёиоуыэюя])", " плюс ", text)
    else:
        text = ENGLISH_ORDINAL.sub(
            lambda match: num2words(int(match[1].replace(",", "")), to="ordinal", lang="en"), text
        )
        text = "".join(mark for mark in unicodedata.normalize("NFKD", text).lower() if not unicodedata.combining(mark))
    for short, full in ABBREVIATIONS[language].items():
        text = re.sub(rf"(?<!\w){re.escape(short)}(?!\w)", full, text)
    text = NUMBER[language].sub(lambda match: read_number(match[0], language), text)
    return re.sub(r"\s+", " ", text).strip()


def read_number(digits: str, language: str) -> str:
    """A cardinal in words: 1,234.5 in English, 1 234,5 in Russian."""
    plain = digits.replace(",", "") if language == "en" else re.sub(r"[ \u00a0]", "", digits).replace(",", ".")
    if len(plain) > LONGEST_NUMBER:
        return " ".join(num2words(int(digit), lang=language) for digit in plain if digit.isdigit())
    value = float(plain) if "." in plain else int(plain)
    return str(num2words(value, lang=language)).replace(",", "")

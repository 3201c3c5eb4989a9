"""Text to symbols, English and Russian: numbers and abbreviations read out, letter case folded, nothing dropped."""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from smart_tuner.errors import CorpusError
from smart_tuner.speech import english, russian

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
        "\u2010": "-",  # hyphen
        "\u2011": "-",  # one at which no line breaks
        "–": "-",
        "—": "-",
        "−": "-",
        "…": "...",
        "[": "(",
        "]": ")",
        **dict.fromkeys("\u00ad\u200b\u2060\ufeff", ""),  # shown nowhere: soft hyphens, joints, byte order marks
    }
)
STRESSED_VOWEL = re.compile("([аеиоуыэюяАЕИОУЫЭЮЯ])\u0301")  # a combining acute accent marks Russian stress


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
    text = re.sub(r"\s+", " ", unicodedata.normalize("NFC", text).translate(TYPOGRAPHY)).strip()
    if language == "ru":
        text = russian.read_aloud(STRESSED_VOWEL.sub(r"+\1", text)).translate(TYPOGRAPHY)
    else:
        plain = unicodedata.normalize("NFKD", english.read_aloud(text))
        text = "".join(mark for mark in plain if not unicodedata.combining(mark))
    return re.sub(r"\s+", " ", text).strip()

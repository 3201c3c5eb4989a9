"""Symbols: what a model reads, in the order of its embedding's rows."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

PAD, END = "_", "~"
PUNCTUATION = " !\"'(),-.:;?"
LETTERS = {"en": "abcdefghijklmnopqrstuvwxyz", "ru": "абвгдеёжзийклмнопрстуфхцчшщъыьэюя+"}


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

"""Symbols: what a model reads, in the order of its embedding's rows."""

import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

PAD, END = "_", "~"
PUNCTUATION = " !\"'(),-.:;?"
LETTERS = {"en": "abcdefghijklmnopqrstuvwxyz", "ru": "абвгдеёжзийклмнопрстуфхцчшщъыьэюя+"}
LOOKALIKES = (
    "aаα", "bв", "cсϲ", "eеε", "hн", "iіι", "jјϳ", "kкκ", "mмμ", "nпη", "oоο", "pрρ", "rг", "sѕ", "tтτ", "uиυ", "vѵν",
    "xхχ", "yуγ", "ëё", "3з",
)  # fmt: skip
"""Letters of several scripts that look alike, as small letters or as capitals."""
SHOWN, LISTED = 3, 5
"""How many words and places are named for an unknown symbol, and how many symbols in one sentence."""


@dataclass(frozen=True)
class SymbolTable:
    """The symbols a model knows, in the order of its embedding's rows; row 0 pads. ValueError for no such table."""

    symbols: tuple[str, ...]

    def __post_init__(self) -> None:
        if self.symbols[:2] != (PAD, END) or len(set(self.symbols)) < len(self.symbols):
            raise ValueError("a symbol table begins with padding and end, and has every symbol once")

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


def describe_unknown(table: SymbolTable, texts: Sequence[tuple[str, str]]) -> list[str]:
    """A phrase for each symbol that a table lacks, the most frequent first: its name, what it looks like, where it is.

    The texts are (place, text as it is read).
    """
    phrases = []
    for symbol, count in table.unknown(text for _, text in texts).most_common():
        words = dict.fromkeys(word.strip(PUNCTUATION) for _, text in texts for word in text.split() if symbol in word)
        places = _some([place for place, text in texts if symbol in text])
        longer = [word for word in words if word not in ("", symbol)]
        within = f", in {_some(longer)}" if longer else ""
        phrases.append(f"{symbol!r} ({name_symbol(symbol, table, words)}), {count} times{within}: {places}")
    return phrases


def list_unknown(table: SymbolTable, texts: Sequence[tuple[str, str]]) -> str:
    """The phrases in one line, the first of many; empty when every symbol is known."""
    phrases = describe_unknown(table, texts)
    return "; ".join(phrases[:LISTED]) + (f"; and {len(phrases) - LISTED} more" if len(phrases) > LISTED else "")


def name_symbol(symbol: str, table: SymbolTable, words: Iterable[str]) -> str:
    """A symbol's Unicode name, and the letter that it looks like where all of a word could be the table's letters."""
    name = unicodedata.name(symbol, f"U+{ord(symbol):04X}")
    meant = _find_lookalike(symbol, table)
    if not meant or not any(all(_find_lookalike(letter, table) for letter in word) for word in words):
        return name
    return f"{name}, looks like {unicodedata.name(meant)} {meant}"


def _find_lookalike(symbol: str, table: SymbolTable) -> str:
    """The table's letter that a symbol is or looks like; empty for none."""
    if symbol in table.symbols:
        return symbol
    alike = next((group for group in LOOKALIKES if symbol in group), "")
    return next((letter for letter in alike if letter in table.symbols), "")


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")

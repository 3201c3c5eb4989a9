"""What the rules of both languages share: how a rule is written, and numerals."""

import re
from collections.abc import Callable
from itertools import pairwise

ReadingRule = tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]]
"""What a text is searched for, and how that is read."""
LONGEST_NUMBER = 15
"""Digits from which a number is read digit by digit."""

EXPONENTS = "⁰¹²³⁴⁵⁶⁷⁸⁹"
EXPONENT_DIGITS = str.maketrans(EXPONENTS + "⁺⁻", "0123456789+-")
FOOTNOTE = re.compile(
    rf"(?<![\w⁺⁻])[{EXPONENTS}]+(?!\w)"  # alone, or after a mark
    rf"|(?<=[^\W\d_]{{3}})[{EXPONENTS}]+(?!\w)"  # after a word; not km², mc²
    rf"|(?<=(?<!\d)[12]\d{{3}})[{EXPONENTS}]+(?!\w)"  # after a year
    rf"|(?<=\w)¹(?![\w{EXPONENTS}])"
)
"""Raised numbers that lead to a note: nobody says them."""
POWER = re.compile(rf"(?<=[\w)])([⁺⁻]?[{EXPONENTS}]+)(?!\w)")
"""What is raised after a number, or a letter: x², 10⁻³."""


def exponent(raised: str) -> int:
    """⁻³ as -3."""
    return int(raised.translate(EXPONENT_DIGITS))


def roman(numeral: str) -> int:
    """XIV as 14; letters from I to L."""
    values = [{"I": 1, "V": 5, "X": 10, "L": 50}[letter] for letter in numeral]
    return sum(-value if value < after else value for value, after in pairwise([*values, 0]))


def to_roman(number: int) -> str:
    """14 as XIV; numbers to 39."""
    tens, ones = divmod(number, 10)
    return "X" * tens + ("", "I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX")[ones]

"""What the rules of both languages share: how a rule is written, and numerals."""

import re
from collections.abc import Callable
from itertools import pairwise

ReadingRule = tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]]
"""What a text is searched for, and how that is read."""
LONGEST_NUMBER = 15
"""Digits from which a number is read digit by digit."""


def roman(numeral: str) -> int:
    """XIV as 14; letters from I to L."""
    values = [{"I": 1, "V": 5, "X": 10, "L": 50}[letter] for letter in numeral]
    return sum(-value if value < after else value for value, after in pairwise([*values, 0]))

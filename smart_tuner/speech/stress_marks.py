"""Russian stress as it is written: accents, and pluses before or after the vowel, become pluses before it."""

import re
from collections import Counter
from collections.abc import Sequence
from typing import Literal

from smart_tuner.speech import morphology

VOWELS = "аеёиоуыэюя"
ACCENTS = "\u0300\u0301\u0340\u0341\u00b4\u2032\u02ca"
"""Marks after a vowel that are stress: combining accents (grave: the secondary one), acutes and primes."""
STRESSED = re.compile(f"([{VOWELS}{VOWELS.upper()}])[{ACCENTS}]")
ACCENTED = re.compile("(?<=[а-яё])[áéóýѐѝ]|[áéóýѐѝ](?=[а-яё])", re.IGNORECASE)
"""A vowel composed with its accent in a Cyrillic word; the Latin ones look like the Cyrillic."""
PLAIN_VOWELS = str.maketrans("áéóýѐѝÁÉÓÝЀЍ", "аеоуеиАЕОУЕИ")
MARKED = re.compile(r"(?<![\w+-])(?=\+*[а-яё])(?=[а-яё-]*\+)[а-яё+]+(?:-[а-яё+]+)*(?![\w+-])", re.IGNORECASE)
"""A Cyrillic word with a plus in it, before it or after it; кто-то is one."""
Side = Literal["before", "after"]


def accents_to_pluses(text: str) -> str:
    """A composed text (NFC) whose accents over, or after, Cyrillic vowels are pluses before them."""
    return ACCENTED.sub(lambda found: "+" + found[0].translate(PLAIN_VOWELS), STRESSED.sub(r"+\1", text))


def place_stress(texts: Sequence[str]) -> list[str]:
    """The texts with each plus that is a stress mark before its vowel.

    A plus after the vowel is stress where it can be nothing else. Between two vowels it may belong to either: the
    text's other marks decide, without any those of the other texts.
    """
    habits = [find_habit(text) for text in texts]
    count = Counter(habits)
    usual: Side = "after" if count["after"] > count["before"] else "before"
    return [
        MARKED.sub(lambda found, side=habit: place_marks(found[0], side), text) if "+" in text else text  # type: ignore[misc]
        for text, habit in zip(texts, (habit or usual for habit in habits), strict=True)
    ]


def find_habit(text: str) -> Side | None:
    """The side of the vowels on which a text marks stress, told by the words that leave no choice."""
    words = [found[0] for found in MARKED.finditer(text)]
    before = any(_fits(word, "before") and not _fits(word, "after") for word in words)
    after = any(_fits(word, "after") and not _fits(word, "before") and _is_stressed(word) for word in words)
    return "after" if after and not before else "before" if before else None


def place_marks(word: str, side: Side) -> str:
    """A word with its pluses before the vowels that they stress; as it is where they are no stress."""
    if _fits(word, "before") and not (side == "after" and _fits(word, "after")):
        return word
    is_usual = side == "after" and min(map(len, word.split("+"))) < 3  # no sum of two words
    if _fits(word, "after") and (is_usual or _is_stressed(word)):
        return re.sub(f"([{VOWELS}])\\+", r"+\1", word, flags=re.IGNORECASE)
    return word


def is_sum(word: str) -> bool:
    """Whether a plus parts two words that are in the dictionary, and together they are none: мама+папа."""
    parts = word.split("+")
    return (
        len(parts) > 1
        and all(parts)
        and not morphology.is_word("".join(parts))
        and all(morphology.is_word(part) for part in parts)
    )


def _fits(word: str, side: Side) -> bool:
    """Whether each plus of a word has a vowel on that side."""
    neighbour = re.compile(f"\\+(?![{VOWELS}])" if side == "before" else f"(?<![{VOWELS}])\\+", re.IGNORECASE)
    return not neighbour.search(word)


def _is_stressed(word: str) -> bool:
    """Whether pluses after vowels are stress even where no other word says so."""
    bare = word.replace("+", "")
    vowels = sum(letter in VOWELS for letter in bare.lower())
    if vowels > 1:
        return not is_sum(word)
    return not word.endswith("+") and len(bare) > 2 and morphology.is_word(bare)

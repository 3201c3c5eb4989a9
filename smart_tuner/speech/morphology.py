"""Russian words in the dictionary of pymorphy3: whether one is there, and which forms a noun may have."""

import functools
from typing import Any

CASES = {"nomn": "n", "gent": "g", "gen2": "g", "datv": "d", "accs": "a", "ablt": "i", "loct": "p", "loc2": "p"}
"""pymorphy3's cases as num2words calls them."""
GENDERS = {"masc": "m", "femn": "f", "neut": "n"}


def is_word(word: str) -> bool:
    """Whether the dictionary has this form, whatever its letter case; е may stand for ё."""
    return bool(_analyser().word_is_known(word.lower()))


def is_exact_word(word: str) -> bool:
    """Whether the dictionary has this form, an е in it being no ё."""
    return is_word(word) and word.lower() in {parse.word for parse in _analyser().parse(word.lower())}


def find_noun_forms(word: str) -> set[tuple[str, str]]:
    """(Case, gender) of each singular noun that the dictionary has under this form, as num2words calls them."""
    if not is_word(word):
        return set()
    tags = [parse.tag for parse in _analyser().parse(word.lower()) if "NOUN" in parse.tag and "sing" in parse.tag]
    return {(CASES[tag.case], GENDERS[tag.gender]) for tag in tags if tag.case in CASES and tag.gender in GENDERS}


def find_kind(word: str) -> str:
    """The part of speech that a word most likely is, as pymorphy3 calls it; empty when it is in no dictionary."""
    return str(_analyser().parse(word.lower())[0].tag.POS or "") if word and is_word(word) else ""


@functools.cache
def _analyser() -> Any:
    from pymorphy3 import MorphAnalyzer

    return MorphAnalyzer()

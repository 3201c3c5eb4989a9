"""Texts as they are read aloud, English and Russian: numbers and abbreviations in words, nothing dropped."""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable

from smart_tuner.errors import CorpusError
from smart_tuner.speech.english import read_english
from smart_tuner.speech.russian import read_russian

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
        text = read_russian(STRESSED_VOWEL.sub(r"+\1", text)).translate(TYPOGRAPHY)
    else:
        plain = unicodedata.normalize("NFKD", read_english(text))
        text = "".join(mark for mark in plain if not unicodedata.combining(mark))
    return re.sub(r"\s+", " ", text).strip()

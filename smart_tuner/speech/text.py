"""Texts as they are read aloud, English and Russian: numbers and abbreviations in words, nothing dropped."""

import functools
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence

from smart_tuner.errors import CorpusError
from smart_tuner.speech.english import read_english
from smart_tuner.speech.russian import read_russian
from smart_tuner.speech.stress_marks import accents_to_pluses, place_stress

TYPOGRAPHY = {
    **dict.fromkeys("‘’‚‛‹›ʼʻʽˈˊˋ`´‵", "'"),
    "\u2212": "-",  # minus
    "\u02d7": "-",  # minus as a modifier
    "\u2043": "-",  # hyphen as a bullet
    "\u2044": "/",  # of fractions
    "\u2215": "/",  # division
    **dict.fromkeys("\u2800\u115f\u1160\u3164\uffa0", " "),  # blanks that count as signs or letters
    "[": "(",
    "]": ")",
}
"""What Unicode's categories do not tell."""
PLAIN_FORMS = ("<wide>", "<narrow>", "<small>", "<vertical>", "<font>", "<sub>")
"""Unicode's tags of letters, digits and signs that are plain ones in another shape."""

THOUSANDS = re.compile("(?<![\\d,.\u00a0\u2007\u2009\u202f])\\d{1,3}(?:[\u00a0\u2007\u2009\u202f]\\d{3})+(?!\\d)")
"""Groups of digits with blanks between them at which no line breaks: one number."""


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
    return normalise_all([text], language)[0]


def normalise_all(texts: Sequence[str], language: str) -> list[str]:
    """The texts of a corpus as they are read aloud; stress marks that may be read in two ways as most of them are."""
    plain = [simplify_text(text, language) for text in texts]
    if language == "ru":
        return [simplify_typography(read_russian(text)) for text in place_stress(plain)]
    return [_fold_blanks(_drop_accents(read_english(text))) for text in plain]


def simplify_text(text: str, language: str) -> str:
    """A text before it is read: in plain typography, what only the language's own typography says kept."""
    if language == "ru":
        return simplify_typography(accents_to_pluses(unicodedata.normalize("NFC", text)))
    return simplify_typography(THOUSANDS.sub(lambda found: re.sub(r"\D", ",", found[0]), text))


def simplify_typography(text: str) -> str:
    """Plain quotes, dashes and blanks; letters composed, their other shapes plain; without what shows nothing."""
    plain = "".join(map(_simplify, unicodedata.normalize("NFC", text)))
    return _fold_blanks(re.sub(r"(?<!\d)″", '"', re.sub(r"(?<!\d)′", "'", plain)))


@functools.cache
def _simplify(mark: str) -> str:
    """A character's ASCII equal, nothing for one that shows nothing, else itself."""
    if mark in TYPOGRAPHY:
        return TYPOGRAPHY[mark]
    category, compatible = unicodedata.category(mark), unicodedata.normalize("NFKC", mark)
    shape = unicodedata.decomposition(mark).partition(" ")[0]
    if category == "Cf" or "\ufe00" <= mark <= "\ufe0f" or mark == "\u034f":  # also variants and joints of glyphs
        return ""
    if category == "Zs":
        return " "
    if category == "Pd":
        return "-"
    if category in ("Pi", "Pf") or mark in "„‟":
        return '"'
    is_plain = shape in PLAIN_FORMS or (shape == "<compat>" and category[0] in "PLN" and category != "No")
    return TYPOGRAPHY.get(compatible, compatible) if is_plain and compatible.isascii() else mark


def _drop_accents(text: str) -> str:
    plain = unicodedata.normalize("NFKD", text)
    return "".join(mark for mark in plain if not unicodedata.combining(mark))


def _fold_blanks(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip()

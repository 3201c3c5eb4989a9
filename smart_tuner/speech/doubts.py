"""Pieces of texts that no rule is sure of: numbers of odd form, marks that may be stress or something else."""

import difflib
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from smart_tuner.speech import english_words, morphology
from smart_tuner.speech.english import COMMON_PARTS
from smart_tuner.speech.numerals import EXPONENTS
from smart_tuner.speech.russian import DAY_WORDS, PLURAL_WORDS, SUFFIXES
from smart_tuner.speech.stress_marks import MARKED, VOWELS, find_habit, is_sum, place_marks
from smart_tuner.speech.text import normalise_all, simplify_text

NUMBER = "a number that no rule is sure of"
PLUS = "a plus that may be stress or the word"
APOSTROPHE = "an apostrophe that may mark stress, which is not read (write молок+о)"
CAPITAL = "a capital that may mark stress, which is not read (write молок+о)"
MIXED = "a Cyrillic word with letters of another script"

SHOWN = 5
"""Pieces of a kind that are described."""
NUMERIC = re.compile(r"\S*\d\S*")
EDGES = "\"'()-.,:;!?"
AMOUNT = {"en": r"(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?", "ru": r"\d+(?:[.,]\d+)?"}
MONEY = {"en": "(?:US|A|C)?[$£€¥₹₽]", "ru": "[$£€₽]"}
MEASURES = {
    "en": "|".join(map(re.escape, [*english_words.UNITS, *english_words.SCALES, "%", "‰", "¢", "s", "'s"])),
    "ru": r"%|‰|°C?|°С|[а-яё]+(?:/[а-яё]+)?[²³]?",
}
CLOCK = r"(?:\d|[01]\d|2[0-3]):[0-5]\d(?::[0-5]\d)?|24:00(?::00)?"
SHAPES = {
    "en": (
        r"[\d,]+(?:st|nd|rd|th)(?:-[\d,]+(?:st|nd|rd|th))?(?:-[A-Za-z]+)*",
        r"\d{1,3}(?:'\d{3})+|\d{1,2}(?:,\d\d)+,\d{3}|\d{1,3}(?:\.\d{3})+,\d\d|\d{1,3}(?:\.\d{3}){2,}",
        r"[$£€]\d+,\d\d|\d+,\d\d?[€%]|\(0\)\d+|0\)\d+|\d+°[NSEW]",
        rf"(?:{CLOCK}|\d{{1,2}})[ap]\.?m\.?-(?:{CLOCK}|\d{{1,2}})[ap]\.?m",
        r"(?:1[3-9]|2\d|3[01])/(?:0?\d|1[0-2])/\d{4}|(?:0?\d|1[0-2])/(?:1[3-9]|2\d|3[01])/\d{4}",
        r"'?\d+0'?s(?:-[A-Za-z]+)*",
        r"(?:1?-?\(?\d{3}\)?-)?\d{3}-\d{4}",
        r"\(?\d{3}\)?",
        r"#\d+",
        rf"(?:{CLOCK})(?:[ap]\.?m)?",
        r"\d{1,2}(?:\.[0-5]\d)?[ap]\.?m",
        r"\d{1,2}:[0-5]\d\.\d{1,3}",
        r"\d{4}-\d\d-\d\d(?:T\d\d:\d\d(?::\d\d)?)?",
        r"[12]\d{3}/\d\d",
        r"\d{1,2}['′]\d{1,2}[\"″']?|\d+[′″]|\d+°\d+′(?:\d+″)?",
        r"\d+\.\d+/\d+|\d{4}/\d\d/\d\d|\d{1,2}\.\d{1,2}\.\d{4}|[12]\d{3}/[12]\d{3}|\d+/1000?|20/20",
        r"\d+h(?:\d+m?(?:in)?)?|\w+\^-?\d+|'?\d+0s-'?\d+0s|\d+%-\d+%|\d{3}\.\d{3}\.\d{4}",
        r"24/7|50/50|9/11|16:9|4:3|21:9",
    ),
    "ru": (
        rf"\d+-?(?:{SUFFIXES}|т[иь]|тью|мя|ей|ь[яею])",
        r"\d+%?-[а-яё]{3,}",
        r"\d{1,3}([.,])\d{3}(?:\1\d{3})+|\w+\^-?\d+|\d+%-[а-я]{1,2}",
        r"\d+-\d+-(?:[йяюмхе]|го|му|ми)",
        r"(?:8-)?\(?\d{3,5}\)?(?:-\d\d\d?){2,3}",
        r"(?:№|#)\d+",
        rf"{CLOCK}",
        r"\d{1,2}:[0-5]\d,\d{1,3}",
        r"\d{4}-\d\d-\d\d",
        r"\d{1,2}\.\d{1,2}\.(?:\d\d)?\d\d|\d{1,2}/\d{1,2}/\d{4}",
        r"[12]\d{3}/(?:[12]\d)?\d\d",
        r"\d+°\d+′(?:\d+″)?|\d+[′″]",
        r"\d{1,2}-?[а-г]",
        r"\d+[xх×]\d+",
        r"24/7|50/50|1?\d/1?\d{1,2}|16:9|4:3|21:9",
    ),
}
"""Numbers with marks in or around them that a rule reads, beside amounts and ranges of them."""
LETTERS = r"[^\W\d_]+"
CODE = rf"{LETTERS}(?:-?\d+)+(?:-?{LETTERS})*|\d+(?:-?[a-z])+(?:-{LETTERS}|-\d+)*"
"""Digits beside letters: MP3, COVID-19, 3D, 20-year-old."""
RATIO = re.compile(
    r"(?:счёт|счет|соотношени|пропорци|отношени|масштаб|формат|ratio|score|odds)\w*(?: of| is)? $", re.IGNORECASE
)
"""Words before 3:2 that say what it is."""
UNSURE = {
    "en": re.compile(
        r"\bat \d{1,2}\.[0-5]\d(?= (?!percent)[a-z]|[,.;:!?]|$)(?! ?[ap]\.?m)|"  # a time, or a decimal
        r"(?<![\d.,])\d{1,3} (?!000)\d{3}(?! ?\d)(?= [a-z])"  # thousands, or two numbers
        rf"|(?<!\d)[12]\d{{3}}[{EXPONENTS[2:]}]"  # a note, or a power
        r"|(?<![\d.,])[1-9]\d{0,2}\.000(?![\d,]|\.\d)"  # thousands, or a decimal
        r"|(?<![\d,.$£€])\d+,\d{1,2}(?=[^\d,%]|$)(?! ?[€%])"  # a decimal, or two numbers
    ),
    "ru": re.compile(
        rf"(?<!\d)[12]\d{{3}}[{EXPONENTS[2:]}](?! год)"
        r"|(?<![\d.,])[1-9]\d{0,2}\.000(?![\d,]|\.\d)"
        r"|(?<!\d)\d\d гг?\.(?= [а-яё])"  # a year, or grams
        r"|(?<![\w-])\d*[23]\d*е\d+(?![\w-])"
    ),
}
"""Forms that a rule reads in the likelier of two ways."""
LONE_DECADE = re.compile(r"(?<![\w-])([а-яё]+ )?(?:10|20|30)-е(?=\s*(?:[,;:!?)\"]|\.|$))", re.IGNORECASE)
"""A day or a decade."""
LONG_WORD = re.compile(rf"(?:[а-яё']*[{VOWELS}]){{2}}[а-яё']*(?![\w+'])", re.IGNORECASE)
"""A word of several vowels, without a mark."""
APOSTROPHES = re.compile(
    rf"(?<![\w'])(?!о'кей)[А-ЯЁ]?[а-яё]*(?:[{VOWELS}]'(?![а-яё]*')|(?<=[а-яё])'(?=[{VOWELS}]))[а-яё]*(?![\w'])"
)
"""A word with an apostrophe before or after a vowel; names have a capital beside theirs."""
STRANGER = "[A-Za-zÀ-ʯΑ-ω]"
MIXED_WORD = re.compile(rf"(?=\w*[Ѐ-ӿ])(?=\w*{STRANGER})[^\W\d_]+")
CAPITALS = re.compile(rf"(?<!\w)[А-ЯЁа-яё]?[а-яё]*(?<=[а-яёА-ЯЁ])[{VOWELS.upper()}][а-яё]*(?!\w)(?<![А-ЯЁ]{{2}})")
"""A word with a capital vowel after its first letter."""


@dataclass(frozen=True)
class Doubt:
    """A piece of a text that may be read otherwise than it is meant."""

    text: int
    """Which of the texts, from 0."""
    kind: str
    piece: str
    reading: str
    """How the piece and its neighbours are read."""


def find_doubts(texts: Sequence[str], language: str) -> list[Doubt]:
    """All pieces that no rule is sure of, in the order of the texts."""
    plain = [simplify_text(text, language) for text in texts]
    found = [_doubt(text, language) for text in plain]
    looked_at = [number for number, text in enumerate(plain) if found[number] or re.search(r"\d", text)]
    read = normalise_all([texts[number] for number in looked_at], language)
    return [
        Doubt(number, kind, piece, _reading_of(piece, plain[number], reading))
        for number, reading in zip(looked_at, read, strict=True)
        for kind, piece in found[number] or _doubt_reading(plain[number], reading)
    ]


def describe_doubts(texts: Sequence[tuple[str, str]], language: str) -> list[str]:
    """A line for each kind of doubt about (row, text): in how many rows, and the first ones as they are read."""
    doubts = find_doubts([text for _, text in texts], language)
    lines = []
    for kind in dict.fromkeys(doubt.kind for doubt in doubts):
        ours = [doubt for doubt in doubts if doubt.kind == kind]
        rows = len({doubt.text for doubt in ours})
        shown = "".join(
            f"\n    {texts[one.text][0]}: {_name_strangers(one)} is read: {one.reading}" for one in ours[:SHOWN]
        )
        more = f"\n    and {len(ours) - SHOWN} more" if len(ours) > SHOWN else ""
        lines.append(f"{kind}, in {rows} row{'' if rows == 1 else 's'}{shown}{more}")
    return lines


def _name_strangers(doubt: Doubt) -> str:
    """The piece, with the names of letters that only look as if they belonged there."""
    strangers = dict.fromkeys(letter for letter in doubt.piece if doubt.kind == MIXED and re.match(STRANGER, letter))
    return doubt.piece + (f" ({', '.join(map(unicodedata.name, strangers))})" if strangers else "")


def _doubt(text: str, language: str) -> list[tuple[str, str]]:
    """Kinds and pieces of a text; a piece within another is not told again."""
    pieces: list[tuple[str, str]] = []
    for kind, piece in (*_doubt_numbers(text, language), *(_doubt_marks(text) if language == "ru" else ())):
        if not any(piece in told for _, told in pieces):
            pieces.append((kind, piece))
    return pieces


def _doubt_reading(text: str, read: str) -> Iterator[tuple[str, str]]:
    """Numbers whose readings hold what no person says: an ending alone, a colon within a word."""
    for found in NUMERIC.finditer(text):
        ending = re.search(rf"\d-({SUFFIXES})$", piece := found[0].strip(EDGES))
        reading = _reading_of(piece, text, read)
        if re.search(r"\w[:^*/=]\w", reading) or (ending and re.search(rf"(?<!\w){ending[1]}(?!\w)", reading)):
            yield NUMBER, piece


def _doubt_numbers(text: str, language: str) -> Iterator[tuple[str, str]]:
    for found in NUMERIC.finditer(text):
        piece = found[0].strip(EDGES)
        if not _is_sure(piece, language) and not (":" in piece and RATIO.search(text[: found.start()])):
            yield NUMBER, piece
    yield from ((NUMBER, found[0].strip()) for found in UNSURE[language].finditer(text))
    if language == "ru":
        yield from ((NUMBER, found[0]) for found in LONE_DECADE.finditer(text) if not _tells(found[1]))


def _tells(before: str | None) -> bool:
    """Whether a word says that 30-е is a day, or a decade."""
    word = (before or "").strip().lower()
    return word in (*DAY_WORDS, *PLURAL_WORDS) or word.endswith(("ые", "ие"))


def _is_sure(piece: str, language: str) -> bool:
    """Whether a number with the marks around it has a form that a rule reads."""
    amount, money, measures = AMOUNT[language], MONEY[language], MEASURES[language]
    one = rf"[+±≈≤≥~-]?(?:{money})?[+-]?{amount}(?:{measures}|{money})?\+?"
    raised = rf"(?:{LETTERS}|[\d.,)]+|[\d.,]*{LETTERS})[⁺⁻]?[{EXPONENTS}]+"
    joined = rf"(?:{one})(?:(?:-|[+=×÷x*±]|\.\.\.?)(?:{one}))*"
    shapes = (
        joined,
        raised,
        CODE,
        r"\+\d[\d()-]*",
        r"v?\d+(?:\.\d+){2,}",
        r"\d*[¼-¾⅐-⅞]",
        rf"{amount}×10[⁺⁻]?[{EXPONENTS}]+",
        rf"(?:{CLOCK})-(?:{CLOCK})",
        *SHAPES[language],
    )
    return any(re.fullmatch(shape, piece, re.IGNORECASE) for shape in shapes) or _is_common_fraction(piece)


def _is_common_fraction(piece: str) -> bool:
    found = re.fullmatch(r"(\d{1,2})/(\d{1,2})%?", piece)
    return found is not None and int(found[1]) < int(found[2]) and int(found[2]) in COMMON_PARTS


def _doubt_marks(text: str) -> Iterator[tuple[str, str]]:
    """Marks in a Russian text that look like stress and are not read as such, or the other way round."""
    side, marked = find_habit(text) or "before", MARKED.findall(text)
    for word in marked:
        unplaced = place_marks(word, side) == word and re.search(rf"\+(?![{VOWELS}])", word, re.IGNORECASE)
        # Кино+ among words without marks may be a name that holds the word.
        alone = len(marked) == 1 and word.istitle() and word.endswith("+") and len(LONG_WORD.findall(text)) > 1
        if unplaced or alone or is_sum(word):
            yield PLUS, word
    if not re.search(r"(?<!\w)'[^']+'(?!\w)", text):  # a quotation
        for word in APOSTROPHES.findall(text):
            if LONG_WORD.fullmatch(word) and not morphology.is_word(word.replace("'", "ъ")):
                yield APOSTROPHE, word
    yield from ((MIXED, found[0]) for found in MIXED_WORD.finditer(text))
    yield from ((CAPITAL, found[0]) for found in CAPITALS.finditer(text) if morphology.is_word(found[0]))


def _reading_of(piece: str, text: str, read: str) -> str:
    """The words of a reading between those that stand before the piece in the text and those after it."""
    written, spoken = text.lower().split(), read.split()
    pieces = piece.lower().split()
    first = next((place for place, word in enumerate(written) if pieces[0] in word), 0)
    last, start, end = first + len(pieces), 0, len(spoken)
    before, after = ([word.replace("+", "") for word in side] for side in (written, spoken))
    for at, there, size in difflib.SequenceMatcher(None, before, after, autojunk=False).get_matching_blocks():
        if size and at < first:
            start = there + min(size, first - at)
        if at + size > last:
            end = min(end, there + max(0, last - at))
    return " ".join(spoken[start:end])

"""Russian as it is read aloud: ru-normalizr's rules, and a few of our own before and after them."""

import functools
import re
from collections.abc import Callable
from typing import Any

from num2words import num2words

LONGEST_NUMBER = 15
"""Digits from which a number is read digit by digit."""
CASES = {
    "genitive": "с со до от из у без для около после кроме более менее больше меньше свыше",
    "dative": "к ко",
}
"""Prepositions before a time of day."""
GOVERNING = (
    f"{' '.join(CASES.values())} о об в во на за по при над под перед через между против вместо среди про".split()
)
"""Words after which a number is left to the library, which finds its case."""
MARK = "|"
"""Keeps the library from reading two words together; gone afterwards."""
Rule = tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]]


def _number(value: int, case: str = "nominative") -> str:
    return str(num2words(value, lang="ru", case=case[0]))


def _digits(found: re.Match[str]) -> str:
    return " ".join(_number(int(digit)) for digit in found[0])


def _time(found: re.Match[str]) -> str:
    case = next((case for case, words in CASES.items() if (found[1] or "").strip().lower() in words.split()), "n")
    minutes = int(found[3])
    spoken = f"ноль {_number(minutes)}" if minutes < 10 else _number(minutes)
    return f"{found[1] or ''}{_number(int(found[2]), case)} {spoken}"


def _lone_number(found: re.Match[str]) -> str:
    return found[0] if found[1].lower() in GOVERNING else f"{found[1]} {_number(int(found[2]))}"


def _floor(found: re.Match[str]) -> str:
    case = {"е": "p", "а": "g", "у": "d"}[found[4]]
    ordinal = num2words(int(found[2]), lang="ru", to="ordinal", case=case)
    return f"{found[1]} {ordinal} {found[3]}"


def _telephone(found: re.Match[str]) -> str:
    return ", ".join(_number(int(group)) for group in found.groups())


BEFORE: list[Rule] = [
    (re.compile(rf"\d{{{LONGEST_NUMBER + 1},}}"), _digits),
    (re.compile(r"(?<![\d+])(8)[ -]?\(?(\d{3})\)?[ -]?(\d{3})[ -](\d\d)[ -](\d\d)(?!\d)"), _telephone),
    (re.compile(r"\b(\w+ )?([01]?\d|2[0-3]):([0-5]\d)(?![\d:])"), _time),
    # A number that counts nothing is named: press 1, the library would decline it.
    (re.compile(r"\b([а-яё]+) (\d{1,15})"
                r"(?=\s*(?:[,;:!?)](?!\d)|\.(?!\d)|—|$)| (?:и|или|для|чтобы|если|в|на|к|по)\b)", re.IGNORECASE),
     _lone_number),
    (re.compile(r"(?<=или )(\d{1,15})(?= —|[.,!?]?$)"), lambda found: _number(int(found[1]))),
    (re.compile(r"\b((?:не (?:хвата[ею]т|хватило|было|будет|осталось|стало)|нет) )(\d{1,15})\b", re.IGNORECASE),
     lambda found: found[1] + _number(int(found[2]), "genitive")),
    # The price of 1500: a genitive for the library, were there no mark between.
    (re.compile(r"\b(цена|стоимость|сумма|оклад|тариф|долг) (?=\d)", re.IGNORECASE), rf"\1 {MARK} "),
    (re.compile(r"\b(на|в|со?|до|от|к) (\d{1,2}) ((?:этаж|класс|курс|подъезд)([еау]))\b", re.IGNORECASE), _floor),
    (re.compile(r"\bЗАО\b"), "зао"),
    (re.compile(r"\b([Вв] \d{1,2}|[Вв] [IVX]+) в\.(?= )"), r"\1 веке"),
    (re.compile(r"\b([Кк] \d{1,2}|[Кк] [IVX]+) в\.(?= )"), r"\1 веку"),
]  # fmt: skip
"""Before the library, while digits and capitals are there."""
ABBREVIATIONS = {
    "им.": "имени", "проф.": "профессор", "акад.": "академик", "тов.": "товарищ", "тел.": "телефон",
    "напр.": "например", "пр.": "проспект", "пл.": "площадь", "пер.": "переулок", "тыс.": "тысяч", "коп.": "копеек",
    "чел.": "человек", "млн": "миллионов", "млрд": "миллиардов", "руб.": "рублей", "ул.": "улица", "стр.": "страница",
}  # fmt: skip
"""Those that the library leaves alone, at least where no number stands before them."""
SIGNS = {"%": "процентов", "&": "и", "=": "равно", "№": "номер"}
"""Where the library left them."""


def read_aloud(text: str) -> str:
    """A text in plain typography (normalise brings it there) as it is read; letter case is not kept."""
    full_stop = text.rstrip().endswith(".")
    text = re.sub(r"(?<=\s)-(?=\s)", "—", text)  # or the library takes it for a hyphen or a minus
    for pattern, replacement in BEFORE:
        text = pattern.sub(replacement, text)
    text = str(_library().normalize(text)).lower().replace(f" {MARK} ", " ")
    for short, full in ABBREVIATIONS.items():
        text = re.sub(rf"(?<!\w){re.escape(short)}(?!\w)", full, text)
    text = re.sub(r"\bв (?=втор)", "во ", re.sub(r"\bс (?=втор)", "со ", text))
    for sign, word in SIGNS.items():
        text = re.sub(rf"{re.escape(sign)}(?=[.,:;!?)])", f" {word}", text).replace(sign, f" {word} ")
    text = re.sub(r"\+(?![аеёиоуыэюя])", " плюс ", text)
    return text if full_stop else text.rstrip().removesuffix(".")  # initials leave a full stop behind


@functools.cache
def _library() -> Any:
    from ru_normalizr import NormalizeOptions, Normalizer

    return Normalizer(
        NormalizeOptions.tts(
            enable_latinization=False,  # a Latin word in a corpus is for its owner to spell as it was spoken
            remove_links=False,
            letter_vowel_mode="single",
            initials_pause_mode="preserve",
        )
    )

"""Russian as it is read aloud: ru-normalizr's rules, and a few of our own before and after them."""

import functools
import re
from typing import Any

from num2words import num2words

from smart_tuner.speech.numerals import LONGEST_NUMBER, ReadingRule, roman

CASES = {
    "genitive": "с со до от из у без для около после кроме более менее больше меньше свыше",
    "dative": "к ко",
}
"""Prepositions before a time of day."""
GOVERNING = (
    f"{' '.join(CASES.values())} о об в во на за по при над под перед через между против вместо среди про".split()
)
"""Words after which a number is left to the library, which finds its case."""
MARK = "\u241f"
"""Keeps the library from reading two words together; gone afterwards."""
CURRENCIES = {"$": "долларов", "€": "евро", "£": "фунтов"}
MONTHS = "(?:января|февраля|марта|апреля|мая|июня|июля|августа|сентября|октября|ноября|декабря)"
IN_MONTHS = "(?:январ|феврал|март|апрел|ма|июн|июл|август|сентябр|октябр|ноябр|декабр)[яеью]|зимой|весной|летом|осенью"
ENDS = r"(?=\s*(?:[,;:!?)](?!\d)|\.(?!\d)|—|$))"
"""The end of a phrase."""
ORDINAL_CASES = {"": "n", "о": "n", "ый": "n", "ая": "n", "а": "g", "ого": "g", "ой": "g", "у": "d", "ому": "d",
                 "е": "p", "ом": "p", "ую": "a"}  # fmt: skip
"""The case that a singular noun's or adjective's ending leaves an ordinal before it."""


def _number(value: int, case: str = "nominative") -> str:
    return str(num2words(value, lang="ru", case=case[0]))


def _digits(found: re.Match[str]) -> str:
    return " ".join(_number(int(digit)) for digit in found[0])


def _time(found: re.Match[str]) -> str:
    case = next((case for case, words in CASES.items() if (found[1] or "").strip().lower() in words.split()), "n")
    minutes = int(found[3])
    spoken = f"ноль {_number(minutes)}" if minutes < 10 else _number(minutes)
    return f"{found[1] or ''}{_number(int(found[2]), case)} {spoken}"


def _ordinal(value: int, ending: str, gender: str = "m") -> str:
    """In the case of a noun, or adjective, with that ending."""
    return str(num2words(value, lang="ru", to="ordinal", case=ORDINAL_CASES[ending], gender=gender))


def _lone_number(found: re.Match[str]) -> str:
    return found[0] if found[1].lower() in GOVERNING else f"{found[1]} {_number(int(found[2]))}"


def _floor(found: re.Match[str]) -> str:
    """The fifth floor, unless the noun's form says that floors are counted: 2 этажа, 21 этаж."""
    before, value, noun, ending = found[1] or "", int(found[2]), found[3], found[4] or found[5] or ""
    last = 0 if 10 < value < 20 else value % 10
    one = ending in ("", "о") and last == 1 and not (noun == "век" and value > 1)
    few = ending == "а" and 2 <= last <= 4 and not before
    return found[0] if one or few else f"{before}{_ordinal(value, ending, 'n' if ending == 'о' else 'm')} {noun}"


def _roman(found: re.Match[str]) -> str:
    gender = {"о": "n", "а": "f", "я": "f", "й": "f", "ю": "f"}.get(found[2][-1], "m")
    return f"{_ordinal(roman(found[1]), found[3] or '', gender)} {found[2]}"


def _none_of(found: re.Match[str]) -> str:
    """In the genitive, feminine before a noun or adjective that is."""
    gender = "f" if re.search("(?:ы|(?<!мен)и|[оеё]й)$", found[3] or "") else "m"
    return found[1] + str(num2words(int(found[2]), lang="ru", case="g", gender=gender))


def _telephone(found: re.Match[str]) -> str:
    zeros = ("ноль " * (len(group) - len(str(int(group)))) for group in found.groups())
    return ", ".join(zero + _number(int(group)) for zero, group in zip(zeros, found.groups(), strict=True))


def _jubilee(found: re.Match[str]) -> str:
    """25-летие from what the library makes of 25-летний."""
    return str(_library().normalize(f"{found[1]}-летний")).lower().removesuffix("летний") + found[2]


BEFORE: list[ReadingRule] = [
    (re.compile(rf"\d{{{LONGEST_NUMBER + 1},}}"), _digits),
    (re.compile(r"(?<![\d+])(8)[ -]?\(?(\d{3})\)?[ -]?(\d{3})[ -](\d\d)[ -](\d\d)(?!\d)"), _telephone),
    (re.compile(r"(?<![\d+])(8)(9\d\d|800)(\d{3})(\d\d)(\d\d)(?!\d)"), _telephone),
    (re.compile(r"\b24/7\b"), "24 на 7"),
    (re.compile(r"\b(\d{4})/(\d{4}) (учебн(ый|ого|ому|ом))\b"),
     lambda found: f"{_ordinal(int(found[1]), found[4])} - {_ordinal(int(found[2]), found[4])} {found[3]}"),
    (re.compile(r"(?<=[$€£])\d{1,3}(?: \d{3})+(?!\d)"), lambda found: found[0].replace(" ", "")),
    (re.compile(r"([$€£])\s?(\d[\d ]*(?:,\d+)?)\s?(тыс\.?|млн|млрд|трлн)(?!\w)"),
     lambda found: f"{found[2]} {found[3]} {CURRENCIES[found[1]]}"),
    (re.compile(r"\b(\w+ )?([01]?\d|2[0-3]):([0-5]\d)(?![\d:])"), _time),
    (re.compile(rf"(?<![\d.,:/-])(?<!\d )0\d+(?![.,:/-]?\d| (?:{MONTHS}|час|мин|сек|руб|коп))"), _digits),
    (re.compile(rf"\b((?:сегодня|завтра|послезавтра) )(\d{{1,2}})(?= {MONTHS}{ENDS})", re.IGNORECASE),
     lambda found: found[1] + _ordinal(int(found[2]), "о", "n")),
    (re.compile(rf"\b((?:{IN_MONTHS}) )(1[1-9]\d\d|20\d\d)(?:{ENDS}|(?= (?:я|он|она|они|мы|и|в|на)\b))", re.IGNORECASE),
     lambda found: found[1] + _ordinal(int(found[2]), "ого")),
    (re.compile(r"\b(\d{1,4})-(лети[еяюи]м?)\b"), _jubilee),
    # A number that counts nothing is named: press 1, the library would decline it.
    (re.compile(r"\b([а-яё]+) (\d{1,15})"
                r"(?=\s*(?:[,;:!?)](?!\d)|\.(?!\d)|—|$)| (?:и|или|для|чтобы|если|в|на|к|по)\b)", re.IGNORECASE),
     _lone_number),
    (re.compile(r"(?<=или )(\d{1,15})(?= —|[.,!?]?$)"), lambda found: _number(int(found[1]))),
    (re.compile(r"\b((?:не (?:хвата[ею]т|хватило|было|будет|осталось|стало)|нет) )(\d{1,15})\b(?= ([а-яё]+)|)",
                re.IGNORECASE), _none_of),
    # The price of 1500: a genitive for the library, were there no mark between.
    (re.compile(r"\b(цена|стоимость|сумма|оклад|тариф|долг) (?=\d)", re.IGNORECASE), rf"\1 {MARK} "),
    (re.compile(r"\b((?:со?|до|от|из|начал[оаеу]|кон(?:ец|ц[аеу])|середин[аеуы]|половин[аеуы]) )?"
                r"(?<!ряд )(?<!вагон )(\d{1,2}) "
                r"((?:этаж|класс|курс|подъезд|съезд|век)([еау]?)|мест([оеау]))\b", re.IGNORECASE), _floor),
    (re.compile(r"\b([IVX]+) (съезд|класс|курс|этаж|рейх|место|группа|миров(ая|ой|ую))\b"), _roman),
    (re.compile(r"\bкм/час\b"), "км/ч"),
    (re.compile(r"\bи пр\.(?=[,;:!?)]| [а-яё])"), "и прочее"),
    (re.compile(r"\bи пр\.$"), "и прочее."),
    (re.compile(r"\bв т\. ?ч\."), "в том числе"),
    (re.compile(r"\b(?:ЗАО|ООН)\b"), lambda found: found[0].lower()),
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


def read_russian(text: str) -> str:
    """A text in plain typography (normalise brings it there) as it is read; letter case is not kept."""
    full_stop = text.rstrip().endswith(".")
    text = re.sub(r"(?<=\d )-(?= \d+ =)", "минус", text)
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

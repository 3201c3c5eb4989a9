"""Russian as it is read aloud: ru-normalizr's rules, and a few of our own before and after them."""

import functools
import re
from typing import Any

from num2words import num2words

from smart_tuner.speech import morphology
from smart_tuner.speech.numerals import FOOTNOTE, LONGEST_NUMBER, POWER, ReadingRule, exponent, roman, to_roman

CASES = {
    "genitive": "с со до от из у без для около после кроме более менее больше меньше свыше",
    "dative": "к ко",
    "instrumental": "между перед",
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
SUFFIXES = "(?:[оы]го|[оы]му|[иы]ми|[ыио]й|[ыио]м|[ыи]х|[ую]ю|[ая]я|[оеыи]е|го|му|ми|[йямюхе])"
"""What is written of an ordinal after its digits: 5-го; or more than it need be: 5-ого."""
TIME = r"(\d|[01]\d|2[0-4]):([0-5]\d)"
CLOCK = {"h": ("час", "часа", "часов", "часам"), "m": ("минута", "минуты", "минут", "минутам"),
         "s": ("секунда", "секунды", "секунд", "секундам")}  # fmt: skip
"""One, two, many, and the dative of many."""
BY_UNITS = ("часами", "минутами", "секундами")
ONE_UNIT = {
    "i": ("часом", "минутой", "секундой"),
    "g": ("часа", "минуты", "секунды"),
    "d": ("часу", "минуте", "секунде"),
    "a": ("час", "минуту", "секунду"),
}
COUNTRY_CODE = r"\+ ?(?:[17]|2[07]|3[0-469]|4[013-9]|5[1-8]|6[0-6]|8[1246]|9[0-58]|[2-9]\d\d)"
"""Those of one and two digits; all others have three."""
PREPOSITIONAL, ACCUSATIVE = ("в", "во", "на", "о", "об", "при"), ("в", "во", "на", "за", "через")
"""Prepositions before a noun that its number follows, and before a time with seconds."""
DAY_WORDS = ("сегодня", "завтра", "послезавтра", "вчера", "позавчера", "на", "по", "за")
"""Before 30-е they make it a day."""
PLURAL_WORDS = ("в", "были", "эти", "те", "все", "наши", "про")
"""... and these a decade."""
GREEK = str.maketrans("ΑΒΕΗΚΜΝΟΡΤΥΧαεοκρχνυ", "АВЕНКМНОРТУХаеокрхуи")
"""Greek letters as the Cyrillic ones that they look like; in a Cyrillic word the library would name them."""
ZERO = {"n": "ноль", "g": "нуля", "d": "нулю", "a": "ноль", "i": "нулём", "p": "нуле"}
PERCENT_ENDINGS = {"й": "ый", "го": "ого", "му": "ому", "м": "ом", "я": "ая", "ю": "ую", "е": "ое", "х": "ых"}
METRES = {"м": "метр", "км": "километр", "см": "сантиметр", "мм": "миллиметр", "дм": "дециметр"}


def _number(value: int, case: str = "nominative", gender: str = "m") -> str:
    if value == 0:
        return ZERO[case[0]]
    return str(num2words(value, lang="ru", case=case[0], gender=gender))


def decline_ordinal(value: int, case: str = "n", gender: str = "m") -> str:
    """The ordinal of a number in a case (n, g, d, a, i, p) and gender (m, f, n, or p: plural); not of living things."""
    # num2words 0.5.14 makes the thousands of 10,500th an ordinal too wherever they are tens alone: they are a cardinal.
    thousands, rest = divmod(value, 1000)
    head = f"{_number(thousands * 1000)} ".removeprefix("одна ") if thousands and rest else ""
    options = {"case": case, "animate": False, **({"plural": True} if gender == "p" else {"gender": gender})}
    return head + str(num2words(rest if head else value, lang="ru", to="ordinal", **options))


def _digits(found: re.Match[str]) -> str:
    return " ".join(_number(int(digit)) for digit in found[0])


def _case_after(word: str | None) -> str:
    return next((case for case, words in CASES.items() if (word or "").strip().lower() in words.split()), "n")


def _time(found: re.Match[str]) -> str:
    if int(found[2]) == 24 and found[3] != "00":
        return found[0]
    return f"{found[1] or ''}{_clock(found[2], found[3], _case_after(found[1]))}"


def _clock(hours: str, minutes: str, case: str) -> str:
    spoken = _number(int(minutes))
    return f"{_number(int(hours), case)} {'ноль ' if int(minutes) < 10 else ''}{spoken}"


def _times(found: re.Match[str]) -> str:
    """From 10:00 to 18:00."""
    before = "" if (found[1] or "").strip().lower() in ("с", "со", "в") else found[1] or ""
    return f"{before}с {_clock(found[2], found[3], 'g')} до {_clock(found[4], found[5], 'g')}"


def _seconds(found: re.Match[str]) -> str:
    """Hours, minutes and seconds, in the case of the preposition before them."""
    case = _case_after(found[1])[0]
    case = "a" if (found[1] or "").strip().lower() in ACCUSATIVE else case
    parts = (_count(int(value), CLOCK[unit], case, unit) for unit, value in zip("hms", found.groups()[1:], strict=True))
    return f"{found[1] or ''}{' '.join(parts)}"


def _count(value: int, forms: tuple[str, str, str, str], case: str, unit: str) -> str:
    gender, last = "m" if unit == "h" else "f", 0 if 10 < value % 100 < 20 else value % 10
    words = str(num2words(value, lang="ru", case=case, gender=gender, animate=False)) if value else ZERO[case]
    if last == 1:
        noun = ONE_UNIT[case]["hms".index(unit)] if case in ONE_UNIT else forms[0]
    else:
        plural = BY_UNITS["hms".index(unit)] if case == "i" else forms[3]
        noun = plural if case in "di" else forms[1] if case in "na" and 2 <= last <= 4 else forms[2]
    return f"{words} {noun}"


def _ordinal(value: int, ending: str, gender: str = "m") -> str:
    """In the case of a noun, or adjective, with that ending."""
    return decline_ordinal(value, ORDINAL_CASES[ending], gender)


def _split_ordinal(found: re.Match[str]) -> str:
    """The thousands of an ordinal in words, so that the library, which takes num2words's, reads but the rest."""
    thousands, rest = divmod(int(found[1]), 1000)
    return f"{_number(thousands * 1000)} {rest}-{found[2]}" if rest and thousands > 9 else found[0]


def _after_noun(found: re.Match[str]) -> str:
    """Place 12 as the noun's own ordinal: место двенадцатое, на странице пятой."""
    before, noun, value, suffix, after = found[1] or "", found[2], int(found[3]), found[4], found[5] or ""
    if morphology.find_kind(noun) != "NOUN" or morphology.find_kind(after) in ("NOUN", "ADJF"):
        return found[0]  # 5-й группы: of what follows
    cases = "p" if before.strip().lower() in PREPOSITIONAL else "ngdaip"
    forms = sorted(morphology.find_noun_forms(noun), key=lambda form: "ngdaip".index(form[0]))
    for case, gender in forms:
        if case in cases and (said := decline_ordinal(value, case, gender)).endswith(suffix):
            return f"{before}{noun} {said}"
    return found[0]


def _decade(found: re.Match[str]) -> str:
    """The nineties; 10, 20 and 30 may be days."""
    before, value = (found[1] or "").strip().lower(), int(found[2])
    decade = value > 30 or before in PLURAL_WORDS or before.endswith(("ые", "ие"))
    if before in DAY_WORDS and value <= 30:
        return f"{found[1]}{decline_ordinal(value, 'n', 'n')}"
    return f"{found[1] or ''}{decline_ordinal(value, 'n', 'p')}" if decade else found[0]


def _ordinal_range(found: re.Match[str]) -> str:
    """10-11-е as two ordinals; the first of a plural too."""
    first, second, suffix = found[1], found[2], found[3]
    singular = suffix != "е" or ("n", "n") in morphology.find_noun_forms(found[4] or "")
    return f"{first + '-' + suffix if singular else decline_ordinal(int(first), 'n', 'p')} - {second}-{suffix}"


def _sure_ordinal(found: re.Match[str]) -> str:
    """With a suffix that leaves no choice."""
    case, gender = {"о": ("g", "m"), "у": ("d", "m"), "я": ("n", "f")}[found[2][-1]]
    return decline_ordinal(int(found[1]), case, gender)


def _classes(found: re.Match[str]) -> str:
    """3-4 класс and 5а класс; a single 5 класс has its own rule."""
    if not found[2] and not found[3]:
        return found[0]
    spoken = " - ".join(_ordinal(int(value), found[5]) for value in (found[1], found[2]) if value)
    return f"{spoken} {found[3].strip('-') + ' ' if found[3] else ''}{found[4]}"


def _percentage(found: re.Match[str]) -> str:
    """5%-го as 5%-ного, which the library reads."""
    return f"%-н{PERCENT_ENDINGS[found[1]]}"


def _season(found: re.Match[str]) -> str:
    """2019/20 as two numbers, unless it is a fraction."""
    following = (int(found[1]) + 1) % 100 == int(found[2][-2:])
    return f"{_number(int(found[1]))} - {_number(int(found[2]))}" if following else found[0]


def _hard_sign(found: re.Match[str]) -> str:
    """Об'явление as it was typed before keyboards had the letter."""
    word = found[0].replace("'", "ъ")
    return word if morphology.is_word(word) else found[0]


def _lone_area(found: re.Match[str]) -> str:
    return f"{' за ' if found[1] else ''}{'квадратный' if found[3] == '²' else 'кубический'} {METRES[found[2]]}"


def _ratio(found: re.Match[str]) -> str:
    """Sixteen to nine; elsewhere a score, or what nobody knows."""
    if found[1] or (found[2], found[3]) in (("16", "9"), ("4", "3"), ("21", "9")):
        return f"{found[1] or ''}{_number(int(found[2]))} к {_number(int(found[3]), 'd')}"
    return f"{_number(int(found[2]))} - {_number(int(found[3]))}"


def _power(found: re.Match[str]) -> str:
    return _power_words(exponent(found[1]))


def _power_words(power: int) -> str:
    if power in (2, 3):
        return " в квадрате" if power == 2 else " в кубе"
    return f" в {'минус ' if power < 0 else ''}{decline_ordinal(abs(power), 'p', 'f')} степени"


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
    return ", ".join(_group(group) for group in found.groups() if group)


def _group(digits: str) -> str:
    """Digits of a telephone number: 05 as ноль пять."""
    zeros = len(digits) - len(digits.lstrip("0"))
    return " ".join(["ноль"] * zeros + ([_number(int(digits))] if int(digits) else []))


def _international(found: re.Match[str]) -> str:
    """Plus, the country, and the groups as they are written, long ones in threes and twos."""
    if not 9 <= sum(map(str.isdigit, found[0])) <= 15:
        return found[0]
    written = re.findall(r"\d+", found[2])
    groups = [part for group in written for part in split_digits(group, whole=len(written) == 1)]
    return f"плюс {', '.join(map(_group, [found[1].strip('+ '), *groups]))}"


def split_digits(group: str, whole: bool = False) -> list[str]:
    """Digits as telephone numbers are said: 7654321 as 765 43 21; `whole`: the code of a city comes first."""
    if len(group) < 4 or (len(group) == 4 and whole):
        return [group]
    if whole:
        return [group[:-7], *split_digits(group[-7:])] if len(group) > 7 else split_digits(group)
    first = 3 if len(group) % 2 else 2
    return [group[:first], *(group[place : place + 2] for place in range(first, len(group), 2))]


def _jubilee(found: re.Match[str]) -> str:
    """25-летие from what the library makes of 25-летний."""
    return str(_library().normalize(f"{found[1]}-летний")).lower().removesuffix("летний") + found[2]


BEFORE: list[ReadingRule] = [
    (FOOTNOTE, ""),
    (re.compile(r"(?<=\d)\+(?=[а-яё])", re.IGNORECASE), " плюс "),
    (re.compile("(?<=[а-яё])[Α-ω]|[Α-ω](?=[а-яё])", re.IGNORECASE), lambda found: found[0].translate(GREEK)),
    (re.compile(r"\b[а-яё]+[бвджзклмнпрстфх]'[еёюя][а-яё]*\b", re.IGNORECASE), _hard_sign),
    (re.compile(r"(?<![^\W\d_])((?:[кcсдм]?м|[kcdm]?m))(?=[²³])"), lambda found: found[1].replace("m", "м").replace(
        "k", "к").replace("c", "с").replace("d", "д")),
    (re.compile(r"(?:(?:(?<=руб)\.|(?<=[₽$€]))?(/))?(?<!\d )\b([ксдм]?м)([²³])"), _lone_area),
    (re.compile(rf"(?<!\bм)(?<!\b[ксдм]м){POWER.pattern}"), _power),
    (re.compile(rf"(?<![\w+])(?<!\d )({COUNTRY_CODE})((?:[ -]{{0,2}}\(?\d+\)?)+)(?![\d%]|[ -]?[=+*/])"),
     _international),
    (re.compile(r"№ ?(?=\d+-[а-яё]{1,3}(?!\w))"), "номер "),
    (re.compile(r"(?<=3)-(?:ь(?=[яею](?!\w))|ь?е(?=(?:го|му)(?!\w)))"), "-"),
    (re.compile(r"\b(\d{1,3}(?: \d{3})+)(?=,\d|-[а-яё])"), lambda found: found[1].replace(" ", "")),
    (re.compile(rf"\b(\d{{5,}})-({SUFFIXES})(?!\w)"), _split_ordinal),
    (re.compile(rf"\b(\d+)-(\d+)-({SUFFIXES})(?!\w)(?= ([а-яё]+)|)"), _ordinal_range),
    (re.compile(r"\b(\d+)-([ое]?го|[ое]?му|а?я)(?!\w)"), _sure_ordinal),
    (re.compile(r"\b((?:со?|перед|под|над|за|между) )(\d+)-[ыи]?м(?!\w)", re.IGNORECASE),
     lambda found: found[1] + decline_ordinal(int(found[2]), "i")),
    (re.compile(r"(?<=\d) ?%-(го|му|м|й|я|ю|е|х)(?!\w)"), _percentage),
    (re.compile(r"(?<=\d)м(?![\w²³/])"), " м"),
    (re.compile(r"(?<=\d{4})г\."), " г."),
    (re.compile(r"£ ?(\d[\d ]*(?:,\d+)?)"), r"\1 £"),
    (re.compile(r"\bд\. ?(\d+)/(\d+)"), r"дом \1 дробь \2"),
    (re.compile(r"(?<![\d/])(\d{1,2})/(\d{1,2})/(\d{4})(?![\d/])"), r"\1.\2.\3"),
    (re.compile(r"(?<![\d-])-(\d+)\.\.\.?([+-]?\d+)"), r"от -\1 до \2"),
    (re.compile(r"\b([сС]о? )(\d{1,2})\.([0-5]\d)( до )(\d{1,2})\.([0-5]\d)(?!\d|\.\d| (?:руб|процент|метр|кг|км))"),
     r"\1\2:\3\4\5:\6"),
    (re.compile(r"\b((?:в|с|до|к|после) \d{1,2})-00(?![\d-])", re.IGNORECASE), r"\1:00"),
    (re.compile(r"(?<=[\w)])\^(-\d+)(?![\w.])"), lambda found: _power_words(int(found[1]))),
    (re.compile(r"\b(\d{1,2})(?:-(\d{1,2}))?(-?[а-г])? ((?:класс|курс|этаж|подъезд)(е?))\b"), _classes),
    (re.compile(r"\b((?:19|20)\d\d)/((?:19|20)?\d\d)(?![\d/]| учебн)"), _season),
    (re.compile(r"(?<=\d)\.\.\.?(?=\d)|(?<=\d,\d)-(?=\d)|(?<=\d,\d\d)-(?=\d)"), " - "),
    (re.compile(r"\b([1-9]|1\d|2[01]) (?=вв?\.)"), lambda found: f"{to_roman(int(found[1]))} "),
    (re.compile(rf"\b((?:[вноп]|на|об|во|при|по) )?([а-яё]+) (\d+)-({SUFFIXES})(?!\w)(?= ([а-яё]+)|)",
                re.IGNORECASE), _after_noun),
    (re.compile(rf"(?<![\w-])([а-яё]+ )?(\d*[1-9]0|[12]\d00)-(?:ые|е)(?![\w-])(?=[\"']|{ENDS}| и \d)",
                re.IGNORECASE), _decade),
    (re.compile(rf"\d{{{LONGEST_NUMBER + 1},}}"), _digits),
    (re.compile(r"(?<![\d+])(8)[ -]?\(?(\d{3})\)?[ -]?(\d{3})[ -](\d\d)[ -](\d\d)(?!\d)"), _telephone),
    (re.compile(r"(?<![\d+-])(8)[ -]\(?(\d{3})\)?[ -](\d{3})(\d\d)(\d\d)(?!\d)"), _telephone),
    (re.compile(r"(?<![\d+])(8)(9\d\d|800)(\d{3})(\d\d)(\d\d)(?!\d)"), _telephone),
    (re.compile(r"(?<![\d+-])(?<!\d )((?:00)?\d{1,3})[ -]\(?(\d{2,3})\)?[ -](\d{3})-(\d\d)-(\d\d)(?![\d-])"),
     _telephone),
    (re.compile(r"(?<![\d+-])(?<!\d )(?:\((\d{3,5})\) ?)?(\d{3})-(\d\d)-(\d\d)(?![\d-])"), _telephone),
    (re.compile(r"\b(24|50)/(7|50)\b"), r"\1 на \2"),
    (re.compile(r"(?<=\d) ?[xх] ?(?=\d)"), " на "),
    (re.compile(r"(?<=\d)×(?=\d+(?!\s?=))"), " на "),
    (re.compile(r"№№ ?"), "номера "),
    (re.compile(r"#(?=\d)"), "№ "),
    (re.compile(r"~ ?(?=\d)"), "примерно "),
    (re.compile(rf"(?<=\d) с{ENDS}|(?<=\d)″"), " сек"),
    (re.compile(r"(?<=\d)′"), " мин"),
    (re.compile(r"\b(\d{4})/(\d{4}) (учебн(ый|ого|ому|ом))\b"),
     lambda found: f"{_ordinal(int(found[1]), found[4])} - {_ordinal(int(found[2]), found[4])} {found[3]}"),
    (re.compile(r"(?<=[$€£])\d{1,3}(?: \d{3})+(?!\d)"), lambda found: found[0].replace(" ", "")),
    (re.compile(r"([$€£])\s?(\d[\d ]*(?:,\d+)?)\s?(тыс\.?|млн|млрд|трлн)(?!\w)"),
     lambda found: f"{found[2]} {found[3]} {CURRENCIES[found[1]]}"),
    (re.compile(r"(?<![\d:])(\d{1,2}):([0-5]\d,\d{1,3})(?![\d:])"), r"\1 мин \2 сек"),
    (re.compile(rf"\b(\w+ )?{TIME}:([0-5]\d)(?![\d:])"), _seconds),
    (re.compile(rf"\b(\w+ )?{TIME} ?- ?{TIME}(?![\d:])"), _times),
    (re.compile(rf"\b(между ){TIME} и {TIME}(?![\d:])", re.IGNORECASE),
     lambda found: f"{found[1]}{_clock(found[2], found[3], 'i')} и {_clock(found[4], found[5], 'i')}"),
    (re.compile(rf"\b(\w+ )?{TIME}(?![\d:])"), _time),
    (re.compile(r"\b((?:соотношени|пропорци|отношени|масштаб|формат)\w* )?(?<![\d.,:])"
                r"(\d{1,15}):(\d{1,15})(?![\d:]|[.,]\d)", re.IGNORECASE), _ratio),
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
    full_stop = FOOTNOTE.sub("", text).rstrip().endswith(".")
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

"""English as it is read aloud: our own rules around the numbers in words of num2words."""

import re
import unicodedata

from num2words import num2words

from smart_tuner.speech.english_words import (
    ABBREVIATIONS,
    BEFORE_NUMBERS,
    COUNTED,
    CURRENCIES,
    ENDING,
    LETTERS_NOT_WORD,
    MONTHS,
    NO_NAMES,
    OPENERS,
    REGNAL,
    SCALES,
    SIGNS,
    UNITS,
)
from smart_tuner.speech.numerals import FOOTNOTE, LONGEST_NUMBER, POWER, ReadingRule, exponent, roman

NUMBER = r"\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?"
MONTH = rf"({'|'.join(MONTHS)}|(?:{'|'.join(month[:3] for month in MONTHS if len(month) > 3)}|Sept)\b\.?)"
DAY = r"(\d{1,2})(?:st|nd|rd|th)?"
CURRENCY = f"({'|'.join(map(re.escape, CURRENCIES))})"
CAPITAL = r"[\"'(]*[A-Z]"
"""What a new sentence begins with, ..."""
OPENER = rf"[\"'(]*(?:{'|'.join(OPENERS)})\b"
"""... after abbreviations that names follow, ..."""
NO_DAY = rf"(?![A-Z][a-z]+day\b|[A-Z]{{2,4}}\b|Eastern|Pacific|Central|Mountain){CAPITAL}"
"""... and after a time: 3 p.m. Tuesday, 3 p.m. EST."""
STREET = rf"(?=[,;:!?\"')]|\s*$| [a-z]| {OPENER})"
"""What follows St. and Dr. where they are roads."""
RAISED = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")
HALF = r"\s?([AaPp])\.?[Mm]\b\.?"
"""The half of a day."""
COMMON_PARTS = (*range(2, 11), 16, 32, 64, 100, 1000)
"""Denominators; 9/11 is no fraction."""
FIRST_PERSON = "am|love|like|have|think|know|will|want|need|see|do|can|could|would|should|must|hope|wish|miss|mean"
"""Words before which an I is no number: Mary I love you."""
YEAR_WORDS = {
    "in", "since", "of", "by", "from", "until", "till", "before", "after", "around", "circa", "year", "to", "between",
    "about", "during",
}  # fmt: skip
"""Words before which any four digits are a year."""
SINGULAR = {"was", "is", "has", "as", "its", "his", "this", "us", "yes", "thus"}
"""Words in s that no number counts."""


def cardinal(digits: str) -> str:
    """1,234.5 in words."""
    whole, _, parts = digits.replace(",", "").partition(".")
    words = str(num2words(int(whole))).replace(",", "")
    return f"{words} point {one_by_one(parts)}" if parts else words


def ordinal(digits: str) -> str:
    """1,000 as the one thousandth."""
    return str(num2words(int(digits.replace(",", "")), to="ordinal")).replace(",", "")


def year(digits: str) -> str:
    """1905 as nineteen oh five."""
    return str(num2words(int(digits), to="year")).replace("oh-", "oh ")


def one_by_one(digits: str) -> str:
    """555 as five five five."""
    return " ".join(cardinal(digit) for digit in digits)


def plural(word: str) -> str:
    """Nineteen eighty as nineteen eighties."""
    return word[:-1] + "ies" if word.endswith("y") else word + ("es" if word.endswith("x") else "s")


def _month(name: str) -> str:
    return next(month for month in MONTHS if month.startswith(name[:3])).lower()


def _date(found: re.Match[str]) -> str:
    """May 5, 2024, and what follows it."""
    after = f", {year(found[3])}" if found[3] else ""
    return f"{_month(found[1])} {ordinal(found[2])}{after}"


def _day_first(found: re.Match[str]) -> str:
    the = "" if found[1] or " of " in found[0] else "the "
    after = f" {year(found[4])}" if found[4] else ""
    return f"{found[1] or ''}{the}{ordinal(found[2])} of {_month(found[3])}{after}"


def _iso_date(found: re.Match[str]) -> str:
    if not (1 <= int(found[2]) <= 12 and 1 <= int(found[3]) <= 31):
        return found[0]
    return f"{MONTHS[int(found[2]) - 1].lower()} {ordinal(found[3])}, {year(found[1])}"


def _slashed_date(found: re.Match[str]) -> str:
    """13/5/2024 or 5/13/2024: where one number can be no month."""
    first, second = int(found[1]), int(found[2])
    if not (12 < max(first, second) <= 31 and 1 <= min(first, second) <= 12):
        return found[0]
    month, day = (second, first) if first > 12 else (first, second)
    return f"{MONTHS[month - 1].lower()} {ordinal(str(day))}, {year(found[3])}"


def _telephone(found: re.Match[str]) -> str:
    """Plus and each digit, groups apart."""
    digits = re.findall(r"\d+", found[0])
    if not 7 <= sum(map(len, digits)) <= 15:
        return found[0]
    return ("plus " if found[0].startswith("+") else "") + ", ".join(map(one_by_one, digits))


def _seconds(found: re.Match[str]) -> str:
    """14:30:05: a length of time and a time of day alike; with a half of the day a time only."""
    hours, minutes, seconds = (int(value) for value in found.groups()[:3])
    if found[4]:
        said = f" oh {cardinal(found[2][1])}" if 0 < minutes < 10 else f" {cardinal(found[2])}" if minutes else ""
        return f"{cardinal(found[1])}{said} and {_count(seconds, 'second')}" + _half(found, 4)
    return f"{_count(hours, 'hour')}, {_count(minutes, 'minute')} and {_count(seconds, 'second')}"


def _count(value: int, unit: str, units: str = "") -> str:
    return f"{cardinal(str(value))} {unit if value == 1 else units or unit + 's'}"


def _time(found: re.Match[str]) -> str:
    hour, minutes, half = found[1], found[2], found[3]
    if minutes == "00":
        spoken = "" if half else " o'clock" if 0 < int(hour) <= 12 else " hundred"
    else:
        spoken = f" oh {cardinal(minutes[1])}" if minutes[0] == "0" else f" {cardinal(minutes)}"
    return cardinal(hour) + spoken + (_half(found, 3) if half else "")


def _half(found: re.Match[str], group: int) -> str:
    return f" {found[group].lower()} m" + _full_stop(found, NO_DAY)


def _full_stop(found: re.Match[str], following: str = CAPITAL) -> str:
    """The stop of an abbreviation that also ends the sentence."""
    rest = found.string[found.end() :]
    return "." if found[0].endswith(".") and re.match(rf"[\"')]*(\s*$|\s+{following})", rest) else ""


def _money(found: re.Match[str]) -> str:
    one, many, small, smalls = CURRENCIES[found[1]]
    amount, scale = found[2], found[3]
    if scale:
        return f"{cardinal(amount)} {SCALES[scale]} {many}"
    whole, _, parts = amount.partition(".")
    if len(parts) != 2:
        return f"{cardinal(amount)} {one if amount == '1' else many}"
    said = [f"{cardinal(whole)} {one if whole == '1' else many}"] if int(whole.replace(",", "")) else []
    if int(parts):
        said.append(f"{cardinal(parts)} {small if int(parts) == 1 else smalls}")
    return " and ".join(said) or f"zero {many}"


def _money_after(found: re.Match[str]) -> str:
    """5 € as €5, for the rule of money."""
    return f"{found[2]}{found[1]}"


def _feet(found: re.Match[str]) -> str:
    return f"{_count(int(found[1]), 'foot', 'feet')} {_count(int(found[2]), 'inch', 'inches')}"


def _angle(found: re.Match[str]) -> str:
    seconds = f" {_count(int(found[2]), 'second')}" if found[2] else ""
    return f"° {_count(int(found[1]), 'minute')}{seconds}"


def _decimal_comma(found: re.Match[str]) -> str:
    """1.234,5 as 1234.5."""
    return f"{found[1].replace('.', '')}.{found[2]}"


def _power(found: re.Match[str]) -> str:
    power = exponent(found[1])
    if power in (2, 3):
        return " squared" if power == 2 else " cubed"
    return f" to the {'minus ' if power < 0 else ''}{cardinal(str(abs(power))) if power < 0 else ordinal(str(power))}"


def _unit(found: re.Match[str]) -> str:
    one, many = UNITS[found[2].rstrip(".")]
    return f"{cardinal(found[1])} {one if found[1] == '1' else many}" + _full_stop(found)


def _fraction(found: re.Match[str]) -> str:
    whole, above, below = found[1], int(found[2]), int(found[3])
    if not 0 < above < below or not (whole or below in COMMON_PARTS):
        return f"{whole or ''}{above} {below}"  # 24/7, 50/50
    part = {2: "half", 4: "quarter"}.get(below) or ordinal(str(below))
    part = f"{'a' if whole and above == 1 else cardinal(str(above))} {part if above == 1 else plural(part)}"
    return f"{cardinal(whole.strip())} and {part}" if whole else part


def _decade(found: re.Match[str]) -> str:
    return plural(year(found[1]).removeprefix("one ") if len(found[1]) == 4 else cardinal(found[1]))


def _dotted_date(found: re.Match[str]) -> str:
    return f"{MONTHS[int(found[2]) - 1].lower()} {ordinal(found[1])}, {year(found[3])}"


def _hours(found: re.Match[str]) -> str:
    """2h 30m."""
    return _count(int(found[1]), "hour") + (f" {_count(int(found[2]), 'minute')}" if found[2] else "")


def _season(found: re.Match[str]) -> str:
    """2019/20."""
    follows = (int(found[1]) + 1) % 100 == int(found[2][-2:])
    second = year(found[2]) if len(found[2]) == 4 else f"{'oh ' if found[2] < '10' else ''}{cardinal(found[2])}"
    return f"{year(found[1])} {second}" if follows else found[0]


def _four_digits(found: re.Match[str]) -> str:
    """A year, unless it counts something."""
    before, digits, after = (found[1] or "").lower(), found[2], (found[3] or "").lower()
    counts = (after.endswith("s") and after not in SINGULAR and not after.endswith("ss")) or after in COUNTED
    dated = before in YEAR_WORDS or 1100 <= int(digits) < 2100
    said = year(digits) if dated and not counts else cardinal(digits)
    if counts and digits.endswith("00") and digits[1] != "0":
        said = f"{cardinal(digits[:2])} hundred"
    return f"{found[1] or ''}{' ' if found[1] else ''}{said}"


def _roman(found: re.Match[str]) -> str:
    if found[1] in NO_NAMES:
        return found[0]
    number = str(roman(found[2]))
    if found[1] in COUNTED:
        return f"{found[1]} {cardinal(number)}"
    return f"{found[1]} the {ordinal(number)}" if len(found[2]) > 1 or found[1] in REGNAL else found[0]


def _capitals(found: re.Match[str]) -> str:
    """Letter by letter, unless it can be spoken as a word."""
    word, many = found[1], "'s" if found[2] else ""
    return " ".join(word) + many if word in LETTERS_NOT_WORD or not re.search("[AEIOUY]", word) else found[0]


def _dotted(found: re.Match[str]) -> str:
    return " ".join(found[0].replace(".", "")) + _full_stop(found, OPENER)


def _abbreviation(found: re.Match[str]) -> str:
    short = found[0].lower()
    return ABBREVIATIONS[short] + (_full_stop(found) if short in ENDING else "")


RULES: list[ReadingRule] = [
    (FOOTNOTE, ""),
    (re.compile(r"(?<=[\w)])\^(-?\d+)(?![\w.])"), lambda found: found[1].translate(RAISED)),
    (re.compile(rf"(?<!\b[kcm]m)(?<!\bm)(?<!\bft){POWER.pattern}"), _power),
    (re.compile(r"(?<![\w+])\+\d{1,3}(?:[ -]{0,2}\(?\d+\)?)+(?![\d%])"), _telephone),
    (re.compile(r"(?<![\d.-])(?<!\d )(?:1[ -]\d{3}([ -])\d{3}\1\d{4}|\d{3}\.\d{3}\.\d{4})(?![\d-]| \d)"), _telephone),
    (re.compile(r"(?<![\d.-])(?<!\d )0\d{1,4}(?: \d{3,8}| \d\d(?= \d)){1,4}(?![\d-]| \d)"), _telephone),
    (re.compile(r"(?<=ZIP )\d{5}\b|(?<=ZIP code )\d{5}\b"), lambda found: one_by_one(found[0])),
    (re.compile(r"\b([Cc]all(?:ed|ing)?|[Dd]ial(?:l?ed|l?ing)?|[Rr]ing|[Pp]hone) (911|999|112|411)\b(?! [a-z]+s\b)"),
     lambda found: f"{found[1]} {one_by_one(found[2])}"),
    # numbers as they are written elsewhere
    (re.compile(r"(?<![\w.,])(?<!\d )\d{1,3}(?:([ '])\d{3}(?:\1\d{3})*)(?=(?:st|nd|rd|th)\b|(?![\w'-]| \d|[.,]\d{3}))"),
     lambda found: re.sub("[ ']", ",", found[0])),
    (re.compile(r"(?<![\w.,])(\d{1,3}(?:\.\d{3})+|\d+),(\d{1,2})(?![\w,.]\d|\d)"), _decimal_comma),
    (re.compile(r"(?<![\w.,])\d{1,3}(?:\.\d{3}){2,}(?![\w.]|,\d{3})"), lambda found: found[0].replace(".", ",")),
    (re.compile(r"(?<=\d) ?(sq|cu)\b\.? ?(ft|m|km|mi|in|yd)\b\.?(?!\s*$)|(?<=\d) ?(sq|cu)\b\.? ?(ft|m|km|mi|in|yd)\b"),
     lambda found: f" {found[2] or found[4]}{'²' if (found[1] or found[3]) == 'sq' else '³'}"),
    (re.compile(r"(?<=\d)( ?[kcm]?m)([23])\b"), lambda found: found[1] + {"2": "²", "3": "³"}[found[2]]),
    (re.compile(r"(?<!\d)(?<!\d )\b([kcm]?m[²³])"), lambda found: UNITS[found[1]][0]),
    (re.compile(r"(?<=\d) ?bn\b(?<![$£€¥₹₽]\dbn)"), " billion"),
    (re.compile(r"(?<![\d/])(\d+\.\d+)/(\d+)(?![\d/])"), r"\1 out of \2"),
    (re.compile(r"(?<![\w.,])\d{1,2}(?:,\d\d)+,\d{3}(?![\d,])"), lambda found: found[0].replace(",", "")),
    (re.compile(r"(?<![\d.])(0?[1-9]|[12]\d|3[01])\.(0?[1-9]|1[0-2])\.(\d{4})(?![\d.])"), _dotted_date),
    (re.compile(r"(?<![\w.])\.(\d+)"), lambda found: f"point {one_by_one(found[1])}"),
    (re.compile(r"(?<![\d.,])\d+(?:\.\d+){2,}(?!\w)"), lambda found: found[0].replace(".", " point ")),  # a version
    (re.compile("[¼-¾⅐-⅞]"), lambda found: " " + unicodedata.normalize("NFKC", found[0]).replace("⁄", "/")),
    (re.compile(rf"\d{{{LONGEST_NUMBER + 1},}}"), lambda found: one_by_one(found[0])),
    (re.compile(r"(?<![\d-])(?:\(?(\d{3})\)?[ -])?(\d{3})-(\d{4})(?![\d-])"),
     lambda found: ", ".join(one_by_one(group) for group in found.groups() if group)),
    # dates
    (re.compile(r"(?<=\d{4}-\d\d-\d\d)T(?=\d\d:\d\d)"), ", "),
    (re.compile(r"(?<![\d/])(\d{1,2})/(\d{1,2})/(\d{4})(?![\d/])"), _slashed_date),
    (re.compile(r"\b((?:19|20)\d\d)/((?:19|20)?\d\d)(?![\d/])"), _season),
    (re.compile(r"\b(\d{4})/(\d\d)/(\d\d)(?![\d/])"), _iso_date),
    (re.compile(rf"\b([Tt]he )?{DAY}-(?={DAY} {MONTH})"), lambda found: f"the {ordinal(found[2])} to "),
    (re.compile(r"\b(\d{4})-(\d\d)-(\d\d)\b"), _iso_date),
    (re.compile(rf"\b{MONTH} {DAY}-{DAY}\b"),
     lambda found: f"{_month(found[1])} {ordinal(found[2])} to {ordinal(found[3])}"),
    (re.compile(rf"\b{MONTH} {DAY}\b(?![:\d])(?:,? (\d{{4}})\b)?"), _date),
    (re.compile(rf"\b([Tt]he )?{DAY}(?: of)? {MONTH}(?:,? (\d{{4}})\b)?"), _day_first),
    (re.compile(rf"\b{MONTH},? (\d{{4}})\b"), lambda found: f"{_month(found[1])} {year(found[2])}"),
    # ranges and minus, while units and money are still signs
    (re.compile(r"\b(1[1-9]\d\d|20\d\d)-(1[1-9]\d\d|20\d\d)\b"), lambda found: f"{year(found[1])} to {year(found[2])}"),
    (re.compile(rf"{CURRENCY}({NUMBER})-\1?(?=\d)"), r"\2 to \1"),
    (re.compile(r"(?<![\w-])(\d+)-(\d+)(?![\d/-]|[A-Za-z]+-)"), r"\1 to \2"),
    (re.compile(rf"(?:(?<=[\d ][apAP]m)|(?<=[ap]\.m\.)|(?<=°)|(?<=°[CF])|(?<=\d[kKmMB]))-(?={CURRENCY}?\d)"), " to "),
    (re.compile(r"(?<=\d%)-(?=\d)|(?<=\d0s)-(?='?\d+0s)"), " to "),
    (re.compile(rf"(?<![\w.)])-(?={CURRENCY}?\d)"), "minus "),
    # times
    (re.compile(rf"\b(1[0-2]|0?[1-9])\.([0-5]\d){HALF}"), _time),
    (re.compile(rf"\b(\d|[01]\d|2[0-4]):([0-5]\d):([0-5]\d)(?:{HALF})?(?![:\d]|\.\d)"), _seconds),
    (re.compile(r"\b(24):(00)()(?![:\d])"), _time),
    (re.compile(r"(?<![\d:])(\d{1,2}):([0-5]\d\.\d{1,3})(?![\d:])"),
     lambda found: f"{_count(int(found[1]), 'minute')} and {cardinal(found[2])} seconds"),
    (re.compile(r"\b([01]?\d|2[0-3]):([0-5]\d)(?:\s?([AaPp])\.?[Mm]\b\.?)?(?![:\d])"), _time),
    (re.compile(r"\b(1[0-2]|[1-9])\s?([AaPp])\.?[Mm]\b\.?"), lambda found: cardinal(found[1]) + _half(found, 2)),
    (re.compile(r"\b(\d+)h(?: ?(\d+)(?:m|min)?)?\b"), _hours),
    (re.compile(r"(?<![\d:.,])(\d+):(\d+)(?![\d:]|[.,]\d)"), r"\1 to \2"),  # a ratio, or a score
    # money, percent, units
    (re.compile(rf"(?<![\w.,$£€¥₹₽])({NUMBER})\s?([$£€¥₹₽])(?![\w.,]*\d)"), _money_after),
    (re.compile(r"(?<=\d)° ?(\d+)′(?: ?(\d+)″)?"), _angle),
    (re.compile(r"\b(\d{1,2})['′] ?(\d{1,2})(?:[\"″]|'')"),
     _feet),
    (re.compile(r"\b(\d+)″"), lambda found: _count(int(found[1]), "inch", "inches")),
    (re.compile(r"\b(\d+)′"), lambda found: _count(int(found[1]), "foot", "feet")),
    (re.compile(r"(?<=\d) ?[x×] ?(?=\d)"),
     lambda found: " times " if re.search("=| to the ", found.string) else " by "),
    (re.compile(r"\b(\d+) ft\.? (\d+) in\b\.?"),
     lambda found: _feet(found) + _full_stop(found)),
    (re.compile(r"~ ?(?=\d)"), "about "),
    (re.compile(rf"{CURRENCY}\s?({NUMBER})(?:\s?({'|'.join(SCALES)})\b)?"), _money),
    (re.compile(rf"({NUMBER})\s?¢"), lambda found: f"{cardinal(found[1])} cent{'' if found[1] == '1' else 's'}"),
    (re.compile(rf"(?<![\w.,])({NUMBER})\s?((?:ft|in|oz|lbs?|sec|min|hrs?)\.|"
                rf"{'|'.join(re.escape(unit) for unit in UNITS if unit != 'in')})(?![\w/])"), _unit),
    # decades, fractions
    (re.compile(r"(?<![\w.])'?(\d0|\d{3}0)'?s\b"), _decade),
    (re.compile(r"(?<![\d/])(\d+ )?(\d{1,2})/(\d{1,2}|1000?)(?![\d/])"), _fraction),
    # numbers
    (re.compile(r"\bNo\. ?(?=\d)|#(?=\d)"), "number "),
    (re.compile(rf"\b({'|'.join(map(re.escape, BEFORE_NUMBERS))}) ?(?=\d)"),
     lambda found: f"{BEFORE_NUMBERS[found[1]]} "),
    (re.compile(r"\bWW(I{1,2}|[12])\b"), lambda found: f"World War {'one' if found[1] in 'I1' else 'two'}"),
    (re.compile(r"(\d{1,3}(?:,\d{3})+|\d{1,12})(?:st|nd|rd|th)\b", re.IGNORECASE), lambda found: ordinal(found[1])),
    (re.compile(r"(?:\b([A-Za-z]+) )?(?<![\d.,])\b(\d{4})\b(?![.,]\d)(?= ([a-z]+)|)"), _four_digits),
    (re.compile(r"(?<![\d.,])0\d+(?![.,]?\d)"), lambda found: one_by_one(found[0])),  # agent 007
    (re.compile(rf"({NUMBER})s\b"), lambda found: plural(cardinal(found[1]).removeprefix("one "))),
    (re.compile(r"(?<=[^\W\d_])(?=\d)|(?<=\d)(?=[^\W\d_])"), " "),  # gate B12
    (re.compile(NUMBER), lambda found: cardinal(found[0])),
    # letters
    (re.compile(rf"\b([A-Z][a-z]+) ([IVXL]+)\b(?!'| (?:{FIRST_PERSON})\b)"), _roman),
    (re.compile(r"(?<![\w.])([A-HJ-Z])\.(?= (?:[A-Z]\.|[A-Z][a-z]))"), r"\1"),
    (re.compile(r"\b(?:[A-Z]\.){2,}|\bPh\.D\.|\bPhD\b"), _dotted),
    (re.compile(rf"(?<=[a-z] )St\.{STREET}"), lambda found: "street" + _full_stop(found)),
    (re.compile(rf"(?<![Tt]he )(?<=[a-z] )Dr\.(?! and M){STREET}"), lambda found: "drive" + _full_stop(found)),
    (re.compile(r"\b(Mr|Mrs|Ms|Dr|Prof|St)(?= [A-Z]| and Mrs)"), r"\1."),  # as in Britain
    (re.compile(rf"(?<![\w.])(?:{'|'.join(map(re.escape, ABBREVIATIONS))})(?!\w)", re.IGNORECASE), _abbreviation),
    (re.compile(r"\b(?!(?<=\bI )AM\b)([A-Z]{2,5})(s?)\b"), _capitals),
]  # fmt: skip
"""In this order: a rule sees what those before it left."""


def read_english(text: str) -> str:
    """A text in plain typography (normalise brings it there) as it is read; letter case is not kept."""
    if text.isupper() and len(re.findall("[A-Z]{2,}", text)) > 1:
        text = text.lower()  # capitals say nothing where all is capitals; a single word may be MP3
    for pattern, replacement in RULES:
        text = pattern.sub(replacement, text)
    for sign, word in SIGNS.items():
        text = re.sub(rf"{re.escape(sign)}(?=[.,:;!?)])", f" {word}", text).replace(sign, f" {word} ")
    return text.lower()

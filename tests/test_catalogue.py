"""A sentence is a key and its facts until somebody asks for a language."""

import re

import pytest

from smart_tuner.report import catalogue
from smart_tuner.report.catalogue import LANGUAGES, Catalogue, said

BRACES = re.compile(r"(?<!\{)\{(\w+)[^{}]*\}")


@pytest.fixture
def sentences(monkeypatch: pytest.MonkeyPatch) -> None:
    known = {
        "gain": {"en": "{gain:.2f} better than {what}", "ru": "лучше, чем {what}, на {gain:.2f}"},
        "baseline": {"en": "the baseline", "ru": "исходные настройки"},
        "those": {"en": "these: {names}", "ru": "вот они: {names}"},
    }
    monkeypatch.setattr(catalogue, "strings", lambda: known)


@pytest.mark.usefixtures("sentences")
def test_a_sentence_within_a_sentence_is_said_in_the_same_language() -> None:
    sentence = said("gain", gain=0.345, what=said("baseline"))
    assert Catalogue("en")(sentence) == "0.34 better than the baseline"
    assert Catalogue("ru")(sentence) == "лучше, чем исходные настройки, на 0.34"


@pytest.mark.usefixtures("sentences")
def test_lists_are_said_one_after_the_other() -> None:
    assert Catalogue("en")(said("those", names=["a", said("baseline"), 3])) == "these: a, the baseline, 3"


@pytest.mark.usefixtures("sentences")
def test_text_stays_what_it_is_braces_too() -> None:
    assert Catalogue("ru")("{x} <b>") == "{x} <b>"


@pytest.mark.usefixtures("sentences")
def test_a_key_or_a_fact_that_is_missing_is_no_empty_text() -> None:
    with pytest.raises(KeyError):
        Catalogue("en")(said("unheard"))
    with pytest.raises(KeyError):
        Catalogue("en")(said("gain", gain=1.0))


def test_every_sentence_is_there_in_every_language_with_the_same_facts() -> None:
    known = catalogue.strings()
    assert len(known) > 100
    for key, texts in known.items():
        assert list(texts) == list(LANGUAGES), key
        facts = [set(BRACES.findall(text)) for text in texts.values()]
        assert facts[0] == facts[1], key


def test_russian_is_russian() -> None:
    latin = {key: texts["ru"] for key, texts in catalogue.strings().items() if not re.search("[а-яё]", texts["ru"])}
    assert all(re.sub(r"\{[^{}]*\}|[\W\d_]", "", text) == "" or "." in text for text in latin.values()), latin

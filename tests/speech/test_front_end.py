"""The front end is one for training and synthesis: letters or phonemes, described in a checkpoint and read back."""

import sys
from pathlib import Path

import pytest

from smart_tuner.errors import SettingsError
from smart_tuner.settings.settings import load_settings
from smart_tuner.settings.speech import Speech
from smart_tuner.speech import corpus, demo, phonemes
from smart_tuner.speech.front_end import FrontEnd
from smart_tuner.speech.symbols import SymbolTable
from tests.support import voices


def spelled(text: str, language: str) -> str:
    return FrontEnd.of(Speech(front_end="phonemes"), language).read(text)


@pytest.mark.parametrize(
    "front_end", [FrontEnd("en"), FrontEnd("en", "phonemes"), FrontEnd("ru", "phonemes", "predicted")]
)
def test_what_a_checkpoint_keeps_of_it_gives_it_back(front_end: FrontEnd) -> None:
    described = front_end.described()
    assert all(isinstance(value, str) for value in described.values())
    assert FrontEnd.from_described(described) == front_end


@pytest.mark.parametrize("described", [{}, {"language": "de", "kind": "letters", "stress": "written"}])
def test_a_front_end_that_does_not_exist_is_named(described: dict[str, str]) -> None:
    with pytest.raises(SettingsError, match="language is one of en, ru; the checkpoint says"):
        FrontEnd.from_described(described)


def test_many_texts_are_read_as_one_by_one() -> None:
    texts = ["5 cats", "Mr. Lee", "5 cats"]
    assert FrontEnd("en").read_all(texts) == [FrontEnd("en").read(text) for text in texts]


def test_letters_are_the_language_s_own_table() -> None:
    assert FrontEnd("ru").symbols == SymbolTable.of("ru")
    assert FrontEnd("ru").read("5-й") == "пятый"


def test_phonemes_keep_the_punctuation_of_the_text() -> None:
    assert spelled("Hello, world! (Yes)", "en") == "həlˈoʊ, wˈɜːld! (jˈɛs)"
    assert spelled("Привет, мир!", "ru") == "prʲivʲˈet, mʲˈir!"
    assert spelled("дв+а - три", "ru") == "dvˈɑ - trʲˈɪ"


def test_phonemes_are_of_what_is_read_aloud() -> None:
    assert spelled("Dr. Lee has 2 cats", "en") == spelled("doctor lee has two cats", "en")


@pytest.mark.parametrize(
    ("written", "heard"),
    [
        ("at 7 a.m.", "æt sˈɛvən ˈeɪ ˈɛm."),
        ("the CIA met", "ðə sˈiː ˈaɪ ˈeɪ mˈɛt"),
        ("a B.A. here", "ɐ bˈiː ˈeɪ hˈɪɹ"),
        ("a DVD", "ɐ dˈiː vˈiː dˈiː"),
        ("it's a dog", "ɪts ɐ dˈɑːɡ"),
    ],
)
def test_a_spelled_a_is_a_letter_and_no_article(written: str, heard: str) -> None:
    assert spelled(written, "en") == heard


def test_a_nasal_vowel_is_a_symbol() -> None:
    read = spelled("a croissant", "en")
    assert "\u0303" in read
    assert not phonemes.phoneme_table("en").unknown([read])


@pytest.mark.slow
@pytest.mark.parametrize("language", ["en", "ru"])
def test_the_phoneme_table_can_write_the_demo_corpus(language: str) -> None:
    front_end = FrontEnd.of(Speech(front_end="phonemes"), language)
    assert len(set(front_end.symbols.symbols)) == len(front_end.symbols.symbols)
    assert not front_end.symbols.unknown(front_end.read_all(demo.read_sentences(language)))


def test_letters_of_another_script_are_left_for_the_check_to_name() -> None:
    assert spelled("да, wow", "ru") == "dˈɑ, wow"


@pytest.mark.parametrize(
    ("marked", "ipa"),
    [("з+амок", "zˈɑmʌk"), ("зам+ок", "zamˈok"), ("вода", "vʌdˈɑ"), ("м+ука и мук+а", "mˈuka ɪ mukˈɑ")],
)
def test_russian_stress_marks_decide_over_espeak(marked: str, ipa: str) -> None:
    assert spelled(marked, "ru") == ipa


@pytest.mark.parametrize(
    ("ipa", "word", "moved"),
    [
        ("ktˈotʌ", "кт+о-т+о", "ktˌotˈo"),
        ("vʌdʌvˈoz", "в+одов+оз", "vˌodʌvˈoz"),
        ("vʌdˈɑvʌz", "в+одов+оз", "vˌodʌvˈoz"),
        ("parˌavʌzˈok", "пар+ов+озок", "parˌovˈozʌk"),
    ],
)
def test_of_two_marks_the_last_is_primary_and_the_first_secondary(ipa: str, word: str, moved: str) -> None:
    assert phonemes.move_stress(ipa, word) == moved


@pytest.mark.parametrize("marked", ["с+ельскохоз+яйственный", "в+одопров+од", "жел+езнодор+ожный", "кр+айне-в+ажный"])
def test_a_compound_keeps_both_its_marks(marked: str) -> None:
    read = spelled(marked, "ru")
    assert (read.count("ˌ"), read.count("ˈ")) == (1, 1)
    assert read.index("ˌ") < read.index("ˈ")
    assert not phonemes.phoneme_table("ru").unknown([read])


def test_restressing_leaves_what_it_cannot_align() -> None:
    assert phonemes.move_stress("zamk", "з+амок") == "zamk"
    assert phonemes.move_stress("zˈamʌk", "замок+") == "zˈamʌk"
    assert phonemes.move_stress("fsʲˈɵ", "вс+ё") == "fsʲˈɵ"


def test_without_the_package_the_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "espeakng_loader", None)
    with pytest.raises(SettingsError, match=r"pip install espeakng-loader\).*speech\.front_end=letters"):
        FrontEnd("en", "phonemes").read("hello")


def test_a_corpus_is_read_by_the_front_end_it_carries(tmp_path: Path) -> None:
    rows = voices.write_rows(tmp_path, ["a|Hello 2", "b|five cats"])
    read = corpus.read_corpus([rows], load_settings("demo", None, ["speech.front_end=phonemes"]))
    assert read.front_end == FrontEnd("en", "phonemes")
    assert read.symbols == read.front_end.symbols
    assert {one.name: one.read_aloud for one in read.utterances}["a"] == "həlˈoʊ tˈuː"

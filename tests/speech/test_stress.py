"""Russian stress: what silero-stress makes of homographs, and that its first use changes nothing else."""

import sys

import pytest
import torch

from smart_tuner.errors import SettingsError
from smart_tuner.speech import stress
from smart_tuner.speech.front_end import FrontEnd
from smart_tuner.speech.symbols import SymbolTable

pytestmark = pytest.mark.slow  # loads a model

PREDICTED = FrontEnd("ru", "letters", "predicted")
HOMOGRAPHS = [
    ("На горе стоял старый замок.", "з+амок"),
    ("Он повесил на дверь замок.", "зам+ок"),
    ("Мы купили муку для пирога.", "мук+у"),
    ("Он терпел эту муку молча.", "м+уку"),
    ("Дорога была длинной.", "дор+ога"),
    ("Эта шуба слишком дорога.", "дорог+а"),
    ("Белки прыгают по веткам.", "б+елки"),
    ("Взбейте белки с сахаром.", "белк+и"),
    ("Мы пили парное молоко.", "парн+ое"),
    ("Она плачет и плачет.", "пл+ачет"),
    ("Он заплатил за уже сделанную работу.", "уж+е"),
    ("Из трубы вился дым.", "труб+ы"),
    ("Трубы текут.", "тр+убы"),
    ("Я плачу за обед.", "плач+у"),
    ("Я плачу от счастья.", "пл+ачу"),
    ("Окна дома выходят в сад.", "+окна"),
    ("У этого окна холодно.", "окн+а"),
    ("В лесу растут белые грибы.", "гриб+ы"),
    ("Он написал атлас мира.", "+атлас"),
    ("Платье сшито из атласа.", "атл+аса"),
    ("Мне нравится запах духов.", "дух+ов"),
    ("Он боится злых духов.", "д+ухов"),
    ("Все пришли вовремя.", "все пришл+и"),
    ("Все это правда.", "всё +это"),
    ("Ежик несет елку.", "+ёжик нес+ёт +ёлку"),
]
NOT_YET = [
    ("Учитель взял белый мел.", "б+елый мел", "taken for мёл, swept"),
    ("Большая часть пути позади.", "больш+ая", "taken for the greater part, б+ольшая"),
    ("Эта улица уже той.", "+уже", "taken for already"),
]


def read(text: str) -> str:
    pytest.importorskip("silero_stress", reason="the extra ru is not installed")
    return PREDICTED.read(text)


@pytest.mark.parametrize(
    ("written", "spoken"),
    [*HOMOGRAPHS, *(pytest.param(*row[:2], marks=pytest.mark.xfail(strict=True, reason=row[2])) for row in NOT_YET)],
)
def test_a_homograph_is_stressed_as_its_sentence_means_it(written: str, spoken: str) -> None:
    assert spoken in read(written)


def test_numbers_are_read_before_they_are_stressed() -> None:
    assert read("К 5 мая.") == "к п+ятому м+ая."


def test_marks_that_are_written_stay() -> None:
    assert "зам+ок" in read("На горе стоял старый зам+ок.")
    assert "з+амок" in read("Он повесил на дверь за\u0301мок.")


@pytest.mark.parametrize(
    "written",
    [
        "б+елый м+ел",
        "он взял м+ел, а не +уголь.",
        "пад+еж",
        "н+ебо",
        "соверш+енный",
        "л+ес и м+ел-то",
        "жел+езнодор+ожный",
    ],
)
def test_a_marked_word_is_no_other_word_with_yo(written: str) -> None:
    assert read(written) == written


@pytest.mark.parametrize(
    ("written", "spoken"),
    [("пош+ел", "пош+ёл"), ("бер+еза", "бер+ёза"), ("тр+ехлетний", "тр+ёхлетний"), ("передохн+ем", "передохн+ём")],
)
def test_a_marked_word_that_exists_with_yo_alone_gets_it(written: str, spoken: str) -> None:
    assert read(written) == spoken


def test_the_letters_table_can_write_what_is_stressed() -> None:
    assert not SymbolTable.of("ru").unknown([read(written) for written, _ in HOMOGRAPHS])


def test_stressing_leaves_threads_and_gradients_as_they_were(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("silero_stress", reason="the extra ru is not installed")
    monkeypatch.setattr(stress, "_accentor", stress._accentor.__wrapped__)
    for module in [name for name in sys.modules if name.startswith("silero_stress")]:
        monkeypatch.delitem(sys.modules, module)
    threads, torch_threads = torch.get_num_threads(), 2
    torch.set_num_threads(torch_threads)
    try:
        assert stress.predict(["молоко"]) == ["молок+о"]
        assert torch.get_num_threads() == torch_threads
        assert torch.is_grad_enabled()
    finally:
        torch.set_num_threads(threads)


def test_without_the_extra_the_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stress, "_accentor", stress._accentor.__wrapped__)
    monkeypatch.setitem(sys.modules, "silero_stress", None)
    with pytest.raises(SettingsError, match=r"pip install 'smart-tuner-tts\[ru\]'.*speech\.stress=written"):
        PREDICTED.read("молоко")


def test_english_has_no_stress_to_predict() -> None:
    with pytest.raises(SettingsError, match=r"speech\.stress=predicted is for Russian"):
        FrontEnd("en", "letters", "predicted")

"""The demo corpus: 600 sentences of our own in each language, spoken into an ordinary LJSpeech folder."""

import functools
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from smart_tuner.errors import CorpusError, StorageError
from smart_tuner.settings.settings import Settings, load_settings
from smart_tuner.speech import audio, corpus, demo
from smart_tuner.speech.preflight import prepare_examples
from smart_tuner.speech.symbols import SymbolTable
from smart_tuner.speech.text import detect_language, normalise
from tests.support import voices

ROOT = Path(__file__).parents[2]
LANGUAGES = pytest.mark.parametrize("language", ["en", pytest.param("ru", marks=pytest.mark.slow)])


@functools.cache
def read_aloud(language: str) -> tuple[str, ...]:
    return tuple(normalise(text, language) for text in demo.read_sentences(language))


@LANGUAGES
def test_there_are_600_sentences_and_no_two_alike(language: str) -> None:
    texts = read_aloud(language)
    assert len(set(texts)) == len(texts) == 600
    assert detect_language(texts) == language


@LANGUAGES
def test_every_symbol_is_known_and_every_letter_occurs(language: str) -> None:
    texts = read_aloud(language)
    table = SymbolTable.of(language)
    assert not table.unknown(texts)
    assert {letter for letter in table.symbols if letter.isalpha()} <= set("".join(texts))


@LANGUAGES
def test_sentences_fit_a_row_and_are_of_many_lengths(language: str) -> None:
    texts = demo.read_sentences(language)
    assert all(text == text.strip() and "|" not in text and text[-1] in ".?!" for text in texts)
    lengths = [len(text) for text in texts]
    assert min(lengths) >= 8
    assert max(lengths) <= 160
    assert max(lengths) > 3 * min(lengths)


def test_without_espeak_ng_the_sentence_says_what_to_install_and_nothing_is_half_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "espeakng_loader", None)
    with pytest.raises(
        CorpusError, match=r"needs the package espeakng-loader \(pip install espeakng-loader\); .*--data"
    ):
        demo.build(tmp_path, "en", voices.no_report)
    assert not [entry for entry in tmp_path.rglob("*") if entry.name != ".demo-en.lock"]


def test_a_corpus_that_is_there_is_not_spoken_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "read_sentences", lambda _: ["Раз.", "Два."])
    folder = demo.build(tmp_path, "ru", voices.no_report)
    monkeypatch.setitem(sys.modules, "espeakng_loader", None)
    assert demo.build(tmp_path, "ru", voices.no_report) == folder


DAMAGES: dict[str, Callable[[Path], object]] = {
    "a clip of zeros": lambda folder: (folder / CLIP).write_bytes(bytes((folder / CLIP).stat().st_size)),
    "half a clip": lambda folder: (folder / CLIP).write_bytes((folder / CLIP).read_bytes()[:1000]),
    "no clip": lambda folder: (folder / CLIP).unlink(),
    "empty rows": lambda folder: (folder / "metadata.csv").write_bytes(b""),
    "rows of zeros": lambda folder: (folder / "metadata.csv").write_bytes(bytes(50)),
    "no rows": lambda folder: (folder / "metadata.csv").unlink(),
    "no checksums": lambda folder: (folder / demo.CHECKSUMS).unlink(),
    "no good checksums": lambda folder: (folder / demo.CHECKSUMS).write_bytes(b"{}"),
    "no clips": lambda folder: shutil.rmtree(folder / "wavs"),
}
CLIP = "wavs/demo-en-0002.wav"


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_corpus_that_is_not_as_it_was_written_is_spoken_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    monkeypatch.setattr(demo, "read_sentences", lambda _: ["One.", "Two."])
    folder = demo.build(tmp_path, "en", voices.no_report)
    files, rows = sorted(folder.rglob("*.*")), (folder / "metadata.csv").read_text()
    assert len(files) == 4
    DAMAGES[damage](folder)
    assert demo.build(tmp_path, "en", voices.no_report) == folder
    assert (sorted(folder.rglob("*.*")), (folder / "metadata.csv").read_text()) == (files, rows)
    assert all(len(audio.read_audio(file)[0]) > 5000 for file in folder.rglob("*.wav"))
    monkeypatch.setattr(demo, "_speak_all", None)
    assert demo.build(tmp_path, "en", voices.no_report) == folder, "and is whole"


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    with pytest.raises(StorageError, match=r"demo corpus .*demo-en cannot be written"):
        demo.build(tmp_path / "file", "en", voices.no_report)


@pytest.mark.parametrize(("language", "letters"), [("en", "abcdefghij"), ("ru", "абвгдежзий")])
def test_the_demo_is_an_audible_ljspeech_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, language: str, letters: str
) -> None:
    few, seen = demo.read_sentences(language)[:6], []
    monkeypatch.setattr(demo, "read_sentences", lambda _: few)
    folder = demo.build(tmp_path, language, lambda done, total: seen.append((done, total)))
    assert seen == [(done, 6) for done in range(1, 7)]
    read = corpus.read_corpus([folder], Settings())
    assert [row.text for row in sorted(read.utterances, key=lambda row: row.name)] == few
    for row in read.utterances:
        samples, rate, channels = audio.read_audio(row.audio)
        assert (rate, channels) == (22050, 1)
        assert 4 < len(row.read_aloud) / (len(samples) / rate) < 30, "characters a second"
        assert 0.02 < np.sqrt(np.mean(samples**2)) < 0.5
    assert set(letters) & set("".join(row.read_aloud for row in read.utterances))


def test_a_longer_sentence_takes_longer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        demo, "read_sentences", lambda _: ["We met.", "We met at the old bridge by the river, at sunrise."]
    )
    folder = demo.build(tmp_path, "en", voices.no_report)
    short, long = (audio.read_audio(folder / "wavs" / f"demo-en-{number:04d}.wav")[0] for number in (1, 2))
    assert len(long) > 3 * len(short)


def test_each_language_has_its_voice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "read_sentences", lambda _: ["7777777."])
    spoken = {}
    for language in ("en", "ru"):
        folder = demo.build(tmp_path, language, voices.no_report)
        spoken[language] = len(audio.read_audio(folder / "wavs" / f"demo-{language}-0001.wav")[0])
    assert spoken["en"] > 1.1 * spoken["ru"], "the same number is longer in English"


@pytest.mark.slow
def test_two_programs_speak_the_same_samples(tmp_path: Path) -> None:
    program = (
        "import sys, pathlib; from smart_tuner.speech import demo; all_ = demo.read_sentences('en');"
        "demo.read_sentences = lambda _: all_[:3];"
        "demo.build(pathlib.Path(sys.argv[1]), 'en', lambda done, total: None)"
    )
    for name in ("one", "other"):
        subprocess.run([sys.executable, "-c", program, str(tmp_path / name)], check=True, cwd=ROOT)
    for clip in sorted((tmp_path / "one").rglob("*.wav")):
        assert clip.read_bytes() == (tmp_path / "other" / clip.relative_to(tmp_path / "one")).read_bytes()
    assert len(list((tmp_path / "one").rglob("*.wav"))) == 3


def test_a_build_that_was_interrupted_starts_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "read_sentences", lambda _: ["One.", "Two."])
    leftover = tmp_path / "demo-en.part" / "wavs" / "demo-en-0009.wav"
    leftover.parent.mkdir(parents=True)
    leftover.write_bytes(b"half")
    folder = demo.build(tmp_path, "en", voices.no_report)
    assert sorted(file.name for file in (folder / "wavs").iterdir()) == ["demo-en-0001.wav", "demo-en-0002.wav"]
    assert not leftover.parent.parent.exists()


def test_the_demo_preset_trains_on_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    few = demo.read_sentences("en")[:10]
    monkeypatch.setattr(demo, "read_sentences", lambda _: few)
    settings = load_settings("demo", None, ["hparams.batch_size=4"])
    folder = demo.build(tmp_path, "en", voices.no_report)
    read = corpus.read_corpus([folder], settings)
    examples = prepare_examples(read, settings, voices.cache_of(tmp_path, settings), voices.no_report)
    assert (len(examples.train), len(examples.validation), examples.corpus.language) == (9, 1, "en")

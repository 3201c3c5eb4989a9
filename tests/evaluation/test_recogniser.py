"""The recogniser learns a corpus's sounds from its mels alone, is trained once, and counts errors rightly."""

import dataclasses
import io
import math
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from model.ctc import CtcRecogniser
from smart_tuner.errors import CheckpointError, CorpusError, DataError, StorageError
from smart_tuner.evaluation import recogniser_training
from smart_tuner.evaluation.recogniser import Alphabet, Recogniser, levenshtein, recogniser_file
from smart_tuner.evaluation.recogniser_training import CPU, Best, RecogniserTraining, mask_spans, prepare_recogniser
from smart_tuner.settings.settings import Settings, Tracking
from smart_tuner.settings.speech import Speech
from smart_tuner.speech.corpus import Examples
from smart_tuner.speech.mel_file import write_mel
from smart_tuner.speech.symbols import SymbolTable
from tests.support import small

MINUTES = 60.0
ENGLISH = SymbolTable.of("en")


def nothing(_: int, __: int) -> None:
    """A report that nobody reads."""


def wanted(minutes: float = MINUTES) -> Settings:
    return dataclasses.replace(small.settings(), tracking=Tracking(recogniser_minutes=minutes))


def corpus(folder: Path, count: int = 14) -> Examples:
    return dataclasses.replace(small.corpus(folder), train=small.examples(folder / "mels", count))


@pytest.fixture
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    """A training of a few steps."""
    monkeypatch.setattr(recogniser_training, "UTTERANCES", 48)


def test_labels_are_letters_and_single_spaces() -> None:
    alphabet = Alphabet(ENGLISH.symbols)
    spelt = alphabet.spell(ENGLISH.encode("\"well - isn't it\", she said: 'half-done'..."))
    assert alphabet.text(spelt) == "well isnt it she said half done"
    assert alphabet.labels == (" ", *"abcdefghijklmnopqrstuvwxyz")
    assert alphabet.spell(ENGLISH.encode("?!")) == []


def test_stress_marks_are_not_written_and_phonemes_are() -> None:
    russian, phonemes = SymbolTable.of("ru"), SymbolTable(tuple("_~ .ˈˌaːnʲtɕ\u0303"))
    alphabet = Alphabet(russian.symbols)
    assert alphabet.text(alphabet.spell(russian.encode("з+амок, ёж"))) == "замок ёж"
    spoken = Alphabet(phonemes.symbols)
    assert spoken.text(spoken.spell(phonemes.encode("ˈaːnʲ ˌtɕa\u0303."))) == "aːnʲ tɕa\u0303"


@pytest.mark.parametrize(
    ("one", "other", "edits"),
    [("", "", 0), ("abc", "", 3), ("", "ab", 2), ("kitten", "sitting", 3), ("abc", "cab", 2), ("ab", "ab", 0)],
)
def test_edits_are_counted(one: str, other: str, edits: int) -> None:
    assert levenshtein(one, other) == edits


def test_the_error_rate_is_of_all_characters_together(monkeypatch: pytest.MonkeyPatch) -> None:
    recogniser = Recogniser(CtcRecogniser(8, 28), Alphabet(ENGLISH.symbols))
    texts, mels = [np.array(ENGLISH.encode(text)) for text in ("a", "bcdefghij.")], [np.zeros((8, 5), np.float32)] * 2
    monkeypatch.setattr(recogniser, "hear", lambda _: [[], recogniser.alphabet.spell(texts[1])])
    assert recogniser.error_rate(mels, texts) == 0.1
    monkeypatch.setattr(recogniser, "hear", lambda _: [[2, 3, 4]])
    assert recogniser.error_rate(mels[:1], texts[:1]) == 2.0
    assert math.isnan(recogniser.error_rate(mels[:1], [np.array(ENGLISH.encode("?"))]))


def test_padding_stays_empty_and_the_rest_is_masked_at_random() -> None:
    torch.manual_seed(0)
    frames_B = torch.tensor([200, 120])
    first, second = (mask_spans(torch.ones(2, 40, 200), frames_B) for _ in range(2))
    assert (first[1, :, 120:] == 0).all()
    assert not torch.equal(first, second)
    assert 0.4 < (first[0] != 0).float().mean() < 1.0


@pytest.mark.slow
def test_it_learns_to_read_sounds_it_was_not_trained_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recogniser_training, "UTTERANCES", 640)
    monkeypatch.setattr(recogniser_training, "BATCH", 8)
    train, others = small.examples(tmp_path, 60), small.examples(tmp_path, 20, seed=1)
    training = RecogniserTraining(train, Alphabet(small.SYMBOLS), small.MELS, CPU)
    recogniser = training.run(MINUTES * 60, nothing)
    assert recogniser.error_rate([np.load(one.mel) for one in others], [one.tokens for one in others]) < 0.3


def test_the_weights_with_the_fewest_errors_are_kept() -> None:
    network = CtcRecogniser(8, 5)
    best = Best(network)
    for number, error in enumerate((0.9, 0.4, 0.6), start=1):
        torch.nn.init.constant_(network.output.bias, error)
        best.look(number, error)
    assert (best.looks, best.found_at) == (3, 2)
    assert best.state["output.bias"].tolist() == pytest.approx([0.4] * 5)


@pytest.mark.slow
def test_a_training_that_gains_nothing_ends_in_its_second_half(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recogniser_training, "UTTERANCES", 400)
    monkeypatch.setattr(Recogniser, "hear", lambda *_: [[]])
    looked: list[int] = []
    training = RecogniserTraining(small.examples(tmp_path, 9), Alphabet(small.SYMBOLS), small.MELS, CPU)
    training.run(MINUTES * 60, lambda done, _: looked.append(done))
    assert looked[0] < 400 / 2 < looked[-2] < 400 * 0.75


def test_a_mel_that_is_no_number_stops_the_training(tmp_path: Path) -> None:
    train = small.examples(tmp_path, 9)
    for example in train:
        write_mel(example.mel, np.full((small.MELS, example.frames), np.nan, np.float32))
    with pytest.raises(DataError, match="not finite at its step 1"):
        RecogniserTraining(train, Alphabet(small.SYMBOLS), small.MELS, CPU).run(MINUTES * 60, nothing)


def test_an_utterance_without_frames_says_nothing(tmp_path: Path) -> None:
    recogniser = Recogniser(CtcRecogniser(small.MELS, 11), Alphabet(small.SYMBOLS))
    mels = [np.zeros((small.MELS, 0), np.float32), np.load(small.examples(tmp_path, 1)[0].mel)]
    alone = recogniser.transcribe(mels[1:])
    assert recogniser.transcribe(mels) == ["", *alone]
    assert recogniser.transcribe([]) == []


@pytest.mark.usefixtures("brief")
def test_it_is_trained_once_for_a_corpus(tmp_path: Path) -> None:
    examples = corpus(tmp_path)
    reports: list[tuple[int, int]] = []
    file = prepare_recogniser(examples, wanted(), tmp_path / "kept", lambda *counts: reports.append(counts))
    assert reports[-1] == (48, 48)
    written = file.stat().st_mtime_ns
    assert prepare_recogniser(examples, wanted(), tmp_path / "kept", nothing) == file
    assert file.stat().st_mtime_ns == written


DAMAGES = {
    "empty": lambda whole: b"",
    "half": lambda whole: whole[: len(whole) // 2],
    "zeros": lambda whole: whole[: len(whole) // 2] + bytes(64) + whole[len(whole) // 2 + 64 :],
    "no network": lambda whole: saved({"symbols": list(small.SYMBOLS)}),
    "no dictionary": lambda whole: saved([1, 2]),
}


def saved(content: object) -> bytes:
    file = io.BytesIO()
    torch.save(content, file)
    return file.getvalue()


@pytest.mark.usefixtures("brief")
def test_a_file_that_is_not_as_it_was_written_is_trained_again(tmp_path: Path) -> None:
    examples = corpus(tmp_path)
    file = prepare_recogniser(examples, wanted(), tmp_path / "kept", nothing)
    whole = file.read_bytes()
    for damage, make in DAMAGES.items():
        file.write_bytes(make(whole))
        with pytest.raises(CheckpointError, match="the next training makes it again"):
            Recogniser.load(file)
        assert prepare_recogniser(examples, wanted(), tmp_path / "kept", nothing) == file
        assert Recogniser.load(file).cer_recorded > 0, damage


@pytest.mark.usefixtures("brief")
def test_it_is_kept_with_its_error_on_the_validation_recordings(tmp_path: Path) -> None:
    examples = corpus(tmp_path)
    recogniser = Recogniser.load(prepare_recogniser(examples, wanted(), tmp_path / "kept", nothing))
    recorded = [np.load(example.mel) for example in examples.validation]
    error = recogniser.error_rate(recorded, [example.tokens for example in examples.validation])
    assert recogniser.cer_recorded == error > 0


@pytest.mark.slow
@pytest.mark.usefixtures("brief")
def test_the_same_corpus_gives_the_same_recogniser_and_leaves_the_random_state(tmp_path: Path) -> None:
    torch.manual_seed(5)
    files = [prepare_recogniser(corpus(tmp_path), wanted(), tmp_path / name, nothing) for name in ("one", "other")]
    one, other = (Recogniser.load(file).network.state_dict() for file in files)
    assert all(torch.equal(one[name], other[name]) for name in one)
    after = torch.rand(1)
    torch.manual_seed(5)
    assert torch.equal(after, torch.rand(1))


@pytest.mark.slow
def test_the_clock_ends_a_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps, real = list[int](), recogniser_training.ctc_loss
    monkeypatch.setattr(recogniser_training, "time", SimpleNamespace(monotonic=lambda: float(len(steps))))
    monkeypatch.setattr(recogniser_training, "ctc_loss", lambda *given: steps.append(1) or real(*given))
    training = RecogniserTraining(small.examples(tmp_path, 9), Alphabet(small.SYMBOLS), small.MELS, CPU)
    training.run(20.0, nothing)
    assert 10 < len(steps) <= 20 < training.steps


def test_another_corpus_table_or_audio_setting_has_its_own_file(tmp_path: Path) -> None:
    def other(digest: str = "d", symbols: tuple[str, ...] = small.SYMBOLS, **speech: object) -> Path:
        return recogniser_file(tmp_path, digest, dataclasses.replace(wanted(), speech=Speech(**speech)), symbols)  # type: ignore[arg-type]

    files = [other(), other("e"), other(symbols=(*small.SYMBOLS, "j")), other(hop_length=200), other(trim_db=30.0)]
    assert len(set(files)) == 5
    assert other(validation_share=0.1) == other()


def test_utterances_that_ctc_cannot_align_are_left_out(tmp_path: Path) -> None:
    train = small.examples(tmp_path, 6)
    tokens = np.full(train[0].frames, 3, dtype=np.int64)
    spoilt = [dataclasses.replace(train[0], tokens=tokens), dataclasses.replace(train[1], tokens=np.array([0, 1]))]
    training = RecogniserTraining([*spoilt, *train[2:]], Alphabet(small.SYMBOLS), small.MELS, CPU)
    assert len(training.train) + len(training.held_out) == 4
    with pytest.raises(CorpusError, match="0 of 2 are such"):
        RecogniserTraining(spoilt, Alphabet(small.SYMBOLS), small.MELS, CPU)


def test_a_broken_file_is_named(tmp_path: Path) -> None:
    file = tmp_path / "broken.pt"
    file.write_bytes(b"no recogniser")
    with pytest.raises(
        CheckpointError, match=r"recogniser .*broken\.pt cannot be read .*the next training makes it again"
    ):
        Recogniser.load(file)


def test_a_folder_that_cannot_be_made_is_an_error_of_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot be written"):
        prepare_recogniser(corpus(tmp_path), wanted(), tmp_path / "file" / "kept", nothing)

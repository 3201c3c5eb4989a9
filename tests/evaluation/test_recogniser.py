"""The recogniser learns a corpus's sounds from its mels alone, is trained once, and counts errors rightly."""

import dataclasses
import io
import math
import time
from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from model.ctc import CtcRecogniser
from smart_tuner.errors import CheckpointError, DataError, StorageError
from smart_tuner.evaluation import recogniser_training
from smart_tuner.evaluation.recogniser import Alphabet, Recogniser, levenshtein, recogniser_file
from smart_tuner.evaluation.recogniser_training import (
    CPU,
    Best,
    RecogniserTraining,
    await_recogniser,
    list_alignable,
    mask_spans,
    prepare_recogniser,
)
from smart_tuner.settings.settings import Settings, Tracking
from smart_tuner.settings.speech import Speech
from smart_tuner.speech.batches import Example
from smart_tuner.speech.corpus import Examples
from smart_tuner.speech.mel_file import write_mel
from smart_tuner.speech.symbols import SymbolTable
from tests.support import small

STEPS = 6
ENGLISH = SymbolTable.of("en")


def nothing(_: int, __: int) -> None:
    """A report that nobody reads."""


def wanted(steps: int = STEPS) -> Settings:
    return dataclasses.replace(small.settings(), tracking=Tracking(recogniser_steps=steps))


def corpus(folder: Path, count: int = 14) -> Examples:
    return dataclasses.replace(small.corpus(folder), train=small.examples(folder / "mels", count))


def training_of(train: Sequence[Example]) -> RecogniserTraining:
    alphabet = Alphabet(small.SYMBOLS)
    return RecogniserTraining(list_alignable(train, alphabet), alphabet, small.MELS, CPU)


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
def test_it_learns_to_read_sounds_it_was_not_trained_on(tmp_path: Path) -> None:
    train, others = small.examples(tmp_path, 60), small.examples(tmp_path, 20, seed=1)
    recogniser = training_of(train).run(80, nothing)
    assert recogniser.error_rate([np.load(one.mel) for one in others], [one.tokens for one in others]) < 0.3


def test_the_weights_with_the_fewest_errors_are_kept() -> None:
    network = CtcRecogniser(8, 5)
    best = Best(network)
    for error in (0.9, 0.4, 0.6):
        torch.nn.init.constant_(network.output.bias, error)
        best.look(error)
    assert (best.looks, best.found_at) == (3, 2)
    assert best.state["output.bias"].tolist() == pytest.approx([0.4] * 5)


@pytest.mark.parametrize(
    ("errors", "steps"),
    [
        ([0.9, *[0.9] * 20], 7),  # no gain in six looks
        ([0.9, 0.8, 0.8, 0.8, 0.7, *[0.9] * 20], 11),
        ([0.9, 0.5, 0.03], 3),  # good enough
        ([0.9 - 0.01 * look for look in range(30)], 20),  # the bound
    ],
)
def test_steps_and_the_error_held_out_end_a_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, errors: list[float], steps: int
) -> None:
    taken, looked, left, real = list[int](), list[int](), iter(errors), recogniser_training.ctc_loss
    monkeypatch.setattr(recogniser_training, "LOOK_STEPS", 1)
    monkeypatch.setattr(recogniser_training, "ctc_loss", lambda *given: taken.append(1) or real(*given))
    monkeypatch.setattr(RecogniserTraining, "_held_out_error", lambda *_: next(left))
    training_of(small.examples(tmp_path, 9)).run(20, lambda done, _: looked.append(done))
    assert len(taken) == steps
    assert looked == [*range(1, steps + 1), 20]


def test_a_mel_that_is_no_number_stops_the_training(tmp_path: Path) -> None:
    train = small.examples(tmp_path, 9)
    for example in train:
        write_mel(example.mel, np.full((small.MELS, example.frames), np.nan, np.float32))
    with pytest.raises(DataError, match="not finite at its step 1"):
        training_of(train).run(STEPS, nothing)


def test_an_utterance_without_frames_says_nothing(tmp_path: Path) -> None:
    recogniser = Recogniser(CtcRecogniser(small.MELS, 11), Alphabet(small.SYMBOLS))
    mels = [np.zeros((small.MELS, 0), np.float32), np.load(small.examples(tmp_path, 1)[0].mel)]
    alone = recogniser.transcribe(mels[1:])
    assert recogniser.transcribe(mels) == ["", *alone]
    assert recogniser.transcribe([]) == []


def test_it_is_trained_once_for_a_corpus(tmp_path: Path) -> None:
    examples = corpus(tmp_path)
    reports: list[tuple[int, int]] = []
    file = prepare_recogniser(examples, wanted(), tmp_path / "kept", lambda *counts: reports.append(counts))
    assert reports[-1] == (STEPS, STEPS)
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


def test_it_is_kept_with_its_error_on_the_validation_recordings(tmp_path: Path) -> None:
    examples = corpus(tmp_path)
    recogniser = Recogniser.load(prepare_recogniser(examples, wanted(), tmp_path / "kept", nothing))
    recorded = [np.load(example.mel) for example in examples.validation]
    error = recogniser.error_rate(recorded, [example.tokens for example in examples.validation])
    assert recogniser.cer_recorded == error > 0


def test_the_same_corpus_gives_the_same_recogniser_and_leaves_the_random_state(tmp_path: Path) -> None:
    torch.manual_seed(5)
    files = [prepare_recogniser(corpus(tmp_path), wanted(), tmp_path / name, nothing) for name in ("one", "other")]
    one, other = (Recogniser.load(file).network.state_dict() for file in files)
    assert all(torch.equal(one[name], other[name]) for name in one)
    after = torch.rand(1)
    torch.manual_seed(5)
    assert torch.equal(after, torch.rand(1))


def test_a_slow_machine_gets_the_same_recogniser(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fast = training_of(small.examples(tmp_path, 9)).run(STEPS, nothing)
    clock = count(0.0, 1e6)
    for name in ("time", "monotonic", "perf_counter"):
        monkeypatch.setattr(time, name, lambda: next(clock))
    slow = training_of(small.examples(tmp_path, 9)).run(STEPS, nothing)
    one, other = fast.network.state_dict(), slow.network.state_dict()
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_one_thread_trains_it_wherever_it_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    threads, real, before = list[int](), recogniser_training.ctc_loss, torch.get_num_threads()
    counted: Callable[..., Tensor] = lambda *given: threads.append(torch.get_num_threads()) or real(*given)  # noqa: E731
    monkeypatch.setattr(recogniser_training, "ctc_loss", counted)
    torch.set_num_threads(3)
    try:
        prepare_recogniser(corpus(tmp_path), wanted(), tmp_path / "kept", nothing)
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)
    assert threads == [1] * STEPS


def test_a_recogniser_that_nobody_trains_any_more_is_trained_by_who_needs_it(tmp_path: Path) -> None:
    made = prepare_recogniser(corpus(tmp_path), wanted(), tmp_path / "kept", nothing)
    awaited = await_recogniser(corpus(tmp_path), wanted(), tmp_path / "other" / made.name)
    assert awaited.cer_recorded == Recogniser.load(made).cer_recorded
    assert {file.name for file in (tmp_path / "other").iterdir()} == {made.name, made.with_suffix(".lock").name}


FEW = {
    "punctuation alone": lambda one: dataclasses.replace(one, tokens=np.array([0, 1, 2])),
    "faster than any speech": lambda one: dataclasses.replace(one, tokens=np.full(one.frames, 3, np.int64)),
    "nothing": lambda one: dataclasses.replace(one, tokens=np.zeros(0, np.int64)),
}


@pytest.mark.parametrize("spoil", FEW)
def test_a_corpus_with_nothing_to_train_on_has_no_judge_and_says_why(tmp_path: Path, spoil: str) -> None:
    whole = corpus(tmp_path)
    spoilt = dataclasses.replace(whole, train=[whole.train[0], *map(FEW[spoil], whole.train[1:])])
    recogniser = Recogniser.load(prepare_recogniser(spoilt, wanted(), tmp_path / "kept", nothing))
    assert "1 of 14 are such" in recogniser.no_judge
    assert math.isnan(recogniser.cer_recorded)


@pytest.mark.parametrize(
    ("cer", "expected"),
    [(0.3, ""), (0.31, "is 31%, more than 30%"), (1.5, "is 150%, more than 30%"), (math.nan, "no letters")],
)
def test_who_reads_recordings_badly_is_no_judge(cer: float, expected: str) -> None:
    recogniser = Recogniser(CtcRecogniser(small.MELS, 11), Alphabet(small.SYMBOLS), cer)
    assert expected in recogniser.no_judge
    assert bool(expected) == bool(recogniser.no_judge)


def test_another_corpus_table_or_audio_setting_has_its_own_file(tmp_path: Path) -> None:
    def other(digest: str = "d", symbols: tuple[str, ...] = small.SYMBOLS, **speech: object) -> Path:
        return recogniser_file(tmp_path, digest, dataclasses.replace(wanted(), speech=Speech(**speech)), symbols)  # type: ignore[arg-type]

    files = [other(), other("e"), other(symbols=(*small.SYMBOLS, "j")), other(hop_length=200), other(trim_db=30.0)]
    assert len(set(files)) == 5
    assert other(validation_share=0.1) == other()
    assert recogniser_file(tmp_path, "d", wanted(STEPS + 1), small.SYMBOLS) not in files


def test_utterances_that_ctc_cannot_align_are_left_out(tmp_path: Path) -> None:
    train = small.examples(tmp_path, 6)
    tokens = np.full(train[0].frames, 3, dtype=np.int64)
    spoilt = [dataclasses.replace(train[0], tokens=tokens), dataclasses.replace(train[1], tokens=np.array([0, 1]))]
    training = training_of([*spoilt, *train[2:]])
    assert len(training.train) + len(training.held_out) == 4


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

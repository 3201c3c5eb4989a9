"""A corpus becomes examples: mels, symbols and a digest; one that the preflight calls bad is refused in one line."""

import shutil
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest

from smart_tuner.errors import CorpusError
from smart_tuner.settings.settings import Settings, load_settings
from smart_tuner.speech import corpus
from smart_tuner.speech.corpus import Examples
from smart_tuner.speech.preflight import prepare_examples
from tests.support import voices


def settings(*assignments: str) -> Settings:
    return load_settings("demo", None, ["hparams.batch_size=4", *assignments])


def names(utterances: Iterable[corpus.Utterance]) -> set[str]:
    return {utterance.name for utterance in utterances}


def train_on(sources: Iterable[Path], chosen: Settings, root: Path) -> Examples:
    """Read and prepare a corpus; the mel cache lies in root."""
    read = corpus.read_corpus(list(sources), chosen)
    return prepare_examples(read, chosen, voices.cache_of(root, chosen), voices.no_report)


def prepared(folder: Path) -> Examples:
    return train_on([folder], settings(), folder.parent)


def refusal(*sources: Path, assignments: Iterable[str] = ()) -> str:
    """What is said about a corpus that cannot be trained on."""
    with pytest.raises(CorpusError) as refused:
        train_on(sources, settings(*assignments), sources[0].parent)
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_missing_and_bad_files_are_counted_and_named(tmp_path: Path) -> None:
    voices.write_voice(tmp_path, 10)
    clips = sorted((tmp_path / "wavs").iterdir())
    for clip in clips[:6]:
        clip.unlink()
    clips[6].write_bytes(b"")
    message = refusal(tmp_path)
    assert "files: 7 missing, empty or unreadable (" in message
    assert "clip-00" in message
    assert ": missing" in message
    assert "and 2 more). (--mode check lists all that it finds.)" in message


def test_an_empty_file_is_named(tmp_path: Path) -> None:
    voices.write_voice(tmp_path, 8)
    (tmp_path / "wavs" / "clip-003.wav").write_bytes(b"")
    assert f"({tmp_path / 'wavs' / 'clip-003.wav'}: empty file)" in refusal(tmp_path)


def test_unknown_symbols_are_listed_with_counts(tmp_path: Path) -> None:
    voices.write_rows(tmp_path, ["a|one $ two $", *(f"{row}|plain and ж" for row in range(9))])
    message = refusal(tmp_path)
    assert "texts: unknown symbol 'ж' (CYRILLIC SMALL LETTER ZHE), 9 times: metadata.csv:" in message
    assert "; texts: unknown symbol '$' (DOLLAR SIGN), 2 times: metadata.csv:1; " in message
    assert "the en table knows" in message
    assert "speech.language" in message


@pytest.mark.parametrize(
    ("language", "text", "told"),
    [
        ("ru", "дом {} лесом", "'c' (LATIN SMALL LETTER C, looks like CYRILLIC SMALL LETTER ES с), 1 times: "),
        ("ru", "{}овый дом", "'h' (LATIN SMALL LETTER H, looks like CYRILLIC SMALL LETTER EN н), 1 times, in hовый: "),
        ("en", "w{}rd home", "'о' (CYRILLIC SMALL LETTER O, looks like LATIN SMALL LETTER O o), 1 times, in wоrd: "),
        ("en", "a {}ar", "'с' (CYRILLIC SMALL LETTER ES, looks like LATIN SMALL LETTER C c), 1 times, in сar: "),
        ("ru", "дом {}", "'w' (LATIN SMALL LETTER W), 1 times: "),
        ("en", "home {}", "'☃' (SNOWMAN), 1 times: "),
    ],
)
def test_a_letter_that_looks_like_one_of_the_table_is_named_with_its_words(
    tmp_path: Path, language: str, text: str, told: str
) -> None:
    voices.write_rows(tmp_path, [f"a|{text.format(told[1])}", *(f"{row}|{text.format('')}" for row in range(9))])
    assert f"{told}metadata.csv:1" in refusal(tmp_path, assignments=[f"speech.language={language}"])


def test_rows_without_text_are_counted_and_the_first_named(tmp_path: Path) -> None:
    voices.write_rows(tmp_path, ["a|", *(f"{row}|words" for row in range(9)), "b|  "])
    assert "texts: 2 empty: metadata.csv:" in refusal(tmp_path)


def test_fewer_utterances_than_a_batch_are_refused(tmp_path: Path) -> None:
    voices.write_rows(tmp_path, [f"{row}|words" for row in range(4)])
    assert "3 training utterances are fewer than a batch of 4; lower hparams.batch_size" in refusal(tmp_path)


def test_a_lone_utterance_leaves_none_to_validate_on(tmp_path: Path) -> None:
    voices.write_rows(tmp_path, ["a|words"])
    assert "validation: 0 utterances (0.0%); at least one is needed" in refusal(
        tmp_path, assignments=["hparams.batch_size=1"]
    )


def test_a_validation_list_over_20_percent_is_refused(tmp_path: Path) -> None:
    rows = [f"{row}.wav|words" for row in range(20)]
    lists = voices.write_lists(tmp_path, rows[:15], rows[15:])
    assert "validation: 5 utterances (25.0%); at most 20% may be" in refusal(*lists)


@pytest.mark.parametrize("beginning", ["", "./"])
def test_a_file_in_both_lists_is_refused_however_it_is_written(tmp_path: Path, beginning: str) -> None:
    voices.write_voice(tmp_path, 8)
    rows = voices.listed(8)
    message = refusal(*voices.write_lists(tmp_path, rows, [beginning + rows[2]]))
    assert "1 audio file(s) stand in more than one row or in both lists" in message
    assert "train.txt:3, val.txt:1" in message


def test_lists_in_two_folders_may_use_the_same_names(tmp_path: Path) -> None:
    for side, count in (("train", 8), ("val", 2)):
        voices.write_voice(tmp_path / side, count, pace=17.0 if side == "train" else 15.0)
        rows = [f"wavs/clip-{number:03d}.wav|{side} {voices.text(number)}\n" for number in range(count)]
        (tmp_path / side / "list.txt").write_text("".join(rows), encoding="utf-8")
    examples = train_on([tmp_path / "train" / "list.txt", tmp_path / "val" / "list.txt"], settings(), tmp_path)
    assert (len(examples.train), len(examples.validation)) == (8, 2)


def test_a_clip_too_short_for_the_decoder_is_named(tmp_path: Path) -> None:
    voices.write_voice(tmp_path, 8)
    voices.write(tmp_path / "wavs" / "clip-005.wav", voices.speech(0.1, 22050), 22050)
    assert "duration: 1 shorter than 20 mel frames: clip-005" in refusal(tmp_path)


def test_examples_hold_tokens_frames_and_mels(tmp_path: Path) -> None:
    examples = prepared(voices.write_voice(tmp_path / "voice", 12))
    assert [one.name for one in examples.train] == sorted(names(examples.corpus.train))
    for one, utterance in zip(examples.train, sorted(examples.corpus.train, key=lambda row: row.name), strict=True):
        assert one.tokens.tolist() == examples.corpus.symbols.encode(utterance.read_aloud)
        assert np.load(one.mel).shape == (80, one.frames)
    mels = np.concatenate([np.load(one.mel) for one in examples.train], axis=1)
    assert examples.mean_mel == pytest.approx(mels.mean(axis=1), abs=1e-4)
    assert examples.hours == pytest.approx(sum(len(voices.text(number)) for number in range(12)) / 17 / 3600, rel=1e-3)


def test_a_validation_keeps_to_its_utterances_whatever_the_order_of_rows(tmp_path: Path) -> None:
    voices.write_voice(tmp_path, 15)
    rows, chosen = voices.listed(15), settings("hparams.validation_utterances=2")
    first, again = (
        train_on(voices.write_lists(tmp_path, rows[:12][::order], rows[12:][::order]), chosen, tmp_path)
        for order in (1, -1)
    )
    assert len(first.validation) == 2
    assert [one.name for one in again.validation] == [one.name for one in first.validation]
    assert [one.name for one in again.train] == [one.name for one in first.train]
    assert again.digest == first.digest


def test_the_digest_follows_text_and_sound_and_nothing_else(tmp_path: Path) -> None:
    voice = voices.write_voice(tmp_path / "voice", 8)
    first = prepared(voice).digest
    moved = shutil.copytree(voice, tmp_path / "elsewhere")
    rows = (moved / "metadata.csv").read_text(encoding="utf-8").splitlines()
    voices.write_rows(moved, rows[::-1])
    assert prepared(moved).digest == first
    voices.write_rows(moved, [*rows[:-1], rows[-1] + "!"])
    assert prepared(moved).digest != first
    voices.write(voice / "wavs" / "clip-000.wav", voices.speech(0.7, 22050, seed=99), 22050)
    assert prepared(voice).digest != first


def test_a_russian_stereo_voice_at_another_rate_is_read(tmp_path: Path) -> None:
    voice = voices.write_voice(tmp_path / "voice", 8, rate=16000, channels=2, format="flac", language="ru")
    examples = prepared(voice)
    assert examples.corpus.language == "ru"
    assert all(one.frames == np.load(one.mel).shape[1] > 30 for one in examples.train)
    table = examples.corpus.symbols.symbols
    assert set("абвгдёж") & {table[row] for one in examples.train for row in one.tokens}

"""A corpus is read from folders and lists, split for good, and refused with the file and line of what is wrong."""

import shutil
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest

from smart_tuner.errors import CorpusError
from smart_tuner.settings.settings import Settings, load_settings
from smart_tuner.speech import corpus
from smart_tuner.speech.corpus import Corpus, Examples
from tests.support import voices


def settings(*assignments: str) -> Settings:
    return load_settings("demo", None, ["hparams.batch_size=4", *assignments])


def names(utterances: Iterable[corpus.Utterance]) -> set[str]:
    return {utterance.name for utterance in utterances}


def read_rows(folder: Path, rows: list[str], *assignments: str) -> Corpus:
    return corpus.read_corpus([voices.write_rows(folder, rows)], settings(*assignments))


def train_on(sources: Iterable[Path], chosen: Settings, root: Path) -> Examples:
    """Read and prepare a corpus; the mel cache lies in root."""
    return corpus.prepare_examples(
        corpus.read_corpus(list(sources), chosen), chosen, voices.cache_of(root, chosen), voices.no_report
    )


def prepared(folder: Path) -> Examples:
    return train_on([folder], settings(), folder.parent)


def refusal(*sources: Path, assignments: Iterable[str] = ()) -> str:
    """What is said about a corpus that cannot be trained on."""
    with pytest.raises(CorpusError) as refused:
        train_on(sources, settings(*assignments), sources[0].parent)
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_three_columns_are_id_text_and_normalised_text(tmp_path: Path) -> None:
    read = read_rows(tmp_path, ["a|Dr. 5|doctor Five", "b|Mr. 6|mister Six"])
    (utterance,) = (one for one in read.utterances if one.name == "a")
    assert (utterance.text, utterance.read_aloud) == ("doctor Five", "doctor five")
    assert utterance.row == "metadata.csv:1"
    assert utterance.audio == tmp_path / "wavs" / "a.wav"


def test_two_columns_are_id_and_text(tmp_path: Path) -> None:
    read = read_rows(tmp_path, ["a|Dr. 5", "", " b | Mr. 6 "])
    assert {one.name: (one.read_aloud, one.row) for one in read.utterances} == {
        "a": ("doctor five", "metadata.csv:1"),
        "b": ("mister six", "metadata.csv:3"),
    }


@pytest.mark.parametrize(
    ("rows", "read"),
    [
        (["a|Dr. 5|", "b|Mr. 6|"], ["doctor five", "mister six"]),
        (["a|Dr. 5|", "b|Mr. 6|mister Sixth"], ["doctor five", "mister sixth"]),
        (["a|Mr. 6|mister Sixth", "b|Dr. 5| \t"], ["mister sixth", "doctor five"]),
        (["a|Dr. 5|", "b|Mr. 6"], ["doctor five", "mister six"]),
        (["a|Dr. 5", "b|Mr. 6||"], ["doctor five", "mister six"]),
        (["a|Dr. 5|doctor 5th|", "b|Mr. 6||"], ["doctor fifth", "mister six"]),
    ],
)
def test_where_the_third_column_is_empty_the_text_is_the_second(
    tmp_path: Path, rows: list[str], read: list[str]
) -> None:
    found = sorted(read_rows(tmp_path, rows).utterances, key=lambda utterance: utterance.name)
    assert [one.read_aloud for one in found] == read


def test_a_list_of_paths_may_have_a_bar_at_the_end_of_each_row(tmp_path: Path) -> None:
    listed = tmp_path / "list.txt"
    listed.write_text("a.wav|one|\nb.wav|two| \n", encoding="utf-8")
    assert {one.text for one in corpus.read_corpus([listed], settings()).utterances} == {"one", "two"}


@pytest.mark.parametrize("third", ["", "|doctor Five", "|"], ids=["two", "three", "empty third"])
@pytest.mark.parametrize("here", [True, False], ids=["from inside", "from outside"])
def test_a_metadata_named_in_its_folder_s_stead_is_read_as_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, third: str, here: bool
) -> None:
    voice = voices.write_voice(tmp_path / "anna", 8)
    voices.write_rows(voice, [f"clip-{number:03d}|Dr. {number}{third}" for number in range(8)])
    (voice / "wavs" / "clip-000.wav").unlink()
    monkeypatch.chdir(voice)
    file = Path("metadata.csv") if here else voice / "metadata.csv"
    by_file, by_folder = (corpus.read_corpus([source], settings()) for source in (file, voice))
    assert by_file.name == by_folder.name == "anna"
    for one, other in zip(by_file.utterances, by_folder.utterances, strict=True):
        assert (one.name, one.text, one.row) == (other.name, other.text, other.row)
        assert one.audio.resolve() == other.audio


def test_lists_of_ids_beside_the_clips_are_read_as_a_metadata_and_lists_of_paths_as_paths(tmp_path: Path) -> None:
    voices.write_voice(tmp_path, 8)
    train, validation, paths = (tmp_path / name for name in ("train.csv", "val.csv", "metadata.csv"))
    train.write_text("".join(f"clip-{number:03d}|x|y{number}\n" for number in range(7)), encoding="utf-8")
    validation.write_text("clip-007|x|y7\n", encoding="utf-8")
    read = corpus.read_corpus([train, validation], settings())
    assert read.name == "train"
    assert all(one.audio.is_file() and one.text.startswith("y") for one in read.utterances)
    paths.write_text("".join(f"wavs/clip-{number:03d}.wav|words\n" for number in range(8)), encoding="utf-8")
    read = corpus.read_corpus([paths], settings())
    assert read.name == "metadata"
    assert all(one.audio.is_file() for one in read.utterances)


def test_a_byte_order_mark_is_no_part_of_the_first_id(tmp_path: Path) -> None:
    (tmp_path / "metadata.csv").write_text("a|one\r\nb|two\r\n", encoding="utf-8-sig")
    assert names(corpus.read_corpus([tmp_path], settings()).utterances) == {"a", "b"}


def test_an_id_finds_audio_whose_ending_is_in_capitals(tmp_path: Path) -> None:
    voices.write(tmp_path / "wavs" / "a.wav", voices.speech(0.3, 22050), 22050).rename(tmp_path / "wavs" / "a.WAV")
    (utterance,) = read_rows(tmp_path, ["a|one"]).utterances
    assert utterance.audio.is_file()


@pytest.mark.parametrize("kind", ["wav", "flac", "ogg", "mp3"])
def test_ids_find_audio_of_any_format_with_or_without_its_ending(tmp_path: Path, kind: str) -> None:
    voices.write(tmp_path / "wavs" / f"clip.1.{kind}", voices.speech(0.3, 22050), 22050)
    for row in ("clip.1|one", f"clip.1.{kind}|one"):
        read = read_rows(tmp_path, [row])
        assert [one.audio.name for one in read.utterances] == [f"clip.1.{kind}"]


def test_a_list_holds_paths_beside_it_absolute_or_from_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = [voices.write(tmp_path / place / "a.wav", voices.speech(0.1, 8000), 8000) for place in ("x", "y", "z")]
    (tmp_path / "lists").mkdir()
    files[0] = shutil.move(files[0], tmp_path / "lists" / "beside.wav")
    listed = tmp_path / "lists" / "train.txt"
    listed.write_text(f"beside.wav|one\n{files[1]}|two\nz/a.wav|three\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    found = {one.text: one.audio.resolve() for one in corpus.read_corpus([listed], settings()).utterances}
    assert found == {"one": files[0], "two": files[1], "three": files[2]}


def test_a_training_and_a_validation_list_are_kept_apart(tmp_path: Path) -> None:
    voices.write_voice(tmp_path, 8)
    rows = [f"wavs/clip-{number:03d}.wav|{voices.text(number)}\n" for number in range(8)]
    train, validation = tmp_path / "train.txt", tmp_path / "val.txt"
    train.write_text("".join(rows[:7]), encoding="utf-8")
    validation.write_text(rows[7], encoding="utf-8")
    read = corpus.read_corpus([train, validation], settings())
    assert [one.name for one in read.validation] == ["wavs/clip-007.wav"]
    assert len(read.train) == 7
    examples = train_on([train, validation], settings(), tmp_path)
    assert [one.name for one in examples.validation] == ["wavs/clip-007.wav"]


def test_the_language_is_taken_from_the_texts_unless_set(tmp_path: Path) -> None:
    rows = ["a|Привет 2", "b|мир"]
    read = read_rows(tmp_path, rows)
    assert (read.language, "ё" in read.symbols.symbols) == ("ru", True)
    assert "привет два" in {one.read_aloud for one in read.utterances}
    assert read_rows(tmp_path, rows, "speech.language=en").language == "en"


@pytest.mark.parametrize(
    ("rows", "line", "columns"),
    [
        (["a|one", "b|two|two", "c|three"], 2, "2 columns (id|text or id|text|normalised text); this one has 3"),
        (["a|one|one", "", "b|two"], 3, "3 columns (id|text or id|text|normalised text); this one has 2"),
        (["a, one"], 1, "3 columns (id|text or id|text|normalised text); this one has 1"),
        (["a|b|c|d"], 1, "3 columns (id|text or id|text|normalised text); this one has 4"),
    ],
)
def test_a_wrong_number_of_columns_names_file_and_line(
    tmp_path: Path, rows: list[str], line: int, columns: str
) -> None:
    voices.write_rows(tmp_path, rows)
    assert refusal(tmp_path) == f"{tmp_path / 'metadata.csv'}, line {line}: rows here have {columns}."


def test_a_list_with_three_columns_names_file_and_line(tmp_path: Path) -> None:
    listed = tmp_path / "list.txt"
    listed.write_text("a.wav|one\nb.wav|two|7\n", encoding="utf-8")
    assert f"{listed}, line 2: rows here have 2 columns (path|text); this one has 3" in refusal(listed)


@pytest.mark.parametrize("mark", ["\u2028", "\x85", "\x0c"])
def test_only_line_feeds_end_a_row(tmp_path: Path, mark: str) -> None:
    read = read_rows(tmp_path, [f"a|one{mark}two", "b|three"])
    assert len(read.utterances) == 2


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    assert refusal(tmp_path / "nowhere") == f"No such file or folder: {tmp_path / 'nowhere'}."


def test_a_folder_without_metadata_is_named(tmp_path: Path) -> None:
    assert f"{tmp_path} holds no metadata.csv" in refusal(tmp_path)


@pytest.mark.parametrize("content", ["", "\n  \n", "\ufeff"])
def test_a_list_without_rows_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "list.txt").write_text(content, encoding="utf-8")
    assert refusal(tmp_path / "list.txt") == f"{tmp_path / 'list.txt'} has no rows."


def test_a_list_in_another_encoding_is_named(tmp_path: Path) -> None:
    (tmp_path / "metadata.csv").write_bytes("a|привет\n".encode("cp1251"))
    assert f"{tmp_path / 'metadata.csv'} cannot be read as UTF-8 text" in refusal(tmp_path)


def test_more_than_two_sources_are_refused(tmp_path: Path) -> None:
    assert "received 3 paths" in refusal(tmp_path, tmp_path, tmp_path)


def test_missing_and_bad_files_are_counted_and_named(tmp_path: Path) -> None:
    voices.write_voice(tmp_path, 10)
    clips = sorted((tmp_path / "wavs").iterdir())
    for clip in clips[:6]:
        clip.unlink()
    clips[6].write_bytes(b"")
    message = refusal(tmp_path)
    assert message.startswith("7 audio file(s) cannot be used: ")
    assert "clip-00" in message
    assert "(missing)" in message
    assert "and 2 more; --mode check lists all" in message


def test_an_empty_file_is_named(tmp_path: Path) -> None:
    voices.write_voice(tmp_path, 8)
    (tmp_path / "wavs" / "clip-003.wav").write_bytes(b"")
    assert f"1 audio file(s) cannot be used: {tmp_path / 'wavs' / 'clip-003.wav'} (empty file);" in refusal(tmp_path)


def test_unknown_symbols_are_listed_with_counts(tmp_path: Path) -> None:
    voices.write_rows(tmp_path, ["a|one $ two $", *(f"{row}|plain and ж" for row in range(9))])
    message = refusal(tmp_path)
    assert "the en table does not know: 'ж' (CYRILLIC SMALL LETTER ZHE), 9 times: metadata.csv:" in message
    assert "; '$' (DOLLAR SIGN), 2 times: metadata.csv:1; it knows" in message
    assert "abcdefghijklmnopqrstuvwxyz" in message
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
    assert "2 row(s) have no text, the first metadata.csv:" in refusal(tmp_path)


def test_fewer_utterances_than_a_batch_are_refused(tmp_path: Path) -> None:
    voices.write_rows(tmp_path, [f"{row}|words" for row in range(4)])
    assert "3 training utterances are fewer than a batch of 4; lower hparams.batch_size" in refusal(tmp_path)


def test_a_lone_utterance_leaves_none_to_validate_on(tmp_path: Path) -> None:
    voices.write_rows(tmp_path, ["a|words"])
    assert "no utterance left for validation" in refusal(tmp_path, assignments=["hparams.batch_size=1"])


def test_a_validation_list_over_20_percent_is_refused(tmp_path: Path) -> None:
    rows = [f"{row}.wav|words\n" for row in range(20)]
    train, validation = tmp_path / "train.txt", tmp_path / "val.txt"
    train.write_text("".join(rows[:15]), encoding="utf-8")
    validation.write_text("".join(rows[15:]), encoding="utf-8")
    assert "5 of 20 utterances are for validation; at most 20 %" in refusal(train, validation)


def test_an_utterance_in_both_lists_is_refused(tmp_path: Path) -> None:
    voices.write_voice(tmp_path, 8)
    rows = [f"wavs/clip-{number:03d}.wav|{voices.text(number)}\n" for number in range(8)]
    (tmp_path / "train.txt").write_text("".join(rows), encoding="utf-8")
    (tmp_path / "val.txt").write_text(rows[2], encoding="utf-8")
    message = refusal(tmp_path / "train.txt", tmp_path / "val.txt")
    assert message.startswith("1 audio file(s) stand in more than one row of the corpus or in both lists, the first ")
    assert "clip-002.wav" in message


def test_a_file_in_both_lists_is_refused_however_it_is_written(tmp_path: Path) -> None:
    voices.write_voice(tmp_path, 8)
    rows = [f"wavs/clip-{number:03d}.wav|{voices.text(number)}\n" for number in range(8)]
    (tmp_path / "train.txt").write_text("".join(rows), encoding="utf-8")
    (tmp_path / "val.txt").write_text("./" + rows[2], encoding="utf-8")
    assert "in both lists" in refusal(tmp_path / "train.txt", tmp_path / "val.txt")


def test_lists_in_two_folders_may_use_the_same_names(tmp_path: Path) -> None:
    for side, count in (("train", 8), ("val", 2)):
        voices.write_voice(tmp_path / side, count, seconds=0.6 if side == "train" else 0.7)
        rows = [f"wavs/clip-{number:03d}.wav|{side} {voices.text(number)}\n" for number in range(count)]
        (tmp_path / side / "list.txt").write_text("".join(rows), encoding="utf-8")
    examples = train_on([tmp_path / "train" / "list.txt", tmp_path / "val" / "list.txt"], settings(), tmp_path)
    assert (len(examples.train), len(examples.validation)) == (8, 2)


def test_a_clip_too_short_for_the_decoder_is_named(tmp_path: Path) -> None:
    voices.write_voice(tmp_path, 8)
    voices.write(tmp_path / "wavs" / "clip-005.wav", voices.speech(0.1, 22050), 22050)
    assert "1 clip(s) are shorter than 20 mel frames" in refusal(tmp_path)
    assert "clip-005.wav" in refusal(tmp_path)


def test_the_split_does_not_depend_on_row_order(tmp_path: Path) -> None:
    rows = [f"{row}|words" for row in range(200)]
    forward = read_rows(tmp_path, rows)
    backward = read_rows(tmp_path, rows[::-1])
    assert forward.validation
    assert names(forward.validation) == names(backward.validation)
    assert names(forward.train) == names(backward.train) == {str(row) for row in range(200)} - names(forward.validation)


def test_the_split_looks_like_a_random_one(tmp_path: Path) -> None:
    held = names(read_rows(tmp_path, [f"{row:03d}|words" for row in range(400)]).validation)
    assert len(held) == 20
    assert len({name[0] for name in held}) >= 3
    assert len({name[2] for name in held}) >= 6


def test_rows_keep_their_side_when_rows_are_added(tmp_path: Path) -> None:
    rows = [f"{row}|words" for row in range(440)]
    before, after = read_rows(tmp_path, rows[:400]), read_rows(tmp_path, rows)
    moved = (names(before.train) & names(after.validation)) | (names(before.validation) & names(after.train))
    assert len(moved) <= 5
    assert 0 < len(names(after.validation) - names(before.validation)) < len(after.validation)


@pytest.mark.parametrize(("utterances", "held"), [(2, 1), (20, 1), (200, 10), (2000, 100), (13000, 128)])
def test_a_share_is_held_out_up_to_a_fixed_number(utterances: int, held: int) -> None:
    assert corpus.hold_out(utterances, Settings()) == held


def test_every_allowed_share_passes_the_check_of_sizes() -> None:
    chosen = settings("speech.validation_share=0.2")
    for utterances in range(10, 200):
        held = corpus.hold_out(utterances, chosen)
        corpus.check_sizes(utterances - held, held, chosen)


def test_examples_hold_tokens_frames_and_mels(tmp_path: Path) -> None:
    examples = prepared(voices.write_voice(tmp_path / "voice", 12, seconds=0.8))
    assert [one.name for one in examples.train] == sorted(names(examples.corpus.train))
    for one, utterance in zip(examples.train, sorted(examples.corpus.train, key=lambda row: row.name), strict=True):
        assert one.tokens.tolist() == examples.corpus.symbols.encode(utterance.read_aloud)
        assert np.load(one.mel).shape == (80, one.frames)
    mels = np.concatenate([np.load(one.mel) for one in examples.train], axis=1)
    assert examples.mean_mel == pytest.approx(mels.mean(axis=1), abs=1e-4)
    assert examples.hours == pytest.approx(sum(0.8 * (1 + number / 12) for number in range(12)) / 3600, rel=1e-3)


def test_a_validation_keeps_to_its_utterances_whatever_the_order_of_rows(tmp_path: Path) -> None:
    voices.write_voice(tmp_path, 15)
    rows = [f"wavs/clip-{number:03d}.wav|{voices.text(number)}\n" for number in range(15)]
    train, validation = tmp_path / "train.txt", tmp_path / "val.txt"
    chosen, found = settings("hparams.validation_utterances=2"), []
    for order in (1, -1):
        train.write_text("".join(rows[:12][::order]), encoding="utf-8")
        validation.write_text("".join(rows[12:][::order]), encoding="utf-8")
        found.append(train_on([train, validation], chosen, tmp_path))
    first, again = found
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


@pytest.mark.parametrize(
    ("folder", "name"), [("anna", "anna"), ("LJSpeech-1.1", "LJSpeech-1.1"), ("my voice", "my-voice")]
)
def test_a_corpus_is_named_after_its_folder(tmp_path: Path, folder: str, name: str) -> None:
    assert read_rows(tmp_path / folder, ["a|one"]).name == name


def test_a_corpus_is_named_after_its_list(tmp_path: Path) -> None:
    (tmp_path / "boris.txt").write_text("a.wav|one\n", encoding="utf-8")
    assert corpus.read_corpus([tmp_path / "boris.txt"], settings()).name == "boris"


def test_a_russian_stereo_voice_at_another_rate_is_read(tmp_path: Path) -> None:
    voice = voices.write_voice(tmp_path / "voice", 8, rate=16000, channels=2, format="flac", language="ru")
    examples = prepared(voice)
    assert examples.corpus.language == "ru"
    assert all(one.frames == np.load(one.mel).shape[1] > 30 for one in examples.train)
    table = examples.corpus.symbols.symbols
    assert set("абвгдёж") & {table[row] for one in examples.train for row in one.tokens}

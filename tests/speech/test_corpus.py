"""A corpus is read from folders and lists, split for good, and refused with the file and line of what is wrong."""

import shutil
from collections.abc import Iterable
from pathlib import Path

import pytest

from smart_tuner.errors import CorpusError
from smart_tuner.settings.settings import Settings, load_settings
from smart_tuner.speech import corpus
from smart_tuner.speech.corpus import Corpus
from tests.support import voices


def settings(*assignments: str) -> Settings:
    return load_settings("demo", None, ["hparams.batch_size=4", *assignments])


def names(utterances: Iterable[corpus.Utterance]) -> set[str]:
    return {utterance.name for utterance in utterances}


def read_rows(folder: Path, rows: list[str], *assignments: str) -> Corpus:
    return corpus.read_corpus([voices.write_rows(folder, rows)], settings(*assignments))


def refusal(*sources: Path) -> str:
    """What is said about a list that cannot be read."""
    with pytest.raises(CorpusError) as refused:
        corpus.read_corpus(sources, settings())
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
    rows = voices.listed(8)
    read = corpus.read_corpus(voices.write_lists(tmp_path, rows[:7], rows[7:]), settings())
    assert [one.name for one in read.validation] == ["wavs/clip-007.wav"]
    assert len(read.train) == 7


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


@pytest.mark.parametrize(
    ("folder", "name"), [("anna", "anna"), ("LJSpeech-1.1", "LJSpeech-1.1"), ("my voice", "my-voice")]
)
def test_a_corpus_is_named_after_its_folder(tmp_path: Path, folder: str, name: str) -> None:
    assert read_rows(tmp_path / folder, ["a|one"]).name == name


def test_a_corpus_is_named_after_its_list(tmp_path: Path) -> None:
    (tmp_path / "boris.txt").write_text("a.wav|one\n", encoding="utf-8")
    assert corpus.read_corpus([tmp_path / "boris.txt"], settings()).name == "boris"


@pytest.mark.parametrize("name", ["x" * 300, "x/" * 3000, f"{'x' * 300}/a"])
@pytest.mark.parametrize("by_id", [True, False])
def test_a_clip_whose_name_no_file_can_have_is_not_there(tmp_path: Path, name: str, by_id: bool) -> None:
    (tmp_path / "wavs").mkdir()
    voices.write_rows(tmp_path, [f"a{'' if by_id else '.wav'}|One.", f"{name}|Two."])
    (tmp_path / "metadata.csv").rename(tmp_path / ("metadata.csv" if by_id else "list.txt"))
    read = corpus.read_corpus([tmp_path if by_id else tmp_path / "list.txt"], settings())
    facts, bad = voices.cache_of(tmp_path, settings()).prepare([one.audio for one in read.utterances], voices.no_report)
    assert not facts
    assert sorted(bad.values()) == ["missing", "unreadable (File name too long)"]


@pytest.mark.parametrize("row", ["b\0|Two.", "b|Two\0.", "\0\0|\0\0"])
def test_a_row_with_a_zero_byte_is_named(tmp_path: Path, row: str) -> None:
    assert "metadata.csv, line 2: it holds a zero byte" in refusal(voices.write_rows(tmp_path, ["a|One.", row]))

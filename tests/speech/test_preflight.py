"""The preflight finds what would spoil a training, and says how bad it is."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from smart_tuner.settings.settings import Settings, load_settings
from smart_tuner.speech import corpus
from smart_tuner.speech.preflight import CorpusNote, check_corpus
from tests.support import voices

RATE = 22050


def findings(*sources: Path, assignments: tuple[str, ...] = ()) -> list[CorpusNote]:
    chosen: Settings = load_settings("demo", None, ["hparams.batch_size=4", *assignments])
    read = corpus.read_corpus(sources, chosen)
    return check_corpus(read, chosen, voices.cache_of(sources[0].parent, chosen), voices.no_report)


def finding(about: str, *sources: Path, assignments: tuple[str, ...] = ()) -> tuple[str, str]:
    """Level and text of the only finding about something."""
    ((level, text),) = [
        (one.level, one.text) for one in findings(*sources, assignments=assignments) if one.about == about
    ]
    return level, text


def clip(folder: Path, number: int) -> Path:
    return folder / "wavs" / f"clip-{number:03d}.wav"


def test_a_clean_corpus_is_good_but_small(tmp_path: Path) -> None:
    found = findings(voices.write_voice(tmp_path / "voice", 12))
    levels = {one.about: one.level for one in found}
    assert levels.pop("size") == "watch", "a quarter of an hour is little"
    assert set(levels.values()) == {"good"}
    assert list(levels) == [
        "validation", "files", "texts", "sample rates", "edge silence", "clipping", "duration", "pace", "duplicates",
    ]  # fmt: skip


def test_the_size_is_told_in_utterances_hours_and_language(tmp_path: Path) -> None:
    level, text = finding("size", voices.write_voice(tmp_path / "voice", 12, seconds=2.0))
    assert level == "watch"
    assert "12 utterances, 0.01 h, language en; little to learn from" in text


@pytest.mark.slow
def test_a_quarter_of_an_hour_is_enough(tmp_path: Path) -> None:
    voice = voices.write_voice(tmp_path / "voice", 8)
    for number in range(8):
        voices.write(clip(voice, number), np.tile(voices.speech(1.0, 8000, seed=number), 113), 8000)
    at_8_khz = ("speech.sampling_rate=8000", "speech.mel_fmax=4000")
    level, text = finding("size", voice, assignments=at_8_khz)
    assert (level, text) == ("good", "8 utterances, 0.25 h, language en")


def test_fewer_utterances_than_a_batch_are_bad(tmp_path: Path) -> None:
    level, text = finding("size", voices.write_voice(tmp_path / "voice", 4))
    assert level == "bad"
    assert "3 training utterances are fewer than a batch of 4" in text


def test_too_many_utterances_to_validate_on_are_bad(tmp_path: Path) -> None:
    voices.write_voice(tmp_path, 12)
    rows = [f"wavs/clip-{number:03d}.wav|{voices.text(number)}\n" for number in range(12)]
    train, validation = tmp_path / "train.txt", tmp_path / "val.txt"
    train.write_text("".join(rows[:9]), encoding="utf-8")
    validation.write_text("".join(rows[9:]), encoding="utf-8")
    assert finding("validation", train, validation) == ("bad", "3 utterances (25.0%); at most 20 % may be")
    train.write_text("".join(rows[:10]), encoding="utf-8")
    validation.write_text("".join(rows[10:]), encoding="utf-8")
    assert finding("validation", train, validation) == ("good", "2 utterances (16.7%)")


def test_every_unusable_file_is_bad_and_named(tmp_path: Path) -> None:
    voice = voices.write_voice(tmp_path / "voice", 12)
    clip(voice, 1).unlink()
    clip(voice, 2).write_bytes(b"")
    clip(voice, 3).write_bytes(clip(voice, 3).read_bytes()[:9000])
    level, text = finding("files", voice)
    assert level == "bad"
    assert text.startswith("3 missing, empty or unreadable")
    for number, why in ((1, "missing"), (2, "empty file"), (3, "truncated")):
        assert f"\n    {clip(voice, number)}: {why}" in text


def test_a_corpus_without_any_audio_is_still_reported(tmp_path: Path) -> None:
    found = findings(voices.write_rows(tmp_path / "voice", [f"{row}|words {row}" for row in range(8)]))
    assert {one.about for one in found} == {"size", "validation", "files", "texts", "duplicates"}
    assert [one.about for one in found if one.level == "bad"] == ["files"]


def test_empty_texts_and_each_unknown_symbol_are_bad_and_their_rows_named(tmp_path: Path) -> None:
    voice = voices.write_voice(tmp_path / "voice", 8)
    rows = (voice / "metadata.csv").read_text(encoding="utf-8").splitlines()
    rows[1], rows[2], rows[3] = rows[1] + " $$", "clip-002|", rows[3] + " ж $"
    found = [one for one in findings(voices.write_rows(voice, rows)) if one.about == "texts"]
    assert {one.level for one in found} == {"bad"}
    assert found[0].text == "1 empty: metadata.csv:3"
    assert found[1].text.startswith("unknown symbol '$' (DOLLAR SIGN), 3 times, in $$: metadata.csv:")
    assert found[2].text == "unknown symbol 'ж' (CYRILLIC SMALL LETTER ZHE), 1 times: metadata.csv:4"


@pytest.mark.parametrize(
    ("texts", "told"),
    [
        (
            ["Счёт 5:3, в масштабе 7:1.", "Это 45:99."],
            ["a number that no rule is sure of, in 1 row", ": 45:99 is read: "],
        ),
        (
            ["молок'о стоит тут", "рек'а"],
            ["an apostrophe that may mark stress, which is not read", "1: молок'о is read: "],
        ),
        (
            ["молокО", "рекА"],
            ["a capital that may mark stress, which is not read", "metadata.csv:2: рекА is read: река"],
        ),
        (["привeт"], ["with letters of another script", "привeт (LATIN SMALL LETTER E) is read: привет"]),
        (["дοм"], ["with letters of another script", "дοм (GREEK SMALL LETTER OMICRON) is read: дом"]),
        (["мама+папа"], ["a plus that may be stress or the word", "metadata.csv:1: мама+папа is read: мама плюс папа"]),
    ],
)
def test_what_no_rule_is_sure_of_is_worth_a_look_and_shown_as_it_is_read(
    tmp_path: Path, texts: list[str], told: list[str]
) -> None:
    voice = voices.write_voice(tmp_path / "voice", 8, language="ru")
    rows = [f"clip-{number:03d}|{text}" for number, text in enumerate(texts)]
    rest = [f"clip-{number:03d}|{voices.text(number, 'ru')}" for number in range(len(texts), 8)]
    level, text = finding("texts", voices.write_rows(voice, [*rows, *rest]))
    assert level == "watch"
    assert all(part in text for part in told)


def test_long_lists_of_rows_are_shortened(tmp_path: Path) -> None:
    voice = voices.write_rows(tmp_path / "voice", ["z|words", *(f"{row}|" for row in range(8))])
    (_, text) = finding("texts", voice)
    assert text.startswith("8 empty: ")
    assert text.endswith(" and 5 more")
    assert text.count("metadata.csv:") == 3


def test_mixed_and_low_sample_rates_are_worth_a_look(tmp_path: Path) -> None:
    voice = voices.write_voice(tmp_path / "voice", 8, channels=2)
    assert finding("sample rates", voice) == ("good", "22050 Hz stereo: 8")
    voices.write(clip(voice, 0), voices.speech(0.6, 44100), 44100)
    assert finding("sample rates", voice) == ("watch", "22050 Hz stereo: 7, 44100 Hz: 1")
    level, text = finding("sample rates", voices.write_voice(tmp_path / "phone", 8, rate=8000))
    assert (level, text) == ("watch", "8000 Hz: 8; resampled to 22050 Hz, with nothing above half the lower rate")


@pytest.mark.parametrize(("trim", "level"), [("true", "good"), ("false", "watch")])
def test_edge_silence_is_worth_a_look_when_it_is_not_trimmed(tmp_path: Path, trim: str, level: str) -> None:
    voice = voices.write_voice(tmp_path / "voice", 8)
    for number in range(2):
        quiet = np.zeros(RATE // 2, dtype=np.float32)
        voices.write(clip(voice, number), np.concatenate([voices.speech(0.6, RATE), quiet]), RATE)
    found, text = finding("edge silence", voice, assignments=(f"speech.trim_silence={trim}",))
    assert found == level
    assert "over 150 ms at an end of 25% of the clips" in text


def test_clipped_clips_are_worth_a_look(tmp_path: Path) -> None:
    voice = voices.write_voice(tmp_path / "voice", 8)
    voices.write(clip(voice, 5), np.clip(9 * voices.speech(0.6, RATE), -1, 1), RATE)
    assert finding("clipping", voice) == ("watch", "1 clipped clips: clip-005")


def test_clips_too_short_for_the_decoder_are_bad(tmp_path: Path) -> None:
    voice = voices.write_voice(tmp_path / "voice", 8)
    voices.write(clip(voice, 5), voices.speech(0.1, RATE), RATE)
    assert finding("duration", voice) == ("bad", "1 shorter than 20 mel frames: clip-005")


def test_long_clips_are_worth_a_look(tmp_path: Path) -> None:
    voice = voices.write_voice(tmp_path / "voice", 8)
    voices.write(clip(voice, 5), np.tile(voices.speech(1.0, 8000), 13), 8000)
    level, text = finding("duration", voice)
    assert level == "watch"
    assert text.startswith("0.6 to 13.0 s, median ")
    assert text.endswith("1 over 12 s: clip-005")


@pytest.mark.parametrize("words", ["o", "a sentence that nobody says in so little time " * 4], ids=["few", "many"])
def test_texts_that_do_not_fit_their_sound_are_worth_a_look(tmp_path: Path, words: str) -> None:
    voice = voices.write_voice(tmp_path / "voice", 12)
    rows = (voice / "metadata.csv").read_text(encoding="utf-8").splitlines()
    level, text = finding("pace", voices.write_rows(voice, [*rows[:-1], f"clip-011|{words}"]))
    assert level == "watch"
    assert "characters a second" in text
    assert text.endswith("1 under a third or over three times the median: clip-011")


def same_name(rows: list[str], voice: Path) -> None:
    rows[2] = rows[1]
    clip(voice, 2).unlink()


def same_sound(rows: list[str], voice: Path) -> None:
    clip(voice, 2).write_bytes(clip(voice, 1).read_bytes())


def same_text(rows: list[str], voice: Path) -> None:
    rows[2] = rows[1].replace("clip-001", "clip-002").upper().replace("CLIP", "clip")


@pytest.mark.parametrize(
    ("double", "expected"),
    [
        (same_name, ("bad", "1 names stand twice: clip-001")),
        (same_sound, ("watch", "2 clips are the same recording: ")),
        (same_text, ("watch", "1 texts stand more than once: a ship came home.")),
    ],
)
def test_duplicates_are_found(
    tmp_path: Path, double: Callable[[list[str], Path], None], expected: tuple[str, str]
) -> None:
    voice = voices.write_voice(tmp_path / "voice", 8)
    rows = (voice / "metadata.csv").read_text(encoding="utf-8").splitlines()
    double(rows, voice)
    found = [one for one in findings(voices.write_rows(voice, rows)) if one.about == "duplicates"]
    assert found[0].level == expected[0]
    assert found[0].text.startswith(expected[1])


def test_a_check_leaves_the_mels_for_the_training(tmp_path: Path) -> None:
    voice = voices.write_voice(tmp_path / "voice", 8)
    findings(voice)
    assert len(list((tmp_path / "mels").rglob("*.npy"))) == 8


def test_nothing_to_validate_on_is_bad(tmp_path: Path) -> None:
    voice = voices.write_voice(tmp_path / "voice", 1)
    level, _ = finding("validation", voice, assignments=("hparams.batch_size=1",))
    assert level == "bad"

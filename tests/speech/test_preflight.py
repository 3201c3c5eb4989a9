"""The preflight finds what would spoil a training, and says how bad it is."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from smart_tuner.settings.settings import Settings, load_settings
from smart_tuner.speech import corpus, preflight
from smart_tuner.speech.notes import CorpusNote
from tests.support import voices

RATE = 22050
Samples = NDArray[np.float32]


def findings(*sources: Path, assignments: tuple[str, ...] = ()) -> list[CorpusNote]:
    chosen: Settings = load_settings("demo", None, ["hparams.batch_size=4", *assignments])
    read = corpus.read_corpus(sources, chosen)
    sound = preflight.read_sound(read, chosen, voices.cache_of(sources[0].parent, chosen), voices.no_report)
    return preflight.judge_corpus(read, chosen, sound)


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
        "validation", "files", "texts", "sample rates", "edge silence", "clipping", "offset", "duration", "pace",
        "order", "odd clips", "pauses", "duplicates", "settings",
    ]  # fmt: skip


def test_the_size_is_told_in_utterances_hours_and_language(tmp_path: Path) -> None:
    level, text = finding("size", voices.write_voice(tmp_path / "voice", 12, pace=11.0))
    assert level == "watch"
    assert "12 utterances, 0.01 h, language en; little to learn from" in text


@pytest.mark.parametrize("offset", [0.02, 0.1, -0.3])
def test_recordings_that_lie_beside_zero_are_named(tmp_path: Path, offset: float) -> None:
    voice = voices.write_voice(tmp_path / "voice", 12)
    for number in (3, 7):
        voices.write(clip(voice, number), voices.speech(0.6, 22050) + np.float32(offset), 22050)
    level, text = finding("offset", voice)
    assert level == "watch"
    told = re.fullmatch(
        r"the samples of 2 clips lie beside zero, by up to (\S+) of full scale: (.+); take the .*", text
    )
    assert told is not None
    assert float(told[1]) == pytest.approx(offset, abs=0.002)
    assert told[2] == "clip-003, clip-007"


@pytest.mark.parametrize("offset", [0.0, 0.1])
def test_silence_under_an_offset_counts_as_edge_silence(tmp_path: Path, offset: float) -> None:
    voice, quiet = voices.write_voice(tmp_path / "voice", 12), np.zeros(3 * 22050, dtype=np.float32)
    for number in range(12):
        samples = np.concatenate([quiet, voices.speech(0.6, 22050, seed=number)]) + np.float32(offset)
        voices.write(clip(voice, number), samples, 22050)
    text = "over 150 ms at an end of 100% of the clips"
    assert finding("edge silence", voice) == ("good", f"{text} (trimmed)")
    level, told = finding("edge silence", voice, assignments=("speech.trim_silence=false",))
    assert (level, told.split(" (")[0]) == ("watch", text)


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
    rows = voices.listed(12)
    lists = voices.write_lists(tmp_path, rows[:9], rows[9:])
    assert finding("validation", *lists) == ("bad", "3 utterances (25.0%); at most 20% may be (are the lists swapped?)")
    lists = voices.write_lists(tmp_path, rows[:10], rows[10:])
    assert finding("validation", *lists) == ("good", "2 utterances (16.7%)")


def test_every_unusable_file_is_bad_and_named(tmp_path: Path) -> None:
    voice = voices.write_voice(tmp_path / "voice", 12)
    clip(voice, 1).unlink()
    clip(voice, 2).write_bytes(b"")
    clip(voice, 3).write_bytes(clip(voice, 3).read_bytes()[:9000])
    (note,) = (one for one in findings(voice) if one.about == "files")
    assert (note.level, note.text) == ("bad", "3 missing, empty or unreadable")
    for number, why in ((1, "missing"), (2, "empty file"), (3, "truncated")):
        assert any(detail.startswith(f"{clip(voice, number)}: {why}") for detail in note.details)


def test_a_corpus_without_any_audio_is_still_reported(tmp_path: Path) -> None:
    found = findings(voices.write_rows(tmp_path / "voice", [f"{row}|words {row}" for row in range(8)]))
    assert {one.about for one in found} == {"size", "validation", "files", "texts", "duplicates", "settings"}
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
    (note,) = (one for one in findings(voices.write_rows(voice, [*rows, *rest])) if one.about == "texts")
    assert note.level == "watch"
    assert all(part in "\n".join([note.text, *note.details]) for part in told)


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
    assert text.startswith("0.9 to 13.0 s, median ")
    assert text.endswith("1 over 12 s: clip-005")


def texts_of(voice: Path) -> list[str]:
    rows = (voice / "metadata.csv").read_text(encoding="utf-8").splitlines()
    return [row.partition("|")[2] for row in rows]


def with_texts(voice: Path, texts: Sequence[str]) -> Path:
    return voices.write_rows(voice, [f"clip-{number:03d}|{text}" for number, text in enumerate(texts)])


def with_sounds(voice: Path, change: Callable[[Samples], Samples], clips: int, rate: int = RATE) -> Path:
    for number in range(clips):
        samples, _ = soundfile.read(clip(voice, number), dtype="float32")
        voices.write(clip(voice, number), change(samples), rate)
    return voice


@pytest.mark.parametrize("words", ["o", "a sentence that nobody says in so little time " * 4], ids=["few", "many"])
def test_a_text_that_does_not_fit_its_sound_is_worth_a_look(tmp_path: Path, words: str) -> None:
    voice = voices.write_voice(tmp_path / "voice", 12)
    level, text = finding("odd clips", with_texts(voice, [*texts_of(voice)[:-1], words]))
    assert level == "watch"
    assert text.startswith("1 last far from what their texts should take, clip-011 (metadata.csv:12) ")


@pytest.mark.parametrize(
    ("pace", "level", "why"),
    [
        (4.0, "bad", "nobody reads under 5: the clips hold long silence, the texts lack words, or the files' headers"),
        (8.0, "watch", "few readers stay under 10: "),
        (12.0, "good", ""),
        (24.0, "good", ""),
        (28.0, "watch", "few readers go over 25: the clips are cut, "),
        (34.0, "bad", "nobody reads over 30: the clips are cut, the texts hold more than is said, or the files' head"),
    ],
)
def test_a_pace_is_judged_by_what_readers_can_do(tmp_path: Path, pace: float, level: str, why: str) -> None:
    found, text = finding("pace", voices.write_voice(tmp_path / "voice", 12, pace=pace))
    assert found == level
    assert why in text


@pytest.mark.parametrize("times", [2, 3])
def test_texts_that_say_the_same_again_are_called_so(tmp_path: Path, times: int) -> None:
    voice = voices.write_voice(tmp_path / "voice", 12, pace=20.0)
    level, text = finding("pace", with_texts(voice, [" ".join([words] * times) for words in texts_of(voice)]))
    assert level == "bad"
    assert text.endswith(f"most texts say the same {times} times over")


@pytest.mark.parametrize(
    ("change", "rate"),
    [
        (lambda samples: samples[: len(samples) // 2], RATE),
        (lambda samples: samples[len(samples) // 2 :], RATE),
        (lambda samples: samples, 2 * RATE),
    ],
    ids=["the end cut off", "the beginning cut off", "a header that doubles the rate"],
)
def test_sounds_of_half_the_length_are_bad(tmp_path: Path, change: Callable[[Samples], Samples], rate: int) -> None:
    voice = with_sounds(voices.write_voice(tmp_path / "voice", 12), change, 12, rate)
    assert finding("pace", voice)[0] == "bad"


@pytest.mark.parametrize(("clips", "level"), [(0, "good"), (2, "watch"), (12, "bad")])
@pytest.mark.parametrize("noise", [0.0, 1e-4], ids=["zeros", "a quiet room"])
def test_silence_in_the_middle_of_clips_is_told(tmp_path: Path, clips: int, level: str, noise: float) -> None:
    quiet = noise * np.random.default_rng(0).standard_normal(4 * RATE).astype(np.float32)

    def interrupt(samples: Samples) -> Samples:
        return np.concatenate([samples[: len(samples) // 2], quiet, samples[len(samples) // 2 :]])

    voice = with_sounds(voices.write_voice(tmp_path / "voice", 12), interrupt, clips)
    assert finding("pauses", voice)[0] == level


def test_many_odd_clips_are_bad(tmp_path: Path) -> None:
    voice = voices.write_voice(tmp_path / "voice", 12)
    assert finding("odd clips", with_sounds(voice, lambda samples: np.tile(samples, 3), 3))[0] == "bad"


@pytest.mark.parametrize(
    ("order", "where"),
    [
        (lambda texts: [*texts[1:], texts[0]], "to metadata.csv:24, the sounds have the lengths of the texts 1 row ab"),
        (lambda texts: [texts[-1], *texts[:-1]], "from metadata.csv:1 to "),
        (lambda texts: [*texts[-2:], *texts[:-2]], "the sounds have the lengths of the texts 2 rows below"),
        (lambda texts: [*texts[:12], *texts[13:], texts[12]], "from metadata.csv:14 to metadata.csv:24, "),
    ],
    ids=["up", "down", "two down", "the second half"],
)  # fmt: skip
def test_texts_that_have_moved_are_bad_and_said_where(
    tmp_path: Path, order: Callable[[list[str]], list[str]], where: str
) -> None:
    voice = uneven_voice(tmp_path / "voice")
    assert finding("order", voice)[0] == "good"
    level, text = finding("order", with_texts(voice, order(texts_of(voice))))
    assert level == "bad"
    assert text.startswith("texts have probably moved: from ")
    assert where in text


def test_texts_in_another_order_do_not_pass(tmp_path: Path) -> None:
    voice = uneven_voice(tmp_path / "voice")
    shuffled = np.random.default_rng(1).permutation(texts_of(voice)).tolist()
    level, text = finding("order", with_texts(voice, shuffled))
    assert level in ("watch", "bad")
    assert "texts and clips are probably of different rows" in text


def uneven_voice(folder: Path) -> Path:
    """24 sentences of 2 to 9 words, read at about 15 characters a second."""
    random = np.random.default_rng(0)
    texts = [" ".join(voices.text(number) for number in range(row, row + count))
             for row, count in enumerate(random.integers(1, 4, 24))]  # fmt: skip
    for number, text in enumerate(texts):
        seconds = len(text) / random.uniform(13.5, 16.5)
        voices.write(clip(folder, number), voices.speech(seconds, 8000, seed=number), 8000)
    return with_texts(folder, texts)


def test_what_settings_ask_of_the_corpus_is_told_with_it(tmp_path: Path) -> None:
    voice = voices.write_voice(tmp_path / "voice", 12)
    level, text = finding("settings", voice, assignments=("hparams.reduction_factor=10",))
    assert level == "bad"
    assert text.startswith("at hparams.reduction_factor = 10, 11 of 11 utterances have fewer steps than symbols: ")


@pytest.mark.parametrize("link", [Path.symlink_to, Path.hardlink_to], ids=["symbolic", "hard"])
def test_a_clip_that_is_a_link_to_another_stands_twice(tmp_path: Path, link: Callable[[Path, Path], None]) -> None:
    voice = voices.write_voice(tmp_path / "voice", 12)
    clip(voice, 11).unlink()
    link(clip(voice, 11), clip(voice, 10))
    found = [one for one in findings(voice) if one.about == "duplicates"]
    assert found[0].level == ("bad" if clip(voice, 11).is_symlink() else "watch")


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
        (same_name, ("bad", "1 audio file(s) stand in more than one row or in both lists, links to them included: ")),
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

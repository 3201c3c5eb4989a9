"""Each audio file is analysed once per set of audio settings, whatever happens in between."""

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from smart_tuner.errors import StorageError
from smart_tuner.settings.speech import Speech
from smart_tuner.speech import cache
from smart_tuner.speech.audio import AudioFacts, analyse
from smart_tuner.speech.cache import MelCache
from tests.support import voices


class Deadly(type(Path())):  # type: ignore[misc]
    """A path that ends the process it is sent to, as the kernel does when memory runs out."""

    def __reduce__(self) -> tuple[Callable[[int], object], tuple[int]]:
        return os._exit, (9,)


def clips(folder: Path, count: int = 5) -> list[Path]:
    return sorted((voices.write_voice(folder, count, pace=40.0) / "wavs").iterdir())


def stamps(mels: MelCache) -> dict[str, tuple[int, int]]:
    return {file.name: (file.stat().st_ino, file.stat().st_mtime_ns) for file in mels.folder.glob("*.npy")}


def no_analysis(path: Path, speech: Speech) -> tuple[NDArray[np.float32], AudioFacts]:
    raise AssertionError(f"{path} is analysed")


def use_cores(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(count)), raising=False)


def test_mels_and_facts_are_those_of_the_analysis(tmp_path: Path) -> None:
    paths, mels = clips(tmp_path), MelCache(tmp_path / "mels", Speech())
    facts, bad = mels.prepare(paths, voices.no_report)
    assert not bad
    assert list(facts) == paths
    for path in paths:
        mel, found = analyse(path, Speech())
        assert np.array_equal(np.load(mels.mel_path(path)), mel)
        assert facts[path] == found


def test_a_second_preparation_reads_nothing_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = clips(tmp_path)
    first = MelCache(tmp_path / "mels", Speech())
    facts = first.prepare(paths, voices.no_report)
    before = stamps(first)
    monkeypatch.setattr(cache, "analyse", no_analysis)
    second = MelCache(tmp_path / "mels", Speech())
    assert second.prepare(paths, voices.no_report) == facts
    assert stamps(second) == before
    assert len(before) == 5


def test_only_added_files_are_analysed(tmp_path: Path) -> None:
    paths, mels = clips(tmp_path, 6), MelCache(tmp_path / "mels", Speech())
    mels.prepare(paths[:4], voices.no_report)
    before = stamps(mels)
    facts, _ = mels.prepare(paths, voices.no_report)
    assert len(facts) == 6
    assert stamps(mels).items() > before.items()


@pytest.mark.parametrize("change", [{"trim_db": 30.0}, {"kept_silence": 0.05}, {"hop_length": 128}, {"mel_fmax": 7e3}])
def test_another_audio_setting_is_another_cache(tmp_path: Path, change: dict[str, float]) -> None:
    other = replace(Speech(), **change)
    assert MelCache(tmp_path, other).folder != MelCache(tmp_path, Speech()).folder


def test_settings_that_do_not_touch_audio_share_a_cache(tmp_path: Path) -> None:
    other = replace(Speech(), language="ru", validation_share=0.1)
    assert MelCache(tmp_path, other).folder == MelCache(tmp_path, Speech()).folder


def changed(content: bytes, start: int, by: bytes) -> bytes:
    return content[:start] + by + content[start + len(by) :]


MEL_DAMAGES = {
    "empty": lambda whole: b"",
    "zeros at the start": lambda whole: changed(whole, 0, bytes(200)),
    "zeros in the middle": lambda whole: changed(whole, 4096, bytes(4096)),
    "zeros at the end": lambda whole: changed(whole, len(whole) - 9, bytes(9)),
    "zeros alone": lambda whole: bytes(len(whole)),
    "cut short": lambda whole: whole[:-1],
    "a bit": lambda whole: changed(whole, 999, bytes([whole[999] ^ 4])),
    "another text": lambda whole: b"\x93NUMPY is no array" * 999,
}


@pytest.mark.parametrize("damage", MEL_DAMAGES)
def test_a_mel_that_is_not_as_it_was_written_is_made_again(tmp_path: Path, damage: str) -> None:
    paths, mels = clips(tmp_path, 2), MelCache(tmp_path / "mels", Speech())
    facts, _ = mels.prepare(paths, voices.no_report)
    mel = mels.mel_path(paths[0])
    whole, before = mel.read_bytes(), stamps(mels)
    mel.write_bytes(MEL_DAMAGES[damage](whole))
    assert mels.prepare(paths, voices.no_report)[0] == facts
    assert mel.read_bytes() == whole
    assert stamps(mels)[mels.mel_path(paths[1]).name] == before[mels.mel_path(paths[1]).name], "the other is kept"


def test_the_mel_of_another_utterance_is_not_taken(tmp_path: Path) -> None:
    paths, mels = clips(tmp_path, 2), MelCache(tmp_path / "mels", Speech())
    facts, _ = mels.prepare(paths, voices.no_report)
    mels.mel_path(paths[0]).write_bytes(mels.mel_path(paths[1]).read_bytes())
    assert mels.prepare(paths, voices.no_report)[0] == facts
    assert np.load(mels.mel_path(paths[0])).shape[1] == facts[paths[0]].frames


LINE_DAMAGES = {
    "a bad value": lambda line: line.replace(b'"frames": ', b'"frames": "a", "f": '),
    "another value": lambda line: line.replace(b'"seconds": 0', b'"seconds": 7'),
    "a missing key": lambda line: line.replace(b'"frames": ', b'"faames": '),
    "no mel": lambda line: b'{"seconds": 1.0}\n',
    "a list": lambda line: b"[1, 2]\n",
    "a number": lambda line: b"17\n",
    "no JSON": lambda line: b"{" + line,
    "no UTF-8": lambda line: b"\xff\xfe" + line,
    "zeros": lambda line: bytes(len(line) - 1) + b"\n",
    "no end": lambda line: line[:-1],
    "nothing": lambda line: b"\n",
}


@pytest.mark.parametrize("damage", LINE_DAMAGES)
def test_a_line_of_the_index_that_is_not_as_it_was_written_is_made_again(tmp_path: Path, damage: str) -> None:
    paths, mels = clips(tmp_path, 3), MelCache(tmp_path / "mels", Speech())
    facts = mels.prepare(paths, voices.no_report)
    index = mels.folder / "index.jsonl"
    lines = index.read_bytes().splitlines(keepends=True)
    index.write_bytes(lines[0] + LINE_DAMAGES[damage](lines[1]) + lines[2])
    assert mels.prepare(paths, voices.no_report) == facts
    lines = index.read_bytes().splitlines(keepends=True)
    index.write_bytes(b"".join([*lines[:-1], LINE_DAMAGES[damage](lines[-1])]))
    assert mels.prepare(paths, voices.no_report) == facts


def test_a_rewritten_file_is_analysed_again(tmp_path: Path) -> None:
    paths, mels = clips(tmp_path, 2), MelCache(tmp_path / "mels", Speech())
    before, _ = mels.prepare(paths, voices.no_report)
    voices.write(paths[0], voices.speech(0.9, 22050, seed=9), 22050)
    after, _ = mels.prepare(paths, voices.no_report)
    assert after[paths[0]].sha256 != before[paths[0]].sha256
    assert np.load(mels.mel_path(paths[0])).shape[1] == after[paths[0]].frames != before[paths[0]].frames
    assert after[paths[1]] == before[paths[1]]


def test_a_file_of_the_same_size_and_another_time_is_analysed_again(tmp_path: Path) -> None:
    paths, mels = clips(tmp_path, 1), MelCache(tmp_path / "mels", Speech())
    before = mels.mel_path(paths[0])
    os.utime(paths[0], ns=(1, 1))
    assert mels.mel_path(paths[0]) != before


def emptied(mel: Path) -> None:
    """As a power cut may leave it."""
    mel.write_bytes(b"")


@pytest.mark.parametrize("lose", [Path.unlink, emptied])
def test_a_mel_that_is_gone_or_empty_is_made_again(tmp_path: Path, lose: Callable[[Path], None]) -> None:
    paths, mels = clips(tmp_path, 2), MelCache(tmp_path / "mels", Speech())
    facts, _ = mels.prepare(paths, voices.no_report)
    lose(mels.mel_path(paths[1]))
    assert mels.prepare(paths, voices.no_report)[0] == facts
    assert np.load(mels.mel_path(paths[1])).shape[1] == facts[paths[1]].frames


def test_a_killed_build_goes_on_and_analyses_nothing_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some files are done, the last line of the index is cut, and a mel half-written."""
    paths, mels = clips(tmp_path), MelCache(tmp_path / "mels", Speech())
    mels.prepare(paths[:3], voices.no_report)
    index = mels.folder / "index.jsonl"
    index.write_bytes(index.read_bytes()[:-40])
    mels.mel_path(paths[3]).with_suffix(".part").write_bytes(b"\x93NUMPY")
    before = stamps(mels)
    facts, bad = mels.prepare(paths, voices.no_report)
    assert not bad
    assert set(facts) == set(paths)
    assert [stamps(mels)[mels.mel_path(path).name] == before[mels.mel_path(path).name] for path in paths[:2]] == [
        True
    ] * 2
    assert all(np.load(mels.mel_path(path)).shape[1] == facts[path].frames for path in paths)
    monkeypatch.setattr(cache, "analyse", no_analysis)
    assert mels.prepare(paths, voices.no_report) == (facts, bad)


def test_bad_files_are_named_with_what_is_wrong_and_do_not_stop_the_rest(tmp_path: Path) -> None:
    paths, mels = clips(tmp_path, 5), MelCache(tmp_path / "mels", Speech())
    paths[0].unlink()
    paths[1].write_bytes(b"")
    paths[2].write_bytes(b"not a sound" * 50)
    voices.write(paths[3], np.zeros(9000, dtype=np.float32), 22050)
    facts, bad = mels.prepare(paths, voices.no_report)
    assert list(facts) == [paths[4]]
    assert [bad[path].split(" (")[0] for path in paths[:4]] == [
        "missing",
        "empty file",
        "not audio",
        "holds only silence",
    ]


def test_a_bad_file_is_looked_at_again_when_it_was_replaced(tmp_path: Path) -> None:
    paths, mels = clips(tmp_path, 1), MelCache(tmp_path / "mels", Speech())
    good = paths[0].read_bytes()
    paths[0].write_bytes(b"")
    assert mels.prepare(paths, voices.no_report)[1] == {paths[0]: "empty file"}
    paths[0].write_bytes(good)
    assert list(mels.prepare(paths, voices.no_report)[0]) == paths


def test_the_report_counts_up_to_the_number_of_files(tmp_path: Path) -> None:
    paths, seen = clips(tmp_path, 4), []
    MelCache(tmp_path / "mels", Speech()).prepare([*paths, *paths], lambda done, total: seen.append((done, total)))
    assert seen == [(done, 4) for done in range(5)]


def test_the_report_never_exceeds_its_total(tmp_path: Path) -> None:
    paths, seen = clips(tmp_path, 4), []
    paths[0].unlink()
    MelCache(tmp_path / "mels", Speech()).prepare(paths, lambda done, total: seen.append((done, total)))
    assert seen[-1][0] == seen[-1][1]
    assert all(done <= total for done, total in seen)


def test_the_folder_tells_its_settings(tmp_path: Path) -> None:
    mels = MelCache(tmp_path / "mels", Speech(trim_db=33.0))
    mels.prepare([], voices.no_report)
    told = json.loads((mels.folder / "settings.json").read_text(encoding="utf-8"))
    assert told["trim_db"] == 33.0
    assert "language" not in told


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "mels").write_text("a file in the way", encoding="utf-8")
    mels = MelCache(tmp_path / "mels", Speech())
    with pytest.raises(StorageError, match=r"mel cache .* cannot be written") as refused:
        mels.prepare([], voices.no_report)
    assert str(mels.folder) in str(refused.value)


@pytest.mark.slow
def test_several_processes_find_what_one_finds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = clips(tmp_path, 17)
    paths[3].write_bytes(b"")
    alone, together = MelCache(tmp_path / "alone", Speech()), MelCache(tmp_path / "together", Speech())
    use_cores(monkeypatch, 1)
    expected = alone.prepare(paths, voices.no_report)
    use_cores(monkeypatch, 2)
    monkeypatch.setattr(cache, "analyse", no_analysis)  # of this process; the others import their own
    assert together.prepare(paths, voices.no_report) == expected
    assert len(stamps(together)) == 16
    for path in paths[:3]:
        assert np.array_equal(np.load(alone.mel_path(path)), np.load(together.mel_path(path)))
    assert (alone.folder / "index.jsonl").read_text() == (together.folder / "index.jsonl").read_text()


@pytest.mark.slow
def test_a_killed_process_is_told_and_the_next_build_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths, mels = clips(tmp_path, 16), MelCache(tmp_path / "mels", Speech())
    use_cores(monkeypatch, 2)
    with pytest.raises(StorageError, match="was killed, probably for lack of memory"):
        mels.prepare([Deadly(path) for path in paths], voices.no_report)
    use_cores(monkeypatch, 1)
    assert len(mels.prepare(paths, voices.no_report)[0]) == 16

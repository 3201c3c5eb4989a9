"""What is heard side by side: whose, how loud, in which order."""

import base64
import io
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from smart_tuner.report import listening
from smart_tuner.report.evidence import Evidence, Points, Run
from smart_tuner.report.finalists import Finalists
from smart_tuner.report.listening import measure_loudness
from smart_tuner.report.view import Clip
from smart_tuner.space.objective import Objective

RATE = 22_050
NAME = "000200-free-running-clip-7.wav"


class Folder:
    """An archive whose runs are folders."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def history(self, run_id: str, metric: str) -> Points:
        return ()

    def artefact(self, run_id: str, path: str) -> Path | None:
        file = self.root / run_id / path
        return file if file.is_file() else None

    def artefacts(self, run_id: str, folder: str) -> list[str]:
        return sorted(
            file.relative_to(self.root / run_id).as_posix() for file in (self.root / run_id / folder).glob("*")
        )

    def say(self, run: str, name: str, gain: float, *, rate: int = RATE, hertz: float = 220.0) -> None:
        """A tone for half a second, then silence for as long."""
        file = self.root / run / "audio" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(file, tone(gain, rate, hertz), rate, subtype="PCM_16")


def tone(gain: float, rate: int = RATE, hertz: float = 220.0) -> NDArray[np.float32]:
    time = np.arange(rate // 2) / rate
    return np.concatenate([gain * np.sin(2 * np.pi * hertz * time), np.zeros(rate // 2)]).astype(np.float32)


def run(name: str) -> Run:
    return Run(name=name, run_id=name, link=f"http://here/{name}")


def heard(folder: Folder, *names: str, study: str = "s") -> tuple[listening.Sentence, ...]:
    runs = tuple(run(name) for name in names)
    chosen = Finalists(best=None, baseline=None, winner=None, median=None, worst=None, heard=runs)
    evidence = Evidence(name=study, mode="tune", objectives=(Objective(),), runs=runs)
    return listening.compare_voices(chosen, folder, evidence)


def decoded(clip: Clip) -> tuple[NDArray[np.float32], int]:
    content = base64.b64decode(clip.uri.partition("base64,")[2])
    samples, rate = soundfile.read(io.BytesIO(content), dtype="float32")
    return samples, rate


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def test_finalists_say_the_same_sentence_equally_loud(folder: Folder) -> None:
    for name, gain in (("a", 0.9), ("b", 0.02)):
        folder.say(name, NAME, gain)
    folder.say("a", "000200-target-clip-7.wav", 0.3)
    (sentence,) = heard(folder, "a", "b")
    assert sentence.title == "clip-7"
    assert sorted(clip.who for clip in sentence.clips) == ["a", "b"]
    assert sentence.target is not None
    for clip in (*sentence.clips, sentence.target):
        assert clip.uri.startswith("data:audio/mpeg;base64,")
        assert measure_loudness(*decoded(clip)) == pytest.approx(listening.LOUDNESS, rel=0.05)


def test_pauses_do_not_count_as_quiet() -> None:
    assert measure_loudness(tone(0.4), RATE) == pytest.approx(0.4 / np.sqrt(2), rel=0.01)
    assert measure_loudness(np.zeros(RATE, dtype=np.float32), RATE) == 0
    assert measure_loudness(np.zeros(0, dtype=np.float32), RATE) == 0


def test_a_clip_with_high_peaks_makes_all_quieter_rather_than_clipped(folder: Folder) -> None:
    peaks = tone(0.01)
    peaks[: RATE // 2 : RATE // 40] = 0.99
    folder.say("a", NAME, 0.5)
    folder.say("b", NAME, 0.5)
    soundfile.write(folder.root / "b" / "audio" / NAME, peaks, RATE, subtype="PCM_16")
    clips = {clip.who: decoded(clip) for clip in heard(folder, "a", "b")[0].clips}
    quiet, loud = (measure_loudness(*clips[name]) for name in "ba")
    assert loud < 0.9 * listening.LOUDNESS
    assert quiet == pytest.approx(loud, rel=0.15)  # the codec rounds peaks off


def test_the_last_step_counts_and_teacher_forcing_is_not_heard(folder: Folder) -> None:
    folder.say("a", "000050-free-running-clip-7.wav", 0.5, hertz=200)
    folder.say("a", NAME, 0.5, hertz=1000)
    folder.say("a", "000300-teacher-forced-clip-7.wav", 0.5, hertz=3000)
    (sentence,) = heard(folder, "a")
    samples, rate = decoded(sentence.clips[0])
    assert len(sentence.clips) == 1
    assert np.abs(np.fft.rfft(samples)).argmax() * rate / len(samples) == pytest.approx(1000, abs=20)


def test_the_order_is_hidden_but_the_same_each_time(folder: Folder) -> None:
    names = [f"trial-{number:04d}" for number in range(5)]
    for name in names:
        folder.say(name, NAME, 0.5)
    orders = {study: [clip.who for clip in heard(folder, *names, study=study)[0].clips] for study in ("a", "b", "c")}
    assert all(sorted(order) == names for order in orders.values())
    assert len({tuple(order) for order in orders.values()}) == 3
    assert orders["a"] == [clip.who for clip in heard(folder, *reversed(names), study="a")[0].clips]
    assert [clip.letter for clip in heard(folder, *names)[0].clips] == list("ABCDE")


def test_sentences_that_most_say_come_first(folder: Folder) -> None:
    for name, clips in (("a", ("x", "y", "z")), ("b", ("y",))):
        for clip in clips:
            folder.say(name, f"000200-free-running-{clip}.wav", 0.5)
    assert [sentence.title for sentence in heard(folder, "a", "b")] == ["y", "x", "z"]


def test_what_is_gone_broken_or_silent_is_left_out(folder: Folder) -> None:
    folder.say("a", NAME, 0.5)
    folder.say("silent", NAME, 0.0)
    folder.say("broken", NAME, 0.5)
    (folder.root / "broken" / "audio" / NAME).write_bytes(b"RIFF, but not really")
    (folder.root / "a" / "audio" / "notes.txt").write_text("x")
    (sentence,) = heard(folder, "a", "silent", "broken", "gone")
    assert [clip.who for clip in sentence.clips] == ["a"]
    assert sentence.target is None
    assert heard(folder, "silent", "gone") == ()
    assert heard(folder) == ()


def test_odd_sample_rates_can_be_played_too(folder: Folder) -> None:
    folder.say("a", NAME, 0.5, rate=20_000)
    clip = heard(folder, "a")[0].clips[0]
    assert (clip.uri[:15], decoded(clip)[1], clip.link) == ("data:audio/ogg;", 20_000, "http://here/a")

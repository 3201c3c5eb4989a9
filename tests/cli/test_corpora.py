"""One list of corpora, and three modes that have to say the same of each: check, a dry run, a training."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.support import small
from tests.support.program import invoke, sentence, working_folder

WITH = ("--settings", "small.yaml", "--device", "cpu", "--budget", "2it", "--set", "tracking.enhanced=false")


def clip(folder: Path, number: int) -> Path:
    return folder / "wavs" / f"beep-{number:02d}.wav"


def rows(folder: Path, change: Callable[[list[str]], list[str]]) -> None:
    file = folder / "metadata.csv"
    file.write_text("".join(f"{row}\n" for row in change(file.read_text().splitlines())))


def sounds(folder: Path, change: Callable[[np.ndarray], np.ndarray], rate: int = 8000) -> None:
    for file in sorted((folder / "wavs").iterdir()):
        soundfile.write(file, change(soundfile.read(file)[0]), rate)


def one_sound(folder: Path, change: Callable[[np.ndarray], np.ndarray]) -> None:
    soundfile.write(clip(folder, 3), change(soundfile.read(clip(folder, 3))[0]), 8000)


def link(folder: Path) -> None:
    clip(folder, 3).unlink()
    clip(folder, 3).symlink_to(clip(folder, 4).resolve())


def again(row: str) -> str:
    return row + " " + row.partition("|")[2]


CORPORA: dict[str, Callable[[Path], None]] = {
    "as it is": lambda folder: None,
    "a bar at the end of each row": lambda folder: rows(folder, lambda all_: [f"{row}|" for row in all_]),
    "a text twice": lambda folder: rows(folder, lambda all_: [*all_[:-1], "beep-14|" + all_[0].partition("|")[2]]),
    "one clip long": lambda folder: one_sound(folder, lambda samples: np.tile(samples, 4)),
    "a missing clip": lambda folder: clip(folder, 3).unlink(),
    "an empty clip": lambda folder: clip(folder, 3).write_bytes(b""),
    "half a clip": lambda folder: clip(folder, 3).write_bytes(clip(folder, 3).read_bytes()[:4000]),
    "a silent clip": lambda folder: one_sound(folder, np.zeros_like),
    "a clip that is none": lambda folder: clip(folder, 3).write_text("RIFF"),
    "a short clip": lambda folder: one_sound(folder, lambda samples: samples[:900]),
    "a link to another clip": lambda folder: link(folder),
    "a row twice": lambda folder: rows(folder, lambda all_: [*all_, all_[0]]),
    "a row without text": lambda folder: rows(folder, lambda all_: ["beep-00|", *all_[1:]]),
    "an unknown symbol": lambda folder: rows(folder, lambda all_: [all_[0] + " ☃", *all_[1:]]),
    "too few": lambda folder: rows(folder, lambda all_: all_[:3]),
    "one": lambda folder: rows(folder, lambda all_: all_[:1]),
    "texts many times over": lambda folder: rows(folder, lambda all_: [again(again(again(row))) for row in all_]),
    "clips cut": lambda folder: sounds(folder, lambda samples: samples[: len(samples) // 4]),
    "a header of another rate": lambda folder: sounds(folder, lambda samples: samples, 32000),
    "silence in the middle": lambda folder: sounds(
        folder, lambda samples: np.concatenate([samples[:1500], np.zeros(32000), samples[1500:]])
    ),
}  # fmt: skip
FIT = {"as it is", "a bar at the end of each row", "a text twice", "one clip long"}


@pytest.mark.slow
@pytest.mark.parametrize("corpus", CORPORA)
def test_check_a_dry_run_and_a_training_agree(corpus: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = working_folder(tmp_path / "work")
    monkeypatch.chdir(folder)
    CORPORA[corpus](folder / "beeps")
    small.tracking_store(folder)
    data = ("--data", "beeps", *WITH)
    check, dry, train = (invoke("--mode", *mode, *data) for mode in (("check",), ("train", "--dry-run"), ("train",)))
    if corpus in FIT:
        assert [check.exit_code, dry.exit_code, train.exit_code] == [0, 0, 0], train.output
        assert "Verdict    fit for training" in check.stdout
        return
    assert [check.exit_code, dry.exit_code, train.exit_code] == [1, 2, 2], train.output
    bad = [line.split(maxsplit=1)[1] for line in check.stdout.splitlines() if line.startswith("  bad ")]
    assert bad
    for line in bad:
        about, _, text = line.partition("  ")
        for refused in (dry, train):
            assert f"{about.strip()}: {text.strip()}"[:60] in sentence(refused)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    working = working_folder(tmp_path / "work")
    monkeypatch.chdir(working)
    return working


SPACE = """
budget: 48utt
parameters:
  hparams.learning_rate: {type: float, low: 1.0e-4, high: 1.0e-3}
"""


@pytest.mark.parametrize(
    ("parameter", "told"),
    [
        (
            "hparams.reduction_factor: {type: int, low: 3, high: 10}",
            "at hparams.reduction_factor = 10 of the space: at hparams.reduction_factor = 10, ",
        ),
        (
            "hparams.warmup_iterations: {type: int, low: 0, high: 11}",
            "at hparams.warmup_iterations = 11 of the space: hparams.warmup_iterations = 11: the learning rate ",
        ),
        (
            "hparams.attention_kind: {type: categorical, choices: [location, forward]}",
            "",
        ),
    ],
)
def test_the_ends_of_a_space_are_held_against_the_corpus(folder: Path, parameter: str, told: str) -> None:
    (folder / "mine.yaml").write_text(f"{SPACE}  {parameter}\n")
    data = ("--data", "beeps", *WITH[:4], "--set", "hparams.forward_sum_weight=1", "--set", "health.enabled=false")
    found = [invoke("--mode", *mode, *data, "--space", "mine.yaml") for mode in (("check",), ("tune", "--dry-run"))]
    for result in found:
        assert result.exit_code == 0, result.output
        assert (f" {told}" in result.stdout) if told else (" of the space: " not in result.stdout)


def test_headers_alone_do_not_condemn_what_trimming_may_cure(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sounds(folder / "beeps", lambda samples: np.concatenate([samples, np.zeros(80000)]))
    data = ("--data", "beeps", *WITH)
    assert invoke("--mode", "check", *data).exit_code == 0
    monkeypatch.setattr("smart_tuner.speech.preflight.READ_AT_ONCE", 0.0)
    dry = invoke("--mode", "train", "--dry-run", *data)
    assert dry.exit_code == 0, dry.output
    assert "by the files' headers; --mode check reads the sound" in dry.stdout
    assert "Watch      pace: median " in dry.stdout

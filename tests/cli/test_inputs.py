"""What the command line, paths and YAML alone show is refused before anything heavy is imported or anything made."""

import json
import subprocess
import sys
from pathlib import Path

import optuna
import pytest

from tests.support.program import PROGRAM, content, invoke, sentence, working_folder

HERE = ("--data", "beeps", "--settings", "small.yaml", "--device", "cpu")
ONE = "budget: 48utt\nparameters: {hparams.learning_rate: {type: float, low: 1.0e-4, high: 1.0e-3}}\n"
STUDIES = "sqlite:///studies.db"

TYPED: list[tuple[str, ...]] = [
    ("--mode", "train", "--data", "nowhere"),
    ("--mode", "tune", "--data", "nowhere", "--space", "demo"),
    ("--mode", "check", "--data", "nowhere"),
    ("--mode", "train", "--data", "nowhere", "--dry-run"),
    ("--mode", "train", "--data", "empty"),
    ("--mode", "train", "--data", "a", "--data", "b", "--data", "c"),
    ("--mode", "train", *HERE, "--set", "hparams.rate=1"),
    ("--mode", "check", *HERE, "--set", "hparams.seed=[1"),
    ("--mode", "train", "--settings", "wrong.yaml"),
    ("--mode", "train", "--settings", "none.yaml"),
    ("--mode", "train", *HERE, "--checkpoint", "none.pt"),
    ("--mode", "train", *HERE, "--workers", "2"),
    ("--mode", "train", *HERE, "--study", "a b"),
    ("--mode", "train", *HERE, "--output", "small.yaml/x"),
    ("--mode", "train", *HERE, "--from-study", "night", "--preset", "demo", "--storage", "sqlite:///none.db"),
    ("--mode", "train", *HERE, "--storage", "rubbish"),
    ("--mode", "train", *HERE, "--tracking-uri", "http://127.0.0.1:9"),
    ("--mode", "tune", *HERE),
    ("--mode", "tune", *HERE, "--space", "none"),
    ("--mode", "tune", *HERE, "--space", "wrong.yaml"),
    ("--mode", "tune", *HERE, "--space", "one.yaml", "--warm-start", "night", "--storage", "sqlite:///none.db"),
    ("--mode", "report", "--format", "pdf"),
    ("--mode", "report", "--compare", "a", "a"),
    ("--mode", "report", "--storage", "sqlite:///none.db"),
    ("--mode", "synth", "--text", "a"),
    ("--mode", "synth", "--text", "a", "--checkpoint", "none.pt"),
    ("--mode", "synth", "--checkpoint", "small.yaml", "--text-file", "none.txt"),
    ("--mode", "synth", "--checkpoint", "small.yaml", "--text", "a", "--vocoder", "none.onnx"),
    ("--mode", "synth", "--checkpoint", "small.yaml", "--text", "a", "--reference", "none.wav"),
    ("--mode", "synth", "--text", "a", "--study", "night", "--storage", "sqlite:///none.db"),
]  # fmt: skip
NAMED: list[tuple[str, ...]] = [
    ("--mode", "train", *HERE, "--from-study", "night", "--storage", STUDIES),
    ("--mode", "tune", *HERE, "--space", "one.yaml", "--warm-start", "night", "--storage", STUDIES),
    ("--mode", "report", "--study", "night", "--storage", STUDIES),
    ("--mode", "synth", "--text", "a", "--study", "night", "--storage", STUDIES),
]
"""Only the studies' storage, so Optuna, knows whether these are there."""

REFUSED = """
import json, sys
from typer.testing import CliRunner
from smart_tuner_main import app
heavy = set(sys.argv[1].split(","))
for words in json.loads(sys.argv[2]):
    done = CliRunner().invoke(app, words)
    print(json.dumps([done.exit_code, done.stderr, sorted(heavy & set(sys.modules))]))
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a corpus of beeps, settings, a space, and settings and a space that are wrong."""
    working = working_folder(tmp_path / "work")
    (working / "empty").mkdir()
    (working / "wrong.yaml").write_text("hparams: {seed: soon}\n")
    (working / "one.yaml").write_text(ONE)
    monkeypatch.chdir(working)
    return working


def refuse(commands: list[tuple[str, ...]], *heavy: str) -> list[tuple[int, str, list[str]]]:
    """Exit code, standard error and the heavy libraries that were loaded by then, of each command in one program."""
    done = subprocess.run(
        [sys.executable, "-c", REFUSED, ",".join(heavy), json.dumps(commands)],
        env={"PYTHONPATH": str(PROGRAM.parent), "PATH": ""},
        capture_output=True,
        text=True,
        check=True,
    )
    return [tuple(json.loads(line)) for line in done.stdout.splitlines()]


def test_what_needs_no_library_is_refused_without_any(folder: Path) -> None:
    before = content(folder)
    for words, (code, said, loaded) in zip(TYPED, refuse(TYPED, "torch", "mlflow", "optuna", "librosa"), strict=True):
        assert (code, loaded) == (1 if "check" in words and "nowhere" in words else 2, []), (words, said)
        assert said.startswith("Error: "), words
        assert said.count("\n") == 1, words
    assert content(folder) == before


def test_a_study_that_is_not_there_is_refused_without_torch_and_mlflow(folder: Path) -> None:
    optuna.create_study(storage=STUDIES, study_name="day")
    before = content(folder)
    for words, (code, said, loaded) in zip(NAMED, refuse(NAMED, "torch", "mlflow", "librosa"), strict=True):
        assert (code, loaded) == (2, []), (words, said)
        assert "'night'" in said, words
    assert content(folder) == before


def spoil(corpus: Path, how: str) -> None:
    """A corpus that is refused when it is read, or when its sound is."""
    rows = corpus / "metadata.csv"
    lines = rows.read_text().splitlines()
    if how == "unknown symbol":
        lines[2] += "\u4e16"
    elif how == "no text":
        lines[2] = lines[2].partition("|")[0] + "|"
    elif how == "twice":
        lines.append(lines[3])
    elif how == "few":
        lines = lines[:3]
    elif how == "no sound":
        for clip in (corpus / "wavs").iterdir():
            clip.write_bytes(b"")
    rows.write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize("how", ["unknown symbol", "no text", "twice", "few", "no sound"])
@pytest.mark.parametrize("mode", [("train",), ("tune", "--space", "one.yaml"), ("train", "--dry-run"), ("check",)])
def test_a_refused_corpus_leaves_nothing(folder: Path, how: str, mode: tuple[str, ...]) -> None:
    spoil(folder / "beeps", how)
    before = content(folder)
    result = invoke("--mode", *mode, *HERE)
    refused = mode in (("train",), ("tune", "--space", "one.yaml"))
    assert result.exit_code in ((2,) if refused else (0, 1, 2))
    made = set(content(folder)) - set(before)
    assert not made or (not refused and any(path.endswith(".npy") for path in made)), made


def test_a_demo_corpus_too_small_for_the_batch_is_not_spoken(folder: Path) -> None:
    before = content(folder)
    for words in (("train",), ("check",), ("tune", "--space", "one.yaml")):
        result = invoke("--mode", *words, "--set", "hparams.batch_size=1000", "--device", "cpu")
        assert "fewer than a batch of 1000" in sentence(result)
        assert content(folder) == before


def test_a_study_that_is_refused_leaves_no_folder_of_its_own(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Here the sampler's package is missing, which the study says when it is opened, under its lock."""
    (folder / "one.yaml").write_text(ONE + "sampler: cmaes\n")
    monkeypatch.setitem(sys.modules, "cmaes", None)
    result = invoke("--mode", "tune", "--space", "one.yaml", *HERE)
    assert "needs the package cmaes" in sentence(result)
    assert [path.name for path in (folder / "smart_tuner_files").iterdir()] == ["mels"]
    assert not list(folder.glob("*.db"))


def test_a_folder_is_found_writable_without_being_made(folder: Path) -> None:
    result = invoke("--mode", "train", "--dry-run", *HERE, "--output", "deep/er")
    assert result.exit_code == 0
    assert not (folder / "deep").exists()

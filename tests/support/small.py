"""Everything small enough for a test: a tiny network, utterances of random mels, a corpus of beeps."""

import dataclasses
import functools
import sqlite3
import time
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import soundfile
import torch
from mlflow.tracking import MlflowClient
from numpy.typing import NDArray

from model.sizes import Architecture
from smart_tuner.paths import TrialFolder
from smart_tuner.progress import Progress
from smart_tuner.settings.hparams import Hparams
from smart_tuner.settings.settings import Settings, Tracking
from smart_tuner.settings.speech import Speech
from smart_tuner.speech.batches import Example, TrainingData
from smart_tuner.speech.corpus import Corpus, Examples
from smart_tuner.speech.mel_file import write_mel
from smart_tuner.speech.symbols import SymbolTable
from smart_tuner.training.trainer import Trainer

SYMBOLS = tuple("_~ abcdefghi")
MELS = 8
WIDTHS = {
    "symbols_embedding_dim": 8,
    "encoder_n_convolutions": 1,
    "prenet_dim": 8,
    "attention_rnn_dim": 12,
    "decoder_rnn_dim": 12,
    "attention_dim": 6,
    "attention_location_n_filters": 2,
    "attention_location_kernel_size": 5,
    "postnet_embedding_dim": 8,
    "postnet_n_convolutions": 2,
}
STILL: dict[str, Any] = {f"{part}_dropout": 0.0 for part in ("prenet", "encoder", "attention", "decoder", "postnet")}
"""Hyperparameters without any dropout."""
CPU = torch.device("cpu")
CLOCK = ("duration", "training.frames_per_second")
"""Metrics that no seed repeats."""


def settings(**hparams: Any) -> Settings:
    """A network of a few units, batches of 4, a validation every 3 iterations."""
    small = {"batch_size": 4, "budget": "6it", "validation_freq": 3, "warmup_iterations": 2, "learning_rate": 1e-2}
    return Settings(
        hparams=Hparams(**{**small, **hparams}),
        model=Architecture(**WIDTHS),
        speech=Speech(n_mel_channels=MELS),
        tracking=Tracking(checkpoint_seconds=1e9, recogniser_steps=0, freerun_sentences=1),
    )


def examples(folder: Path, count: int, seed: int = 0) -> list[Example]:
    """Utterances of 3 or 4 symbols, each spoken as its own sound for 3 or 4 frames, with some noise."""
    folder.mkdir(parents=True, exist_ok=True)
    sounds = np.random.default_rng(7).normal(-3.0, 1.5, (len(SYMBOLS), MELS))
    random = np.random.default_rng(seed)
    made = []
    for index in range(count):
        tokens = random.integers(2, len(SYMBOLS), random.integers(3, 5))
        mel = sounds[np.repeat(tokens, random.integers(3, 5, len(tokens)))].T
        mel = (mel + random.normal(0.0, 0.1, mel.shape)).astype(np.float32)
        path = folder / f"{seed}-{index}.npy"
        write_mel(path, mel)
        made.append(Example(name=f"{seed}-{index:02d}", tokens=tokens, frames=mel.shape[1], mel=path))
    return made


def mean_mel(train: list[Example]) -> NDArray[np.float32]:
    """Mean frame of utterances."""
    frames = np.concatenate([np.load(example.mel) for example in train], axis=1)
    return np.asarray(frames.mean(axis=1), dtype=np.float32)


def trainer(folder: Path, chosen: Settings | None = None, **hparams: Any) -> Trainer:
    """A trainer of 14 utterances, 3 batches of 4 an epoch, and 3 to validate on; a folder gives the same data again."""
    return Trainer(chosen or settings(**hparams), data(folder), CPU, TrialFolder(folder / "trial"))


def data(folder: Path, **changed: Any) -> TrainingData:
    """What trainer(folder) trains on."""
    train, validation = examples(folder / "mels", 14), examples(folder / "mels", 3, seed=1)
    made = TrainingData(train=train, validation=validation, symbols=SYMBOLS, mean_mel=mean_mel(train))
    return dataclasses.replace(made, **changed)


def lines(progress: Iterable[Progress]) -> list[dict[str, Any]]:
    """All that a repeated run repeats."""
    plain = [asdict(one) for one in progress]
    for one in plain:
        one["metrics"] = {name: value for name, value in one["metrics"].items() if name not in CLOCK}
    return plain


@functools.cache
def _empty_store() -> bytes:
    """The database of a tracking store in which nothing has happened yet; making its tables takes some seconds."""
    with TemporaryDirectory() as folder:
        file = Path(folder) / "mlflow.db"
        MlflowClient(f"sqlite:///{file}").search_experiments()
        return file.read_bytes()


def tracking_store(folder: Path) -> str:
    """A fresh tracking store, with its artefacts, where `mlflow ui` would look for it; its URI."""
    file = folder / "mlflow.db"
    file.write_bytes(_empty_store())
    with closing(sqlite3.connect(file)) as database, database:
        database.execute("UPDATE experiments SET artifact_location = ?", [f"{folder}/mlruns/0"])
    return f"sqlite:///{file}"


def points(client: MlflowClient, run_id: str) -> dict[str, list[tuple[int, float]]]:
    """All that was ever logged to a run, without what the machine's own metrics are: step and value by name."""
    names = [name for name in client.get_run(run_id).data.metrics if not name.startswith("system/")]
    history = {name: client.get_metric_history(run_id, name) for name in names}
    return {name: sorted((point.step, point.value) for point in history[name]) for name in names}


def wait_until(condition: Callable[[], bool], seconds: float = 120.0) -> None:
    """Wait for something another thread or process does; fails when it is not done in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def corpus(folder: Path) -> Examples:
    """The utterances of trainer(folder), as a corpus that is ready for training."""
    train, validation = examples(folder / "mels", 14), examples(folder / "mels", 3, seed=1)
    listed = Corpus(name="beeps", language="en", symbols=SymbolTable(SYMBOLS), train=[], validation=[])
    return Examples(
        corpus=listed, train=train, validation=validation, mean_mel=mean_mel(train), hours=0.01, digest="d1ge57"
    )


BEEPS = 15


def beeps(folder: Path) -> Path:
    """An LJSpeech folder in which every letter is a tone."""
    random = np.random.default_rng(0)
    (folder / "wavs").mkdir(parents=True)
    time = np.arange(960) / 8000
    rows = []
    for number in range(BEEPS):
        letters = random.integers(1, 9, random.integers(4, 9))
        tones = np.concatenate([0.5 * np.sin(2 * np.pi * (300 + 150 * letter) * time) for letter in letters])
        soundfile.write(folder / "wavs" / f"beep-{number:02d}.wav", tones, 8000)
        rows.append(f"beep-{number:02d}|{''.join(SYMBOLS[2 + letter] for letter in letters)}\n")
    (folder / "metadata.csv").write_text("".join(rows))
    return folder


def beep_settings(**hparams: Any) -> Settings:
    """Settings that train on beeps within a second: three frames a step, 12 utterances and 3 to validate on."""
    audio = {"sampling_rate": 8000, "filter_length": 256, "win_length": 256, "hop_length": 128, "mel_fmax": 4000.0}
    return dataclasses.replace(
        settings(reduction_factor=3, **hparams),
        speech=Speech(n_mel_channels=16, validation_share=0.2, **audio),  # type: ignore[arg-type]
        tracking=Tracking(checkpoint_seconds=0.0, recogniser_steps=0, freerun_sentences=1),
    )

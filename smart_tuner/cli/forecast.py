"""How long a study will take here, from a short training on random mels: nothing of the corpus is read."""

import math
import statistics
from collections.abc import Iterable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

from smart_tuner.paths import TrialFolder
from smart_tuner.settings.settings import Settings
from smart_tuner.space.space import Space
from smart_tuner.speech.batches import Example, TrainingData, plan_epoch
from smart_tuner.speech.mel_file import write_mel
from smart_tuner.training.trainer import Trainer

ITERATIONS = 3
"""Iterations that are timed, after one that is not."""
ENOUGH = 20.0
"""Seconds after which fewer will do."""
FORWARD_SHARE = 1 / 3
"""Time of an utterance in validation, as a share of its time in training, where the backward pass comes on top."""
FASTEST, SLOWEST = 0.8, 1.5
"""A study may take this many times its forecast: trials differ in batch size, and workers share memory and disk."""


def probe(
    settings: Settings,
    lengths: Sequence[tuple[int, int]],
    n_symbols: int,
    device: str,
    *,
    threads: int | None = None,
) -> float:
    """Seconds that a training iteration takes here: the median of three on a typical batch.

    lengths are the corpus's (mel frames, symbols) of each utterance; threads is what a worker on a CPU will have, None
    for what torch has now. Leaves no file behind, and torch's threads and random state as they were.
    """
    before = torch.get_num_threads()
    with (
        TemporaryDirectory(prefix="smart-tuner-probe-") as folder,
        torch.random.fork_rng([device] if device != "cpu" else []),
    ):
        torch.set_num_threads(threads or before)
        try:
            return _median_seconds(
                settings, typical_batch(settings, lengths), n_symbols, torch.device(device), Path(folder)
            )
        finally:
            torch.set_num_threads(before)


def typical_batch(settings: Settings, lengths: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """The lengths in the batch of an epoch whose padded length is nearest to the mean over all batches."""
    hparams = settings.hparams
    frames = [count for count, _ in lengths]
    batches = plan_epoch(frames, min(hparams.batch_size, len(frames)), hparams.seed, 0)
    padded = [max(frames[index] for index in batch) for batch in batches]
    mean = statistics.fmean(padded)
    nearest = min(range(len(batches)), key=lambda row: abs(padded[row] - mean))
    return [lengths[index] for index in batches[nearest]]


def trial_seconds(settings: Settings, seconds_per_iteration: float, train: int, validation: int) -> float:
    """Seconds of a trial that nothing stops, for so many utterances to train on and to validate on."""
    hparams, wall_time = settings.hparams, settings.budget.seconds
    if wall_time is not None:
        return wall_time
    iterations = settings.budget.iterations(hparams.batch_size, max(1, train // hparams.batch_size))
    assert iterations is not None  # a budget counts either iterations or seconds
    validated = min(validation, hparams.validation_utterances) * math.ceil(iterations / hparams.validation_freq)
    return seconds_per_iteration * (iterations + FORWARD_SHARE * validated / hparams.batch_size)


def hours(trial_seconds: float, trials: int, workers: int, kept_share: float = 1.0) -> float:
    """Hours of a study whose trials take this long each when nothing stops them, and keep this share of that."""
    return trial_seconds * kept_share * math.ceil(trials / workers) / 3600


def kept_share(space: Space, utterances: int, train_size: int) -> float:
    """Share of the budget that trials spend when the pruner stops as many as it is made to, 0 to 1."""
    if space.pruner.name == "none":  # also the only one for a budget of wall time, which holds no known utterances
        return 1.0
    going_on, every_time = space.pruner.kind.share(space.pruner), space.pruner.kind.is_halving
    share, spent, before = 1.0, 0.0, 0
    for row, mark in enumerate((*space.rungs(utterances, train_size), utterances)):
        if row == 1 or (row > 1 and every_time):
            share *= going_on
        spent, before = spent + share * (mark - before), mark
    return spent / utterances


def describe_forecast(
    seconds_per_iteration: float, trial: float, *, trials: int, confirming: int = 0, workers: int = 1, kept: float = 1.0
) -> str:
    """The forecast for a person, from an iteration's and a trial's seconds; confirming trials are never stopped."""
    full = hours(trial, trials + confirming, workers)
    saved = hours(trial, trials, workers, 1 - kept)
    also = f" and {confirming} confirming one(s)" if confirming else ""
    stopping = (
        f"; about {format_time(3600 * (full - saved))} if the pruner stops as many as it should" if kept < 1 else ""
    )
    return (
        f"one trial about {format_time(trial)} here ({seconds_per_iteration:.2g} s an iteration); "
        f"{trials} trial(s){also} on {workers} worker(s) "
        f"{format_time(3600 * FASTEST * full)} to {format_time(3600 * SLOWEST * full)}{stopping}"
    )


def format_time(seconds: float) -> str:
    """A duration in its fitting unit: 40 s, 4 min, 2.5 h."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 90 * 60 else f"{seconds / 3600:.1f} h"


def typical_duration(durations: Iterable[float]) -> float:
    """Median of the first few durations, without the very first; of fewer when they take long."""
    timed: list[float] = []
    for duration in durations:
        timed.append(duration)
        if len(timed) > ITERATIONS or (len(timed) > 1 and sum(timed) > ENOUGH):
            break
    return statistics.median(timed[1:])


def _median_seconds(
    settings: Settings, batch: list[tuple[int, int]], n_symbols: int, device: torch.device, folder: Path
) -> float:
    iterations = ITERATIONS + 1
    mels = settings.speech.n_mel_channels
    random = np.random.default_rng(0)
    examples = [
        _example(folder / f"{copy}-{row}.npy", frames, tokens, mels, n_symbols, random)
        for copy in range(iterations)
        for row, (frames, tokens) in enumerate(batch)
    ]
    probed = settings.replace(
        budget=f"{2 * iterations}it",  # beyond what is trained, and so is validation: nothing is saved
        validation_freq=2 * iterations,
        batch_size=len(batch),
        learning_rate=settings.hparams.final_learning_rate,  # too low to blow up on noise
    )
    symbols = tuple(map(str, range(n_symbols)))
    mean_mel = np.zeros(mels, dtype=np.float32)
    data = TrainingData(train=examples, validation=examples[:1], symbols=symbols, mean_mel=mean_mel)
    trainer = Trainer(probed, data, device, TrialFolder(folder))
    return typical_duration(progress.metrics["duration"] for progress in trainer.steps())


def _example(path: Path, frames: int, tokens: int, mels: int, n_symbols: int, random: np.random.Generator) -> Example:
    write_mel(path, random.normal(-5.0, 2.0, (mels, frames)).astype(np.float32))
    drawn = random.integers(1, n_symbols, tokens)
    return Example(name=path.stem, tokens=drawn, frames=frames, mel=path)

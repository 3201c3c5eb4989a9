"""A short training on random mels says how long a study takes here, and leaves nothing behind."""

import getpass
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from smart_tuner.cli import forecast
from smart_tuner.space.space import Pruner
from tests.support import small
from tests.support.spaces import space

TORCHS_OWN = {f"torchinductor_{getpass.getuser()}"}
LENGTHS = [(frames, frames // 3) for frames in range(20, 60)]


def probed(monkeypatch: pytest.MonkeyPatch, folder: Path, **hparams: object) -> float:
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    threads = torch.get_num_threads() + 1
    return forecast.probe(small.settings(**hparams), LENGTHS, len(small.SYMBOLS), "cpu", threads=threads)


@pytest.mark.slow
def test_a_probe_trains_and_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    threads, state = torch.get_num_threads(), torch.get_rng_state()
    assert 0 < probed(monkeypatch, tmp_path) < 10
    assert {path.name for path in tmp_path.iterdir()} <= TORCHS_OWN
    assert torch.get_num_threads() == threads
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.slow
@pytest.mark.parametrize("budget", ["1it", "1utt", "1s", "1ep"])
def test_a_probe_ends_by_itself_whatever_the_budget(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, budget: str
) -> None:
    assert probed(monkeypatch, tmp_path, budget=budget, validation_freq=1) > 0


@pytest.mark.slow
def test_a_probe_bears_a_learning_rate_that_no_training_bears(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert probed(monkeypatch, tmp_path, learning_rate=1.0, warmup_iterations=0, grad_clip_thresh=1e9) > 0


def test_the_first_iteration_and_outliers_do_not_count() -> None:
    assert forecast.typical_duration([9.0, 3.0, 0.2, 4.0, 0.0, 0.0, 0.0]) == 3.0


def test_a_slow_machine_is_not_asked_for_more_than_it_takes() -> None:
    durations = iter([19.0, 3.0, 0.2, 4.0])
    assert forecast.typical_duration(durations) == 3.0
    assert next(durations) == 0.2


def test_the_probed_batch_is_padded_like_the_mean_batch() -> None:
    lengths = [(frames, 7) for frames in (10, 10, 10, 10, 40, 45, 50, 55, 300, 300, 300, 300)]
    batch = forecast.typical_batch(small.settings(batch_size=4), lengths)
    assert batch == [(40, 7), (45, 7), (50, 7), (55, 7)], "padded 10, 55 and 300: the mean is 122"


def test_a_corpus_smaller_than_a_batch_is_one_batch() -> None:
    assert len(forecast.typical_batch(small.settings(batch_size=64), LENGTHS)) == len(LENGTHS)


def test_a_trials_seconds_are_its_iterations_and_a_third_for_each_validated_utterance() -> None:
    settings = small.settings(batch_size=10, budget="1000utt", validation_freq=50)
    assert forecast.trial_seconds(settings, 2.0, 570, 30) == pytest.approx(2 * (100 + 2 * 30 / 3 / 10))
    assert forecast.trial_seconds(settings.replace(budget="2ep"), 2.0, 570, 0) == 2 * 114
    few = settings.replace(validation_utterances=15)
    assert forecast.trial_seconds(few, 2.0, 570, 30) == pytest.approx(2 * (100 + 2 * 15 / 3 / 10))


def test_wall_time_is_what_it_is() -> None:
    assert forecast.trial_seconds(small.settings(budget="45m"), 2.0, 570, 30) == 2700


def test_workers_train_side_by_side_in_rounds() -> None:
    assert forecast.hours(1800, trials=12, workers=1) == 6
    assert forecast.hours(1800, trials=12, workers=2) == 3
    assert forecast.hours(1800, trials=3, workers=2) == 1
    assert forecast.hours(1800, trials=12, workers=2, kept_share=0.5) == 1.5


@pytest.mark.parametrize(
    ("pruner", "share"),
    [
        (Pruner(name="none"), 1.0),
        (Pruner(name="patient"), 1.0),
        (Pruner(name="asha", warmup="900utt"), (900 + 1800 / 3) / 2700),
        (Pruner(name="hyperband", warmup="300utt"), (300 + 600 / 3 + 1800 / 9) / 2700),
        (Pruner(name="median", warmup="900utt"), (900 + 1800 / 2) / 2700),
        (Pruner(name="percentile", warmup="900utt"), (900 + 1800 / 4) / 2700),
    ],
)
def test_a_pruner_keeps_its_share_of_the_budget(tmp_path: Path, pruner: Pruner, share: float) -> None:
    chosen = replace(space(tmp_path), pruner=pruner)
    assert forecast.kept_share(chosen, 2700, 570) == pytest.approx(share)


def test_without_a_pruner_a_budget_of_wall_time_is_kept_whole(tmp_path: Path) -> None:
    assert forecast.kept_share(replace(space(tmp_path), pruner=Pruner(name="none")), 0, 570) == 1.0


def test_the_forecast_is_a_sentence() -> None:
    said = forecast.describe_forecast(0.53, 240, trials=12, confirming=6, workers=2, kept=0.5)
    assert said == (
        "one trial about 4 min here (0.53 s an iteration); 12 trial(s) and 6 confirming one(s) on 2 worker(s) "
        "29 min to 54 min; about 24 min if the pruner stops as many as it should"
    )
    assert "pruner" not in forecast.describe_forecast(0.53, 240, trials=12)
    assert "confirming" not in forecast.describe_forecast(0.53, 240, trials=12)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(40, "40 s"), (89, "89 s"), (90, "2 min"), (3600, "60 min"), (5400, "1.5 h"), (86400, "24.0 h")],
)
def test_a_duration_is_told_in_its_fitting_unit(seconds: float, text: str) -> None:
    assert forecast.format_time(seconds) == text

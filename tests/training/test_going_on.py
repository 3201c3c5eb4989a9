"""A training that was interrupted goes on as if it had not been: the same numbers, the same weights."""

import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from smart_tuner import checkpoint
from smart_tuner.errors import CheckpointError
from smart_tuner.training.trainer import Trainer
from tests.support import small
from tests.support.progress import train_until, weights

kept_step = {"step": torch.tensor(1.0)}
"""What an optimizer may know of a weight, cut short."""
pytestmark = pytest.mark.slow  # each trains twice

EVERY_SWITCH: dict[str, Any] = {
    "reduction_factor": 2,
    "reduction_schedule": "1@8",
    "accumulation": 2,
    "ema_decay": 0.9,
    "optimizer": "adamw",
    "schedule": "plateau",
    "guide_anneal": 1,
    "use_mmi": True,
    "use_gst": True,
    "drop_frame_rate": 0.2,
    "attention_zoneout": 0.1,
}
KINDS: dict[str, dict[str, Any]] = {
    "plain": {"budget": "7it", "validation_freq": 2, "reduction_factor": 2},
    "with a rung": {"validation_freq": 1000},
    "with every switch": {**EVERY_SWITCH, "budget": "5it", "validation_freq": 2},
}


def make(folder: Path, kind: str) -> Trainer:
    trainer = small.trainer(folder, **KINDS[kind])
    trainer.rungs = (16,) if kind == "with a rung" else ()
    return trainer


Whole = Callable[[str], tuple[Trainer, list[dict[str, Any]]]]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Whole:
    """Trains without an interruption, once for each kind."""

    @functools.cache
    def train(kind: str) -> tuple[Trainer, list[dict[str, Any]]]:
        trainer = make(tmp_path_factory.mktemp("whole"), kind)
        return trainer, small.lines(trainer.steps())

    return train


@pytest.mark.parametrize(
    ("kind", "stop", "after"),
    [
        ("plain", 1, "training"),  # in the middle of an epoch
        ("plain", 2, "training"),  # before a validation
        ("plain", 2, "validation"),
        ("plain", 3, "training"),  # at the end of an epoch
        ("plain", 7, "training"),  # before the last validation
        ("plain", 7, "validation"),
        ("with a rung", 3, "training"),
        ("with a rung", 4, "training"),  # which has reached it
        ("with a rung", 5, "training"),
        ("with every switch", 1, "training"),
        ("with every switch", 2, "training"),
        ("with every switch", 3, "training"),
    ],
)
def test_an_interrupted_training_goes_on_exactly(
    whole: Whole, tmp_path: Path, kind: str, stop: int, after: str
) -> None:
    uncut, expected = whole(kind)
    first = make(tmp_path, kind)
    before = train_until(first, stop, after)
    first.save()
    torch.rand(3)  # whatever the process does in between
    second = make(tmp_path, kind)
    second.restore()
    assert small.lines([*before, *second.steps()]) == expected
    assert weights(second) == weights(uncut)


def test_the_seconds_of_earlier_sessions_count(tmp_path: Path) -> None:
    first = small.trainer(tmp_path, budget="1h")
    train_until(first, 2)
    first.save()
    second = small.trainer(tmp_path, budget="1h")
    second.restore()
    assert second.state.seconds == first.state.seconds > 0
    assert next(second.steps()).fraction > first.used() > 0


def test_a_finished_training_has_nothing_left_to_do(tmp_path: Path) -> None:
    list(small.trainer(tmp_path, budget="1it").steps())
    again = small.trainer(tmp_path, budget="1it")
    again.restore()
    assert list(again.steps()) == []


@pytest.mark.parametrize("key", ["optimizer", "train_state", "ema", "symbols"])
def test_a_checkpoint_that_lacks_something_is_refused_in_a_sentence(tmp_path: Path, key: str) -> None:
    trainer = small.trainer(tmp_path)
    trainer.save()
    snapshot = checkpoint.read_checkpoint(trainer.folder.last)
    del snapshot[key]
    checkpoint.write_checkpoint(trainer.folder.last, snapshot)
    with pytest.raises(CheckpointError, match=rf"last\.pt does not fit this training \('{key}'\); remove it"):
        trainer.restore()


def spoil_moments(snapshot: checkpoint.Snapshot) -> None:
    snapshot["optimizer"]["state"][0]["exp_avg"] = torch.zeros(7)


@pytest.mark.parametrize(
    ("said", "spoil"),
    [
        ("its symbols is no list of str", lambda kept: kept.update(symbols=5)),
        ("its state_dict is no dict of Tensor", lambda kept: kept["state_dict"].update({"embedding.weight": None})),
        ("the decoder was made for 1 to", lambda kept: kept.update(reduction_factor=2**40)),
        ("train_state.epoch is", lambda kept: kept["train_state"].update(epoch=[])),
        ("train_state.batch is -1", lambda kept: kept["train_state"].update(batch=-1)),
        ("train_state.seconds is nan", lambda kept: kept["train_state"].update(seconds=float("nan"))),
        ("train_state.skipped_at is", lambda kept: kept["train_state"].update(skipped_at=["text"])),
        ("the optimizer's lr is 'text'", lambda kept: kept["optimizer"]["param_groups"][0].update(lr="text")),
        ("the optimizer's exp_avg of a weight", spoil_moments),
        ("the optimizer knows step of a weight", lambda kept: kept["optimizer"]["state"].update({0: kept_step})),
        ("the running mean of", lambda kept: kept["ema"].update({"embedding.weight": torch.zeros(2)})),
    ],
)
def test_a_checkpoint_that_holds_something_else_is_refused_in_a_sentence(
    tmp_path: Path, said: str, spoil: Callable[[checkpoint.Snapshot], None]
) -> None:
    trainer = small.trainer(tmp_path, ema_decay=0.9, budget="1it")
    list(trainer.steps())
    snapshot = checkpoint.read_checkpoint(trainer.folder.last)
    spoil(snapshot)
    checkpoint.write_checkpoint(trainer.folder.last, snapshot)
    again = small.trainer(tmp_path, ema_decay=0.9, budget="2it")
    with pytest.raises(CheckpointError, match=rf"last\.pt does not fit this training \({said}.*\); remove it"):
        again.restore()


def test_a_full_gpu_is_no_fault_of_the_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = small.trainer(tmp_path)
    trainer.save()

    def fill(_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(trainer.optimizer, "load_state_dict", fill)
    with pytest.raises(torch.OutOfMemoryError):
        trainer.restore()


def test_a_checkpoint_with_another_symbol_table_is_refused(tmp_path: Path) -> None:
    first = small.trainer(tmp_path)
    first.save()
    second = small.trainer(tmp_path)
    second.data = dataclasses.replace(second.data, symbols=(*small.SYMBOLS[:-1], "x"))
    with pytest.raises(CheckpointError, match="another symbol table"):
        second.restore()

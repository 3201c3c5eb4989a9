"""A batch in parts: the same training, whether it was asked for or the GPU was full."""

import dataclasses
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from model.graphs import Graphs
from model.loop import ways
from smart_tuner.errors import OutOfMemoryError
from smart_tuner.speech.batches import collate
from smart_tuner.training.trainer import Trainer
from tests.support import small

FULL = "CUDA out of memory. Tried to allocate 2.00 GiB"


def weights(trainer: Trainer) -> dict[str, bytes]:
    return {name: tensor.numpy().tobytes() for name, tensor in trainer.model.state_dict().items()}


def full_after_pass(trainer: Trainer, number: int) -> None:
    """The GPU has no memory for what comes after this forward pass in training mode, counted from 1."""
    passes: list[int] = []

    def fail_once(model: torch.nn.Module, *_: object) -> None:
        passes.append(1)
        if model.training and len(passes) == number:
            raise RuntimeError(FULL)

    trainer.model.register_forward_hook(fail_once)


def full_in_backward(trainer: Trainer, number: int) -> None:
    """The GPU is full in this backward pass, counted from 1, when some gradients are there already."""
    passes: list[int] = []

    def fail_once(_: Tensor) -> None:
        passes.append(1)
        if len(passes) == number:
            raise RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED")

    trainer.model.embedding.weight.register_hook(fail_once)


# parts of a batch


def test_parts_are_as_equal_as_can_be_and_no_longer_than_their_longest() -> None:
    lengths = [(3, 9), (2, 4), (5, 7), (1, 8), (4, 6)]
    items = [(np.arange(1, tokens + 1), np.full((2, frames), 1.0, np.float32)) for tokens, frames in lengths]
    parts = collate(items).parts(3)
    for part, rows in zip(parts, ([0, 1], [2, 3], [4]), strict=True):
        alone = collate([items[row] for row in rows])
        assert all(torch.equal(tensor, getattr(alone, name)) for name, tensor in vars(part).items())


@pytest.mark.parametrize(("count", "sizes"), [(1, [4]), (2, [2, 2]), (3, [2, 1, 1]), (4, [1] * 4), (9, [1] * 4)])
def test_no_part_is_empty(count: int, sizes: list[int]) -> None:
    batch = collate([(np.array([1]), np.zeros((2, 3), np.float32))] * 4)
    assert [len(part) for part in batch.parts(count)] == sizes
    assert batch.parts(1)[0] is batch


# twins: utterances in pairs, so that both halves of a batch of two have the same statistics


@pytest.fixture
def double() -> Iterator[None]:
    """Twice the digits: sums in another order come to the same."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def twins(folder: Path, **hparams: Any) -> Trainer:
    trainer = small.trainer(folder, batch_size=2, adam_eps=1e-2, forward_sum_weight=0.5, **small.STILL, **hparams)
    by_length = {example.frames: example for example in small.examples(folder / "more", 30)}
    train = [example for example in list(by_length.values())[:6] for _ in range(2)]
    trainer.data, trainer.frames = dataclasses.replace(trainer.data, train=train), [one.frames for one in train]
    return trainer


@pytest.mark.slow
@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("extra", [{}, {"use_mmi": True, "use_gst": True}], ids=["plain", "every loss"])
def test_a_batch_in_parts_trains_like_the_whole_batch(tmp_path: Path, extra: dict[str, Any]) -> None:
    whole, parts = twins(tmp_path, **extra), twins(tmp_path, accumulation=2, **extra)
    for one, other in zip(small.lines(whole.steps()), small.lines(parts.steps()), strict=True):
        assert other["metrics"].pop("training.parts", 2.0) == 2.0
        near = 1e-8 if one["kind"] == "training" else 5e-3  # the variance that is kept is of n - 1 in each part
        assert other["metrics"] == pytest.approx(one["metrics"], rel=near)
    for name, weight in parts.model.named_parameters():
        torch.testing.assert_close(weight, whole.model.get_parameter(name), rtol=1e-7, atol=1e-9, msg=name)


@pytest.mark.slow
@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("full", [full_after_pass, full_in_backward])
def test_a_gpu_that_is_full_in_the_middle_ends_with_the_weights_of_accumulation(
    tmp_path: Path, full: Callable[[Trainer, int], None]
) -> None:
    interrupted, planned = twins(tmp_path), twins(tmp_path, accumulation=2)
    full(interrupted, 3)
    assert len([one for one in interrupted.steps() if "training.parts" in one.metrics]) == 4  # of 6
    list(planned.steps())
    for name, weight in interrupted.model.named_parameters():
        torch.testing.assert_close(weight, planned.model.get_parameter(name), rtol=1e-7, atol=1e-9, msg=name)


# redoing


@pytest.mark.slow
@pytest.mark.parametrize("full", [full_after_pass, full_in_backward])
@pytest.mark.parametrize(("before", "number", "after"), [(1, 1, 2), (2, 2, 4)])
def test_a_gpu_that_is_full_at_once_trains_bit_for_bit_as_with_accumulation(
    tmp_path: Path, full: Callable[[Trainer, int], None], before: int, number: int, after: int
) -> None:
    planned = small.trainer(tmp_path, accumulation=after, budget="3it")
    expected = small.lines(planned.steps())
    redone = small.trainer(tmp_path, accumulation=before, budget="3it")
    full(redone, number)
    assert small.lines(redone.steps()) == expected
    assert weights(redone) == weights(planned)
    assert redone.state.parts == after


def test_a_full_gpu_has_the_memory_of_captured_chunks_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    graphs = Graphs(lambda work: work)
    monkeypatch.setattr(ways, "graphs", graphs)
    trainer = small.trainer(tmp_path)
    full_after_pass(trainer, 3)
    training = trainer.steps()
    next(training)
    next(training)
    assert [chunk.base.shape[1] for chunk in graphs._chunks.values() if chunk] == [4]
    next(training)
    assert [chunk.base.shape[1] for chunk in graphs._chunks.values() if chunk] == [2]


def test_smaller_parts_are_told_and_logged(tmp_path: Path) -> None:
    trainer = small.trainer(tmp_path)
    full_after_pass(trainer, 2)
    training = trainer.steps()
    assert "training.parts" not in next(training).metrics
    assert next(training).metrics["training.parts"] == 2.0
    assert [(note.level, note.rule) for note in trainer.notes] == [("note", "out_of_memory")]
    assert "a batch of 4 goes through the network in 2 parts" in trainer.notes[0].sentence


@pytest.mark.slow
def test_smaller_parts_are_remembered_when_the_training_goes_on(tmp_path: Path) -> None:
    whole = small.trainer(tmp_path)
    full_after_pass(whole, 2)
    expected = small.lines(whole.steps())
    paused = small.trainer(tmp_path)
    full_after_pass(paused, 2)
    before = small.lines(islice(paused.steps(), 2))
    paused.save()
    again = small.trainer(tmp_path)
    again.restore()
    assert before + small.lines(again.steps()) == expected


def test_only_single_utterances_that_do_not_fit_are_a_fault(tmp_path: Path) -> None:
    def full(*_: object) -> None:
        raise torch.cuda.OutOfMemoryError(FULL)

    trainer = small.trainer(tmp_path)
    trainer.model.register_forward_pre_hook(full)
    with pytest.raises(OutOfMemoryError, match=r"single utterance \(hparams\.batch_size 4"):
        next(trainer.steps())
    assert [note.sentence[-8:] for note in trainer.notes] == ["2 parts.", "4 parts."]


def test_another_error_is_not_taken_for_a_full_gpu(tmp_path: Path) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    trainer = small.trainer(tmp_path)
    trainer.model.register_forward_pre_hook(fail)
    with pytest.raises(RuntimeError, match="mat1"):
        next(trainer.steps())
    assert trainer.state.parts == 1

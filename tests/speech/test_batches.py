"""Batches depend on seed and epoch alone, hold utterances of similar length, and touch no other randomness."""

import re
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from smart_tuner.errors import DataError
from smart_tuner.speech.batches import (
    Batch,
    Example,
    StressMasking,
    collate,
    fill_ratio,
    load_batches,
    plan_epoch,
    validation_batches,
)
from smart_tuner.speech.mel_file import write_mel

CPU = torch.device("cpu")
FRAMES = np.random.default_rng(3).integers(100, 870, 1003).tolist()


def examples(folder: Path, frames: list[int]) -> list[Example]:
    made = []
    for number, length in enumerate(frames):
        mel = np.random.default_rng(number).normal(size=(4, length)).astype(np.float32)
        write_mel(folder / f"{number}.npy", mel)
        tokens = np.arange(1, 2 + number % 5)
        made.append(Example(name=f"{number:03d}", tokens=tokens, frames=length, mel=folder / f"{number}.npy"))
    return made


def same(one: Batch, other: Batch) -> bool:
    return all(torch.equal(tensor, getattr(other, name)) for name, tensor in vars(one).items())


def test_batches_are_full_and_hold_no_utterance_twice() -> None:
    batches = plan_epoch(FRAMES, 16, seed=1, epoch=0)
    assert {len(batch) for batch in batches} == {16}
    assert len(batches) == 1003 // 16
    chosen = [index for batch in batches for index in batch]
    assert len(set(chosen)) == len(chosen)
    assert set(chosen) <= set(range(1003))


@pytest.mark.parametrize(("utterances", "batch_size"), [(16, 16), (17, 1), (640, 32), (641, 32), (5, 4)])
def test_any_number_of_utterances_makes_full_batches(utterances: int, batch_size: int) -> None:
    batches = plan_epoch(FRAMES[:utterances], batch_size, seed=1, epoch=0)
    assert [len(batch) for batch in batches] == [batch_size] * (utterances // batch_size)


def test_the_order_follows_seed_and_epoch_alone() -> None:
    first = plan_epoch(FRAMES, 16, seed=1, epoch=2)
    np.random.default_rng(0).random()
    assert plan_epoch(FRAMES, 16, seed=1, epoch=2) == first
    others = [plan_epoch(FRAMES, 16, seed, epoch) for seed, epoch in ((2, 1), (1, 3), (2, 2))]
    assert all(other != first for other in others)


def test_the_utterances_left_over_are_others_each_epoch() -> None:
    left = []
    for epoch in range(4):
        chosen = {index for batch in plan_epoch(FRAMES, 16, seed=1, epoch=epoch) for index in batch}
        left.append(frozenset(range(1003)) - chosen)
    assert {len(each) for each in left} == {1003 % 16}
    assert len(set(left)) == 4


def test_similar_lengths_are_together_and_batches_are_not_in_order_of_length() -> None:
    batches = plan_epoch(FRAMES, 16, seed=1, epoch=0)
    assert fill_ratio(FRAMES, batches) > 0.93
    random = np.random.default_rng(0).permutation(992).reshape(-1, 16).tolist()
    assert fill_ratio(FRAMES, random) < 0.65
    longest = [max(FRAMES[index] for index in batch) for batch in batches]
    growing = sum(one <= following for one, following in pairwise(longest)) / len(batches)
    assert 0.3 < growing < 0.7


def test_batches_mix_differently_each_epoch() -> None:
    first, second = (plan_epoch(FRAMES, 16, seed=1, epoch=epoch) for epoch in (0, 1))
    assert not {frozenset(batch) for batch in first} & {frozenset(batch) for batch in second}


def test_the_fill_ratio_is_real_frames_over_all() -> None:
    assert fill_ratio([10, 10, 5, 20], [[0, 1], [2, 3]]) == 45 / 60


def test_collating_pads_with_zeros_to_the_longest() -> None:
    items = [(np.array([3, 4]), np.full((4, 5), 2.0, dtype=np.float32)), (np.array([5]), np.ones((4, 2), np.float32))]
    batch = collate(items)
    assert batch.tokens_BN.tolist() == [[3, 4], [5, 0]]
    assert (batch.tokens_B.tolist(), batch.frames_B.tolist()) == ([2, 1], [5, 2])
    assert batch.mels_BMF.shape == (2, 4, 5)
    assert batch.mels_BMF[0].eq(2).all()
    assert batch.mels_BMF[1].sum(0).tolist() == [4, 4, 0, 0, 0]
    assert len(batch) == 2


def test_loaded_batches_are_those_of_the_plan(tmp_path: Path) -> None:
    utterances = examples(tmp_path, [9, 5, 7, 6])
    batches = list(load_batches(utterances, [[2, 0], [1, 3]], CPU))
    assert [batch.frames_B.tolist() for batch in batches] == [[7, 9], [5, 6]]
    assert torch.equal(batches[0].mels_BMF[0, :, :7], torch.from_numpy(np.load(utterances[2].mel)))
    assert batches[1].tokens_BN.tolist() == [[1, 2, 0, 0], [1, 2, 3, 4]]


def test_going_on_within_an_epoch_gives_the_batches_that_were_left(tmp_path: Path) -> None:
    utterances = examples(tmp_path, list(range(20, 44)))
    plan = plan_epoch([one.frames for one in utterances], 4, seed=1, epoch=3)
    whole, rest = list(load_batches(utterances, plan, CPU)), list(load_batches(utterances, plan[2:], CPU))
    assert len(rest) == len(plan) - 2 == 4
    assert all(same(one, other) for one, other in zip(whole[2:], rest, strict=True))


def test_loading_leaves_the_generators_of_torch_and_numpy_alone(tmp_path: Path) -> None:
    utterances = examples(tmp_path, [9, 5, 7, 6])
    torch.manual_seed(5)
    before, numpy_before = torch.get_rng_state(), np.random.get_state()[1].tolist()
    assert len(list(load_batches(utterances, [[0, 1], [2, 3]], CPU))) == 2
    plan_epoch(FRAMES, 16, seed=1, epoch=0)
    assert torch.equal(torch.get_rng_state(), before)
    assert np.random.get_state()[1].tolist() == numpy_before


def zeroed(content: bytes, start: int) -> bytes:
    """What a power cut may leave: the length, and zeros in a part of it."""
    return content[:start] + bytes(len(content[start : start + 100])) + content[start + 100 :]


DAMAGES = {
    "empty": lambda whole: b"",
    "its beginning alone": lambda whole: b"\x93NUMPY",
    "no array": lambda whole: b"no array",
    "cut short": lambda whole: whole[:-20],
    "zeros at the start": lambda whole: zeroed(whole, 0),
    "zeros in the middle": lambda whole: zeroed(whole, 150),
    "zeros at the end": lambda whole: zeroed(whole, len(whole) - 100),
    "a bit": lambda whole: whole[:160] + bytes([whole[160] ^ 1]) + whole[161:],
}


@pytest.mark.parametrize(("damage", "workers"), [*((damage, 0) for damage in DAMAGES), ("a bit", 1)])
def test_a_mel_that_cannot_be_read_is_named_in_one_sentence(tmp_path: Path, damage: str, workers: int) -> None:
    utterances = examples(tmp_path, [9, 5, 7, 6])
    mel = utterances[2].mel
    mel.write_bytes(DAMAGES[damage](mel.read_bytes()))
    with pytest.raises(DataError) as fault:
        list(load_batches(utterances, [[0, 1], [2, 3]], CPU, workers=workers))
    told = rf"The mel of 002, {mel}, cannot be read \([^()]+\); the next start makes it again\."
    assert re.fullmatch(told, str(fault.value)), "no traceback of a worker process"


def test_a_missing_mel_is_named(tmp_path: Path) -> None:
    utterances = examples(tmp_path, [9, 5])
    utterances[1].mel.unlink()
    with pytest.raises(DataError, match=r"The mel of 001, .*cannot be read \(No such file or directory\)"):
        list(load_batches(utterances, [[1]], CPU))


def test_validation_batches_cover_all_by_length_and_do_not_depend_on_order(tmp_path: Path) -> None:
    utterances = examples(tmp_path, [9, 5, 7, 6, 9, 5, 30])
    batches = validation_batches(utterances, size=3)
    assert [len(batch) for batch in batches] == [3, 3, 1]
    ordered = [utterances[index] for batch in batches for index in batch]
    assert [one.frames for one in ordered] == [5, 5, 6, 7, 9, 9, 30]
    turned = utterances[::-1]
    assert [turned[index].name for batch in validation_batches(turned, 3) for index in batch] == [
        one.name for one in ordered
    ]


def test_a_batch_moves_to_a_device_whole() -> None:
    batch = collate([(np.array([3, 4]), np.ones((4, 5), dtype=np.float32))])
    moved = batch.to(torch.device("meta"))
    assert {tensor.device.type for tensor in vars(moved).values()} == {"meta"}
    assert moved.mels_BMF.shape == batch.mels_BMF.shape


STRESSED = "_~ +абв"


def spelled(text: str) -> np.ndarray:
    return np.array([STRESSED.index(symbol) for symbol in text])


def masked(text: str, rate: float, name: str = "a", seed: int = 1, epoch: int = 0) -> str:
    masking = StressMasking.of(STRESSED, rate, seed, epoch)
    assert masking is not None
    return "".join(STRESSED[row] for row in masking.masked(spelled(text), name))


def test_masking_takes_all_marks_of_a_word_or_none() -> None:
    words = ["б+а", "б+ав+а", "в", "+а"]
    for epoch in range(30):
        for word, left in zip(words, masked(" ".join(words), 0.5, epoch=epoch).split(" "), strict=True):
            assert left in {word, word.replace("+", "")}


def test_masking_takes_the_share_of_words_that_was_asked_for() -> None:
    kept = sum(masked("б+а " * 50, rate=0.3, epoch=epoch).count("+") for epoch in range(40))
    assert kept / (50 * 40) == pytest.approx(0.7, abs=0.04)
    assert masked("б+а в+а", rate=1.0) == "ба ва"


def test_masking_depends_on_seed_epoch_and_name_alone() -> None:
    text = "б+а " * 30
    assert masked(text, 0.5) == masked(text, 0.5)
    others = {masked(text, 0.5, "b"), masked(text, 0.5, seed=2), masked(text, 0.5, epoch=1)}
    assert len(others | {masked(text, 0.5)}) == 4


def test_there_is_no_masking_at_rate_0_or_without_a_stress_mark() -> None:
    assert StressMasking.of(STRESSED, 0.0, 1, 0) is None
    assert StressMasking.of("_~ ab", 0.5, 1, 0) is None


def test_loading_masks_what_it_reads_and_leaves_the_examples_alone(tmp_path: Path) -> None:
    (utterance,) = examples(tmp_path, [9])
    stressed = Example(name="a", tokens=spelled("б+а в+а"), frames=9, mel=utterance.mel)
    (batch,) = load_batches([stressed], [[0]], CPU, masking=StressMasking.of(STRESSED, 1.0, 1, 0))
    assert batch.tokens_BN.tolist() == [spelled("ба ва").tolist()]
    assert batch.tokens_B.tolist() == [5]
    assert stressed.tokens.tolist() == spelled("б+а в+а").tolist()

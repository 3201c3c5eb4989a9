"""Checkpoints: complete or not there, and nothing but a checkpoint is read as one."""

import pickle
import resource
from argparse import Namespace
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from smart_tuner import checkpoint
from smart_tuner.errors import CheckpointError


@pytest.fixture
def full_disk() -> Iterator[None]:
    """No file may grow beyond 50 kB."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "some" / "folder" / "last.pt"
    checkpoint.write_checkpoint(
        path, {"weights": torch.arange(3.0), "train_state": {"iteration": 7}, "symbols": ["a", "ж"]}
    )
    again = checkpoint.read_checkpoint(path)
    assert torch.equal(again.pop("weights"), torch.arange(3.0))
    assert again == {"format": checkpoint.FORMAT, "train_state": {"iteration": 7}, "symbols": ["a", "ж"]}
    assert [entry.name for entry in path.parent.iterdir()] == ["last.pt"]


@pytest.mark.usefixtures("full_disk")
def test_a_full_disk_leaves_the_checkpoint_before(tmp_path: Path) -> None:
    path = tmp_path / "last.pt"
    checkpoint.write_checkpoint(path, {"weights": torch.zeros(3)})
    with pytest.raises(CheckpointError) as full:
        checkpoint.write_checkpoint(path, {"weights": torch.ones(100_000)})
    why = f"The checkpoint {path} could not be written: File too large; the one before, {path}, is intact."
    assert str(full.value) == why
    assert torch.equal(checkpoint.read_checkpoint(path)["weights"], torch.zeros(3))
    assert [entry.name for entry in tmp_path.iterdir()] == ["last.pt"]


@pytest.mark.usefixtures("full_disk")
def test_a_full_disk_leaves_nothing_where_nothing_was(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"last\.pt could not be written: File too large\.$"):
        checkpoint.write_checkpoint(tmp_path / "last.pt", {"weights": torch.ones(100_000)})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.9, 0.99, 0.999])
def test_a_truncated_checkpoint_cannot_be_read(tmp_path: Path, share: float) -> None:
    path = tmp_path / "last.pt"
    checkpoint.write_checkpoint(path, {"weights": torch.ones(1000)})
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(CheckpointError, match=str(path)):
        checkpoint.read_checkpoint(path)


class Attack:
    """Something that runs when it is unpickled by whoever lets it."""

    def __reduce__(self) -> tuple[object, ...]:
        return exec, ("raise SystemExit('code of a checkpoint ran')",)


@pytest.mark.parametrize("name", ["attack.pt", "attack.pickle"])
def test_a_checkpoint_with_code_in_it_does_not_run(tmp_path: Path, name: str) -> None:
    torch.save({"format": checkpoint.FORMAT, "weights": Attack()}, tmp_path / "attack.pt")
    (tmp_path / "attack.pickle").write_bytes(pickle.dumps(Attack()))
    with pytest.raises(CheckpointError, match=name) as refused:
        checkpoint.read_checkpoint(tmp_path / name)
    assert "\x1b" not in str(refused.value)  # torch's own words come in bold
    assert "can still be loaded" not in str(refused.value)


@pytest.mark.parametrize("share", [0.3, 0.5, 0.7, 0.9])
@pytest.mark.parametrize("by", [bytes(64), b"\xa5"], ids=["zeros", "a byte"])
def test_a_changed_checkpoint_cannot_be_read(tmp_path: Path, share: float, by: bytes) -> None:
    """Torch's own reader takes changed weights without a look."""
    path = tmp_path / "last.pt"
    checkpoint.write_checkpoint(path, {"weights": torch.full((5000,), 1.1), "symbols": ["a"] * 900})
    content = path.read_bytes()
    at = int(share * len(content))
    path.write_bytes(content[:at] + by + content[at + len(by) :])
    with pytest.raises(CheckpointError, match=rf"{path} cannot be read \(.+\); remove it to begin again"):
        checkpoint.read_checkpoint(path)


OBJECTS = {
    "argparse.Namespace": Namespace(rate=1),
    "pathlib": Path("a"),
    "collections.defaultdict": defaultdict(int),
    "torch.nn.modules.linear.Linear": torch.nn.Linear(1, 1),
    "numpy": np.float64(1),
    "builtins.exec": Attack(),
}


@pytest.mark.parametrize("name", OBJECTS)
@pytest.mark.parametrize("protocol", [None, 2, 4])
def test_the_class_that_was_refused_is_named(tmp_path: Path, name: str, protocol: int | None) -> None:
    """In a file of torch's, and in bare pickles of an old and a new protocol."""
    path, content = tmp_path / "other.pt", {"state_dict": {}, "config": OBJECTS[name]}
    if protocol is None:
        torch.save(content, path)
    else:
        path.write_bytes(pickle.dumps(content, protocol))
    named = name.removeprefix("builtins.") if protocol != 4 else name
    with pytest.raises(CheckpointError, match=rf"\(it holds (__builtin__\.)?{named}[\w.]*, and nothing but tensors"):
        checkpoint.read_tensors(path)


@pytest.mark.parametrize("content", [b"id|text\n", b"\x80\x02", b"PK\x03\x04 not a zip", "тише".encode()])
def test_a_file_that_is_no_checkpoint_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "file.pt"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=str(path)):
        checkpoint.read_checkpoint(path)


@pytest.mark.parametrize("content", [{"format": checkpoint.FORMAT + 1}, {"state_dict": {}}, [1, 2], torch.ones(2)])
def test_a_file_of_another_format_is_refused(tmp_path: Path, content: object) -> None:
    path = tmp_path / "other.pt"
    torch.save(content, path)
    with pytest.raises(CheckpointError, match=f"is no checkpoint of format {checkpoint.FORMAT}"):
        checkpoint.read_checkpoint(path)


def test_a_missing_checkpoint_is_a_checkpoint_error(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"missing\.pt cannot be read"):
        checkpoint.read_checkpoint(tmp_path / "missing.pt")


def test_a_snapshot_does_not_change_with_what_it_was_taken_of() -> None:
    weight = torch.zeros(3, requires_grad=True)
    state = {"weights": {"w": weight}, "moments": [torch.zeros(2)], "betas": (0.9, 0.999), "step": 5}
    snapshot = checkpoint.on_cpu(state)
    with torch.no_grad():
        weight += 1
        state["moments"][0] += 1  # type: ignore[index]
    assert torch.equal(snapshot["weights"]["w"], torch.zeros(3))
    assert torch.equal(snapshot["moments"][0], torch.zeros(2))
    assert not snapshot["weights"]["w"].requires_grad
    assert (list(snapshot["betas"]), snapshot["step"]) == ([0.9, 0.999], 5)


@pytest.mark.parametrize("format", [torch.ones(3), "3", [3], None])
def test_a_format_that_is_no_number_is_none_of_ours(tmp_path: Path, format: object) -> None:
    torch.save({"format": format}, tmp_path / "odd.pt")
    with pytest.raises(CheckpointError, match="is no checkpoint of format"):
        checkpoint.read_checkpoint(tmp_path / "odd.pt")

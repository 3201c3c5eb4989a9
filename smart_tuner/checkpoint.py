"""Checkpoints: complete, written atomically, read without running anything in them.

A checkpoint is a dictionary of tensors and plain values:
    state_dict  weights, under the published names      ema                their running mean, if there is one
    optimizer   as torch gives it                       scaler             the fp16 loss scale, as torch gives it
    train_state  where the training is                  rng                random states of CPU and GPU
    symbols     the symbol table, in embedding order    settings           all settings, nested
    front_end   how texts become symbols                corpus             digest of the corpus
    longest_text  symbols of the longest text           reduction_factor   the r in force
In the best checkpoint state_dict is what was validated: the running mean, if there is one; its ema is empty.
"""

import io
import os
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from smart_tuner.errors import CheckpointError

FORMAT = 3

Snapshot = dict[str, Any]


def on_cpu(value: Any) -> Any:
    """A copy in CPU memory of nested dictionaries and lists, tensors cloned."""
    if isinstance(value, Tensor):
        return value.detach().to("cpu", copy=True)
    if isinstance(value, dict):
        return {key: on_cpu(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [on_cpu(item) for item in value]
    return value


def write_checkpoint(path: Path, snapshot: Snapshot) -> None:
    """Replace the checkpoint at path, or leave it as it was. Raises CheckpointError when the disk does not take it."""
    buffer = io.BytesIO()  # torch's own writer hides why a write failed
    torch.save({"format": FORMAT, **snapshot}, buffer)
    part = path.with_suffix(".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise CheckpointError(f"The folder {path.parent} cannot be made: {problem.strerror}.") from problem
    try:
        with part.open("wb") as file:
            file.write(buffer.getbuffer())
            file.flush()
            # or after a power cut the new name may stand for an empty file
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as problem:
        part.unlink(missing_ok=True)
        kept = f"; the one before, {path}, is intact" if path.exists() else ""
        raise CheckpointError(f"The checkpoint {path} could not be written: {problem.strerror}{kept}.") from problem


def read_tensors(path: Path, remedy: str = "") -> Any:
    """What a file of torch's holds, on the CPU. Raises CheckpointError, with a remedy, for a file that is none."""
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as problem:  # torch and pickle raise a dozen kinds for a broken file
        why = problem.strerror if isinstance(problem, OSError) else type(problem).__name__
        raise CheckpointError(f"The checkpoint {path} cannot be read ({why}){remedy}.") from problem


def read_checkpoint(path: Path) -> Snapshot:
    """A checkpoint's content, on the CPU. Raises CheckpointError for a file that is none."""
    snapshot = read_tensors(path, "; remove it to begin again")
    if not is_ours(snapshot):
        raise CheckpointError(f"The file {path} is no checkpoint of format {FORMAT}.")
    found: Snapshot = snapshot
    return found


def is_ours(snapshot: Any) -> bool:
    """Whether a file's content is a checkpoint of this format."""
    return isinstance(snapshot, dict) and snapshot.get("format") == FORMAT

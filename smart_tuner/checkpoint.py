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
import pickle
import pickletools
import re
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from smart_tuner.errors import CheckpointError
from smart_tuner.sealed import DamagedError

FORMAT = 3
PARTS: dict[str, tuple[type, type]] = {
    "state_dict": (dict, Tensor),
    "ema": (dict, Tensor),
    "optimizer": (dict, object),
    "scaler": (dict, object),
    "train_state": (dict, object),
    "rng": (dict, object),
    "symbols": (list, str),
    "longest_text": (int, object),
    "settings": (dict, dict),
    "front_end": (dict, str),
    "corpus": (str, object),
    "reduction_factor": (int, object),
}
"""What each part of a checkpoint is, and what it holds."""

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


def read_tensors(path: Path, remedy: str = "", kind: str = "checkpoint") -> Any:
    """What a file of torch's holds, on the CPU. Raises CheckpointError, with a remedy, for one damaged or none."""
    try:
        _require_checksums(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about a pickle's protocol; whether it can be read is told by an error
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as problem:  # torch and pickle raise a dozen kinds for a broken file
        why = _explain(problem, path)
        raise CheckpointError(f"The {kind} {path} cannot be read ({why}){remedy}.") from problem


def _require_checksums(path: Path) -> None:
    """Raise DamagedError for an archive of torch's in which a file has changed; torch reads it without a look."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            changed = archive.testzip()
        if changed is not None:
            raise DamagedError("its checksum is another")


def _explain(problem: Exception, path: Path) -> str:
    """Why a file could not be read, in few words; torch's own are many, and advise to read it all the same."""
    if isinstance(problem, OSError):
        return str(problem.strerror)
    if isinstance(problem, DamagedError):
        return str(problem)
    if isinstance(problem, pickle.UnpicklingError):
        told = re.search(r"GLOBAL ([\w.]+)", str(problem))
        refused = told[1] if told else next(pickled_names(path), "")
        if refused:
            return (
                f"it holds {refused}, and nothing but tensors and plain values is read, for other classes may run "
                "code; save it again with its state_dict alone"
            )
    return f"no file of torch's, or damaged: {type(problem).__name__}"


def pickled_names(path: Path) -> Iterator[str]:
    """The classes and functions that a bare pickle names, without running anything in it."""
    texts: list[str] = []
    try:
        for operation, argument, _ in pickletools.genops(path.read_bytes()):
            if operation.name == "GLOBAL":
                yield str(argument).replace(" ", ".")
            elif operation.name == "STACK_GLOBAL" and len(texts) > 1:
                yield ".".join(texts[-2:])
            elif isinstance(argument, str):
                texts.append(argument)
    except ValueError:
        return  # no pickle, or one that is cut short


def read_checkpoint(path: Path) -> Snapshot:
    """A checkpoint's content, on the CPU. Raises CheckpointError for a file that is none."""
    snapshot = read_tensors(path, "; remove it to begin again")
    if not is_ours(snapshot):
        raise CheckpointError(f"The file {path} is no checkpoint of format {FORMAT}.")
    found: Snapshot = snapshot
    return found


def is_ours(snapshot: Any) -> bool:
    """Whether a file's content is a checkpoint of this format."""
    return isinstance(snapshot, dict) and isinstance(snapshot.get("format"), int) and snapshot["format"] == FORMAT


def require_form(snapshot: Snapshot) -> None:
    """Raise ValueError for a part that is there and is not what it should be; what is missing, its reader notices."""
    for name, (kind, entries) in PARTS.items():
        part = snapshot.get(name, kind())
        held = part.values() if isinstance(part, dict) else part if isinstance(part, list) else ()
        if not isinstance(part, kind) or not all(isinstance(entry, entries) for entry in held):
            of = f" of {entries.__name__}" if entries is not object else ""
            raise ValueError(f"its {name} is no {kind.__name__}{of}")

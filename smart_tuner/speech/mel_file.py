"""The file of a mel spectrogram: numpy's .npy with a seal behind it, which numpy's own reader passes over."""

import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from smart_tuner.sealed import seal, unseal

MEL_VERSION = 2
"""Raise it when the same settings come to give other mels or facts: caches made before are then left alone."""
SUFFIX = ".npy"


def write_mel(path: Path, mel: NDArray[np.float32]) -> None:
    """Replace the mel (M, F) at path, or leave it as it was. Raises OSError."""
    content = io.BytesIO()
    np.save(content, mel)
    part = path.with_suffix(".part")
    part.write_bytes(seal(content.getvalue()))
    part.replace(path)


def read_mel(path: Path) -> NDArray[np.float32]:
    """The log-mel spectrogram (M, F) of a file. Raises OSError, and DamagedError when the file has changed."""
    mel: NDArray[np.float32] = np.load(io.BytesIO(unseal(path.read_bytes())), allow_pickle=False)
    return mel

"""Vocoders: log-mel spectrograms to samples. Griffin-Lim, or a trained one from a TorchScript or an ONNX file.

The only file that imports onnxruntime, and only when an ONNX file is asked for (extra `onnx`).
"""

import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from smart_tuner.errors import SettingsError
from smart_tuner.paths import is_file
from smart_tuner.settings.speech import Speech
from smart_tuner.speech.audio import FLOOR, Samples, griffin_lim

Vocoder = Callable[[NDArray[np.float32]], Samples]
"""From a log-mel spectrogram (M, F) to samples in -1..1 at the voice's sampling rate. Raises SettingsError."""
TORCHSCRIPT, ONNX = (".pt", ".pth", ".ts", ".jit"), (".onnx",)
SHORT, LONG = 32, 96
"""Frames of the two silences that tell how many samples a vocoder makes of a frame."""
LOUDEST = 2.0
"""Samples are cut at 1, which a loud word may be; beyond this they are no samples in -1..1."""


def load_vocoder(path: Path | None, speech: Speech, device: torch.device) -> Vocoder:
    """A vocoder file's vocoder, tried on silence; Griffin-Lim without a file.

    The file takes mels (1, M, F) as this program makes them and returns samples, (F x hop_length) of them but for a
    constant at the ends, in any shape. Raises SettingsError for a file that is none or fits other mels.
    """
    if path is None:
        return partial(griffin_lim, speech=speech)
    if not is_file(path):
        raise SettingsError(f"--vocoder: there is no file {path}.")
    if path.suffix.lower() not in TORCHSCRIPT + ONNX:
        raise SettingsError(
            f"--vocoder takes a TorchScript file ({', '.join(TORCHSCRIPT)}) or an ONNX file (.onnx); received {path}."
        )
    run = _onnx(path) if path.suffix.lower() in ONNX else _torchscript(path, device)
    vocoder = partial(_speak, run, path)
    _check_hop(vocoder, path, speech)
    return vocoder


def _torchscript(path: Path, device: torch.device) -> Callable[[NDArray[np.float32]], Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # torch's own advice to those who make such files
        try:
            module = torch.jit.load(str(path), map_location=device)
        except RuntimeError as problem:
            raise SettingsError(
                f"--vocoder: {path} is no TorchScript module (weights alone are not enough: export the vocoder with "
                "torch.jit.trace or torch.jit.script)."
            ) from problem
    module.eval()

    @torch.inference_mode()
    def run(mels_1MF: NDArray[np.float32]) -> Any:
        output = module(torch.from_numpy(mels_1MF).to(device))
        first = output[0] if isinstance(output, tuple | list) else output
        return first.float().cpu().numpy()

    return run


def _onnx(path: Path) -> Callable[[NDArray[np.float32]], Any]:
    try:
        import onnxruntime
    except ModuleNotFoundError as problem:
        raise SettingsError(
            f"--vocoder {path} needs onnxruntime: pip install 'smart-tuner-tts[onnx]', or take a TorchScript file."
        ) from problem
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what is wrong is told by its errors
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as problem:  # its errors have no common class
        raise SettingsError(f"--vocoder: {path} is no ONNX model that onnxruntime can run.") from problem
    (name, *others) = [given.name for given in session.get_inputs()]
    if others:
        raise SettingsError(f"--vocoder: {path} takes {1 + len(others)} inputs; a vocoder here takes the mels alone.")
    return lambda mels_1MF: session.run(None, {name: mels_1MF})[0]


def _speak(run: Callable[[NDArray[np.float32]], Any], path: Path, mel: NDArray[np.float32]) -> Samples:
    """Samples of a log-mel spectrogram (M, F) by a vocoder file."""
    try:
        samples: Samples = np.asarray(run(np.ascontiguousarray(mel[None])), dtype=np.float32).reshape(-1)
    except Exception as problem:  # torch and onnxruntime raise what the file's author made them raise
        last = (str(problem).strip().splitlines() or [type(problem).__name__])[-1].strip()
        raise SettingsError(
            f"--vocoder: {path} does not take mels of shape (1, {', '.join(map(str, mel.shape))}): {last}"
        ) from problem
    if not np.isfinite(samples).all():
        raise SettingsError(f"--vocoder: {path} returned samples that are not numbers.")
    if np.abs(samples).max(initial=0.0) > LOUDEST:
        raise SettingsError(f"--vocoder: {path} returned samples beyond -1..1 by far: {np.abs(samples).max():g}.")
    return samples


def _check_hop(vocoder: Vocoder, path: Path, speech: Speech) -> None:
    """Raise SettingsError unless each frame becomes hop_length samples; a constant difference at the ends may be."""
    silences = (np.full((speech.n_mel_channels, frames), np.log(FLOOR), dtype=np.float32) for frames in (SHORT, LONG))
    few, many = (len(vocoder(mel)) for mel in silences)
    hop = (many - few) / (LONG - SHORT)
    if hop != speech.hop_length or abs(few - SHORT * hop) > speech.filter_length + hop:
        raise SettingsError(
            f"--vocoder: {path} makes {hop:g} samples of a mel frame ({few} of {SHORT}, {many} of {LONG}), but "
            f"the voice was trained with speech.hop_length = {speech.hop_length}."
        )

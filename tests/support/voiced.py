"""A checkpoint of a network that was never trained and a vocoder that only hums, for tests of synthesis."""

import dataclasses
import warnings
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from model.tacotron2 import Tacotron2
from smart_tuner import checkpoint
from smart_tuner.settings.settings import Tracking
from smart_tuner.speech.front_end import FrontEnd
from tests.support import small

NEVER, AT_ONCE = -20.0, 20.0
"""Gate biases: a voice that never stops, one that stops after a step."""
STYLES = {"use_gst": True}


def voice(path: Path, *, gate: float = AT_ONCE, hparams: dict[str, Any] | None = None, **changed: Any) -> Path:
    """Write a checkpoint as a training writes it, with other values for some of its entries."""
    chosen = dataclasses.replace(small.beep_settings(**hparams or {}), tracking=Tracking())
    torch.manual_seed(0)
    model = Tacotron2(chosen.sizes(len(small.SYMBOLS)))
    with torch.no_grad():
        model.decoder.gate_layer.linear_layer.bias.fill_(gate)
        model.decoder.linear_projection.linear_layer.bias.fill_(-3.0)
        if model.style is not None:
            torch.nn.init.normal_(model.style.projection.linear_layer.weight)  # as training leaves it: not at 0
    snapshot = {
        "state_dict": model.state_dict(),
        "ema": {},
        "settings": asdict(chosen),
        "symbols": list(small.SYMBOLS),
        "front_end": FrontEnd("en").described(),
        "corpus": "d1ge57",
        "train_state": {"iteration": 40},
        "reduction_factor": chosen.hparams.reduction_factor,
    }
    checkpoint.write_checkpoint(path, snapshot | changed)
    return path


class Loudness(nn.Module):
    """Says each frame as hop samples of its mean, on one of the ways in which vocoders return samples."""

    def __init__(self, hop: int = 128, extra: int = 0, gain: float = 1.0, mels: int = 16) -> None:
        super().__init__()
        self.hop, self.extra, self.gain, self.mels = hop, extra, gain, mels

    def forward(self, mels_BMF: Tensor) -> Tensor:
        assert mels_BMF.shape[1] == self.mels, "wrong number of mel bins"
        samples = mels_BMF.mean(1, keepdim=True).repeat_interleave(self.hop, dim=2).tanh() * self.gain
        return torch.cat([samples, torch.zeros(1, 1, self.extra)], dim=2)


def scripted(path: Path, module: nn.Module) -> Path:
    """Write a TorchScript file."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.script(module).save(str(path))  # type: ignore[no-untyped-call]
    return path

"""A network begins with the weights of another training, ours or of the published layout, symbol by symbol."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from string import ascii_lowercase, ascii_uppercase
from typing import Any

import torch
from torch import Tensor

from model.prediction import Network
from smart_tuner import checkpoint
from smart_tuner.errors import CheckpointError, SettingsError
from smart_tuner.settings.speech import Speech

VOWELS = "AA AE AH AO AW AY EH ER EY IH IY OW OY UH UW"
CONSONANTS = "B CH D DH F G HH JH K L M N NG P R S SH T TH V W Y Z ZH"
ARPABET = sorted([f"{vowel}{stress}" for vowel in VOWELS.split() for stress in ("", 0, 1, 2)] + CONSONANTS.split())
PUBLISHED_SYMBOLS = (*"_-!'(),.:;? ", *ascii_uppercase, *ascii_lowercase, *(f"@{phoneme}" for phoneme in ARPABET))
"""The table of the published English checkpoints: 148 rows, the padding first; ours has lower-case letters only."""
PUBLISHED_AUDIO = {
    "sampling_rate": 22050,
    "filter_length": 1024,
    "hop_length": 256,
    "win_length": 1024,
    "n_mel_channels": 80,
    "mel_fmin": 0.0,
    "mel_fmax": 8000.0,
}
"""What their mel frames are, by setting; a checkpoint of ours tells its own."""
EMBEDDING = "embedding.weight"
BY_SYMBOL = (EMBEDDING, "text_head.linear.weight", "text_head.linear.bias")
"""Weights with a row for each symbol; the text head has them once for each frame of a decoder step."""


@dataclass(frozen=True, kw_only=True)
class LoadedWeights:
    """What a network took over; names of tensors, and symbols."""

    loaded: tuple[str, ...]
    missing: tuple[str, ...]
    """The network has them and the checkpoint does not: they start afresh."""
    unused: tuple[str, ...]
    """The checkpoint has them and the network does not."""
    symbols_new: tuple[str, ...]
    """The checkpoint's table lacks them: their rows start from the mean of its rows, the padding left out."""

    def describe(self, path: Path) -> str:
        """For a person: what was loaded, and what was not."""
        kept = f"started from {path}, {len(self.loaded)} tensors loaded"
        new = f"new symbols, from the mean of the known: {''.join(self.symbols_new)!r}" if self.symbols_new else ""
        fresh = f"not in it, so started afresh: {_grouped(self.missing)}" if self.missing else ""
        unused = f"in it and of no use here: {_grouped(self.unused)}" if self.unused else ""
        return "; ".join(part for part in (kept, new, fresh, unused) if part)


@dataclass(frozen=True, kw_only=True)
class WeightsFile:
    """What a file of weights holds to start from."""

    weights: Mapping[str, Tensor]
    symbols: tuple[str, ...]
    audio: Mapping[str, Any]

    @classmethod
    def read(cls, path: Path) -> "WeightsFile":
        """A checkpoint of ours, with the running mean of its weights where it has one, or of the published layout.

        The latter is a dictionary with state_dict, perhaps from several GPUs. Raises CheckpointError for anything else.
        """
        content = checkpoint.read_tensors(path)
        if checkpoint.is_ours(content):
            try:
                checkpoint.require_form(content)
                weights, speech = {**content["state_dict"], **content["ema"]}, content["settings"]["speech"]
                audio = {name: speech[name] for name in PUBLISHED_AUDIO}
                return cls(weights=weights, symbols=tuple(content["symbols"]), audio=audio)
            except ValueError as problem:
                raise CheckpointError(
                    f"The checkpoint {path} is not as this version writes it: {problem}."
                ) from problem
            except (KeyError, TypeError) as problem:
                raise CheckpointError(f"The checkpoint {path} lacks what this version writes: {problem}.") from problem
        given = content.get("state_dict") if isinstance(content, dict) else None
        weights = (
            {name.removeprefix("module."): value for name, value in given.items()} if isinstance(given, dict) else {}
        )
        if not isinstance(weights.get(EMBEDDING), Tensor):
            raise CheckpointError(
                f"The file {path} is neither a checkpoint of format {checkpoint.FORMAT} nor one of the published "
                f"layout, a dictionary whose state_dict has {EMBEDDING}."
            )
        if len(weights[EMBEDDING]) != len(PUBLISHED_SYMBOLS):
            raise CheckpointError(
                f"The checkpoint {path} is of the published layout with {len(weights[EMBEDDING])} symbols, and does "
                f"not say which; known is the published table of {len(PUBLISHED_SYMBOLS)}."
            )
        return cls(weights=weights, symbols=PUBLISHED_SYMBOLS, audio=PUBLISHED_AUDIO)


def load_pretrained(model: Network, path: Path, symbols: Sequence[str], speech: Speech) -> LoadedWeights:
    """Begin with the weights of a checkpoint, and nothing else of it; the answer lists what was not loaded.

    Known symbols keep their rows, new ones start from the mean row. Raises CheckpointError for a file that is none and
    for weights of other shapes, SettingsError for other mel settings, each naming what differs.
    """
    source, own = WeightsFile.read(path), model.state_dict()
    _refuse_other_audio(source.audio, speech, path)
    weights = {name: _by_symbol(name, weight, source.symbols, symbols) for name, weight in source.weights.items()}
    loaded = sorted(weights.keys() & own.keys())
    shapes = [
        f"{name} {tuple(weights[name].shape)} instead of {tuple(own[name].shape)}"
        for name in loaded
        if weights[name].shape != own[name].shape
    ]
    if shapes:
        raise CheckpointError(f"The checkpoint {path} holds another network: {', '.join(shapes)}.")
    model.load_state_dict({name: weights[name] for name in loaded}, strict=False)
    return LoadedWeights(
        loaded=tuple(loaded),
        missing=tuple(sorted(own.keys() - weights.keys())),
        unused=tuple(sorted(weights.keys() - own.keys())),
        symbols_new=tuple(symbol for symbol in symbols if symbol not in source.symbols),
    )


def _refuse_other_audio(audio: Mapping[str, Any], speech: Speech, path: Path) -> None:
    different = [
        f"speech.{name} is {value:g} there and {getattr(speech, name):g} here"
        for name, value in audio.items()
        if value != getattr(speech, name)
    ]
    if different:
        raise SettingsError(f"The checkpoint {path} was made with other mel frames: {', '.join(different)}.")


def _by_symbol(name: str, weight: Tensor, known: Sequence[str], wanted: Sequence[str]) -> Tensor:
    """A tensor with a row for each known symbol (V, ...), or r groups of them (r * V, ...), for the wanted symbols."""
    if name not in BY_SYMBOL:
        return weight
    rows = {symbol: row for row, symbol in enumerate(known)}
    groups = weight.float().unflatten(0, (-1, len(known)))
    mean = groups[:, 1:].mean(1)
    return torch.stack([groups[:, rows[symbol]] if symbol in rows else mean for symbol in wanted], dim=1).flatten(0, 1)


def _grouped(names: Iterable[str]) -> str:
    """Tensors by the part of the network that they belong to, with how many there are."""
    counts = Counter(".".join(name.split(".")[:2]) for name in names)
    return ", ".join(part if count == 1 else f"{part} ({count})" for part, count in counts.items())

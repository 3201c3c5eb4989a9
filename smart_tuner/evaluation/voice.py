"""Speech from a trained voice: its checkpoint opened, texts checked and spoken one by one, what went wrong on each."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.speech_faults import faults, spoken_steps
from model.tacotron2 import Tacotron2
from smart_tuner import checkpoint
from smart_tuner.errors import CheckpointError, SettingsError
from smart_tuner.evaluation.frozen import frozen
from smart_tuner.evaluation.recogniser import may_rest
from smart_tuner.paths import is_file
from smart_tuner.settings.settings import Settings, from_dict
from smart_tuner.speech import audio
from smart_tuner.speech.containers import AudioFileError
from smart_tuner.speech.front_end import FrontEnd
from smart_tuner.speech.symbols import END, SymbolTable, list_unknown

GATE_THRESHOLD = 0.5
LONGEST_PAUSES, LONGEST_TOKEN = 3.0, 0.25
"""Seconds after which speech that has not stopped is cut: so many, and so many more for each token. Slow speech takes
0.1 to 0.15 s for a letter, its pauses included."""


@dataclass(frozen=True, kw_only=True)
class PreparedText:
    """A text that is to be said, as the model reads it."""

    text: str
    read_aloud: str
    tokens: NDArray[np.int64]
    """Rows of the symbol table, the end symbol last."""


@dataclass(frozen=True, kw_only=True)
class Synthesis:
    """A line as the model said it."""

    text: PreparedText
    mel_MF: NDArray[np.float32]
    attention_TN: NDArray[np.float32]
    faults: tuple[str, ...]
    """What went wrong with the attention (model/speech_faults.py); empty when nothing did."""
    seconds: float


class Voice:
    """A trained model with all that it needs to speak: settings, symbols, front end."""

    def __init__(self, snapshot: checkpoint.Snapshot, device: torch.device) -> None:
        """Raises KeyError, TypeError, ValueError, RuntimeError or SettingsError for a snapshot of another program."""
        checkpoint.require_form(snapshot)
        self.settings: Settings = from_dict(snapshot["settings"])
        self.symbols = SymbolTable(tuple(snapshot["symbols"]))
        self.front_end = FrontEnd.from_described(snapshot["front_end"])
        self.corpus: str = snapshot["corpus"]
        """Digest."""
        self.iteration: int = snapshot["train_state"]["iteration"]
        self.longest: int | None = snapshot.get("longest_text")
        """Tokens of the longest text that it was trained on; None when the checkpoint does not say."""
        self.device = device
        self.model = Tacotron2(self.settings.sizes(len(self.symbols.symbols)))
        self.model.load_state_dict(
            {**snapshot["state_dict"], **snapshot["ema"]}
        )  # the running mean is what is exported
        self.model.reduction_factor = snapshot["reduction_factor"]
        self.model.to(device).eval()

    @classmethod
    def load(cls, path: Path, device: torch.device) -> "Voice":
        """A checkpoint's voice. Raises SettingsError for a file that is none."""
        if not is_file(path):
            raise SettingsError(f"There is no checkpoint {path}.")
        try:
            content = checkpoint.read_tensors(path)
        except CheckpointError as problem:
            raise SettingsError(str(problem)) from problem
        if not checkpoint.is_ours(content):
            published = isinstance(content, dict) and "state_dict" in content and "format" not in content
            raise SettingsError(
                f"{path} holds published weights, which come without a symbol table: --mode train starts from them."
                if published
                else f"{path} is no checkpoint of format {checkpoint.FORMAT} of this program."
            )
        try:
            return cls(content, device)
        except (KeyError, TypeError, ValueError, RuntimeError) as problem:
            raise SettingsError(
                f"The checkpoint {path} was written by another version of this program: {str(problem).splitlines()[0]}"
            ) from problem

    @property
    def step_seconds(self) -> float:
        """What a decoder step covers."""
        return self.model.reduction_factor * self.frame_seconds

    @property
    def frame_seconds(self) -> float:
        """What a mel frame covers."""
        return self.settings.speech.hop_length / self.settings.speech.sampling_rate

    def prepare(self, texts: Sequence[str]) -> list[PreparedText]:
        """Texts as the model reads them. Raises SettingsError for one that is empty or has symbols it does not know."""
        read = self.front_end.read_all(texts)
        empty = [number for number, text in enumerate(read, start=1) if not any(map(str.isalpha, text))]
        if empty:
            raise SettingsError(f"There is nothing to say in text {empty[0]}: {texts[empty[0] - 1]!r}.")
        unknown = list_unknown(self.symbols, [(f"text {number}", text) for number, text in enumerate(read, start=1)])
        if unknown:
            raise SettingsError(
                f"The texts hold symbols that the voice does not know: {unknown}; it knows "
                f"{''.join(self.symbols.symbols[2:])!r}."
            )
        tokens = (np.array(self.symbols.encode(text), dtype=np.int64) for text in read)
        return [PreparedText(text=a, read_aloud=b, tokens=c) for a, b, c in zip(texts, read, tokens, strict=True)]

    def is_longer_than_trained(self, text: PreparedText) -> bool:
        """Whether no text that the voice was trained on was so long; False when the checkpoint does not say."""
        return self.longest is not None and len(text.tokens) > self.longest

    def style_of_recording(self, path: Path) -> Tensor:
        """The style (1, S) of an audio file. Raises SettingsError for a file that is none, or without style tokens."""
        self._require_style_tokens("--reference")
        if not is_file(path):
            raise SettingsError(f"--reference: there is no file {path}.")
        try:
            mel_MF, _ = audio.analyse(path, self.settings.speech)
        except (AudioFileError, OSError) as problem:
            why = problem.strerror if isinstance(problem, OSError) else problem
            raise SettingsError(f"--reference: {path} cannot be used: {why}.") from problem
        mels_1MF = torch.from_numpy(mel_MF)[None].to(self.device)
        return self.model.style_of(mels_1MF, torch.tensor([mel_MF.shape[1]], device=self.device))

    def style_of_tokens(self, weights: Mapping[int, float]) -> Tensor:
        """The style (1, S) of style tokens, from 1, by their weights. Raises SettingsError for one that is no token."""
        self._require_style_tokens("--style")
        count = self.model.sizes.style_tokens
        outside = [token for token in weights if not 1 <= token <= count]
        if outside:
            raise SettingsError(f"--style: the voice has style tokens 1 to {count}; received {outside[0]}.")
        weights_K = torch.tensor([weights.get(token, 0.0) for token in range(1, count + 1)], device=self.device)
        return self.model.style_of_tokens(weights_K)

    def _require_style_tokens(self, option: str) -> None:
        if not self.settings.hparams.use_gst:
            raise SettingsError(
                f"{option}: this voice has no style tokens; it was trained with hparams.use_gst = false."
            )

    @torch.no_grad()
    def speak(self, text: PreparedText, seed: int, style_1S: Tensor | None = None) -> Synthesis:
        """Speak a text. The seed is that of the prenet's dropout, which never switches off.

        Raises SettingsError when what the weights give is no sound.
        """
        limit = LONGEST_PAUSES + LONGEST_TOKEN * len(text.tokens)
        tokens_1N = torch.from_numpy(text.tokens)[None].to(self.device)
        tokens_1 = torch.tensor([len(text.tokens)], device=self.device)
        with frozen(self.model, self.device):
            torch.manual_seed(seed)
            predicted = self.model.infer(
                tokens_1N,
                tokens_1,
                max_steps=math.ceil(limit / self.step_seconds),
                gate_threshold=GATE_THRESHOLD,
                style_BS=style_1S,
            )
        _, stopped_1 = spoken_steps(predicted.gate_BT, GATE_THRESHOLD)
        rests_N = torch.tensor([may_rest(symbol) for symbol in (*text.read_aloud, END)])
        mel_MF, attention_TN = predicted.refined_BMF[0].float().cpu(), predicted.attention_BTN[0].float().cpu()
        if not mel_MF.isfinite().all():
            raise SettingsError(
                f"The voice says {text.text!r} in frames that are not finite: its weights are not those of a training "
                "that went well; take another checkpoint."
            )
        return Synthesis(
            text=text,
            mel_MF=mel_MF.numpy(),
            attention_TN=attention_TN.numpy(),
            faults=faults(attention_TN, bool(stopped_1[0]), self.step_seconds, rests_N=rests_N),
            seconds=mel_MF.shape[1] * self.frame_seconds,
        )

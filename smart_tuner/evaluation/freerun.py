"""Free-running evaluation: what a voice makes of fixed texts when it hears nothing but itself.

Teacher forcing shows the model a true frame at every step; a voice that skips, repeats or never stops does so only on
its own. It reads the same sentences with the same seeds every time, so that trials compare.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from model.lengths import decoder_steps
from model.prediction import Network
from model.speech_faults import faults, spoken_steps
from smart_tuner.evaluation.frozen import frozen
from smart_tuner.evaluation.recogniser import Recogniser, may_rest
from smart_tuner.settings.settings import Settings
from smart_tuner.speech.batches import Example, load_batches, load_mel, validation_batches

SEEDS = (1, 2, 3)
"""Of the prenet's dropout, which lets a voice read the same text in other ways."""
LONGEST = 2
"""A voice may take this many times the recording's steps."""
COEFFICIENTS = 13
"""Mel-cepstral coefficients that are compared: from the second on, the first is the level."""

Mel = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Reading:
    """One sentence as a voice read it with one seed."""

    example: Example
    seed: int
    mel_MF: Mel
    faults: tuple[str, ...]
    distortion: float | None
    """From the recording, dB; None without sound."""

    @property
    def failed(self) -> bool:
        """Whether it has a fault or no sound."""
        return bool(self.faults) or self.distortion is None


class FreeRunning:
    """Fixed sentences with their recordings, and how a voice does on them."""

    def __init__(
        self,
        validation: Sequence[Example],
        symbols: Sequence[str],
        settings: Settings,
        recogniser: Recogniser | None = None,
    ) -> None:
        """Takes the first tracking.freerun_sentences of the validation: a corpus orders it by its fixed shuffle."""
        self.examples = list(validation[: settings.tracking.freerun_sentences])
        self.plan = validation_batches(self.examples)
        self.symbols, self.recogniser = symbols, recogniser
        self.awaited: Callable[[], Recogniser] | None = None
        """Gives a recogniser that is still being trained, once it is there; the last evaluation alone asks for it.

        Which evaluations have a judge thus hangs on whether it is there when a training begins or goes on.
        """
        self.no_judge = ""
        """Why the recogniser that was awaited judges nothing."""
        self._cer_recorded: float | None = None
        self.rests = torch.tensor([may_rest(symbol) for symbol in symbols])
        self.frame_seconds = settings.speech.hop_length / settings.speech.sampling_rate
        self.rows: list[dict[str, Any]] = []
        """Each reading of the last run: name, seed, faults, seconds, distortion, text and transcript."""

    def run(self, model: Network, device: torch.device, *, last: bool = False) -> dict[str, float]:
        """The validation.freerun.* metrics of a voice; keeps the rows they come from.

        failure_rate  share of the readings with a fault (model/speech_faults.py) or without sound
        mcd           mean distortion of the readings with sound, faulty ones too; left out when all are without
        cer           character error rate of all readings; one without sound is an empty transcript
        cer_recorded  the same of the recordings of these sentences; both are there with a recogniser only
        """
        if last and self.awaited is not None:
            self._take(self.awaited())
        readings = [reading for seed in SEEDS for reading in self._read(model, device, seed)]
        spoken = [reading.mel_MF for reading in readings]
        judge = self.recogniser
        heard = judge.hear(spoken) if judge else []
        transcripts = [judge.alphabet.text(labels) for labels in heard] if judge else [None] * len(spoken)
        self.rows = [self._row(*both) for both in zip(readings, transcripts, strict=True)]
        metrics = {"failure_rate": sum(reading.failed for reading in readings) / len(readings)}
        distortions = [reading.distortion for reading in readings if reading.distortion is not None]
        if distortions:
            metrics["mcd"] = sum(distortions) / len(distortions)
        if judge:
            metrics["cer"] = judge.error_rate_of(heard, [reading.example.tokens for reading in readings])
            metrics["cer_recorded"] = self._judge_recordings(judge)
        return {f"validation.freerun.{name}": value for name, value in metrics.items()}

    def _take(self, recogniser: Recogniser) -> None:
        self.awaited, self.no_judge = None, recogniser.no_judge
        self.recogniser = None if self.no_judge else recogniser

    def _judge_recordings(self, judge: Recogniser) -> float:
        """Always the same, so measured once."""
        if self._cer_recorded is None:
            recorded = [load_mel(example) for example in self.examples]
            self._cer_recorded = judge.error_rate(recorded, [example.tokens for example in self.examples])
        return self._cer_recorded

    def _row(self, reading: Reading, transcript: str | None) -> dict[str, Any]:
        return {
            "name": reading.example.name,
            "seed": reading.seed,
            "faults": list(reading.faults),
            "seconds": reading.mel_MF.shape[1] * self.frame_seconds,
            "distortion": reading.distortion,
            "text": "".join(self.symbols[token] for token in reading.example.tokens[:-1]),  # the end symbol is last
            "transcript": transcript,
        }

    def _read(self, model: Network, device: torch.device, seed: int) -> Iterator[Reading]:
        r = model.reduction_factor
        for indices, batch in zip(self.plan, load_batches(self.examples, self.plan, device), strict=True):
            limits_B = LONGEST * decoder_steps(batch.frames_B, r)
            with frozen(model, device):
                torch.manual_seed(seed)
                predicted = model.infer(batch.tokens_BN, batch.tokens_B, max_steps=int(limits_B.max()))
            steps_B, stopped_B = spoken_steps(predicted.gate_BT)
            for row, index in enumerate(indices):
                example, steps = self.examples[index], min(int(steps_B[row]), int(limits_B[row]))
                mel_MF = predicted.refined_BMF[row, :, : steps * r].cpu().numpy()
                recording_MF = batch.mels_BMF[row, :, : example.frames].cpu().numpy()
                yield Reading(
                    example=example,
                    seed=seed,
                    mel_MF=mel_MF,
                    faults=faults(
                        predicted.attention_BTN[row, :steps, : len(example.tokens)].cpu(),
                        bool(stopped_B[row]) and int(steps_B[row]) <= int(limits_B[row]),
                        r * self.frame_seconds,
                        rests_N=self.rests[example.tokens],
                        expected_seconds=example.frames * self.frame_seconds,
                    ),
                    distortion=mel_cepstral_distortion(mel_MF, recording_MF) if mel_MF.shape[1] else None,
                )


def speaks_freely(settings: Settings) -> bool:
    """Whether a training has free-running evaluations, which are extra metrics."""
    return settings.tracking.enhanced != "false" and settings.tracking.freerun_evaluations > 0


def mel_cepstral_distortion(one_MF: Mel, other_MF: Mel) -> float:
    """Mel-cepstral distortion (Kubichek, 1993) of two log-mel spectrograms, dB, frames matched by time warping.

    10 / ln 10 * sqrt(2 * sum over k = 1..13 of (c_k - c'_k)^2), mean over the warping's frame pairs, with
    c_k = 2 / M * sum over m of x_m cos(pi k (m + 1/2) / M) for a frame of M natural logarithms of amplitudes x_m. That
    is the root mean square, over bins, of the difference in dB of the two spectra without their levels, smoothed.
    """
    one_FK, other_GK = cepstra(one_MF), cepstra(other_MF)
    norms_FG = np.square(one_FK).sum(axis=1)[:, None] + np.square(other_GK).sum(axis=1)
    squared_FG = np.maximum(norms_FG - 2 * one_FK @ other_GK.T, 0.0)  # rounding may go below; (F, G, K) would be large
    return warped_mean(10 / math.log(10) * np.sqrt(2 * squared_FG))


def cepstra(mel_MF: Mel) -> NDArray[np.float64]:
    """Coefficients 1 to 13 of the cosine transform of each frame: (M, F) to (F, K)."""
    bins = len(mel_MF)
    order_K1 = np.arange(1, min(COEFFICIENTS, bins - 1) + 1)[:, None]
    cosines_KM = np.cos(np.pi * order_K1 * (np.arange(bins) + 0.5) / bins)
    found: NDArray[np.float64] = mel_MF.T.astype(np.float64) @ cosines_KM.T * (2 / bins)
    return found


def warped_mean(costs_FG: NDArray[np.float64]) -> float:
    """Mean cost of the frame pairs on the cheapest path from the first pair to the last.

    Dynamic time warping (Sakoe and Chiba, 1978): a step goes on in one spectrogram, in the other, or in both.
    """
    frames, others = costs_FG.shape
    # along antidiagonals, f + g = d: cost and pairs of the cheapest path to (f, g) stand at f + 1
    older, old = np.full((2, frames + 1), np.inf), np.full((2, frames + 1), np.inf)
    older[:, 0] = 0.0
    for diagonal in range(frames + others - 1):
        row = np.arange(max(0, diagonal - others + 1), min(diagonal, frames - 1) + 1)
        ways = np.stack([older[:, row], old[:, row], old[:, row + 1]])
        chosen = ways[ways[:, 0].argmin(axis=0), :, np.arange(len(row))].T
        new = np.full_like(old, np.inf)
        new[:, row + 1] = chosen + np.stack([costs_FG[row, diagonal - row], np.ones(len(row))])
        older, old = old, new
    cost, pairs = old[:, frames]
    return float(cost / pairs)

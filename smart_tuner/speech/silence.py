"""Where speech begins, ends and rests in a recording. Levels are of what changes in time: neither an offset nor mains
hum nor a click makes a silence loud, nor speech quiet beside it.

scipy's Fourier transform takes half of numpy's time for the window of 706 samples at 22,050 Hz, a fifth for 512.
"""

from dataclasses import dataclass

import numpy as np
import scipy.fft
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

WINDOW, HOP = 0.032, 0.005
"""Seconds of a frame, and from one to the next."""
LOWEST, HUM_BELOW = 150.0, 1000.0
"""Hz: below the one nothing of speech needs to be heard, an offset and mains are there; hum is below the other."""
BANDS = 40
CLICK = 8
"""Frames that a sound must be heard in; one of a few samples is heard in all frames over it, 6 or 7."""
NEAR = 50
"""Frames: the soft burst of a last consonant, as short as a click, is speech when it is so near to some."""
BEAT = 12
"""Frames that hum is averaged over: its tones, 50 or 60 Hz apart, beat."""
QUIETEST = 0.1
"""Share of the frames that have hum alone, or less."""
HUM_MARGIN, HUM_BELOW_SPEECH = 4.0, 31.6
"""Power: what counts as hum, over its mean; how far hum is below speech, or it is a tone and what was recorded."""
SILENT = 1e-6
"""Amplitude below which there is nothing, a tenth of what 16 bits resolve."""
BLOCK = 2048
"""Frames at a time."""


@dataclass(frozen=True)
class SpeechSpan:
    """Where the speech of a recording is."""

    start: int
    """Its first sample."""
    end: int
    """Behind its last sample."""
    longest_pause: float
    """Seconds of the longest silence between the two."""


def find_speech(samples: NDArray[np.float32], rate: int, threshold_db: float) -> SpeechSpan | None:
    """The speech in mono samples: all that is at most so far below its loudest; None when there is only silence."""
    hop = max(1, round(HOP * rate))
    level = _measure_level(samples, rate, hop)
    solid = _drop_clicks(level)
    width = round(WINDOW * rate)
    if solid.max(initial=0.0) <= (SILENT * width) ** 2 / 8:  # the power of a tone in a Hann window
        return None
    threshold = solid.max() * 10 ** (-threshold_db / 10)
    speech = np.flatnonzero(solid > threshold)
    loud = np.flatnonzero(level > threshold)
    loud = loud[(loud >= speech[0] - NEAR) & (loud <= speech[-1] + NEAR)]
    first, last, pause = int(loud[0]), int(loud[-1]), int(np.diff(speech).max(initial=1)) - 1
    return SpeechSpan(first * hop, min(len(samples), (last + 1) * hop), pause * hop / rate)


def _measure_level(samples: NDArray[np.float32], rate: int, hop: int) -> NDArray[np.float32]:
    """Power of each frame without what is the same in all of them; the first frames are at the first samples."""
    width = max(16, round(WINDOW * rate))
    frames = -(-len(samples) // hop)
    centred = np.pad(samples - samples.mean(dtype=np.float64), (0, max(0, width - len(samples)))).astype(np.float32)
    windows, taper = sliding_window_view(centred, width)[::hop], np.hanning(width).astype(np.float32)
    lowest = max(1, round(LOWEST * width / rate))
    edges = np.unique(np.geomspace(lowest, width // 2, BANDS).astype(int))[:-1]
    power = np.concatenate(
        [
            np.add.reduceat(np.abs(scipy.fft.rfft(windows[start : start + BLOCK] * taper)) ** 2, edges, axis=1)
            for start in range(0, len(windows), BLOCK)
        ]
    ).astype(np.float32)
    # windows are inside alone: a hum that breaks off at an edge would sound there
    before = width // 2 // hop
    power = np.pad(power, ((before, max(0, frames - before - len(power))), (0, 0)), mode="edge")[:frames]
    level: NDArray[np.float32] = power.sum(axis=1)
    hum = _measure_hum(power)
    hum[edges * rate / width > HUM_BELOW] = 0
    if hum.sum() * HUM_BELOW_SPEECH < _drop_clicks(level).max(initial=0.0):
        level = np.maximum(power - HUM_MARGIN * hum, 0).sum(axis=1)
    return level


def _measure_hum(power: NDArray[np.float32]) -> NDArray[np.float32]:
    """What is always there, by band, of the power of frames in bands."""
    beat = min(BEAT, len(power))
    summed = np.cumsum(np.pad(power, ((1, 0), (0, 0))), axis=0, dtype=np.float64)
    hum: NDArray[np.float32] = np.quantile((summed[beat:] - summed[:-beat]) / beat, QUIETEST, axis=0)
    return hum


def _drop_clicks(level: NDArray[np.float32]) -> NDArray[np.float32]:
    """A level without peaks of less than CLICK frames (morphological opening)."""
    if len(level) < CLICK:
        return level
    lowest = sliding_window_view(level, CLICK).min(axis=1)
    opened: NDArray[np.float32] = sliding_window_view(np.pad(lowest, CLICK - 1), CLICK).max(axis=1)
    return opened

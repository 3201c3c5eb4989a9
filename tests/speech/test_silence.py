"""Silence is silence whatever lies over it: an offset, mains hum, a click."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from smart_tuner.speech.silence import find_speech
from tests.support import voices

Samples = NDArray[np.float32]
RATE = 22050
BEFORE, AFTER = 3.0, 1.5


def hum(samples: Samples, rate: int, hertz: float, amplitude: float) -> Samples:
    """With mains hum and its harmonics."""
    phase = 2 * np.pi * hertz * np.arange(len(samples)) / rate
    waves = np.sin(phase) + 0.5 * np.sin(2 * phase + 1) + 0.3 * np.sin(3 * phase + 2) + 0.1 * np.sin(5 * phase)
    return samples + amplitude * waves


def click(samples: Samples, rate: int, *seconds: float, width: float = 0.0) -> Samples:
    """With a click at these seconds, a sample long or so many seconds."""
    clicked = samples.copy()
    for second in seconds:
        clicked[round(second * rate) : round((second + width) * rate) + 1] = 0.9
    return clicked


def ramp(samples: Samples, rate: int) -> Samples:
    return samples + np.linspace(-0.1, 0.2, len(samples))


SPOILT: dict[str, Callable[[Samples, int], Samples]] = {
    "nothing": lambda samples, rate: samples,
    "an offset": lambda samples, rate: samples + 0.1,
    "a negative offset": lambda samples, rate: samples - 0.3,
    "a small offset": lambda samples, rate: samples + 0.003,
    "an offset from the speech on": lambda samples, rate: np.where(
        np.arange(len(samples)) < 3 * rate, 0, samples + 0.1
    ),
    "a drift": ramp,
    "a slow wave": lambda samples, rate: hum(samples, rate, 3, 0.1),
    "50 Hz": lambda samples, rate: hum(samples, rate, 50, 0.01),
    "60 Hz": lambda samples, rate: hum(samples, rate, 60, 0.03),
    "loud 50 Hz": lambda samples, rate: hum(samples, rate, 50, 0.06),
    "quiet noise": lambda samples, rate: samples + 5e-4 * np.random.default_rng(0).standard_normal(len(samples)),
    "a click": lambda samples, rate: click(samples, rate, 1.0),
    "a click of 3 ms": lambda samples, rate: click(samples, rate, 0.5, width=0.003),
    "clicks at both ends": lambda samples, rate: click(samples, rate, 0.0, 0.012, len(samples) / rate - 0.01),
    "four clicks": lambda samples, rate: click(samples, rate, 0.2, 0.9, 1.7, 2.4),
    "all of it": lambda samples, rate: click(hum(samples + 0.1, rate, 50, 0.02), rate, 0.7, 2.1),
}


def silenced(speech: Samples, rate: int) -> Samples:
    return np.concatenate([np.zeros(round(BEFORE * rate)), speech, np.zeros(round(AFTER * rate))])


@pytest.mark.parametrize("rate", [8000, RATE, 48000])
@pytest.mark.parametrize("spoiling", SPOILT)
def test_silence_at_the_ends_is_found_whatever_lies_over_it(spoiling: str, rate: int) -> None:
    samples = SPOILT[spoiling](silenced(voices.speech(1.0, rate), rate), rate)
    span = find_speech(samples.astype(np.float32), rate, 40.0)
    assert span is not None
    assert span.start / rate == pytest.approx(BEFORE, abs=0.06)
    assert span.end / rate == pytest.approx(BEFORE + 1.0, abs=0.06)
    assert span.longest_pause < 0.1


@pytest.mark.parametrize("spoiling", SPOILT)
def test_a_pause_within_is_measured_whatever_lies_over_it(spoiling: str) -> None:
    word = voices.speech(1.0, RATE)
    samples = SPOILT[spoiling](np.concatenate([word[: RATE // 2], silenced(word, RATE)]), RATE)
    span = find_speech(samples.astype(np.float32), RATE, 40.0)
    assert span is not None
    if spoiling not in ("a click of 3 ms", "an offset from the speech on"):  # which fall upon the first word here
        assert span.start < 0.05 * RATE
        assert span.longest_pause == pytest.approx(3.0, abs=0.1)


def test_the_longest_of_several_pauses_counts() -> None:
    word = voices.speech(0.5, RATE)
    pauses = [np.zeros(round(seconds * RATE)) for seconds in (0.4, 4.0, 0.2)]
    samples = np.concatenate([word, pauses[0], word, pauses[1], word, pauses[2], word]).astype(np.float32)
    span = find_speech(samples, RATE, 40.0)
    assert span is not None
    assert span.longest_pause == pytest.approx(4.0, abs=0.1)


@pytest.mark.parametrize(
    "samples",
    [
        np.zeros(RATE),
        np.full(RATE, 0.3),
        click(np.zeros(RATE), RATE, 0.5),
        click(np.full(RATE, -0.2), RATE, 0.1, 0.8),
        np.zeros(1),
        np.full(200, 0.1),
    ],
    ids=["zeros", "an offset", "a click", "clicks on an offset", "a sample", "a short offset"],
)
def test_what_never_changes_or_clicks_alone_is_only_silence(samples: Samples) -> None:
    assert find_speech(samples.astype(np.float32), RATE, 40.0) is None


@pytest.mark.parametrize("hertz", [60.0, 220.0, 440.0, 3000.0])
def test_a_tone_that_is_all_there_is_counts_as_sound(hertz: float) -> None:
    """Nothing tells it from hum but that there is nothing else."""
    samples = 0.3 * np.sin(2 * np.pi * hertz * np.arange(RATE) / RATE)
    span = find_speech(samples.astype(np.float32), RATE, 40.0)
    assert span is not None
    assert (span.start, span.end, span.longest_pause) == (0, RATE, 0.0)


def test_a_soft_last_consonant_as_short_as_a_click_is_kept() -> None:
    burst = 0.05 * np.random.default_rng(0).standard_normal(round(0.006 * RATE))
    tail = np.concatenate([np.zeros(round(0.1 * RATE)), burst, np.zeros(RATE)])
    span = find_speech(np.concatenate([voices.speech(1.0, RATE), tail]).astype(np.float32), RATE, 40.0)
    assert span is not None
    assert span.end / RATE == pytest.approx(1.11, abs=0.03)


@pytest.mark.parametrize("louder", [1e-3, 0.05, 1.0])
def test_the_level_of_a_recording_does_not_matter(louder: float) -> None:
    samples = louder * silenced(voices.speech(1.0, RATE), RATE)
    span = find_speech(samples.astype(np.float32), RATE, 40.0)
    assert span is not None
    assert span.start / RATE == pytest.approx(BEFORE, abs=0.06)

"""Each fault of a free-running reading is told from its attention, and a healthy reading has none."""

import pytest
import torch
from torch import Tensor

from model import speech_faults
from model.speech_faults import faults, smoothed_peaks, spoken_steps

STEP = 3 * 256 / 22050
"""Seconds of a decoder step of the demo: r = 3."""
TOKENS = 45


def reads(*peaks: int, tokens: int = TOKENS) -> Tensor:
    """An attention (T, N) with most of its weight on these tokens, the rest spread."""
    attention_TN = torch.full((len(peaks), tokens), 0.2 / tokens)
    attention_TN[torch.arange(len(peaks)), torch.tensor(peaks)] += 0.8
    return attention_TN


def healthy(tokens: int = TOKENS, seconds_per_step: float = STEP, rate: float = 15.0) -> list[int]:
    """Peaks of a steady reading of so many tokens a second."""
    steps = int(tokens / rate / seconds_per_step)
    return [step * tokens // steps for step in range(steps)]


def found(peaks: list[int], *, stopped: bool = True, step: float = STEP, expected: float | None = None) -> set[str]:
    """Faults of a reading whose only places to rest are tokens 20 and 21 and the ends."""
    rests_N = torch.isin(torch.arange(TOKENS), torch.tensor([20, 21]))
    return set(faults(reads(*peaks), stopped, step, rests_N=rests_N, expected_seconds=expected))


@pytest.mark.parametrize("r", [1, 2, 3, 5, 10])
@pytest.mark.parametrize("rate", [8.0, 15.0, 25.0])
def test_a_steady_reading_has_no_fault(r: int, rate: float) -> None:
    step = r * 256 / 22050
    assert not found(healthy(seconds_per_step=step, rate=rate), step=step)


def test_bursts_of_speech_and_two_letters_left_are_no_faults() -> None:
    assert not found([0, 3, 5, 6, 6, 8, 11, 12, 12, *healthy()[20:-2]])


def test_a_flicker_is_no_fault() -> None:
    peaks = healthy()
    peaks[10], peaks[30] = 40, 0
    assert not found(peaks)


def test_a_rest_of_a_second_at_a_comma_is_no_fault_but_a_letter_of_a_second_is() -> None:
    peaks, second = healthy(), round(1 / STEP)
    comma, letter = peaks.index(20), peaks.index(30)
    assert not found(peaks[:comma] + [20] * second + peaks[comma:])
    assert found(peaks[:letter] + [30] * second + peaks[letter:]) == {"stalled"}


def test_where_no_rests_are_known_any_token_may_be_one() -> None:
    peaks = [*healthy()[:50], *[25] * round(1 / STEP), *healthy()[50:]]
    peaks.sort()
    assert not faults(reads(*peaks), True, STEP)


def test_a_rest_of_two_seconds_is_a_stall_anywhere() -> None:
    assert found([0] * round(2 / STEP) + healthy()) == {"stalled"}
    assert found(healthy() + [TOKENS - 1] * round(2 / STEP)) == {"stalled"}


@pytest.mark.parametrize("r", [1, 3])
def test_a_word_passed_over_is_skipped(r: int) -> None:
    step = r * 256 / 22050
    peaks = healthy(seconds_per_step=step)
    assert found([peak for peak in peaks if not 24 <= peak < 30], step=step) == {"skipped"}


def test_a_word_rushed_over_at_three_letters_a_step_is_skipped() -> None:
    peaks = healthy()
    assert found([*(p for p in peaks if p < 20), 20, 23, 26, 29, 32, *(p for p in peaks if p > 34)]) == {"skipped"}


def test_a_text_begun_late_or_ended_early_is_skipped() -> None:
    assert found([peak for peak in healthy() if peak >= 5]) == {"skipped"}
    assert found([peak for peak in healthy() if peak <= TOKENS - 6]) == {"skipped"}


@pytest.mark.parametrize("r", [1, 3, 5, 10])
@pytest.mark.parametrize("tokens", [1, 2, 3, 4, 7])  # one or two symbols, punctuation and a letter, with the end
def test_a_text_that_is_over_at_the_first_step_is_too_short(tokens: int, r: int) -> None:
    for peak in (0, tokens - 1):
        assert "too_short" in faults(reads(peak, tokens=tokens), True, r * 256 / 22050)
    assert "too_short" not in faults(reads(0, tokens=tokens), False, r * 256 / 22050)


def test_a_short_text_is_too_short_in_less_time_than_a_vowel_takes() -> None:
    letters, end = [0, 1, 2], 3
    assert faults(reads(end, tokens=4), True, STEP) == ("skipped", "too_short")
    assert faults(reads(*letters, end, tokens=4), True, STEP) == ()
    assert faults(reads(0, 1, tokens=2), True, STEP) == ("too_short",)
    assert faults(reads(0, 0, 1, tokens=2), True, STEP) == ()  # a tenth of a second will do for a letter
    assert faults(reads(end, tokens=4), False, STEP) == ("never_stopped",)


def test_a_text_cut_by_the_limit_has_not_skipped_its_rest() -> None:
    assert found(healthy()[:40], stopped=False) == {"never_stopped"}


def test_a_word_read_twice_is_repeated() -> None:
    peaks = healthy()
    again = peaks.index(30)
    assert "repeated" in found(peaks[:again] + peaks[again - 12 :])


def test_going_back_by_three_tokens_is_not_repeating() -> None:
    peaks = healthy()
    again = peaks.index(30)
    assert "repeated" not in found(peaks[:again] + [27] * 4 + peaks[again:])


def test_a_length_is_wrong_when_it_is_far_from_the_expected_one() -> None:
    seconds = len(healthy()) * STEP
    assert found(healthy(), expected=seconds * 1.6) == found(healthy(), expected=seconds / 1.6) == {"wrong_length"}
    assert not found(healthy(), expected=seconds * 1.4)
    assert "wrong_length" not in found(healthy(), stopped=False, expected=seconds * 1.6)


def test_a_short_word_may_take_half_its_time() -> None:
    assert not faults(reads(0, 0, 0, 1, 1, 1, 2, 2, tokens=3), True, STEP, expected_seconds=0.56)


def test_an_attention_that_is_spread_evenly_is_a_fault() -> None:
    assert faults(torch.full((100, TOKENS), 1 / TOKENS), True, STEP)


@pytest.mark.parametrize(("step", "width"), [(0.2, 3), (STEP, 3), (256 / 22050, 9)])
def test_peaks_are_smoothed_over_a_tenth_of_a_second(step: float, width: int) -> None:
    peaks = [5] * 30
    peaks[10 : 10 + width // 2] = [20] * (width // 2)
    assert smoothed_peaks(reads(*peaks), step).tolist() == [5] * 30
    peaks[10 : 10 + width // 2 + 1] = [20] * (width // 2 + 1)
    assert 20 in smoothed_peaks(reads(*peaks), step)


def test_an_utterance_is_spoken_up_to_its_first_open_gate() -> None:
    gate_BT = torch.tensor([[-9.0, -9.0, 9.0, -9.0], [-9.0] * 4, [9.0] * 4])
    steps_B, stopped_B = spoken_steps(gate_BT)
    assert steps_B.tolist() == [3, 4, 1]
    assert stopped_B.tolist() == [True, False, True]
    assert not spoken_steps(gate_BT[:, :2] + 9.0, gate_threshold=0.6)[1][0]


def test_every_fault_has_its_name() -> None:
    several = faults(reads(30, 30, 30, 0, 0, 0, 0), False, STEP)
    assert several == ("skipped", "repeated", "never_stopped")
    assert set(several) < set(speech_faults.FAULTS)

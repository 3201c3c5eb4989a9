"""What went wrong when a model read a text aloud on its own, told from its attention and its stop gate.

B utterances, T decoder steps, N tokens.
"""

import math

import torch
from torch import Tensor

FAULTS = ("skipped", "repeated", "stalled", "never_stopped", "too_short", "wrong_length")

FLICKER_SECONDS = 0.1
"""Movements that are over sooner are not heard: a median over so long, or three steps, smooths the peak."""
FASTEST_TOKENS_A_SECOND = 40.0
"""Speech has 12 to 20 letters a second, 25 when hurried; what is passed over faster has not been spoken."""
PASSED_TOKENS = 3.5
"""Tokens that the attention may pass over beyond that, go back by, or leave at the end: punctuation, silent letters."""
LONGEST_SOUND_SECONDS = 0.7
"""No letter sounds longer; healthy voices stay up to 0.5 s on one and its neighbour."""
LONGEST_REST_SECONDS = 1.5
"""Readers rest up to a second at punctuation and ends."""
SHORTEST_SECONDS = 0.1
"""No reader says even a single vowel sooner; the recordings of such texts, with some silence around, are longer."""
LENGTH_RATIO = 1.5
"""A length is wrong when it is this many times the expected one, or the expected one this many times it, ..."""
LENGTH_SECONDS = 0.3
"""... and the two are this far apart: a single word may well take half or double its time."""


def spoken_steps(gate_BT: Tensor, gate_threshold: float = 0.5) -> tuple[Tensor, Tensor]:
    """Steps (B,) to the first stop logit over the threshold, all steps without one; and whether there was one (B,)."""
    open_BT = gate_BT.sigmoid() > gate_threshold
    stopped_B = open_BT.any(1)
    return torch.where(stopped_B, open_BT.int().argmax(1) + 1, gate_BT.shape[1]), stopped_B


def faults(
    attention_TN: Tensor,
    stopped: bool,
    seconds_per_step: float,
    *,
    rests_N: Tensor | None = None,
    expected_seconds: float | None = None,
) -> tuple[str, ...]:
    """Which of FAULTS an utterance has, from the attention of its spoken steps over its real tokens.

    rests_N is true at tokens on which a reader may rest: spaces, punctuation, the end (without it, all of them).
    expected_seconds is about how long the utterance should be (without it, no length is wrong). An utterance that
    never stopped is not said to have skipped what it did not come to, nor to have a wrong length. One that stopped at
    its first step has said nothing, whatever a step lasts.
    """
    steps, tokens = attention_TN.shape
    peaks_T = smoothed_peaks(attention_TN, seconds_per_step)
    seconds = steps * seconds_per_step
    found = {
        "skipped": passed_over(peaks_T, seconds_per_step) > PASSED_TOKENS
        or (stopped and tokens - 1 - int(peaks_T.max()) > PASSED_TOKENS)
        or (stopped and tokens - 1 > FASTEST_TOKENS_A_SECOND * seconds),  # the end takes no time
        "repeated": seconds_behind(peaks_T, seconds_per_step) >= FLICKER_SECONDS,
        "stalled": stays(peaks_T, rests_N, tokens, seconds_per_step),
        "never_stopped": not stopped,
        "too_short": stopped and (steps == 1 or seconds < SHORTEST_SECONDS),
        "wrong_length": stopped and expected_seconds is not None and is_wrong(seconds, expected_seconds),
    }
    return tuple(name for name in FAULTS if found[name])


def smoothed_peaks(attention_TN: Tensor, seconds_per_step: float) -> Tensor:
    """The token that most of each step's attention is on (T,), without flickering."""
    peaks_T = attention_TN.argmax(1)
    side = max(1, math.floor(FLICKER_SECONDS / seconds_per_step / 2))
    padded = torch.cat([peaks_T[:1].expand(side), peaks_T, peaks_T[-1:].expand(side)])
    return padded.unfold(0, 2 * side + 1, 1).median(1).values


def passed_over(peaks_T: Tensor, seconds_per_step: float) -> float:
    """Most tokens by which the peaks run ahead of the fastest speech, counted from before the text or any step."""
    begin = peaks_T.new_full((1,), -1)
    allowed = FASTEST_TOKENS_A_SECOND * seconds_per_step * torch.arange(len(peaks_T) + 1, device=peaks_T.device)
    ahead_T = torch.cat([begin, peaks_T]) - allowed
    return float((ahead_T - ahead_T.cummin(0).values).max())


def seconds_behind(peaks_T: Tensor, seconds_per_step: float) -> float:
    """Time at tokens that have been read and left before."""
    return float((peaks_T.cummax(0).values - peaks_T > PASSED_TOKENS).sum()) * seconds_per_step


def stays(peaks_T: Tensor, rests_N: Tensor | None, tokens: int, seconds_per_step: float) -> bool:
    """Whether the peaks stay on two neighbouring tokens for longer than these may last."""
    rests = set(range(tokens)) if rests_N is None else {0, tokens - 1, *rests_N.nonzero().flatten().tolist()}
    for limit, everywhere in ((LONGEST_SOUND_SECONDS, False), (LONGEST_REST_SECONDS, True)):
        window = math.floor(limit / seconds_per_step) + 1
        if window > len(peaks_T):
            continue
        windows = peaks_T.unfold(0, window, 1)
        low, high = windows.amin(1), windows.amax(1)
        stayed = torch.stack([low, high], dim=1)[high - low <= 1].unique(dim=0).tolist()
        if any(everywhere or not rests & set(pair) for pair in stayed):
            return True
    return False


def is_wrong(seconds: float, expected: float) -> bool:
    """Whether a length is far from the expected one."""
    shorter, longer = sorted((seconds, expected))
    return longer > LENGTH_RATIO * shorter and longer - shorter > LENGTH_SECONDS

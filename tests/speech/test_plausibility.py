"""Lengths of texts and sounds say whether they belong together: of one reader's clips, and of clips mixed up."""

import numpy as np
import pytest

from smart_tuner.speech.plausibility import (
    TOGETHER,
    PaceLine,
    Values,
    explained,
    find_moved_texts,
    find_odd,
    median_pace,
    times_repeated,
)


def reading(count: int, seed: int = 0, spread: float = 0.1) -> tuple[Values, Values]:
    """Characters and seconds of a reader who pauses 0.2 s and says 16 characters a second, give or take."""
    random = np.random.default_rng(seed)
    characters = random.integers(15, 90, count).astype(float)
    return characters, (0.2 + characters / 16) * np.exp(random.normal(0, spread, count))


def test_a_line_is_a_readers_pause_and_pace_though_a_third_of_the_clips_is_wrong() -> None:
    characters, seconds = reading(60)
    seconds[::3] = np.random.default_rng(1).uniform(1, 6, 20)
    line = PaceLine.fit(characters, seconds)
    assert 1 / line.pace == pytest.approx(16, rel=0.1)
    assert line.pause == pytest.approx(0.2, abs=0.25)


def test_the_pace_is_of_texts_that_are_long_enough_to_tell() -> None:
    characters, seconds = np.array([2.0, 1.0, 60.0, 62.0, 64.0]), np.array([0.6, 0.5, 4.0, 4.0, 4.0])
    assert median_pace(characters, seconds) == 15.5
    assert median_pace(characters[:3], seconds[:3]) == pytest.approx(10 / 3)  # most are short, so all count


@pytest.mark.parametrize("count", [12, 60, 400])
def test_texts_explain_the_lengths_of_their_own_sounds_and_of_no_others(count: int) -> None:
    for seed in range(20):
        characters, seconds = reading(count, seed)
        own, others = explained(characters, seconds), explained(characters[::-1], seconds)
        assert own is not None
        assert others is not None
        assert own > TOGETHER
        assert count < 60 or others < TOGETHER


def test_lengths_that_are_all_alike_explain_nothing() -> None:
    characters, seconds = reading(24)
    assert explained(np.full(24, 40.0), seconds) is None
    assert explained(characters, np.full(24, 3.0)) is None
    assert explained(characters[:6], seconds[:6]) is None


@pytest.mark.parametrize("by", [-5, -2, -1, 1, 2, 5])
def test_moved_texts_are_found_wherever_they_are(by: int) -> None:
    for seed in range(10):
        characters, seconds = reading(48, seed)
        moved = find_moved_texts(np.roll(characters, by), seconds)
        assert moved is not None
        assert moved.by == by
        assert moved.last - moved.first > 30


def test_a_row_that_is_lost_moves_all_texts_after_it() -> None:
    for lost in (10, 30, 50):
        characters, seconds = reading(60, seed=lost)
        moved = find_moved_texts(np.append(np.delete(characters, lost), 40.0), seconds)
        assert moved is not None
        assert moved.by == -1
        assert abs(moved.first - lost) <= 3


def test_nothing_has_moved_in_a_corpus_that_is_right() -> None:
    assert [find_moved_texts(*reading(count, seed, 0.15)) for count in (8, 12, 24, 100) for seed in range(25)] == [
        None
    ] * 100


def test_odd_clips_are_found_and_only_they() -> None:
    characters, seconds = reading(60)
    assert find_odd(characters, seconds) == []
    seconds[[7, 30]] *= [3.0, 0.3]
    assert [(place, times > 1) for place, times in find_odd(characters, seconds)] == [(7, True), (30, False)]


def test_a_text_of_a_letter_does_not_pass_for_the_line_itself() -> None:
    characters, seconds = reading(12)
    characters[:] = 20 + np.arange(12) % 3  # all alike but one, which alone would turn a line of least errors
    seconds[:] = 1.3
    characters[5] = 1.0
    seconds[5] = 4.0
    assert [place for place, _ in find_odd(characters, seconds)] == [5]


@pytest.mark.parametrize(
    ("text", "times"), [("a b c", 1), ("a b a b", 2), ("no no no", 3), ("a b a", 1), ("", 1), ("one", 1)]
)
def test_a_text_that_repeats_itself_is_counted(text: str, times: int) -> None:
    assert times_repeated(text) == times

"""What settings need of the corpus and of the budget is told as soon as both are known."""

import pytest

from smart_tuner.settings.settings import Settings, load_settings
from smart_tuner.speech.preconditions import judge_settings

SPOKEN = [(150 + row, 40) for row in range(80)]
"""Mel frames and symbols of 80 utterances: 3.75 frames a symbol and more."""


def settings(*assignments: str, preset: str = "demo") -> Settings:
    return load_settings(preset, None, assignments)


def told(*assignments: str, preset: str = "demo") -> tuple[str, str]:
    """Level and text of the only note."""
    ((level, text),) = [
        (note.level, note.text) for note in judge_settings(settings(*assignments, preset=preset), SPOKEN)
    ]
    return level, text


def test_the_presets_suit_a_corpus_of_their_kind() -> None:
    assert told() == ("good", "suit the corpus and the budget")
    assert told("hparams.budget=9000ep", preset="tacotron2") == ("good", "suit the corpus and the budget")


def test_decoder_steps_that_are_fewer_than_the_symbols_are_bad_for_an_attention_that_steps_by_one() -> None:
    level, text = told("hparams.reduction_factor=10")
    assert level == "bad"
    assert text.startswith("at hparams.reduction_factor = 10, 80 of 80 utterances have fewer steps than symbols: ")
    assert "forward attention cannot come to their end and the forward-sum loss of them is zero; 3 fits" in text


@pytest.mark.parametrize(
    ("assignments", "level"),
    [
        (["hparams.attention_kind=location"], "watch"),
        (["hparams.attention_kind=location", "hparams.forward_sum_weight=0"], "good"),
        (["hparams.forward_sum_weight=0"], "bad"),
    ],
)
def test_what_few_steps_cost_depends_on_who_needs_them(assignments: list[str], level: str) -> None:
    assert told("hparams.reduction_factor=10", *assignments)[0] == level


def test_a_few_short_words_said_fast_are_no_matter() -> None:
    few = [*SPOKEN, (60, 40)]
    assert judge_settings(settings(), few)[0].level == "good"
    assert judge_settings(settings(), [*few, (60, 40), (60, 40)])[0].level == "watch"


@pytest.mark.parametrize(
    ("assignments", "begins"),
    [
        (
            ["hparams.warmup_iterations=500"],
            "hparams.warmup_iterations = 500: the learning rate reaches 80% of its peak",
        ),
        (
            ["hparams.validation_freq=200"],
            "hparams.validation_freq = 200: 2 validation(s), too few to see a course; 40",
        ),
        (["hparams.reduction_schedule=2@3000,1@9000"], "hparams.reduction_schedule: 1 from 9,000 on is never reached"),
        (["hparams.guide_anneal=16"], "hparams.guide_anneal = 16: with 16 validation(s) the guide is never annealed"),
        (
            ["hparams.schedule=plateau", "hparams.validation_freq=80"],
            "hparams.schedule = plateau: with 5 validation(s)",
        ),
        (["hparams.accumulation=20"], "hparams.accumulation = 20: a batch of 16 has no more than 16 parts"),
        (["health.sharp_warmup=6400"], "health rules that come too late to stop anything: health.sharp_warmup 6,400"),
    ],
)
def test_what_the_budget_does_not_hold_is_told_with_the_budget(assignments: list[str], begins: str) -> None:
    level, text = told(*assignments)
    assert level == "watch"
    assert text.startswith(begins)
    assert text.endswith("(the budget, 6400utt, holds 400 iterations, 6,400 utterances)")


def test_the_published_preset_on_twenty_clips_never_comes_to_its_learning_rate() -> None:
    notes = judge_settings(settings("hparams.batch_size=16", preset="tacotron2"), SPOKEN[:19])
    assert notes[0].text.startswith("hparams.warmup_iterations = 500: the learning rate reaches 20% of its peak, ")


def test_a_budget_of_wall_time_promises_nothing() -> None:
    assert told("hparams.budget=5m", "hparams.warmup_iterations=500")[0] == "good"


def test_rules_that_are_off_come_never_too_late() -> None:
    assert told("health.enabled=false", "health.sharp_warmup=6400")[0] == "good"


@pytest.mark.parametrize(
    ("assignments", "deaf"),
    [
        (["speech.filter_length=256", "speech.win_length=256"], True),
        (["speech.filter_length=512", "speech.win_length=512", "speech.n_mel_channels=160"], True),
        (["speech.mel_fmax=500"], True),
        (["speech.n_mel_channels=64"], False),
    ],
)
def test_mel_channels_that_hear_nothing_are_told_and_nothing_warns_beside(
    assignments: list[str], deaf: bool, recwarn: pytest.WarningsRecorder
) -> None:
    level, text = told(*assignments)
    assert level == ("watch" if deaf else "good")
    assert ("never hear anything; fewer channels" in text) == deaf
    assert not recwarn.list

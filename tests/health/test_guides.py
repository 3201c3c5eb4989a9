"""The lists of health rules in docs/metrics.md and its Russian twin say what stands in the code."""

import re
from pathlib import Path

import pytest

from smart_tuner.health.rules import RULES
from smart_tuner.settings.health import Health
from smart_tuner.settings.settings import load_settings
from smart_tuner.training.state import OVERFLOW_SHARE, OVERFLOW_WINDOW

DOCS = Path(__file__).parents[2] / "docs"
GUIDES = {"en": "metrics.md", "ru": "metrics.ru.md"}
LEVELS = {"en": ("stops", "warns", "notes"), "ru": ("останавливает", "предупреждает", "отмечает")}
TWICE = {"en": "twice", "ru": "вдвое"}
OWN, DEMO = Health(), load_settings("demo", None, []).health


def both(name: str) -> set[float]:
    """A setting of health, and what the demo preset has."""
    return {getattr(OWN, name), getattr(DEMO, name)}


def per_cent(share: float) -> float:
    return round(100 * share, 6)


NUMBERS: dict[str, set[float]] = {
    "non_finite": {OVERFLOW_SHARE * OVERFLOW_WINDOW, OVERFLOW_WINDOW},
    "exploding_gradients": {
        *(OWN.gradient_limit, per_cent(OWN.gradient_spikes), OWN.gradient_spike, per_cent(OWN.loss_rise)),
        *(health.gradient_warmup + health.training_window for health in (OWN, DEMO)),
    },
    "loss_jump": {OWN.loss_jump, *(health.training_window + 1 for health in (OWN, DEMO))},
    "validation_rising": {per_cent(OWN.rising_gain), *both("rising_validations")},
    "validation_flat": {per_cent(OWN.flat_gain), *both("flat_validations")},
    "attention_formed": {OWN.formed_score},
    "attention_late": {
        *(OWN.missing_score, OWN.attention_rise, 2),  # 2: r that counts as help
        *both("attention_deadline"),
        *both("attention_deadline_unaided"),
    },
    "attention_stuck": {OWN.sharp_focus, OWN.stuck_spread, OWN.stuck_validations, *both("sharp_warmup")},
    "attention_off_diagonal": {
        *(OWN.sharp_focus, OWN.diagonal_score, OWN.attention_rise),
        *both("diagonal_validations"),
        *both("sharp_warmup"),
    },
    "attention_collapsed": {OWN.collapse_drop, OWN.formed_score, *both("collapse_validations")},
    "guide_not_falling": {per_cent(OWN.guide_fall), OWN.missing_score, *both("guide_deadline")},
    "gate_never": {
        *(OWN.gate_low, OWN.gate_rise, per_cent(OWN.gate_fall)),
        *both("gate_validations"),
        *both("gate_warmup"),
    },
    "gate_always": {OWN.gate_high},
    "gate_flat": {OWN.gate_spread},
    "duration_growing": set(),  # "twice", in words
}
"""By rule, every number that its entry has before the level; shares that are told in per cent as such."""


LABELS = {
    "en": ("Default (demo)", "Level", "Next attempt"),
    "ru": ("Порог и окно (в демо)", "Уровень", "Следующая попытка"),
}


def entries(language: str) -> dict[str, list[str]]:
    """What the list says of each rule: what it sees, the default, the level and, of rules that stop, the repairs."""
    text = (DOCS / GUIDES[language]).read_text(encoding="utf-8")
    items = re.findall(r"^- `(\w+)`: ((?:.+\n)(?:  .+\n)*)", text, re.MULTILINE)
    joined = [(rule, " ".join(item.split())) for rule, item in items]
    joined = [(rule, item) for rule, item in joined if f"*{LABELS[language][0]}:*" in item]
    assert [rule for rule, _ in joined] == list(dict(joined)), "a rule has two entries"
    labels = "|".join(re.escape(label) for label in LABELS[language])
    return {rule: [part.rstrip(". ") for part in re.split(rf" \*(?:{labels}):\* ", item)] for rule, item in joined}


def numbers(text: str, language: str) -> set[float]:
    apart = "," if language == "en" else "[ \u00a0\u202f]"
    joined = re.sub(rf"(?<=\d){apart}(?=\d{{3}}\b)", "", text)
    plain = joined if language == "en" else re.sub(r"(?<=\d),(?=\d)", ".", joined)
    return {float(number) for number in re.findall(r"(?<![\w.])\d+(?:\.\d+)?", plain)}


@pytest.mark.parametrize("language", GUIDES)
def test_every_rule_has_its_entry_and_its_level(language: str) -> None:
    levels = {rule: cells[2].split(";")[0] for rule, cells in entries(language).items()}
    stops, warns, notes = LEVELS[language]
    quiet = {"attention_formed": notes, "validation_flat": warns, "duration_growing": warns}
    assert levels == {name: stops if rule.meaning else quiet[name] for name, rule in RULES.items()}


@pytest.mark.parametrize("language", GUIDES)
@pytest.mark.parametrize("rule", RULES)
def test_the_thresholds_of_an_entry_are_those_of_the_settings(rule: str, language: str) -> None:
    sees, default, *_ = entries(language)[rule]
    assert numbers(f"{sees}; {default}", language) == NUMBERS[rule]


@pytest.mark.parametrize("language", GUIDES)
def test_what_is_told_in_words_holds_too(language: str) -> None:
    assert OWN.duration_factor == 2
    assert TWICE[language] in entries(language)["duration_growing"][0]
    assert OWN.attention_extension == 1  # the deadline doubles

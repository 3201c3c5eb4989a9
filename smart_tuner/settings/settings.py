"""All settings of a trial: frozen dataclasses with a docstring under each field; how a file and --set change them."""

import dataclasses
import json
import re
import typing
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

from model.sizes import Architecture, Sizes
from smart_tuner.errors import SettingsError
from smart_tuner.settings import reduction, yaml_file
from smart_tuner.settings.budget import Budget
from smart_tuner.settings.convert import at_most, check_ranges, convert
from smart_tuner.settings.fields import ranged
from smart_tuner.settings.health import Health
from smart_tuner.settings.hparams import Hparams
from smart_tuner.settings.speech import Speech

PRESETS = Path(__file__).parent / "presets"
"""Changes to the defaults: tacotron2 is the published model, demo a small one that learns within minutes on a CPU."""


@dataclass(frozen=True, kw_only=True)
class Tracking:
    """What a run leaves behind, beyond the fixed metrics."""

    enhanced: Literal["auto", "true", "false"] = "auto"
    """Add system metrics, extra metrics, plots and audio; auto adds what the installed packages allow."""
    plots: int = ranged(12, low=1, high=1000)
    """Validations at which plots are drawn, spread over the run; the last one always is."""
    freerun_evaluations: int = ranged(3, low=0, high=1000)
    """Free-running evaluations, spread over the run from where the attention has formed to its end; 0: none."""
    freerun_sentences: int = ranged(8, low=1, high=128)
    """Validation texts that a free-running evaluation speaks, with three seeds each."""
    recogniser_steps: int = ranged(3000, low=0, high=1_000_000)
    """Most training steps of the recogniser that validation.freerun.cer needs, once per corpus; 0: no recogniser."""
    checkpoint_seconds: float = ranged(60.0, low=0)
    """Least time between two checkpoints; a stop and the end always write one."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """All settings of a trial."""

    hparams: Hparams = field(default_factory=Hparams)
    model: Architecture = field(default_factory=Architecture)
    speech: Speech = field(default_factory=Speech)
    health: Health = field(default_factory=Health)
    tracking: Tracking = field(default_factory=Tracking)

    def __post_init__(self) -> None:
        check_ranges("hparams", self.hparams)
        check_ranges("speech", self.speech)
        check_ranges("health", self.health)
        check_ranges("tracking", self.tracking)
        hparams, speech = self.hparams, self.speech
        Budget.parse(hparams.budget)
        at_most(
            "hparams.final_learning_rate", hparams.final_learning_rate, "hparams.learning_rate", hparams.learning_rate
        )
        reduction.reduction_stages(hparams.reduction_factor, hparams.reduction_schedule)
        health = self.health
        at_most("health.gate_low", health.gate_low, "health.gate_high", health.gate_high)
        at_most("health.missing_score", health.missing_score, "health.formed_score", health.formed_score)
        at_most("speech.win_length", speech.win_length, "speech.filter_length", speech.filter_length)
        at_most("speech.hop_length", speech.hop_length, "speech.win_length", speech.win_length)
        at_most("speech.mel_fmax", speech.mel_fmax, "half of speech.sampling_rate", speech.sampling_rate / 2)
        if speech.mel_fmin >= speech.mel_fmax:
            raise SettingsError(
                f"speech.mel_fmin must be below speech.mel_fmax = {speech.mel_fmax}; received {speech.mel_fmin}."
            )

    @property
    def budget(self) -> Budget:
        """The parsed hparams.budget."""
        return Budget.parse(self.hparams.budget)

    def sizes(self, n_symbols: int) -> Sizes:
        """What the network is built from, for a table of n_symbols symbols."""
        shared = {
            name: getattr(self.hparams, name) for name in vars(self.hparams) if name in Sizes.__dataclass_fields__
        }
        return Sizes(n_symbols=n_symbols, n_mel_channels=self.speech.n_mel_channels, **asdict(self.model), **shared)

    def replace(self, **hparams: Any) -> "Settings":
        """The same settings with other hyperparameters."""
        return dataclasses.replace(self, hparams=dataclasses.replace(self.hparams, **hparams))

    def digest(self) -> str:
        """A short name of all that decides a trial's result and is not as by default.

        What is only recorded about a trial is left out; so is a setting at its default, so that a new one changes no
        study that does not use it.
        """
        deciding = {name: value for name, value in self.changes().items() if not name.startswith("tracking.")}
        return sha256(json.dumps(deciding, sort_keys=True).encode()).hexdigest()[:8]

    def changes(self) -> dict[str, Any]:
        """What differs from the defaults, by section.name."""
        default = asdict(Settings())
        return {
            f"{section}.{name}": value
            for section, values in asdict(self).items()
            for name, value in values.items()
            if value != default[section][name]
        }

    def to_yaml(self) -> str:
        """Text that --settings reads back."""
        return yaml_file.dump(asdict(self))


def load_settings(
    preset: str, file: Path | None, assignments: list[str], found: Mapping[str, Any] | None = None
) -> Settings:
    """Settings from a preset, what a study found, a YAML file, `section.name=value` texts.

    Raises SettingsError, with file and line for what stands in the file.
    """
    values: dict[str, dict[str, Any]] = {section: {} for section in SECTIONS}
    merge(values, read_yaml(PRESETS / f"{preset}.yaml").content or {}, f"the preset {preset}")
    merge(values, found or {}, "the study's settings")
    document = read_yaml(file) if file is not None else None
    if document is not None:
        merge(values, document.content or {}, str(file), document)
    assigned = set[tuple[str, str]]()
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        section, dot, name = key.strip().partition(".")
        if not equals or not dot:
            raise SettingsError(f"--set takes section.name=value; received {assignment!r}.")
        merge(values, {section: {name: yaml_file.parse_value(text)}}, "--set")
        assigned.add((section, name))
    try:
        return from_dict(values)
    except SettingsError as problem:
        raise (problem if document is None else locate_mistake(problem, document, assigned)) from problem


def locate_mistake(
    problem: SettingsError, document: yaml_file.Document, assigned: set[tuple[str, str]]
) -> SettingsError:
    """The error with file and line of a setting that it names; as it is when --set assigned one, or none is there."""
    sentence = str(problem)
    named = re.findall(rf"\b({'|'.join(SECTIONS)})\.(\w+)", sentence) or [("hparams", "budget")]  # which needs no name
    place = next((place for place in named if place in document.lines), None)
    return problem if assigned.intersection(named) or place is None else document.refusal(place, sentence)


def parse_settings(text: str) -> Settings | None:
    """The settings of Settings.to_yaml(); None for a text that is none, or that another version wrote."""
    values = yaml_file.parse_value(text)
    try:
        return load_settings("tacotron2", None, [], values) if isinstance(values, dict) else None
    except SettingsError:
        return None


def from_dict(values: Mapping[str, Mapping[str, Any]]) -> Settings:
    """Settings from nested plain values, each checked. Raises SettingsError."""
    try:
        return Settings(**{section: SECTIONS[section](**dict(given)) for section, given in values.items()})
    except ValueError as problem:  # the architecture's own checks
        raise SettingsError(str(problem)) from problem


def settings_differences(before: Settings, after: Settings) -> dict[str, Any]:
    """What differs, by section.name; the seed is each trial's own."""
    old, new = asdict(before), asdict(after)
    return {
        f"{section}.{name}": value
        for section, values in new.items()
        for name, value in values.items()
        if value != old[section][name] and name != "seed"
    }


def with_values(settings: Settings, values: Mapping[str, Any]) -> Settings:
    """Settings with other values, by section.name. Raises SettingsError."""
    sections: dict[str, dict[str, Any]] = {}
    for key, value in values.items():
        section, name = split_name(key)
        sections.setdefault(section, {})[name] = value
    try:
        replaced = {
            section: dataclasses.replace(getattr(settings, section), **given) for section, given in sections.items()
        }
    except ValueError as problem:  # the architecture's own checks
        raise SettingsError(str(problem)) from problem
    return dataclasses.replace(settings, **replaced)


def split_name(name: str) -> tuple[str, str]:
    """Section and key of a setting: hparams, learning_rate."""
    section, _, key = name.partition(".")
    return section, key


def setting_of(settings: Settings, name: str) -> Any:
    """The value of a setting by its full name."""
    section, key = split_name(name)
    return getattr(getattr(settings, section), key)


def limits_of(name: str) -> tuple[float | None, float | None]:
    """The lowest and the highest value that a setting may have; None without a limit, or with one it may not reach."""
    section, key = split_name(name)
    limits = next(spec.metadata for spec in dataclasses.fields(SECTIONS[section]) if spec.name == key)
    return limits.get("low"), limits.get("high")


def read_yaml(file: Path) -> yaml_file.Document:
    """A YAML file with a mapping at its top, or nothing. Raises SettingsError."""
    document = yaml_file.read_yaml_file(file, "settings file")
    if document.content is not None and not isinstance(document.content, dict):
        raise SettingsError(
            f"The settings file {file} must hold sections ({', '.join(SECTIONS)}); received {document.content!r}."
        )
    return document


def merge(
    values: dict[str, dict[str, Any]],
    given: Mapping[str, Any],
    source: str,
    document: yaml_file.Document | None = None,
) -> None:
    """Put given values over values, with their types checked; errors name the source, or file and line."""

    def refusal(sentence: str, *place: str) -> SettingsError:
        return SettingsError(sentence) if document is None else document.refusal(place, sentence)

    for section, entries in given.items():
        if section not in SECTIONS:
            valid = f"valid sections: {', '.join(SECTIONS)}"
            raise refusal(f"Unknown section {section!r} in {source}; {valid}.", str(section))
        if not isinstance(entries, Mapping):
            rule = f"Section {section} in {source} must hold name: value pairs"
            raise refusal(f"{rule}; received {entries!r}.", section)
        types = typing.get_type_hints(SECTIONS[section])
        for name, value in entries.items():
            if name not in types:
                valid = f"valid keys: {', '.join(types)}"
                raise refusal(f"Unknown key {section}.{name} in {source}; {valid}.", section, str(name))
            try:
                values[section][name] = convert(f"{section}.{name}", value, types[name])
            except SettingsError as problem:
                raise refusal(str(problem), section, name) from problem


SECTIONS = {"hparams": Hparams, "model": Architecture, "speech": Speech, "health": Health, "tracking": Tracking}

"""What the parts of a search space must hold to together, and with the settings that it is searched around."""

import itertools
import typing
from collections.abc import Collection, Mapping
from typing import Any

from smart_tuner.errors import SettingsError
from smart_tuner.settings.budget import Budget
from smart_tuner.settings.convert import convert
from smart_tuner.settings.settings import SECTIONS, Settings
from smart_tuner.settings.yaml_file import Document
from smart_tuner.space.methods import SAMPLERS, list_others
from smart_tuner.space.parameter import Category, Parameter
from smart_tuner.space.space import Space

TUNED_SECTIONS = ("hparams", "model")
"""The others say what is measured, not how the model learns."""
NOT_TUNED = ("hparams.budget", "hparams.seed", "hparams.validation_freq", "hparams.validation_utterances")
"""Hyperparameters that would change what is measured, or compare luck."""
MOST_CHECKED = 100
"""Values of an int parameter that are tried before a study."""


class Source(Document):
    """A file with the ways in which a value in it can be wrong."""

    def mapping(
        self, place: tuple[str | int, ...], value: Any, what: str, keys: Collection[str] = ()
    ) -> dict[str, Any]:
        """The value as a mapping whose keys are texts, of these if any are given."""
        if not isinstance(value, dict):
            raise self.refusal(place, f"{what} must hold name: value pairs; received {value!r}.")
        for key in value:
            if not isinstance(key, str) or (keys and key not in keys):
                valid = f"; valid keys: {', '.join(keys)}" if keys else ", which is no text"
                raise self.refusal((*place, str(key)), f"unknown key {key!r} in {what}{valid}.")
        return value

    def value(self, place: tuple[str | int, ...], name: str, value: Any, wanted: Any) -> Any:
        """The value as the wanted type."""
        try:
            return convert(name, value, wanted)
        except SettingsError as problem:
            raise self.refusal(place, str(problem)) from problem

    def number(self, place: tuple[str | int, ...], value: Any, wanted: Any, low: float, high: float) -> Any:
        """The value as a number from low to high."""
        number = self.value(place, str(place[-1]), value, wanted)
        if not low <= number <= high:
            raise self.refusal(place, f"{place[-1]} must be from {low:g} to {high:g}; received {value}.")
        return number


def tunable() -> dict[str, Any]:
    """The type of every setting that a space may search over, by full name."""
    return {
        f"{section}.{name}": wanted
        for section in TUNED_SECTIONS
        for name, wanted in typing.get_type_hints(SECTIONS[section]).items()
        if f"{section}.{name}" not in NOT_TUNED
    }


def check_space(source: Source, space: Space, settings: Settings) -> None:
    """Refuse what no single line of the file shows."""
    _check_objectives(source, space)
    _check_budget(source, space, settings)
    _check_grid(source, space)
    _check_enqueued(source, space, space.own(settings))
    _check_corners(source, space, settings)


def _check_objectives(source: Source, space: Space) -> None:
    if len(space.objectives) == 1:
        return
    if space.pruner.name != "none":
        rule = "a pruner compares trials by one objective"
        raise source.refusal(
            ("pruner",),
            f"{rule}; received {len(space.objectives)} objectives and pruner {space.pruner.name}; choose pruner: none.",
        )
    if not space.sampler.kind.takes_several_objectives:
        able = ", ".join(name for name, kind in SAMPLERS.items() if kind.takes_several_objectives)
        rule = f"{space.sampler.name} optimises one objective"
        raise source.refusal(("sampler",), f"{rule}; received {len(space.objectives)}; choose one of {able}.")


def _check_budget(source: Source, space: Space, settings: Settings) -> None:
    """Trials compare at equal utterances: between them, and where a pruner looks."""
    text = space.budget or settings.hparams.budget
    budget = Budget.parse(text)
    where = f"budget {text}" + ("" if space.budget else " (the settings' own)")
    place = ("budget",) if ("budget",) in source.lines else ("pruner",)
    if space.pruner.name != "none" and budget.unit not in ("utt", "ep"):
        rule = f"the pruner {space.pruner.name} compares trials at equal utterances, so budget must be in utt or ep"
        raise source.refusal(place, f"{rule}; received {where}; else choose pruner: none.")
    if budget.unit == "it" and "hparams.batch_size" in space.by_name:
        rule = "with hparams.batch_size searched over, equal iterations are unequal data: budget must be in utt or ep"
        raise source.refusal(place, f"{rule} (or s, m, h); received {where}.")
    warmup = Budget.parse(space.pruner.warmup) if space.pruner.warmup else None
    if warmup is not None and warmup.unit == budget.unit and warmup.amount >= budget.amount:
        rule = "the pruner's warm-up must end before the budget does"
        raise source.refusal(("pruner", "warmup"), f"{rule}; received warmup {space.pruner.warmup} and {where}.")


def _check_grid(source: Source, space: Space) -> None:
    if not space.sampler.kind.is_list:
        return
    name, apart = space.sampler.name, list_others(SAMPLERS, space.sampler.name)
    for parameter in space.parameters:
        place = ("parameters", parameter.name)
        if parameter.size() is None:
            rule = f"the sampler {name} needs a step, or type categorical, for every float"
            raise source.refusal(place, f"{rule}; {parameter.name} has neither; other samplers: {apart}.")
        if parameter.when:
            rule = f"the sampler {name} takes no conditions; {parameter.name} has one"
            raise source.refusal((*place, "when"), f"{rule}; other samplers: {apart}.")


def _check_enqueued(source: Source, space: Space, point: Mapping[str, Category]) -> None:
    """The settings' own values are tried first. A number out of range can be; a category or a log of 0 cannot."""
    for name, value in point.items():
        parameter, place = space.by_name[name], ("parameters", name)
        if parameter.type == "categorical":
            check_contained(source, (*place, "choices"), parameter, value, f"{name} in the settings, tried first,")
        elif parameter.log and value <= 0:  # type: ignore[operator]  # a range's setting is a number
            rule = f"{name} in the settings, tried first, must be above 0 as the range is log"
            raise source.refusal(
                (*place, "log"), f"{rule}; received {value}; set it to a value above 0, or list categorical choices."
            )


def _check_corners(source: Source, space: Space, settings: Settings) -> None:
    """Every value of an int, and each outermost value alone and with each of another parameter, must be valid."""
    for parameter in space.parameters:
        for value in (*parameter.corners(), *_whole_numbers(parameter)):
            _check_point(source, space, settings, {parameter.name: value})
    corners = [(parameter, value) for parameter in space.parameters for value in parameter.corners()]
    for (first, value), (second, other) in itertools.combinations(corners, 2):
        point = {first.name: value, second.name: other}
        if _can_meet(second, point):
            _check_point(source, space, settings, point)


def _whole_numbers(parameter: Parameter) -> range:
    """The first values of an int parameter: some settings must be odd, some even."""
    if parameter.type != "int":
        return range(0)
    return range(int(parameter.low), int(parameter.high) + 1, int(parameter.step or 1))[:MOST_CHECKED]


def _can_meet(later: Parameter, point: Mapping[str, Category]) -> bool:
    """Whether a parameter can count beside the earlier one's value."""
    return all(name not in point or point[name] in allowed for name, allowed in later.when.items())


def _check_point(source: Source, space: Space, settings: Settings, point: dict[str, Category]) -> None:
    try:
        space.apply(settings, point)
    except SettingsError as problem:
        named = " and ".join(f"{name} = {list_values([value])}" for name, value in point.items())
        raise source.refusal(("parameters", list(point)[-1]), f"with {named}, {problem}") from problem


def read_baseline(source: Source, space: Space, settings: Settings, given: Any) -> tuple[dict[str, Category], ...]:
    """The file's baseline points, each made complete by the settings' own values; repeated ones are left out."""
    if not isinstance(given, list):
        raise source.refusal(("baseline",), f"baseline must be a list of points; received {given!r}.")
    points: list[dict[str, Category]] = []
    for row, entry in enumerate(given):
        point = _point(source, space, settings, ("baseline", row), entry)
        if point != space.own(settings) and point not in points:
            points.append(point)
    return tuple(points)


def _point(
    source: Source, space: Space, settings: Settings, place: tuple[str | int, ...], entry: Any
) -> dict[str, Category]:
    types, values = tunable(), {}
    for name, value in source.mapping(place, entry, "a baseline", tuple(space.by_name)).items():
        values[name] = source.value((*place, name), name, value, types[name])
        check_contained(source, (*place, name), space.by_name[name], values[name], f"{name} in a baseline")
    point = space.complete(values, settings)
    for name in values:
        if name not in point:
            wanted = " and ".join(
                f"{parameter} = {list_values(allowed)}" for parameter, allowed in space.by_name[name].when.items()
            )
            raise source.refusal(
                (*place, name), f"{name} counts only with {wanted}, which this baseline does not have."
            )
    _check_enqueued(source, space, point)
    return point


def check_contained(
    source: Source, place: tuple[str | int, ...], parameter: Parameter, value: Category, what: str
) -> None:
    """Refuse a value that a parameter cannot have."""
    if not parameter.contains(value):
        raise source.refusal(
            place, f"{what} must be a value it can have, {describe_range(parameter)}; received {value}."
        )


def describe_range(parameter: Parameter) -> str:
    """The values that a parameter can have, in words."""
    if parameter.type == "categorical":
        return list_values(parameter.choices)
    step = f" in steps of {parameter.step:g}" if parameter.step else ""
    return f"{parameter.low:g} to {parameter.high:g}{step}{', log' if parameter.log else ''}"


def list_values(values: Collection[Category]) -> str:
    """Values as they stand in a YAML file."""
    return ", ".join(str(value).lower() if isinstance(value, bool) else str(value) for value in values)

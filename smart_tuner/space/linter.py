"""What is allowed in a search space and yet unwise, before a study and at its end; and a space in words."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from smart_tuner.settings.settings import Settings, limits_of, setting_of
from smart_tuner.space.checks import describe_range, list_values
from smart_tuner.space.parameter import TRIALS_PER_DIMENSION, Category, Parameter
from smart_tuner.space.space import HIGHER_IS_BETTER, Space

WIDE = 30.0
"""A range whose ends differ by this factor is searched on a log scale."""
MUTE_AT = ("validation.alignment_score", "validation.attention_coverage")
"""Metrics that tell a voice that reads its text from one that does not."""
EFFECT = {
    "hparams.guide_weight": ("hparams.use_guided_attn", (True,)),
    "hparams.guide_sigma": ("hparams.use_guided_attn", (True,)),
    "hparams.final_learning_rate": ("hparams.schedule", ("step", "exponential", "cosine", "plateau")),
    "hparams.max_gaf": ("hparams.use_mmi", (True,)),
    "hparams.guide_anneal": ("hparams.use_guided_attn", (True,)),
}
"""Settings that do something only while another one has one of these values."""


def find_warnings(space: Space, settings: Settings, trials: int) -> list[str]:
    """One sentence for everything unwise about searching a space with so many trials, each with what to do about it."""
    return [
        *(sentence for parameter in space.parameters for sentence in _about_scale(parameter)),
        *_about_own_values(space, settings),
        *_about_effects(space, settings),
        *_about_goals(space),
        *_about_sampler(space),
        *_about_trials(space, trials),
    ]


def _about_scale(parameter: Parameter) -> list[str]:
    if parameter.type == "categorical" or parameter.log or parameter.step is not None or parameter.low <= 0:
        return []
    factor = parameter.high / parameter.low
    if parameter.name.endswith("learning_rate") and factor > 2:
        return [f"{parameter.name} is a learning rate, which acts by its ratio: add log: true."]
    if factor >= WIDE:
        return [f"{parameter.name} spans a factor of {factor:.0f}, most of it large values: add log: true."]
    return []


def _about_own_values(space: Space, settings: Settings) -> list[str]:
    return [
        f"{name} is {value} in the settings, outside {describe_range(space.by_name[name])}: it is tried first all the "
        "same, but the sampler cannot come back to it; widen the range or change the setting."
        for name, value in space.own(settings).items()
        if not space.by_name[name].contains(value)
    ]


def _about_effects(space: Space, settings: Settings) -> list[str]:
    sentences = []
    for name, (other, values) in EFFECT.items():
        if name not in space.by_name or other in space.by_name[name].when:
            continue
        if other in space.by_name:
            needed = list_values(values)
            sentences.append(f"{name} does nothing unless {other} is {needed}: add when: {{{other}: [{needed}]}}.")
        elif setting_of(settings, other) not in values:
            own = list_values([setting_of(settings, other)])
            sentences.append(f"{name} does nothing while {other} is {own}: leave it out or change the setting.")
    return sentences


def _about_goals(space: Space) -> list[str]:
    sentences = []
    for objective in space.objectives:
        if (objective.metric in HIGHER_IS_BETTER) != (objective.direction == "maximize"):
            better = "higher" if objective.metric in HIGHER_IS_BETTER else "lower"
            sentences.append(f"{objective.metric} is better the {better} it is: is {objective.direction} meant?")
    if not any(name in MUTE_AT for name in space.metrics):
        sentences.append(
            "nothing keeps a voice that does not read its text from winning: add constraints: "
            '{validation.alignment_score: ">= 0.5"}.'
        )
    if space.confirm == 1:
        sentences.append("confirm: 1 shows no spread, so no gain can be told from luck: take 3, or 0 for none.")
    return sentences


def _about_sampler(space: Space) -> list[str]:
    name, kind = space.sampler.name, space.sampler.kind
    apart = [
        parameter.name
        for parameter in space.parameters
        if (parameter.when and not kind.takes_conditions)
        or (parameter.type == "categorical" and not kind.takes_categories)
    ]
    if not apart:
        return []
    takes = "what every trial has" if kind.takes_categories else "ranges without conditions alone"
    return [f"{name} takes {takes}; drawn at random: {', '.join(apart)}; tpe takes all."]


def _about_trials(space: Space, trials: int) -> list[str]:
    dimensions = len(space.parameters)
    sentences = []
    if space.sampler.kind.is_list:
        points = math.prod(parameter.size() or 1 for parameter in space.parameters)
        return (
            [] if trials >= points else [f"{trials} trials leave {points - trials} of the grid's {points} points out."]
        )
    if trials < TRIALS_PER_DIMENSION * dimensions:
        wanted = TRIALS_PER_DIMENSION * dimensions
        sentences.append(
            f"{trials} trials are few for {dimensions} parameters: take {wanted} or more, or search over fewer."
        )
    if space.sampler.kind.startup_argument and trials <= space.sampler.startup_trials:
        sentences.append(
            f"all {trials} trials are drawn at random, as startup_trials is {space.sampler.startup_trials}: "
            f"lower it, or take more trials."
        )
    if "startup_trials" in space.pruner.kind.options and trials <= space.pruner.startup_trials:
        sentences.append(
            f"the pruner {space.pruner.name} stops none of {trials} trials, as its startup_trials is "
            f"{space.pruner.startup_trials}: lower it, or take more trials."
        )
    return sentences


def boundary_warnings(space: Space, values: Mapping[str, Category]) -> list[str]:
    """One sentence for every parameter whose best value lies at the edge of its range: the best may lie beyond."""
    sentences = []
    for name, value in values.items():
        parameter = space.by_name.get(name)
        end = parameter.end_at(value, limits_of(name)) if parameter is not None else None
        if parameter is not None and end is not None:
            what = "add choices beyond" if parameter.type == "categorical" else "widen the range"
            where = f"at the {end} end of {describe_range(parameter)}"
            sentences.append(f"the best {name}, {value:.4g}, lies {where}: {what} and search again.")
    return sentences


@dataclass(frozen=True, kw_only=True)
class SpaceChange:
    """How a space differs from what it was when its study began."""

    sentence: str
    fatal: bool
    """The study cannot go on with it."""


def compare_spaces(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[SpaceChange]:
    """All changes between two Space.to_plain(), and what each does to the study."""
    old, new = before["parameters"], now["parameters"]
    added, dropped = [name for name in new if name not in old], [name for name in old if name not in new]
    changes = [_note(f"{name} is searched over since: earlier trials tell nothing about it") for name in added]
    changes += [_note(f"{name} is not searched over any more: earlier trials differ in it") for name in dropped]
    for name in old:
        if name in new and old[name] != new[name]:
            changes.append(_parameter_change(name, old[name], new[name]))
    for key, sentence in FATAL.items():
        if before[key] != now[key]:
            what = f"{key} was {_short(before[key])} and is {_short(now[key])}"
            changes.append(SpaceChange(sentence=f"{what}: {sentence}", fatal=True))
    for key, sentence in HARMLESS.items():
        if before[key] != now[key]:
            changes.append(_note(f"{key} has changed: {sentence}"))
    return changes


FATAL = {
    "objectives": "its trials were compared by another objective",
    "constraints": "its trials were judged by other constraints",
    "budget": "its trials were trained for another budget",
}
HARMLESS = {
    "baseline": "its points are tried only at the start of a study",
    "sampler": "it chooses from the next trial on",
    "pruner": "trials are compared only with those that were measured after the same amounts of data",
    "audit": "it counts from the next trial on",
    "confirm": "it counts at the end",
}


def _parameter_change(name: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> SpaceChange:
    for key in ("type", "choices", "log"):
        if old[key] != new[key]:
            was, now = _short(old[key]), _short(new[key])
            return SpaceChange(
                sentence=f"{name}: {key} was {was} and is {now}, which a study cannot take in", fatal=True
            )
    if old["when"] != new["when"]:
        return _note(f"{name} has another condition: trials from before and after differ in when it counts")
    was, now = (f"{bounds['low']:g} to {bounds['high']:g} in steps of {bounds['step']}" for bounds in (old, new))
    what = f"{name} ranged over {was} and ranges over {now}".replace(" in steps of None", "")
    return _note(f"{what}: the sampler searches it apart from the other parameters from now on")


def _note(sentence: str) -> SpaceChange:
    return SpaceChange(sentence=sentence, fatal=False)


def _short(value: Any) -> str:
    if isinstance(value, dict):
        return " ".join(str(part) for part in value.values())
    return ", ".join(_short(part) for part in value) if isinstance(value, list) and value else str(value)


def describe_space(space: Space, settings: Settings) -> list[str]:
    """What a space comes to, a line for each part, for a person to check."""
    own, pruner = space.own(settings), space.pruner
    lines = []
    for parameter in space.parameters:
        when = "".join(f"; when {name} is {list_values(allowed)}" for name, allowed in parameter.when.items())
        first = f"; tried first: {list_values([own[parameter.name]])}" if parameter.name in own else ""
        lines.append(f"{parameter.name}: {parameter.type}, {describe_range(parameter)}{when}{first}")
    lines += [f"baseline {row}: {describe_point(values)}" for row, values in enumerate(space.baseline, start=2)]
    warmup = f", from {pruner.warmup or 'a tenth of the budget'} on" if pruner.name != "none" else ""
    return [
        *lines,
        "objective: " + ", ".join(f"{objective.direction} {objective.metric}" for objective in space.objectives),
        "constraints: " + (", ".join(map(str, space.constraints)) or "none"),
        f"sampler: {space.sampler.name}; pruner: {pruner.name}{warmup}",
        f"budget of a trial: {space.budget or settings.hparams.budget}",
        f"audit: {space.audit:g}; confirm: {space.confirm}",
    ]


def describe_point(values: Mapping[str, Category]) -> str:
    """A configuration in a line, without the names of sections."""
    return ", ".join(f"{name.partition('.')[2]} {_rounded(value)}" for name, value in values.items())


def _rounded(value: Category) -> str:
    return f"{value:.3g}" if isinstance(value, float) else list_values([value])

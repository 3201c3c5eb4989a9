"""Reads a search space from its YAML file and refuses every mistake with file, line, rule and choices, before a run."""

import dataclasses
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from smart_tuner.errors import SettingsError
from smart_tuner.settings import yaml_file
from smart_tuner.settings.budget import Budget
from smart_tuner.settings.settings import SECTIONS, Settings
from smart_tuner.space.checks import (
    NOT_TUNED,
    TUNED_SECTIONS,
    Source,
    check_contained,
    check_space,
    list_values,
    read_baseline,
    tunable,
)
from smart_tuner.space.methods import PRUNERS, SAMPLERS, PrunerKind, SamplerKind
from smart_tuner.space.objective import Objective
from smart_tuner.space.parameter import Category, Parameter
from smart_tuner.space.space import METRICS, Constraint, Pruner, Sampler, Space

KEYS = ("parameters", "baseline", "objective", "constraints", "sampler", "pruner", "budget", "audit", "confirm")
RANGE_KEYS = ("type", "low", "high", "log", "step", "when")
LIMITS = {"startup_trials": (1, 100_000), "reduction_factor": (2, 10), "percentile": (1, 99), "patience": (1, 1000)}


def load_space(file: Path, settings: Settings, *, budget: str | None = None) -> Space:
    """The space in a file, for these settings; budget stands for the file's own.

    Raises SettingsError for the first mistake, with file and line.
    """
    read = yaml_file.read_yaml_file(file, "search space")
    source = Source(file=read.file, content=read.content, lines=read.lines)
    top = source.mapping((), source.content, "a search space", KEYS)
    objectives = _objectives(source, top.get("objective", {"metric": "validation.loss", "direction": "minimize"}))
    space = Space(
        file=file,
        parameters=_parameters(source, top.get("parameters")),
        objectives=objectives,
        constraints=tuple(_constraints(source, top.get("constraints", {}))),
        sampler=_sampler(source, top.get("sampler", "tpe")),
        pruner=_pruner(source, top.get("pruner", "asha" if len(objectives) == 1 else "none")),
        budget=budget if budget is not None else _budget_text(source, top.get("budget")),
        audit=source.number(("audit",), top.get("audit", 0.0), float, 0, 1),
        confirm=source.number(("confirm",), top.get("confirm", 3), int, 0, 20),
    )
    check_space(source, space, settings)
    return dataclasses.replace(space, baseline=read_baseline(source, space, settings, top.get("baseline", [])))


def _parameters(source: Source, given: Any) -> tuple[Parameter, ...]:
    entries = source.mapping(("parameters",), given, "parameters")
    if not entries:
        raise source.refusal(("parameters",), "parameters must name at least one setting; received none.")
    parameters: dict[str, Parameter] = {}
    for name, entry in entries.items():
        place = ("parameters", name)
        wanted = _tunable_type(source, name)
        source.mapping(place, entry, name)
        kinds = _kinds(wanted)
        kind = entry.get("type")
        if kind not in kinds:
            raise source.refusal((*place, "type"), f"{name} must have type {' or '.join(kinds)}; received {kind!r}.")
        source.mapping(place, entry, f"{name}, which is {kind}", _keys_of(kind))
        described = _choices(source, name, entry, wanted) if kind == "categorical" else _range(source, name, entry)
        when = _conditions(source, name, entry.get("when", {}), parameters, list(entries))
        parameters[name] = Parameter(name=name, type=kind, line=source.line(*place), when=when, **described)
    return tuple(parameters.values())


def _tunable_type(source: Source, name: str) -> Any:
    known = tunable()
    if name in known:
        return known[name]
    section = name.partition(".")[0]
    if name in NOT_TUNED or (section in SECTIONS and section not in TUNED_SECTIONS):
        rule = f"{name} cannot be searched over: it changes what is measured, not how the model learns"
        raise source.refusal(("parameters", name), f"{rule}; set it in the settings.")
    if section not in TUNED_SECTIONS:
        valid = f"; valid sections: {', '.join(TUNED_SECTIONS)}, as in hparams.learning_rate"
    else:
        valid = f"; valid keys: {', '.join(setting for setting in known if setting.startswith(section + '.'))}"
    raise source.refusal(("parameters", name), f"unknown setting {name}{valid}.")


def _kinds(wanted: Any) -> tuple[str, ...]:
    return {int: ("int", "categorical"), float: ("float", "categorical")}.get(wanted, ("categorical",))


def _keys_of(kind: str) -> tuple[str, ...]:
    return ("type", "choices", "when") if kind == "categorical" else RANGE_KEYS


def _choices(source: Source, name: str, entry: dict[str, Any], wanted: Any) -> dict[str, Any]:
    place = ("parameters", name, "choices")
    given = entry.get("choices")
    if not isinstance(given, list) or len(given) < 2:
        raise source.refusal(place, f"{name}: choices must list at least two values; received {given!r}.")
    choices = tuple(source.value((*place, row), name, choice, wanted) for row, choice in enumerate(given))
    if len(set(choices)) < len(choices):
        raise source.refusal(place, f"{name}: choices must differ; received {list_values(choices)}.")
    return {"choices": choices}


def _range(source: Source, name: str, entry: dict[str, Any]) -> dict[str, Any]:
    place = ("parameters", name)
    number = int if entry["type"] == "int" else float
    low, high = (source.value((*place, end), f"{name}: {end}", entry.get(end), number) for end in ("low", "high"))
    log = source.value((*place, "log"), f"{name}: log", entry.get("log", False), bool)
    step = source.value((*place, "step"), f"{name}: step", entry["step"], number) if "step" in entry else None
    if low >= high:
        raise source.refusal(place, f"{name}: low must be below high; received low {low} and high {high}.")
    if log and low <= 0:
        raise source.refusal((*place, "low"), f"{name}: a log range must start above 0; received low {low}.")
    if log and step is not None:
        raise source.refusal((*place, "step"), f"{name}: a range is log or has a step, not both; received step {step}.")
    if step is not None:
        _check_step(source, name, low, high, step)
    return {"low": low, "high": high, "log": log, "step": None if number is int and step == 1 else step}


def _check_step(source: Source, name: str, low: float, high: float, step: float) -> None:
    place = ("parameters", name, "step")
    if not 0 < step <= high - low:
        raise source.refusal(
            place, f"{name}: step must be above 0 and at most high - low = {high - low:g}; received {step}."
        )
    steps = (high - low) / step
    if abs(steps - round(steps)) > 1e-8:
        below, above = low + int(steps) * step, low + (int(steps) + 1) * step
        raise source.refusal(
            place, f"{name}: high must be a whole number of steps above low, {below:g} or {above:g}; received {high}."
        )


def _conditions(
    source: Source, name: str, given: Any, earlier: dict[str, Parameter], names: list[str]
) -> dict[str, tuple[Category, ...]]:
    place = ("parameters", name, "when")
    conditions: dict[str, tuple[Category, ...]] = {}
    for other, value in source.mapping(place, given, f"{name}: when").items():
        here = (*place, other)
        if other not in earlier:
            problem = "stands no earlier in the file" if other in names else "is no parameter of this space"
            valid = ", ".join(earlier) or "none, as it is the first"
            raise source.refusal(
                here, f"{name}: when must name an earlier parameter; {other} {problem}; valid: {valid}."
            )
        if earlier[other].type == "float":
            rule = f"{name}: when needs a categorical or int parameter"
            raise source.refusal(here, f"{rule}; {other} is float, which hardly ever has one value.")
        conditions[other] = _allowed(source, here, earlier[other], value)
    return conditions


def _allowed(source: Source, place: tuple[str | int, ...], parameter: Parameter, given: Any) -> tuple[Category, ...]:
    wanted = tunable()[parameter.name]
    items = given if isinstance(given, list) else [given]
    if not items:
        raise source.refusal(place, f"a condition on {parameter.name} must name a value; received none.")
    allowed: tuple[Category, ...] = tuple(source.value(place, parameter.name, item, wanted) for item in items)
    for value in allowed:
        check_contained(source, place, parameter, value, f"a condition on {parameter.name}")
    return allowed


def _objectives(source: Source, given: Any) -> tuple[Objective, ...]:
    items = given if isinstance(given, list) else [given]
    objectives = []
    for row, item in enumerate(items):
        place: tuple[str | int, ...] = ("objective", row) if isinstance(given, list) else ("objective",)
        entry = source.mapping(place, item, "objective", ("metric", "direction"))
        metric, direction = entry.get("metric"), entry.get("direction")
        _check_metric(source, (*place, "metric"), "the objective", metric)
        if direction not in ("minimize", "maximize"):
            rule = f"the direction of {metric} must be minimize or maximize"
            raise source.refusal((*place, "direction"), f"{rule}; received {direction!r}.")
        objectives.append(Objective(metric=str(metric), direction=direction))
    if not objectives or len({objective.metric for objective in objectives}) < len(objectives):
        named = list_values([objective.metric for objective in objectives]) or "none"
        raise source.refusal(("objective",), f"objective must name at least one metric, each once; received {named}.")
    return tuple(objectives)


def _check_metric(source: Source, place: tuple[str | int, ...], what: str, metric: Any) -> None:
    if metric not in METRICS:
        raise source.refusal(
            place, f"{what} must be a metric that every validation logs: {', '.join(METRICS)}; received {metric!r}."
        )


def _constraints(source: Source, given: Any) -> Iterator[Constraint]:
    for metric, limits in source.mapping(("constraints",), given, "constraints").items():
        place = ("constraints", metric)
        _check_metric(source, place, "a constraint", metric)
        for text in limits if isinstance(limits, list) else [limits]:
            match = re.fullmatch(r"\s*(<=|>=)\s*(\S+)\s*", text) if isinstance(text, str) else None
            if match is None:
                rule = f'the constraint on {metric} must be <= or >= and a number, in quotes, as in ">= 0.5"'
                raise source.refusal(place, f"{rule}; received {text!r}.")
            operator: Any = match[1]
            limit = source.value(place, f"the limit of {metric}", match[2], float)
            yield Constraint(metric=metric, operator=operator, limit=limit)


def _named(source: Source, what: str, given: Any, known: Mapping[str, SamplerKind | PrunerKind]) -> dict[str, Any]:
    """A sampler or pruner, given by its name alone or with what it is told."""
    entry = given if isinstance(given, dict) else {"name": given}
    name = entry.get("name")
    if not isinstance(name, str) or name not in known:
        raise source.refusal((what,), f"unknown {what} {name!r}; valid: {', '.join(known)}.")
    source.mapping((what,), entry, f"{what} {name}", ("name", *known[name].options))
    for key in entry.keys() & LIMITS.keys():
        entry = {
            **entry,
            key: source.number((what, key), entry[key], float if key == "percentile" else int, *LIMITS[key]),
        }
    return entry


def _sampler(source: Source, given: Any) -> Sampler:
    return Sampler(**_named(source, "sampler", given, SAMPLERS))


def _pruner(source: Source, given: Any) -> Pruner:
    entry = _named(source, "pruner", given, PRUNERS)
    if "warmup" in entry:
        warmup = _amount(source, ("pruner", "warmup"), entry["warmup"])
        if warmup.unit not in ("utt", "ep"):
            rule = "warmup must be an amount of data, in utt or ep"
            raise source.refusal(("pruner", "warmup"), f"{rule}; received {entry['warmup']!r}.")
    return Pruner(**entry)


def _amount(source: Source, place: tuple[str | int, ...], text: Any) -> Budget:
    try:
        return Budget.parse(str(text))
    except SettingsError as problem:
        raise source.refusal(place, str(problem)) from problem


def _budget_text(source: Source, given: Any) -> str | None:
    if given is None:
        return None
    _amount(source, ("budget",), given)
    return str(given)

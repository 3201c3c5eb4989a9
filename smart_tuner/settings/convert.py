"""Values brought to the type of their setting and held to its range, and the sentences when they are not."""

import dataclasses
import typing
from typing import Any, Literal

from smart_tuner.errors import SettingsError


def convert(key: str, value: Any, wanted: Any) -> Any:
    """The value as the wanted type. YAML reads 1e-3 as text and 1.0 as a float; both are taken for what they mean."""
    if typing.get_origin(wanted) is Literal:
        text = str(value).lower() if isinstance(value, bool) else str(value)
        if text in typing.get_args(wanted):
            return text
        raise SettingsError(f"{key} must be one of {', '.join(typing.get_args(wanted))}; received {value!r}.")
    if wanted is str and isinstance(value, str | int | float) and not isinstance(value, bool):
        return str(value)  # YAML reads a budget without a unit as a number
    if wanted is int and isinstance(value, int) and not isinstance(value, bool):
        return value
    if wanted is bool and isinstance(value, bool):
        return value
    if wanted in (int, float) and not isinstance(value, bool):
        try:
            as_float = float(value)
        except (TypeError, ValueError, OverflowError):
            as_float = float("nan")
        if wanted is float and abs(as_float) < float("inf"):
            return as_float
        if wanted is int and as_float.is_integer():
            return int(as_float)
    names = {int: "a whole number", float: "a finite number", bool: "true or false", str: "text"}
    raise SettingsError(f"{key} must be {names[wanted]}; received {value!r}.")


def check_ranges(section: str, values: Any) -> None:
    """Raise SettingsError for a value outside the range its field names."""
    for spec in dataclasses.fields(values):
        value, limits = getattr(values, spec.name), spec.metadata
        key = f"{section}.{spec.name}"
        if limits.get("above") is not None and not value > limits["above"]:
            raise SettingsError(f"{key} must be above {limits['above']}; received {value}.")
        if limits.get("low") is not None and not value >= limits["low"]:
            raise SettingsError(f"{key} must be at least {limits['low']}; received {value}.")
        if limits.get("high") is not None and not value <= limits["high"]:
            raise SettingsError(f"{key} must be at most {limits['high']}; received {value}.")


def at_most(key: str, value: float, other: str, limit: float) -> None:
    """Raise SettingsError when one value exceeds another that bounds it."""
    if value > limit:
        raise SettingsError(f"{key} must be at most {other} = {limit:g}; received {value:g}.")

"""A parameter of a search space: the values that a setting can have, and when it counts."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

Category = bool | int | float | str
End = Literal["low", "high"]
TRIALS_PER_DIMENSION = 5
"""Fewer trials leave parameters that hardly any two of them differ in."""
NEAR_END = 0.05
"""Share of a range that counts as its end."""


class Chooser(Protocol):
    """Chooses values; an optuna.Trial is one as it is."""

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        """A number from low to high."""
        ...

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int:
        """A whole number from low to high."""
        ...

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        """One of the choices."""
        ...


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """A setting that is searched over."""

    name: str
    """The setting: hparams.learning_rate."""
    type: Literal["float", "int", "categorical"]
    line: int
    """Where it stands in its file."""
    low: float = 0.0
    high: float = 0.0
    """Both belong to the range; whole numbers of type int."""
    log: bool = False
    step: float | None = None
    """Distance between values, counted from low; None for a float: every value, for an int: 1."""
    choices: tuple[Category, ...] = ()
    when: Mapping[str, tuple[Category, ...]] = field(default_factory=dict)
    """It counts only while each of these earlier parameters counts and has one of these values."""

    def contains(self, value: Category) -> bool:
        """Whether it can have this value."""
        if self.type == "categorical":
            return any(
                value == choice and isinstance(value, bool) == isinstance(choice, bool) for choice in self.choices
            )
        assert isinstance(value, int | float)  # a number's setting holds numbers
        steps = (value - self.low) / (self.step or 1)
        on_a_step = (self.step is None and self.type == "float") or abs(steps - round(steps)) < 1e-8
        return self.low <= value <= self.high and on_a_step

    def suggest(self, chooser: Chooser) -> Category:
        """A value of the chooser's."""
        if self.type == "float":
            return chooser.suggest_float(self.name, self.low, self.high, step=self.step, log=self.log)
        if self.type == "int":
            step = int(self.step or 1)
            return chooser.suggest_int(self.name, int(self.low), int(self.high), step=step, log=self.log)
        chosen: Category = chooser.suggest_categorical(self.name, self.choices)
        return chosen

    def corners(self) -> tuple[Category, ...]:
        """Its outermost values; all of them for a categorical one."""
        return self.choices if self.type == "categorical" else (self.low, self.high)

    def extremes(self) -> tuple[float, float]:
        """The smallest and the largest number that it can have."""
        numbers = sorted(float(corner) for corner in self.corners())
        return numbers[0], numbers[-1]

    def end_at(self, value: Category, limits: tuple[float | None, float | None]) -> End | None:
        """The end of its range at which a value lies; None within, for what is no number, and at the setting's limit.

        limits are the lowest and the highest value that the setting may have.
        """
        if isinstance(value, bool | str):
            return None
        low, high = self.extremes()
        if self.type == "categorical":
            share = 0.0 if value == low else 1.0 if value == high else 0.5
        else:
            share = math.log(value / low) / math.log(high / low) if self.log else (value - low) / (high - low)
        if share <= NEAR_END and low != limits[0]:
            return "low"
        return "high" if share >= 1 - NEAR_END and high != limits[1] else None

    def size(self) -> int | None:
        """How many values it can have; None for a range without steps."""
        if self.type == "categorical":
            return len(self.choices)
        if self.type == "float" and self.step is None:
            return None
        return round((self.high - self.low) / (self.step or 1)) + 1


def active(parameter: Parameter, values: Mapping[str, Category]) -> bool:
    """Whether a parameter counts under the values of those before it."""
    return all(name in values and values[name] in allowed for name, allowed in parameter.when.items())


def read_parameters(space: Mapping[str, Any]) -> dict[str, Parameter]:
    """The parameters of a Space.to_plain() by name; none of an empty one."""
    plain: Mapping[str, Mapping[str, Any]] = space.get("parameters", {})
    return {
        name: Parameter(
            **{
                **entry,
                "name": name,
                "line": 0,
                "choices": tuple(entry["choices"]),
                "when": {other: tuple(allowed) for other, allowed in entry["when"].items()},
            }
        )
        for name, entry in plain.items()
    }

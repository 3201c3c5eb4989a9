"""Fields of settings: a number with its range."""

from dataclasses import field
from typing import Any


def ranged(default: float, *, low: float | None = None, high: float | None = None, above: float | None = None) -> Any:
    """A numeric field with its range: low and high belong to it, above does not."""
    return field(default=default, metadata={"low": low, "high": high, "above": above})

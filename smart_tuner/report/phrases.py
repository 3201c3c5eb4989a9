"""Parts that the sentences of a report share: figures, spans of time, lists, one sentence after the other."""

import functools
import math
from collections.abc import Sequence
from typing import Any

from smart_tuner.report.catalogue import MISSING, Said, said
from smart_tuner.report.view import Line

NAMES_SHOWN = 8
LARGE = 10_000


def line(label: str, text: Said | str, link: str = "") -> Line:
    """A line with one of this topic's labels."""
    return Line(label=said(f"findings.label_{label}"), text=text, link=link)


def after(first: Said, *others: Said | None) -> Said:
    """Sentences one after the other, without those that are not there."""
    there = [one for one in others if one is not None]
    return functools.reduce(lambda before, one: said("findings.after", first=before, second=one), there, first)


def figure(value: float | None) -> str:
    """A measured number in four decimals; a large one in four digits."""
    if value is None or not math.isfinite(value):
        return MISSING
    return f"{value:.4f}" if abs(value) < LARGE else f"{value:.4g}"


def span(seconds: float) -> Said:
    """A length of time in a fitting unit."""
    if seconds < 60:
        return said("findings.seconds", count=seconds)
    return (
        said("findings.minutes", count=seconds / 60) if seconds < 3600 else said("findings.hours", count=seconds / 3600)
    )


def listed(names: Sequence[Any], most: int = NAMES_SHOWN) -> list[Any]:
    """The first of many, and how many are left out."""
    if len(names) <= most:
        return list(names)
    return [*names[:most], said("findings.more", count=len(names) - most)]

"""Sentences that are not in a language yet: the English text is in the code, and is the key of its translation."""

import functools
import math
from collections.abc import Mapping, Sequence
from typing import Any

MISSING = "–"
"""What stands for a number that was not measured."""
NAMES_SHOWN = 8
LARGE = 10_000


class Message:
    """An English text with facts in braces, as {name} or {value:.4f}; a Catalogue says it in a language.

    A fact that is a Message itself, or a list of them, is said in the same language. A text may name attributes of a
    fact, as {gain.early:.4f}.
    """

    def __init__(self, text: str, /, **facts: Any) -> None:
        self.text = text
        self.facts: Mapping[str, Any] = facts

    def fill(self, **facts: Any) -> "Message":
        """The same text with more facts: tables hold texts whose facts are known later."""
        return Message(self.text, **{**self.facts, **facts})

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Message) and (self.text, self.facts) == (other.text, other.facts)

    def __repr__(self) -> str:
        return f"Message({self.text!r}, **{dict(self.facts)!r})"


def join_sentences(*sentences: Message | None) -> Message:
    """Sentences one after the other, without those that are not there; at least one is."""
    there = [sentence for sentence in sentences if sentence is not None]
    return functools.reduce(lambda before, after: Message("{first} {second}", first=before, second=after), there)


def label_chart(title: Message, summary: Message) -> Message:
    """What a screen reader says in place of a drawing."""
    return Message("{title}. {summary}", title=title, summary=summary)


def shorten_list(names: Sequence[Any], most: int = NAMES_SHOWN) -> list[Any]:
    """The first of many, and how many are left out."""
    if len(names) <= most:
        return list(names)
    return [*names[:most], Message("and {count} more", count=len(names) - most)]


def describe_span(seconds: float) -> Message:
    if seconds < 60:
        return Message("{count:.0f} s", count=seconds)
    if seconds < 3600:
        return Message("{count:.0f} min", count=seconds / 60)
    return Message("{count:.1f} h", count=seconds / 3600)


def format_metric(value: float | None) -> str:
    """A measured number in four decimals; a large one in four digits."""
    if value is None or not math.isfinite(value):
        return MISSING
    return f"{value:.4f}" if abs(value) < LARGE else f"{value:.4g}"

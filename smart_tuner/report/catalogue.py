"""Every sentence of a report in every language: a key and its numbers become text."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any, Literal

from smart_tuner import documents

Language = Literal["en", "ru"]
LANGUAGES: tuple[Language, ...] = ("en", "ru")
MISSING = "–"
"""What stands for a number that was not measured."""


@dataclass(frozen=True)
class Said:
    """A sentence that is not in a language yet."""

    key: str
    facts: Mapping[str, Any] = field(default_factory=dict)
    """Numbers and names in it; a Said, or a list of them, is said in the same language."""


def said(key: str, **facts: Any) -> Said:
    """A sentence by its key in strings/*.yaml, with what its braces name."""
    return Said(key, facts)


@cache
def strings() -> dict[str, dict[str, str]]:
    """All sentences: by key, by language."""
    found: dict[str, dict[str, str]] = {}
    for file in sorted(files("smart_tuner.report").joinpath("strings").iterdir(), key=lambda one: one.name):
        if file.name.endswith(".yaml"):
            found |= documents.value(file.read_text(encoding="utf-8"))
    return found


class Catalogue:
    """The sentences of one language."""

    def __init__(self, language: Language) -> None:
        self.language = language

    def __call__(self, sentence: Said | str) -> str:
        """The text of a sentence; a text stays what it is. Raises KeyError for a key or fact that is not there."""
        if isinstance(sentence, str):
            return sentence
        facts = {name: self._fact(value) for name, value in sentence.facts.items()}
        return strings()[sentence.key][self.language].format(**facts)

    def _fact(self, value: Any) -> Any:
        if isinstance(value, Said):
            return self(value)
        if isinstance(value, list | tuple):
            return ", ".join(str(self._fact(one)) for one in value)
        return value

"""Says messages in a language. English stands in the code; ru.yaml has the Russian text beside each English one."""

import re
from functools import cache
from importlib.resources import files
from typing import Any, Literal

from smart_tuner.report.message import Message
from smart_tuner.settings import yaml_file

Language = Literal["en", "ru"]
LANGUAGES: tuple[Language, ...] = ("en", "ru")


@cache
def load_russian() -> dict[str, str]:
    """Russian texts by English ones."""
    text = files("smart_tuner.report").joinpath("ru.yaml").read_text(encoding="utf-8")
    parts: dict[str, dict[str, str]] = yaml_file.parse_value(text)
    return {english: russian for part in parts.values() for english, russian in part.items()}


def has_words(text: str) -> bool:
    """Whether there is anything to translate beside facts and signs, as there is not in "{name} ({value:.4f})"."""
    return re.search(r"[^\W\d_]", re.sub(r"\{[^{}]*\}", "", text)) is not None


class Catalogue:
    """The sentences of one language."""

    def __init__(self, language: Language) -> None:
        self.language = language

    def __call__(self, message: Message | str) -> str:
        """The text of a message; a text stays what it is. Raises KeyError for a translation or fact that is missing."""
        if isinstance(message, str):
            return message
        is_russian = self.language == "ru" and has_words(message.text)
        text = load_russian()[message.text] if is_russian else message.text
        return text.format(**{name: self._say_fact(value) for name, value in message.facts.items()})

    def _say_fact(self, value: Any) -> Any:
        if isinstance(value, Message):
            return self(value)
        if isinstance(value, list | tuple):
            return ", ".join(str(self._say_fact(item)) for item in value)
        return value

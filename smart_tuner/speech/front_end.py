"""The front end: from a text as written to what the model reads, the same in training and in synthesis."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Literal, cast

from smart_tuner.errors import SettingsError
from smart_tuner.settings.speech import Speech
from smart_tuner.speech import phonemes, stress
from smart_tuner.speech.symbols import LETTERS, SymbolTable
from smart_tuner.speech.text import normalise


@dataclass(frozen=True)
class FrontEnd:
    """How texts of one language are read. Equal front ends read a text alike."""

    language: Literal["en", "ru"]
    kind: Literal["letters", "phonemes"] = "letters"
    """speech.front_end."""
    stress: Literal["written", "predicted"] = "written"
    """speech.stress."""

    def __post_init__(self) -> None:
        if self.stress == "predicted" and self.language != "ru":
            raise SettingsError(
                f"speech.stress=predicted is for Russian texts; received the language {self.language}. Use "
                "speech.stress=written."
            )

    @classmethod
    def of(cls, speech: Speech, language: str) -> "FrontEnd":
        """What the settings ask for, for texts of a language: en or ru. Raises SettingsError."""
        return cls(_language(language), speech.front_end, speech.stress)

    @classmethod
    def from_described(cls, described: Mapping[str, str]) -> "FrontEnd":
        """The front end that a checkpoint names. Raises SettingsError when this program has no such front end."""
        expected = {"language": tuple(LETTERS), "kind": ("letters", "phonemes"), "stress": ("written", "predicted")}
        for name, known in expected.items():
            if described.get(name) not in known:
                raise SettingsError(
                    f"A front end's {name} is one of {', '.join(known)}; the checkpoint says {described.get(name)!r}."
                )
        return cls(**{name: described[name] for name in expected})  # type: ignore[arg-type]

    def described(self) -> dict[str, str]:
        """What a checkpoint keeps of it: plain texts that from_described reads back."""
        return asdict(self)

    @property
    def symbols(self) -> SymbolTable:
        """The table of all that it may write; the same for every corpus."""
        return phonemes.phoneme_table(self.language) if self.kind == "phonemes" else SymbolTable.of(self.language)

    def read(self, text: str) -> str:
        """A text as it is read aloud, in the table's symbols as far as these can write it. Raises SettingsError."""
        return self.read_all([text])[0]

    def read_all(self, texts: Iterable[str]) -> list[str]:
        """Many texts at once; a text that occurs again is read once.

        Raises SettingsError, with what to install, when the package for phonemes or stress is not there.
        """
        given = list(texts)
        different = list(dict.fromkeys(given))
        spoken = [normalise(text, self.language) for text in different]
        if self.stress == "predicted":
            spoken = stress.predict(spoken)
        if self.kind == "phonemes":
            spoken = phonemes.spell(spoken, self.language)
        read = dict(zip(different, spoken, strict=True))
        return [read[text] for text in given]


def _language(language: str) -> Literal["en", "ru"]:
    if language not in LETTERS:
        raise SettingsError(f"A front end is for one of {', '.join(LETTERS)}; received {language!r}.")
    return cast(Literal["en", "ru"], language)

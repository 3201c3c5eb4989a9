"""Texts as phonemes: espeak-ng's International Phonetic Alphabet, with the punctuation of the text left in place."""

import ctypes
import re
from collections.abc import Callable, Sequence

from smart_tuner.errors import SettingsError
from smart_tuner.speech import espeak
from smart_tuner.speech.symbols import END, PAD, PUNCTUATION, SymbolTable

VOICES = {"en": "en-us", "ru": "ru"}
IPA = {
    "en": "abcdefghijklmnopqrstuvwxyzæçðŋɐɑɒɔəɚɛɜɡɪɬɹɾʃʊʌʍʒʔʲˈˌːθᵻ̩̃",
    "ru": "abcdefghijklmnopqrstuvwxyzæŋɐɑɔəɕɛɡɨɪɭɲɵʃʊʌʐʑʒʲˈˌː",
}
"""Signs that espeak-ng writes for a language, a few rare ones included; each is a symbol."""
STRAY = str.maketrans("", "", '"^\u200d')
"""Marks of espeak-ng's Russian voice that look like punctuation."""
IPA_MODE = 2
"""espeak-ng's constant: write IPA."""
WORDS = {"en": re.compile(r"[a-z]+(?:[ '-][a-z]+)*'?"), "ru": re.compile(r"[а-яё+]+(?:[ -][а-яё+]+)*")}
"""What is pronounced together: words without punctuation between them."""
LETTER_A = re.compile(
    r"(?<=(?<![\w'])[b-hj-z] )a\b|(?<=(?<![\w'])[b-z] i )a\b|(?<![\w'-])a(?= [dim]\b(?![-']| [b-hj-z]\b))"
)
"""An English a that is spelled, told by its neighbours: u s a, c i a, a m; but a d v d has the article."""
VOWELS = re.compile("[aɑeɛiɪoɔɵuʊyɨʌɐəæ]")
FULL = dict(zip("аеёиоуыэюя", "ɑeɵiouyɛuɑ", strict=True))
REDUCED = dict(zip("аеёиоуыэюя", "ʌiɵiʌuyɪuʌ", strict=True))
"""Russian vowel letters as espeak-ng writes them under stress and without."""


def phoneme_table(language: str) -> SymbolTable:
    """The fixed table of a language's phonemes, laid out as that of its letters."""
    return SymbolTable((PAD, END, *PUNCTUATION, *IPA[language]))


def spell(texts: Sequence[str], language: str) -> list[str]:
    """Normalised texts as phonemes; Russian stress marks decide over espeak-ng's own guess.

    Letters of another script stay, and are unknown to the table. Raises SettingsError without espeakng-loader.
    """
    if not espeak.is_installed():
        raise SettingsError(
            "speech.front_end=phonemes needs the package espeakng-loader (pip install espeakng-loader); "
            "or set speech.front_end=letters."
        )
    if language == "en":
        texts = [LETTER_A.sub("eh", text) for text in texts]  # so espeak-ng says the letter, not the article
    with espeak.start_espeak(VOICES[language]) as (library, _):

        def heard(words: str) -> str:
            return _phonemes(library, words)

        return [WORDS[language].sub(lambda found: _spoken(heard, found[0]), text) for text in texts]


def _spoken(heard: Callable[[str], str], words: str) -> str:
    """Words that are pronounced together, so that unstressed ones lean on their neighbours."""
    bare = words.replace("+", "")
    together = heard(bare)
    if "+" not in words:
        return together
    written, spoken = words.split(), together.split()
    if len(written) != len(spoken):  # espeak-ng joined some
        spoken = [heard(word) for word in bare.split()]
    marked = zip(spoken, written, strict=True)
    return " ".join(move_stress(ipa, word) if "+" in word else ipa for ipa, word in marked)


def move_stress(ipa: str, word: str) -> str:
    """The phonemes of a Russian word with the stress where its pluses say, vowels full and reduced accordingly.

    Of several marks, as in compounds, the last is the primary stress and the others are secondary.
    """
    letters = [letter for letter in word if letter in FULL]
    plain = list(ipa.replace("ˈ", "").replace("ˌ", ""))
    sounds = [found.start() for found in VOWELS.finditer("".join(plain))]
    *secondary, primary = [
        sum(letter in FULL for letter in word[: found.start()]) for found in re.finditer(r"\+", word)
    ]
    guessed = len(VOWELS.findall(ipa[: ipa.index("ˈ")])) if "ˈ" in ipa else None
    if len(letters) != len(sounds) or primary == len(letters) or (guessed == primary and not secondary):
        return ipa
    if guessed is not None and guessed not in (*secondary, primary):
        plain[sounds[guessed]] = REDUCED[letters[guessed]]
    for vowel in (*secondary, primary):
        sound = plain[sounds[vowel]] if vowel == guessed else FULL[letters[vowel]]
        plain[sounds[vowel]] = ("ˈ" if vowel == primary else "ˌ") + sound
    return "".join(plain)


def _phonemes(library: ctypes.CDLL, words: str) -> str:
    translate = library.espeak_TextToPhonemes
    translate.restype = ctypes.c_char_p
    translate.argtypes = [ctypes.POINTER(ctypes.c_char_p), ctypes.c_int, ctypes.c_int]
    rest = ctypes.c_char_p(words.encode())
    clauses = []
    while rest.value:
        clauses.append(translate(ctypes.byref(rest), espeak.UTF8, IPA_MODE).decode())
    return " ".join(clauses).translate(STRAY)

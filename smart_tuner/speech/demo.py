"""The demo corpus: sentences of our own, spoken by espeak-ng, as an ordinary LJSpeech folder, built once."""

import ctypes
import json
import shutil
import zlib
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from smart_tuner.errors import CorpusError, StorageError
from smart_tuner.progress import Report
from smart_tuner.sealed import DamagedError, seal, unseal
from smart_tuner.speech import espeak
from smart_tuner.speech.audio import write_wav

RATE = 1
"""espeak-ng's constant: the parameter that sets words a minute."""
WORDS_A_MINUTE = 160
CHECKSUMS = "checksums.json"
"""Beside the corpus: the CRC-32 of each of its files."""


def read_sentences(language: str) -> list[str]:
    """The demo's text, one sentence an utterance."""
    return (resources.files("smart_tuner.speech") / f"demo_{language}.txt").read_text(encoding="utf-8").splitlines()


def build(root: Path, language: str, report: Report) -> Path:
    """The folder of the demo corpus, made if it is not there as it was written.

    Raises CorpusError without espeakng-loader.
    """
    folder = root / f"demo-{language}"
    try:
        root.mkdir(parents=True, exist_ok=True)
        with FileLock(root / f".demo-{language}.lock"):
            if not _is_whole(folder):
                _require_espeak()
                _speak_all(folder, language, report)
    except OSError as problem:
        raise StorageError(f"The demo corpus {folder} cannot be written: {problem.strerror or problem}.") from problem
    return folder


def _speak_all(folder: Path, language: str, report: Report) -> None:
    part, texts = folder.with_suffix(".part"), read_sentences(language)
    shutil.rmtree(part, ignore_errors=True)
    (part / "wavs").mkdir(parents=True)
    rows = []
    for number, (text, (samples, rate)) in enumerate(zip(texts, _speak(texts, language), strict=True), start=1):
        name = f"demo-{language}-{number:04d}"
        write_wav(part / "wavs" / f"{name}.wav", samples, rate)
        rows.append(f"{name}|{text}|{text}\n")
        report(number, len(texts))
    (part / "metadata.csv").write_text("".join(rows), encoding="utf-8")
    (part / CHECKSUMS).write_bytes(seal(json.dumps(_checksums(part), indent=0).encode()))
    shutil.rmtree(folder, ignore_errors=True)  # damaged
    part.replace(folder)


def _checksums(folder: Path) -> dict[str, int]:
    """The CRC-32 of each file of the corpus by its path in the folder."""
    files = [*sorted(folder.glob("wavs/*.wav")), folder / "metadata.csv"]
    return {file.relative_to(folder).as_posix(): zlib.crc32(file.read_bytes()) for file in files}


def _is_whole(folder: Path) -> bool:
    try:
        expected = json.loads(unseal((folder / CHECKSUMS).read_bytes()))
        return bool(expected == _checksums(folder))
    except (FileNotFoundError, DamagedError):
        return False  # one from an earlier version, too


def _require_espeak() -> None:
    if not espeak.is_installed():
        raise CorpusError(
            "The demo corpus needs the package espeakng-loader (pip install espeakng-loader); "
            "or name a corpus of your own with --data."
        )


def _speak(texts: list[str], language: str) -> Iterator[tuple[NDArray[np.int16], int]]:
    """Samples and sample rate of each text."""
    heard: list[NDArray[np.int16]] = []

    @ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)  # type: ignore[untyped-decorator]
    def collect(samples: "ctypes._Pointer[ctypes.c_short]", count: int, _: int | None) -> int:
        if count > 0:
            heard.append(np.ctypeslib.as_array(samples, (count,)).copy())
        return 0

    with espeak.start_espeak(language) as (library, rate):
        library.espeak_SetSynthCallback(collect)
        library.espeak_SetParameter(RATE, WORDS_A_MINUTE, 0)
        for text in texts:
            heard.clear()
            encoded = text.encode()
            failed = library.espeak_Synth(encoded, ctypes.c_size_t(len(encoded) + 1), 0, 0, 0, espeak.UTF8, None, None)
            if failed or not heard:
                raise CorpusError(f"espeak-ng could not speak {text!r} (code {failed}).")
            yield np.concatenate(heard), rate

"""--mode synth: a voice says texts, as sound files, with plots of its attention and what went wrong on each."""

import json
import math
import re
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from smart_tuner.console import Console
from smart_tuner.errors import CheckpointError, SettingsError, StorageError
from smart_tuner.figures import plots
from smart_tuner.recognition import Recogniser, file_of
from smart_tuner.request import require_device, require_writable
from smart_tuner.speech import audio, vocoder
from smart_tuner.speech.vocoder import Vocoder
from smart_tuner.study import reading
from smart_tuner.study.conclusions import best_trial, name
from smart_tuner.synthesis import Line, Said, Voice
from smart_tuner.trainer import choose_device

SENTENCES, RECOGNISERS = "sentences.jsonl", "recognisers"
SEED = 1
"""Of the prenet's dropout: the same text by the same voice always sounds the same."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What the command line asks for."""

    checkpoint: Path | None
    study: str | None
    storage: str
    texts: tuple[str, ...]
    text_file: Path | None
    output: Path
    vocoder: Path | None
    reference: Path | None
    style: str | None
    seed: int | None
    device: str

    def __post_init__(self) -> None:
        if (self.checkpoint is None) == (self.study is None):
            raise SettingsError("--mode synth takes its voice from --checkpoint or from --study; give one of them.")
        if bool(self.texts) == (self.text_file is not None):
            raise SettingsError("--mode synth says what --text or --text-file gives; give one of them.")
        if self.reference is not None and self.style is not None:
            raise SettingsError("--reference and --style both say how a voice shall sound; give one of them.")
        if self.seed is not None and not 0 <= self.seed <= 2**62:
            raise SettingsError(f"--seed must be from 0 to {2**62}; received {self.seed}.")
        require_device(self.device)


def run(asked: Asked, console: Console) -> int:
    """Say the texts. The exit code: 0 also when the attention failed on some, for that is what is told.

    Raises UserError: before anything is written, but for a vocoder that fails on speech, and a disk that is full.
    """
    texts, weights = wanted_texts(asked), style_weights(asked.style)
    file = checkpoint_of(asked)
    voice = Voice.load(file, choose_device(asked.device))
    style = style_of(asked, voice, weights)
    lines = voice.lines(texts)
    speak = vocoder.load(asked.vocoder, voice.settings.speech, voice.device)
    require_writable(asked.output)
    announce(asked, file, voice, lines, console)
    earlier = forget_earlier(asked.output)
    seed = SEED if asked.seed is None else asked.seed
    said = []
    try:
        for number, line in enumerate(lines, start=1):
            one = voice.say(line, seed, style)
            said.append(one)
            keep(one, number, voice, speak, asked.output)
            console.say(f"{number:03d}", sentence(one, voice), "yellow" if one.faults else "green")
    except KeyboardInterrupt:
        console.error(f"Interrupted; what was said before is in {asked.output}.")
        return 130
    conclude(said, voice, file, asked, console)
    remove_earlier(earlier, len(said))
    return 0


# what to say, and in which voice


def wanted_texts(asked: Asked) -> list[str]:
    """The texts to say: those given, or the lines of the file that hold something. Raises SettingsError."""
    if asked.text_file is None:
        return list(asked.texts)
    try:
        lines = asked.text_file.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as problem:
        raise SettingsError(f"--text-file: {asked.text_file} cannot be read as UTF-8 text: {problem}.") from problem
    texts = [line.strip() for line in lines if line.strip()]
    if not texts:
        raise SettingsError(f"--text-file: {asked.text_file} holds no text.")
    return texts


def style_weights(text: str | None) -> dict[int, float]:
    """Weights by style token. Raises SettingsError."""
    weights = {}
    for part in text.split(",") if text is not None else []:
        token, _, weight = part.partition(":")
        if not re.fullmatch(r"\s*\d+\s*", token) or not is_number(weight) or int(token) in weights:
            raise SettingsError(
                f"--style takes style tokens, each once, with their weights, such as 3:0.7,5:0.3; received {text!r}."
            )
        weights[int(token)] = float(weight)
    return weights


def is_number(text: str) -> bool:
    """Whether a text is a finite number."""
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def checkpoint_of(asked: Asked) -> Path:
    """The file of the voice. Raises StorageError for a study without one."""
    if asked.checkpoint is not None:
        return asked.checkpoint
    assert asked.study is not None  # one of the two is given
    facts = reading.read(asked.storage, asked.study)
    best = best_trial(facts.results, facts.objectives[0][1])
    number = facts.winner if facts.winner is not None else best.number if best is not None else None
    if number is None:
        raise StorageError(
            f"Study {asked.study!r} has no trial that ended healthy yet; --checkpoint takes the best.pt of any trial."
        )
    file = Path(facts.folder) / name(number) / "best.pt"
    if not file.is_file():
        raise StorageError(f"The voice of study {asked.study!r}, {file}, is not there (any more).")
    return file


def style_of(asked: Asked, voice: Voice, weights: dict[int, float]) -> Tensor | None:
    """The style that was asked for; None: as the text predicts it."""
    if asked.reference is not None:
        return voice.style_of_recording(asked.reference)
    return voice.style_of_tokens(weights) if weights else None


def announce(asked: Asked, file: Path, voice: Voice, lines: Sequence[Line], console: Console) -> None:
    """Who is about to speak, how its mels become sound, and which texts are longer than any it has learnt from."""
    front_end = voice.front_end
    r = voice.model.reduction_factor
    about = f"{file}: iteration {voice.iteration}, r = {r}, {front_end.language}, {front_end.kind}, on {voice.device}"
    console.say("Voice", about)
    console.say("Vocoder", str(asked.vocoder) if asked.vocoder else "Griffin-Lim: to be understood, not to be enjoyed")
    long = [f"{number:03d}" for number, line in enumerate(lines, start=1) if voice.is_longer_than_trained(line)]
    if long:
        trained = f"longer than any text it was trained on ({voice.longest} symbols): it may well fail there"
        console.say("Length", f"{', '.join(long)}: {trained}", "yellow")


# what was said


def forget_earlier(folder: Path) -> list[Path]:
    """Remove an earlier run's list, so that it stands beside no other sounds; which files it named. StorageError."""
    file = folder / SENTENCES
    try:
        content = file.read_text(encoding="utf-8", errors="replace") if file.is_file() else ""
        file.unlink(missing_ok=True)
    except OSError as problem:
        raise StorageError(f"{file} cannot be replaced: {problem}.") from problem
    return [folder / name for name in re.findall(r'^\{"file": "(\d{3,}\.wav)"', content, re.MULTILINE)]


def remove_earlier(earlier: Sequence[Path], said: int) -> None:
    """Remove an earlier run's sounds and plots beyond those that have just been replaced. Raises StorageError."""
    for sound in earlier:
        if int(sound.stem) > said:
            try:
                sound.unlink(missing_ok=True)
                sound.with_suffix(".png").unlink(missing_ok=True)
            except OSError as problem:
                raise StorageError(f"{sound} of an earlier run cannot be removed: {problem}.") from problem


def keep(said: Said, number: int, voice: Voice, speak: Vocoder, folder: Path) -> None:
    """Write a line's sound and plot, each complete or not at all. Raises StorageError."""
    rate = voice.settings.speech.sampling_rate
    samples = speak(said.mel_MF)
    write(folder / f"{number:03d}.wav", lambda path: audio.write_wav(path, samples, rate))
    symbols = ["end" if row == len(said.line.tokens) - 1 else symbol for row, symbol in enumerate(spelled(said, voice))]
    verdict = ", ".join(told(said.faults)) or "no fault"
    title = f"{textwrap.shorten(said.line.read_aloud, 90, placeholder=' …')}\n{said.seconds:.1f} s, {verdict}"
    picture = plots.png(plots.said(said.attention_TN, symbols, voice.step_seconds, title))
    write(folder / f"{number:03d}.png", lambda path: path.write_bytes(picture))


def spelled(said: Said, voice: Voice) -> list[str]:
    """The symbols of a line."""
    return [voice.symbols.symbols[row] for row in said.line.tokens]


def write(file: Path, fill: Callable[[Path], Any]) -> None:
    """Put a file in its place when it is complete. Raises StorageError when the disk does not take it."""
    half = file.with_name(f".half-{file.name}")  # its ending says what kind of file is written
    try:
        fill(half)
        half.replace(file)
    except (OSError, RuntimeError) as problem:  # RuntimeError: of the library that writes sound
        half.unlink(missing_ok=True)
        raise StorageError(f"{file} cannot be written: {problem}.") from problem


def told(faults: tuple[str, ...]) -> list[str]:
    """Faults in words."""
    return [fault.replace("_", " ") for fault in faults]


def sentence(said: Said, voice: Voice) -> str:
    """What the terminal shows of a line."""
    verdict = ", ".join(told(said.faults)) or "no fault"
    longer = "; longer than any text it was trained on" if voice.is_longer_than_trained(said.line) else ""
    return f"{said.seconds:.1f} s, {verdict}{longer}: {said.line.text}"


def conclude(said: list[Said], voice: Voice, file: Path, asked: Asked, console: Console) -> None:
    """How often it failed, how well it is understood, and where all that is."""
    failed = sum(bool(one.faults) for one in said)
    rate = f"failed on {failed} of {len(said)} texts (failure rate {failed / len(said):.0%})"
    console.say("Attention", rate, "yellow" if failed else "green")
    rows = [row(one, number, voice, asked) for number, one in enumerate(said, start=1)]
    recogniser, why_not = recogniser_of(voice, file)
    if recogniser is None:
        console.say("CER", f"not measured: {why_not}")
    else:
        for known, one, text in zip(rows, said, recogniser.transcribe([one.mel_MF for one in said]), strict=True):
            known |= {"transcript": text, "cer": error_rate(recogniser, [one])}
        recorded = f"{recogniser.cer_recorded:.1%} on the corpus's own recordings"
        rate = f"character error rate {error_rate(recogniser, said):.1%} by the corpus's recogniser ({recorded})"
        console.say("CER", rate)
    content = "".join(json.dumps(one, ensure_ascii=False) + "\n" for one in rows)
    write(asked.output / SENTENCES, lambda path: path.write_text(content, encoding="utf-8"))
    last = f" to {len(said):03d}" if len(said) > 1 else ""
    console.say("Files", f"{asked.output}/: 001{last}, each .wav and .png (its attention); {SENTENCES}")


def row(said: Said, number: int, voice: Voice, asked: Asked) -> dict[str, Any]:
    """A line of sentences.jsonl."""
    return {
        "file": f"{number:03d}.wav",
        "text": said.line.text,
        "read_aloud": said.line.read_aloud,
        "seconds": round(said.seconds, 3),
        "faults": list(said.faults),
        "longer_than_trained": voice.is_longer_than_trained(said.line),
        "seed": SEED if asked.seed is None else asked.seed,
        "style": asked.style if asked.reference is None else str(asked.reference),
    }


def recogniser_of(voice: Voice, file: Path) -> tuple[Recogniser | None, str]:
    """The recogniser that training on the voice's corpus left in the cache, or why there is none."""
    if voice.settings.tracking.recogniser_minutes == 0:
        return None, "the voice was trained with tracking.recogniser_minutes = 0"
    places = file.resolve().parents  # <output>/studies/<study>/<trial>/best.pt
    output = places[3] if len(places) > 3 and places[2].name == "studies" else Path("smart_tuner_files")
    kept = file_of(output / RECOGNISERS, voice.corpus, voice.settings, voice.symbols.symbols)
    if not kept.is_file():
        return (
            None,
            f"{kept.parent} has no recogniser of the voice's corpus; training leaves one there",
        )
    try:
        return Recogniser.load(kept), ""
    except CheckpointError as problem:
        return None, str(problem)


def error_rate(recogniser: Recogniser, said: Sequence[Said]) -> float:
    """Character error rate of what the recogniser hears."""
    return recogniser.error_rate([one.mel_MF for one in said], [one.line.tokens for one in said])

"""--mode synth: a voice says texts, as sound files, with plots of its attention and what went wrong on each."""

import json
import re
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from smart_tuner.cli.console import Console
from smart_tuner.cli.inputs import find_checkpoint, read_style, read_texts
from smart_tuner.cli.options import Options, make_folder
from smart_tuner.errors import CheckpointError, StorageError
from smart_tuner.evaluation.recogniser import Recogniser, recogniser_file
from smart_tuner.evaluation.voice import PreparedText, Synthesis, Voice
from smart_tuner.execution.slots import choose_device
from smart_tuner.figures import plots
from smart_tuner.paths import OutputFolder
from smart_tuner.speech import audio, vocoder
from smart_tuner.speech.doubts import describe_doubts
from smart_tuner.speech.vocoder import Vocoder

SENTENCES = "sentences.jsonl"
SEED = 1
"""Of the prenet's dropout: the same text by the same voice always sounds the same."""


def run_synth(options: Options, console: Console) -> int:
    """Say the texts. The exit code: 0 also when the attention failed on some, for that is what is told.

    Raises UserError: before anything is written, but for a vocoder that fails on speech, and a disk that is full.
    """
    texts, weights = read_texts(options), read_style(options.style)
    file = find_checkpoint(options)
    voice = Voice.load(file, choose_device(options.device))
    style = choose_style(options, voice, weights)
    prepared = voice.prepare(texts)
    speak = vocoder.load_vocoder(options.vocoder, voice.settings.speech, voice.device)
    folder = options.output
    make_folder(folder)
    announce_voice(options, file, voice, prepared, console)
    earlier = forget_earlier(folder)
    seed = SEED if options.seed is None else options.seed
    spoken = []
    try:
        for number, text in enumerate(prepared, start=1):
            synthesis = voice.speak(text, seed, style)
            spoken.append(synthesis)
            keep_speech(synthesis, number, voice, speak, folder)
            sentence = describe_speech(synthesis, voice)
            console.say(f"{number:03d}", sentence, "yellow" if synthesis.faults else "green")
    except KeyboardInterrupt:
        console.error(f"Interrupted; what was said before is in {folder}.")
        return 130
    summarise_speech(spoken, voice, file, options, folder, console)
    remove_earlier(earlier, len(spoken))
    return 0


def choose_style(options: Options, voice: Voice, weights: dict[int, float]) -> Tensor | None:
    """The style that was asked for; None: as the text predicts it."""
    if options.reference is not None:
        return voice.style_of_recording(options.reference)
    return voice.style_of_tokens(weights) if weights else None


def announce_voice(options: Options, file: Path, voice: Voice, texts: Sequence[PreparedText], console: Console) -> None:
    """Who is about to speak, how its mels become sound, and what it may fail at: long texts, and odd forms in them."""
    front_end = voice.front_end
    r = voice.model.reduction_factor
    about = f"{file}: iteration {voice.iteration}, r = {r}, {front_end.language}, {front_end.kind}, on {voice.device}"
    console.say("Voice", about)
    console.say(
        "Vocoder", str(options.vocoder) if options.vocoder else "Griffin-Lim: to be understood, not to be enjoyed"
    )
    long = [f"{number:03d}" for number, text in enumerate(texts, start=1) if voice.is_longer_than_trained(text)]
    if long:
        trained = f"longer than any text it was trained on ({voice.longest} symbols): it may well fail there"
        console.say("Length", f"{', '.join(long)}: {trained}", "yellow")
    for doubt in describe_doubts([(f"{n:03d}", text.text) for n, text in enumerate(texts, 1)], front_end.language):
        console.say("Unsure", doubt, "yellow")


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


def keep_speech(spoken: Synthesis, number: int, voice: Voice, speak: Vocoder, folder: Path) -> None:
    """Write a line's sound and plot, each complete or not at all. Raises StorageError."""
    rate = voice.settings.speech.sampling_rate
    samples = speak(spoken.mel_MF)
    write_whole(folder / f"{number:03d}.wav", lambda path: audio.write_wav(path, samples, rate))
    symbols = [
        "end" if row == len(spoken.text.tokens) - 1 else symbol for row, symbol in enumerate(spell_out(spoken, voice))
    ]
    verdict = ", ".join(name_faults(spoken.faults)) or "no fault"
    title = f"{textwrap.shorten(spoken.text.read_aloud, 90, placeholder=' …')}\n{spoken.seconds:.1f} s, {verdict}"
    picture = plots.encode_png(plots.plot_spoken_text(spoken.attention_TN, symbols, voice.step_seconds, title))
    write_whole(folder / f"{number:03d}.png", lambda path: path.write_bytes(picture))


def spell_out(spoken: Synthesis, voice: Voice) -> list[str]:
    """The symbols of a line."""
    return [voice.symbols.symbols[row] for row in spoken.text.tokens]


def write_whole(file: Path, fill: Callable[[Path], Any]) -> None:
    """Put a file in its place when it is complete. Raises StorageError when the disk does not take it."""
    half = file.with_name(f".half-{file.name}")  # its ending says what kind of file is written
    try:
        fill(half)
        half.replace(file)
    except (OSError, RuntimeError) as problem:  # RuntimeError: of the library that writes sound
        half.unlink(missing_ok=True)
        raise StorageError(f"{file} cannot be written: {problem}.") from problem


def name_faults(faults: tuple[str, ...]) -> list[str]:
    """Faults in words."""
    return [fault.replace("_", " ") for fault in faults]


def describe_speech(spoken: Synthesis, voice: Voice) -> str:
    """What the terminal shows of a line."""
    verdict = ", ".join(name_faults(spoken.faults)) or "no fault"
    longer = "; longer than any text it was trained on" if voice.is_longer_than_trained(spoken.text) else ""
    return f"{spoken.seconds:.1f} s, {verdict}{longer}: {spoken.text.text}"


def summarise_speech(
    spoken: list[Synthesis], voice: Voice, file: Path, options: Options, folder: Path, console: Console
) -> None:
    """How often it failed, how well it is understood, and where all that is."""
    failed = sum(bool(synthesis.faults) for synthesis in spoken)
    rate = f"failed on {failed} of {len(spoken)} texts (failure rate {failed / len(spoken):.0%})"
    console.say("Attention", rate, "yellow" if failed else "green")
    rows = [describe_row(synthesis, number, voice, options) for number, synthesis in enumerate(spoken, start=1)]
    recogniser, why_not = find_recogniser(voice, file)
    if recogniser is None:
        console.say("CER", f"not measured: {why_not}")
    else:
        transcripts = recogniser.transcribe([synthesis.mel_MF for synthesis in spoken])
        for row, synthesis, transcript in zip(rows, spoken, transcripts, strict=True):
            row |= {"transcript": transcript, "cer": error_rate(recogniser, [synthesis])}
        recorded = f"{recogniser.cer_recorded:.1%} on the corpus's own recordings"
        rate = f"character error rate {error_rate(recogniser, spoken):.1%} by the corpus's recogniser ({recorded})"
        console.say("CER", rate)
    content = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    write_whole(folder / SENTENCES, lambda path: path.write_text(content, encoding="utf-8"))
    last = f" to {len(spoken):03d}" if len(spoken) > 1 else ""
    console.say("Files", f"{folder}/: 001{last}, each .wav and .png (its attention); {SENTENCES}")


def describe_row(spoken: Synthesis, number: int, voice: Voice, options: Options) -> dict[str, Any]:
    """A line of sentences.jsonl."""
    return {
        "file": f"{number:03d}.wav",
        "text": spoken.text.text,
        "read_aloud": spoken.text.read_aloud,
        "seconds": round(spoken.seconds, 3),
        "faults": list(spoken.faults),
        "longer_than_trained": voice.is_longer_than_trained(spoken.text),
        "seed": SEED if options.seed is None else options.seed,
        "style": options.style if options.reference is None else str(options.reference),
    }


def find_recogniser(voice: Voice, file: Path) -> tuple[Recogniser | None, str]:
    """The recogniser that training on the voice's corpus left in the cache, or why there is none."""
    if voice.settings.tracking.recogniser_steps == 0:
        return None, "the voice was trained with tracking.recogniser_steps = 0"
    kept = recogniser_file(
        OutputFolder.of_checkpoint(file).recognisers, voice.corpus, voice.settings, voice.symbols.symbols
    )
    if not kept.is_file():
        return (
            None,
            f"{kept.parent} has no recogniser of the voice's corpus; training leaves one there",
        )
    try:
        recogniser = Recogniser.load(kept)
    except CheckpointError as problem:
        return None, str(problem)
    why_not = recogniser.no_judge
    return (None, f"the corpus's recogniser is no judge: {why_not}") if why_not else (recogniser, "")


def error_rate(recogniser: Recogniser, spoken: Sequence[Synthesis]) -> float:
    """Character error rate of what the recogniser hears."""
    return recogniser.error_rate([speech.mel_MF for speech in spoken], [speech.text.tokens for speech in spoken])

"""Held-out sentences said by the finalists in hidden order, all equally loud."""

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import PurePosixPath
from typing import Literal, cast

import numpy as np

from smart_tuner.report.evidence import Archive, Evidence, Run
from smart_tuner.report.finalists import Finalists
from smart_tuner.report.view import Clip, Sentence
from smart_tuner.speech import audio
from smart_tuner.speech.audio import Samples
from smart_tuner.speech.containers import AudioFileError

TakeKind = Literal["free-running", "teacher-forced", "target"]
NAME = re.compile(r"(\d+)-(free-running|teacher-forced|target)-(.+)\.wav")
"""As trials name their audio: iteration, kind, utterance."""
FOLDER = "audio"
MOST_SENTENCES = 4
LOUDNESS = 0.1
"""Root mean square of speech, without its pauses: -20 dB below full scale."""
PEAK = 0.97
PAUSE = 0.1
"""Parts that are 20 dB below the loudest are pauses."""


@dataclass(frozen=True, kw_only=True)
class Take:
    """One voice saying a sentence."""

    run: Run
    kind: TakeKind
    utterance: str
    step: int
    path: str
    """Among the run's artefacts."""


@dataclass(frozen=True, kw_only=True)
class Sound:
    """A take's samples."""

    take: Take
    samples: Samples
    rate: int
    """Hz."""


def compare_voices(finalists: Finalists, archive: Archive, evidence: Evidence) -> tuple[Sentence, ...]:
    """The same sentences by the finalists, those that most of them say first; order hidden, target open."""
    takes = [take for run in finalists.heard for take in list_latest(run, archive)]
    speakers = {
        name: [take for take in takes if take.utterance == name and take.kind == "free-running"]
        for name in dict.fromkeys(take.utterance for take in takes)
    }
    most = sorted(speakers, key=lambda name: (-len(speakers[name]), name))[:MOST_SENTENCES]
    sentences = []
    for name in most:
        targets = [take for take in takes if take.utterance == name and take.kind == "target"]
        sentences.append(make_sentence(name, shuffle_takes(speakers[name], evidence.name), targets[:1], archive))
    return tuple(sentence for sentence in sentences if sentence is not None)


def list_latest(run: Run, archive: Archive) -> list[Take]:
    """The last take of each kind and utterance that a run has as artefacts."""
    latest: dict[tuple[str, str], Take] = {}
    for path in archive.artefacts(run.run_id, FOLDER) if run.run_id is not None else []:
        parts = NAME.fullmatch(PurePosixPath(path).name)
        if parts is None:
            continue
        take = Take(run=run, kind=cast(TakeKind, parts[2]), utterance=parts[3], step=int(parts[1]), path=path)
        known = latest.get((take.kind, take.utterance))
        if known is None or take.step > known.step:
            latest[take.kind, take.utterance] = take
    return list(latest.values())


def shuffle_takes(takes: Sequence[Take], study: str) -> list[Take]:
    """In an order that tells nothing, another for each sentence and the same in each report of a study."""
    return sorted(takes, key=lambda take: sha256(f"{study}/{take.utterance}/{take.run.name}".encode()).digest())


def make_sentence(name: str, takes: Sequence[Take], targets: Sequence[Take], archive: Archive) -> Sentence | None:
    """A sentence with its clips, equally loud; None when no free-running clip can be read."""
    voices = [sound for take in takes if (sound := read_take(take, archive)) is not None]
    references = [sound for take in targets if (sound := read_take(take, archive)) is not None]
    if not voices:
        return None
    loudness = find_common_loudness([*voices, *references])
    clips = tuple(make_clip(sound, chr(ord("A") + place), loudness) for place, sound in enumerate(voices))
    return Sentence(title=name, clips=clips, target=make_clip(references[0], "", loudness) if references else None)


def read_take(take: Take, archive: Archive) -> Sound | None:
    """A take's samples; None when its file is gone or holds no sound."""
    file = archive.artefact(take.run.run_id, take.path) if take.run.run_id is not None else None
    if file is None:
        return None
    try:
        samples, rate, _ = audio.read_audio(file)
    except AudioFileError:
        return None
    return Sound(take=take, samples=samples, rate=rate) if measure_loudness(samples, rate) else None


def measure_loudness(samples: Samples, rate: int) -> float:
    """Root mean square of the parts that are no pauses; 0 for silence."""
    width = max(1, rate // 20)  # parts of 50 ms
    padded = np.pad(samples.astype(np.float64), (0, -len(samples) % width))
    power = (padded.reshape(-1, width) ** 2).mean(axis=1)
    loudest = power.max(initial=0.0)
    return float(np.sqrt(power[power >= loudest * PAUSE**2].mean())) if loudest > 0 else 0.0


def find_common_loudness(sounds: Sequence[Sound]) -> float:
    """What all can be brought to without clipping: the usual loudness, or less when one has high peaks."""
    room = [PEAK * measure_loudness(sound.samples, sound.rate) / float(np.abs(sound.samples).max()) for sound in sounds]
    return min(LOUDNESS, *room)


def make_clip(sound: Sound, letter: str, loudness: float) -> Clip:
    samples = sound.samples * np.float32(loudness / measure_loudness(sound.samples, sound.rate))
    kind, content = audio.encode_audio(samples, sound.rate)
    uri = f"data:{kind};base64,{base64.b64encode(content).decode()}"
    return Clip(letter=letter, uri=uri, who=sound.take.run.name, link=sound.take.run.link)

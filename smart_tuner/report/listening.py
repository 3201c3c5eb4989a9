"""Held-out sentences said by the finalists in hidden order, all equally loud."""

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import PurePosixPath
from typing import Literal, cast

import numpy as np
from numpy.typing import NDArray

from smart_tuner.report.evidence import Archive, Evidence, Run
from smart_tuner.report.finalists import Finalists
from smart_tuner.report.view import Clip, Sentence
from smart_tuner.speech import audio

Kind = Literal["free-running", "teacher-forced", "target"]
NAME = re.compile(r"(\d+)-(free-running|teacher-forced|target)-(.+)\.wav")
"""As trials name their audio: iteration, kind, utterance."""
FOLDER = "audio"
MOST_SENTENCES = 4
LOUDNESS = 0.1
"""Root mean square of speech, without its pauses: -20 dB below full scale."""
PEAK = 0.97
PAUSE = 0.1
"""Parts that are 20 dB below the loudest are pauses."""

Samples = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Take:
    """One voice saying a sentence."""

    run: Run
    kind: Kind
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


def listening(finalists: Finalists, archive: Archive, evidence: Evidence) -> tuple[Sentence, ...]:
    """The same sentences by the finalists, those that most of them say first; order hidden, target open."""
    takes = [take for run in finalists.heard for take in latest(run, archive)]
    speakers = {
        name: [one for one in takes if one.utterance == name and one.kind == "free-running"]
        for name in dict.fromkeys(one.utterance for one in takes)
    }
    most = sorted(speakers, key=lambda name: (-len(speakers[name]), name))[:MOST_SENTENCES]
    found = []
    for name in most:
        targets = [one for one in takes if one.utterance == name and one.kind == "target"]
        found.append(sentence(name, shuffled(speakers[name], evidence.name), targets[:1], archive))
    return tuple(one for one in found if one is not None)


def latest(run: Run, archive: Archive) -> list[Take]:
    """The last take of each kind and utterance that a run has as artefacts."""
    found: dict[tuple[str, str], Take] = {}
    for path in archive.artefacts(run.run_id, FOLDER) if run.run_id is not None else []:
        parts = NAME.fullmatch(PurePosixPath(path).name)
        if parts is not None:
            step, kind, utterance = int(parts[1]), cast(Kind, parts[2]), parts[3]
            known = found.get((kind, utterance))
            if known is None or step > known.step:
                found[kind, utterance] = Take(run=run, kind=kind, utterance=utterance, step=step, path=path)
    return list(found.values())


def shuffled(takes: Sequence[Take], study: str) -> list[Take]:
    """In an order that tells nothing, another for each sentence and the same in each report of a study."""
    return sorted(takes, key=lambda take: sha256(f"{study}/{take.utterance}/{take.run.name}".encode()).digest())


def sentence(name: str, takes: Sequence[Take], targets: Sequence[Take], archive: Archive) -> Sentence | None:
    """A sentence with its clips, equally loud; None when no free-running clip can be read."""
    voices = [sound for take in takes if (sound := heard(take, archive)) is not None]
    references = [sound for take in targets if (sound := heard(take, archive)) is not None]
    if not voices:
        return None
    level = common_loudness([*voices, *references])
    clips = tuple(clip(sound, chr(ord("A") + place), level) for place, sound in enumerate(voices))
    return Sentence(title=name, clips=clips, target=clip(references[0], "", level) if references else None)


def heard(take: Take, archive: Archive) -> Sound | None:
    """A take's samples; None when its file is gone or holds no sound."""
    file = archive.artefact(take.run.run_id, take.path) if take.run.run_id is not None else None
    if file is None:
        return None
    try:
        samples, rate, _ = audio.read(file)
    except audio.AudioFileError:
        return None
    return Sound(take=take, samples=samples, rate=rate) if loudness(samples, rate) else None


def loudness(samples: Samples, rate: int) -> float:
    """Root mean square of the parts that are no pauses; 0 for silence."""
    width = max(1, rate // 20)
    padded = np.pad(samples.astype(np.float64), (0, -len(samples) % width))
    power = (padded.reshape(-1, width) ** 2).mean(axis=1)
    loudest = power.max(initial=0.0)
    return float(np.sqrt(power[power >= loudest * PAUSE**2].mean())) if loudest > 0 else 0.0


def common_loudness(sounds: Sequence[Sound]) -> float:
    """What all can be brought to without clipping: the usual loudness, or less when one has high peaks."""
    room = [PEAK * loudness(one.samples, one.rate) / float(np.abs(one.samples).max()) for one in sounds]
    return min(LOUDNESS, *room)


def clip(sound: Sound, letter: str, level: float) -> Clip:
    """A take for the page, brought to a loudness."""
    samples = sound.samples * np.float32(level / loudness(sound.samples, sound.rate))
    kind, content = audio.encoded(samples, sound.rate)
    uri = f"data:{kind};base64,{base64.b64encode(content).decode()}"
    return Clip(letter=letter, uri=uri, who=sound.take.run.name, link=sound.take.run.link)

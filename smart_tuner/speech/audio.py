"""Audio files to mel spectrograms and back. The only file that imports librosa and soundfile.

The mels are those that public Tacotron 2 and HiFi-GAN models use: magnitude spectrogram, Slaney mel filters, natural
logarithm with a floor of 1e-5.
"""

import functools
import hashlib
import io
from dataclasses import dataclass
from pathlib import Path

import librosa
import numpy as np
import soundfile
from numpy.typing import NDArray

from smart_tuner.settings.speech import Speech

MEL_VERSION = 1
"""Raise it when the same settings come to give other mels or facts: caches made before are then left alone."""
FLOOR = 1e-5
CLIPPED = 0.999
"""Amplitude from which a sample counts as clipped."""
MP3_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)
WAV_EXTENSIONS = (".wav", ".flac", ".ogg", ".mp3")

Samples = NDArray[np.float32]


class AudioFileError(Exception):
    """A file that holds no usable audio; the text says what is wrong with it, without its name."""


@dataclass(frozen=True, kw_only=True)
class AudioFacts:
    """What one pass over an audio file found."""

    sha256: str
    seconds: float
    """Length as stored."""
    frames: int
    """Mel frames after trimming and resampling."""
    sample_rate: int
    channels: int
    edge_silence: float
    """The longer of the silences at the two ends, seconds."""
    peak: float
    clipped: float
    """Share of samples at full scale."""


def read_audio(path: Path) -> tuple[Samples, int, int]:
    """Mono samples in -1..1, sample rate and number of channels. Raises AudioFileError."""
    if path.stat().st_size == 0:
        raise AudioFileError("empty file")
    try:
        with soundfile.SoundFile(path) as file:
            samples = file.read(file.frames, dtype="float32", always_2d=True)
            rate, promised = file.samplerate, max(file.frames, _promised_frames(path))
    except soundfile.LibsndfileError as problem:
        raise AudioFileError(f"not audio ({problem.error_string.rstrip('.')})") from problem
    except (TypeError, ValueError) as problem:  # bare samples, or a coding without lengths
        raise AudioFileError(f"not audio ({str(problem).rstrip('.')})") from problem
    if len(samples) < promised:
        raise AudioFileError(f"truncated: {len(samples)} of {promised} samples")
    if not np.isfinite(samples).all():
        raise AudioFileError("holds samples that are not numbers")
    return samples.mean(axis=1), rate, samples.shape[1]


def _promised_frames(path: Path) -> int:
    """Samples that a RIFF header promises (libsndfile silently gives what is there); 0 for other formats."""
    with path.open("rb") as file:
        head = file.read(12)
        if head[:4] != b"RIFF" or head[8:] != b"WAVE":
            return 0
        block_align = 1
        while len(chunk := file.read(8)) == 8:
            size = int.from_bytes(chunk[4:], "little")
            if chunk[:4] == b"fmt ":
                block_align = max(1, int.from_bytes(file.read(size)[12:14], "little"))
            elif chunk[:4] == b"data":
                streamed = size in (0, 0xFFFFFFFF)  # written by a program that did not know the length
                return 0 if streamed else size // block_align
            else:
                file.seek(size + size % 2, 1)
    return 0


def analyse(path: Path, speech: Speech) -> tuple[NDArray[np.float32], AudioFacts]:
    """Log-mel spectrogram (M, F) of a file, trimmed and resampled, and what was found. Raises AudioFileError."""
    samples, rate, channels = read_audio(path)
    if not len(samples) or not np.abs(samples).max():
        raise AudioFileError("holds only silence" if len(samples) else "holds no samples")
    width, hop = max(4, rate // 50), max(1, rate // 200)  # 20 ms and 5 ms at any rate
    _, (start, end) = librosa.effects.trim(samples, top_db=speech.trim_db, frame_length=width, hop_length=hop)
    edge = max(start, len(samples) - end) / rate
    kept = round(speech.kept_silence * rate)
    trimmed = samples[max(0, start - kept) : end + kept] if speech.trim_silence else samples
    if rate != speech.sampling_rate:
        trimmed = librosa.resample(trimmed, orig_sr=rate, target_sr=speech.sampling_rate)
    if len(trimmed) < speech.hop_length:
        raise AudioFileError("shorter than a mel frame")
    mel = log_mel(trimmed, speech)
    facts = AudioFacts(
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        seconds=len(samples) / rate,
        frames=mel.shape[1],
        sample_rate=rate,
        channels=channels,
        edge_silence=round(edge, 3),
        peak=float(np.abs(samples).max()),
        clipped=float((np.abs(samples) >= CLIPPED).mean()),
    )
    return mel, facts


@functools.cache
def mel_filters(speech: Speech) -> NDArray[np.float32]:
    """Slaney mel filter bank (M, filter_length / 2 + 1)."""
    filters: NDArray[np.float32] = librosa.filters.mel(
        sr=speech.sampling_rate,
        n_fft=speech.filter_length,
        n_mels=speech.n_mel_channels,
        fmin=speech.mel_fmin,
        fmax=speech.mel_fmax,
    )
    return filters


def log_mel(samples: Samples, speech: Speech) -> NDArray[np.float32]:
    """Log-mel spectrogram (M, F) of samples at the settings' rate; one frame a hop, F = samples // hop_length."""
    padding = speech.filter_length - speech.hop_length
    sides = (padding // 2, padding - padding // 2)
    padded = np.pad(samples, sides, mode="reflect" if len(samples) > max(sides) else "constant")
    spectrum = librosa.stft(
        padded, n_fft=speech.filter_length, hop_length=speech.hop_length, win_length=speech.win_length, center=False
    )
    magnitude = np.sqrt(spectrum.real**2 + spectrum.imag**2 + 1e-9)
    mel: NDArray[np.float32] = np.log(np.maximum(mel_filters(speech) @ magnitude, FLOOR)).astype(np.float32)
    return mel


def griffin_lim(mel: NDArray[np.float32], speech: Speech) -> Samples:
    """Samples from a log-mel spectrogram (M, F) by phase reconstruction: intelligible, not beautiful."""
    frames, fewest = mel.shape[1], -(-speech.filter_length // speech.hop_length) + 1
    mel = np.pad(mel, ((0, 0), (0, max(0, fewest - frames))), constant_values=np.log(FLOOR))
    linear = librosa.feature.inverse.mel_to_stft(
        np.exp(mel),
        sr=speech.sampling_rate,
        n_fft=speech.filter_length,
        power=1.0,
        fmin=speech.mel_fmin,
        fmax=speech.mel_fmax,
    )
    samples = librosa.griffinlim(
        linear**1.2, n_iter=60, hop_length=speech.hop_length, win_length=speech.win_length, random_state=0
    )
    samples = samples[: frames * speech.hop_length]
    peak = np.abs(samples).max()
    scaled: Samples = samples / peak * 0.9 if peak else samples
    return scaled


def write_wav(path: Path, samples: NDArray[np.float32] | NDArray[np.int16], rate: int) -> None:
    """Write 16-bit PCM."""
    soundfile.write(path, samples, rate, subtype="PCM_16")


def header_seconds(path: Path) -> float:
    """Length by the file's header alone. Raises AudioFileError for a file that is not there or has none."""
    if not path.is_file():
        raise AudioFileError("missing")
    try:
        return float(soundfile.info(path).duration)
    except soundfile.LibsndfileError as problem:
        raise AudioFileError(f"not audio ({problem.error_string.rstrip('.')})") from problem


def encode_audio(samples: Samples, rate: int) -> tuple[str, bytes]:
    """Media type and content of a small file that browsers play: MP3, which all play, or at odd rates Vorbis."""
    written = io.BytesIO()
    if rate in MP3_RATES:
        soundfile.write(written, samples, rate, format="MP3")
        return "audio/mpeg", written.getvalue()
    soundfile.write(written, samples, rate, format="OGG", subtype="VORBIS")
    return "audio/ogg", written.getvalue()
